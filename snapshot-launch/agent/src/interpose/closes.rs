//! The functions by which a program closes descriptors.
//!
//! Another process may wait for the end of what is closed: a peer for the end of a connection,
//! a child for the end of its input. The snapshots hold it too, so they let go of it first.
//! Then the other process sees the end, as without them. An exec closes what it does not pass
//! on.
//!
//! If no snapshot holds the descriptor this costs a look at one word.
//!
//! Limits: a close by a raw system call is not seen.
//!
//! Context: AS-SAFE, as far as libc's own are.

use core::ffi::{c_int, c_uint};

use libc::FILE;
use snapshot_core::objects;
use snapshot_core::sys::{self, SignalSet};
use snapshot_core::threads::turn::Conversation;
use snapshot_core::wire::FromCaller;

use crate::real::{Real, real};
use crate::session;

/// A close, from before it until it is done. If snapshots hold what is closed, no snapshot is
/// taken meanwhile: it would hold that again. Takes don't wait for a close that waits for its
/// peer (SO_LINGER).
struct Closing {
    /// The conversation with the supervisor, if one was needed, and the signals that were
    /// blocked before it.
    begun: Option<(Conversation, SignalSet)>,
}

impl Closing {
    /// Of this descriptor.
    fn of(fd: c_int) -> Self {
        let mut closing = Self::of_none();
        closing.add(fd);
        closing
    }

    /// Of the descriptor `number`, which becomes a duplicate of `fd`, if `fd` is open.
    fn of_replaced(fd: c_int, number: c_int) -> Self {
        // In this order: a look is cheaper than a system call.
        if fd != number && objects::is_marked(number) && sys::status_flags(fd).is_ok() {
            return Self::of(number);
        }
        Self::of_none()
    }

    /// Of all in a range.
    fn of_all(first: c_uint, last: c_uint) -> Self {
        let mut closing = Self::of_none();
        // A forked child of the program closes only its own descriptors.
        if session::is_live() {
            objects::for_each_marked(first..=last, |fd| closing.add(fd));
        }
        closing
    }

    const fn of_none() -> Self {
        Self { begun: None }
    }

    /// Adds a descriptor that is about to be closed: has the snapshots let go of it.
    fn add(&mut self, fd: c_int) {
        if !objects::is_marked(fd) || session::forbids_snapshots() || !session::is_live() {
            return;
        }
        if self.begun.is_none() {
            // A handler that takes a snapshot would wait for the end of this conversation.
            let open = sys::block(SignalSet::PROGRAM);
            self.begun = Some((Conversation::begin(), open));
        }
        if let Some(closed) = objects::closing(fd) {
            // If the supervisor doesn't answer there are no snapshots any more.
            let _ = session::exchange(FromCaller::Closed(closed));
        }
        if sys::lingers(fd) {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some((conversation, open)) = self.begun.take() {
            drop(conversation);
            sys::set_mask(open);
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.end();
    }
}

/// Before the live process becomes another program: has the snapshots let go of what the new
/// program does not get.
pub(crate) fn before_exec() {
    let mut closing = Closing::of_none();
    objects::for_each_marked(0..=c_uint::MAX, |fd| {
        if sys::is_closed_on_exec(fd) {
            closing.add(fd);
        }
    });
}

static CLOSE: Real = Real::new(c"close");
static DUP2: Real = Real::new(c"dup2");
static DUP3: Real = Real::new(c"dup3");
static FCLOSE: Real = Real::new(c"fclose");
static CLOSE_RANGE: Real = Real::new(c"close_range");

/// Looks libc's functions up: a signal handler may call them.
pub(crate) fn begin() {
    for real in [&CLOSE, &DUP2, &DUP3, &FCLOSE, &CLOSE_RANGE] {
        real.address();
    }
}

/// close(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    let _closing = Closing::of(fd);
    real!(CLOSE: fn(c_int), fd)
}

/// dup2(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup2(fd: c_int, number: c_int) -> c_int {
    let _closing = Closing::of_replaced(fd, number);
    real!(DUP2: fn(c_int, c_int), fd, number)
}

/// dup3(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup3(fd: c_int, number: c_int, flags: c_int) -> c_int {
    let _closing = Closing::of_replaced(fd, number);
    real!(DUP3: fn(c_int, c_int, c_int), fd, number, flags)
}

/// fclose(3)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fclose(stream: *mut FILE) -> c_int {
    let mut closing = Closing::of_none();
    if !stream.is_null() {
        // SAFETY: the caller's promise.
        let fd = unsafe { libc::fileno(stream) };
        if objects::is_marked(fd) {
            // The buffer is written before the close. SAFETY: the caller's promise.
            unsafe { libc::fflush(stream) };
            closing.add(fd);
        }
    }
    real!(FCLOSE: fn(*mut FILE), stream)
}

/// close_range(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    let _closing = match flags {
        0 => Closing::of_all(first, last),
        _ => Closing::of_none(),
    };
    real!(CLOSE_RANGE: fn(c_uint, c_uint, c_int), first, last, flags)
}

/// closefrom(3)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn closefrom(first: c_int) {
    let first = c_uint::try_from(first).unwrap_or(0);
    // SAFETY: the caller's promise.
    unsafe { close_range(first, c_uint::MAX, 0) };
}
