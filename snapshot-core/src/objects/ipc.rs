//! Semaphores and message queues. The whole system shares each. Reading a queue empties it, and
//! setting a semaphore sets it for others. So a take only names them.
//!
//! A POSIX queue has a descriptor. For System V the kernel shows only the last user: objects that
//! others have used since are not found.
//!
//! Context: AS-SAFE.

use super::{
    descriptors::Descriptors,
    recording::{Object, Recording},
};
use crate::sys::{self, Errno};
use crate::terms::{Kind, comes_back};

/// Nothing is recorded.
pub(super) struct Ipc;

/// Calls `visit` with the kind and the id of each System V object that a process has used
/// last. Where there are none it costs two system calls.
pub fn for_each_system_v(pid: i32, mut visit: impl FnMut(Kind, i32)) {
    if let Some(highest) = sys::highest_semaphores() {
        for (set, count) in (0..=highest).filter_map(|index| sys::semaphores_at(index).ok()) {
            let count = i32::try_from(count).unwrap_or(i32::MAX);
            if (0..count).any(|number| sys::last_user_of_semaphore(set, number) == Ok(pid)) {
                visit(Kind::Semaphores, set);
            }
        }
    }
    if let Some(highest) = sys::highest_message_queue() {
        for queue in (0..=highest).filter_map(|index| sys::message_queue_at(index).ok()) {
            if queue.users.contains(&pid) {
                visit(Kind::MessageQueue, queue.id);
            }
        }
    }
}

impl Object for Ipc {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        for_each_system_v(recording.original, |kind, id| {
            if let Some(why) = comes_back::unrecorded(kind, false) {
                recording.name(kind, why, -1, id.unsigned_abs().into());
            }
        });
        recording.for_each_group(|recording, _, group| {
            if group.kind == Kind::MessageQueue {
                let waiting = sys::waiting_messages(group.fd).unwrap_or(0);
                if let Some(why) = comes_back::unrecorded(group.kind, false) {
                    recording.name(group.kind, why, group.fd, waiting);
                }
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
