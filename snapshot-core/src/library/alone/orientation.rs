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
#![expect(unsafe_code, reason = "splits the process and shares a page")]

use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};

use crate::acts::{
    opening::{Work, in_turn},
    park, revive,
    session::Outcome,
    split::split_for_self,
};
use crate::objects::Shared;
use crate::process::{
    Lacking,
    identity::Identity,
    own_memory::keep_out,
    own_processes::{self, OwnProcesses},
};
use crate::sys::{self, ChildState, Errno, Side, SignalSet, Terminal};
use crate::terms::{Ended, Obstacle, Step};
use crate::threads::{
    layout,
    timing::{self, Moment},
    turn,
};
use crate::wire::LISTED;

/// The deepest stack of snapshots.
const DEEPEST: usize = LISTED;

/// A snapshot's number and place in the stack.
#[repr(C)]
struct Level {
    id: AtomicU32,
    /// Dropped or committed: it will never be revived.
    forgotten: AtomicU32,
}

/// The state that every process of the chain shares.
#[repr(C)]
struct Board {
    /// The number the next snapshot gets.
    next_id: AtomicU32,
    /// How many processes are frozen, forgotten snapshots included.
    depth: AtomicU32,
    /// The live process.
    live: AtomicI32,
    /// The snapshot a revert asked for; 0 for the newest.
    target: AtomicU32,
    /// How the live branch ended: 0 unknown; 2 reverted; 3 interrupted; 4, with the errno above
    /// it: its threads could not be made again, so it never ran.
    how: AtomicU32,
    /// When the revert was asked for: low and high half of CLOCK_MONOTONIC.
    asked_low: AtomicU32,
    asked_high: AtomicU32,
    stack: [Level; DEEPEST],
    /// The frozen processes: their descriptors are not a foreign program's.
    own: OwnProcesses,
}

/// The board, null until the first take. A copy inherits the mapping and the pointer.
static BOARD: AtomicPtr<Board> = AtomicPtr::new(core::ptr::null_mut());

fn board() -> Option<&'static Board> {
    // SAFETY: the pointer is null or a shared mapping that is never unmapped; the kernel has
    // zeroed it, and all fields are atomic.
    unsafe { BOARD.load(Ordering::Acquire).as_ref() }
}

fn make_board() -> Option<&'static Board> {
    if let Some(board) = board() {
        return Some(board);
    }
    let memory = sys::map_memory(size_of::<Board>(), true)?;
    keep_out(memory.as_ptr().addr());
    // Only the one thread of a parked process calls this, so nothing races here.
    BOARD.store(memory.cast().as_ptr(), Ordering::Release);
    let board = board()?;
    own_processes::begin(&board.own);
    board.next_id.store(1, Ordering::Relaxed);
    board.live.store(sys::getpid(), Ordering::Relaxed);
    Some(board)
}

impl Board {
    /// The frozen processes' places, oldest first.
    fn places(&self) -> &[Level] {
        let depth = self.depth.load(Ordering::Acquire) as usize;
        self.stack.get(..depth).unwrap_or(&self.stack)
    }

    fn set_asked(&self, now: u64) {
        self.asked_low
            .store((now & 0xffff_ffff) as u32, Ordering::Relaxed);
        self.asked_high.store((now >> 32) as u32, Ordering::Relaxed);
    }

    fn asked(&self) -> u64 {
        u64::from(self.asked_high.load(Ordering::Relaxed)) << 32
            | u64::from(self.asked_low.load(Ordering::Relaxed))
    }
}

/// Whether the calling process is the live one; true before the first take. A child that the
/// program has forked is not.
pub(crate) fn is_live() -> bool {
    board().is_none_or(|board| board.live.load(Ordering::Relaxed) == sys::getpid())
}

/// The snapshots that can be reverted to, oldest first, and their number.
pub(crate) fn list() -> (u32, [u32; LISTED]) {
    let mut ids = [0; LISTED];
    let mut count = 0_u32;
    for place in board().map_or(&[][..], Board::places) {
        if place.forgotten.load(Ordering::Relaxed) == 0
            && let Some(slot) = ids.get_mut(count as usize)
        {
            *slot = place.id.load(Ordering::Relaxed);
            count += 1;
        }
    }
    (count, ids)
}

/// Forgets one snapshot, or all of them. False if there is none with this number.
pub(crate) fn forget(id: Option<u32>) -> bool {
    let mut found = id.is_none();
    for place in board().map_or(&[][..], Board::places) {
        if id.is_none_or(|id| id == place.id.load(Ordering::Relaxed)) {
            found |= place.forgotten.swap(1, Ordering::Relaxed) == 0;
        }
    }
    found
}

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
                let errno = errno.0.unsigned_abs() << 8;
                board.how.store(4 | errno, Ordering::Release);
                sys::exit_group(0);
            }
            identity.restore();
            sys::set_parent_death_signal(libc::SIGKILL);
            lacking.restore(identity.tid);
            place.id.store(id, Ordering::Relaxed);
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
            let how = board.how.load(Ordering::Acquire);
            if how & 0xff == 4 {
                board.how.store(0, Ordering::Relaxed);
                identity.restore();
                Err(failed(Step::Revive)(Errno((how >> 8).cast_signed())))
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
        _ if state.code == libc::CLD_EXITED => Ended::Exited(state.status),
        _ => Ended::Killed(state.status),
    };
    let asked_ns = match ended {
        Ended::Reverted | Ended::Interrupted => board.asked(),
        _ => ended_ns,
    };
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
    let ended = loop {
        // A stop raises SIGCHLD here, but the end of this child raises nothing. So the child is
        // asked; poll only says when.
        match sys::wait_for_child(live, libc::WEXITED | libc::WSTOPPED | libc::WNOHANG) {
            Ok(state) if state.code == libc::CLD_STOPPED => {
                let _ = sys::kill(sys::getpid(), libc::SIGSTOP);
                let _ = sys::kill(live, libc::SIGCONT);
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

/// The terminal as the program had set it, and the group in front.
struct Screen {
    settings: Option<(i32, Terminal)>,
    foreground: Option<i32>,
}

impl Screen {
    fn record() -> Self {
        let settings = (0..3).find_map(|fd| Some((fd, sys::terminal(fd).ok()?)));
        Self {
            settings,
            foreground: settings.and_then(|(fd, _)| sys::foreground_group(fd).ok()),
        }
    }

    /// All signals are blocked here, SIGTTOU too, so the kernel lets a background process do
    /// it.
    fn restore(&self) {
        if let Some((fd, settings)) = &self.settings {
            if let Some(group) = self.foreground {
                let _ = sys::set_foreground_group(*fd, group);
            }
            let _ = sys::set_terminal(*fd, settings);
        }
    }
}
