//! Status flags (`O_NONBLOCK`, `O_APPEND`, ...) of whatever stays shared or is opened again,
//! and who is told by a signal of what happens there (`F_SETOWN`, `F_SETSIG`), also of what is
//! made anew.
//!
//! Context: AS-SAFE.

use super::{
    by_group::ByGroup,
    descriptors::{Descriptors, Fate, set_status_flags},
    recording::{Object, Recording},
};
use crate::sys::{self, Errno};

/// Who is told, and by which signal.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Notice {
    /// A thread, a process or a group, and its number.
    owner: [i32; 2],
    signal: i32,
}

/// Of every group.
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

    /// `pid` is the id that this process had.
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
                // Whom it was to tell is gone, and is told nothing either way.
                Ok(_) | Err(Errno(libc::ESRCH)) => {}
                Err(errno) => return Err(errno),
            }
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
