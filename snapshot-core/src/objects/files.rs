//! Regular files, memory files and directories: where in them the program is. The frozen
//! side writes it down and seeks back.
//!
//! Not in a file that is stdout or stderr, or that the program was started with to write to:
//! there both branches append to one output, and seeking back would let the second overwrite
//! what the first has said, or what others have.
//!
//! Context: AS-SAFE.

use super::{
    by_group::ByGroup,
    descriptors::{Descriptors, Group},
    holders::is_inherited,
    recording::{Object, Recording},
};
use crate::sys::{self, Errno, Stat};
use crate::terms::{Kind, comes_back::File};

/// Where the program is in each group's file.
pub(super) struct Offsets(ByGroup<i64>);

impl Object for Offsets {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let outputs = outputs();
        let mut offsets = ByGroup::new();
        recording.for_each_group(|recording, number, group| {
            if !matches!(group.kind, Kind::File | Kind::Directory | Kind::Memfd) {
                return Ok(());
            }
            let file = File {
                can_write: group.can_write(),
                is_output: is_output(&group, &outputs),
                ..File::default()
            };
            recording.name_all(file.contents(group.kind), &group);
            match sys::lseek(group.fd, 0, libc::SEEK_CUR) {
                Ok(at) if !file.is_output => offsets.push(number, at),
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

/// What stdout and stderr are.
pub(super) fn outputs() -> [Option<Stat>; 2] {
    [sys::fstat(1).ok(), sys::fstat(2).ok()]
}

/// Whether a group is output that goes on where it is. By its open file and not by its
/// number: a program may have moved what it was started with.
pub(super) fn is_output(group: &Group, outputs: &[Option<Stat>; 2]) -> bool {
    group.kind == Kind::File
        && group.can_write()
        && (is_inherited(group.device, group.inode)
            || outputs
                .iter()
                .flatten()
                .any(|output| (output.device, output.inode) == (group.device, group.inode)))
}
