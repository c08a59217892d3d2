//! One call that blocks in the middle of a transfer, until a signal or the other end ends it.

use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::gettid;

use crate::bytes::{LENGTH, PART, megabyte, wrong_bytes};
use crate::channel::Channel;
use crate::gives::write;
use crate::kind::{Call, Kind};

/// Interrupts a call.
pub const DUE: i32 = libc::SIGURG;

/// Counts looks of 5 ms, so that frozen time doesn't count.
const LOOKS: usize = 1600;

/// After this many looks the signal is sent again.
const LOOKS_UNTIL_AGAIN: usize = 100;

/// How often DUE's handler has run.
static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handle(_: i32) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

pub fn interrupting(signal: i32, flags: i32) {
    // SAFETY: all zero is a valid action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as extern "C" fn(i32) as usize;
    action.sa_flags = flags;
    // SAFETY: the handler counts, and no more.
    unsafe { libc::sigaction(signal, &raw const action, null_mut()) };
}

/// Only the thread with the call may get the signal, so the others block it.
pub fn mask_due(how: i32) {
    let mut set = SigSet::empty();
    set.add(Signal::SIGURG);
    // SAFETY: reads the set.
    unsafe { libc::pthread_sigmask(how, set.as_ref(), null_mut()) };
}

/// A call that blocks in the middle of a transfer.
pub struct Held {
    moved: Arc<AtomicI64>,
    thread: Arc<AtomicI32>,
    handle: JoinHandle<()>,
    channel: Channel,
}

/// The call has not returned.
const UNDER_WAY: i64 = i64::MIN;

fn look(mut is_so: impl FnMut() -> bool) -> bool {
    (0..LOOKS).any(|_| {
        let so = is_so();
        if !so {
            std::thread::sleep(Duration::from_millis(5));
        }
        so
    })
}

pub fn hold(kind: Kind) -> Option<Held> {
    let Call::Gives(call) = kind.call else {
        return None;
    };
    let channel = (kind.channel)();
    let moved = Arc::new(AtomicI64::new(UNDER_WAY));
    let thread = Arc::new(AtomicI32::new(0));
    let (outcome, tid) = (Arc::clone(&moved), Arc::clone(&thread));
    let writer = channel.writer.as_raw_fd();
    let handle = std::thread::spawn(move || {
        tid.store(gettid().as_raw(), Ordering::SeqCst);
        mask_due(libc::SIG_UNBLOCK);
        let moved = call(writer, megabyte()) as i64;
        let moved = if moved < 0 {
            -i64::from(Errno::last_raw())
        } else {
            moved
        };
        outcome.store(moved, Ordering::SeqCst);
    });
    let mut seen = 0;
    let is_blocked = look(|| {
        let tid = thread.load(Ordering::SeqCst);
        let path = format!("/proc/self/task/{tid}/syscall");
        let blocked = fs::read_to_string(path)
            .is_ok_and(|text| text.starts_with(|first: char| first.is_ascii_digit()));
        seen = if blocked { seen + 1 } else { 0 };
        // The bytes may still be on their way: the network takes a moment.
        seen > 3
    });
    is_blocked.then_some(Held {
        moved,
        thread,
        handle,
        channel,
    })
}

fn waiting(fd: RawFd) -> i32 {
    let mut waiting = 0;
    // SAFETY: writes an int.
    unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut waiting) };
    waiting
}

pub fn due(kind: Kind) -> Option<String> {
    let before = HANDLED.load(Ordering::SeqCst);
    let held = hold(kind)?;
    println!("blocked");
    let (mut looks, mut again) = (0, 0);
    let is_over = look(|| {
        looks += 1;
        if looks % LOOKS_UNTIL_AGAIN == 0 {
            again += 1;
            let tid = held.thread.load(Ordering::SeqCst);
            // SAFETY: takes numbers.
            unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), tid, DUE) };
        }
        held.moved.load(Ordering::SeqCst) != UNDER_WAY
    });
    if !is_over {
        return Some("never".into());
    }
    held.handle.join().ok()?;
    let waiting = waiting(held.channel.reader.as_raw_fd());
    let moved = held.moved.load(Ordering::SeqCst);
    let handled = HANDLED.load(Ordering::SeqCst) - before;
    Some(format!("{moved} {waiting} {handled} {again}"))
}

/// Reads everything that the call writes.
pub fn let_go(held: Held) -> String {
    let mut reader = fs::File::from(held.channel.reader);
    let mut buffer = vec![0; PART];
    let (mut position, mut wrong) = (0, 0);
    while position < LENGTH {
        let length = reader.read(&mut buffer).expect("it is written to");
        wrong += wrong_bytes(&buffer[..length], position);
        position += length;
    }
    held.handle.join().expect("it ends");
    format!("{} {wrong}", held.moved.load(Ordering::SeqCst))
}

/// Closes the other end.
pub fn close(held: Held, reset: bool) -> String {
    if reset {
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // SAFETY: reads the structure.
        unsafe {
            libc::setsockopt(
                held.channel.reader.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of::<libc::linger>() as u32,
            );
        }
    }
    drop(held.channel.reader);
    held.handle.join().expect("it ends");
    let moved = held.moved.load(Ordering::SeqCst);
    let part = if moved > 0 && moved < LENGTH as i64 {
        "part"
    } else {
        "other"
    };
    let writer = held.channel.writer.as_raw_fd();
    let errors = [(); 2].map(|()| match write(writer, b"x") {
        -1 => Errno::last(),
        _ => Errno::UnknownErrno,
    });
    format!("{part} {:?} {:?}", errors[0], errors[1])
}
