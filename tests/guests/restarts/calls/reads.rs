//! Calls that wait for data, or for a connection.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::ptr::null_mut;

use nix::sys::signal::SigSet;

use crate::act::{Act, Given, endless, limited};
use crate::note::Note;
use crate::outcome::{Outcome, call};
use crate::pipes::{pipe, write_byte};
use crate::time::LIMIT;

pub fn read(note: &Note, fd: RawFd) -> Outcome {
    let mut bytes = [0_u8; 512];
    note.begin();
    call!(libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()))
}

pub fn read_pipe(_: &Given) -> Act {
    let (near, far) = pipe();
    endless(move |note| read(note, near), move || write_byte(far))
}

pub fn read_pipe_all_blocked(_: &Given) -> Act {
    let (near, far) = pipe();
    let call = move |note: &Note| {
        SigSet::all().thread_block().expect("any mask is valid");
        read(note, near)
    };
    endless(call, move || write_byte(far))
}

fn sockets() -> (RawFd, RawFd) {
    let (near, far) = UnixStream::pair().expect("there are descriptors left");
    (near.into_raw_fd(), far.into_raw_fd())
}

pub fn read_socket(_: &Given) -> Act {
    let (near, far) = sockets();
    endless(move |note| read(note, near), move || write_byte(far))
}

fn receive(note: &Note, fd: RawFd) -> Outcome {
    let mut byte = 0_u8;
    note.begin();
    call!(libc::recv(fd, (&raw mut byte).cast(), 1, 0))
}

pub fn recv(_: &Given) -> Act {
    let (near, far) = sockets();
    endless(move |note| receive(note, near), move || write_byte(far))
}

pub fn recv_timeout(_: &Given) -> Act {
    let (near, far) = UnixStream::pair().expect("there are descriptors left");
    near.set_read_timeout(Some(LIMIT))
        .expect("a socket has one");
    limited(move |note| {
        let _kept_open = far;
        receive(note, near.as_raw_fd())
    })
}

pub fn accept(_: &Given) -> Act {
    let path = "listener.sock";
    let listener = UnixListener::bind(path).expect("the directory is writable");
    let fd = listener.into_raw_fd();
    let call = move |note: &Note| {
        note.begin();
        call!(libc::accept(fd, null_mut(), null_mut()))
    };
    endless(call, move || {
        UnixStream::connect(path).expect("somebody accepts");
    })
}

pub fn read_eventfd(_: &Given) -> Act {
    // SAFETY: takes numbers.
    let fd = unsafe { libc::eventfd(0, 0) };
    endless(
        move |note| read(note, fd),
        move || {
            // SAFETY: takes numbers.
            unsafe { libc::eventfd_write(fd, 1) };
        },
    )
}

pub fn read_timerfd(_: &Given) -> Act {
    // SAFETY: takes numbers.
    let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, 0) };
    endless(
        move |note| read(note, fd),
        move || {
            let soon = libc::itimerspec {
                it_interval: libc::timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                },
                it_value: libc::timespec {
                    tv_sec: 0,
                    tv_nsec: 1,
                },
            };
            // SAFETY: reads a live local.
            unsafe { libc::timerfd_settime(fd, 0, &raw const soon, null_mut()) };
        },
    )
}

pub fn read_inotify(_: &Given) -> Act {
    fs::create_dir("watched").expect("the directory is writable");
    // SAFETY: takes a number.
    let fd = unsafe { libc::inotify_init1(0) };
    // SAFETY: reads a constant text.
    unsafe { libc::inotify_add_watch(fd, c"watched".as_ptr(), libc::IN_CREATE) };
    endless(
        move |note| read(note, fd),
        || {
            File::create("watched/file").expect("the directory is writable");
        },
    )
}
