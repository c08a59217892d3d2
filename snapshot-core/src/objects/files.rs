//! The program's offsets in regular files, memory files and directories. The frozen side records
//! them and seeks back.
//!
//! Not in stdout, stderr or inherited files that are open for writing. There both branches append
//! to one output: after seeking back the second would overwrite the output of the first, or of
//! others.
//!
//! Context: AS-SAFE.

use super::{
    by_group::ByGroup,
    descriptors::{Descriptors, Group},
    file_contents::file_contents,
    holders::is_inherited,
    recording::{Object, Recording},
};
use crate::sys::{self, Errno, Stat};
use crate::terms::{
    Kind,
    comes_back::{File, FileContents},
};

/// The offset in each group's file.
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
                file_contents: file_contents(),
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

/// The files of stdout and stderr. Those that the journal brings back are as any other, if the
/// program has opened them itself.
pub(super) fn outputs() -> [Option<Stat>; 2] {
    match file_contents() {
        FileContents::Kept => [None, None],
        _ => [sys::fstat(1).ok(), sys::fstat(2).ok()],
    }
}

/// Whether a group is output, which keeps its offset. This goes by the file, not by the number: a
/// program may have moved the descriptor.
pub(super) fn is_output(group: &Group, outputs: &[Option<Stat>; 2]) -> bool {
    group.kind == Kind::File
        && group.can_write()
        && (is_inherited(group.device, group.inode)
            || outputs
                .iter()
                .flatten()
                .any(|output| (output.device, output.inode) == (group.device, group.inode)))
}
