//! Functions by which a program closes descriptors. What a snapshot holds too, and another
//! process waits for the end of, is let go of by the snapshots first: a peer sees the end
//! of a connection, and a child that of its input, as without them. An exec closes what it
//! does not pass on.
//!
//! Without a snapshot that holds it, this costs a look at one word. What is closed by a raw
//! system call is not seen.
//!
//! Context: AS-SAFE, as far as libc's own are.

use core::ffi::{c_int, c_uint};

use libc::FILE;
use snapshot_core::objects;
use snapshot_core::sys::{self, SignalSet};
use snapshot_core::threads::turn::Conversation;
use snapshot_core::wire::{FromAgent, link::Link};

use crate::dispositions::{Real, real};
use crate::{filters, session};

/// A close, from before it until it is done. If snapshots hold what is closed, none is taken
/// meanwhile: it would hold that again. Only for a close that waits for its peer nobody waits.
struct Closing {
    /// The conversation with the supervisor, once there is a reason for one, and the signals
    /// that were blocked before it.
    begun: Option<(Conversation, SignalSet)>,
}

impl Closing {
    fn of(fd: c_int) -> Self {
        let mut closing = Self::of_none();
        closing.has(fd);
        closing
    }

    /// Of a descriptor that is to become another one's duplicate, if it will.
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
        // A child that the program has forked closes what is its own.
        if session::is_live() {
            objects::for_each_marked(first..=last, |fd| closing.has(fd));
        }
        closing
    }

    const fn of_none() -> Self {
        Self { begun: None }
    }

    /// This one too is about to be closed: has the snapshots let go.
    fn has(&mut self, fd: c_int) {
        if !objects::is_marked(fd) || filters::forbid_snapshots() || !session::is_live() {
            return;
        }
        if self.begun.is_none() {
            // A handler that takes a snapshot would wait for this conversation's end.
            let open = sys::block(SignalSet::PROGRAM);
            self.begun = Some((Conversation::begin(), open));
        }
        if let Some(closed) = objects::closing(fd)
            && let Ok(link) = Link::connect(session::name())
        {
            // Where nobody hears it, or answers, there are no snapshots any more.
            let _ = link
                .say(FromAgent::Closed(closed))
                .and_then(|()| link.hear());
            link.close();
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

/// Before the live process becomes another program: closes what that one does not get.
pub(crate) fn before_exec() {
    let mut closing = Closing::of_none();
    objects::for_each_marked(0..=c_uint::MAX, |fd| {
        if sys::is_closed_on_exec(fd) {
            closing.has(fd);
        }
    });
}

static CLOSE: Real = Real::new(c"close");
static DUP2: Real = Real::new(c"dup2");
static DUP3: Real = Real::new(c"dup3");
static FCLOSE: Real = Real::new(c"fclose");
static CLOSE_RANGE: Real = Real::new(c"close_range");

/// Looks libc's own up: a handler may call them.
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
            // What is still to be written goes before the end.
            // SAFETY: the caller's promise.
            unsafe { libc::fflush(stream) };
            closing.has(fd);
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
