//! `attempt_for` is an attempt that is undone when its time is over.
//!
//! Prints:
//! ```text
//! the attempt was undone: it took too long
//! rounds 0
//! ```

use std::convert::Infallible;
use std::time::Duration;

use snapshot_core::attempt_for;

fn main() {
    let mut rounds = 0_u64;
    let done = attempt_for(Duration::from_millis(100), || {
        loop {
            rounds = std::hint::black_box(rounds + 1);
        }
        #[expect(unreachable_code, reason = "the type of its error")]
        Ok::<(), Infallible>(())
    });
    if let Err(error) = done {
        println!("{error}");
    }
    println!("rounds {rounds}");
}
