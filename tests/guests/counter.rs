//! Guest: counts. It prints `count N PID` every few milliseconds, keeps every number it has
//! counted on the heap, and checks them all each time, so that wrong memory is noticed.
//!
//! `counter [UNTIL [EVERY_MS]]`: ends by itself after UNTIL, with status 0.

use std::time::Duration;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| {
        arguments
            .next()
            .map_or(default, |text| text.parse().expect("a number"))
    };
    let until = number(u64::MAX);
    let every = Duration::from_millis(number(20));

    let mut counted: Vec<Box<u64>> = Vec::new();
    for count in 1..=until {
        counted.push(Box::new(count));
        let intact = (1..=count).eq(counted.iter().map(|number| **number));
        assert!(intact, "the memory is not what it was");
        println!("count {count} {}", std::process::id());
        std::thread::sleep(every);
    }
}
