//! One more thread, in a call that a due signal interrupts while a snapshot may be taken.

use std::ptr::{null, null_mut};
use std::sync::atomic::Ordering;

use nix::unistd::gettid;

use crate::calls::{
    polls::{epoll, poll_readable},
    reads::read,
};
use crate::note::Note;
use crate::outcome::{Outcome, call};
use crate::pipes::pipe;
use crate::signals::{every_signal, handled, mask, only, send};
use crate::time::{NO_TIME, look};

/// The signal that is due, which no other thread lets through.
pub const DUE: i32 = libc::SIGURG;

/// The calls that the due signal interrupts. The first four unblock it only while they wait, so
/// it can't come too early; for the others it is always unblocked.
fn due_call(kind: &str) -> Option<fn(&Note, libc::sigset_t) -> Outcome> {
    Some(match kind {
        "sigsuspend" => |note, mask| {
            note.begin();
            call!(libc::sigsuspend(&raw const mask))
        },
        "ppoll" => |note, mask| {
            note.begin();
            call!(libc::ppoll(null_mut(), 0, null(), &raw const mask))
        },
        "pselect" => |note, mask| {
            note.begin();
            call!(libc::pselect(
                0,
                null_mut(),
                null_mut(),
                null_mut(),
                null(),
                &raw const mask
            ))
        },
        "epoll_pwait" => |note, mask| {
            let (set, _) = epoll();
            let mut happened = libc::epoll_event { events: 0, u64: 0 };
            note.begin();
            call!(libc::epoll_pwait(
                set,
                &raw mut happened,
                1,
                -1,
                &raw const mask
            ))
        },
        "read" => |note, _| {
            let (near, _) = pipe();
            mask(libc::SIG_UNBLOCK, DUE);
            read(note, near)
        },
        "poll" => |note, _| {
            let (near, _) = pipe();
            mask(libc::SIG_UNBLOCK, DUE);
            poll_readable(note, near)
        },
        "pause" => |note, _| {
            mask(libc::SIG_UNBLOCK, DUE);
            note.begin();
            call!(libc::pause())
        },
        _ => return None,
    })
}

/// Waits for the signal in such a call. A signal that a call has missed is sent again.
pub fn due(kind: &str) -> Option<String> {
    const LOOKS_UNTIL_AGAIN: u32 = 200;
    let call = due_call(kind)?;
    // Signals from an earlier round don't count in this one.
    let (set, now) = (only(DUE), NO_TIME);
    while call!(libc::sigtimedwait(
        &raw const set,
        null_mut(),
        &raw const now
    ))
    .0
    .is_ok()
    {}
    let before = handled(DUE);
    let note: &'static Note = Box::leak(Box::default());
    let thread = std::thread::spawn(move || {
        note.thread.store(gettid().as_raw(), Ordering::Release);
        let mut mask = every_signal();
        // SAFETY: changes a live local.
        unsafe { libc::sigdelset(&raw mut mask, DUE) };
        let outcome = call(note, mask);
        note.end(outcome);
    });
    if !look(|| note.is_blocked()) {
        return Some("never blocked".into());
    }
    println!("blocked");
    let (mut looks, mut again) = (0, 0);
    let is_over = look(|| {
        looks += 1;
        if looks % LOOKS_UNTIL_AGAIN == 0 {
            again += 1;
            send(DUE);
        }
        note.outcome.get().is_some()
    });
    if !is_over {
        return Some("still blocked".into());
    }
    thread.join().ok()?;
    let times = handled(DUE) - before;
    Some(format!("{} {times} {again}", note.outcome.get()?.text()))
}
