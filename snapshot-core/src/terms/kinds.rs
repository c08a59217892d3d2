//! The kinds of objects behind descriptors, by their link in `/proc/PID/fd`, and the reasons
//! why one may not come back.
//!
//! The engine, which records them, and the launcher, which names them, share these, so that
//! both use the same words.
//!
//! Context: AS-SAFE.

/// A kind of kernel object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A pipe without a name.
    Pipe,
    /// A pipe with a name.
    Fifo,
    /// A socket.
    Socket,
    /// An interest list of epoll.
    Epoll,
    /// A counter.
    Eventfd,
    /// A timer.
    Timerfd,
    /// Signals to read.
    Signalfd,
    /// Watched files.
    Inotify,
    /// Memory with a descriptor.
    Memfd,
    /// A terminal, either end.
    Terminal,
    /// A process.
    Pidfd,
    /// A ring for asynchronous input and output.
    IoUring,
    /// A performance counter.
    Perf,
    /// Page faults to be handled.
    Userfaultfd,
    /// A graphics processor.
    Gpu,
    /// A virtual machine.
    Kvm,
    /// A character or block device without a state that matters, as `/dev/null`.
    Device,
    /// A context of `io_setup`; it has no descriptor.
    Aio,
    /// Memory that is mapped shared; it has no descriptor.
    SharedMemory,
    /// A lock on a file; it is no descriptor's own.
    Lock,
    /// Anything else.
    Other,
    /// System V semaphores; they have no descriptor.
    Semaphores,
    /// System V messages, which have no descriptor, or a POSIX message queue.
    MessageQueue,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 25] = [
        Self::File,
        Self::Directory,
        Self::Pipe,
        Self::Fifo,
        Self::Socket,
        Self::Epoll,
        Self::Eventfd,
        Self::Timerfd,
        Self::Signalfd,
        Self::Inotify,
        Self::Memfd,
        Self::Terminal,
        Self::Pidfd,
        Self::IoUring,
        Self::Perf,
        Self::Userfaultfd,
        Self::Gpu,
        Self::Kvm,
        Self::Device,
        Self::Aio,
        Self::SharedMemory,
        Self::Lock,
        Self::Other,
        Self::Semaphores,
        Self::MessageQueue,
    ];

    /// The kind of an object, by its link in `/proc/PID/fd` and its mode.
    pub fn of(target: &[u8], mode: u32) -> Self {
        if let Some(name) = target.strip_prefix(b"anon_inode:") {
            return match name {
                b"[eventpoll]" => Self::Epoll,
                b"[eventfd]" => Self::Eventfd,
                b"[timerfd]" => Self::Timerfd,
                b"[signalfd]" => Self::Signalfd,
                b"inotify" | b"[inotify]" => Self::Inotify,
                b"[pidfd]" => Self::Pidfd,
                b"[io_uring]" => Self::IoUring,
                b"[perf_event]" => Self::Perf,
                b"[userfaultfd]" => Self::Userfaultfd,
                name if name.starts_with(b"kvm-") => Self::Kvm,
                _ => Self::Other,
            };
        }
        match mode & libc::S_IFMT {
            libc::S_IFREG if target.starts_with(b"/memfd:") => Self::Memfd,
            // A file system of its own since Linux 6.9.
            libc::S_IFREG if target.starts_with(b"pidfd:") => Self::Pidfd,
            libc::S_IFREG => Self::File,
            libc::S_IFDIR => Self::Directory,
            libc::S_IFIFO if target.starts_with(b"pipe:") => Self::Pipe,
            libc::S_IFIFO => Self::Fifo,
            libc::S_IFSOCK => Self::Socket,
            libc::S_IFCHR if is_gpu(target) => Self::Gpu,
            libc::S_IFCHR if target == b"/dev/kvm" => Self::Kvm,
            libc::S_IFCHR if is_terminal(target) => Self::Terminal,
            libc::S_IFCHR | libc::S_IFBLK => Self::Device,
            // An anonymous inode has no type in its mode on older kernels.
            _ => Self::Other,
        }
    }

    /// Its name in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Pipe => "pipe",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Epoll => "epoll",
            Self::Eventfd => "eventfd",
            Self::Timerfd => "timerfd",
            Self::Signalfd => "signalfd",
            Self::Inotify => "inotify",
            Self::Memfd => "memfd",
            Self::Terminal => "terminal",
            Self::Pidfd => "pidfd",
            Self::IoUring => "io-uring",
            Self::Perf => "perf",
            Self::Userfaultfd => "userfaultfd",
            Self::Gpu => "gpu",
            Self::Kvm => "kvm",
            Self::Device => "device",
            Self::Aio => "aio",
            Self::SharedMemory => "shared-memory",
            Self::Lock => "lock",
            Self::Other => "other",
            Self::Semaphores => "semaphores",
            Self::MessageQueue => "message-queue",
        }
    }

    /// Back from its number.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

/// Whether the link to a regular file looks like a POSIX message queue's: their file system is
/// mounted nowhere, so its files are right below the root.
pub fn may_be_message_queue(target: &[u8]) -> bool {
    matches!(target, [b'/', name @ ..] if !name.contains(&b'/'))
}

fn is_gpu(target: &[u8]) -> bool {
    [&b"/dev/nvidia"[..], b"/dev/dri/", b"/dev/kfd"]
        .iter()
        .any(|prefix| target.starts_with(prefix))
}

fn is_terminal(target: &[u8]) -> bool {
    [
        &b"/dev/pts/"[..],
        b"/dev/tty",
        b"/dev/ptmx",
        b"/dev/console",
        b"/ptmx",
    ]
    .iter()
    .any(|prefix| target.starts_with(prefix))
}

/// Why something will not be as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Why {
    /// A file is open for writing, or mapped shared: its contents are not recorded.
    Contents,
    /// A socket is connected: what was sent and received stays so.
    Connected,
    /// Another process has it too, so it stays shared.
    Elsewhere,
    /// Another process has the other end.
    OtherEnd,
    /// Unread data in it can't be read without taking it.
    Waiting,
    /// The path of the watched file is unknown.
    NoPath,
    /// It belongs to the process that made it.
    Process,
    /// Its state is in hardware, or in a part of the kernel that gives no access to it.
    State,
    /// It is too large to be copied.
    Large,
    /// This system hides which descriptors are the same (`kcmp`).
    Hidden,
    /// The user has asked for files to be left alone.
    Unwanted,
    /// This many connections wait to be accepted.
    Backlog,
    /// This many unread bytes in it can't be recorded; the number may be unknown.
    Unread,
    /// It can't be made or opened again, so the snapshot holds it as well.
    Held,
    /// The names of a local connection's ends.
    Names,
    /// Another user, or other rights, made it: only they can make it again.
    Credentials,
    /// A filter that the kernel does not show.
    Filter,
    /// It has a pending error, which any look at its other data would take.
    Error,
    /// The program was started with it, for reading.
    Input,
    /// The program was started with it, for writing.
    Output,
    /// It is free for a moment during a revert, and is taken again.
    Retaken,
    /// The program ended while the copy was made, and took its unread data along.
    Ended,
}

impl Why {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 22] = [
        Self::Contents,
        Self::Connected,
        Self::Elsewhere,
        Self::OtherEnd,
        Self::Waiting,
        Self::NoPath,
        Self::Process,
        Self::State,
        Self::Large,
        Self::Hidden,
        Self::Unwanted,
        Self::Backlog,
        Self::Unread,
        Self::Held,
        Self::Names,
        Self::Credentials,
        Self::Filter,
        Self::Error,
        Self::Input,
        Self::Output,
        Self::Retaken,
        Self::Ended,
    ];

    /// Back from its number.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

/// Whether a device file with this mode and number is stateless: `/dev/null`, `/dev/urandom`
/// and their like.
pub const fn is_stateless_device(mode: u32, special: u64) -> bool {
    const MEMORY_DEVICES: u32 = 1;
    mode & libc::S_IFMT == libc::S_IFCHR && libc::major(special) == MEMORY_DEVICES
}

/// The object of a shared mapping, by its name in `/proc/PID/maps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nothing that can be opened: `MAP_SHARED | MAP_ANONYMOUS`, System V.
    Memory,
    /// A memfd.
    Memfd,
    /// A file, also one in `/dev/shm`.
    File,
    /// A context of `io_setup`.
    Aio,
}

impl Origin {
    /// `None` for a device's memory: its descriptor names it.
    pub fn of(path: &[u8]) -> Option<Self> {
        let begins_with = |start: &[u8]| path.starts_with(start);
        Some(
            if begins_with(b"/dev/zero") || begins_with(b"/SYSV") || begins_with(b"[anon_shmem") {
                Self::Memory
            } else if begins_with(b"/memfd:") {
                Self::Memfd
            } else if begins_with(b"/[aio]") {
                Self::Aio
            } else if begins_with(b"/") && (!begins_with(b"/dev/") || begins_with(b"/dev/shm/")) {
                Self::File
            } else {
                return None;
            },
        )
    }

    /// The most bytes of such memory that a take copies, to stay short.
    pub const fn most_copied(self) -> u64 {
        match self {
            Self::Memory | Self::Memfd => 512 << 20,
            Self::File => 64 << 20,
            Self::Aio => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn numbers_lead_back() {
        for (number, kind) in (0..).zip(Kind::ALL) {
            assert_eq!(kind as u8, number);
            assert_eq!(Kind::from_byte(number), Some(kind));
        }
        for (number, why) in (0..).zip(Why::ALL) {
            assert_eq!(why as u8, number);
            assert_eq!(Why::from_byte(number), Some(why));
        }
        assert_eq!(Kind::from_byte(25), None);
        assert_eq!(Why::from_byte(22), None);
    }

    fn of(file: &impl AsRawFd) -> Kind {
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        let target = std::fs::read_link(link).expect("it is open");
        let mode = crate::sys::fstat(file.as_raw_fd())
            .expect("it is open")
            .mode;
        Kind::of(target.as_os_str().as_bytes(), mode)
    }

    #[test]
    fn kinds_of_what_is_open() {
        assert_eq!(
            of(&std::fs::File::open("/proc/self/exe").expect("a file")),
            Kind::File
        );
        assert_eq!(
            of(&std::fs::File::open("/").expect("a directory")),
            Kind::Directory
        );
        assert_eq!(
            of(&std::fs::File::open("/dev/null").expect("a device")),
            Kind::Device
        );
        let (end, _other) = std::io::pipe().expect("a pipe");
        assert_eq!(of(&end), Kind::Pipe);
        let (end, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        assert_eq!(of(&end), Kind::Socket);
        assert_eq!(Kind::of(b"anon_inode:[eventpoll]", 0o600), Kind::Epoll);
        assert_eq!(Kind::of(b"anon_inode:inotify", 0o600), Kind::Inotify);
        assert_eq!(Kind::of(b"anon_inode:kvm-vm", 0o600), Kind::Kvm);
        assert_eq!(Kind::of(b"/dev/pts/3", libc::S_IFCHR), Kind::Terminal);
        assert_eq!(Kind::of(b"/memfd:a (deleted)", libc::S_IFREG), Kind::Memfd);
    }
}
