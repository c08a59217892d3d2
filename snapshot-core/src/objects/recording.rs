//! How each kind of kernel object is recorded and put back, and what a recording knows.
//!
//! Context: AS-SAFE.

use core::ops::Range;

use super::{
    descriptors::{Descriptors, Group},
    holders::Holders,
    mappings,
};
use crate::sys::Errno;
use crate::terms::{Address, Gap, Kind, Why, comes_back::Sharing};

/// A kind of kernel object that a copy shares with its original.
pub(super) trait Object: Sized {
    /// Records the state of all such objects while every thread stands still, and decides which
    /// groups the copy lets go of. Changes nothing.
    ///
    /// # Errors
    /// The state can't be read, or there is no memory.
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno>;

    /// Puts the state back; may be called again. Returns how many things failed.
    fn restore(&self, open: &Descriptors) -> u32;

    /// Gives the record's memory back.
    fn release(self);
}

/// A recording under way.
pub(super) struct Recording<'a> {
    pub(super) open: &'a mut Descriptors,
    pub(super) holders: &'a Holders,
    pub(super) mappings: &'a mut mappings::Mappings,
    /// The process that this one is a copy of, or this one.
    pub(super) original: i32,
    /// The copied thread of it. This thread lives; the first one may have ended, and then the
    /// kernel shows nothing for its number.
    pub(super) thread: i32,
    pub(super) tell: &'a mut dyn FnMut(Gap),
}

impl Recording<'_> {
    /// Calls `visit` with every group and its number. Skips paths (`O_PATH`), which have no
    /// state.
    pub(super) fn for_each_group(
        &mut self,
        mut visit: impl FnMut(&mut Self, usize, Group) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut number = 0;
        while let Some(&group) = self.open.groups().get(number) {
            if group.flags & libc::O_PATH == 0 {
                visit(self, number, group)?;
            }
            number += 1;
        }
        Ok(())
    }

    /// Calls `visit` with every group of a kind that is the program's alone, and names the
    /// others.
    pub(super) fn for_each_own(
        &mut self,
        kind: Kind,
        mut visit: impl FnMut(&mut Self, usize, Group) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        self.for_each_group(|recording, number, group| {
            if group.kind == kind && recording.is_own(number, &group) {
                visit(recording, number, group)?;
            }
            Ok(())
        })
    }

    /// Whether nobody else has a group; names it otherwise.
    pub(super) fn is_own(&mut self, number: usize, group: &Group) -> bool {
        let why = self.sharing(number).why();
        self.name_all(why, group);
        why.is_none()
    }

    /// Whom a group belongs to.
    pub(super) fn sharing(&self, number: usize) -> Sharing {
        self.sharing_of(number..number + 1)
    }

    /// Whom groups of one file belong to.
    pub(super) fn sharing_of(&self, numbers: Range<usize>) -> Sharing {
        Sharing {
            is_hidden: !self.open.are_told_apart,
            is_elsewhere: self.holders.have_any(numbers),
        }
    }

    /// Says why a group will not be as it was.
    pub(super) fn name_all(&mut self, reasons: impl IntoIterator<Item = Why>, group: &Group) {
        for why in reasons {
            self.name(group.kind, why, group.fd, 0);
        }
    }

    /// Says that something will not be as it was.
    pub(super) fn name(&mut self, kind: Kind, why: Why, fd: i32, number: u64) {
        self.name_peer(kind, why, fd, number, Address::NONE);
    }

    /// The same for a socket with a peer.
    pub(super) fn name_peer(
        &mut self,
        kind: Kind,
        why: Why,
        fd: i32,
        number: u64,
        address: Address,
    ) {
        (self.tell)(Gap {
            kind,
            why,
            fd,
            number,
            address,
        });
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sys;

    /// Records these descriptors, calls `between`, and restores them.
    pub(in crate::objects) fn round<T: Object>(fds: &[i32], between: impl FnOnce()) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let mut open = Descriptors::of(fds);
        let holders = Holders::record(&open, 0).expect("/proc is mounted");
        let mut tell = |gap| gaps.push(gap);
        let mut mappings = mappings::Mappings::new();
        let mut recording = Recording {
            open: &mut open,
            holders: &holders,
            mappings: &mut mappings,
            original: sys::getpid(),
            thread: sys::gettid(),
            tell: &mut tell,
        };
        let recorded = T::record(&mut recording).expect("it can be recorded");
        between();
        assert_eq!(recorded.restore(&open), 0);
        recorded.release();
        mappings.release();
        holders.release();
        open.release();
        gaps
    }
}
