//! Regular files and directories: where in them the program is. Live and frozen side share
//! that, so the frozen side writes it down and seeks back.
//!
//! Not in a file that is stdout or stderr: there both branches append to one output, and
//! seeking back would let the second overwrite what the first has said.
//!
//! Context: AS-SAFE.

use super::descriptors::{Descriptors, Group};
use super::kinds::{Kind, Why};
use super::{Object, Recording};
use crate::records::Records;
use crate::sys::{self, Errno, Stat};

/// Where the program is in each group's file.
pub(super) struct Offsets(Records<(usize, i64)>);

impl Object for Offsets {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let outputs = [sys::fstat(1).ok(), sys::fstat(2).ok()];
        let mut offsets = Records::new(usize::MAX >> 8);
        for number in 0..recording.open.groups().len() {
            let Some(&group) = recording.open.groups().get(number) else {
                break;
            };
            if !matches!(group.kind, Kind::File | Kind::Directory) || is_path_alone(&group) {
                continue;
            }
            if group.kind == Kind::File && group.can_write() && group.fd > 2 {
                recording.name(Kind::File, Why::Contents, group.fd, 0);
            }
            if is_output(&group, &outputs) {
                continue;
            }
            if let Ok(at) = sys::lseek(group.fd, 0, libc::SEEK_CUR) {
                offsets.push((number, at))?;
            }
        }
        Ok(Self(offsets))
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        let mut failed = 0;
        for &(number, at) in self.0.entries() {
            if let Some(group) = open.groups().get(number) {
                failed += u32::from(sys::lseek(group.fd, at, libc::SEEK_SET).is_err());
            }
        }
        failed
    }

    fn release(self) {
        self.0.release();
    }
}

fn is_path_alone(group: &Group) -> bool {
    group.flags & libc::O_PATH != 0
}

fn is_output(group: &Group, outputs: &[Option<Stat>; 2]) -> bool {
    group.kind == Kind::File
        && group.can_write()
        && outputs
            .iter()
            .flatten()
            .any(|output| (output.device, output.inode) == (group.device, group.inode))
}
