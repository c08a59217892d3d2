//! Guest: crossbeam's scoped threads, which borrow from the stack of `main`, and its
//! channels. `begin` hands out more work than there is room for results, so all workers
//! soon block in `send`; `gather` takes the results.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam::channel::{self, Receiver, Sender};

const WORKERS: usize = 4;

/// How many numbers there are, and how many of them are one job.
const NUMBERS: usize = 1 << 16;
const JOB: usize = 1 << 9;

/// How many results fit into their channel.
const ROOM: usize = 8;

/// How long an answer may take: less than a test waits for a line.
const PATIENCE: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    // All of these belong to this frame, and the threads borrow them.
    let numbers: Vec<u64> = (0..).take(NUMBERS).collect();
    let mut done = [0_u64; WORKERS];
    let ticks = AtomicU64::new(0);
    let mut history: Vec<u64> = Vec::new();

    let (jobs, from_jobs) = channel::unbounded();
    let (into_results, results) = channel::bounded(ROOM);
    let (quit, until_quit) = channel::bounded::<()>(0);
    let scope = crossbeam::thread::scope(|scope| {
        for (index, done) in done.iter_mut().enumerate() {
            let (numbers, jobs, results) = (&numbers, from_jobs.clone(), into_results.clone());
            scope
                .builder()
                .name(format!("job-{index}"))
                .spawn(move |_| work(numbers, done, &jobs, &results))
                .expect("threads are to be had");
        }
        let ticks = &ticks;
        scope
            .builder()
            .name("ticker".into())
            .spawn(move |_| tick(ticks, &until_quit))
            .expect("threads are to be had");
        // Only the workers hold these ends now.
        drop((from_jobs, into_results));
        command(jobs, &results, ticks, &mut history);
        drop(quit);
    });
    if scope.is_err() {
        return ExitCode::from(101);
    }
    let history: Vec<String> = history.iter().map(u64::to_string).collect();
    println!("end {} {}", done.iter().sum::<u64>(), history.join(","));
    ExitCode::from(3)
}

fn work(
    numbers: &[u64],
    done: &mut u64,
    jobs: &Receiver<(usize, u64)>,
    results: &Sender<Result<u64, String>>,
) {
    for (start, factor) in jobs {
        let Some(part) = numbers.get(start..start + JOB) else {
            let _ = results.send(Err(format!("there is no {start}")));
            panic!("there is no {start}");
        };
        let sum = part.iter().map(|number| number * factor).sum();
        *done += 1;
        if results.send(Ok(sum)).is_err() {
            break;
        }
    }
}

fn tick(ticks: &AtomicU64, until_quit: &Receiver<()>) {
    let every = channel::tick(Duration::from_millis(3));
    loop {
        channel::select! {
            recv(every) -> _ => ticks.fetch_add(1, Ordering::Relaxed),
            recv(until_quit) -> _ => return,
        };
    }
}

fn command(
    jobs: Sender<(usize, u64)>,
    results: &Receiver<Result<u64, String>>,
    ticks: &AtomicU64,
    history: &mut Vec<u64>,
) {
    println!("ready");
    for line in std::io::stdin().lines() {
        let line = line.expect("stdin is text");
        match *line.split_whitespace().collect::<Vec<_>>() {
            ["begin", factor] => {
                let factor = factor.parse().expect("a test sends numbers");
                for start in (0..NUMBERS).step_by(JOB) {
                    jobs.send((start, factor))
                        .expect("the workers wait for jobs");
                }
                println!("ok");
            }
            ["waiting"] => println!("ok {} {}", jobs.len(), results.len()),
            ["gather"] => match gather(results) {
                Ok(sum) => {
                    history.push(sum);
                    println!("ok {sum}");
                }
                Err(why) => println!("err {why}"),
            },
            ["history"] => {
                let history: Vec<String> = history.iter().map(u64::to_string).collect();
                println!("ok {}", history.join(" "));
            }
            ["tick"] => {
                let begin = std::time::Instant::now();
                let until = ticks.load(Ordering::Relaxed) + 5;
                while ticks.load(Ordering::Relaxed) < until && begin.elapsed() < PATIENCE {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let ticked = ticks.load(Ordering::Relaxed) >= until;
                println!("{}", if ticked { "ok" } else { "err nothing ticks" });
            }
            ["fail"] => {
                jobs.send((NUMBERS, 1)).expect("the workers wait for jobs");
                break;
            }
            _ => println!("err unknown command {line:?}"),
        }
    }
    // The workers end when no job is left and none can come.
    drop(jobs);
    while results.recv().is_ok() {}
}

fn gather(results: &Receiver<Result<u64, String>>) -> Result<u64, String> {
    let mut sum = 0;
    for _ in (0..NUMBERS).step_by(JOB) {
        sum += results
            .recv_timeout(PATIENCE)
            .map_err(|error| error.to_string())??;
    }
    Ok(sum)
}
