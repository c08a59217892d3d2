//! Status flags (`O_NONBLOCK`, `O_APPEND`, ...) of whatever stays shared, and who is told
//! by a signal of what happens there (`F_SETOWN`, `F_SETSIG`), also of what is made anew.
//!
//! Context: AS-SAFE.

use super::by_group::ByGroup;
use super::descriptors::{Descriptors, Fate, set_status_flags};
use super::{Object, Recording};
use crate::sys::{self, Errno};

/// Who is told, and by which signal.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Notice {
    /// A thread, a process or a group, and its number.
    owner: [i32; 2],
    signal: i32,
}

/// Of every group.
pub(super) struct Flags(ByGroup<Notice>);

const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;

impl Notice {
    fn of(fd: i32) -> Self {
        Self {
            owner: sys::notice_owner(fd).unwrap_or([0; 2]),
            signal: sys::fcntl(fd, F_GETSIG, 0).unwrap_or(0),
        }
    }

    fn is_none(self) -> bool {
        self.owner[1] == 0 && self.signal == 0
    }

    fn restore(self, fd: i32) -> Result<(), Errno> {
        let now = Self::of(fd);
        if now == self {
            return Ok(());
        }
        if now.owner != self.owner {
            sys::set_notice_owner(fd, self.owner)?;
        }
        sys::fcntl(fd, F_SETSIG, self.signal as isize as usize).map(drop)
    }
}

/// The signal says the number of the descriptor by which it was asked for: that is one of the
/// program's again.
fn ask_again(fd: i32, flags: i32) -> Result<(), Errno> {
    if flags & libc::O_ASYNC == 0 {
        return Ok(());
    }
    set_status_flags(fd, flags & !libc::O_ASYNC)?;
    set_status_flags(fd, flags)
}

impl Object for Flags {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let mut notices = ByGroup::new();
        recording.for_each_group(|_, number, group| {
            let notice = Notice::of(group.fd);
            match group.fate {
                Fate::Rebuilt if notice.is_none() => Ok(()),
                _ => notices.push(number, notice),
            }
        })?;
        Ok(Self(notices))
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        self.0.restore(open, |group, notice| match group.fate {
            Fate::Shared => set_status_flags(group.fd, group.flags).and(notice.restore(group.fd)),
            _ if notice.is_none() => Ok(()),
            _ => {
                let restored = notice.restore(group.fd);
                restored.and(ask_again(group.fd, group.flags))
            }
        })
    }

    fn release(self) {
        self.0.release();
    }
}
