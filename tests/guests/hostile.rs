//! Guest: speaks to the session's supervisor itself, like hostile code in a program: it knows
//! the address, may have dropped its rights, and may say anything. One command a line, and an
//! answer to each, `ok ...` or `err ...`.
//!
//! A message is a verb and numbers of 32 bits. `link` is the conversation that the guest has
//! begun, `copy` the one that the supervisor has granted for a frozen copy.
#![expect(unsafe_code, reason = "speaks and makes processes as no library would")]

use std::ffi::CString;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::RawFd;

use snapshot_core::wire::{MESSAGE_BYTES, VERSION};

type Answer = Result<String, Box<dyn std::error::Error>>;

/// The answer if the supervisor has hung up.
const CLOSED: &str = "closed";

#[derive(Debug, Clone, Copy)]
struct Hostile {
    link: RawFd,
    copy: RawFd,
}

fn main() {
    // It can't be read any more without the rights.
    let address = address().expect("the agent has been told where to call");
    println!("ready {}", std::process::id());
    let mut hostile = Hostile { link: -1, copy: -1 };
    for line in std::io::stdin().lines() {
        let line = line.expect("stdin is text");
        let words: Vec<&str> = line.split_whitespace().collect();
        match hostile.obey(&address, &words) {
            Ok(answer) => println!("ok {answer}"),
            Err(why) => println!("err {why}"),
        }
    }
}

impl Hostile {
    fn obey(&mut self, address: &str, words: &[&str]) -> Answer {
        match *words {
            ["ping"] => Ok("pong".into()),
            ["drop"] => drop_rights(),
            ["call"] => {
                self.link = call(address)?;
                Ok(String::new())
            }
            ["hang", "up"] => {
                for fd in [&mut self.link, &mut self.copy] {
                    // SAFETY: the descriptor is this guest's own, or none.
                    unsafe { libc::close(*fd) };
                    *fd = -1;
                }
                Ok(String::new())
            }
            ["link", ref numbers @ ..] => say(self.link, numbers),
            ["copy", ref numbers @ ..] => say(self.copy, numbers),
            ["forge", sender, ref numbers @ ..] => {
                send_as(sender.parse()?, self.copy, &packet(numbers)?)
            }
            ["label", ref label @ ..] => send(self.link, &begin_with(&label.join(" "))),
            ["garbage", count] => {
                let noise = [0xa5_u8; MESSAGE_BYTES];
                repeat(count, || send(self.link, &noise))
            }
            ["flood", count, ref numbers @ ..] => repeat(count, || say(self.link, numbers)),
            // Calls that never send anything.
            ["calls", count] => {
                allow_many_descriptors();
                repeat(count, || call(address).map(|_| String::new()))
            }
            ["calls", count, ref numbers @ ..] => repeat(count, || {
                let link = call(address)?;
                let said = say(link, numbers);
                // SAFETY: the descriptor is this guest's own.
                unsafe { libc::close(link) };
                said
            }),
            ["hear"] => self.hear(),
            ["sibling", ..] => self.sibling(&words[1..].join(" ")),
            ["child", ref numbers @ ..] => self.child(address, numbers),
            ["leftover", name] => leftover(name),
            _ => Err(format!("no such command: {words:?}").into()),
        }
    }

    /// The verb of the next message; a descriptor with it is the copy's.
    fn hear(&mut self) -> Answer {
        let (verb, passed) = hear(self.link)?;
        if let Some(fd) = passed {
            self.copy = fd;
        }
        Ok(verb)
    }

    /// Makes another child of the supervisor's, which does these steps and then sleeps.
    fn sibling(self, steps: &str) -> Answer {
        let flags = libc::CLONE_PARENT | libc::SIGCHLD;
        match fork(flags)? {
            0 => {
                for step in steps.split(';') {
                    let words: Vec<&str> = step.split_whitespace().collect();
                    if self.step(&words).is_err() {
                        break;
                    }
                }
                sleep_for_ever()
            }
            pid => Ok(pid.to_string()),
        }
    }

    fn step(self, words: &[&str]) -> Answer {
        match *words {
            ["copy", ref numbers @ ..] => say(self.copy, numbers),
            ["own", verb] => say(self.copy, &[verb, &own_pid()]),
            ["hear"] => hear(self.copy).map(|(verb, _)| verb),
            ["flood", ref numbers @ ..] => loop {
                say(self.copy, numbers)?;
            },
            ["close"] => {
                // SAFETY: the descriptor is this guest's own.
                unsafe { libc::close(self.copy) };
                Ok(String::new())
            }
            // The other process has the link from then on.
            ["leave"] => match fork(libc::SIGCHLD)? {
                0 => sleep_for_ever(),
                _ => std::process::exit(0),
            },
            _ => Err("no such step".into()),
        }
    }

    /// The answer to a child that connects and sends this.
    fn child(self, address: &str, numbers: &[&str]) -> Answer {
        let (mut reader, mut writer) = std::io::pipe()?;
        let pid = fork(libc::SIGCHLD)?;
        if pid == 0 {
            let heard = call(address).and_then(|link| {
                say(link, numbers)?;
                hear(link)
            });
            let heard = heard.map_or_else(|why| why.to_string(), |(verb, _)| verb);
            let written = writer.write_all(heard.as_bytes());
            std::process::exit(i32::from(written.is_err()));
        }
        drop(writer);
        let mut heard = String::new();
        reader.read_to_string(&mut heard)?;
        // SAFETY: a status is not asked for.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        Ok(heard)
    }
}

fn allow_many_descriptors() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: writes one limit, a live local.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: reads one limit.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
}

/// A raw fork, of a process with one thread; 0 in the child.
fn fork(flags: i32) -> Result<i32, Box<dyn std::error::Error>> {
    // SAFETY: without a stack both sides go on here, each in memory of its own.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match i32::try_from(pid)? {
        -1 => Err(std::io::Error::last_os_error().into()),
        pid => Ok(pid),
    }
}

fn sleep_for_ever() -> ! {
    loop {
        // SAFETY: takes nothing.
        unsafe { libc::pause() };
    }
}

/// Leaves a child with this name, with ESC for each `%`.
fn leftover(name: &str) -> Answer {
    match fork(libc::SIGCHLD)? {
        0 => {
            let name = CString::new(name.replace('%', "\x1b"))?;
            // SAFETY: reads up to the NUL.
            unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
            sleep_for_ever()
        }
        pid => Ok(pid.to_string()),
    }
}

/// libc caches the parent's.
fn own_pid() -> String {
    // SAFETY: takes nothing.
    unsafe { libc::syscall(libc::SYS_getpid) }.to_string()
}

/// The supervisor's address, from the program's environment.
fn address() -> Option<String> {
    let environment = std::fs::read("/proc/self/environ").ok()?;
    let message = environment
        .split(|&byte| byte == 0)
        .find_map(|entry| entry.strip_prefix(b"CARGO_SNAPSHOT_AGENT="))?;
    let message = String::from_utf8(message.to_owned()).ok()?;
    Some(message.rsplit(',').next()?.to_owned())
}

/// Becomes `nobody`, for good.
fn drop_rights() -> Answer {
    const NOBODY: libc::uid_t = 65534;
    // SAFETY: an empty list has nothing to read.
    let mut done = unsafe { libc::setgroups(0, std::ptr::null()) };
    // SAFETY: takes numbers.
    done |= unsafe { libc::setresgid(NOBODY, NOBODY, NOBODY) };
    // SAFETY: as above.
    done |= unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) };
    if done != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(String::new())
}

/// How often it worked until the other side hung up.
fn repeat(count: &str, mut act: impl FnMut() -> Answer) -> Answer {
    let mut done = 0;
    for _ in 0..count.parse()? {
        if act()? == CLOSED {
            break;
        }
        done += 1;
    }
    Ok(done.to_string())
}

fn call(address: &str) -> Result<RawFd, Box<dyn std::error::Error>> {
    // SAFETY: takes numbers.
    let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0) };
    // SAFETY: all-zero is a valid address.
    let mut to: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    to.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX)?;
    for (place, &byte) in to.sun_path[1..].iter_mut().zip(address.as_bytes()) {
        *place = libc::c_char::try_from(byte)?;
    }
    let length = libc::socklen_t::try_from(3 + address.len())?;
    // SAFETY: reads the given number of address bytes.
    if fd < 0 || unsafe { libc::connect(fd, (&raw const to).cast(), length) } != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(fd)
}

/// Sends a verb, followed by these numbers.
fn say(fd: RawFd, numbers: &[&str]) -> Answer {
    send(fd, &packet(numbers)?)
}

/// The library's request for a snapshot with this label, with ESC for each `%` and a new line
/// for each `|`.
fn begin_with(label: &str) -> [u8; MESSAGE_BYTES] {
    let mut packet = [0_u8; MESSAGE_BYTES];
    let label = label.replace('%', "\x1b").replace('|', "\n");
    // Who asks, a number of four bytes, a time of eight, and the label's length.
    packet[..3].copy_from_slice(&[VERSION, 2, 1]);
    packet[15] = label.len().to_le_bytes()[0];
    packet[16..16 + label.len()].copy_from_slice(label.as_bytes());
    packet
}

fn packet(numbers: &[&str]) -> Result<[u8; MESSAGE_BYTES], Box<dyn std::error::Error>> {
    let [verb, numbers @ ..] = numbers else {
        return Err("no verb".into());
    };
    let mut packet = [0_u8; MESSAGE_BYTES];
    packet[0] = VERSION;
    packet[1] = verb.parse()?;
    for (place, number) in packet[2..].chunks_exact_mut(4).zip(numbers) {
        place.copy_from_slice(&number.parse::<i32>()?.to_le_bytes());
    }
    Ok(packet)
}

/// Sends it in another process's name, as root may.
fn send_as(pid: libc::pid_t, fd: RawFd, packet: &[u8]) -> Answer {
    let mut part = libc::iovec {
        iov_base: packet.as_ptr().cast_mut().cast(),
        iov_len: packet.len(),
    };
    // The length of the whole, the level and the kind, then pid, user and group.
    let kind = u64::try_from(libc::SCM_CREDENTIALS)? << 32;
    let level = u64::try_from(libc::SOL_SOCKET)?;
    let sender = u64::from(pid.cast_unsigned());
    let mut control = [28_u64, level | kind, sender, 0];
    // SAFETY: all-zero is a valid header.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    // SAFETY: the header names live locals with their sizes.
    if unsafe { libc::sendmsg(fd, &raw const header, libc::MSG_NOSIGNAL) } < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(String::new())
}

fn send(fd: RawFd, packet: &[u8]) -> Answer {
    // SAFETY: reads as many bytes as the packet has.
    let sent = unsafe { libc::send(fd, packet.as_ptr().cast(), packet.len(), libc::MSG_NOSIGNAL) };
    let error = std::io::Error::last_os_error();
    match (sent, error.kind()) {
        (0.., _) => Ok(String::new()),
        (_, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(CLOSED.to_owned()),
        _ => Err(error.into()),
    }
}

/// The verb of the next packet and its descriptor; `closed` at the end.
fn hear(fd: RawFd) -> Result<(String, Option<RawFd>), Box<dyn std::error::Error>> {
    let mut packet = [0_u8; MESSAGE_BYTES];
    let mut part = libc::iovec {
        iov_base: packet.as_mut_ptr().cast(),
        iov_len: packet.len(),
    };
    let mut control = [0_u64; 8];
    // SAFETY: all-zero is a valid header.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    // SAFETY: the header names live locals with their sizes.
    let length = unsafe { libc::recvmsg(fd, &raw mut header, 0) };
    if length < 0 {
        let error = std::io::Error::last_os_error();
        return match error.kind() {
            ErrorKind::ConnectionReset => Ok((CLOSED.to_owned(), None)),
            _ => Err(error.into()),
        };
    }
    if length == 0 {
        return Ok((CLOSED.to_owned(), None));
    }
    // A length of eight bytes, a level, a kind, and the descriptor.
    let passed = (header.msg_controllen > 16)
        .then(|| RawFd::try_from(control[2] & 0xffff_ffff))
        .transpose()?;
    Ok((packet[1].to_string(), passed))
}
