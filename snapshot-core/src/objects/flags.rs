//! Status flags (`O_NONBLOCK`, `O_APPEND`, ...) of whatever stays shared, and who is told
//! by a signal of what happens there (`F_SETOWN`, `F_SETSIG`).
//!
//! Context: AS-SAFE.

use super::by_group::ByGroup;
use super::descriptors::{Descriptors, Fate, set_status_flags};
use super::{Object, Recording};
use crate::sys::{self, Errno};

/// Who is told, and by which signal.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Notice {
    owner: i32,
    signal: i32,
}

/// Of every group.
pub(super) struct Flags(ByGroup<Notice>);

const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;

impl Notice {
    fn of(fd: i32) -> Self {
        Self {
            owner: sys::fcntl(fd, libc::F_GETOWN, 0).unwrap_or(0),
            signal: sys::fcntl(fd, F_GETSIG, 0).unwrap_or(0),
        }
    }

    fn restore(self, fd: i32) -> Result<(), Errno> {
        if Self::of(fd) == self {
            return Ok(());
        }
        sys::fcntl(fd, libc::F_SETOWN, self.owner as isize as usize)?;
        sys::fcntl(fd, F_SETSIG, self.signal as isize as usize).map(drop)
    }
}

impl Object for Flags {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let mut notices = ByGroup::new();
        recording.for_each_group(|_, number, group| match group.fate {
            Fate::Shared => notices.push(number, Notice::of(group.fd)),
            _ => Ok(()),
        })?;
        Ok(Self(notices))
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        self.0.restore(open, |group, notice| {
            set_status_flags(group.fd, group.flags).and(notice.restore(group.fd))
        })
    }

    fn release(self) {
        self.0.release();
    }
}
