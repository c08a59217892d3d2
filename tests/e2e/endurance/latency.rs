//! Whether takes and reverts become slower. A busy machine slows everything, so this compares
//! each with a plain fork in the same minutes.
#![expect(unsafe_code, reason = "forks a child that ends at once")]

use std::fmt;
use std::time::{Duration, Instant};

/// How much slower the last minutes may be, beyond what a plain fork is.
const GROSS: f64 = 3.0;

/// How many measurements make a median that says something.
const ENOUGH: usize = 20;

/// What one thing took, each time.
#[derive(Debug, Default)]
pub struct Latency {
    seen: Vec<(Duration, f64)>,
}

impl Latency {
    /// It took so many microseconds, so long after the beginning.
    pub fn note(&mut self, at: Duration, micros: f64) {
        self.seen.push((at, micros));
    }

    fn sorted(&self, from: Duration, to: Duration) -> Vec<f64> {
        let within = |at: Duration| at >= from && at < to;
        let seen = self.seen.iter().filter(|(at, _)| within(*at));
        let mut micros: Vec<f64> = seen.map(|&(_, micros)| micros).collect();
        micros.sort_by(f64::total_cmp);
        micros
    }

    /// By which factor the last quarter, five minutes at most, is slower than the first.
    fn drift(&self, whole: Duration) -> Option<f64> {
        let window = (whole / 4).min(Duration::from_secs(300));
        let median = |from, to| {
            let micros = self.sorted(from, to);
            (micros.len() >= ENOUGH).then(|| micros[micros.len() / 2])
        };
        let first = median(Duration::ZERO, window)?;
        let last = median(whole.checked_sub(window)?, Duration::MAX)?;
        Some(last / first)
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.sorted(Duration::ZERO, Duration::MAX);
        let Some(last) = micros.len().checked_sub(1) else {
            return f.write_str("never");
        };
        let (half, most) = (micros[last / 2], micros[last * 99 / 100]);
        let max = micros[last];
        write!(
            f,
            "{} times, p50 {half:.0} µs, p99 {most:.0}, max {max:.0}",
            last + 1
        )
    }
}

/// What was measured in one run.
#[derive(Debug, Default)]
pub struct Latencies {
    pub takes: Latency,
    pub reverts: Latency,
    forks: Latency,
}

impl Latencies {
    /// Measures a fork and its end.
    pub fn fork(&mut self, at: Duration) {
        let begin = Instant::now();
        // SAFETY: the child makes one system call.
        match unsafe { libc::fork() } {
            // SAFETY: ends the child, and runs nothing of the test's.
            0 => unsafe { libc::_exit(0) },
            child => {
                // SAFETY: a child of ours that nobody else waits for; no status is wanted.
                unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            }
        }
        self.forks.note(at, begin.elapsed().as_secs_f64() * 1e6);
    }

    /// Says what was measured; an error, if something has become grossly slower.
    pub fn conclude(&self, whole: Duration) -> Result<(), String> {
        println!("takes    {}", self.takes);
        println!("reverts  {}", self.reverts);
        println!("forks    {}", self.forks);
        let Some(usual) = self.forks.drift(whole) else {
            return Ok(());
        };
        for (name, latency) in [("takes", &self.takes), ("reverts", &self.reverts)] {
            let Some(drift) = latency.drift(whole) else {
                continue;
            };
            println!("the last {name} cost {drift:.2} of the first ones, forks {usual:.2}");
            if drift > GROSS * usual.max(1.0) {
                return Err(format!("{name} have become {drift:.1} times slower"));
            }
        }
        Ok(())
    }
}
