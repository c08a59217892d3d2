//! Calls that wait for one of several descriptors: poll, select, epoll and their variants.

use std::os::fd::RawFd;
use std::ptr::{null, null_mut};

use crate::act::{Act, Given, endless, limited};
use crate::note::Note;
use crate::outcome::{Outcome, call};
use crate::pipes::{pipe, write_byte};
use crate::signals::every_signal;
use crate::time::{LIMIT_MS, LIMIT_SPEC};

pub fn poll_2000(_: &Given) -> Act {
    limited(|note| {
        note.begin();
        call!(libc::poll(null_mut(), 0, LIMIT_MS))
    })
}

pub fn poll_readable(note: &Note, fd: RawFd) -> Outcome {
    let mut wanted = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    note.begin();
    call!(libc::poll(&raw mut wanted, 1, -1))
}

pub fn poll_endless(_: &Given) -> Act {
    let (near, far) = pipe();
    endless(
        move |note| poll_readable(note, near),
        move || write_byte(far),
    )
}

pub fn ppoll(_: &Given) -> Act {
    limited(|note| {
        note.begin();
        call!(libc::ppoll(null_mut(), 0, &raw const LIMIT_SPEC, null()))
    })
}

pub fn ppoll_mask(_: &Given) -> Act {
    limited(|note| {
        let mask = every_signal();
        note.begin();
        call!(libc::ppoll(
            null_mut(),
            0,
            &raw const LIMIT_SPEC,
            &raw const mask
        ))
    })
}

pub fn select(_: &Given) -> Act {
    limited(|note| {
        let mut limit = libc::timeval {
            tv_sec: 2,
            tv_usec: 0,
        };
        note.begin();
        call!(libc::select(
            0,
            null_mut(),
            null_mut(),
            null_mut(),
            &raw mut limit
        ))
    })
}

pub fn pselect(_: &Given) -> Act {
    limited(|note| {
        note.begin();
        call!(libc::pselect(
            0,
            null_mut(),
            null_mut(),
            null_mut(),
            &raw const LIMIT_SPEC,
            null()
        ))
    })
}

/// An epoll set, and the descriptor that wakes it.
pub fn epoll() -> (RawFd, RawFd) {
    // SAFETY: takes a number.
    let set = unsafe { libc::epoll_create1(0) };
    let (near, far) = pipe();
    let mut wanted = libc::epoll_event {
        events: libc::EPOLLIN.cast_unsigned(),
        u64: 0,
    };
    // SAFETY: reads a live local.
    let done = unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, near, &raw mut wanted) };
    assert_eq!(done, 0, "a pipe can be waited for");
    (set, far)
}

fn epoll_wait(note: &Note, set: RawFd, limit: i32) -> Outcome {
    let mut happened = libc::epoll_event { events: 0, u64: 0 };
    note.begin();
    call!(libc::epoll_wait(set, &raw mut happened, 1, limit))
}

pub fn epoll_wait_2000(_: &Given) -> Act {
    let (set, _) = epoll();
    limited(move |note| epoll_wait(note, set, LIMIT_MS))
}

pub fn epoll_wait_endless(_: &Given) -> Act {
    let (set, far) = epoll();
    endless(
        move |note| epoll_wait(note, set, -1),
        move || write_byte(far),
    )
}

pub fn epoll_pwait(_: &Given) -> Act {
    let (set, _) = epoll();
    limited(move |note| {
        let mask = every_signal();
        let mut happened = libc::epoll_event { events: 0, u64: 0 };
        note.begin();
        call!(libc::epoll_pwait(
            set,
            &raw mut happened,
            1,
            LIMIT_MS,
            &raw const mask
        ))
    })
}

pub fn epoll_pwait2(_: &Given) -> Act {
    let (set, _) = epoll();
    limited(move |note| {
        let mut happened = libc::epoll_event { events: 0, u64: 0 };
        note.begin();
        call!(libc::syscall(
            libc::SYS_epoll_pwait2,
            set,
            &raw mut happened,
            1,
            &raw const LIMIT_SPEC,
            null::<libc::sigset_t>(),
            8_usize
        ))
    })
}
