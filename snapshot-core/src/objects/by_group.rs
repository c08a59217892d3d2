//! What is recorded of an open file description, by its group.
//!
//! Context: AS-SAFE.

use super::descriptors::{Descriptors, Group};
use crate::kernel::records::Records;
use crate::sys::Errno;

/// A record a group.
pub(super) struct ByGroup<T: Copy>(Records<(usize, T)>);

impl<T: Copy> ByGroup<T> {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self(Records::growing())
    }

    /// Adds what is recorded of the group of this number.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn push(&mut self, number: usize, record: T) -> Result<(), Errno> {
        self.0.push((number, record))
    }

    /// All of it, with the groups' numbers.
    pub(super) fn entries(&self) -> &[(usize, T)] {
        self.0.entries()
    }

    /// Puts each back by `restore`; the number of those where that failed.
    pub(super) fn restore(
        &self,
        open: &Descriptors,
        mut restore: impl FnMut(&Group, &T) -> Result<(), Errno>,
    ) -> u32 {
        let mut failed = 0;
        for (number, record) in self.entries() {
            if let Some(group) = open.groups().get(*number) {
                failed += u32::from(restore(group, record).is_err());
            }
        }
        failed
    }

    /// Gives the memory back.
    pub(super) fn release(self) {
        self.0.release();
    }
}
