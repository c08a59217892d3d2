//! Guest: copies of one moment. `all COUNT` tries COUNT inputs, each in a copy that first finds all as
//! it was set up, and then changes whatever it can. `ends` shows each way to end. In `slow` a copy never
//! ends by itself. In `nested` copies are templates.
//!
//! A failed check ends its copy with 101, like any panic.
#![expect(unsafe_code, reason = "crashes on purpose, and handles a signal")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use snapshot_core::try_each;
use snapshot_tests::World;

fn all(count: usize) {
    let mut world = World::set_up();
    let inputs: Vec<usize> = (0..count).collect();
    let ends = try_each(&inputs, |_| {
        world.check();
        world.spoil();
    });
    let ends = ends.expect("it can be copied");
    let fine = ends.iter().filter(|end| end.to_numbers() == (0, 0)).count();
    // The template itself is as it was.
    world.check();
    println!("{fine} of {count} copies found all as it was, and so did the template");
}

fn ends() {
    let ways = [
        "return",
        "panic",
        "exit 7",
        "abort",
        "fault",
        "kill",
        "quit a thread",
    ];
    let ends = try_each(&ways, |&way| match way {
        "panic" => panic!("a panic"),
        "exit 7" => std::process::exit(7),
        "abort" => std::process::abort(),
        "fault" => {
            let nowhere: *mut u8 = std::ptr::without_provenance_mut(8);
            // SAFETY: none: it is meant to crash.
            unsafe { nowhere.write_volatile(1) };
        }
        "kill" => {
            // SAFETY: ends this process.
            unsafe { libc::kill(std::process::id().cast_signed(), libc::SIGKILL) };
        }
        "quit a thread" => thread::spawn(|| std::process::exit(9))
            .join()
            .expect("it never returns"),
        _ => {}
    });
    let ends = match ends {
        Ok(ends) => ends,
        Err(error) => return println!("{error}"),
    };
    for (way, end) in ways.iter().zip(ends) {
        println!("{way}: {end}");
    }
}

/// Copies of copies. Each inner series leaves the outer one alone.
fn nested() {
    let inputs: Vec<u32> = (0..40).collect();
    let mut sum = 0;
    let outer = try_each(&inputs, |&outer| {
        sum += 1;
        assert_eq!(sum, 1, "no run sees another");
        if outer.is_multiple_of(4) {
            let inner = try_each(&inputs, |&inner| {
                sum += 1;
                assert_eq!(sum, 2, "no run sees another");
                if inner == 7 {
                    std::process::abort();
                }
            });
            let inner = inner.expect("it can be copied");
            let fine = inner
                .iter()
                .filter(|end| end.to_numbers() == (0, 0))
                .count();
            assert_eq!((inner.len(), fine), (40, 39));
        }
        if outer == 9 {
            std::process::abort();
        }
    });
    let outer = outer.expect("it can be copied");
    let fine = outer
        .iter()
        .filter(|end| end.to_numbers() == (0, 0))
        .count();
    println!("{fine} of {} have ended well", outer.len());
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn interrupted(_: i32) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

fn slow() {
    let handler: extern "C" fn(i32) = interrupted;
    // SAFETY: the handler sets a flag.
    unsafe { libc::signal(libc::SIGINT, handler as libc::sighandler_t) };
    let ends = try_each(&[(), ()], |()| {
        println!("begun {}", std::process::id());
        loop {
            thread::sleep(Duration::from_secs(1000));
        }
    });
    let ends = ends.expect("it can be copied");
    // The one that was killed has ended.
    println!("{} have ended", ends.len());
    if INTERRUPTED.load(Ordering::Relaxed) {
        std::process::exit(130);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["all", count] => all(count.parse().expect("a number")),
        ["ends"] => ends(),
        ["slow"] => slow(),
        ["nested"] => nested(),
        _ => panic!("{words:?} is no command"),
    }
}
