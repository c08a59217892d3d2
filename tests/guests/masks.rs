//! Guest: waits for its children as careful programs do. SIGCHLD is blocked except while a call
//! waits, and whenever that call is interrupted the handler must have run.
//!
//! `masks KIND` waits in `ppoll`, `pselect` or `epoll_pwait` for stdin and for children, one
//! after the other. It answers any line with `ROUNDS UNFOUNDED`: the number of children, and
//! how often the call was interrupted and no handler had run.
#![expect(unsafe_code, reason = "waits as a C program does")]

use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{ForkResult, fork};

static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handle(_: i32) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

fn ppoll(mask: &libc::sigset_t) -> i32 {
    let mut poll = libc::pollfd {
        fd: 0,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one entry, and a mask.
    unsafe { libc::ppoll(&raw mut poll, 1, null(), mask) }
}

fn pselect(mask: &libc::sigset_t) -> i32 {
    let mut set = MaybeUninit::<libc::fd_set>::zeroed();
    // SAFETY: all zero is an empty set, and 0 is within it.
    unsafe { libc::FD_SET(0, set.as_mut_ptr()) };
    // SAFETY: a set, and a mask.
    unsafe { libc::pselect(1, set.as_mut_ptr(), null_mut(), null_mut(), null(), mask) }
}

fn epoll_pwait(set: i32, mask: &libc::sigset_t) -> i32 {
    let mut happened = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: room for one.
    unsafe { libc::epoll_pwait(set, &raw mut happened, 1, -1, mask) }
}

/// A child that ends in a moment.
fn child(round: usize) {
    // SAFETY: the program has one thread.
    if let Ok(ForkResult::Child) = unsafe { fork() } {
        std::thread::sleep(Duration::from_micros(200 + (round % 7) as u64 * 300));
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(0) };
    }
}

fn main() {
    let kind = std::env::args().nth(1).expect("a kind");
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGCHLD);
    blocked.thread_block().expect("a mask");
    // SAFETY: all zero is a valid action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as extern "C" fn(i32) as usize;
    // SAFETY: the handler counts, and no more.
    unsafe { libc::sigaction(libc::SIGCHLD, &raw const action, null_mut()) };
    // SAFETY: takes a number.
    let set = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN.cast_unsigned(),
        u64: 0,
    };
    let stdin = std::io::stdin().as_raw_fd();
    // SAFETY: one event.
    unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, stdin, &raw mut event) };
    println!("begun");
    let open = SigSet::empty();
    let (mut rounds, mut unfounded, mut seen) = (0, 0, 0);
    child(rounds);
    loop {
        let waited = match kind.as_str() {
            "ppoll" => ppoll(open.as_ref()),
            "pselect" => pselect(open.as_ref()),
            _ => epoll_pwait(set, open.as_ref()),
        };
        if waited > 0 {
            break;
        }
        assert_eq!(Errno::last(), Errno::EINTR);
        let handled = HANDLED.load(Ordering::SeqCst);
        if handled == seen {
            unfounded += 1;
        }
        seen = handled;
        while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status.pid().is_some()) {
            rounds += 1;
            child(rounds);
        }
    }
    println!("ok {rounds} {unfounded}");
}
