//! Take, in the inverted orientation: the copy freezes, the program lives on.
//!
//! ```text
//! live                          supervisor                    frozen
//!  Begin ─────────────────────▶ is it the time for one?
//!  park
//!  Parked ────────────────────▶ checks what can't roll back
//!  ◀───────────────── Granted + a link for the copy
//!  split ─────────────────────────────────────────────────────▶
//!  Split ─────────────────────▶         ◀────────────────────── Made
//!                                                               record
//!                                       ◀───────────────────── Ready
//!  ◀────────────────────── Go   the snapshot exists             sleeps
//!  release
//!  Running ───────────────────▶ reports it
//! ```
//!
//! Until `Go` nothing has happened that can't be undone by killing the copy: whatever
//! fails, the program goes on untouched.
//!
//! Context: AS-SAFE. Called by the agent, in the program's first thread.
#![expect(unsafe_code, reason = "splits the process")]

use core::sync::atomic::Ordering;

use crate::freeze::{Woken, Word, freeze};
use crate::identity::Identity;
use crate::link::Link;
use crate::objects::{Lacking, Shared};
use crate::park::{self, Parked};
use crate::room::Room;
use crate::split::split_for_parent;
use crate::sys::{self, Errno, Side, SignalInfo, SignalSet};
use crate::threads::glimpse::Glimpse;
use crate::threads::layout::Disagreement;
pub use crate::threads::leader::run as in_first_thread;
pub use crate::threads::own_stack::aside;
use crate::threads::roll::{self, PARKED};
use crate::threads::{mutexes, restart, turn};
use crate::timing::{self, Moment};
use crate::wire::{
    Ask, Crew, Ended, FromAgent, FromSupervisor, Obstacle, Part, Running, Step, Text,
};
use crate::{cpu_times, dontfork, ids, keeper, own_processes, revive};

/// A snapshot that somebody wants.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Who asks.
    pub ask: Ask,
    /// Since when, on CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// What to call it.
    pub label: Text,
}

/// The session that a snapshot is taken in.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    /// Where the supervisor listens.
    pub name: &'static [u8],
    /// The trigger: may be open during a take, so that more requests are counted, and is
    /// blocked while the copy is made.
    pub trigger: SignalSet,
    /// Signals that may be the session's own business.
    pub kept: SignalSet,
    /// Whether one of those, which waits, is the session's business alone: it is not in the
    /// snapshot then.
    pub is_kept: fn(&SignalInfo) -> bool,
    /// Memory that asks to be wiped in copies is wiped in one that comes back to life, too.
    pub reseed: bool,
    /// Runs in a copy that has come back to life, before any thread of the program does,
    /// with the pid that it has now.
    pub revived: fn(i32),
}

/// How a take went, seen from the code that asked for it.
#[derive(Debug, Clone, Copy)]
pub enum Outcome {
    /// This is the live process, and the snapshot is there.
    Live {
        /// The snapshot's number.
        id: u32,
    },
    /// This is the snapshot, come back to life.
    Revived {
        /// The snapshot's number.
        id: u32,
        /// When the revert was asked for, or the branch died, on CLOCK_MONOTONIC.
        asked_ns: u64,
        /// How the branch before ended.
        ended: Ended,
        /// How many recorded things could not be put back.
        not_restored: u32,
    },
    /// There is no snapshot; the program goes on.
    Refused(Option<Obstacle>),
}

/// An outcome, and what is known of the interrupted first thread: the supervisor has
/// looked at it before it sent its signal.
pub type Taken = (Outcome, Glimpse);

/// Takes a snapshot of the calling process by way of the session's supervisor.
///
/// # Safety
/// It must be the caller's turn, and the calling thread the one that [`in_first_thread`]
/// has chosen. It must be able to leave from here in two processes, one after the other.
pub unsafe fn take(session: &Session, wish: Wish) -> Taken {
    let mut glimpse = Glimpse::default();
    let failed = |step, errno: Errno| Outcome::Refused(Some(Obstacle::Failed(step, errno.0)));
    let link = match Link::connect(session.name) {
        Ok(link) => link,
        Err(errno) => return (failed(Step::Link, errno), glimpse),
    };
    // SAFETY: passed on to the caller.
    let outcome = unsafe { converse(link, session, wish, &mut glimpse) };
    // In a revived copy this descriptor has been closed long since, and its number may be
    // the program's own again.
    if !matches!(outcome, Ok(Outcome::Revived { .. })) {
        link.close();
    }
    let outcome = outcome.unwrap_or_else(|errno| failed(Step::Talk, errno));
    (outcome, glimpse)
}

/// Tells the supervisor that a snapshot is wanted and can't be: the first thread did not
/// come to take it.
pub fn report_hindrance(session: &Session, wish: Wish, obstacle: Obstacle) {
    let Ok(link) = Link::connect(session.name) else {
        // With nobody to tell there is nobody who waits.
        return;
    };
    let _ = begin(link, wish).and_then(|()| link.say(FromAgent::Hindered(obstacle)));
    // The answer to the first says that it has been understood.
    let _ = link.hear();
    link.close();
}

fn begin(link: Link, Wish { ask, at_ns, label }: Wish) -> sys::Result<()> {
    link.say(FromAgent::Begin { ask, at_ns, label })
}

/// The conversation of one take; an error is one of the link.
unsafe fn converse(
    link: Link,
    session: &Session,
    wish: Wish,
    glimpse: &mut Glimpse,
) -> sys::Result<Outcome> {
    begin(link, wish)?;
    timing::mark(Moment::Begun);
    match park::park() {
        Ok(parked) => {
            timing::mark(Moment::Parked);
            // SAFETY: passed on to the caller, whose other threads are parked now.
            let outcome = unsafe { converse_parked(link, session, parked, glimpse) };
            // In a revived copy they have been made again, and let go.
            if !matches!(outcome, Ok(Outcome::Live { .. } | Outcome::Revived { .. })) {
                park::release();
            }
            outcome
        }
        Err(obstacle) => hindered(link, obstacle),
    }
}

fn hindered(link: Link, obstacle: Obstacle) -> sys::Result<Outcome> {
    link.say(FromAgent::Hindered(obstacle))?;
    Ok(Outcome::Refused(Some(obstacle)))
}

/// What every copy is made with.
struct Recorded {
    identity: Identity,
    /// None once it has been given back: before anything of the program runs, which may
    /// count on the place where it lies.
    lacking: Option<Lacking>,
}

impl Recorded {
    fn record(session: &Session) -> Result<Self, Obstacle> {
        Ok(Self {
            identity: Identity::record()?,
            lacking: Some(
                Lacking::record(session.kept, session.is_kept, session.reseed)
                    .map_err(|errno| Obstacle::Failed(Step::Record, errno.0))?,
            ),
        })
    }

    fn give_back(&mut self) {
        if let Some(lacking) = self.lacking.take() {
            lacking.release();
        }
    }
}

unsafe fn converse_parked(
    link: Link,
    session: &Session,
    parked: Parked,
    glimpse: &mut Glimpse,
) -> sys::Result<Outcome> {
    let mut recorded = match Recorded::record(session) {
        Ok(recorded) => recorded,
        Err(obstacle) => return hindered(link, obstacle),
    };
    if has_own_rseq(&recorded.identity) {
        recorded.give_back();
        return hindered(link, Obstacle::Libc(Disagreement::OwnRseq));
    }
    cpu_times::record();
    timing::mark(Moment::Recorded);
    link.say(FromAgent::Parked(crew(parked, &recorded.identity)))?;
    // A second copy is needed where the first lacks memory, and a third where another
    // thread of another process has kept more from it meanwhile, which there is none of.
    let mut word = link.hear();
    for _ in 0..3 {
        let (wanted, copy_link) = match word {
            Ok((
                FromSupervisor::Granted {
                    id,
                    glimpse: looked,
                    keeper,
                },
                Some(fd),
            )) => {
                *glimpse = looked;
                (Wanted { id, keeper }, Link::from_fd(fd))
            }
            answer => {
                recorded.give_back();
                return answer.map(|_| Outcome::Refused(None));
            }
        };
        // SAFETY: passed on to the caller.
        match unsafe { split(link, session, wanted, copy_link, &mut recorded) } {
            Ok(Made::Outcome(outcome)) => {
                recorded.give_back();
                return outcome;
            }
            Ok(Made::Spoilt(next)) => word = Ok(next),
            Err(obstacle) => {
                recorded.give_back();
                return hindered(link, obstacle);
            }
        }
    }
    recorded.give_back();
    hindered(link, Obstacle::Failed(Step::Split, libc::EAGAIN))
}

/// Whether any thread has an area of restartable sequences that can't be found again.
fn has_own_rseq(identity: &Identity) -> bool {
    identity.thread.has_own_rseq
        || roll::in_state(PARKED).any(|slot| {
            // SAFETY: the slot is PARKED, and this is the thread that has parked it.
            unsafe { slot.known() }.state.has_own_rseq
        })
}

/// What is told of the threads.
fn crew(parked: Parked, identity: &Identity) -> Crew {
    let own = identity.thread;
    let mut robust = u32::from(own.holds_robust_mutex());
    let mut other_users = 0;
    for slot in roll::in_state(PARKED) {
        // SAFETY: the slot is PARKED, and this is the thread that has parked it.
        let state = &unsafe { slot.known() }.state;
        robust += u32::from(state.holds_robust_mutex());
        other_users += u32::from(!state.has_credentials_of(&own));
    }
    Crew {
        tid: sys::gettid(),
        threads: parked.threads,
        workers: parked.workers,
        robust,
        other_users,
        has_children: sys::has_children(),
        priority_inheritance: mutexes::uses_priority_inheritance(),
        lost_calls: restart::take_lost(),
    }
}

/// The copy that the supervisor grants.
#[derive(Clone, Copy)]
struct Wanted {
    /// The snapshot's number.
    id: u32,
    /// Whether a keeper is to be made as well.
    keeper: bool,
}

/// What has come of a copy.
enum Made {
    /// The take is over, on either side.
    Outcome(sys::Result<Outcome>),
    /// It lacks memory: the supervisor has granted another one, by this word.
    Spoilt(Heard),
}

/// A message of the supervisor's, and the descriptor that came with it.
type Heard = (FromSupervisor, Option<i32>);

/// Makes a copy and waits for the supervisor's word.
unsafe fn split(
    link: Link,
    session: &Session,
    wanted: Wanted,
    copy_link: Link,
    recorded: &mut Recorded,
) -> Result<Made, Obstacle> {
    let failed = |errno: Errno| Obstacle::Failed(Step::Split, errno.0);
    // A handler must not run in the copy before it has frozen.
    let open = sys::block(session.trigger);
    // It settles while the copy is made and records. Where there is no room for one the
    // supervisor hears of none, and says so.
    // SAFETY: the supervisor has said that there is none, and this is the thread whose turn
    // it is.
    let keeper = (wanted.keeper)
        .then(|| unsafe { keeper::begin(link, recorded.identity.parent) })
        .and_then(Result::ok);
    let pages = dontfork::open();
    // SAFETY: all other threads are parked.
    let side = pages.and_then(|pages| Ok((unsafe { split_for_parent() }?, pages)));
    match side {
        Ok((Side::Copy, pages)) => {
            // Its maker says so too; but it may die before that.
            own_processes::add(sys::getpid());
            link.close();
            // First: from then on the supervisor knows which process this is. Where it is
            // gone, Ready finds that out.
            let _ = copy_link.say(FromAgent::Made);
            recorded.identity.settle(wanted.id);
            match dontfork::is_whole(pages) {
                Ok(true) => {}
                Ok(false) => end_as_spoilt(copy_link),
                Err(errno) => end_unrecorded(copy_link, Step::Split, errno),
            }
            let outcome = live_as_frozen(session, wanted.id, copy_link, recorded);
            sys::set_mask(open);
            Ok(Made::Outcome(Ok(outcome)))
        }
        Ok((Side::Original(frozen_pid), _)) => {
            own_processes::add(frozen_pid);
            timing::mark(Moment::Split);
            dontfork::close();
            sys::set_mask(open);
            copy_link.close();
            // A refusal may have come already, and then nobody hears this.
            let _ = link.say(FromAgent::Split);
            if let Some(keeper) = keeper {
                keeper.settle();
            }
            wait_for_word(link, recorded, failed)
        }
        Err(errno) => {
            dontfork::close();
            sys::set_mask(open);
            // First the reason, and then the end of the copy's link, which would pass for the
            // end of a copy.
            let outcome = hindered(link, failed(errno));
            copy_link.close();
            if let Some(keeper) = keeper {
                keeper.settle();
            }
            Ok(Made::Outcome(outcome))
        }
    }
}

/// A copy that lacks memory has recorded nothing and says so; it stays until its original
/// has heard of it, so that its number is no other's, and ends with its link.
fn end_as_spoilt(link: Link) -> ! {
    if link.say(FromAgent::Again).is_ok() {
        while link.hear().is_ok() {}
    }
    sys::exit_group(0);
}

/// A copy that can't be one says why, and ends.
fn end_unrecorded(link: Link, step: Step, errno: Errno) -> ! {
    // Where nobody hears it there is nobody to tell.
    let _ = link.say(FromAgent::Spoilt(step, errno.0));
    sys::exit_group(0);
}

fn wait_for_word(
    link: Link,
    recorded: &mut Recorded,
    failed: impl FnOnce(Errno) -> Obstacle,
) -> Result<Made, Obstacle> {
    match link.hear() {
        Ok(word @ (FromSupervisor::Granted { .. }, _)) => match dontfork::look() {
            Ok(()) => Ok(Made::Spoilt(word)),
            Err(errno) => {
                if let Some(fd) = word.1 {
                    sys::close(fd);
                }
                Err(failed(errno))
            }
        },
        Ok((word, _)) => Ok(Made::Outcome(Ok(go_on(link, recorded, word)))),
        Err(errno) => Ok(Made::Outcome(Err(errno))),
    }
}

fn go_on(link: Link, recorded: &mut Recorded, word: FromSupervisor) -> Outcome {
    match word {
        FromSupervisor::Go { id } => {
            timing::mark(Moment::Complete);
            recorded.give_back();
            park::release();
            timing::mark(Moment::Released);
            // The snapshot stands, whether or not anybody hears this.
            let _ = link.say(FromAgent::Running(Running {
                at_ns: sys::now_ns(),
                renewed: 0,
            }));
            Outcome::Live { id }
        }
        _ => Outcome::Refused(None),
    }
}

/// In a frozen copy: whether it could come back to life, as far as that can be told while
/// the branch lives. If somebody is to hear of it, a copy of this copy stays behind.
fn prepare(threads: u32, spare: Option<Link>, identity: &Identity) -> Result<Side, Obstacle> {
    // SAFETY: a frozen copy has one thread, and the others were parked.
    let rehearsed = unsafe { revive::rehearse(threads) };
    let side = match (rehearsed, spare) {
        (Err(errno), _) => Err(Obstacle::Failed(Step::Revive, errno.0)),
        (Ok(()), None) => Ok(Side::Original(0)),
        (Ok(()), Some(_)) => {
            let split = split_aside(identity);
            split.map_err(|errno| Obstacle::Failed(Step::Split, errno.0))
        }
    };
    match side {
        Ok(Side::Copy) => own_processes::add(sys::getpid()),
        Ok(Side::Original(pid)) if spare.is_some() => own_processes::add(pid),
        _ => {}
    }
    if !matches!(side, Ok(Side::Copy))
        && let Some(spare) = spare
    {
        spare.close();
    }
    side
}

/// In a frozen copy: makes a copy under a number that the program does not want back. The
/// branch may have ended, and the next number that the kernel gives be one of its own.
fn split_aside(identity: &Identity) -> Result<Side, Errno> {
    let is_wanted = |pid| {
        pid == identity.pid
            || roll::in_state(PARKED).any(|slot| slot.tid.load(Ordering::Relaxed) == pid)
    };
    loop {
        // SAFETY: a frozen copy has one thread, and the others were parked.
        match unsafe { split_for_parent() }? {
            // It gives the number back before anybody has heard of it.
            Side::Copy if is_wanted(sys::getpid()) => sys::exit_group(0),
            Side::Original(pid) if is_wanted(pid) => ids::wait_until_free(pid),
            side => return Ok(side),
        }
    }
}

/// In a woken copy: takes over the ids that it may have again, and makes its threads.
///
/// # Errors
/// EAGAIN, ENOMEM: there is no room. The copy is what it was then, but that it may have its
/// id already.
///
/// # Safety
/// As [`revive::recreate`].
unsafe fn make_again(
    link: Link,
    identity: &Identity,
    same_ids: Option<i32>,
) -> Result<revive::Recreated, Errno> {
    // An attempt before this one may have got it.
    if let Some(outer_pid) = same_ids
        && sys::getpid() != identity.pid
    {
        let _ = link.say(FromAgent::Becoming);
        // SAFETY: a frozen copy has one thread, the copy of the recorded one.
        match unsafe { identity.take_over_id(outer_pid) } {
            Ok(()) => {}
            // There is room for none, or soon there will be.
            Err(errno @ Errno(libc::EAGAIN | libc::ENOMEM)) => {
                let _ = link.say(FromAgent::Stayed { errno: errno.0 });
                return Err(errno);
            }
            Err(errno) => {
                let _ = link.say(FromAgent::Stayed { errno: errno.0 });
            }
        }
    }
    // SAFETY: the caller's promise.
    unsafe { revive::recreate(&identity.thread) }
}

/// The life of a frozen copy, from the split to its return into the program.
fn live_as_frozen(session: &Session, id: u32, link: Link, recorded: &mut Recorded) -> Outcome {
    let mut link = link;
    let Recorded { identity, lacking } = recorded;
    let identity = &*identity;
    ids::forget_choice();
    let room = Room::make();
    let mut tell = |remains| {
        // Where nobody hears it the supervisor is gone, which Ready finds out.
        let _ = link.say(FromAgent::Remains(remains));
    };
    let shared = Shared::record(&[link.fd()], identity.pid, identity.tid, &mut tell)
        .and_then(|shared| shared.let_go().map(|()| shared));
    let mut shared = match shared {
        Ok(shared) => shared,
        Err(errno) => end_unrecorded(link, Step::Record, errno),
    };
    let mut is_ready = false;
    loop {
        if !is_ready && link.say(FromAgent::Ready).is_err() {
            sys::exit_group(0);
        }
        is_ready = true;
        let woken = match freeze(link, |closed| shared.let_go_of(closed)) {
            Word::Revive(woken) => woken,
            Word::Prepare { threads, spare } => {
                match prepare(threads, spare, identity) {
                    Ok(Side::Copy) => {
                        // The snapshot stays, in this copy of the copy.
                        link.close();
                        link = spare.unwrap_or(link);
                        let _ = link.say(FromAgent::Made);
                        identity.settle(id);
                        is_ready = false;
                    }
                    Ok(Side::Original(_)) => {
                        let _ = link.say(FromAgent::Prepared);
                    }
                    Err(obstacle) => {
                        let _ = link.say(FromAgent::Hindered(obstacle));
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
                let _ = link.say(FromAgent::NotRestored { part, count });
            }
        };
        // First: what is mapped of a file may be a thread's stack.
        shared.open(&mut count);
        if let Some(lacking) = &lacking {
            lacking.prepare();
        }
        // SAFETY: this is the copy's only thread, and the others were parked.
        let revived = match unsafe { make_again(link, identity, same_ids) } {
            Ok(revived) => revived,
            Err(errno) => {
                let obstacle = Obstacle::Failed(Step::Revive, errno.0);
                let _ = link.say(FromAgent::Hindered(obstacle));
                // Where that fails, what it has ends with the snapshot.
                let _ = shared.let_go();
                // By whichever number: it sleeps again, as the snapshot that it was.
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
        // What was mapped anew is kept from copies like the rest.
        dontfork::close();
        own_processes::remove(sys::getpid());
        cpu_times::revive(identity.tid);
        turn::begin_new_life();
        (session.revived)(sys::getpid());
        let renewed = revived.renewed + identity.renewed();
        // Whoever ends this process from here on ends the program.
        let _ = link.say(FromAgent::Opening { renewed });
        // From here on the program runs. Whoever says so may get no processor before the last
        // of its threads has had one.
        let open_ns = revive::open_gate();
        let _ = link.say(FromAgent::Running(Running {
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
