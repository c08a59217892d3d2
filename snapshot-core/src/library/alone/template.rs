//! A program that stands still, and of which copies are made: one after the other, each with all
//! threads, each from the same moment.
//!
//! The template parks its threads once and records itself once. Then it waits for requests. For each
//! it splits: the copy makes the threads again and goes on as the program; the template lets go of
//! what both share, waits for the copy's end, ends the processes that the copy has left behind, and
//! puts the shared things back as they were recorded. Nobody else sees two copies at a time.
//!
//! A copy that has changed nothing but memory may go back by itself instead; see [`super::again`].
//!
//! Limits: those of [`super::orientation`]. What a copy writes to files stays.
//!
//! Context: AS-SAFE: the parked threads may hold any lock. Called by [`crate::library::copies`].
#![expect(unsafe_code, reason = "splits the process")]

use core::sync::atomic::Ordering;

use super::{
    again::Again,
    board::{Board, board, make_board},
    living::{Living, Outcome},
    screen::Screen,
};
use crate::acts::{
    opening::{Work, in_turn},
    park, revive,
    split::split_for_self,
};
use crate::objects::Shared;
use crate::process::{
    Lacking, huge_pages, identity::Identity, offspring::Offspring, own_processes,
};
use crate::sys::{self, Errno, Side, SignalSet};
use crate::terms::{Ended, Gap, Obstacle, Step};
use crate::threads::{layout, turn};

/// Where requests for copies come from, and where their ends are told. All of it runs while the
/// program's threads are parked: nothing may allocate or wait for a lock.
pub(crate) trait Server {
    /// Its descriptors, which are not the program's. At most [`MOST_OWN`].
    fn own(&self) -> &[i32];

    /// The descriptor on which a request arrives; -1 if none has to arrive.
    fn source(&self) -> i32;

    /// The descriptor of who has asked for the copy that lives; -1 if there is none. If it becomes
    /// readable, he is gone: the copy is killed.
    fn asker(&self) -> i32 {
        -1
    }

    /// The program stands still, and could be recorded. This will not be the same in each copy.
    fn will_differ(&mut self, _gap: Gap) {}

    /// The next request; false if there is no further one.
    fn next(&mut self) -> bool;

    /// Whether the copy of the last request may go back and serve this one. Its work has to begin with
    /// [`super::again::begin`], and to end with [`super::again::end`].
    fn may_go_back(&self) -> bool {
        false
    }

    /// In the copy, before the program's threads run.
    fn in_copy(&mut self) {}

    /// The copy lives, under this number.
    fn begun(&mut self, _copy: i32) {}

    /// The copy has ended, and so many things could not be put back.
    fn ended(&mut self, ended: Ended, not_restored: u32);

    /// There was no room for the copy. Returns whether to go on; else [`serve`] fails with this.
    fn refused(&mut self, _obstacle: Obstacle) -> bool {
        false
    }
}

/// The most descriptors that a server may have.
pub(crate) const MOST_OWN: usize = 7;

/// In a copy: which request it serves, from 0.
pub(crate) fn run_number() -> u32 {
    board().map_or(0, |board| board.run.load(Ordering::Relaxed))
}

/// Who returns from [`serve`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A copy, for the newest request.
    Copy,
    /// The template, after the last request, or because a signal has told it to end.
    Template,
}

/// Signals that end the service, unless the program ignores them.
const ENDING: [i32; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// Serves as the template until there is no further request. Returns once in the template and once
/// in each copy.
///
/// # Errors
/// The program can't be stopped, recorded or copied. Then it goes on as before.
///
/// # Safety
/// The caller must not be in the middle of a take.
pub(crate) unsafe fn serve(server: &mut dyn Server) -> Result<Role, Obstacle> {
    layout::discover();
    let mut serving = Serving {
        server,
        outcome: Err(Obstacle::Failed(Step::Park, libc::EAGAIN)),
    };
    // SAFETY: the caller does not have the turn; what is called is the engine.
    unsafe { in_turn(&mut serving) }
        .map_err(|errno| Obstacle::Failed(Step::Park, errno.0))
        .and(serving.outcome)
}

struct Serving<'a> {
    server: &'a mut dyn Server,
    outcome: Result<Role, Obstacle>,
}

impl Work for Serving<'_> {
    fn in_first_thread(&mut self) {
        let open = sys::block(SignalSet::ALL);
        self.outcome = park::park().and_then(|parked| {
            // SAFETY: all other threads are parked.
            unsafe { serve_parked(self.server, parked.threads == 1) }
        });
        // A copy has other threads, and has released them.
        if self.outcome != Ok(Role::Copy) {
            park::release();
        }
        sys::set_mask(open);
    }

    fn hindered(&mut self, obstacle: Obstacle) {
        self.outcome = Err(obstacle);
    }
}

fn failed(step: Step) -> impl Fn(Errno) -> Obstacle {
    move |errno| Obstacle::Failed(step, errno.0)
}

unsafe fn serve_parked(server: &mut dyn Server, is_single: bool) -> Result<Role, Obstacle> {
    let board = make_board().ok_or(Obstacle::Failed(Step::Record, libc::ENOMEM))?;
    let signals = ending_signals().map_err(failed(Step::Record))?;
    // Without it no copy goes back.
    let run_ended = match is_single && server.may_go_back() {
        true => sys::eventfd(false).and_then(moved_high).unwrap_or(-1),
        false => -1,
    };
    let mut own = [signals; MOST_OWN + 2];
    own[MOST_OWN] = run_ended;
    for (place, &fd) in own.iter_mut().zip(server.own()) {
        *place = fd;
    }
    let pid = sys::getpid();
    own_processes::add(pid);
    let record = || {
        let identity = Identity::record()?;
        let offspring = Offspring::record().map_err(failed(Step::Record))?;
        Ok((identity, offspring))
    };
    let recorded = record().and_then(|(identity, offspring)| {
        let shared = Shared::record(&own, pid, sys::gettid(), &mut |gap| server.will_differ(gap))
            .map_err(failed(Step::Record))?;
        let lacking = Lacking::record(SignalSet(0), |_| false, false);
        let lacking = lacking.map_err(failed(Step::Record))?;
        let may_go_back = run_ended >= 0 && shared.is_still() && lacking.is_still();
        let again = may_go_back.then(|| Again::make(run_ended)).flatten();
        Ok(Standing {
            board,
            identity,
            offspring,
            shared,
            lacking,
            screen: Screen::record(),
            signals,
            again,
        })
    });
    let role = match recorded {
        Ok(standing) => {
            huge_pages::gather();
            let was_reaper = sys::is_subreaper();
            sys::set_subreaper(true);
            // SAFETY: the caller's promise.
            let role = unsafe { standing.serve(server) };
            if role != Ok(Role::Copy) {
                sys::set_subreaper(was_reaper);
                standing.end();
            }
            standing.release();
            role
        }
        Err(obstacle) => Err(obstacle),
    };
    if role != Ok(Role::Copy) {
        own_processes::remove(pid);
    }
    if role != Ok(Role::Copy) {
        sys::close(run_ended);
    }
    sys::close(signals);
    role
}

/// Tells the server that there is no copy; an error if it doesn't go on.
fn refused(server: &mut dyn Server, obstacle: Obstacle) -> Result<Role, Obstacle> {
    match server.refused(obstacle) {
        true => Ok(Role::Template),
        false => Err(obstacle),
    }
}

/// A descriptor that is readable once a signal of [`ENDING`] waits that did not wait before. Its
/// number is none that the program would get.
fn ending_signals() -> Result<i32, Errno> {
    let is_ignored = |signal| {
        // SAFETY: asks, and sets nothing.
        let action = unsafe { sys::sigaction(signal, None) };
        action.is_ok_and(|action| action.handler == libc::SIG_IGN)
    };
    let set = ENDING
        .into_iter()
        .filter(|&signal| !is_ignored(signal))
        .fold(SignalSet(0), |set, signal| {
            set.with(SignalSet::only(signal))
        });
    moved_high(sys::signalfd(set.without(sys::pending()))?)
}

/// Gives a descriptor a number that no program would get.
fn moved_high(fd: i32) -> Result<i32, Errno> {
    let moved = sys::duplicate_above(fd, HIGH).or_else(|_| sys::duplicate_above(fd, 0));
    sys::close(fd);
    moved
}

/// Above what programs use, if the limit allows it.
const HIGH: i32 = 900;

/// A template: the program as it was recorded.
struct Standing {
    board: &'static Board,
    identity: Identity,
    offspring: Offspring,
    shared: Shared,
    lacking: Lacking,
    screen: Screen,
    signals: i32,
    /// Where a copy may go back.
    again: Option<&'static Again>,
}

/// Which copies may go back. Those of a program whose runs always do what can't be undone shouldn't pay
/// for the preparation each time.
#[derive(Default)]
struct Offers {
    /// How many copies in a row have not gone back once.
    lost: u32,
    /// How many copies are left before the next may.
    left_out: u32,
}

impl Offers {
    fn next(&mut self) -> bool {
        let may = self.left_out == 0;
        self.left_out = self.left_out.saturating_sub(1);
        may
    }

    fn judge(&mut self, has_gone_back: bool) {
        self.lost = if has_gone_back { 0 } else { self.lost + 1 };
        self.left_out = (1 << self.lost.min(10)) >> 1;
    }
}

impl Standing {
    /// # Safety
    /// All other threads must be parked.
    unsafe fn serve(&self, server: &mut dyn Server) -> Result<Role, Obstacle> {
        let counts = self.board.notices.counts();
        let mut offers = Offers::default();
        let mut waiting: Option<Living> = None;
        let mut runs = 0;
        let mut outcome = Ok(Role::Template);
        while outcome.is_ok() && self.is_asked(server.source()) && server.next() {
            self.board.begin_anew(counts);
            self.board.run.store(runs, Ordering::Relaxed);
            runs += 1;
            if let (Some(living), Some(again)) = (waiting.take(), self.again) {
                if server.may_go_back() && living.is_there() {
                    again.go();
                    server.begun(living.pid());
                    offers.judge(true);
                    outcome = self.follow(server, living, 0, &mut waiting);
                    continue;
                }
                self.end_waiting(living);
            }
            let is_offered = self.again.is_some() && offers.next();
            if let Some(again) = self.again {
                again.offer(is_offered);
            }
            // SAFETY: the caller's promise.
            let side = match unsafe { split_for_self() } {
                Ok(side) => side,
                Err(errno) => {
                    outcome = refused(server, failed(Step::Split)(errno));
                    continue;
                }
            };
            match side {
                Side::Copy => {
                    // SAFETY: this is the copy's only thread.
                    unsafe { self.live_as_copy(server, is_offered) };
                    return Ok(Role::Copy);
                }
                Side::Original(copy) => {
                    let let_go = self.shared.let_go();
                    server.begun(copy);
                    let not_let_go = u32::from(let_go.is_err());
                    outcome = self.follow(server, Living::of(copy), not_let_go, &mut waiting);
                    if is_offered && waiting.is_none() {
                        offers.judge(false);
                    }
                }
            }
        }
        if let Some(living) = waiting {
            self.end_waiting(living);
        }
        if let Some(again) = self.again {
            // SAFETY: there is no copy.
            unsafe { again.release() };
        }
        self.board.begin_anew(counts);
        self.board.live.store(sys::getpid(), Ordering::Relaxed);
        outcome
    }

    /// Waits for the end of a run, and tells it. A copy that has gone back is left in `waiting`.
    fn follow(
        &self,
        server: &mut dyn Server,
        living: Living,
        not_let_go: u32,
        waiting: &mut Option<Living>,
    ) -> Result<Role, Obstacle> {
        match living.wait(self.again, server.asker(), self.signals) {
            Outcome::Waits(code) => {
                server.ended(Ended::Exited(code), not_let_go);
                *waiting = Some(living);
                Ok(Role::Template)
            }
            Outcome::Ended(ended) => {
                let not_restored = self.put_back(living.pid()) + not_let_go;
                living.release();
                match self.board.take_not_begun() {
                    Some(errno) => refused(server, failed(Step::Revive)(errno)),
                    None => {
                        server.ended(ended, not_restored);
                        Ok(Role::Template)
                    }
                }
            }
        }
    }

    /// Nobody needs the copy any more that waits.
    fn end_waiting(&self, living: Living) {
        living.kill();
        // It has changed nothing that others could see.
        let _ = self.put_back(living.pid());
        living.release();
    }

    /// Waits for a request. False if a signal says that this is the end.
    fn is_asked(&self, source: i32) -> bool {
        loop {
            let patience = if source < 0 { 0 } else { -1 };
            match sys::poll_readable([source, self.signals], patience) {
                Ok([_, true]) => return false,
                Ok(_) => return true,
                Err(_) => {}
            }
        }
    }

    /// # Safety
    /// The calling thread must be the copy's only one.
    unsafe fn live_as_copy(&self, server: &mut dyn Server, is_offered: bool) {
        if let Some(again) = self.again.filter(|_| !is_offered) {
            sys::close(again.descriptor());
        }
        let template = self.identity.pid;
        sys::set_parent_death_signal(libc::SIGKILL);
        if sys::getppid() != template {
            sys::exit_group(0);
        }
        self.lacking.prepare();
        // SAFETY: the caller's promise, and the others were parked.
        if let Err(errno) = unsafe { revive::recreate(&self.identity.thread) } {
            self.board.say_not_begun(errno);
            sys::exit_group(0);
        }
        self.identity.restore();
        // Not as the program had it: no copy outlives its template.
        sys::set_parent_death_signal(libc::SIGKILL);
        self.lacking.restore(self.identity.tid);
        self.board.live.store(sys::getpid(), Ordering::Relaxed);
        server.in_copy();
        turn::begin_new_life();
        revive::open_gate();
    }

    /// Puts back what the copy has changed for others. Returns how many things failed.
    fn put_back(&self, copy: i32) -> u32 {
        own_processes::remove(copy);
        let failed = self.offspring.end_others()
            + self.shared.open(&mut |_, _| {})
            + self.shared.restore(&mut |_, _| {});
        self.screen.restore();
        failed
    }

    /// The program goes on, in the template.
    fn end(&self) {
        // What has waited meanwhile was for nobody; if it fails, a timer is late.
        let _ = self.lacking.restore_in_original();
    }

    fn release(self) {
        self.offspring.release();
        self.shared.release();
        self.lacking.release();
    }
}
