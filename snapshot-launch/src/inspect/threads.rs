//! The threads of a process, and which of them would refuse a take.

use std::io;

use snapshot_core::kernel::proc_text;
use snapshot_core::sys::SignalSet;
use snapshot_core::terms::{Doing, Hindrance};

use crate::processes::{files, thread_list::tids_of};

/// One thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thread {
    pub(super) tid: i32,
    pub(super) name: String,
    /// The kernel has made it for io_uring.
    pub(super) is_worker: bool,
    /// Why it can't be stopped.
    pub(super) hindrance: Option<Hindrance>,
    blocked: Option<SignalSet>,
    /// Its real, effective and saved user and group.
    credentials: Vec<Vec<u8>>,
}

/// All threads, in order.
///
/// # Errors
/// The process is gone.
pub(super) fn of(pid: i32) -> io::Result<Vec<Thread>> {
    let mut tids = tids_of(pid)?;
    tids.sort_unstable();
    Ok(tids
        .into_iter()
        .filter_map(|tid| {
            let read = |file: &str| files::bytes(format!("/proc/{pid}/task/{tid}/{file}"));
            let call = || proc_text::doing(&read("syscall").ok()?);
            thread(tid, &read("stat").ok()?, &read("status").ok()?, call)
        })
        .collect())
}

/// Whether every thread blocks this signal.
pub(super) fn all_block(threads: &[Thread], signal: i32) -> bool {
    let mut own = threads.iter().filter(|thread| !thread.is_worker).peekable();
    own.peek().is_some()
        && own.all(|thread| {
            thread
                .blocked
                .is_some_and(|set| set.meets(SignalSet::only(signal)))
        })
}

/// How many threads have another user than the first.
pub(super) fn of_other_users(threads: &[Thread]) -> u32 {
    let mut own = threads.iter().filter(|thread| !thread.is_worker);
    let first = own.next();
    let others = own.filter(|thread| first.is_some_and(|of| of.credentials != thread.credentials));
    u32::try_from(others.count()).unwrap_or(u32::MAX)
}

fn credentials(status: &[u8]) -> Vec<Vec<u8>> {
    let of = |name| {
        let numbers = proc_text::field(status, name).unwrap_or(b"");
        let words = numbers.split(|byte| byte.is_ascii_whitespace());
        words
            .filter(|word| !word.is_empty())
            .take(3)
            .map(<[u8]>::to_vec)
    };
    of("Uid:").chain(of("Gid:")).collect()
}

/// From `stat`, `status` and `syscall`; `None` if it has ended.
fn thread(
    tid: i32,
    stat: &[u8],
    status: &[u8],
    call: impl FnOnce() -> Option<Doing>,
) -> Option<Thread> {
    let stat = proc_text::stat(stat)?;
    let blocked = proc_text::signals(status, "SigBlk:");
    if matches!(stat.state, b'Z' | b'X') {
        return None;
    }
    let hindrance = match Hindrance::of(Some(stat.state), blocked, call) {
        Hindrance::Silent => None,
        hindrance => Some(hindrance),
    };
    let is_worker = stat.is_kernel_worker();
    let name = proc_text::field(status, "Name:").unwrap_or(b"");
    Some(Thread {
        tid,
        name: String::from_utf8_lossy(name).into_owned(),
        is_worker,
        // Nobody stops workers; they refuse as a whole.
        hindrance: hindrance.filter(|_| !is_worker),
        blocked,
        credentials: credentials(status),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stat(state: char, flags: u64) -> String {
        format!("7 (a) b) {state} 1 1 1 0 -1 {flags}{}", " 0".repeat(33))
    }

    fn with(state: char, flags: u64, blocked: u64) -> Option<Thread> {
        let status = format!("Name:\ta) b\nSigBlk:\t{blocked:016x}\n");
        let call = b"58 0x0 0x0 0x0 0x0 0x0 0x0 0x7f00 0x7f01\n";
        thread(7, stat(state, flags).as_bytes(), status.as_bytes(), || {
            proc_text::doing(call)
        })
    }

    #[test]
    fn what_can_not_be_stopped_is_said() {
        let hindrance = |state, blocked| with(state, 0, blocked).expect("a thread").hindrance;
        assert_eq!(hindrance('S', 0), None);
        assert_eq!(hindrance('R', 1 << 9), None);
        assert_eq!(hindrance('S', 1 << 32), Some(Hindrance::BlocksAll));
        assert_eq!(hindrance('T', 0), Some(Hindrance::Stopped));
        assert_eq!(hindrance('D', 0), Some(Hindrance::InKernel(58)));
        assert_eq!(with('Z', 0, 0), None);
        let worker = with('S', 0x10, u64::MAX).expect("a thread");
        assert!(worker.is_worker && worker.hindrance.is_none());
    }

    #[test]
    fn a_signal_is_blocked_when_no_thread_lets_it_through() {
        let thread = |blocked| with('S', 0, blocked).expect("a thread");
        assert!(all_block(&[thread(1 << 9), thread(u64::MAX)], 10));
        assert!(!all_block(&[thread(1 << 9), thread(0)], 10));
        assert!(!all_block(&[], 10));
    }

    #[test]
    fn threads_of_other_users_are_counted() {
        let thread = |user| {
            let status = format!("Uid:\t1000\t{user}\t1000\t7\nGid:\t1\t1\t1\t1\n");
            let stat = stat('S', 0);
            super::thread(7, stat.as_bytes(), status.as_bytes(), || None).expect("a thread")
        };
        assert_eq!(of_other_users(&[]), 0);
        assert_eq!(of_other_users(&[thread(1000), thread(1000)]), 0);
        assert_eq!(of_other_users(&[thread(1000), thread(0), thread(1000)]), 1);
    }

    #[test]
    fn own_threads_are_found() {
        let own = of(std::process::id().cast_signed()).expect("it is this process");
        let tid = nix::unistd::gettid().as_raw();
        let this = own.iter().find(|thread| thread.tid == tid);
        assert_eq!(this.expect("it runs").hindrance, None);
    }

    proptest! {
        #[test]
        fn noise_is_no_panic(stat: Vec<u8>, status: Vec<u8>, call: Vec<u8>) {
            let _ = thread(1, &stat, &status, || proc_text::doing(&call));
        }
    }
}
