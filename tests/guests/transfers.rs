//! Guest: large transfers by single calls, each of which moves all of it without the tool:
//! one thread makes the call, another one stands slowly at the other end.
//!
//! `start KIND` begins to transfer a megabyte again and again, `stop` ends it after the one
//! under way and answers `TRANSFERS SHORT WRONG`: how many there were, how many calls
//! came back with a part, how many bytes were not those that were sent. `count` says how
//! many there have been so far.
//!
//! `due KIND` makes a call that nobody reads from, says `blocked`, and answers `MOVED
//! WAITING HANDLED AGAIN`: what the call returned, how many bytes wait at the other end, how
//! often SIGURG's handler ran, and how often the guest had to send the signal again.
//!
//! `hold KIND` makes such a call and says `blocked`; `let KIND` reads everything and answers
//! `MOVED WRONG`; `close KIND` reads what is there, closes that end and answers what the
//! call returned and what another one of a byte then did.
//!
//! `transfers alone KIND` does it with no other thread, `FEW` times, into another process, and
//! then says `done SHORT`.
#![expect(unsafe_code, reason = "makes calls as a C program makes them")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "lengths of a megabyte, as C counts them"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::gettid;

/// How much one call moves.
const LENGTH: usize = 1 << 20;

/// What the other end reads or writes at once.
const PART: usize = 12_000;

/// Interrupts a call.
const DUE: i32 = libc::SIGURG;

/// In looks of 5 ms, which count no time spent frozen.
const LOOKS: usize = 1600;
const LOOKS_UNTIL_AGAIN: usize = 100;

/// The byte at a place: no two neighbours of the usual sizes are alike.
fn pattern(position: usize) -> u8 {
    (position % 251) as u8
}

fn megabyte() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| (0..LENGTH).map(pattern).collect())
}

fn wrong_bytes(bytes: &[u8], position: usize) -> usize {
    let is_wrong = |(index, byte): &(usize, &u8)| **byte != pattern((position + index) % LENGTH);
    bytes.iter().enumerate().filter(is_wrong).count()
}

/// A place to write into and one to read from.
struct Channel {
    writer: OwnedFd,
    reader: OwnedFd,
}

fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: made by the caller for this.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn pipe() -> Channel {
    let (reader, writer) = nix::unistd::pipe().expect("a pipe");
    Channel { writer, reader }
}

fn unix() -> Channel {
    let (writer, reader) = UnixStream::pair().expect("a pair");
    Channel {
        writer: writer.into(),
        reader: reader.into(),
    }
}

fn tcp() -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let writer = TcpStream::connect(address).expect("it listens");
    let (reader, _) = listener.accept().expect("it was connected to");
    // So that a megabyte fits in neither end.
    for (fd, option) in [
        (writer.as_raw_fd(), libc::SO_SNDBUF),
        (reader.as_raw_fd(), libc::SO_RCVBUF),
    ] {
        let bytes: i32 = 32 << 10;
        // SAFETY: reads an int.
        unsafe {
            libc::setsockopt(
                fd,
                libc::SOL_SOCKET,
                option,
                (&raw const bytes).cast(),
                size_of::<i32>() as u32,
            );
        }
    }
    Channel {
        writer: writer.into_raw_fd_owned(),
        reader: reader.into_raw_fd_owned(),
    }
}

trait IntoOwned {
    fn into_raw_fd_owned(self) -> OwnedFd;
}

impl<T: IntoRawFd> IntoOwned for T {
    fn into_raw_fd_owned(self) -> OwnedFd {
        owned(self.into_raw_fd())
    }
}

/// A terminal's program side, and its other side to read from.
fn pty() -> Channel {
    let pty = nix::pty::openpty(None, None).expect("a terminal");
    let mut raw = tcgetattr(&pty.slave).expect("a terminal has settings");
    cfmakeraw(&mut raw);
    tcsetattr(&pty.slave, SetArg::TCSANOW, &raw).expect("raw mode");
    Channel {
        writer: pty.slave,
        reader: pty.master,
    }
}

/// Parts of a buffer of uneven lengths.
fn parts(bytes: &[u8]) -> Vec<libc::iovec> {
    let mut rest = bytes;
    let mut parts = Vec::new();
    for number in 0.. {
        if rest.is_empty() {
            break;
        }
        let (part, after) = rest.split_at(rest.len().min(1000 + number * 7000));
        parts.push(libc::iovec {
            iov_base: part.as_ptr().cast_mut().cast(),
            iov_len: part.len(),
        });
        rest = after;
    }
    parts
}

fn message(parts: &[libc::iovec]) -> libc::msghdr {
    // SAFETY: all zero is a valid message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_ptr().cast_mut();
    message.msg_iovlen = parts.len();
    message
}

/// A file of a megabyte without a name.
fn file() -> OwnedFd {
    // SAFETY: a NUL-terminated name.
    let file = owned(unsafe { libc::memfd_create(c"megabyte".as_ptr(), libc::MFD_CLOEXEC) });
    let mut writer = fs::File::from(file);
    writer.write_all(megabyte()).expect("there is memory");
    writer.into()
}

/// A kind of transfer.
#[derive(Clone, Copy)]
struct Kind {
    channel: fn() -> Channel,
    /// One call; all bytes go, or are put into the buffer.
    call: Call,
}

#[derive(Clone, Copy)]
enum Call {
    /// From the beginning of these.
    Gives(fn(RawFd, &[u8]) -> isize),
    Gets(fn(RawFd, &mut [u8]) -> isize),
    /// Gets bytes that are no pattern, from nobody.
    GetsNoise(fn(&mut [u8]) -> isize),
}

fn write(fd: RawFd, bytes: &[u8]) -> isize {
    // SAFETY: reads the bytes.
    unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) }
}

/// By the program's `syscall` function.
fn write_by_number(fd: RawFd, bytes: &[u8]) -> isize {
    // SAFETY: reads the bytes.
    unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) as isize }
}

fn writev(fd: RawFd, bytes: &[u8]) -> isize {
    let parts = parts(bytes);
    // SAFETY: reads the parts.
    unsafe { libc::writev(fd, parts.as_ptr(), parts.len() as i32) }
}

fn send(fd: RawFd, bytes: &[u8]) -> isize {
    // SAFETY: reads the bytes.
    unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), 0) }
}

fn sendmsg(fd: RawFd, bytes: &[u8]) -> isize {
    let parts = parts(bytes);
    let message = message(&parts);
    // SAFETY: reads the parts.
    unsafe { libc::sendmsg(fd, &raw const message, 0) }
}

/// Three messages, of a third each.
fn sendmmsg(fd: RawFd, bytes: &[u8]) -> isize {
    let third = bytes.len().div_ceil(3);
    let parts: Vec<_> = bytes.chunks(third).map(parts).collect();
    let mut messages: Vec<_> = parts
        .iter()
        .map(|parts| libc::mmsghdr {
            msg_hdr: message(parts),
            msg_len: 0,
        })
        .collect();
    let count = messages.len() as u32;
    // SAFETY: reads the parts, writes the lengths.
    let sent = unsafe { libc::sendmmsg(fd, messages.as_mut_ptr(), count, 0) };
    if sent < 0 {
        return -1;
    }
    let sent = messages.iter().take(sent as usize);
    sent.map(|message| message.msg_len as isize).sum()
}

/// The last so many bytes of a file.
fn sendfile(fd: RawFd, bytes: &[u8]) -> isize {
    let file = file();
    let mut from = (LENGTH - bytes.len()) as i64;
    // SAFETY: reads and writes the offset.
    unsafe { libc::sendfile(fd, file.as_raw_fd(), &raw mut from, bytes.len()) }
}

/// A pipe with all of it in it.
fn splice(fd: RawFd, bytes: &[u8]) -> isize {
    let full = pipe();
    // SAFETY: takes numbers.
    unsafe { libc::fcntl(full.writer.as_raw_fd(), libc::F_SETPIPE_SZ, LENGTH) };
    assert_eq!(write(full.writer.as_raw_fd(), bytes), bytes.len() as isize);
    // SAFETY: without offsets.
    unsafe {
        libc::splice(
            full.reader.as_raw_fd(),
            null_mut(),
            fd,
            null_mut(),
            bytes.len(),
            0,
        )
    }
}

fn receive(fd: RawFd, bytes: &mut [u8]) -> isize {
    // SAFETY: writes into the buffer.
    unsafe {
        libc::recv(
            fd,
            bytes.as_mut_ptr().cast(),
            bytes.len(),
            libc::MSG_WAITALL,
        )
    }
}

fn receive_message(fd: RawFd, bytes: &mut [u8]) -> isize {
    let parts = parts(bytes);
    let mut message = message(&parts);
    // SAFETY: writes into the parts.
    unsafe { libc::recvmsg(fd, &raw mut message, libc::MSG_WAITALL) }
}

/// With room for what may come beside it.
fn receive_beside(fd: RawFd, bytes: &mut [u8]) -> isize {
    let parts = parts(bytes);
    let mut message = message(&parts);
    let mut control = [0_u64; 16];
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: writes into the parts.
    unsafe { libc::recvmsg(fd, &raw mut message, libc::MSG_WAITALL) }
}

/// Looks at all of a small part, and then takes it.
fn peek_and_receive(fd: RawFd, bytes: &mut [u8]) -> isize {
    let length = bytes.len().min(20_000);
    // SAFETY: writes into the buffer.
    let seen = unsafe {
        libc::recv(
            fd,
            bytes.as_mut_ptr().cast(),
            length,
            libc::MSG_WAITALL | libc::MSG_PEEK,
        )
    };
    if seen != length as isize {
        return seen;
    }
    let mut moved = 0;
    while moved < bytes.len() {
        let part = receive(fd, &mut bytes[moved..]);
        match usize::try_from(part) {
            Ok(part @ 1..) => moved += part,
            _ => break,
        }
    }
    moved as isize
}

fn random(bytes: &mut [u8]) -> isize {
    // SAFETY: writes into the buffer.
    unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) }
}

fn device(path: &str, bytes: &mut [u8]) -> isize {
    let device = fs::File::open(path).expect("it is there");
    // SAFETY: writes into the buffer.
    unsafe { libc::read(device.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) }
}

fn kind(name: &str) -> Option<Kind> {
    let (what, channel) = name.split_once('-')?;
    let channel = match channel {
        "pipe" => pipe,
        "unix" => unix,
        "tcp" => tcp,
        "pty" => pty,
        _ => return None,
    };
    let call = match what {
        "write" => Call::Gives(write),
        "number" => Call::Gives(write_by_number),
        "writev" => Call::Gives(writev),
        "send" => Call::Gives(send),
        "sendmsg" => Call::Gives(sendmsg),
        "sendmmsg" => Call::Gives(sendmmsg),
        "sendfile" => Call::Gives(sendfile),
        "splice" => Call::Gives(splice),
        "recv" => Call::Gets(receive),
        "recvmsg" => Call::Gets(receive_message),
        "beside" => Call::Gets(receive_beside),
        "getrandom" => Call::GetsNoise(random),
        "urandom" => Call::GetsNoise(|bytes| device("/dev/urandom", bytes)),
        "zero" => Call::GetsNoise(|bytes| device("/dev/zero", bytes)),
        "peek" => Call::Gets(peek_and_receive),
        _ => return None,
    };
    Some(Kind { channel, call })
}

#[derive(Default)]
struct Tally {
    is_over: AtomicBool,
    /// Nothing more will be written.
    is_written: AtomicBool,
    transfers: AtomicUsize,
    short: AtomicUsize,
    wrong: AtomicUsize,
}

struct Running {
    tally: Arc<Tally>,
    threads: Vec<JoinHandle<()>>,
}

fn slowly() {
    std::thread::sleep(Duration::from_micros(50));
}

/// Whether there is something to read. The end of what is written is said in memory, since
/// a terminal's end is not seen as long as a snapshot has it open.
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

/// All of it, by as many calls as it takes.
fn give_all(call: fn(RawFd, &[u8]) -> isize, fd: RawFd, tally: &Tally) {
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

fn start(kind: Kind) -> Running {
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

fn stop(running: Running) -> String {
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

/// How often DUE's handler has run.
static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handle(_: i32) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

fn interrupting(signal: i32, flags: i32) {
    // SAFETY: all zero is a valid action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as extern "C" fn(i32) as usize;
    action.sa_flags = flags;
    // SAFETY: the handler counts, and no more.
    unsafe { libc::sigaction(signal, &raw const action, null_mut()) };
}

/// It is to reach the thread with the call alone.
fn mask_due(how: i32) {
    let mut set = SigSet::empty();
    set.add(Signal::SIGURG);
    // SAFETY: reads the set.
    unsafe { libc::pthread_sigmask(how, set.as_ref(), null_mut()) };
}

/// A call that blocks with a part of it done.
struct Held {
    moved: Arc<AtomicI64>,
    thread: Arc<AtomicI32>,
    handle: JoinHandle<()>,
    channel: Channel,
}

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

fn hold(kind: Kind) -> Option<Held> {
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
        // Not on its way: what goes over the network takes a moment.
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

fn due(kind: Kind) -> Option<String> {
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
fn let_go(held: Held) -> String {
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
fn close(held: Held, reset: bool) -> String {
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

/// How many transfers there are without another thread.
const FEW: usize = 20;

/// In this thread, to a process that reads slowly.
fn alone(kind: Kind) {
    let Call::Gives(call) = kind.call else {
        return;
    };
    let Channel { writer, reader } = (kind.channel)();
    let own = std::env::current_exe().expect("it has a path");
    let mut other = Command::new(own)
        .arg("read")
        .stdin(reader)
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    println!("begun");
    let tally = Tally::default();
    for _ in 0..FEW {
        give_all(call, writer.as_raw_fd(), &tally);
    }
    println!("done {}", tally.short.load(Ordering::Relaxed));
    drop(writer);
    other.wait().expect("it is a child");
    // The session ends it: an exit would be a revert.
    let _ = std::io::stdin().read_line(&mut String::new());
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["alone", name] => {
            alone(kind(name).expect("a kind"));
            return;
        }
        ["read"] => {
            let mut buffer = vec![0; PART];
            while let Ok(1..) = std::io::stdin().read(&mut buffer) {
                slowly();
            }
            return;
        }
        _ => {}
    }
    interrupting(DUE, 0);
    mask_due(libc::SIG_BLOCK);
    // SAFETY: takes numbers.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    megabyte();
    let mut running = None;
    let mut held = None;
    for line in std::io::stdin().lines() {
        let line = line.expect("stdin is text");
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match *words {
            ["start", name] => kind(name).map(|kind| {
                running = Some(start(kind));
                String::new()
            }),
            ["count"] => running
                .as_ref()
                .map(|running| running.tally.transfers.load(Ordering::Relaxed).to_string()),
            ["stop"] => running.take().map(stop),
            ["due", name] => kind(name).and_then(due),
            ["hold", name] => kind(name).and_then(hold).map(|call| {
                held = Some(call);
                "blocked".into()
            }),
            ["let"] => held.take().map(let_go),
            ["close"] => held.take().map(|held| close(held, false)),
            ["reset"] => held.take().map(|held| close(held, true)),
            _ => None,
        };
        match answer {
            Some(answer) => println!("ok {answer}"),
            None => println!("err {line}"),
        }
    }
}
