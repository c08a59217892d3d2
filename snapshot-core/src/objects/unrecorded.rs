//! Objects with state in hardware, or in the kernel, which gives no access. A take records
//! nothing of them and names them.
//!
//! Context: AS-SAFE.

use super::{
    descriptors::Descriptors,
    recording::{Object, Recording},
};
use crate::sys::{self, Errno};
use crate::terms::{Kind, comes_back, is_stateless_device};

/// Nothing is recorded.
pub(super) struct Unrecorded;

fn is_stateless(fd: i32) -> bool {
    sys::fstat(fd).is_ok_and(|stat| is_stateless_device(stat.mode, stat.special))
}

impl Object for Unrecorded {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        recording.for_each_group(|recording, _, group| {
            // The supervisor names those that refuse a take; `ipc` names queues.
            if group.kind != Kind::MessageQueue {
                let is_stateless = group.kind == Kind::Device && is_stateless(group.fd);
                let why = comes_back::unrecorded(group.kind, is_stateless);
                recording.name_all(why, &group);
            }
            Ok(())
        })?;
        Ok(Self)
    }

    fn restore(&self, _: &Descriptors) -> u32 {
        0
    }

    fn release(self) {}
}
