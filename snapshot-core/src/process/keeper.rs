//! The keeper: a task that shares a process's memory and only sleeps, so that the memory
//! outlives the process.
//!
//! The kernel needs longer to free gigabytes than a revert needs for everything else, and a
//! wait for a process's end includes that. With a keeper the process ends at once. Its memory
//! is freed after the program runs again: then the supervisor ends the keeper, at the lowest
//! priority.
//!
//! It is no thread of the program: it has its own process id, no descriptors, and all signals
//! but KILL blocked. It has the rights that the program had then. The program may have dropped
//! them since, and can write into the keeper's code and stack. So the keeper forbids itself all
//! system calls but those that it sleeps and ends by.
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

/// The start of the keeper's stack; 0 until it is mapped. A copy has no keeper, so there it is
/// free again.
static STACK: AtomicUsize = AtomicUsize::new(0);

/// The descriptor on which the keeper announces itself.
static LINK: AtomicI32 = AtomicI32::new(-1);

/// The keeper's state, which the keeper sets.
static SETTLED: AtomicU32 = AtomicU32::new(STARTS);
const STARTS: u32 = 0;
/// The keeper holds nothing but the memory.
const SLEEPS: u32 = 1;
/// The keeper ends: the supervisor is gone, or it can't give up its rights.
const GIVES_UP: u32 = 2;
/// The keeper is late, nobody waits any more, and it must end.
const IS_LATE: u32 = 3;

/// All the calls it needs once it has settled.
const CALLS: [i64; 3] = [
    libc::SYS_rt_sigtimedwait,
    libc::SYS_futex,
    libc::SYS_exit_group,
];

/// How long to wait for that. A later one only looks like a foreign process meanwhile.
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

/// A new keeper, which may not have settled yet.
#[must_use = "until it has settled it is taken for a stranger"]
pub(crate) struct Keeper(());

/// Makes a keeper of the calling process's memory: a child of `parent`, the calling process's
/// own parent. It announces itself on `link`, so that the kernel tells the supervisor which
/// process it is. The link must stay open until the keeper has settled.
///
/// # Errors
/// EAGAIN, ENOMEM: there is no room for a task.
///
/// # Safety
/// The process must have no other keeper, and the calling thread must be the only one that
/// makes one.
pub(crate) unsafe fn begin<C: WithKeeper>(link: &Link<C>, parent: i32) -> Result<Keeper, Errno> {
    let stack = stack()?;
    // It shares the descriptors until it closes its own table, so none is copied.
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
    /// Waits until the keeper has settled. Until then it has the program's descriptors and
    /// name, and the next take would find a foreign process that has them.
    ///
    /// It may have given up and ended: nobody listens, or it can't give up its rights.
    pub(crate) fn settle(self) {
        let deadline_ns = sys::now_ns() + PATIENCE_NS;
        while SETTLED.load(Ordering::Acquire) == STARTS && sys::now_ns() < deadline_ns {
            sys::futex_wait(&SETTLED, STARTS, Some(PATIENCE_NS));
        }
        let _ = settle(IS_LATE);
    }
}

/// Sets the keeper's state if it still starts; else returns the state.
fn settle(what: u32) -> Result<(), u32> {
    let settled = SETTLED.compare_exchange(STARTS, what, Ordering::AcqRel, Ordering::Acquire);
    sys::futex_wake(&SETTLED, i32::MAX);
    settled.map(drop)
}

fn give_up() -> ! {
    let _ = settle(GIVES_UP);
    sys::exit_group(0)
}

/// The keeper's life. Of the memory that it shares with the program it writes only the word of
/// its state.
unsafe extern "C" fn sleep<C: WithKeeper>(parent: *mut c_void) -> ! {
    // The supervisor must know it, or it would be a foreign process.
    let said = Link::<C>::from_fd(LINK.load(Ordering::Relaxed)).say(C::KEEPER);
    if said.is_err() {
        give_up();
    }
    sys::close_all_descriptors();
    sys::set_parent_death_signal(libc::SIGKILL);
    if usize::try_from(sys::getppid()) != Ok(parent.addr()) {
        give_up();
    }
    // It leaves the program's group and session, whose numbers the program may want back, and
    // its directory.
    sys::begin_session();
    sys::change_to_root_directory();
    sys::set_thread_name(*b"snap-keeper\0\0\0\0\0");
    if sys::allow_only::<8>(&CALLS).is_err() || settle(SLEEPS).is_err() {
        give_up();
    }
    loop {
        // Every signal is blocked; each that arrives is taken off and ignored.
        sys::wait_for_any_signal();
    }
}
