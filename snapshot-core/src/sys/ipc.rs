//! Queues and semaphores of the whole system: System V's and POSIX's.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "writes what the kernel tells of them")]

use core::mem::MaybeUninit;

use super::{Result, arg, plain, small, with};

const SEM_INFO: i32 = 19;
const SEM_STAT_ANY: i32 = 20;
const GETPID: i32 = 11;
const MSG_INFO: i32 = 12;
const MSG_STAT_ANY: i32 = 13;

/// The highest index of a set of semaphores; `None` if there is no set, or no support.
pub(crate) fn highest_semaphores() -> Option<i32> {
    const SETS: usize = 7;
    let mut info = [0_i32; 10];
    // SAFETY: writes a `struct seminfo`, which is ten ints.
    let highest = unsafe {
        with(
            libc::SYS_semctl,
            [0, 0, arg(SEM_INFO), info.as_mut_ptr().expose_provenance()],
        )
    };
    // Without any set it is 0 as well.
    highest.ok().map(small).filter(|_| info[SETS] > 0)
}

/// The id of the set at an index, and its number of semaphores.
///
/// # Errors
/// EINVAL if there is no set.
pub(crate) fn semaphores_at(index: i32) -> Result<(i32, u64)> {
    let mut set = MaybeUninit::<libc::semid_ds>::zeroed();
    // SAFETY: writes one `struct semid_ds`, which the slot has room for.
    let id = unsafe {
        with(
            libc::SYS_semctl,
            [
                arg(index),
                0,
                arg(SEM_STAT_ANY),
                set.as_mut_ptr().expose_provenance(),
            ],
        )
    }?;
    // SAFETY: all-zero is a valid `struct semid_ds`, and the kernel has filled it in.
    let set = unsafe { set.assume_init() };
    Ok((small(id), set.sem_nsems))
}

/// The process that has changed a semaphore last; 0 if none has, or if it is outside of the
/// namespace.
///
/// # Errors
/// EACCES if it may not be read.
pub(crate) fn last_user_of_semaphore(set: i32, number: i32) -> Result<i32> {
    plain(libc::SYS_semctl, [arg(set), arg(number), arg(GETPID)]).map(small)
}

/// A queue of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageQueue {
    pub(crate) id: i32,
    /// How many messages wait.
    pub(crate) messages: u64,
    /// The last sender, and the last receiver.
    pub(crate) users: [i32; 2],
}

/// The highest index of a queue of messages; `None` if there is no queue, or no support.
pub(crate) fn highest_message_queue() -> Option<i32> {
    const QUEUES: usize = 0;
    // Seven ints and a short.
    let mut info = [0_i32; 8];
    // SAFETY: writes a `struct msginfo`, which the array has room for.
    let highest = unsafe {
        with(
            libc::SYS_msgctl,
            [0, arg(MSG_INFO), info.as_mut_ptr().expose_provenance()],
        )
    };
    highest.ok().map(small).filter(|_| info[QUEUES] > 0)
}

/// The queue at an index.
///
/// # Errors
/// EINVAL if there is no queue.
pub(crate) fn message_queue_at(index: i32) -> Result<MessageQueue> {
    let mut queue = MaybeUninit::<libc::msqid_ds>::zeroed();
    // SAFETY: writes one `struct msqid_ds`, which the slot has room for.
    let id = unsafe {
        with(
            libc::SYS_msgctl,
            [
                arg(index),
                arg(MSG_STAT_ANY),
                queue.as_mut_ptr().expose_provenance(),
            ],
        )
    }?;
    // SAFETY: all-zero is a valid `struct msqid_ds`, and the kernel has filled it in.
    let queue = unsafe { queue.assume_init() };
    Ok(MessageQueue {
        id: small(id),
        messages: queue.msg_qnum,
        users: [queue.msg_lspid, queue.msg_lrpid],
    })
}

/// mq_getsetattr(2): how many messages wait in a POSIX queue.
///
/// # Errors
/// EBADF if the descriptor is no queue.
pub fn waiting_messages(fd: i32) -> Result<u64> {
    const WAITING: usize = 3;
    let mut attributes = [0_i64; 8];
    // SAFETY: reads nothing, and writes a `struct mq_attr`, which is eight longs.
    unsafe {
        with(
            libc::SYS_mq_getsetattr,
            [arg(fd), 0, attributes.as_mut_ptr().expose_provenance()],
        )
    }?;
    Ok(u64::try_from(attributes[WAITING]).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_used_a_set_or_a_queue_is_known() {
        const PRIVATE: i32 = 0;
        // SAFETY: takes numbers alone.
        let set = unsafe { libc::semget(PRIVATE, 3, 0o600) };
        // SAFETY: as above.
        let queue = unsafe { libc::msgget(PRIVATE, 0o600) };
        if set < 0 || queue < 0 {
            eprintln!("skipped: no System V objects here");
            return;
        }
        // SAFETY: as above.
        unsafe { libc::semctl(set, 1, libc::SETVAL, 5) };
        let message = [1_i64, 7];
        // SAFETY: reads a type and the bytes given.
        unsafe { libc::msgsnd(queue, message.as_ptr().cast(), 8, 0) };
        let own = crate::sys::getpid();
        let found = (0..=highest_semaphores().expect("there is one"))
            .find_map(|index| semaphores_at(index).ok().filter(|(id, _)| *id == set));
        let users = [0, 1].map(|number| last_user_of_semaphore(set, number));
        let queues = (0..=highest_message_queue().expect("there is one"))
            .filter_map(|index| message_queue_at(index).ok())
            .find(|found| found.id == queue);
        // SAFETY: as above.
        unsafe { libc::semctl(set, 0, libc::IPC_RMID) };
        // SAFETY: as above; nothing is read for this command.
        unsafe { libc::msgctl(queue, libc::IPC_RMID, core::ptr::null_mut()) };
        assert_eq!(found, Some((set, 3)));
        assert_eq!(users, [Ok(0), Ok(own)]);
        let expected = MessageQueue {
            id: queue,
            messages: 1,
            users: [own, 0],
        };
        assert_eq!(queues, Some(expected));
    }
}
