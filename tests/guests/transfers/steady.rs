//! One transfer after the other, until it is stopped, with a slow thread at the other end.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::bytes::{LENGTH, PART, megabyte, wrong_bytes};
use crate::channel::Channel;
use crate::kind::{Call, Kind};

#[derive(Default)]
pub struct Tally {
    pub is_over: AtomicBool,
    /// Nothing more will be written.
    pub is_written: AtomicBool,
    pub transfers: AtomicUsize,
    pub short: AtomicUsize,
    pub wrong: AtomicUsize,
}

pub struct Running {
    pub tally: Arc<Tally>,
    pub threads: Vec<JoinHandle<()>>,
}

pub fn slowly() {
    std::thread::sleep(Duration::from_micros(50));
}

/// Whether there is something to read. A flag in memory tells when nothing more will be
/// written, since a snapshot that holds a terminal open hides its end.
fn has_more(fd: RawFd, tally: &Tally) -> bool {
    loop {
        let is_written = tally.is_written.load(Ordering::Acquire);
        let mut poll = libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one entry.
        if unsafe { libc::poll(&raw mut poll, 1, 50) } > 0 {
            return true;
        }
        if is_written {
            return false;
        }
    }
}

/// Reads until the end.
fn read_slowly(fd: OwnedFd, tally: &Tally) {
    let mut position = 0;
    let mut buffer = vec![0; PART];
    let mut reader = fs::File::from(fd);
    while has_more(reader.as_raw_fd(), tally) {
        let Ok(length @ 1..) = reader.read(&mut buffer) else {
            return;
        };
        let wrong = wrong_bytes(&buffer[..length], position);
        tally.wrong.fetch_add(wrong, Ordering::Relaxed);
        position += length;
        slowly();
    }
}

fn write_slowly(fd: OwnedFd, tally: &Tally) {
    let mut writer = fs::File::from(fd);
    while !tally.is_over.load(Ordering::Relaxed) {
        for part in megabyte().chunks(PART) {
            if writer.write_all(part).is_err() {
                return;
            }
            slowly();
        }
    }
}

/// All of it, in as many calls as needed.
pub fn give_all(call: fn(RawFd, &[u8]) -> isize, fd: RawFd, tally: &Tally) {
    let mut rest = megabyte();
    while !rest.is_empty() {
        let moved = usize::try_from(call(fd, rest)).expect("the other end is open");
        if moved < rest.len() {
            tally.short.fetch_add(1, Ordering::Relaxed);
        }
        rest = &rest[moved..];
    }
}

fn get_all(call: fn(RawFd, &mut [u8]) -> isize, fd: RawFd, tally: &Tally) -> bool {
    let mut buffer = vec![0; LENGTH];
    let mut position = 0;
    while position < LENGTH {
        let moved = usize::try_from(call(fd, &mut buffer[position..])).unwrap_or(0);
        if moved == 0 {
            return false;
        }
        if moved < LENGTH - position {
            tally.short.fetch_add(1, Ordering::Relaxed);
        }
        position += moved;
    }
    let wrong = wrong_bytes(&buffer, 0);
    tally.wrong.fetch_add(wrong, Ordering::Relaxed);
    true
}

pub fn start(kind: Kind) -> Running {
    let tally: Arc<Tally> = Arc::default();
    let Channel { writer, reader } = (kind.channel)();
    let (mine, other) = (Arc::clone(&tally), Arc::clone(&tally));
    let threads = match kind.call {
        Call::Gives(call) => vec![
            std::thread::spawn(move || {
                while !mine.is_over.load(Ordering::Relaxed) {
                    give_all(call, writer.as_raw_fd(), &mine);
                    mine.transfers.fetch_add(1, Ordering::Relaxed);
                }
                mine.is_written.store(true, Ordering::Release);
            }),
            std::thread::spawn(move || read_slowly(reader, &other)),
        ],
        Call::Gets(call) => vec![
            std::thread::spawn(move || {
                while get_all(call, reader.as_raw_fd(), &mine) {
                    mine.transfers.fetch_add(1, Ordering::Relaxed);
                }
            }),
            std::thread::spawn(move || write_slowly(writer, &other)),
        ],
        Call::GetsNoise(call) => vec![std::thread::spawn(move || {
            let mut buffer = vec![0; 16 * LENGTH];
            while !mine.is_over.load(Ordering::Relaxed) {
                if call(&mut buffer) < buffer.len() as isize {
                    mine.short.fetch_add(1, Ordering::Relaxed);
                }
                mine.transfers.fetch_add(1, Ordering::Relaxed);
            }
        })],
    };
    Running { tally, threads }
}

pub fn stop(running: Running) -> String {
    running.tally.is_over.store(true, Ordering::Relaxed);
    for thread in running.threads {
        thread.join().expect("it ends");
    }
    let [transfers, short, wrong] = [
        &running.tally.transfers,
        &running.tally.short,
        &running.tally.wrong,
    ]
    .map(|count| count.load(Ordering::Relaxed));
    format!("{transfers} {short} {wrong}")
}
