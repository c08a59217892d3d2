//! Calls that wait for a lock on a file.

use std::fs::{self, File};
use std::os::fd::{IntoRawFd, RawFd};
use std::time::Duration;

use super::children::child;
use crate::act::{Act, Given, endless};
use crate::note::Note;
use crate::outcome::{Outcome, call};
use crate::pipes::{pipe, wait_for_byte, write_byte};

fn lock_file(path: &str) -> RawFd {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    file.expect("the directory is writable").into_raw_fd()
}

pub fn flock(_: &Given) -> Act {
    let (holder, waiter) = (lock_file("flock"), lock_file("flock"));
    // SAFETY: takes numbers.
    unsafe { libc::flock(holder, libc::LOCK_EX) };
    let call = move |note: &Note| {
        note.begin();
        call!(libc::flock(waiter, libc::LOCK_EX))
    };
    endless(call, move || {
        // SAFETY: takes numbers.
        unsafe { libc::flock(holder, libc::LOCK_UN) };
    })
}

/// A record lock on the whole file.
fn record_lock(fd: RawFd) -> Outcome {
    let wanted = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).expect("a small number"),
        l_whence: i16::try_from(libc::SEEK_SET).expect("a small number"),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    call!(libc::fcntl(fd, libc::F_SETLKW, &raw const wanted))
}

pub fn fcntl_setlkw(_: &Given) -> Act {
    // Record locks belong to a process, so a child holds it. A branch never does.
    let fd = lock_file("record");
    let (near, far) = pipe();
    child(near, |near| {
        let held = record_lock(lock_file("record"));
        fs::write("held", held.text()).expect("the directory is writable");
        wait_for_byte(near);
    });
    while !fs::read_to_string("held").is_ok_and(|text| text == "0") {
        std::thread::sleep(Duration::from_millis(1));
    }
    let call = move |note: &Note| {
        note.begin();
        record_lock(fd)
    };
    endless(call, move || write_byte(far))
}
