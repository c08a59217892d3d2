//! Take, in the inverted orientation: the copy freezes, the program lives on.
//!
//! ```text
//! live                          supervisor                    frozen
//!  Begin ─────────────────────▶ is it the time for one?
//!  park
//!  Guards ────────────────────▶ the first time: the journal gets it
//!  Parked ────────────────────▶ checks what can't roll back
//!  ◀───────────────── Granted + a link for the copy
//!  Listener ──────────────────▶ the first time: the journal gets it
//!  split ─────────────────────────────────────────────────────▶
//!  Split ─────────────────────▶         ◀────────────────────── Made
//!                                                               record
//!                                       ◀───────────────────── Ready
//!  ◀────────────────────── Go   the snapshot exists             sleeps
//!  release
//!  Running ───────────────────▶ reports it
//! ```
//!
//! Until `Go`, killing the copy undoes everything: whatever fails, the program goes on
//! untouched.
//!
//! Context: AS-SAFE. Called by the agent, in the program's first thread.
#![expect(unsafe_code, reason = "splits the process")]

use super::{
    frozen::{end_unrecorded, live_as_frozen},
    recorded::Recorded,
    session::{Outcome, Session, TakeRequest, Taken},
};

use crate::acts::{
    park::{self, Parked},
    split::split_for_parent,
};
use crate::objects::{file_contents, set_file_contents};
use crate::process::{
    cpu_times, dontfork,
    identity::Identity,
    keeper,
    listener::{self, Listener},
    own_processes, write_guard,
};
use crate::sys::{self, Errno, Side};
use crate::terms::{
    Disagreement, InterruptedCall, Obstacle, Running, Step, ThreadCounts, comes_back::FileContents,
};
use crate::threads::{
    mutexes, restart, shielded,
    slots::{self, PARKED},
    timing::{self, Moment},
    withdrawn,
};
use crate::wire::{FromFrozen, FromTaker, Frozen, Taker, ToTaker, link::Link};

/// Takes a snapshot of the calling process by way of the session's supervisor.
///
/// # Safety
/// The caller must have the turn, and be the thread that [`super::opening`] has chosen. It must
/// be able to return from here in two processes, one after the other.
pub unsafe fn take(session: &Session, request: TakeRequest) -> Taken {
    let mut interrupted_call = InterruptedCall::default();
    let failed = |step, errno: Errno| Outcome::Refused(Some(Obstacle::Failed(step, errno.0)));
    let link = match Link::connect(session.name) {
        Ok(link) => link,
        Err(errno) => return (failed(Step::Link, errno), interrupted_call),
    };
    let TakeRequest { ask, at_ns, label } = request;
    let link = match link.begin(ask, at_ns, label) {
        Ok(link) => link,
        Err(errno) => return (failed(Step::Talk, errno), interrupted_call),
    };
    // SAFETY: passed on to the caller.
    let outcome = unsafe { converse(&link, session, &mut interrupted_call) };
    // A revived copy has closed this descriptor already, and the program may use its number
    // again.
    if !matches!(outcome, Ok(Outcome::Revived { .. })) {
        link.close();
    }
    let outcome = outcome.unwrap_or_else(|errno| failed(Step::Talk, errno));
    (outcome, interrupted_call)
}

/// Reports a take that can't be made: the first thread did not come for it.
///
/// # Errors
/// If the supervisor can't be reached, as in [`Link::connect`].
pub fn report_hindrance(
    session: &Session,
    request: TakeRequest,
    obstacle: Obstacle,
) -> sys::Result<()> {
    let link = Link::connect(session.name)?;
    let TakeRequest { ask, at_ns, label } = request;
    let link = link.begin(ask, at_ns, label)?;
    let said = link.say(FromTaker::Hindered(obstacle));
    // The answer means that the supervisor has understood.
    let heard = said.and_then(|()| link.hear());
    link.close();
    heard.map(drop)
}

/// The conversation of one take; an error is one of the link.
unsafe fn converse(
    link: &Link<Taker>,
    session: &Session,
    interrupted_call: &mut InterruptedCall,
) -> sys::Result<Outcome> {
    timing::mark(Moment::Begun);
    match park::park() {
        Ok(parked) => {
            timing::mark(Moment::Parked);
            // SAFETY: passed on to the caller, whose other threads are parked now.
            let outcome = unsafe { converse_parked(link, session, parked, interrupted_call) };
            // A revived copy has made them again, and let go.
            if !matches!(outcome, Ok(Outcome::Live { .. } | Outcome::Revived { .. })) {
                park::release();
            }
            outcome
        }
        Err(obstacle) => hindered(link, obstacle),
    }
}

fn hindered(link: &Link<Taker>, obstacle: Obstacle) -> sys::Result<Outcome> {
    link.say(FromTaker::Hindered(obstacle))?;
    Ok(Outcome::Refused(Some(obstacle)))
}

unsafe fn converse_parked(
    link: &Link<Taker>,
    session: &Session,
    parked: Parked,
    interrupted_call: &mut InterruptedCall,
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
    hand_guards(link);
    link.say(FromTaker::Parked(count_threads(parked, &recorded.identity)))?;
    // A second copy is needed if the first lacks memory. A third would be needed only if
    // another thread had marked more memory meanwhile, but all are parked.
    let mut word = link.hear();
    for _ in 0..3 {
        let (wanted, copy_link) = match word {
            Ok((
                ToTaker::Granted {
                    id,
                    interrupted_call: looked,
                    keeper,
                    journal,
                },
                Some(fd),
            )) => {
                *interrupted_call = looked;
                if journal {
                    hand_listener(link);
                }
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
            Ok(Made::Failed(next)) => word = Ok(next),
            Err(obstacle) => {
                recorded.give_back();
                return hindered(link, obstacle);
            }
        }
    }
    recorded.give_back();
    hindered(link, Obstacle::Failed(Step::Split, libc::EAGAIN))
}

/// Has the kernel ask about calls that change files, from now on, and gives the supervisor the
/// listener. The take goes on without it too.
///
/// It comes before the split, so that the copy has the same filter, and neither the program nor
/// the copy has the listener.
fn hand_listener(link: &Link<Taker>) {
    // If the supervisor is gone, the next message finds that out.
    let _ = match listener::listen() {
        Ok(Listener {
            fd,
            no_new_privs,
            is_restricted,
            waits_killable,
        }) => {
            withdrawn::begin();
            shielded::shield_all();
            let handed = link.hand(
                FromTaker::Listener {
                    no_new_privs,
                    is_restricted,
                    waits_killable,
                },
                fd,
            );
            sys::close(fd);
            set_file_contents(FileContents::Kept);
            handed
        }
        Err(Errno(errno)) => link.say(FromTaker::NoListener { errno }),
    };
}

/// The first time in a program: lets its write functions ask before they overwrite a guarded
/// file, and gives the supervisor the memory that says which files are guarded. The take goes on
/// without it too.
fn hand_guards(link: &Link<Taker>) {
    if file_contents() == FileContents::Left {
        return;
    }
    // SAFETY: all other threads are parked.
    if let Ok(Some(fd)) = unsafe { write_guard::begin() } {
        // If the supervisor is gone, the next message finds that out.
        let _ = link.hand(FromTaker::Guards, fd);
        sys::close(fd);
    }
}

/// Whether any thread has a restartable-sequences area that can't be found again.
fn has_own_rseq(identity: &Identity) -> bool {
    identity.thread.has_own_rseq
        || slots::in_state(PARKED).any(|slot| {
            // SAFETY: the slot is PARKED, and this is the thread that has parked it.
            unsafe { slot.known() }.state.has_own_rseq
        })
}

/// Counts the parked threads, and those of them that need care.
fn count_threads(parked: Parked, identity: &Identity) -> ThreadCounts {
    let own = identity.thread;
    let mut robust = u32::from(own.holds_robust_mutex());
    let mut other_users = 0;
    for slot in slots::in_state(PARKED) {
        // SAFETY: the slot is PARKED, and this is the thread that has parked it.
        let state = &unsafe { slot.known() }.state;
        robust += u32::from(state.holds_robust_mutex());
        other_users += u32::from(!state.has_credentials_of(&own));
    }
    ThreadCounts {
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
    /// Whether to make a keeper too.
    keeper: bool,
}

/// What became of a copy.
enum Made {
    /// The take is over, on either side.
    Outcome(sys::Result<Outcome>),
    /// The copy lacks memory, and with this message the supervisor grants another one.
    Failed(Heard),
}

/// A message from the supervisor, and the descriptor that came with it.
type Heard = (ToTaker, Option<i32>);

/// Makes a copy and waits for the supervisor's word.
unsafe fn split(
    link: &Link<Taker>,
    session: &Session,
    wanted: Wanted,
    copy_link: Link<Frozen>,
    recorded: &mut Recorded,
) -> Result<Made, Obstacle> {
    let failed = |errno: Errno| Obstacle::Failed(Step::Split, errno.0);
    // No handler may run in the copy before it has frozen.
    let open = sys::block(session.trigger);
    // The keeper settles while the copy is made and records. If there is no room for one, the
    // supervisor sees that none speaks. SAFETY: the supervisor has said that there is none, and
    // this thread has the turn.
    let keeper = (wanted.keeper)
        .then(|| unsafe { keeper::begin(link, recorded.identity.parent) })
        .and_then(Result::ok);
    let pages = dontfork::open();
    // SAFETY: all other threads are parked.
    let side = pages.and_then(|pages| Ok((unsafe { split_for_parent() }?, pages)));
    match side {
        Ok((Side::Copy, pages)) => {
            // The live process says so too, but may die before that.
            own_processes::add(sys::getpid());
            link.leave();
            // First: now the supervisor knows which process this is. If the supervisor is gone,
            // Ready finds that out.
            let _ = copy_link.say(FromFrozen::Made);
            recorded.identity.settle(wanted.id);
            match dontfork::is_whole(pages) {
                Ok(true) => {}
                Ok(false) => end_as_spoilt(&copy_link),
                Err(errno) => end_unrecorded(&copy_link, Step::Split, errno),
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
            // If this fails a refusal has come already.
            let _ = link.say(FromTaker::Split);
            if let Some(keeper) = keeper {
                keeper.settle();
            }
            wait_for_word(link, recorded, failed)
        }
        Err(errno) => {
            dontfork::close();
            sys::set_mask(open);
            // The reason goes first: the end of the copy's link alone would look like the end
            // of a copy.
            let outcome = hindered(link, failed(errno));
            copy_link.close();
            if let Some(keeper) = keeper {
                keeper.settle();
            }
            Ok(Made::Outcome(outcome))
        }
    }
}

/// A copy that lacks memory has recorded nothing and says so. It stays until its original has
/// heard of it, so that no other process gets its number, and ends with its link.
fn end_as_spoilt(link: &Link<Frozen>) -> ! {
    if link.say(FromFrozen::Again).is_ok() {
        while link.hear().is_ok() {}
    }
    sys::exit_group(0);
}

fn wait_for_word(
    link: &Link<Taker>,
    recorded: &mut Recorded,
    failed: impl FnOnce(Errno) -> Obstacle,
) -> Result<Made, Obstacle> {
    match link.hear() {
        Ok(word @ (ToTaker::Granted { .. }, _)) => match dontfork::look() {
            Ok(()) => Ok(Made::Failed(word)),
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

fn go_on(link: &Link<Taker>, recorded: &mut Recorded, word: ToTaker) -> Outcome {
    match word {
        ToTaker::Go { id } => {
            timing::mark(Moment::Complete);
            recorded.give_back();
            park::release();
            timing::mark(Moment::Released);
            // The snapshot counts even if this fails.
            let _ = link.say(FromTaker::Running(Running {
                at_ns: sys::now_ns(),
                renewed: 0,
            }));
            Outcome::Live { id }
        }
        ToTaker::Granted { .. } | ToTaker::Denied => Outcome::Refused(None),
    }
}
