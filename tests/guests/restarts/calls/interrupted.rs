//! Calls that end by a handler of the program's own, one without SA_RESTART.

use nix::errno::Errno;
use std::ptr::null_mut;
use std::sync::atomic::AtomicU32;

use super::{locks::futex, polls::poll_readable, reads::read};
use crate::act::{Act, Given, endless};
use crate::note::Note;
use crate::outcome::{Outcome, call};
use crate::pipes::pipe;
use crate::signals::{handled, interrupting, mask, send};

/// A call that ends by the program's own signal.
pub fn interrupted(number: i32, call: impl FnOnce(&Note) -> Outcome + Send + 'static) -> Act {
    interrupting(number);
    let call = move |note: &Note| {
        mask(libc::SIG_UNBLOCK, number);
        let outcome = call(note);
        if handled(number) == 1 {
            outcome
        } else {
            // Interrupted by another signal, or handled twice.
            Outcome(Err(Errno::EPROTO))
        }
    };
    endless(call, move || send(number))
}

pub fn read_interrupted(_: &Given) -> Act {
    let (near, _) = pipe();
    interrupted(libc::SIGRTMIN() + 6, move |note| read(note, near))
}

pub fn poll_interrupted(_: &Given) -> Act {
    let (near, _) = pipe();
    interrupted(libc::SIGRTMIN() + 7, move |note| poll_readable(note, near))
}

pub fn nanosleep_interrupted(_: &Given) -> Act {
    interrupted(libc::SIGRTMIN() + 8, |note| {
        let hour = libc::timespec {
            tv_sec: 3600,
            tv_nsec: 0,
        };
        note.begin();
        call!(libc::nanosleep(&raw const hour, null_mut()))
    })
}

pub fn futex_interrupted(_: &Given) -> Act {
    static WORD: AtomicU32 = AtomicU32::new(0);
    interrupted(libc::SIGRTMIN() + 9, |note| futex(note, &WORD))
}
