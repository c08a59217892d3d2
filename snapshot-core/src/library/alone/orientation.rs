//! The classic orientation, for a program that calls the library without a launcher: the
//! caller's process freezes and waits, and its child lives on.
//!
//! A frozen process wakes when its child has ended. If that child asked for an older snapshot,
//! or this one has been dropped or committed meanwhile, it ends too, and the next older one
//! decides. Innermost first, so two are never awake.
//!
//! Their shared state lies in one shared page, the [`Board`].
//!
//! The frozen process's threads stay parked; the child's are made again.
//!
//! Limits: the pid and tids of the live process change with every take. Functions that use
//! libc's cached ids (`pthread_kill`, `pthread_cancel`, ...) don't find older threads. Memory
//! that is kept from copies (`MADV_DONTFORK`) is not in the live process. The program's own
//! children are not its children. A `kill -9` of the first process ends all the others too.
//!
//! Context: AS-SAFE. Called by [`crate::library::api`] and [`super::handlers`].
#![expect(unsafe_code, reason = "splits the process")]

use core::sync::atomic::Ordering;

use super::{
    board::{Board, Level, board, list, make_board},
    screen::Screen,
};
use crate::acts::{
    opening::{Work, in_turn},
    park, revive,
    session::Outcome,
    split::split_for_self,
};
use crate::objects::Shared;
use crate::process::{Lacking, identity::Identity, own_processes};
use crate::sys::{self, ChildState, Errno, Side, SignalSet};
use crate::terms::{Ended, Obstacle, Step};
use crate::threads::{
    layout,
    timing::{self, Moment},
    turn,
};

/// Forgets one snapshot, or all of them. False if there is none with this number.
pub(crate) fn forget(id: Option<u32>) -> bool {
    let mut found = id.is_none();
    for place in board().map_or(&[][..], Board::places) {
        if id.is_none_or(|id| id == place.id.load(Ordering::Relaxed)) {
            found |= place.forgotten.swap(1, Ordering::Relaxed) == 0;
        }
    }
    if let (true, Some(board)) = (found, board()) {
        // If it can't be done now, the next one that is forgotten tries again. SAFETY: this is called
        // in ordinary context, so this thread does not have the turn.
        let _ = unsafe { in_turn(&mut Leaving(board)) };
        if list().0 == 0 {
            board.notices.committed();
        }
    }
    found
}

/// Frozen processes that will never be revived end, so that snapshots that come and go don't pile up.
struct Leaving(&'static Board);

impl Work for Leaving {
    // The kernel ties the signal for a parent's death to the thread that has asked for it.
    fn in_first_thread(&mut self) {
        let open = sys::block(SignalSet::ALL);
        while end_newest_if_forgotten(self.0) {}
        sys::set_mask(open);
    }

    fn hindered(&mut self, _: Obstacle) {}
}

/// Ends the frozen process above the live one, if it is forgotten; the one above that adopts the live
/// process. The first process stays: whoever has started the program waits for it. Returns whether it
/// has ended.
fn end_newest_if_forgotten(board: &Board) -> bool {
    let [.., above, newest] = board.places() else {
        return false;
    };
    let ending = newest.pid.load(Ordering::Relaxed);
    if newest.forgotten.load(Ordering::Relaxed) == 0 || sys::getppid() != ending {
        return false;
    }
    let adopter = above.pid.load(Ordering::Relaxed);
    board.adoption.ask(adopter);
    // It looks at the board then, and passes this signal on to nobody.
    let _ = sys::kill(adopter, libc::SIGCONT);
    if !board.adoption.wait_until_ready(adopter, PATIENCE_NS) {
        return false;
    }
    sys::set_parent_death_signal(0);
    board.ending.store(ending, Ordering::Release);
    let _ = sys::kill(ending, libc::SIGCONT);
    // The kernel looks at the signal for a parent's death after it has changed the parent. When the
    // adopter has seen the end, that is over.
    while !board.adoption.wait_until_done(LOOK_NS) {
        if ![ending, adopter].contains(&sys::getppid()) {
            sys::exit_group(0);
        }
    }
    sys::set_parent_death_signal(libc::SIGKILL);
    if sys::getppid() != adopter {
        // Nobody waits for this process any more.
        sys::exit_group(0);
    }
    true
}

/// How long a frozen process may take to answer: others may have the processor.
const PATIENCE_NS: u64 = 1_000_000_000;

/// How often it looks whether the adopter still lives.
const LOOK_NS: u64 = 10_000_000;

/// Ends this process, and the requested snapshot goes on. Returns only if there is no such
/// snapshot.
pub(crate) fn revert(id: u32, how: Ended) {
    let (count, ids) = list();
    let ids = ids.get(..count as usize).unwrap_or(&[]);
    if ids.is_empty() || (id != 0 && !ids.contains(&id)) {
        return;
    }
    if let Some(board) = board() {
        board.set_asked(sys::now_ns());
        board.target.store(id, Ordering::Relaxed);
        board
            .how
            .store(u32::from(how.to_numbers().0), Ordering::Release);
        // No exit handlers: what they clean up belongs to the snapshot as well.
        sys::exit_group(0);
    }
}

/// A take by the library.
struct Taking(Outcome);

impl Work for Taking {
    fn in_first_thread(&mut self) {
        // No handler of the program may run before the copy has settled.
        let open = sys::block(SignalSet::ALL);
        // SAFETY: the threads that are not parked yet have nothing to do with this.
        let taken = unsafe { take_with_all_blocked() };
        self.0 = taken.unwrap_or_else(|obstacle| Outcome::Refused(Some(obstacle)));
        sys::set_mask(open);
    }

    fn hindered(&mut self, obstacle: Obstacle) {
        self.0 = Outcome::Refused(Some(obstacle));
    }
}

/// Takes a snapshot: returns `Live` in the child, and `Revived` in the caller's process when
/// the child has ended. Waits while another thread takes one.
///
/// # Safety
/// As [`crate::acts::take::take`]. The caller must not be in the middle of a take itself.
pub(crate) unsafe fn take() -> Outcome {
    layout::discover();
    let mut taking = Taking(Outcome::Refused(None));
    // SAFETY: the caller does not have the turn; what is called is the engine.
    match unsafe { in_turn(&mut taking) } {
        Ok(()) => taking.0,
        Err(errno) => Outcome::Refused(Some(Obstacle::Failed(Step::Park, errno.0))),
    }
}

unsafe fn take_with_all_blocked() -> Result<Outcome, Obstacle> {
    timing::mark(Moment::Begun);
    park::park()?;
    timing::mark(Moment::Parked);
    // SAFETY: all other threads are parked.
    let taken = unsafe { take_parked() };
    // The child has other threads, and releases them itself.
    if !matches!(taken, Ok(Outcome::Live { .. })) {
        park::release();
    }
    taken
}

unsafe fn take_parked() -> Result<Outcome, Obstacle> {
    let failed = |step| move |errno: Errno| Obstacle::Failed(step, errno.0);
    let board = make_board().ok_or(Obstacle::Failed(Step::Record, libc::ENOMEM))?;
    let place = board
        .stack
        .get(board.depth.load(Ordering::Acquire) as usize)
        .ok_or(Obstacle::Failed(Step::Split, libc::EAGAIN))?;
    let identity = Identity::record()?;
    // Before the split: after it the live side changes them at once.
    let shared = Shared::record(&[], sys::getpid(), sys::gettid(), &mut |_| {})
        .map_err(failed(Step::Record))?;
    let lacking = Lacking::record(SignalSet(0), |_| false, false).map_err(failed(Step::Record))?;
    let screen = Screen::record();
    let pending = sys::pending();
    let id = board.next_id.fetch_add(1, Ordering::Relaxed);
    let frozen = sys::getpid();
    timing::mark(Moment::Recorded);
    // SAFETY: all other threads are parked.
    let side = unsafe { split_for_self() }.map_err(failed(Step::Split))?;
    let outcome = match side {
        Side::Copy => {
            timing::mark(Moment::Split);
            sys::set_parent_death_signal(libc::SIGKILL);
            if sys::getppid() != frozen {
                sys::exit_group(0);
            }
            lacking.prepare();
            // SAFETY: this is the copy's only thread, and the others were parked.
            if let Err(errno) = unsafe { revive::recreate(&identity.thread) } {
                board.say_not_begun(errno);
                sys::exit_group(0);
            }
            identity.restore();
            sys::set_parent_death_signal(libc::SIGKILL);
            lacking.restore(identity.tid);
            place.id.store(id, Ordering::Relaxed);
            place.pid.store(frozen, Ordering::Relaxed);
            place.forgotten.store(0, Ordering::Relaxed);
            board.live.store(sys::getpid(), Ordering::Relaxed);
            board.depth.fetch_add(1, Ordering::AcqRel);
            timing::mark(Moment::Complete);
            revive::open_gate();
            timing::mark(Moment::Released);
            Ok(Outcome::Live { id })
        }
        Side::Original(live) => {
            own_processes::add(frozen);
            identity.show_as_frozen(id);
            let let_go = shared.let_go();
            let state = wait_for_end(board, live, SignalSet::ALL.without(pending));
            own_processes::remove(live);
            own_processes::remove(frozen);
            if let Some(errno) = board.take_not_begun() {
                identity.restore();
                Err(failed(Step::Revive)(errno))
            } else {
                Ok(go_on(
                    board,
                    place,
                    id,
                    state,
                    pending,
                    || {
                        identity.restore()
                            + u32::from(let_go.is_err())
                            + shared.open(&mut |_, _| {})
                            + shared.restore(&mut |_, _| {})
                            + lacking.restore_in_original()
                    },
                    &screen,
                ))
            }
        }
    };
    shared.release();
    lacking.release();
    outcome
}

/// The frozen process goes on: the child that lived in its place has ended.
fn go_on(
    board: &Board,
    place: &Level,
    id: u32,
    state: ChildState,
    pending: SignalSet,
    restore: impl FnOnce() -> u32,
    screen: &Screen,
) -> Outcome {
    let ended_ns = sys::now_ns();
    // If the copy died before its entry was made, this place is still empty, and there is
    // nothing to leave.
    let _ = board
        .depth
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, |depth| {
            let own = core::ptr::from_ref(place);
            let entered = board
                .stack
                .get((depth as usize).wrapping_sub(1))
                .is_some_and(|top| core::ptr::eq(top, own));
            entered.then(|| depth - 1)
        });
    let target = board.target.load(Ordering::Relaxed);
    let forgotten = place.forgotten.swap(0, Ordering::Relaxed) != 0;
    if forgotten || (target != 0 && target != id) {
        pass_end_on(board, state);
    }
    board.target.store(0, Ordering::Relaxed);
    board.live.store(sys::getpid(), Ordering::Relaxed);
    let asked = u8::try_from(board.how.swap(0, Ordering::AcqRel)).ok();
    let ended = match asked.and_then(|how| Ended::from_numbers(how, 0)) {
        Some(asked @ (Ended::Reverted | Ended::Interrupted)) => asked,
        _ => Ended::of_child(state.code, state.status),
    };
    let asked_ns = match ended {
        Ended::Reverted | Ended::Interrupted => board.asked(),
        _ => ended_ns,
    };
    board.notices.reverts();
    let not_restored = restore();
    screen.restore();
    turn::begin_new_life();
    // Signals that came while this process was frozen were for the live one. Signals that
    // waited before were not, and neither was the end of a child of the program's own.
    while sys::take_pending(SignalSet::ALL.without(pending)).is_some() {}
    if sys::has_ended_child() {
        let _ = sys::kill(sys::getpid(), libc::SIGCHLD);
    }
    Outcome::Revived {
        id,
        asked_ns,
        ended,
        not_restored,
    }
}

/// Ends this forgotten process the way its child ended, so that its parent sees the same end.
fn pass_end_on(board: &Board, state: ChildState) -> ! {
    if board.how.load(Ordering::Acquire) == 0 && state.code != libc::CLD_EXITED {
        let _ = sys::kill(sys::getpid(), libc::SIGCONT);
        let default = sys::KernelAction {
            handler: libc::SIG_DFL,
            flags: 0,
            restorer: 0,
            mask: SignalSet(0),
        };
        // SAFETY: the default action runs no code.
        let _ = unsafe { sys::sigaction(state.status, Some(&default)) };
        let _ = sys::kill(sys::getpid(), state.status);
        sys::unblock(SignalSet::only(state.status));
    }
    sys::exit_group(state.status)
}

/// Waits until the child that lives in this process's place has ended. Stops and goes on with
/// it, and passes it the signals of this set that arrive here.
fn wait_for_end(board: &Board, live: i32, passed: SignalSet) -> ChildState {
    let signals = sys::signalfd(passed).unwrap_or(-1);
    let own = sys::getpid();
    let was_reaper = sys::is_subreaper();
    let mut live = live;
    let ended = loop {
        if board.adoption.is_asked_of(own) {
            sys::set_subreaper(true);
            board.adoption.is_ready(own);
        }
        if board.ending.load(Ordering::Acquire) == own {
            // Its child has another who waits for it.
            sys::exit_group(0);
        }
        // A stop raises SIGCHLD here, but the end of this child raises nothing. So the child is
        // asked; poll only says when.
        match sys::wait_for_child(live, libc::WEXITED | libc::WSTOPPED | libc::WNOHANG) {
            Ok(state) if state.code == libc::CLD_STOPPED => {
                let _ = sys::kill(sys::getpid(), libc::SIGSTOP);
                let _ = sys::kill(live, libc::SIGCONT);
                continue;
            }
            // The process between has ended, and the live one is a child of this one now.
            Ok(state) if state.code != 0 && has_adopted(board, own) => {
                own_processes::remove(live);
                live = board.live.load(Ordering::Relaxed);
                sys::set_subreaper(was_reaper);
                board.depth.fetch_sub(1, Ordering::AcqRel);
                board.ending.store(0, Ordering::Release);
                board.adoption.end();
                continue;
            }
            Ok(state) if state.code != 0 => break state,
            Ok(_) => {}
            Err(Errno(libc::EINTR)) => continue,
            Err(_) => {
                break ChildState {
                    code: libc::CLD_EXITED,
                    status: 0,
                };
            }
        }
        let pidfd = sys::pidfd_open(live).unwrap_or(-1);
        // The pidfd reports the end at once; the signalfd reports stops and signals.
        let ready = sys::poll_readable([pidfd, signals], if pidfd < 0 { 10 } else { -1 });
        sys::close(pidfd);
        if let Ok([_, true]) = ready {
            while let Some(arrived) = sys::read_signalfd(signals) {
                let from_a_process = arrived.code <= 0 && arrived.sender != 0;
                if from_a_process && arrived.signal != libc::SIGCONT {
                    let _ = sys::kill(board.live.load(Ordering::Relaxed), arrived.signal);
                }
            }
        }
    };
    sys::close(signals);
    ended
}

/// Whether this process was asked to adopt the live one, and has.
fn has_adopted(board: &Board, own: i32) -> bool {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    board.adoption.is_by(own)
        && sys::wait_for_child(board.live.load(Ordering::Relaxed), options).is_ok()
}
