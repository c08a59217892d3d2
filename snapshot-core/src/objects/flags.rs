//! Status flags (`O_NONBLOCK`, `O_APPEND`, ...) of whatever stays shared, and who is told
//! by a signal of what happens there (`F_SETOWN`, `F_SETSIG`).
//!
//! Context: AS-SAFE.

use super::descriptors::{Descriptors, Fate, set_status_flags};
use super::{Object, Recording};
use crate::records::Records;
use crate::sys::{self, Errno};

#[derive(Clone, Copy)]
struct Notice {
    group: usize,
    owner: i32,
    signal: i32,
}

/// Of every group.
pub(super) struct Flags(Records<Notice>);

fn notice_of(fd: i32) -> (i32, i32) {
    (
        sys::fcntl(fd, libc::F_GETOWN, 0).unwrap_or(0),
        sys::fcntl(fd, F_GETSIG, 0).unwrap_or(0),
    )
}

const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;

impl Object for Flags {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let mut notices = Records::new(usize::MAX >> 8);
        for (number, group) in recording.open.groups().iter().enumerate() {
            if group.fate == Fate::Shared && group.flags & libc::O_PATH == 0 {
                let (owner, signal) = notice_of(group.fd);
                notices.push(Notice {
                    group: number,
                    owner,
                    signal,
                })?;
            }
        }
        Ok(Self(notices))
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        let mut failed = 0;
        for notice in self.0.entries() {
            let Some(group) = open.groups().get(notice.group) else {
                continue;
            };
            let mut done = set_status_flags(group.fd, group.flags);
            if notice_of(group.fd) != (notice.owner, notice.signal) {
                let owner = notice.owner as isize as usize;
                let signal = notice.signal as isize as usize;
                done = done
                    .and(sys::fcntl(group.fd, libc::F_SETOWN, owner))
                    .and(sys::fcntl(group.fd, F_SETSIG, signal))
                    .map(drop);
            }
            failed += u32::from(done.is_err());
        }
        failed
    }

    fn release(self) {
        self.0.release();
    }
}
