//! Descriptors to read signals from (`signalfd`): each is a set of signals.
//!
//! Context: AS-SAFE.

use super::descriptors::{Descriptors, information};
use super::kinds::Kind;
use super::{Object, Recording};
use crate::proc_text;
use crate::records::Records;
use crate::sys::{self, Errno, SignalSet};

/// The program's, by their groups.
pub(super) struct SignalDescriptors(Records<(usize, SignalSet)>);

impl Object for SignalDescriptors {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let mut found = Records::new(usize::MAX >> 8);
        for number in 0..recording.open.groups().len() {
            let Some(group) = recording.own(number, Kind::Signalfd)? else {
                continue;
            };
            let mut buffer = [0; 1024];
            let text = information(group.fd, &mut buffer)?;
            let set = proc_text::signals(text, "sigmask:").ok_or(Errno(libc::EPROTO))?;
            found.push((number, set))?;
            recording.open.will_be_rebuilt(number);
        }
        Ok(Self(found))
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        let mut failed = 0;
        for &(number, set) in self.0.entries() {
            if let Some(group) = open.groups().get(number) {
                let made = sys::new_signalfd(set).and_then(|fd| open.install(group, fd));
                failed += u32::from(made.is_err());
            }
        }
        failed
    }

    fn release(self) {
        self.0.release();
    }
}
