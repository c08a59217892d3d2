//! Descriptors to read signals from (`signalfd`): each is a set of signals.
//!
//! Context: AS-SAFE.

use super::{
    by_group::ByGroup,
    descriptors::{Descriptors, information},
    recording::{Object, Recording},
};
use crate::kernel::proc_text;
use crate::sys::{self, Errno, SignalSet};
use crate::terms::Kind;

/// The program's signal descriptors.
pub(super) struct SignalDescriptors(ByGroup<SignalSet>);

impl SignalDescriptors {
    pub(super) fn is_empty(&self) -> bool {
        self.0.entries().is_empty()
    }
}

impl Object for SignalDescriptors {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let mut found = ByGroup::new();
        recording.for_each_own(Kind::Signalfd, |recording, number, group| {
            recording.open.will_be_rebuilt(number);
            let mut buffer = [0; 1024];
            let text = information(group.fd, &mut buffer)?;
            let set = proc_text::signals(text, "sigmask:").ok_or(Errno(libc::EPROTO))?;
            found.push(number, set)
        })?;
        Ok(Self(found))
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        self.0
            .restore(open, |group, &set| open.install(group, sys::signalfd(set)?))
    }

    fn release(self) {
        self.0.release();
    }
}
