//! What open descriptors cost at a take and at a revert, by kind:
//! `cargo bench -p snapshot-tests --bench objects`.
//!
//! The bench runs itself as a program in a session, with so many of a kind, and measures
//! from inside, as `take_and_revert` does. What the same program costs without them is
//! taken off.
#![expect(unsafe_code, reason = "makes descriptors of every kind")]

#[path = "measured/figures.rs"]
mod figures;
#[path = "measured/itself.rs"]
mod itself;

use std::ffi::c_int;

use figures::Figures;
use itself::Part;
use snapshot_core::sys::now_ns;
use snapshot_core::{Arrival, revert, snapshot};

const ROUNDS: usize = 21;
const MANY: usize = 500;
const KINDS: [&str; 15] = [
    "file",
    "eventfd",
    "timerfd",
    "signalfd",
    "inotify",
    "epoll",
    "pipe",
    "full-pipe",
    "socketpair",
    "full-socketpair",
    "listener",
    "connection",
    "memfd-4K",
    "memfd-1M",
    "shared-1M",
];
/// Milliseconds that so many of all kinds may cost.
const TARGETS: [(usize, f64); 2] = [(20, 1.0), (2000, 40.0)];

const TAKE: usize = 0;
const REVERT: usize = 1;
const BEGUN: usize = 2;

fn main() {
    match itself::part() {
        Part::Measured(case) => {
            let (kind, count) = case.split_once(' ').expect("two words, set below");
            measure(kind, count.parse().expect("a number, set below"));
        }
        Part::Show => print_table(),
    }
}

/// Medians of take and revert, in milliseconds, with the quarters beside.
fn run(kind: &str, count: usize) -> [[f64; 3]; 2] {
    let rows: Vec<[u64; 2]> = itself::rows(&format!("{kind} {count}"), true, ROUNDS);
    [TAKE, REVERT].map(|which| {
        itself::quarters(rows.iter().map(|row| row[which]).collect()).map(milliseconds)
    })
}

#[expect(clippy::cast_precision_loss, reason = "figures for a person")]
fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "figures for a person")]
fn print_table() {
    let [take, back] = run("none", 0);
    println!(
        "Medians of {ROUNDS} rounds. Without any: take {:.2} ms, revert {:.2} ms.\n",
        take[1], back[1]
    );
    println!("| kind | descriptors | take, us each | revert, us each |");
    println!("|---|---|---|---|");
    for kind in KINDS {
        let count = match kind {
            "memfd-1M" | "shared-1M" => 20,
            // A user may have 128.
            "inotify" => 100,
            _ => MANY,
        };
        let [with, reverted] = run(kind, count);
        let fds = if is_pair(kind) { 2 * count } else { count };
        let each = |with: f64, without: f64| (with - without) * 1000.0 / fds as f64;
        println!(
            "| {kind} | {fds} | {:.1} | {:.1} |",
            each(with[1], take[1]),
            each(reverted[1], back[1]),
        );
    }
    println!("\n| all kinds | take + revert beyond none | target | met |");
    println!("|---|---|---|---|");
    for (count, target) in TARGETS {
        let [with, reverted] = run("all", count);
        let costs = with[1] - take[1] + reverted[1] - back[1];
        println!(
            "| {count} descriptors | {costs:.2} ms (take {:.2}..{:.2}, revert {:.2}..{:.2}) | {target} ms | {} |",
            with[0],
            with[2],
            reverted[0],
            reverted[2],
            if costs <= target { "yes" } else { "no" },
        );
    }
}

fn is_pair(kind: &str) -> bool {
    matches!(
        kind,
        "pipe" | "full-pipe" | "socketpair" | "full-socketpair" | "connection"
    )
}

fn measure(kind: &str, count: usize) {
    raise_limit();
    if kind == "all" {
        // A pair is two.
        let kinds = [
            "file",
            "eventfd",
            "timerfd",
            "epoll",
            "pipe",
            "socketpair",
            "signalfd",
            "listener",
        ];
        let mut made = 0;
        for kind in kinds.iter().cycle() {
            let fds = if is_pair(kind) { 2 } else { 1 };
            if made + fds > count {
                break;
            }
            make(kind);
            made += fds;
        }
    } else {
        for _ in 0..count {
            make(kind);
        }
    }
    let figures = Figures::given();
    for _ in 0..ROUNDS {
        figures.set(BEGUN, now_ns());
        match snapshot().expect("a program like this can be taken") {
            Arrival::Live(_) => {
                figures.set(TAKE, now_ns() - figures.get(BEGUN));
                figures.set(BEGUN, now_ns());
                let error = revert();
                panic!("{error:?}");
            }
            Arrival::Reverted(report) => {
                assert_eq!(report.not_restored, 0, "everything comes back");
                figures.set(REVERT, now_ns() - figures.get(BEGUN));
            }
        }
        println!("{} {}", figures.get(TAKE), figures.get(REVERT));
    }
}

fn raise_limit() {
    let limit = libc::rlimit {
        rlim_cur: 8192,
        rlim_max: 8192,
    };
    // SAFETY: reads one `struct rlimit`.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
}

/// One of that kind, which is never closed.
fn make(kind: &str) {
    let made = match kind {
        // SAFETY: a C string.
        "file" => unsafe { libc::open(c"/proc/self/exe".as_ptr(), libc::O_RDONLY) },
        // SAFETY: numbers only.
        "eventfd" => unsafe { libc::eventfd(1, 0) },
        // SAFETY: numbers only.
        "timerfd" => unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, 0) },
        "signalfd" => {
            let set = 0_u64;
            // SAFETY: a set of eight bytes is what the kernel takes.
            let fd = unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const set, 8, 0) };
            c_int::try_from(fd).unwrap_or(-1)
        }
        "inotify" => {
            // SAFETY: numbers only.
            let fd = unsafe { libc::inotify_init1(0) };
            // SAFETY: a C string.
            let watch = unsafe { libc::inotify_add_watch(fd, c"/".as_ptr(), libc::IN_CREATE) };
            assert_done(kind, watch);
            fd
        }
        "epoll" => {
            // SAFETY: numbers only.
            let fd = unsafe { libc::epoll_create1(0) };
            let mut event = libc::epoll_event {
                events: libc::EPOLLOUT.cast_unsigned(),
                u64: 0,
            };
            // SAFETY: an event of its own.
            let added = unsafe { libc::epoll_ctl(fd, libc::EPOLL_CTL_ADD, 1, &raw mut event) };
            assert_done(kind, added);
            fd
        }
        "pipe" | "full-pipe" => {
            let mut ends = [0; 2];
            // SAFETY: writes two descriptors.
            let made = unsafe { libc::pipe(ends.as_mut_ptr()) };
            assert_done(kind, made);
            if kind == "full-pipe" {
                write(ends[1], &[1; 4096]);
            }
            made
        }
        "socketpair" | "full-socketpair" => {
            let mut ends = [0; 2];
            // SAFETY: writes two descriptors.
            let made =
                unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, ends.as_mut_ptr()) };
            assert_done(kind, made);
            if kind == "full-socketpair" {
                write(ends[1], &[1; 4096]);
            }
            made
        }
        "listener" | "connection" => {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            if kind == "connection" {
                let address = listener.local_addr().expect("it is bound");
                std::mem::forget(std::net::TcpStream::connect(address).expect("it listens"));
                std::mem::forget(listener.accept().expect("somebody connects"));
            } else {
                std::mem::forget(listener);
            }
            0
        }
        "memfd-4K" => memfd(4096),
        "memfd-1M" => memfd(1 << 20),
        "shared-1M" => {
            let length = 1 << 20;
            // SAFETY: a new mapping touches no memory in use.
            let memory = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    length,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                )
            };
            assert_ne!(memory, libc::MAP_FAILED, "there is memory");
            // SAFETY: mapped just now.
            unsafe { memory.cast::<u8>().write_bytes(1, length) };
            0
        }
        _ => unreachable!("no such kind: {kind}"),
    };
    assert_done(kind, made);
}

/// Ends the bench, and names the kind, where its call has failed.
fn assert_done(kind: &str, answer: c_int) {
    assert!(answer >= 0, "{kind}: {}", std::io::Error::last_os_error());
}

fn write(fd: c_int, bytes: &[u8]) {
    // SAFETY: reads the bytes given.
    let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    let error = std::io::Error::last_os_error();
    assert_eq!(usize::try_from(written), Ok(bytes.len()), "{error}");
}

fn memfd(length: usize) -> c_int {
    // SAFETY: a C string.
    let fd = unsafe { libc::memfd_create(c"bench".as_ptr(), 0) };
    assert_done("memfd", fd);
    write(fd, &vec![1; length]);
    fd
}
