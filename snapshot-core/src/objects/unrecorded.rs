//! What is not recorded, since its state is in hardware, or in a part of the kernel that
//! gives it to nobody: it is named.
//!
//! Context: AS-SAFE.

use super::{
    descriptors::Descriptors,
    recording::{Object, Recording},
};
use crate::sys::{self, Errno};
use crate::terms::{Kind, Why, is_stateless_device};

/// Nothing.
pub(super) struct Unrecorded;

fn has_state(fd: i32) -> bool {
    !sys::fstat(fd).is_ok_and(|stat| is_stateless_device(stat.mode, stat.special))
}

impl Object for Unrecorded {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        recording.for_each_group(|recording, _, group| {
            let why = match group.kind {
                Kind::Pidfd | Kind::Perf => Why::Process,
                Kind::Other => Why::State,
                Kind::Device if has_state(group.fd) => Why::State,
                // Of those that refuse a take the supervisor tells.
                _ => return Ok(()),
            };
            recording.name(group.kind, why, group.fd, 0);
            Ok(())
        })?;
        Ok(Self)
    }

    fn restore(&self, _: &Descriptors) -> u32 {
        0
    }

    fn release(self) {}
}
