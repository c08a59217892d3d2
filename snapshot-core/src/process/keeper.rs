//! The keeper: a task that shares a process's memory and only sleeps, so that the memory
//! outlives the process.
//!
//! To give gigabytes back takes the kernel longer than everything else that a revert does,
//! and whoever waits for a process's end waits for that too. With a keeper the process is
//! gone at once, and its memory after the program runs again: the supervisor ends the
//! keeper then, at the lowest priority.
//!
//! It is no thread of the program: it has another process id, no descriptors, and no
//! signal but KILL reaches it. It has the rights that the program had when it was made, and
//! the program, which may have dropped them since, can write into its code and its stack. So
//! it forbids itself all system calls but those it sleeps and ends by.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "makes a task that shares memory")]

use core::ffi::c_void;
use core::mem::size_of;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};

use crate::arch;
use crate::kernel::reserve;
use crate::process::own_processes;
use crate::sys::{self, CloneArguments, Errno, SignalSet};
use crate::wire::{WithKeeper, link::Link};

const STACK_BYTES: usize = 16 * 1024;

/// Where the keeper's stack begins; 0 until it is mapped. In a copy it is free again: the
/// copy has no keeper.
static STACK: AtomicUsize = AtomicUsize::new(0);

/// The descriptor by which the keeper says that it is there.
static LINK: AtomicI32 = AtomicI32::new(-1);

/// Set by the keeper: to what has come of it.
static SETTLED: AtomicU32 = AtomicU32::new(STARTS);
const STARTS: u32 = 0;
/// It holds nothing but the memory.
const SLEEPS: u32 = 1;
/// The supervisor is gone, or it can't do without its rights, and it ends.
const GIVES_UP: u32 = 2;
/// Nobody has waited for it so long: it is to end.
const IS_LATE: u32 = 3;

/// All that it needs once it has settled.
const CALLS: [i64; 3] = [
    libc::SYS_rt_sigtimedwait,
    libc::SYS_futex,
    libc::SYS_exit_group,
];

/// How long to wait for that. One that comes later is only taken for a stranger meanwhile.
const PATIENCE_NS: u64 = 1_000_000_000;

fn stack() -> Result<usize, Errno> {
    let known = STACK.load(Ordering::Relaxed);
    if known != 0 {
        return Ok(known);
    }
    let memory = reserve::lasting_memory(STACK_BYTES).ok_or(Errno(libc::ENOMEM))?;
    let start = memory.as_ptr().expose_provenance();
    STACK.store(start, Ordering::Relaxed);
    Ok(start)
}

/// A keeper that has been made, and may not have settled yet.
#[must_use = "until it has settled it is taken for a stranger"]
pub(crate) struct Keeper(());

/// Makes a keeper of the calling process's memory: a child of `parent`, who is the calling
/// process's own parent. It says by `link` itself that it is there, so that the supervisor
/// knows from the kernel which process it is. The link must be open until it has settled.
///
/// # Errors
/// EAGAIN, ENOMEM: there is no room for a task.
///
/// # Safety
/// The process must have no other keeper, and the calling thread must be the only one that
/// makes one.
pub(crate) unsafe fn begin<C: WithKeeper>(link: &Link<C>, parent: i32) -> Result<Keeper, Errno> {
    let stack = stack()?;
    // Its descriptors are shared for the moment until it has none: that copies none.
    const CLEAR_SIGHAND: u64 = 1 << 32;
    let flags = libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_PARENT;
    let arguments = CloneArguments {
        flags: u64::from(flags.cast_unsigned()) | CLEAR_SIGHAND,
        stack: stack as u64,
        stack_size: STACK_BYTES as u64,
        ..CloneArguments::default()
    };
    LINK.store(link.fd(), Ordering::Relaxed);
    SETTLED.store(STARTS, Ordering::Relaxed);
    // It inherits the mask.
    let open = sys::set_mask(SignalSet::ALL);
    // SAFETY: the stack is the keeper's alone, by the caller's promise.
    let answer = unsafe {
        arch::spawn_aside(
            (&raw const arguments).cast(),
            size_of::<CloneArguments>(),
            ptr::without_provenance_mut(usize::try_from(parent).unwrap_or(0)),
            sleep::<C>,
        )
    };
    sys::set_mask(open);
    let pid = i32::try_from(answer)
        .ok()
        .filter(|&pid| pid > 0)
        .ok_or(Errno(i32::try_from(-answer).unwrap_or(libc::EINVAL)))?;
    own_processes::add(pid);
    Ok(Keeper(()))
}

impl Keeper {
    /// Waits until it has settled. Until then it has the program's descriptors and its name,
    /// and the next take would find another process that has all of it.
    ///
    /// It may have given up, and ended: nobody hears it, or it can't do without its rights.
    pub(crate) fn settle(self) {
        let deadline_ns = sys::now_ns() + PATIENCE_NS;
        while SETTLED.load(Ordering::Acquire) == STARTS && sys::now_ns() < deadline_ns {
            sys::futex_wait(&SETTLED, STARTS, Some(PATIENCE_NS));
        }
        let _ = settle(IS_LATE);
    }
}

/// What comes of the keeper, if that is not settled; else what has.
fn settle(what: u32) -> Result<(), u32> {
    let settled = SETTLED.compare_exchange(STARTS, what, Ordering::AcqRel, Ordering::Acquire);
    sys::futex_wake(&SETTLED, i32::MAX);
    settled.map(drop)
}

fn give_up() -> ! {
    let _ = settle(GIVES_UP);
    sys::exit_group(0)
}

/// The keeper's life. It must not touch what it shares with the program, but for the word
/// that says that it has settled.
unsafe extern "C" fn sleep<C: WithKeeper>(parent: *mut c_void) -> ! {
    // One that the supervisor does not know would be a stranger.
    let said = Link::<C>::from_fd(LINK.load(Ordering::Relaxed)).say(C::KEEPER);
    if said.is_err() {
        give_up();
    }
    sys::close_all_descriptors();
    sys::set_parent_death_signal(libc::SIGKILL);
    if usize::try_from(sys::getppid()) != Ok(parent.addr()) {
        give_up();
    }
    // Out of the program's group and session, whose numbers the program may want back, and
    // out of its directory.
    sys::begin_session();
    sys::change_to_root_directory();
    sys::set_thread_name(*b"snap-keeper\0\0\0\0\0");
    if sys::allow_only::<8>(&CALLS).is_err() || settle(SLEEPS).is_err() {
        give_up();
    }
    loop {
        // Every signal is blocked: whichever comes is taken off and forgotten.
        sys::wait_for_any_signal();
    }
}
