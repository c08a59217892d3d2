//! The life of a frozen copy: it records what it shares with the live process and sleeps. When
//! asked it checks that it could come back, and when woken it does.
//!
//! Context: AS-SAFE. Called by [`super::take`], in the copy.
#![expect(unsafe_code, reason = "splits the process, and makes threads")]

use core::sync::atomic::Ordering;

use super::{
    freeze::{Woken, Word, freeze},
    recorded::Recorded,
    revive,
    session::{Outcome, Session},
    split::split_for_parent,
};
use crate::objects::Shared;
use crate::process::{cpu_times, dontfork, identity::Identity, ids, own_processes, room::Room};
use crate::sys::{self, Errno, Side};
use crate::terms::{Obstacle, Part, Running, Step};
use crate::threads::{
    slots::{self, PARKED},
    turn,
};
use crate::wire::{FromFrozen, Frozen, link::Link};

/// In a frozen copy: checks whether it could come back to life, as far as it can while the
/// branch lives. If the supervisor wants a spare, a copy of this copy stays behind.
fn prepare(
    threads: u32,
    spare: Option<Link<Frozen>>,
    identity: &Identity,
) -> Result<Option<Link<Frozen>>, Obstacle> {
    // SAFETY: a frozen copy has one thread, and the others were parked.
    let rehearsed = unsafe { revive::rehearse(threads) };
    let rehearsed = rehearsed.map_err(|errno| Obstacle::Failed(Step::Revive, errno.0));
    let Some(spare) = spare else {
        return rehearsed.map(|()| None);
    };
    let side = rehearsed.and_then(|()| {
        split_aside(identity).map_err(|errno| Obstacle::Failed(Step::Split, errno.0))
    });
    match side {
        Ok(Side::Copy) => {
            own_processes::add(sys::getpid());
            return Ok(Some(spare));
        }
        Ok(Side::Original(pid)) => own_processes::add(pid),
        Err(_) => {}
    }
    spare.close();
    side.map(|_| None)
}

/// In a frozen copy: makes a copy under a number that the program does not want back. If the
/// branch has ended, the kernel may give out one of its numbers next.
fn split_aside(identity: &Identity) -> Result<Side, Errno> {
    let is_wanted = |pid| {
        pid == identity.pid
            || slots::in_state(PARKED).any(|slot| slot.tid.load(Ordering::Relaxed) == pid)
    };
    loop {
        // SAFETY: a frozen copy has one thread, and the others were parked.
        match unsafe { split_for_parent() }? {
            // It gives the number back before it announces itself.
            Side::Copy if is_wanted(sys::getpid()) => sys::exit_group(0),
            Side::Original(pid) if is_wanted(pid) => ids::wait_until_free(pid),
            side => return Ok(side),
        }
    }
}

/// In a woken copy: takes over the ids where it may, and makes its threads.
///
/// # Errors
/// EAGAIN, ENOMEM: there is no room. The copy is as before, but may have its id already.
///
/// # Safety
/// As [`revive::recreate`].
unsafe fn make_again(
    link: &Link<Frozen>,
    identity: &Identity,
    same_ids: Option<i32>,
) -> Result<revive::Recreated, Errno> {
    // An earlier attempt may have got it.
    if let Some(outer_pid) = same_ids
        && sys::getpid() != identity.pid
    {
        let _ = link.say(FromFrozen::Becoming);
        // SAFETY: a frozen copy has one thread, the copy of the recorded one.
        match unsafe { identity.take_over_id(outer_pid) } {
            Ok(()) => {}
            // There is no room, or soon there will be some.
            Err(errno @ Errno(libc::EAGAIN | libc::ENOMEM)) => {
                let _ = link.say(FromFrozen::Stayed { errno: errno.0 });
                return Err(errno);
            }
            Err(errno) => {
                let _ = link.say(FromFrozen::Stayed { errno: errno.0 });
            }
        }
    }
    // SAFETY: the caller's promise.
    unsafe { revive::recreate(&identity.thread) }
}

/// The life of a frozen copy, from the split to its return into the program.
pub(super) fn live_as_frozen(
    session: &Session,
    id: u32,
    mut link: Link<Frozen>,
    recorded: &mut Recorded,
) -> Outcome {
    let Recorded { identity, lacking } = recorded;
    let identity = &*identity;
    ids::forget_choice();
    let room = Room::make();
    let mut tell = |gap| {
        // If this fails the supervisor is gone; Ready finds that out.
        let _ = link.say(FromFrozen::Gap(gap));
    };
    let shared = Shared::record(&[link.fd()], identity.pid, identity.tid, &mut tell)
        .and_then(|shared| shared.let_go().map(|()| shared));
    let mut shared = match shared {
        Ok(shared) => shared,
        Err(errno) => end_unrecorded(&link, Step::Record, errno),
    };
    let mut is_ready = false;
    loop {
        if !is_ready && link.say(FromFrozen::Ready).is_err() {
            sys::exit_group(0);
        }
        is_ready = true;
        let woken = match freeze(&link, |closed| shared.let_go_of(closed)) {
            Word::Revive(woken) => woken,
            Word::Prepare { threads, spare } => {
                match prepare(threads, spare, identity) {
                    Ok(Some(spare)) => {
                        // The snapshot stays, in this copy of the copy.
                        link.close();
                        link = spare;
                        let _ = link.say(FromFrozen::Made);
                        identity.settle(id);
                        is_ready = false;
                    }
                    Ok(None) => {
                        let _ = link.say(FromFrozen::Prepared);
                    }
                    Err(obstacle) => {
                        let _ = link.say(FromFrozen::Hindered(obstacle));
                    }
                }
                continue;
            }
        };
        let Woken {
            asked_ns,
            ended,
            same_ids,
        } = woken;
        let mut not_restored = 0;
        let mut count = |part, count| {
            if count > 0 {
                not_restored += count;
                let _ = link.say(FromFrozen::NotRestored { part, count });
            }
        };
        shared.make_room(link.fd());
        // First: a thread's stack may be in a mapped file.
        shared.open(&mut count);
        if let Some(lacking) = &lacking {
            lacking.prepare();
        }
        // SAFETY: this is the copy's only thread, and the others were parked.
        let revived = match unsafe { make_again(&link, identity, same_ids) } {
            Ok(revived) => revived,
            Err(errno) => {
                let obstacle = Obstacle::Failed(Step::Revive, errno.0);
                let _ = link.say(FromFrozen::Hindered(obstacle));
                // If this fails, its objects end with the snapshot.
                let _ = shared.let_go();
                // Under either number: it sleeps again, as the same snapshot.
                own_processes::add(sys::getpid());
                is_ready = false;
                continue;
            }
        };
        count(Part::Threads, revived.not_restored + identity.restore());
        shared.restore(&mut count);
        if let Some(lacking) = lacking.take() {
            count(Part::Process, lacking.restore(identity.tid));
            lacking.release();
        }
        shared.release();
        room.give_back();
        // New mappings are kept from copies like the old ones.
        dontfork::close();
        own_processes::remove(sys::getpid());
        cpu_times::revive(identity.tid);
        turn::begin_new_life();
        (session.revived)(sys::getpid());
        let renewed = revived.renewed + identity.renewed();
        // If this process ends from here on, the program has ended.
        let _ = link.say(FromFrozen::Opening { renewed });
        // From here on the program runs. This thread may get no processor before the last of
        // the others has had one.
        let open_ns = revive::open_gate();
        let _ = link.say(FromFrozen::Running(Running {
            at_ns: open_ns,
            renewed,
        }));
        link.close();
        return Outcome::Revived {
            id,
            asked_ns,
            ended,
            not_restored,
        };
    }
}

/// A copy that could not record says why, and ends.
pub(super) fn end_unrecorded(link: &Link<Frozen>, step: Step, errno: Errno) -> ! {
    // If this fails the supervisor is gone.
    let _ = link.say(FromFrozen::Failed {
        step,
        errno: errno.0,
    });
    sys::exit_group(0);
}
