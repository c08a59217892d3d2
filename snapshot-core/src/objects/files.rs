//! Regular files, memory files and directories: where in them the program is. Live and
//! frozen side share that, so the frozen side writes it down and seeks back.
//!
//! Not in a file that is stdout or stderr: there both branches append to one output, and
//! seeking back would let the second overwrite what the first has said.
//!
//! Context: AS-SAFE.

use super::by_group::ByGroup;
use super::descriptors::{Descriptors, Group};
use super::kinds::{Kind, Why};
use super::{Object, Recording};
use crate::sys::{self, Errno, Stat};

/// Where the program is in each group's file.
pub(super) struct Offsets(ByGroup<i64>);

impl Object for Offsets {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let outputs = [sys::fstat(1).ok(), sys::fstat(2).ok()];
        let mut offsets = ByGroup::new();
        recording.for_each_group(|recording, number, group| {
            if !matches!(group.kind, Kind::File | Kind::Directory | Kind::Memfd) {
                return Ok(());
            }
            if group.kind == Kind::File && group.can_write() && group.fd > 2 {
                recording.name(Kind::File, Why::Contents, group.fd, 0);
            }
            match sys::lseek(group.fd, 0, libc::SEEK_CUR) {
                Ok(at) if !is_output(&group, &outputs) => offsets.push(number, at),
                _ => Ok(()),
            }
        })?;
        Ok(Self(offsets))
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        self.0.restore(open, |group, &at| {
            sys::lseek(group.fd, at, libc::SEEK_SET).map(drop)
        })
    }

    fn release(self) {
        self.0.release();
    }
}

fn is_output(group: &Group, outputs: &[Option<Stat>; 2]) -> bool {
    group.kind == Kind::File
        && group.can_write()
        && outputs
            .iter()
            .flatten()
            .any(|output| (output.device, output.inode) == (group.device, group.inode))
}
