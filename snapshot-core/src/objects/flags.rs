//! Status flags (`O_NONBLOCK`, `O_APPEND`, ...) of all that stays shared or is opened again. And,
//! also for objects made anew, who gets a signal about events there (`F_SETOWN`, `F_SETSIG`).
//!
//! Context: AS-SAFE.

use super::{
    by_group::ByGroup,
    descriptors::{Descriptors, Fate, set_status_flags},
    recording::{Object, Recording},
};
use crate::sys::{self, Errno};

/// Who gets which signal.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Notice {
    /// A thread, process or group, and its number.
    owner: [i32; 2],
    signal: i32,
}

/// Flags by group.
pub(super) struct Flags {
    notices: ByGroup<Notice>,
    /// The process's id at the time.
    pid: i32,
}

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

    /// `pid` is this process's former id.
    fn restore(mut self, fd: i32, pid: i32) -> Result<(), Errno> {
        const PROCESS: i32 = 1;
        if self.owner == [PROCESS, pid] {
            self.owner[1] = sys::getpid();
        }
        let now = Self::of(fd);
        if now == self {
            return Ok(());
        }
        if now.owner != self.owner {
            match sys::set_notice_owner(fd, self.owner) {
                // The owner is gone, and gets no signal either way.
                Ok(_) | Err(Errno(libc::ESRCH)) => {}
                Err(errno) => return Err(errno),
            }
        }
        sys::fcntl(fd, F_SETSIG, self.signal as isize as usize).map(drop)
    }
}

/// Sets O_ASYNC again by the program's own descriptor: the signal reports that number.
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
        Ok(Self {
            notices,
            pid: recording.original,
        })
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        self.notices
            .restore(open, |group, notice| match group.fate {
                Fate::Shared | Fate::Reopened => {
                    set_status_flags(group.fd, group.flags).and(notice.restore(group.fd, self.pid))
                }
                _ if notice.is_none() => Ok(()),
                _ => {
                    let restored = notice.restore(group.fd, self.pid);
                    restored.and(ask_again(group.fd, group.flags))
                }
            })
    }

    fn release(self) {
        self.notices.release();
    }
}
