//! What the program wants to happen on the trigger and on SIGINT: a table that the program's
//! `sigaction` writes and reads.
//!
//! The kernel has the agent's handlers for these two ([`super::installed`]).
//!
//! Context: AS-SAFE.

use core::ffi::c_int;
use core::hint;
use core::mem;
use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

use snapshot_core::sys::{self, SignalSet};

use crate::session;

/// One signal's disposition as the program has set it.
#[derive(Clone, Copy)]
pub(crate) struct Disposition {
    pub(crate) handler: usize,
    pub(crate) flags: c_int,
    pub(crate) mask: u64,
}

impl Disposition {
    pub(super) const DEFAULT: Self = Self {
        handler: libc::SIG_DFL,
        flags: 0,
        mask: 0,
    };

    /// Whether it is a handler of the program's.
    pub(crate) fn is_handler(self) -> bool {
        self.handler != libc::SIG_DFL && self.handler != libc::SIG_IGN
    }

    pub(crate) fn from_libc(action: &libc::sigaction) -> Self {
        Self {
            handler: action.sa_sigaction,
            flags: action.sa_flags,
            // SAFETY: a `sigset_t` begins with the kernel's set of 64 bits.
            mask: unsafe { (&raw const action.sa_mask).cast::<u64>().read() },
        }
    }

    pub(crate) fn to_libc(self) -> libc::sigaction {
        // SAFETY: all-zero is a valid `struct sigaction`.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        action.sa_sigaction = self.handler;
        action.sa_flags = self.flags;
        // SAFETY: as above, for writing.
        unsafe { (&raw mut action.sa_mask).cast::<u64>().write(self.mask) };
        action
    }
}

/// One signal's disposition, for any thread to read while another writes it.
struct Slot {
    /// Odd during a write.
    version: AtomicU32,
    handler: AtomicUsize,
    flags: AtomicI32,
    mask: AtomicU64,
}

/// How often a reader looks again. A write may never end: in a child that another thread has
/// forked meanwhile. Then the reader takes what is there.
const LOOKS: u32 = 1000;

impl Slot {
    const fn new() -> Self {
        Self {
            version: AtomicU32::new(0),
            handler: AtomicUsize::new(libc::SIG_DFL),
            flags: AtomicI32::new(0),
            mask: AtomicU64::new(0),
        }
    }

    fn read(&self) -> Disposition {
        for _ in 0..LOOKS {
            // Acquire: what is read below is no older than this version.
            let before = self.version.load(Ordering::Acquire);
            let read = self.read_now();
            // The loads above are not moved behind the one below.
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && before == self.version.load(Ordering::Relaxed) {
                return read;
            }
            hint::spin_loop();
        }
        self.read_now()
    }

    fn read_now(&self) -> Disposition {
        Disposition {
            handler: self.handler.load(Ordering::Relaxed),
            flags: self.flags.load(Ordering::Relaxed),
            mask: self.mask.load(Ordering::Relaxed),
        }
    }

    /// One thread writes at a time; `WRITING` ensures that.
    fn write(&self, new: Disposition) {
        self.version.fetch_add(1, Ordering::AcqRel);
        self.handler.store(new.handler, Ordering::Relaxed);
        self.flags.store(new.flags, Ordering::Relaxed);
        self.mask.store(new.mask, Ordering::Relaxed);
        self.version.fetch_add(1, Ordering::Release);
    }
}

static TRIGGER: Slot = Slot::new();
static INTERRUPT: Slot = Slot::new();

/// Set while a thread exchanges a disposition, in the table and the kernel together.
static WRITING: AtomicBool = AtomicBool::new(false);

/// Runs a change of the dispositions while no other thread runs one.
pub(super) fn alone<T>(change: impl FnOnce() -> T) -> T {
    let open = sys::block(SignalSet::PROGRAM);
    let mut looks = 0;
    // Acquire and release: this thread sees the former holder's writes.
    while WRITING.swap(true, Ordering::Acquire) && looks < LOOKS {
        looks += 1;
        sys::yield_now();
    }
    let answer = change();
    WRITING.store(false, Ordering::Release);
    sys::set_mask(open);
    answer
}

fn slot(signal: c_int) -> Option<&'static Slot> {
    if signal == libc::SIGINT {
        Some(&INTERRUPT)
    } else if signal == session::trigger() {
        Some(&TRIGGER)
    } else {
        None
    }
}

/// Whether the table has this signal.
pub(super) fn has(signal: c_int) -> bool {
    slot(signal).is_some()
}

/// What the program wants on this signal.
pub(crate) fn wanted(signal: c_int) -> Disposition {
    slot(signal).map_or(Disposition::DEFAULT, Slot::read)
}

/// Sets it, if the table has the signal.
pub(super) fn set_wanted(signal: c_int, new: Disposition) {
    if let Some(slot) = slot(signal) {
        slot.write(new);
    }
}

/// Whether the program has a handler for one of the two that interrupts calls which the kernel
/// would restart otherwise.
pub(crate) fn interrupt_calls() -> bool {
    session::signals()
        .map(wanted)
        .iter()
        .any(|wanted| wanted.is_handler() && wanted.flags & libc::SA_RESTART == 0)
}
