//! Faults: one call of a session fails, which the test chooses, or a process is slow.
//!
//! The session starts under a filter (seccomp). The kernel asks this process about each call
//! that can fail for lack of descriptors, processes or memory, whether the program makes it,
//! its copies, the supervisor or the launcher. All calls go on until the test makes one fail;
//! the dynamic loader's never fail. So a test can go through all calls of a take or a revert,
//! one by one.
//!
//! The kernel also asks about messages, so that a test can hold up a new process before its
//! first one, as a busy machine does. And it can hold a process up where it opens a file.
#![expect(unsafe_code, reason = "sets a filter and answers its questions")]

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

/// The calls that may fail, each with its error.
const CALLS: &[(i64, &str, i32)] = &[
    (libc::SYS_clone, "clone", libc::EAGAIN),
    (libc::SYS_clone3, "clone3", libc::EAGAIN),
    (libc::SYS_openat, "openat", libc::EMFILE),
    (libc::SYS_socket, "socket", libc::EMFILE),
    (libc::SYS_socketpair, "socketpair", libc::EMFILE),
    (libc::SYS_mmap, "mmap", libc::ENOMEM),
    (libc::SYS_dup3, "dup3", libc::EMFILE),
    (libc::SYS_pipe2, "pipe2", libc::EMFILE),
    (libc::SYS_memfd_create, "memfd_create", libc::EMFILE),
    (libc::SYS_pidfd_open, "pidfd_open", libc::EMFILE),
    (libc::SYS_signalfd4, "signalfd4", libc::EMFILE),
    (libc::SYS_epoll_create1, "epoll_create1", libc::EMFILE),
    (libc::SYS_eventfd2, "eventfd2", libc::EMFILE),
];

/// The call that sends messages, which never fails.
const SPEAK: i64 = libc::SYS_sendto;

/// A call that was made to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its name.
    pub call: &'static str,
    /// The name of the process that made it.
    pub process: String,
    /// The error it failed with.
    pub errno: i32,
}

impl Fault {
    /// The error in words.
    pub fn words(&self) -> String {
        io::Error::from_raw_os_error(self.errno).to_string()
    }
}

#[derive(Debug, Default)]
struct State {
    /// How many calls still go on before one fails; `None` if all go on.
    spared: Option<u64>,
    /// Whether all later ones fail too.
    for_good: bool,
    faults: Vec<Fault>,
    /// How long a process is held up before its first message.
    pause: Option<Duration>,
    /// The processes that have sent one.
    speakers: HashSet<u32>,
    opening: Option<Opening>,
}

/// A process that is held up, or will be, where it opens a file.
#[derive(Debug)]
struct Opening {
    path: String,
    /// Once it is held up: the number of the kernel's question, and where that was asked.
    held: Option<(u64, Arc<OwnedFd>)>,
}

/// Answers the questions about a session's calls.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<State>>);

impl Faults {
    /// Lets this many calls go on, and the next one fail.
    pub fn arm(&self, spared: u64) {
        *self.state() = State {
            spared: Some(spared),
            ..State::default()
        };
    }

    /// Lets this many calls go on, and all later ones fail.
    pub fn arm_for_good(&self, spared: u64) {
        *self.state() = State {
            spared: Some(spared),
            for_good: true,
            ..State::default()
        };
    }

    /// Holds every new process up this long before its first message.
    pub fn hold_up_newcomers(&self, pause: Duration) {
        self.state().pause = Some(pause);
    }

    /// Holds up whoever opens this file next, until [`Self::let_open`].
    pub fn hold_up_at(&self, path: String) {
        self.state().opening = Some(Opening { path, held: None });
    }

    /// Whether somebody is held up there.
    pub fn holds(&self) -> bool {
        let state = self.state();
        let opening = state.opening.as_ref();
        opening.is_some_and(|opening| opening.held.is_some())
    }

    /// Lets that process open the file.
    pub fn let_open(&self) {
        let opening = self.state().opening.take();
        if let Some((id, listener)) = opening.and_then(|opening| opening.held) {
            send_answer(&listener, &mut go_on(id));
        }
    }

    /// Lets no more calls fail; returns those that have.
    pub fn disarm(&self) -> Vec<Fault> {
        let mut state = self.state();
        state.spared = None;
        std::mem::take(&mut state.faults)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a command under the filter, which all its descendants inherit.
    pub(crate) fn watch(&self, command: &mut Command) {
        let (ours, theirs) = UnixDatagram::pair().expect("a pair of sockets");
        let faults = self.clone();
        let mut filter = filter();
        // SAFETY: the closure makes system calls only and touches memory of its own.
        unsafe {
            command.pre_exec(move || {
                let listener = set_filter(&mut filter)?;
                send(theirs.as_raw_fd(), listener)
            });
        }
        std::thread::spawn(move || {
            if let Some(listener) = receive(&ours) {
                drop(ours);
                faults.answer(&Arc::new(listener));
            }
        });
    }

    /// Answers until the last process under the filter has ended.
    fn answer(&self, listener: &Arc<OwnedFd>) {
        // From `linux/seccomp.h`; the libc crate has only parts of it.
        const RECEIVE: u64 = 0xc050_2100;
        loop {
            let mut poll = libc::pollfd {
                fd: listener.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one live structure.
            unsafe { libc::poll(&raw mut poll, 1, -1) };
            if poll.revents & libc::POLLHUP != 0 {
                return;
            }
            // SAFETY: all-zero is a valid notification, and the kernel asks for one.
            let mut question: libc::seccomp_notif = unsafe { MaybeUninit::zeroed().assume_init() };
            // SAFETY: the request writes one notification.
            let done = unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, &raw mut question) };
            if done != 0 {
                continue;
            }
            if self.holds_up(&question, listener) {
                continue;
            }
            let mut answer = go_on(question.id);
            if let Some(pause) = self.pause(&question) {
                let listener = Arc::clone(listener);
                std::thread::spawn(move || {
                    std::thread::sleep(pause);
                    send_answer(&listener, &mut answer);
                });
                continue;
            }
            if let Some(errno) = self.decide(&question) {
                answer.error = -errno;
                answer.flags = 0;
            }
            send_answer(listener, &mut answer);
        }
    }

    /// How long to hold the asking process up, if at all.
    fn pause(&self, question: &libc::seccomp_notif) -> Option<Duration> {
        let mut state = self.state();
        let is_first = i64::from(question.data.nr) == SPEAK && state.speakers.insert(question.pid);
        state.pause.filter(|_| is_first)
    }

    /// Whether the asking process is held up from now on.
    fn holds_up(&self, question: &libc::seccomp_notif, listener: &Arc<OwnedFd>) -> bool {
        let mut state = self.state();
        let Some(opening) = state.opening.as_mut() else {
            return false;
        };
        let holds = opening.held.is_none() && opens(question, &opening.path);
        if holds {
            opening.held = Some((question.id, Arc::clone(listener)));
        }
        holds
    }

    fn decide(&self, question: &libc::seccomp_notif) -> Option<i32> {
        let number = i64::from(question.data.nr);
        let &(_, call, errno) = CALLS.iter().find(|(call, _, _)| *call == number)?;
        let mut state = self.state();
        let spared = state.spared.as_mut()?;
        if *spared > 0 {
            *spared -= 1;
            return None;
        }
        if is_loaders(question) {
            return None;
        }
        if !state.for_good {
            state.spared = None;
        }
        let process = std::fs::read_to_string(format!("/proc/{}/comm", question.pid));
        state.faults.push(Fault {
            call,
            process: process.unwrap_or_default().trim().to_owned(),
            errno,
        });
        Some(errno)
    }
}

/// The answer that lets a call go on.
fn go_on(id: u64) -> libc::seccomp_notif_resp {
    libc::seccomp_notif_resp {
        id,
        val: 0,
        error: 0,
        flags: 1, // SECCOMP_USER_NOTIF_FLAG_CONTINUE
    }
}

/// Whether the call opens the file of this path.
fn opens(question: &libc::seccomp_notif, path: &str) -> bool {
    if i64::from(question.data.nr) != libc::SYS_openat {
        return false;
    }
    let mut bytes = vec![0; path.len() + 1];
    let memory = File::open(format!("/proc/{}/mem", question.pid));
    let read = memory.and_then(|memory| memory.read_exact_at(&mut bytes, question.data.args[1]));
    read.is_ok() && bytes.strip_suffix(&[0]) == Some(path.as_bytes())
}

/// Lets a call go on, or fail.
fn send_answer(listener: &OwnedFd, answer: &mut libc::seccomp_notif_resp) {
    const SEND: u64 = 0xc018_2101;
    // SAFETY: the request reads one answer; a process that has ended wants none.
    unsafe { libc::ioctl(listener.as_raw_fd(), SEND, std::ptr::from_mut(answer)) };
}

/// Whether the dynamic loader makes the call. If it lacks memory it ends its program by
/// SIGSEGV, with and without the tool.
fn is_loaders(question: &libc::seccomp_notif) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", question.pid));
    let address = question.data.instruction_pointer;
    let is_there = |line: &&str| {
        let range = line.split(' ').next().and_then(|range| {
            let (start, end) = range.split_once('-')?;
            let number = |text| u64::from_str_radix(text, 16).ok();
            Some(number(start)?..number(end)?)
        });
        range.is_some_and(|range| range.contains(&address))
    };
    maps.is_ok_and(|maps| {
        maps.lines()
            .find(is_there)
            .is_some_and(|line| line.contains("/ld-"))
    })
}

/// A filter that asks about these calls, and allows all others.
fn filter() -> Vec<libc::sock_filter> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let statement = |code, k, jt| libc::sock_filter {
        code: u16::try_from(code).expect("codes are small"),
        jt,
        jf: 0,
        k,
    };
    // The call's number is the first word of a filter's data.
    let mut filter = vec![statement(LOAD, 0, 0)];
    let asked_about: Vec<i64> = CALLS.iter().map(|call| call.0).chain([SPEAK]).collect();
    for (index, number) in asked_about.iter().enumerate() {
        let number = u32::try_from(*number).expect("numbers of calls are small");
        let to_the_end = u8::try_from(asked_about.len() - index).expect("the list is short");
        filter.push(statement(EQUAL, number, to_the_end));
    }
    filter.push(statement(RETURN, libc::SECCOMP_RET_ALLOW, 0));
    filter.push(statement(RETURN, libc::SECCOMP_RET_USER_NOTIF, 0));
    filter
}

/// Sets the filter, and returns the descriptor for its questions. Runs between fork and exec:
/// no allocation.
fn set_filter(filter: &mut [libc::sock_filter]) -> io::Result<RawFd> {
    // SAFETY: takes numbers. Only root may filter without it.
    if unsafe { libc::geteuid() } != 0 {
        // SAFETY: as above.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    }
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap_or(u16::MAX),
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: reads a live program.
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    if listener < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(RawFd::try_from(listener).unwrap_or(-1))
}

/// Sends a descriptor. Runs between fork and exec: no allocation.
fn send(socket: RawFd, fd: RawFd) -> io::Result<()> {
    #[repr(C)]
    struct Control {
        header: libc::cmsghdr,
        fd: RawFd,
    }
    let mut byte = 0_u8;
    let mut part = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    // SAFETY: all-zero is a valid header.
    let mut control: Control = unsafe { MaybeUninit::zeroed().assume_init() };
    control.header.cmsg_len = size_of::<libc::cmsghdr>() + size_of::<RawFd>();
    control.header.cmsg_level = libc::SOL_SOCKET;
    control.header.cmsg_type = libc::SCM_RIGHTS;
    control.fd = fd;
    // SAFETY: all-zero is a valid message.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<Control>();
    // SAFETY: everything that the message points at is alive.
    if unsafe { libc::sendmsg(socket, &raw const message, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn receive(socket: &UnixDatagram) -> Option<OwnedFd> {
    let mut byte = [0];
    let mut parts = [io::IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!(RawFd);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags).ok()?;
    let descriptors = message.cmsgs().ok()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    })?;
    let &fd = descriptors.first()?;
    // SAFETY: the kernel has just made it for us alone.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}
