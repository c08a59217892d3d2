//! An inode's properties: mode, owner, times, extended attributes (access lists are such),
//! flags. Kept before the first change, and put back last, because everything else changes
//! them.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::SystemTime;

use nix::fcntl::OFlag;
use nix::libc;
use serde::{Deserialize, Serialize};

use super::name::Name;
use crate::journal::stat::{Kind, Stat, Timestamp};
use crate::journal::sys;

/// The flags that a revert restores: immutable, append-only, no dump, compressed. `statx` and
/// the flags of an inode (`FS_*_FL`) have the same bits for them.
const FLAGS: u64 = 0x10 | 0x20 | 0x40 | 0x04;
/// Those of them that keep an inode from being changed at all.
const LOCKS: u64 = 0x10 | 0x20;

/// The kernel's clock for files may be a tick behind.
const TICK_NS: i128 = 20_000_000;

/// As they were.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Properties {
    mode: u32,
    uid: u32,
    gid: u32,
    accessed: Timestamp,
    modified: Timestamp,
    changed: Timestamp,
    flags: u64,
    /// `None` while this user may not read them.
    xattrs: Option<Vec<(Name, Name)>>,
    /// When they were read.
    kept_ns: i128,
}

/// A property that could not be put back.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) what: String,
    pub(crate) error: io::Error,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>, error: io::Error) -> Self {
        Self {
            what: what.into(),
            error,
        }
    }
}

impl Properties {
    /// Those of what `pin` holds.
    ///
    /// # Errors
    /// If its extended attributes can't be listed.
    pub(super) fn of(pin: BorrowedFd<'_>, stat: &Stat) -> io::Result<Self> {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Ok(Self {
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            accessed: stat.accessed,
            modified: stat.modified,
            changed: stat.changed,
            flags: stat.attributes & FLAGS,
            xattrs: xattrs_to_keep(pin, stat)?,
            kept_ns: since_1970.map_or(0, |time| i128::try_from(time.as_nanos()).unwrap_or(0)),
        })
    }

    /// Whether something was not to be read at the first touch.
    pub(super) fn are_incomplete(&self) -> bool {
        self.xattrs.is_none()
    }

    /// Tries once more: the program can't have changed them while nobody could read them.
    ///
    /// # Errors
    /// As above.
    pub(super) fn complete(&mut self, pin: BorrowedFd<'_>, now: &Stat) -> io::Result<()> {
        self.xattrs = xattrs_to_keep(pin, now)?;
        Ok(())
    }

    /// With the bits for the kind.
    pub(crate) fn mode(&self) -> u32 {
        self.mode
    }

    /// User and group.
    pub(crate) fn owner(&self) -> (u32, u32) {
        (self.uid, self.gid)
    }

    /// When its content had changed.
    pub(crate) fn modified(&self) -> Timestamp {
        self.modified
    }

    /// Whether the inode has certainly not been changed since, by any call. Its access time may
    /// have.
    pub(super) fn are_untouched(&self, now: &Stat) -> bool {
        let changed =
            i128::from(self.changed.seconds) * 1_000_000_000 + i128::from(self.changed.nanoseconds);
        self.changed == now.changed && changed + TICK_NS < self.kept_ns
    }

    /// Lifts what keeps the inode from being changed, if it wasn't so.
    pub(super) fn unlock(&self, pin: BorrowedFd<'_>, now: &Stat) -> Result<(), Failure> {
        let locks = now.attributes & LOCKS & !self.flags;
        if locks == 0 {
            return Ok(());
        }
        change_flags(pin, 0, locks).map_err(|error| Failure::new("clear its flags", error))
    }

    /// Puts them back, as far as they differ. `now` is from before anything was put back.
    pub(super) fn restore(&self, pin: BorrowedFd<'_>, kind: Kind) -> Vec<Failure> {
        let mut failures = Vec::new();
        let mut note = |what: &str, result: io::Result<()>| {
            failures.extend(result.err().map(|error| Failure::new(what, error)));
        };
        let now = match Stat::of_fd(pin) {
            Ok(now) => now,
            Err(error) => return vec![Failure::new("look at it", error)],
        };
        let mut changed = false;
        if (now.uid, now.gid) != (self.uid, self.gid) {
            changed = true;
            note("set its owner", sys::set_owner(pin, self.uid, self.gid));
        }
        if !self.are_untouched(&now) {
            changed |= self.restore_xattrs(pin, &mut note);
        }
        // An access list changes the mode, and a new owner takes away bits of it. A symbolic
        // link's permissions can't be set.
        let mode = Stat::of_fd(pin).map_or(now.mode, |stat| stat.mode);
        if kind != Kind::Symlink && (changed || mode != self.mode) {
            changed = true;
            note(
                "set its permissions",
                sys::set_mode(pin, self.mode & 0o7777),
            );
        }
        if changed || (now.accessed, now.modified) != (self.accessed, self.modified) {
            note(
                "set its times",
                sys::set_times(pin, self.accessed, self.modified),
            );
        }
        let (set, clear) = (
            self.flags & !now.attributes,
            now.attributes & !self.flags & FLAGS,
        );
        if set | clear != 0 {
            note("set its flags", change_flags(pin, set, clear));
        }
        failures
    }

    fn restore_xattrs(
        &self,
        pin: BorrowedFd<'_>,
        note: &mut impl FnMut(&str, io::Result<()>),
    ) -> bool {
        let Some(was) = &self.xattrs else {
            return false;
        };
        let now = match readable_xattrs(pin) {
            Ok(now) => now.unwrap_or_default(),
            Err(error) => {
                note("list its extended attributes", Err(error));
                return false;
            }
        };
        if now == *was {
            return false;
        }
        let was: HashMap<&Name, &Name> = was.iter().map(|(name, value)| (name, value)).collect();
        let is: HashMap<&Name, &Name> = now.iter().map(|(name, value)| (name, value)).collect();
        let about = |name: &Name| format!("extended attribute {}", name.as_os().display());
        for name in is.keys().filter(|name| !was.contains_key(*name)) {
            note(
                &format!("remove {}", about(name)),
                sys::remove_xattr(pin, name.as_os()),
            );
        }
        for (name, value) in was {
            if is.get(name) != Some(&value) {
                let value = value.as_os().as_bytes();
                note(
                    &format!("set {}", about(name)),
                    sys::set_xattr(pin, name.as_os(), value),
                );
            }
        }
        true
    }
}

/// All extended attributes, in order. `None` if this user may not read one.
fn xattrs(pin: BorrowedFd<'_>) -> io::Result<Option<Vec<(Name, Name)>>> {
    let mut found = Vec::new();
    for name in sys::xattr_names(pin)? {
        match sys::xattr(pin, &name) {
            Ok(value) => found.push((name.into(), bytes(value))),
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => return Ok(None),
            // One of the system's, or it has gone: the program can't change it either.
            Err(error) if is_refused(&error) => {}
            Err(error) => return Err(error),
        }
    }
    found.sort();
    Ok(Some(found))
}

/// The same. Where the owner may write and not read, the program can change what it can't see:
/// such an object is made readable for a moment.
fn xattrs_to_keep(pin: BorrowedFd<'_>, now: &Stat) -> io::Result<Option<Vec<(Name, Name)>>> {
    let mode = now.mode & 0o7777;
    let found = xattrs(pin)?;
    let is_for_writing_alone = mode & 0o600 == 0o200 && now.kind != Kind::Symlink;
    // The kernel may take the group's bit away.
    if found.is_some() || !is_for_writing_alone || mode & libc::S_ISGID != 0 {
        return Ok(found);
    }
    if sys::set_mode(pin, mode | 0o400).is_err() {
        return Ok(None);
    }
    let found = xattrs(pin);
    sys::set_mode(pin, mode)?;
    found
}

/// All extended attributes, after the owner has made the object readable if he must. Its mode
/// comes later.
fn readable_xattrs(pin: BorrowedFd<'_>) -> io::Result<Option<Vec<(Name, Name)>>> {
    let now = Stat::of_fd(pin)?;
    let euid = nix::unistd::geteuid();
    if now.kind != Kind::Symlink
        && !euid.is_root()
        && now.uid == euid.as_raw()
        && now.mode & 0o600 != 0o600
    {
        sys::set_mode(pin, now.mode & 0o7777 | 0o600)?;
    }
    xattrs(pin)
}

fn is_refused(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    [libc::EPERM, libc::ENODATA, libc::ENOTSUP]
        .iter()
        .any(|&refusal| errno == Some(refusal))
}

fn bytes(value: Vec<u8>) -> Name {
    Name::from(OsStr::from_bytes(&value))
}

fn change_flags(pin: BorrowedFd<'_>, set: u64, clear: u64) -> io::Result<()> {
    let flags = |bits: u64| i32::try_from(bits & FLAGS).unwrap_or(0);
    let file = sys::reopen(pin, OFlag::O_RDONLY)?;
    sys::change_flags(&file, flags(set), flags(clear))
}
