//! Calls with a time limit that counts from their beginning. If such a call is issued again
//! after an interruption, it must get the time that was left.
//!
//! Absolute times need no care, and neither do calls whose time the kernel counts down in the
//! caller's memory (`select`, `ppoll`, `nanosleep` with a remainder).
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "keeps times where the kernel can read them")]

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::sys;
use crate::terms::Call;

/// A relative limit, and the argument that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Milliseconds; negative for none.
    Milliseconds(usize),
    /// The address of a `struct timespec`; null for none.
    Time(usize),
    /// SO_RCVTIMEO or SO_SNDTIMEO of the socket that is argument 0.
    Socket {
        /// Whether the call waits for data; else it waits for room.
        receives: bool,
    },
}

/// epoll_pwait2, which the libc crate does not name on every target.
pub(crate) const EPOLL_PWAIT2: i64 = 441;

const FUTEX_COMMANDS: u64 = 0x7f;

/// Clocks that run whatever the thread does.
const CLOCKS: [u64; 4] = [
    libc::CLOCK_REALTIME as u64,
    libc::CLOCK_MONOTONIC as u64,
    libc::CLOCK_BOOTTIME as u64,
    libc::CLOCK_TAI as u64,
];

/// The limit of a call, by its number and arguments alone.
pub(crate) fn of_call(number: i64, arguments: &[u64; 6]) -> Option<Limit> {
    let [a, b, _, d, ..] = *arguments;
    let limit = match number {
        libc::SYS_poll => Limit::Milliseconds(2),
        libc::SYS_epoll_wait | libc::SYS_epoll_pwait => Limit::Milliseconds(3),
        EPOLL_PWAIT2 | libc::SYS_semtimedop => Limit::Time(3),
        libc::SYS_rt_sigtimedwait => Limit::Time(2),
        libc::SYS_nanosleep if b == 0 => Limit::Time(0),
        libc::SYS_clock_nanosleep
            if d == 0 && b & libc::TIMER_ABSTIME as u64 == 0 && CLOCKS.contains(&a) =>
        {
            Limit::Time(2)
        }
        libc::SYS_futex if b & FUTEX_COMMANDS == libc::FUTEX_WAIT as u64 => Limit::Time(3),
        libc::SYS_read
        | libc::SYS_readv
        | libc::SYS_recvfrom
        | libc::SYS_recvmsg
        | libc::SYS_recvmmsg
        | libc::SYS_accept
        | libc::SYS_accept4 => Limit::Socket { receives: true },
        libc::SYS_write
        | libc::SYS_writev
        | libc::SYS_sendto
        | libc::SYS_sendmsg
        | libc::SYS_sendmmsg
        | libc::SYS_sendfile
        | libc::SYS_connect => Limit::Socket { receives: false },
        _ => return None,
    };
    let is_set = match limit {
        Limit::Milliseconds(index) => milliseconds(arguments[index]) > Some(0),
        Limit::Time(index) => arguments[index] != 0,
        Limit::Socket { .. } => true,
    };
    is_set.then_some(limit)
}

/// An argument that is an `int` of milliseconds; `None` if it is negative, which means no
/// limit.
pub(crate) fn milliseconds(argument: u64) -> Option<u64> {
    let milliseconds = (argument & 0xffff_ffff) as u32;
    i32::try_from(milliseconds)
        .ok()
        .map(|_| u64::from(milliseconds))
}

/// Whether a thread's blocked call has a limit that needs a second look.
pub fn has_relative(call: &Call) -> bool {
    match of_call(call.number, &call.arguments) {
        Some(Limit::Socket { receives }) => socket_limit_ns(call.arguments[0], receives).is_some(),
        other => other.is_some(),
    }
}

/// The time limit of a socket, if the descriptor is one and has one.
pub(crate) fn socket_limit_ns(fd: u64, receives: bool) -> Option<u64> {
    let fd = i32::try_from(fd).ok()?;
    sys::socket_time_limit(fd, receives).filter(|&limit| limit > 0)
}

const PLACES: usize = 2048;

/// Times for calls that are issued again. The kernel reads each once, as the call begins, right
/// after its thread has left our handler. An entry is used again 2,048 calls later.
struct Times([UnsafeCell<[i64; 2]>; PLACES]);

// SAFETY: the one thread that has drawn an entry's number writes it, and the kernel reads it
// for that thread.
unsafe impl Sync for Times {}

static TIMES: Times = Times([const { UnsafeCell::new([0; 2]) }; PLACES]);
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Puts a time where the kernel can read it, and returns the address of the `struct timespec`.
pub(crate) fn place_time(ns: u64) -> usize {
    let place = TIMES.0[NEXT.fetch_add(1, Ordering::Relaxed) % PLACES].get();
    let seconds = i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX);
    let rest = (ns % 1_000_000_000) as i64;
    // SAFETY: see `Times`.
    unsafe { place.write([seconds, rest]) };
    place.expose_provenance()
}

/// Reads a `struct timespec` of the program's.
pub(crate) fn read_time_ns(address: u64) -> Option<u64> {
    let mut bytes = [0; 16];
    sys::read_own_memory(usize::try_from(address).ok()?, &mut bytes).ok()?;
    let (seconds, rest) = bytes.split_first_chunk::<8>()?;
    let seconds = u64::try_from(i64::from_ne_bytes(*seconds)).ok()?;
    let (rest, _) = rest.split_first_chunk::<8>()?;
    let rest = u64::try_from(i64::from_ne_bytes(*rest)).ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_calls_have_a_limit() {
        let with = |number, index: usize, value: u64| {
            let mut arguments = [0; 6];
            arguments[index] = value;
            of_call(number, &arguments)
        };
        assert_eq!(with(libc::SYS_poll, 2, 2000), Some(Limit::Milliseconds(2)));
        assert_eq!(with(libc::SYS_poll, 2, 0xffff_ffff), None, "no limit");
        assert_eq!(with(libc::SYS_epoll_wait, 3, 0), None, "it does not block");
        assert_eq!(with(libc::SYS_futex, 3, 0x1000), Some(Limit::Time(3)));
        assert_eq!(with(libc::SYS_futex, 3, 0), None);
        let bitset = [0, libc::FUTEX_WAIT_BITSET as u64, 0, 0x1000, 0, 0];
        assert_eq!(of_call(libc::SYS_futex, &bitset), None, "absolute");
        assert_eq!(with(libc::SYS_nanosleep, 0, 0x1000), Some(Limit::Time(0)));
        let remainder = [0x1000, 0x1000, 0, 0, 0, 0];
        assert_eq!(of_call(libc::SYS_nanosleep, &remainder), None);
        let absolute = [1, libc::TIMER_ABSTIME as u64, 0x1000, 0, 0, 0];
        assert_eq!(of_call(libc::SYS_clock_nanosleep, &absolute), None);
        let of_processor = [3, 0, 0x1000, 0, 0, 0];
        assert_eq!(of_call(libc::SYS_clock_nanosleep, &of_processor), None);
        assert_eq!(with(libc::SYS_select, 4, 0x1000), None, "counted down");
    }

    #[test]
    fn a_time_is_where_it_was_put() {
        let address = place_time(3_000_000_005) as u64;
        assert_eq!(read_time_ns(address), Some(3_000_000_005));
        assert_ne!(place_time(1) as u64, address);
        assert_eq!(read_time_ns(8), None);
    }
}
