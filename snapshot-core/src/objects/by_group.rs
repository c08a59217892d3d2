//! Records of open file descriptions, by group.
//!
//! Context: AS-SAFE.

use super::descriptors::{Descriptors, Group};
use crate::kernel::records::Records;
use crate::sys::Errno;

/// Records by group.
pub(super) struct ByGroup<T: Copy>(Records<(usize, T)>);

impl<T: Copy> ByGroup<T> {
    /// No records.
    pub(super) const fn new() -> Self {
        Self(Records::growing())
    }

    /// Adds the record of the group with this number.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn push(&mut self, number: usize, record: T) -> Result<(), Errno> {
        self.0.push((number, record))
    }

    /// All records, with the groups' numbers.
    pub(super) fn entries(&self) -> &[(usize, T)] {
        self.0.entries()
    }

    /// Calls `restore` for each. Returns how many failed.
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
