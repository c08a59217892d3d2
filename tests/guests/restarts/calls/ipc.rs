//! Calls that wait for System V's semaphores and messages, and for POSIX's messages.

use std::ffi::CString;
use std::ptr::null_mut;

use nix::errno::Errno;

use crate::act::{Act, Given, endless, limited};
use crate::note::Note;
use crate::outcome::{Outcome, call};
use crate::time::{LIMIT_SPEC, deadline};

unsafe extern "C" {
    /// The one call of this table that the crate `libc` lacks; see semop(2).
    fn semtimedop(
        set: i32,
        operations: *mut libc::sembuf,
        count: usize,
        limit: *const libc::timespec,
    ) -> i32;
}

const fn change(number: u16, by: i16) -> libc::sembuf {
    libc::sembuf {
        sem_num: number,
        sem_op: by,
        sem_flg: 0,
    }
}

pub fn semop(given: &Given) -> Act {
    let set = given.semaphores;
    let call = move |note: &Note| {
        let mut take = change(0, -1);
        note.begin();
        call!(libc::semop(set, &raw mut take, 1))
    };
    endless(call, move || {
        let mut give = change(0, 1);
        // SAFETY: reads a live local.
        unsafe { libc::semop(set, &raw mut give, 1) };
    })
}

pub fn semtimedop_row(given: &Given) -> Act {
    let set = given.semaphores;
    limited(move |note| {
        let mut take = change(1, -1);
        note.begin();
        call!(semtimedop(set, &raw mut take, 1, &raw const LIMIT_SPEC))
    })
}

/// A System V message, as long as its text.
#[repr(C)]
struct Message {
    kind: libc::c_long,
    text: [u8; 1024],
}

impl Message {
    const LENGTH: usize = 1024;

    const fn new() -> Self {
        Self {
            kind: 1,
            text: [b'x'; Self::LENGTH],
        }
    }
}

fn queue(queue: i32, message: &Message, flags: i32) -> Outcome {
    // Only the place of the flags differs between callers.
    call!(libc::msgsnd(
        queue,
        (&raw const *message).cast(),
        message.text.len(),
        flags
    ))
}

fn unqueue(queue: i32, flags: i32) -> Outcome {
    let mut message = Message::new();
    call!(libc::msgrcv(
        queue,
        (&raw mut message).cast(),
        message.text.len(),
        message.kind,
        flags
    ))
}

pub fn msgrcv(given: &Given) -> Act {
    let id = given.empty_queue;
    let call = move |note: &Note| {
        note.begin();
        unqueue(id, 0)
    };
    endless(call, move || {
        queue(id, &Message::new(), 0);
    })
}

pub fn msgsnd(given: &Given) -> Act {
    let id = given.full_queue;
    while queue(id, &Message::new(), libc::IPC_NOWAIT).0.is_ok() {}
    let call = move |note: &Note| {
        note.begin();
        queue(id, &Message::new(), 0)
    };
    endless(call, move || {
        unqueue(id, libc::IPC_NOWAIT);
    })
}

pub fn mq_timedreceive(_: &Given) -> Act {
    let name =
        CString::new(format!("/snapshot-restarts-{}", std::process::id())).expect("no NUL in it");
    // SAFETY: all-zero is a valid `struct mq_attr`.
    let mut wanted: libc::mq_attr = unsafe { std::mem::zeroed() };
    wanted.mq_maxmsg = 1;
    wanted.mq_msgsize = 8;
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
    // SAFETY: reads a text and live attributes.
    let queue = unsafe { libc::mq_open(name.as_ptr(), flags, 0o600, &raw mut wanted) };
    assert!(queue >= 0, "mq_open: {}", Errno::last());
    // The descriptor keeps it, since the name would outlive the program. SAFETY: reads a text.
    unsafe { libc::mq_unlink(name.as_ptr()) };
    limited(move |note| {
        let mut message: [libc::c_char; 8] = [0; 8];
        let time = deadline(libc::CLOCK_REALTIME);
        note.begin();
        call!(libc::mq_timedreceive(
            queue,
            message.as_mut_ptr(),
            message.len(),
            null_mut(),
            &raw const time
        ))
    })
}
