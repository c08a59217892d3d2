//! What the filter costs by which the kernel asks the journal, by call:
//! `cargo bench -p snapshot-tests --bench asked`.
//!
//! Two children make the same calls in turn, one with the filter and one without it, so that a
//! noisy moment of the machine meets both. This process answers every question with "go on".
#![expect(unsafe_code, reason = "forks, and answers the kernel")]

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{Read, Write};
use std::mem::zeroed;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Instant;

use nix::unistd::{ForkResult, fork, pipe};
use snapshot_core::process::listener;

const ROUNDS: usize = 61;
const CALLS: u32 = 2000;
const KINDS: [&str; 8] = [
    "getppid",
    "read",
    "write",
    "stat",
    "open to read",
    "fcntl F_GETFL",
    "lseek",
    "open to write, asked",
];

const RECEIVE: libc::c_ulong = 0xc050_2100;
const ANSWER: libc::c_ulong = 0xc018_2101;
/// SECCOMP_IOCTL_NOTIF_SET_FLAGS, and the flag for a wake-up on the same processor (Linux 6.6).
const SET_FLAGS: libc::c_ulong = 0x4008_2104;
const SYNCHRONOUS: libc::c_ulong = 1;

/// A child that measures what it is asked to.
struct Measured {
    orders: File,
    answers: File,
}

impl Measured {
    /// The child, and its number and descriptor of the listener if it has one.
    fn begin(path: &CStr, with_filter: bool) -> (Self, i32, i32) {
        let (orders_there, orders) = pipe().expect("there are pipes");
        let (answers, answers_there) = pipe().expect("there are pipes");
        // SAFETY: there is one thread.
        match unsafe { fork() }.expect("there is room for a process") {
            ForkResult::Child => {
                drop((orders, answers));
                // SAFETY: takes numbers.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                serve(orders_there.into(), answers_there.into(), path, with_filter);
            }
            ForkResult::Parent { child } => {
                let mut measured = Self {
                    orders: orders.into(),
                    answers: answers.into(),
                };
                let listener = i32::try_from(measured.answer()).expect("a descriptor");
                (measured, child.as_raw(), listener)
            }
        }
    }

    fn answer(&mut self) -> u64 {
        let mut number = [0; 8];
        self.answers
            .read_exact(&mut number)
            .expect("the child lives");
        u64::from_ne_bytes(number)
    }

    /// Nanoseconds for all calls of a kind.
    fn measure(&mut self, kind: usize) -> u64 {
        let kind = u8::try_from(kind).expect("there are few");
        self.orders.write_all(&[kind]).expect("the child lives");
        self.answer()
    }
}

fn serve(mut orders: File, mut answers: File, path: &CStr, with_filter: bool) -> ! {
    // SAFETY: a C string.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_RDWR) };
    let listener = if with_filter {
        listener::listen().expect("this kernel has filters").fd
    } else {
        0
    };
    let mut say = |number: u64| answers.write_all(&number.to_ne_bytes()).is_ok();
    say(u64::from(listener.unsigned_abs()));
    let mut kind = [0];
    while orders.read_exact(&mut kind).is_ok() {
        let begin = Instant::now();
        for _ in 0..CALLS {
            call(kind[0], file, path);
        }
        say(u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    std::process::exit(0)
}

fn call(kind: u8, file: i32, path: &CStr) {
    let mut bytes = [0_u8; 8];
    // SAFETY: all-zero is a valid `struct stat`.
    let mut stat: libc::stat = unsafe { zeroed() };
    let open = |flags| {
        // SAFETY: a C string.
        let fd = unsafe { libc::open(path.as_ptr(), flags) };
        // SAFETY: opened above, or -1.
        unsafe { libc::close(fd) };
    };
    match kind {
        // SAFETY: without arguments.
        0 => drop(unsafe { libc::getppid() }),
        // SAFETY: within the array.
        1 => drop(unsafe { libc::pread(file, bytes.as_mut_ptr().cast(), bytes.len(), 0) }),
        // SAFETY: as above.
        2 => drop(unsafe { libc::pwrite(file, bytes.as_ptr().cast(), bytes.len(), 0) }),
        // SAFETY: a C string, and one structure.
        3 => drop(unsafe { libc::stat(path.as_ptr(), &raw mut stat) }),
        4 => open(libc::O_RDONLY),
        // SAFETY: takes numbers.
        5 => drop(unsafe { libc::fcntl(file, libc::F_GETFL) }),
        // SAFETY: takes numbers.
        6 => drop(unsafe { libc::lseek(file, 0, libc::SEEK_CUR) }),
        _ => open(libc::O_WRONLY),
    }
}

/// The child's listener, here.
fn take_over(child: i32, listener: i32) -> OwnedFd {
    // SAFETY: takes numbers.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, child, 0) };
    // SAFETY: takes numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd, listener, 0) };
    let fd = i32::try_from(fd).expect("a descriptor");
    assert!(fd >= 0, "the child's descriptor is to be had");
    // SAFETY: the kernel has just made it for us alone.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Answers every question until nobody has the filter any more.
fn answer_all(listener: &OwnedFd) {
    let listener = std::os::fd::AsRawFd::as_raw_fd(listener);
    // SAFETY: takes numbers; older kernels refuse.
    unsafe { libc::ioctl(listener, SET_FLAGS, SYNCHRONOUS) };
    loop {
        let mut poll = libc::pollfd {
            fd: listener,
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one live structure.
        unsafe { libc::poll(&raw mut poll, 1, -1) };
        if poll.revents & libc::POLLIN == 0 {
            return;
        }
        // SAFETY: all-zero is a valid structure, and what the kernel wants.
        let mut question: libc::seccomp_notif = unsafe { zeroed() };
        // SAFETY: the kernel writes one structure.
        if unsafe { libc::ioctl(listener, RECEIVE, &raw mut question) } == 0 {
            let mut answer = libc::seccomp_notif_resp {
                id: question.id,
                val: 0,
                error: 0,
                flags: 1,
            };
            // SAFETY: reads one structure.
            unsafe { libc::ioctl(listener, ANSWER, &raw mut answer) };
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for a person")]
fn main() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(&[0; 4096]).expect("there is room");
    let path = CString::new(file.path().to_str().expect("UTF-8")).expect("no NUL");
    let (mut without, ..) = Measured::begin(&path, false);
    let (mut with, child, listener) = Measured::begin(&path, true);
    let listener = take_over(child, listener);
    std::thread::spawn(move || answer_all(&listener));
    println!("nanoseconds a call, medians of {ROUNDS} rounds, in turn\n");
    println!("| call | without | with | more | ratio |");
    println!("|---|---|---|---|---|");
    for (kind, name) in KINDS.into_iter().enumerate() {
        let mut rows: [Vec<u64>; 2] = Default::default();
        for _ in 0..ROUNDS {
            rows[0].push(without.measure(kind));
            rows[1].push(with.measure(kind));
        }
        let [without, with] = rows.map(|mut row| {
            row.sort_unstable();
            row[ROUNDS / 2] as f64 / f64::from(CALLS)
        });
        println!(
            "| {name} | {without:.0} | {with:.0} | {:+.1} | {:.2} |",
            with - without,
            with / without
        );
    }
}
