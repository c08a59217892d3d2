//! Sets the filter by which the kernel asks the journal, and has the listener that its questions
//! come to.
//!
//! It holds for every thread of the process, and for all processes that these make from then on.
//! Nothing takes it away again, and an exec leaves it.
//!
//! Where a signal meets a question: before the journal has received it, the kernel takes the
//! question back, and the call is interrupted or restarts as calls do. After that the thread
//! waits for the answer, and no signal but a deadly one wakes it (`waits_killable`, Linux 5.19):
//! it handles the signal, and parks, once it has the answer. On an older kernel the signal ends
//! the call though the journal may have carried it out.
//!
//! Context: AS-SAFE. In a take, while every other thread is parked.

use core::sync::atomic::{AtomicBool, Ordering};

use super::file_filter::FILTER;
use crate::sys::{self, Errno};

/// What has been set.
#[derive(Debug, Clone, Copy)]
pub struct Listener {
    /// Where questions come to.
    pub fd: i32,
    /// The program has lost the right to gain rights by an exec, since the kernel demands that.
    pub no_new_privs: bool,
    /// It had lost that right before. It may have restricted itself with Landlock, which nothing
    /// else shows.
    pub is_restricted: bool,
    /// A thread with a received question waits for its answer whatever signal comes.
    pub waits_killable: bool,
}

/// Set once a filter of the program's forbids the call.
static IS_FORBIDDEN: AtomicBool = AtomicBool::new(false);

/// The program's filter forbids the call, or even ends a process that makes it.
pub(super) fn forbid() {
    IS_FORBIDDEN.store(true, Ordering::Release);
}

/// Sets the filter for all threads.
///
/// # Errors
/// EPERM if a filter of the program's forbids that; EBUSY if the program is listened to already; ESRCH if a thread has filters that the calling
/// one lacks; EINVAL on kernels before 5.7; EMFILE if the program has no descriptor left.
pub fn listen() -> sys::Result<Listener> {
    if IS_FORBIDDEN.load(Ordering::Acquire) {
        return Err(Errno(libc::EPERM));
    }
    let is_restricted = sys::has_forbidden_new_privileges();
    let listener = match listen_by_right() {
        Err(Errno(libc::EACCES)) => {
            sys::forbid_new_privileges()?;
            listen_by_right().map(|listener| Listener {
                no_new_privs: true,
                ..listener
            })
        }
        answer => answer,
    }?;
    Ok(Listener {
        is_restricted,
        ..listener
    })
}

fn listen_by_right() -> sys::Result<Listener> {
    let listen = |waits_killable| {
        sys::filter_and_listen(&FILTER, waits_killable).map(|fd| Listener {
            fd,
            no_new_privs: false,
            is_restricted: false,
            waits_killable,
        })
    };
    match listen(true) {
        Err(Errno(libc::EINVAL)) => listen(false),
        answer => answer,
    }
}

#[cfg(test)]
#[expect(
    unsafe_code,
    reason = "forks children with a filter, and answers the kernel"
)]
mod tests {
    use super::*;
    use std::ffi::c_void;
    use std::mem::zeroed;
    use std::ptr::null_mut;

    const RECEIVE: libc::c_ulong = 0xc050_2100;
    const ANSWER: libc::c_ulong = 0xc018_2101;

    /// Answers every question with "go on", until nobody has the filter any more. Returns the
    /// numbers of the calls.
    fn answer_all(listener: i32) -> Vec<i64> {
        let mut asked = Vec::new();
        loop {
            let mut poll = libc::pollfd {
                fd: listener,
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one live structure.
            let ready = unsafe { libc::poll(&raw mut poll, 1, 10_000) };
            assert_eq!(ready, 1, "asked so far: {asked:?}");
            if poll.revents & libc::POLLIN == 0 {
                return asked;
            }
            // SAFETY: all-zero is a valid structure, and what the kernel wants.
            let mut question: libc::seccomp_notif = unsafe { zeroed() };
            // SAFETY: the kernel writes one structure.
            if unsafe { libc::ioctl(listener, RECEIVE, &raw mut question) } != 0 {
                continue;
            }
            asked.push(i64::from(question.data.nr));
            let mut answer = libc::seccomp_notif_resp {
                id: question.id,
                val: 0,
                error: 0,
                flags: 1,
            };
            // SAFETY: reads one structure.
            unsafe { libc::ioctl(listener, ANSWER, &raw mut answer) };
        }
    }

    /// A child's life, with what passes its listener on.
    type Life = fn(&dyn Fn(&Listener)) -> i32;

    /// Runs `life` in a child, which passes its listener on by the function given, and ends with
    /// what `life` returns. Returns the calls that were asked about, and that number.
    fn asked_by_child(life: Life) -> (Vec<i64>, i32) {
        let mut ends = [0; 2];
        // SAFETY: writes two numbers.
        let made =
            unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0, ends.as_mut_ptr()) };
        assert_eq!(made, 0);
        let [ours, theirs] = ends;
        // SAFETY: the child calls the engine and a few functions of libc, and ends.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            sys::close(ours);
            let status = life(&|listener| {
                let flags = [
                    u8::from(listener.no_new_privs),
                    u8::from(listener.waits_killable),
                ];
                let _ = sys::send_with(theirs, &flags, &[listener.fd]);
                sys::close(listener.fd);
            });
            sys::exit_group(status);
        }
        sys::close(theirs);
        let mut flags = [0; 2];
        let passed = sys::receive(ours, &mut flags);
        let asked = match passed {
            Ok((2, Some(listener))) => {
                let asked = answer_all(listener);
                sys::close(listener);
                asked
            }
            _ => Vec::new(),
        };
        sys::close(ours);
        let status = sys::reap(pid).expect("it is our child");
        assert!(libc::WIFEXITED(status), "{status:x}");
        (asked, libc::WEXITSTATUS(status))
    }

    extern "C" fn write_and_read(_: *mut c_void) -> *mut c_void {
        for flags in [libc::O_RDONLY, libc::O_WRONLY] {
            // SAFETY: a C string; it may fail.
            unsafe { libc::open(c"/dev/null".as_ptr(), flags) };
        }
        null_mut()
    }

    /// Runs this in a thread of its own.
    fn in_thread(run: extern "C" fn(*mut c_void) -> *mut c_void) -> libc::pthread_t {
        // SAFETY: all-zero is a valid number.
        let mut thread: libc::pthread_t = unsafe { zeroed() };
        // SAFETY: the function takes any argument.
        unsafe { libc::pthread_create(&raw mut thread, std::ptr::null(), run, null_mut()) };
        thread
    }

    #[test]
    fn every_thread_and_child_asks_about_changes_alone() {
        let (asked, status) = asked_by_child(|pass| {
            static GO: AtomicBool = AtomicBool::new(false);
            extern "C" fn wait_and_write(argument: *mut c_void) -> *mut c_void {
                while !GO.load(Ordering::Acquire) {
                    sys::yield_now();
                }
                write_and_read(argument)
            }
            let thread = in_thread(wait_and_write);
            let Ok(listener) = listen() else { return 1 };
            pass(&listener);
            GO.store(true, Ordering::Release);
            // SAFETY: the thread was made above.
            unsafe { libc::pthread_join(thread, null_mut()) };
            // SAFETY: the child does one thing and ends.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                // SAFETY: a C string.
                unsafe { libc::unlink(c"/no/such/file".as_ptr()) };
                sys::exit_group(0);
            }
            i32::from(sys::reap(pid) != Ok(0))
        });
        assert_eq!(status, 0);
        assert_eq!(asked, [libc::SYS_openat, libc::SYS_unlink]);
    }

    #[test]
    fn a_second_listener_is_refused() {
        let (asked, status) = asked_by_child(|pass| {
            let Ok(listener) = listen() else { return 1 };
            pass(&listener);
            match listen() {
                Err(Errno(errno)) => errno,
                Ok(_) => 0,
            }
        });
        assert_eq!((asked, status), (vec![], libc::EBUSY));
    }

    #[test]
    fn one_without_rights_gives_up_those_of_an_exec() {
        let (_, status) = asked_by_child(|pass| {
            // SAFETY: takes numbers. Who has no rights already can't do it, and need not.
            unsafe { libc::syscall(libc::SYS_setresuid, 65_534, 65_534, 65_534) };
            let Ok(listener) = listen() else { return 1 };
            pass(&listener);
            // SAFETY: takes numbers.
            let lost = unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) };
            i32::from(!(lost == 1 && listener.no_new_privs))
        });
        assert_eq!(status, 0);
    }

    #[test]
    fn a_thread_with_a_filter_of_its_own_forbids_it() {
        let (_, status) = asked_by_child(|_| {
            static IS_SET: AtomicBool = AtomicBool::new(false);
            extern "C" fn filter(_: *mut c_void) -> *mut c_void {
                let _ = sys::forbid_new_privileges();
                let mut allow = [libc::sock_filter {
                    code: 6,
                    jt: 0,
                    jf: 0,
                    k: libc::SECCOMP_RET_ALLOW,
                }];
                let program = libc::sock_fprog {
                    len: 1,
                    filter: allow.as_mut_ptr(),
                };
                // SAFETY: a live filter of one step.
                unsafe {
                    libc::syscall(
                        libc::SYS_seccomp,
                        libc::SECCOMP_SET_MODE_FILTER,
                        0,
                        &raw const program,
                    )
                };
                IS_SET.store(true, Ordering::Release);
                loop {
                    sys::pause_ns(1_000_000);
                }
            }
            in_thread(filter);
            while !IS_SET.load(Ordering::Acquire) {
                sys::yield_now();
            }
            match listen() {
                Err(Errno(errno)) => errno,
                Ok(_) => 0,
            }
        });
        assert_eq!(status, libc::ESRCH);
    }

    #[test]
    fn a_forbidden_call_is_not_made() {
        let (_, status) = asked_by_child(|_| {
            forbid();
            i32::from(listen().err() != Some(Errno(libc::EPERM)))
        });
        assert_eq!(status, 0);
    }
}
