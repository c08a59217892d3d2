//! The jumps at the entry of libc's functions, and what happens when one is taken.
//!
//! They are written in the program's first take and stay until an exec. Copies and forked
//! children have them, and the shared memory.
//!
//! Context: AS-SAFE, also in every write of the program. [`reserve`] is IN-PROCESS.
#![expect(unsafe_code, reason = "writes jumps, and reads the arguments of calls")]

use core::sync::atomic::{AtomicUsize, Ordering};

use super::descriptors;
use super::range::{Call, number};
use super::shared::{Shared, lies_at, shared};
use crate::arch::{self, Decision};
use crate::kernel::reserve::lasting_addresses;
use crate::process::own_memory;
use crate::sys::{self, Errno};
use crate::terms::guards;

/// How many functions can get a jump.
const MOST: usize = arch::MOST_JUMPS;
const PAGE: usize = 4096;
/// Their trampolines are in one page.
const _: () = assert!(MOST * arch::TRAMPOLINE <= PAGE);

/// The page for the trampolines, near libc; 0 if there is none.
static TRAMPOLINES: AtomicUsize = AtomicUsize::new(0);
/// The functions, and their kinds.
static FUNCTIONS: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];
static KINDS: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];

/// Remembers where libc's functions are, and reserves room near them. To be called once, before
/// the program's `main`: a new mapping in the middle of a take could land in a hole that the
/// program relies on. What libc lacks has the address 0.
pub fn reserve(functions: &[(Call, usize)]) {
    let Some(&(_, first)) = functions.first() else {
        return;
    };
    if functions.len() > MOST || first == 0 {
        return;
    }
    for ((slot, kind), (call, function)) in FUNCTIONS.iter().zip(&KINDS).zip(functions) {
        kind.store(*call as usize, Ordering::Relaxed);
        slot.store(*function, Ordering::Relaxed);
    }
    if let Some(page) = sys::map_page_near(first) {
        TRAMPOLINES.store(page, Ordering::Release);
    }
}

/// Writes the jumps, if that has not been done in this process's program. Returns a descriptor of
/// the memory to share with the journal then; whoever gets it closes it.
///
/// # Errors
/// ENOTSUP if libc's functions begin in an unknown way; EACCES, ENOMEM, EMFILE.
///
/// # Safety
/// No other thread may run.
pub(crate) unsafe fn begin() -> sys::Result<Option<i32>> {
    let page = TRAMPOLINES.swap(0, Ordering::Relaxed);
    if page == 0 {
        return Ok(None);
    }
    let unknown = Errno(libc::ENOTSUP);
    // A file beyond the program's limit would send it a signal.
    if !sys::may_have_length(guards::BYTES as u64) {
        return Err(unknown);
    }
    let fd = sys::memfd(c"cargo-snapshot-guards")?;
    let written = sys::set_length(fd, guards::BYTES as u64).and_then(|()| {
        let address = lasting_addresses(guards::BYTES).ok_or(Errno(libc::ENOMEM))?;
        // SAFETY: the addresses are reserved for this alone.
        unsafe { sys::map_over((address, guards::BYTES), libc::PROT_READ, true, fd, 0) }?;
        own_memory::keep_out(address);
        let mut entries = [None; MOST];
        for (entry, (function, kind)) in entries.iter_mut().zip(FUNCTIONS.iter().zip(&KINDS)) {
            let function = function.load(Ordering::Relaxed);
            if function != 0 {
                let kind = u8::try_from(kind.load(Ordering::Relaxed)).unwrap_or(u8::MAX);
                *entry = Some((arch::Entry::of(function).ok_or(unknown)?, kind));
            }
        }
        let places = (page..).step_by(arch::TRAMPOLINE);
        for ((entry, kind), place) in entries.iter().flatten().zip(places.clone()) {
            let code = entry.trampoline(place, address, *kind).ok_or(unknown)?;
            // SAFETY: the page is for this alone, and has room for all.
            unsafe { sys::write_own_memory(place, &code) }?;
        }
        sys::protect(page, PAGE, libc::PROT_READ | libc::PROT_EXEC)?;
        // SAFETY: it was mapped above.
        unsafe { lies_at(address) };
        arch::decide_by(decide);
        for ((entry, _), place) in entries.iter().flatten().zip(places) {
            let jump = entry.jump(place).ok_or(unknown)?;
            // SAFETY: no other thread runs, and none can be interrupted inside one instruction.
            unsafe { sys::write_code(entry.at, &jump) }?;
        }
        sys::synchronize_code();
        Ok(())
    });
    match written {
        Ok(()) => Ok(Some(fd)),
        Err(errno) => {
            sys::close(fd);
            Err(errno)
        }
    }
}

/// Decides on a call of a function that has a jump.
unsafe extern "C" fn decide(kind: u64, arguments: *const [usize; 6]) -> Decision {
    let (Some(call), Some(shared)) = (Call::of(kind), shared()) else {
        return Decision::GO_ON;
    };
    // SAFETY: the trampoline gives its caller's arguments.
    let arguments = unsafe { &*arguments };
    let failed = match call {
        Call::Close => {
            descriptors::forget(number(arguments[0]));
            return Decision::GO_ON;
        }
        Call::CloseRange => {
            descriptors::forget_all();
            return Decision::GO_ON;
        }
        Call::Duplicate | Call::Replace | Call::ReplaceWith => {
            match duplicate(shared, call, arguments) {
                None => return Decision::GO_ON,
                Some(Ok(fd)) => return Decision::done(fd.into()),
                Some(Err(errno)) => errno,
            }
        }
        _ => match shared.keep(call, arguments) {
            Ok(()) => return Decision::GO_ON,
            Err(errno) => errno,
        },
    };
    // SAFETY: has no precondition.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the address is this thread's own.
    unsafe { place.write(failed.0) };
    Decision::done(-1)
}

/// Makes a duplicate, if the original may be a guarded file.
fn duplicate(shared: &Shared, call: Call, arguments: &[usize; 6]) -> Option<sys::Result<i32>> {
    let &[fd, replaced, flags, ..] = arguments;
    let (number_of_call, used) = match call {
        Call::Duplicate => (libc::SYS_dup, [fd, 0, 0]),
        Call::Replace => (libc::SYS_dup2, [fd, replaced, 0]),
        _ => (libc::SYS_dup3, [fd, replaced, flags]),
    };
    (!shared.is_other(number(fd)))
        .then(|| descriptors::while_duplicating(|| sys::duplicate_of_program(number_of_call, used)))
}

/// For a call that has no jump, since it has a function before it: has the journal keep what
/// it is about to write over.
///
/// # Errors
/// What the call should fail with: the journal has no room to keep it.
pub fn before(call: Call, arguments: &[usize; 6]) -> sys::Result<()> {
    shared().map_or(Ok(()), |shared| shared.keep(call, arguments))
}
