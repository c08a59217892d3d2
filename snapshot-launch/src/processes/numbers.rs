//! The numbers of the live process's threads: the kernel has finished a thread when its number
//! is free.
//!
//! The kernel caches what anybody has looked at in `/proc`, and clears a thread's part as the
//! thread ends. The last thread tells the parent of the process's end before it clears its
//! part, and earlier threads may not be done either. If the process is reaped at once, the
//! reaper clears the rest, meets their parts, and spins in the kernel until they are done. It
//! may hold the processor that they wait for: for milliseconds, on a busy machine for longer.
//! So the supervisor sleeps until their numbers are free, which is the kernel's last step for a
//! thread. The copy that wants the numbers back finds them free then.
//!
//! In between no signal finds the number, but a file can still get it as its owner.
#![expect(unsafe_code, reason = "gives a file an owner")]

use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use snapshot_core::sys::now_ns;

use super::thread_list::tids_of;

/// The pause between two looks. A shorter one takes the processor from the threads that we wait
/// for.
const PAUSE: Duration = Duration::from_micros(50);
/// After this the process is reaped anyway.
const PATIENCE_NS: u64 = 1_000_000_000;

/// All threads of a process but the first.
pub(crate) fn of_other_threads(pid: i32) -> Vec<i32> {
    let numbers = tids_of(pid).into_iter().flatten();
    numbers.filter(|&number| number != pid).collect()
}

/// Waits for the threads of a process that has reported its end.
pub(crate) fn wait_until_free(threads: &[i32]) {
    if threads.is_empty() {
        return;
    }
    // Without a descriptor there is no answer, so the process is reaped at once.
    let Ok(file) = EventFd::from_flags(EfdFlags::EFD_CLOEXEC) else {
        return;
    };
    let deadline_ns = now_ns() + PATIENCE_NS;
    for &thread in threads {
        while is_leaving(&file, thread) && now_ns() < deadline_ns {
            std::thread::sleep(PAUSE);
        }
    }
}

/// Whether a thread has ended, and still has its number.
fn is_leaving(file: &EventFd, thread: i32) -> bool {
    // SAFETY: takes numbers. No signal is sent, since the file is not asynchronous.
    let given = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETOWN, thread) };
    // If a signal finds it, it belongs to another thread by now.
    given == 0 && kill(Pid::from_raw(thread), None) == Err(Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn whoever_lives_or_has_never_lived_is_not_awaited() {
        let file = EventFd::new().expect("a descriptor is to be had");
        let own = nix::unistd::getpid().as_raw();
        assert!(!is_leaving(&file, own));
        // Above the kernel's highest number.
        assert!(!is_leaving(&file, 1 << 30));
    }

    #[test]
    fn the_other_threads_are_found() {
        let (sender, receiver) = channel();
        let (end, ended) = channel::<()>();
        let thread = std::thread::spawn(move || {
            sender
                .send(nix::unistd::gettid().as_raw())
                .expect("waited for");
            let _ = ended.recv();
        });
        let other = receiver.recv().expect("it is sent");
        let own = nix::unistd::getpid().as_raw();
        let found = of_other_threads(own);
        assert!(found.contains(&other) && !found.contains(&own), "{found:?}");
        drop(end);
        thread.join().expect("it ends");
    }
}
