//! The end of a branch with many threads. The kernel keeps `/proc` entries that somebody has read
//! until the process is reaped. If the supervisor reaps it while a thread still clears its own
//! entries, the supervisor spins for as long as that thread waits for a processor.
#![expect(unsafe_code, reason = "asks the kernel what it has cached")]

use std::ffi::CString;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use snapshot_tests::{Ending, Launch, PipedSession, Seed, deadline, process};

const THREADS: usize = 64;
const FILES: [&str; 4] = ["syscall", "sched", "stat", "status"];

/// A guest that is in this namespace, so that its threads have the same numbers to all.
fn crowd() -> PipedSession {
    Launch::guest("crowd")
        .args(["count", &THREADS.to_string()])
        .flag("--isolate")
        .flag("never")
        .piped()
}

/// More for the processors to do than they can.
struct Load {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn begin() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let is_over = Arc::new(AtomicBool::new(false));
        let spin = || {
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || while !is_over.load(Ordering::Relaxed) {})
        };
        let threads = (0..2 * processors).map(|_| spin()).collect();
        Self { is_over, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Whether the kernel can open a path from its cache alone. `None` where it can't be asked that
/// (before 5.12).
fn is_cached(path: &str) -> Option<bool> {
    const RESOLVE_CACHED: u64 = 0x20;
    let path = CString::new(path).expect("no NUL in it");
    let how: [u64; 3] = [
        u64::try_from(libc::O_PATH).expect("a flag"),
        0,
        RESOLVE_CACHED,
    ];
    // SAFETY: openat2 reads a path and a `struct open_how`, three numbers of 64 bits.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            libc::AT_FDCWD,
            path.as_ptr(),
            how.as_ptr(),
            size_of_val(&how),
        )
    };
    if fd < 0 {
        return (Errno::last() == Errno::EAGAIN).then_some(false);
    }
    let fd = i32::try_from(fd).expect("a descriptor fits");
    // SAFETY: it was just opened, and nobody else knows it.
    unsafe { libc::close(fd) };
    Some(true)
}

/// The processor time of a process so far.
fn processor_time(pid: i32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("it lives");
    let ns = text.split(' ').next().and_then(|ns| ns.parse().ok());
    Duration::from_nanos(ns.expect("the first of three numbers"))
}

/// Reads what each thread of a process has in `/proc`, as `top -H` does.
fn look_at_threads(pid: i32) {
    for thread in process::thread_ids(pid) {
        for file in FILES {
            let _ = fs::read(format!("/proc/{pid}/task/{thread}/{file}"));
        }
    }
}

#[test]
fn a_take_leaves_no_file_of_a_thread_cached_below_the_process() {
    let mut session = crowd();
    let live = session.live_pid();
    session.ask("advance");
    session.take();
    let threads = process::thread_ids(live);
    assert_eq!(threads.len(), THREADS + 1);
    if is_cached("/proc").is_none() {
        eprintln!("skipped: this kernel can't be asked what it has cached");
        return;
    }
    let mut looked_at = 0;
    for thread in threads.into_iter().filter(|&thread| thread != live) {
        for file in FILES {
            let below = format!("/proc/{live}/task/{thread}/{file}");
            assert_eq!(is_cached(&below), Some(false), "{below}");
        }
        looked_at += usize::from(is_cached(&format!("/proc/{thread}/syscall")) == Some(true));
    }
    // A take does look at them, beside the process.
    assert!(looked_at > 0);
}

/// The processor time that the supervisor needs for a revert, in the mean of some. `look` is done
/// with the live process before each.
fn time_of_reverts(session: &mut PipedSession, look: impl Fn(i32)) -> Duration {
    const ROUNDS: u32 = 10;
    let supervisor = session.supervisor_pid();
    let mut spent = Duration::ZERO;
    for _ in 0..ROUNDS {
        session.take();
        look(session.live_pid());
        let before = processor_time(supervisor);
        session.end_branch(Ending::Kill);
        spent += processor_time(supervisor) - before;
    }
    spent / ROUNDS
}

#[test]
fn a_revert_does_not_spin_where_somebody_has_looked_at_the_threads() {
    let mut session = crowd();
    let _load = Load::begin();
    // A busy machine makes each of them longer, so the shortest of several counts.
    let (looked, alone): (Vec<Duration>, Vec<Duration>) = (0..4)
        .map(|_| {
            let looked = time_of_reverts(&mut session, look_at_threads);
            (looked, time_of_reverts(&mut session, |_| {}))
        })
        .unzip();
    let shortest = |times: &[Duration]| *times.iter().min().expect("four");
    // A spin lasts until the thread that it waits for has a processor: several times as long as
    // all else that a supervisor does for a revert.
    assert!(
        shortest(&looked) < shortest(&alone) * 5 / 2,
        "the supervisor computes {looked:?} a revert, and {alone:?} where nobody has looked"
    );
}

#[test]
fn many_threads_are_reverted_on_a_busy_machine() {
    let mut seed = Seed::new();
    let _load = Load::begin();
    for isolate in ["auto", "never"] {
        let mut session = Launch::guest("crowd")
            .args(["count", &THREADS.to_string()])
            .flag("--isolate")
            .flag(isolate)
            .piped();
        session.ask("set snapshot");
        for _ in 0..10 {
            let ending = *seed.pick(&[Ending::Kill, Ending::Command, Ending::Interrupt]);
            session.branch(ending, |session| {
                session.ask("set branch");
                look_at_threads(session.live_pid());
                seed.idle(Duration::from_millis(10));
            });
            assert_eq!(session.ask("set snapshot"), "snapshot", "{ending:?}");
            assert_eq!(session.ask("advance"), THREADS.to_string(), "{ending:?}");
            // A burst of Ctrl+C counts as one.
            deadline::pace(Duration::from_millis(250));
        }
    }
}
