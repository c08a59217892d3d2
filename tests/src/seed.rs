//! Repeatable random moments: the test prints its seed, and `SNAPSHOT_TEST_SEED=N` sets it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A small generator (SplitMix64), good enough to pick moments and victims.
#[derive(Debug)]
pub struct Seed(u64);

impl Seed {
    /// A new one, or one with the seed in the environment. A failing test shows the seed.
    ///
    /// # Panics
    /// When `SNAPSHOT_TEST_SEED` is not a number.
    pub fn new() -> Self {
        let seed = std::env::var("SNAPSHOT_TEST_SEED").map_or_else(
            |_| {
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |now| u64::from(now.subsec_nanos()) ^ now.as_secs() << 20)
            },
            |text| text.parse().expect("SNAPSHOT_TEST_SEED is a number"),
        );
        println!("SNAPSHOT_TEST_SEED={seed}");
        Self(seed)
    }

    /// The next random number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// One of several.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        let count = u64::try_from(among.len()).expect("a slice's length fits");
        let index = usize::try_from(self.below(count)).expect("below a slice's length");
        &among[index]
    }

    /// Lets a random time below `limit` pass, to the microsecond: it spins through short ones,
    /// since no sleep is that short.
    pub fn idle(&mut self, limit: Duration) {
        let limit = u64::try_from(limit.as_micros()).expect("a test is shorter than ages");
        let duration = Duration::from_micros(self.below(limit.max(1)));
        if duration > Duration::from_millis(2) {
            std::thread::sleep(duration);
        } else {
            let begin = std::time::Instant::now();
            while begin.elapsed() < duration {
                std::hint::spin_loop();
            }
        }
    }
}

impl Default for Seed {
    fn default() -> Self {
        Self::new()
    }
}
