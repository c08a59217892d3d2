//! Guest: uses the library without a launcher. The shell then waits for the frozen process, and
//! still must see each of these ends.
//!
//! `alone exit CODE`, `alone killed SIGNAL`: two snapshots, both committed, and the end.
//! `alone own`, `alone ignored`: counts, with a SIGINT handler of its own, or none.
#![expect(unsafe_code, reason = "installs a handler and ends by a signal")]

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use snapshot_core::{Arrival, SnapshotError, commit, depth, install_handlers, snapshot};

/// How often this program's own handler has run.
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);

extern "C" fn on_interrupt(_: libc::c_int) {
    // Only counted, and only read by the same thread.
    INTERRUPTS.fetch_add(1, Ordering::Relaxed);
}

fn main() -> Result<(), SnapshotError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["exit", code] => {
            commit_two()?;
            std::process::exit(code.parse().expect("a number"))
        }
        ["killed", signal] => {
            commit_two()?;
            // SAFETY: raise takes a number.
            unsafe { libc::raise(signal.parse().expect("a number")) };
            unreachable!("the signal ends it")
        }
        ["own"] => count(on_interrupt as *const () as libc::sighandler_t),
        ["ignored"] => count(libc::SIG_IGN),
        _ => panic!("usage: alone exit CODE | killed SIGNAL | own | ignored"),
    }
}

fn commit_two() -> Result<(), SnapshotError> {
    for _ in 0..2 {
        if let Arrival::Reverted(report) = snapshot()? {
            println!("came back: the branch {}", report.ended);
            return Ok(());
        }
    }
    commit()?;
    println!("committed, depth {}", depth());
    Ok(())
}

fn count(handler: libc::sighandler_t) -> Result<(), SnapshotError> {
    // SAFETY: the handler touches one atomic, or is a constant.
    unsafe { libc::signal(libc::SIGINT, handler) };
    install_handlers()?;
    for count in 1_u32.. {
        let interrupts = INTERRUPTS.load(Ordering::Relaxed);
        println!(
            "count {count} {} {interrupts} depth {}",
            std::process::id(),
            depth()
        );
        let _ = std::io::stdout().flush();
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
