//! The kernel's texts in `/proc`, read: pure functions from bytes to values.
//!
//! They never fail in another way than by `None`: a kernel may have another format, and a
//! text may be cut off anywhere.
//!
//! Context: AS-SAFE.

use crate::sys::SignalSet;

/// What `/proc/PID/task/TID/syscall` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// On a processor, or about to be: nobody can tell.
    Running,
    /// Blocked, but in no system call.
    NoCall,
    /// Blocked in this call.
    Call(Call),
}

/// A system call that a thread is blocked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: i64,
    /// Its arguments, whether it has that many or not.
    pub arguments: [u64; 6],
    /// The thread's stack pointer.
    pub stack: u64,
    /// The address that the call returns to.
    pub program: u64,
}

fn decimal(text: &[u8]) -> Option<i64> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

fn hexadecimal(text: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(text).ok()?;
    u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

/// Reads `/proc/PID/task/TID/syscall`.
pub fn doing(text: &[u8]) -> Option<Doing> {
    let mut words = words(text);
    let first = words.next()?;
    if first == b"running" {
        return Some(Doing::Running);
    }
    let number = decimal(first)?;
    if number < 0 {
        return Some(Doing::NoCall);
    }
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = hexadecimal(words.next()?)?;
    }
    Some(Doing::Call(Call {
        number,
        arguments,
        stack: hexadecimal(words.next()?)?,
        program: hexadecimal(words.next()?)?,
    }))
}

/// The value of `name` in a text of lines `name: value`; `name` is given with its colon.
pub fn field<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    text.split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(name.as_bytes()))
        .map(<[u8]>::trim_ascii)
}

/// A number in hexadecimal digits.
pub fn hexadecimal_field(text: &[u8], name: &str) -> Option<u64> {
    hexadecimal(field(text, name)?)
}

/// A number in octal digits.
pub fn octal_field(text: &[u8], name: &str) -> Option<u64> {
    let text = core::str::from_utf8(field(text, name)?).ok()?;
    u64::from_str_radix(text, 8).ok()
}

/// What an epoll has registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// The descriptor that it is registered by.
    pub by: i32,
    /// EPOLL*
    pub events: u32,
    /// The program's own word for it.
    pub data: u64,
    /// Its file's device, as the kernel itself counts, and inode.
    pub file: Option<(u64, u64)>,
}

/// Reads a line of an epoll's `fdinfo`: `tfd: 5 events: 19 data: 5  pos:0 ino:61 sdev:7`.
pub fn interest(line: &[u8]) -> Option<Interest> {
    let mut words = words(line.strip_prefix(b"tfd:")?);
    let by = i32::try_from(decimal(words.next()?)?).ok()?;
    let mut value = |name: &[u8]| (words.next()? == name).then(|| words.next())?;
    let events = u32::try_from(hexadecimal(value(b"events:")?)?).ok()?;
    let data = hexadecimal(value(b"data:")?)?;
    let mut number = |name: &[u8]| {
        words
            .find_map(|word| word.strip_prefix(name))
            .and_then(hexadecimal)
    };
    let inode = number(b"ino:");
    let device = number(b"sdev:");
    Some(Interest {
        by,
        events,
        data,
        file: device.zip(inode),
    })
}

/// A watch of an inotify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// Its number.
    pub number: i32,
    /// The inode that is watched.
    pub inode: u64,
    /// The device that it is on, as the kernel itself counts: a minor number of 20 bits.
    pub device: u64,
    /// IN_*
    pub mask: u32,
}

/// Reads a line of an inotify's `fdinfo`: `inotify wd:3 ino:9e7e sdev:800013 mask:800afce`
/// and more.
pub fn watch(line: &[u8]) -> Option<Watch> {
    let mut words = words(line.strip_prefix(b"inotify ")?);
    let mut value = |name: &[u8]| hexadecimal(words.next()?.strip_prefix(name)?);
    Some(Watch {
        number: i32::try_from(value(b"wd:")?).ok()?,
        inode: value(b"ino:")?,
        device: value(b"sdev:")?,
        mask: u32::try_from(value(b"mask:")?).ok()?,
    })
}

/// Whose a lock is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// An open file description's, by `flock`.
    Flock,
    /// An open file description's, on a range.
    Description,
    /// A process's, on a range.
    Process,
    /// An open file description's lease: it is told of who else opens the file.
    Lease,
}

impl LockKind {
    const ALL: [Self; 4] = [Self::Flock, Self::Description, Self::Process, Self::Lease];

    /// The kernel's word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Flock => "FLOCK",
            Self::Description => "OFDLCK",
            Self::Process => "POSIX",
            Self::Lease => "LEASE",
        }
    }
}

/// A lock on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// Whose it is.
    pub kind: LockKind,
    /// Whether nobody else may have one.
    pub is_exclusive: bool,
    /// Its first byte.
    pub start: i64,
    /// How many bytes; 0 is to the end.
    pub length: i64,
}

/// Reads a line of `fdinfo`: `lock: 1: POSIX ADVISORY WRITE 71 08:01:123 0 EOF`.
pub fn lock(line: &[u8]) -> Option<Lock> {
    let mut words = words(line.strip_prefix(b"lock:")?).skip(1);
    let word = words.next()?;
    let kind = LockKind::ALL
        .into_iter()
        .find(|kind| kind.word().as_bytes() == word)?;
    let is_exclusive = words.nth(1)? == b"WRITE";
    let start = decimal(words.nth(2)?)?;
    let length = match words.next()? {
        b"EOF" => 0,
        end => decimal(end)?.checked_sub(start)?.checked_add(1)?,
    };
    Some(Lock {
        kind,
        is_exclusive,
        start,
        length,
    })
}

/// Memory that is mapped of a file, or of what the kernel takes for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMapping<'a> {
    /// Whether others see what is written.
    pub is_shared: bool,
    /// Where it is.
    pub range: Mapping,
    /// PROT_*
    pub protection: i32,
    /// Where in its file it begins.
    pub offset: u64,
    /// Of its file: major and minor.
    pub device: (u32, u32),
    /// Of its file.
    pub inode: u64,
    /// The name of its file.
    pub path: &'a [u8],
}

/// Reads a line of `/proc/PID/maps`: `7f00-7f01 rw-s 00001000 00:01 1058 /memfd:a (deleted)`;
/// `None` for a line that is none.
pub fn file_mapping(line: &[u8]) -> Option<FileMapping<'_>> {
    let range = mapping(line)?;
    let mut fields = line.splitn(6, |&byte| byte == b' ').skip(1);
    let rights: &[u8; 4] = fields.next()?.try_into().ok()?;
    let protection = [libc::PROT_READ, libc::PROT_WRITE, libc::PROT_EXEC]
        .into_iter()
        .zip(rights)
        .filter(|(_, right)| **right != b'-')
        .fold(libc::PROT_NONE, |all, (protection, _)| all | protection);
    let offset = hexadecimal(fields.next()?)?;
    let device = fields.next()?;
    let colon = device.iter().position(|&byte| byte == b':')?;
    let number = |text: Option<&[u8]>| u32::try_from(hexadecimal(text?)?).ok();
    Some(FileMapping {
        is_shared: rights[3] == b's',
        range,
        protection,
        offset,
        device: (
            number(device.get(..colon))?,
            number(device.get(colon + 1..))?,
        ),
        inode: u64::try_from(decimal(fields.next()?)?).ok()?,
        path: fields.next().unwrap_or(&[]).trim_ascii(),
    })
}

/// Every mapping in a whole `/proc/PID/maps`.
pub fn file_mappings(maps: &[u8]) -> impl Iterator<Item = FileMapping<'_>> {
    maps.split(|&byte| byte == b'\n').filter_map(file_mapping)
}

/// The same of memory that is mapped shared; `None` for any other.
pub fn shared_mapping(line: &[u8]) -> Option<FileMapping<'_>> {
    file_mapping(line).filter(|mapping| mapping.is_shared)
}

/// From `/proc/PID/status`: how many signals are queued, with what they carry, for all
/// processes of this user.
pub fn queued_signals(text: &[u8]) -> Option<i64> {
    decimal(field(text, "SigQ:")?.split(|&byte| byte == b'/').next()?)
}

/// A set of signals in `/proc/PID/status`: `SigBlk:`, `ShdPnd:` and so on.
pub fn signals(text: &[u8], name: &str) -> Option<SignalSet> {
    hexadecimal(field(text, name)?).map(SignalSet)
}

/// A number, which may be negative.
pub fn number(text: &[u8], name: &str) -> Option<i64> {
    decimal(field(text, name)?)
}

/// A number of kilobytes in `/proc/PID/status`: `VmLck:` and so on.
pub fn kilobytes(text: &[u8], name: &str) -> Option<u64> {
    let value = words(field(text, name)?).next()?;
    u64::try_from(decimal(value)?).ok()
}

/// How much memory a process has, by its `status`; 0 where that says nothing.
pub fn resident_bytes(status: &[u8]) -> u64 {
    kilobytes(status, "VmRSS:").unwrap_or(0) * 1024
}

/// What `/proc/PID/task/TID/stat` says, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// `R`, `S`, `D`, `T`, `t`, `Z`, ...
    pub state: u8,
    /// Its parent's number; 0 where the parent is outside of the namespace.
    pub parent: i32,
    /// The kernel's PF_* flags.
    pub flags: u64,
    /// The processor it was last on.
    pub processor: u32,
}

impl Stat {
    /// Whether it is a thread that the kernel has made in the program's stead, for
    /// io_uring or vhost: it has no code of the program to stop.
    pub fn is_kernel_worker(&self) -> bool {
        const PF_IO_WORKER: u64 = 0x10;
        const PF_USER_WORKER: u64 = 0x4000;
        self.flags & (PF_IO_WORKER | PF_USER_WORKER) != 0
    }
}

/// Reads `/proc/PID/task/TID/stat`. The name in it may contain anything, parentheses and
/// line feeds too: what counts begins after the last parenthesis.
pub fn stat(text: &[u8]) -> Option<Stat> {
    let end = text.iter().rposition(|&byte| byte == b')')?;
    let mut words = words(text.get(end + 1..)?);
    let state = *words.next()?.first()?;
    // Field 4 of the manual page; the state is field 3.
    let parent = i32::try_from(decimal(words.next()?)?).ok()?;
    // Field 9.
    let flags = u64::try_from(decimal(words.nth(4)?)?).ok()?;
    // Field 39.
    let processor = u32::try_from(decimal(words.nth(29)?)?).ok()?;
    Some(Stat {
        state,
        parent,
        flags,
        processor,
    })
}

/// `se.exec_start` in `/proc/PID/task/TID/sched`, in nanoseconds of its processor's clock:
/// when a sleeping thread was last on a processor.
pub fn last_ran_ns(text: &[u8]) -> Option<u64> {
    let value = scheduling(text, b"se.exec_start")?;
    let point = value.iter().position(|&byte| byte == b'.')?;
    let milliseconds = u64::try_from(decimal(value.get(..point)?)?).ok()?;
    let fraction = value.get(point + 1..)?;
    // Six digits of a millisecond are nanoseconds.
    if fraction.len() != 6 {
        return None;
    }
    let nanoseconds = u64::try_from(decimal(fraction)?).ok()?;
    milliseconds
        .checked_mul(1_000_000)?
        .checked_add(nanoseconds)
}

/// `se.avg.last_update_time` in `/proc/PID/task/TID/sched`, in nanoseconds of another clock of
/// its processor's: when a sleeping thread last took part in the processor's load.
pub fn last_loaded_ns(text: &[u8]) -> Option<u64> {
    u64::try_from(decimal(scheduling(text, b"se.avg.last_update_time")?)?).ok()
}

/// `nr_voluntary_switches` in `/proc/PID/task/TID/sched`: how often a thread has gone to sleep.
pub fn voluntary_switches(text: &[u8]) -> Option<u64> {
    u64::try_from(decimal(scheduling(text, b"nr_voluntary_switches")?)?).ok()
}

/// A value of `/proc/PID/task/TID/sched`.
fn scheduling<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let line = text
        .split(|&byte| byte == b'\n')
        .find(|line| line.starts_with(name))?;
    Some(line.rsplit(|&byte| byte == b':').next()?.trim_ascii())
}

/// The first number of `/proc/PID/statm`: the size of the address space, in pages.
pub fn address_space_pages(text: &[u8]) -> Option<u64> {
    u64::try_from(decimal(words(text).next()?)?).ok()
}

/// A timer of `/proc/PID/timers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    /// The kernel's id.
    pub id: i32,
    /// Which signal, and what it carries.
    pub signal: i32,
    /// What it carries.
    pub value: u64,
    /// SIGEV_SIGNAL, SIGEV_NONE, with SIGEV_THREAD_ID where a thread is named.
    pub notify: i32,
    /// The thread or process that is told.
    pub target: i32,
    /// CLOCK_*, or a negative number for a processor-time clock.
    pub clock: i32,
}

/// Reads `/proc/PID/timers`: four lines a timer, `ID:`, `signal: 34/00007ffc...`,
/// `notify: signal/pid.123`, `ClockID: 1`.
pub fn timers(text: &[u8]) -> impl Iterator<Item = Timer> {
    let mut lines = text.split(|&byte| byte == b'\n');
    core::iter::from_fn(move || {
        let id = loop {
            if let Some(id) = lines.next()?.strip_prefix(b"ID:") {
                break i32::try_from(decimal(id.trim_ascii())?).ok()?;
            }
        };
        let signal = lines.next()?.strip_prefix(b"signal:")?.trim_ascii();
        let slash = signal.iter().position(|&byte| byte == b'/')?;
        let notify = lines.next()?.strip_prefix(b"notify:")?.trim_ascii();
        let dot = notify.iter().rposition(|&byte| byte == b'.')?;
        let how = notify.get(..dot)?;
        let mut kind = match how.split(|&byte| byte == b'/').next()? {
            b"signal" => libc::SIGEV_SIGNAL,
            b"thread" => libc::SIGEV_THREAD,
            _ => libc::SIGEV_NONE,
        };
        if how.ends_with(b"/tid") {
            kind |= libc::SIGEV_THREAD_ID;
        }
        let clock = lines.next()?.strip_prefix(b"ClockID:")?.trim_ascii();
        Some(Timer {
            id,
            signal: i32::try_from(decimal(signal.get(..slash)?)?).ok()?,
            value: hexadecimal(signal.get(slash + 1..)?)?,
            notify: kind,
            target: i32::try_from(decimal(notify.get(dot + 1..)?)?).ok()?,
            clock: i32::try_from(decimal(clock)?).ok()?,
        })
    })
}

/// A line of `/proc/PID/maps`, or the first line of an entry of `smaps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// Its first address.
    pub start: usize,
    /// The first address behind it.
    pub end: usize,
}

/// Reads the first line of a mapping: `7f00-7f01 rw-p ...`; `None` for any other line.
pub fn mapping(line: &[u8]) -> Option<Mapping> {
    let range = line.split(|&byte| byte == b' ').next()?;
    let dash = range.iter().position(|&byte| byte == b'-')?;
    let start = usize::try_from(hexadecimal(range.get(..dash)?)?).ok()?;
    let end = usize::try_from(hexadecimal(range.get(dash + 1..)?)?).ok()?;
    (start < end).then_some(Mapping { start, end })
}

/// Whether a `VmFlags:` line of `smaps` has this two-letter flag.
pub fn has_flag(line: &[u8], flag: &[u8; 2]) -> bool {
    line.strip_prefix(b"VmFlags:")
        .is_some_and(|flags| words(flags).any(|word| word == flag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_blocked_call() {
        let text =
            b"232 0x5 0x7ffd5c1c6b50 0x400 0xffffffff 0x0 0x8 0x7ffd5c1c6b38 0x7f1e2b0f6d16\n";
        let Some(Doing::Call(call)) = doing(text) else {
            panic!("not a call");
        };
        assert_eq!(call.number, libc::SYS_epoll_wait);
        assert_eq!(call.arguments[3], 0xffff_ffff);
        assert_eq!(call.program, 0x7f1e_2b0f_6d16);
        assert_eq!(doing(b"running\n"), Some(Doing::Running));
        assert_eq!(doing(b"-1 0x7ffd 0x7f1e\n"), Some(Doing::NoCall));
        assert_eq!(doing(b"232 0x5"), None);
        assert_eq!(doing(b""), None);
    }

    #[test]
    fn fields_of_status() {
        let text = b"Name:\ta: b\nSigQ:\t3/96364\nVmLck:\t      64 kB\nSigBlk:\t0000000000010000\n";
        assert_eq!(kilobytes(text, "VmLck:"), Some(64));
        assert_eq!(queued_signals(text), Some(3));
        assert_eq!(signals(text, "SigBlk:"), Some(SignalSet::only(17)));
        assert_eq!(field(text, "Name:"), Some(&b"a: b"[..]));
        assert_eq!(signals(text, "SigIgn:"), None);
    }

    #[test]
    fn own_texts_are_understood() {
        let read = |name: &str| {
            std::fs::read(format!("/proc/thread-self/{name}")).expect("/proc is mounted")
        };
        let stat = stat(&read("stat")).expect("a stat");
        assert_eq!(stat.state, b'R');
        assert!(!stat.is_kernel_worker());
        // A thread that looks at itself is in the call that looks.
        let Some(Doing::Call(call)) = doing(&read("syscall")) else {
            panic!("it was reading");
        };
        assert_eq!(call.number, libc::SYS_read);
        assert!(address_space_pages(&read("statm")).expect("pages") > 100);
        assert!(last_ran_ns(&read("sched")).expect("a time") > 0);
        assert!(last_loaded_ns(&read("sched")).expect("a time") > 0);
        assert!(voluntary_switches(&read("sched")).is_some());
        let maps = read("maps");
        let mappings = maps.split(|&byte| byte == b'\n').filter_map(mapping);
        let here = own_texts_are_understood as *const () as usize;
        assert_eq!(
            mappings
                .filter(|mapping| (mapping.start..mapping.end).contains(&here))
                .count(),
            1
        );
    }

    #[test]
    fn a_name_with_parentheses() {
        let mut text = b"7 (a) R (b)\n) S 1 1 1 0 -1 4194560 0".to_vec();
        text.extend(std::iter::repeat_n(b" 0".as_slice(), 28).flatten());
        text.extend(b" 3 0 0");
        let stat = stat(&text).expect("a stat");
        assert_eq!(
            (stat.state, stat.flags, stat.processor),
            (b'S', 4_194_560, 3)
        );
    }

    #[test]
    fn timers_of_every_kind() {
        let text = b"ID: 2\nsignal: 34/0000000000001234\nnotify: signal/pid.71\nClockID: 0\n\
            ID: 5\nsignal: 32/00005581e4c0a2b0\nnotify: signal/tid.72\nClockID: -6\n\
            ID: 6\nsignal: 0/0000000000000000\nnotify: none/pid.71\nClockID: 1\n";
        let timers: Vec<Timer> = timers(text).collect();
        assert_eq!(timers.len(), 3);
        assert_eq!(
            (timers[0].id, timers[0].signal, timers[0].value),
            (2, 34, 0x1234)
        );
        assert_eq!(timers[1].notify, libc::SIGEV_SIGNAL | libc::SIGEV_THREAD_ID);
        assert_eq!((timers[1].target, timers[1].clock), (72, -6));
        assert_eq!(timers[2].notify, libc::SIGEV_NONE);
    }

    #[test]
    fn lines_of_fdinfo() {
        let line = b"tfd:        5 events:       19 data: ffffffff00000005  pos:0 ino:61af sdev:7";
        assert_eq!(
            interest(line),
            Some(Interest {
                by: 5,
                events: 0x19,
                data: 0xffff_ffff_0000_0005,
                file: Some((7, 0x61af)),
            })
        );
        let line = b"inotify wd:3 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 fhandle-bytes:8";
        let watch = watch(line).expect("a watch");
        assert_eq!(
            (watch.number, watch.inode, watch.mask),
            (3, 0x9e7e, 0x0800_afce)
        );
        let line = b"lock:\t1: POSIX  ADVISORY  WRITE 71 08:01:123 10 19";
        let read = lock(line).expect("a lock");
        assert_eq!((read.kind, read.is_exclusive), (LockKind::Process, true));
        assert_eq!((read.start, read.length), (10, 10));
        let line = b"lock:\t1: FLOCK  ADVISORY  READ 71 08:01:123 0 EOF";
        let read = lock(line).expect("a lock");
        assert_eq!((read.kind, read.length), (LockKind::Flock, 0));
        assert!(!read.is_exclusive);
        let line = b"lock:\t1: LEASE  ACTIVE    READ 71 08:01:123 0 EOF";
        let read = lock(line).expect("a lease");
        assert_eq!((read.kind, read.is_exclusive), (LockKind::Lease, false));
        assert_eq!(
            lock(b"lock:\t1: DELEG  ACTIVE    READ 71 08:01:123 0 EOF"),
            None
        );
        assert_eq!(
            hexadecimal_field(b"eventfd-count:               1f\n", "eventfd-count:"),
            Some(31)
        );
        assert_eq!(
            octal_field(b"settime flags: 03\n", "settime flags:"),
            Some(3)
        );
    }

    #[test]
    fn shared_mappings() {
        let line = b"7f00-7f02 r--s 00001000 00:01 1058                       /memfd:a b (deleted)";
        let found = shared_mapping(line).expect("it is shared");
        assert_eq!((found.offset, found.inode), (0x1000, 1058));
        assert_eq!((found.device, found.protection), ((0, 1), libc::PROT_READ));
        assert_eq!(found.path, b"/memfd:a b (deleted)");
        assert_eq!(
            shared_mapping(b"7f00-7f01 rw-p 00000000 00:00 0 [heap]"),
            None
        );
        assert_eq!(shared_mapping(b"7f00-7f01 rw-s"), None);
    }

    #[test]
    fn flags_of_a_mapping() {
        let line = b"VmFlags: rd wr mr mw me dc ac lo";
        assert!(has_flag(line, b"dc") && has_flag(line, b"lo"));
        assert!(!has_flag(line, b"lf") && !has_flag(b"Locked: lo", b"lo"));
    }

    proptest! {
        #[test]
        fn a_call_that_is_written_is_read(
            number in 0_i64..1000, arguments: [u64; 6], stack: u64, program: u64
        ) {
            let mut text = number.to_string();
            for value in arguments.iter().chain([&stack, &program]) {
                text.push_str(&format!(" {value:#x}"));
            }
            text.push('\n');
            prop_assert_eq!(
                doing(text.as_bytes()),
                Some(Doing::Call(Call { number, arguments, stack, program }))
            );
        }

        #[test]
        fn a_time_that_is_written_is_read(ns in 0_u64..1 << 60) {
            let text = format!(
                "x (1, #threads: 1)\n---\nse.exec_start    :    {}.{:06}\nse.vruntime : 1\n",
                ns / 1_000_000, ns % 1_000_000
            );
            prop_assert_eq!(last_ran_ns(text.as_bytes()), Some(ns));
        }

        #[test]
        fn noise_is_no_panic(noise in prop::collection::vec(any::<u8>(), 0..300)) {
            all_parsers(&noise);
        }

        #[test]
        fn a_text_cut_off_anywhere_is_no_panic(cut in 0_usize..400, flip in 0_usize..400, bit in 0_u8..8) {
            let mut text = b"ID: 2\nsignal: 34/0000000000001234\nnotify: signal/pid.71\nClockID: 0\n\
                7 (a) R (b)) S 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0\nSigBlk:\t0001\nVmLck: 64 kB\n\
                7f00-7f01 rw-p 0 0\nVmFlags: rd wr\nse.exec_start : 12.000001\n\
                232 0x5 0x7ffd5c1c6b50 0x400 0xffffffff 0x0 0x8 0x7ffd5c1c6b38 0x7f1e2b0f6d16\n".to_vec();
            text.truncate(cut);
            if let Some(byte) = text.get_mut(flip) {
                *byte ^= 1 << bit;
            }
            all_parsers(&text);
        }
    }

    fn all_parsers(text: &[u8]) {
        let _ = doing(text);
        let _ = stat(text);
        let _ = last_ran_ns(text);
        let _ = last_loaded_ns(text);
        let _ = voluntary_switches(text);
        let _ = address_space_pages(text);
        let _ = signals(text, "SigBlk:");
        let _ = kilobytes(text, "VmLck:");
        assert!(timers(text).count() <= text.len());
        for line in text.split(|&byte| byte == b'\n') {
            let _ = mapping(line);
            let _ = interest(line);
            let _ = watch(line);
            let _ = lock(line);
            let _ = shared_mapping(line);
            let _ = has_flag(line, b"lo");
        }
    }
}
