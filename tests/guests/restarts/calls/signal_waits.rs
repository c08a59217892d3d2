//! Calls that wait for a signal.

use std::ptr::null_mut;

use super::interrupted::interrupted;
use crate::act::{Act, Given, endless, limited};
use crate::note::Note;
use crate::outcome::call;
use crate::signals::{every_signal, interrupting, mask, only, send};
use crate::time::LIMIT_SPEC;

pub fn pause(_: &Given) -> Act {
    interrupted(libc::SIGUSR2, |note| {
        note.begin();
        call!(libc::pause())
    })
}

pub fn sigsuspend(_: &Given) -> Act {
    let number = libc::SIGRTMIN() + 3;
    interrupting(number);
    let call = move |note: &Note| {
        let mut mask = every_signal();
        // SAFETY: changes a live local.
        unsafe { libc::sigdelset(&raw mut mask, number) };
        note.begin();
        call!(libc::sigsuspend(&raw const mask))
    };
    endless(call, move || send(number))
}

pub fn sigwaitinfo(_: &Given) -> Act {
    let number = libc::SIGRTMIN() + 4;
    mask(libc::SIG_BLOCK, number);
    let call = move |note: &Note| {
        let set = only(number);
        note.begin();
        call!(libc::sigwaitinfo(&raw const set, null_mut()))
    };
    endless(call, move || send(number))
}

pub fn sigtimedwait(_: &Given) -> Act {
    let number = libc::SIGRTMIN() + 5;
    mask(libc::SIG_BLOCK, number);
    limited(move |note| {
        let set = only(number);
        note.begin();
        call!(libc::sigtimedwait(
            &raw const set,
            null_mut(),
            &raw const LIMIT_SPEC
        ))
    })
}
