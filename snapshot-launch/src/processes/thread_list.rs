//! The threads of another process.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::libc;
use snapshot_core::sys::{self, tgkill};

use super::files::numbers_in;

/// How often a list is read that grows or is cut short each time.
const TRIES: u32 = 1000;

/// The numbers of all threads of a process, and perhaps of some that have just ended.
///
/// The kernel cuts the list short when a thread ends while it is read. It counts the threads as links
/// of the directory, beside two of its own. If the list has fewer that live, it is read again.
///
/// # Errors
/// The process is gone, or can't be looked at; EAGAIN if its threads come and go too fast.
pub(crate) fn tids_of(pid: i32) -> io::Result<Vec<i32>> {
    let directory = format!("/proc/{pid}/task");
    for _ in 0..TRIES {
        let tids: Vec<i32> = numbers_in(&directory)?.collect();
        let count = fs::metadata(&directory)?.nlink().saturating_sub(2);
        // After the count: who is on the list and lives now has been counted.
        let living = tids.iter().filter(|&&tid| is_thread(pid, tid)).count();
        if u64::try_from(living).is_ok_and(|living| living >= count) {
            return Ok(tids);
        }
    }
    Err(Errno::EAGAIN.into())
}

fn is_thread(pid: i32, tid: i32) -> bool {
    tgkill(pid, tid, 0) != Err(sys::Errno(libc::ESRCH))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    /// A list that is read once lacks the last of these threads now and then.
    #[test]
    fn no_thread_is_missing_while_others_end() {
        let pid = std::process::id().cast_signed();
        for _ in 0..1000 {
            let may_end = AtomicBool::new(false);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        while !may_end.load(Ordering::Relaxed) {
                            thread::yield_now();
                        }
                    });
                }
                // The list is in the order of birth.
                let last = scope.spawn(|| {
                    may_end.store(true, Ordering::Relaxed);
                    let own = nix::unistd::gettid().as_raw();
                    (0..4).all(|_| tids_of(pid).expect("we live").contains(&own))
                });
                assert!(last.join().expect("it has looked"));
            });
        }
    }
}
