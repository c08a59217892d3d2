//! `fdinfo`: a descriptor's object, and its locks.
//!
//! Context: AS-SAFE.

use super::words::{decimal, hexadecimal, words};

/// An interest that an epoll has registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// The descriptor that the interest is for.
    pub by: i32,
    /// EPOLL*
    pub events: u32,
    /// The program's data for it.
    pub data: u64,
    /// Its file's device, as the kernel counts, and inode.
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
    /// The watched inode.
    pub inode: u64,
    /// Its device, as the kernel counts: a minor number of 20 bits.
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

/// The owner and kind of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// An open file description's `flock`.
    Flock,
    /// An open file description's lock on a range.
    Description,
    /// A process's lock on a range.
    Process,
    /// An open file description's lease: the kernel signals it when another process opens the
    /// file.
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
    /// Its owner and kind.
    pub kind: LockKind,
    /// Whether it excludes all others.
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
