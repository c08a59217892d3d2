//! The program's own signals: sets, masks, and a handler that counts.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::SigSet;
use nix::unistd::Pid;

/// How often the handler of each signal has run.
static HANDLED: [AtomicU32; 65] = [const { AtomicU32::new(0) }; 65];

extern "C" fn handle(number: i32) {
    if let Some(count) = usize::try_from(number).ok().and_then(|n| HANDLED.get(n)) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

pub fn handled(number: i32) -> u32 {
    let index = usize::try_from(number).expect("signals are positive");
    HANDLED[index].load(Ordering::Relaxed)
}

/// Installs a handler that interrupts, and blocks the signal in the calling thread and in all
/// threads that it starts.
pub fn interrupting(number: i32) {
    // SAFETY: all-zero is a valid `struct sigaction`, without SA_RESTART.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as *const () as libc::sighandler_t;
    // SAFETY: the handler only counts.
    let done = unsafe { libc::sigaction(number, &raw const action, null_mut()) };
    assert_eq!(done, 0, "signal {number} can be handled");
    mask(libc::SIG_BLOCK, number);
}

/// libc's own set of every signal, without libc's own two.
pub fn every_signal() -> libc::sigset_t {
    *SigSet::all().as_ref()
}

/// The set of one signal, real-time ones too, which nix has no names for.
pub fn only(number: i32) -> libc::sigset_t {
    let mut set = *SigSet::empty().as_ref();
    // SAFETY: changes a live local.
    unsafe { libc::sigaddset(&raw mut set, number) };
    set
}

pub fn mask(how: i32, number: i32) {
    let set = only(number);
    // SAFETY: reads a live local.
    let done = unsafe { libc::pthread_sigmask(how, &raw const set, null_mut()) };
    assert_eq!(done, 0, "signal {number} can be blocked");
}

/// Sends the signal to the process, since a revert may change a thread's id. Only the right
/// thread unblocks it.
pub fn send(number: i32) {
    let this = Pid::this().as_raw();
    // SAFETY: takes numbers.
    let done = unsafe { libc::kill(this, number) };
    assert_eq!(done, 0, "this process may signal itself");
}
