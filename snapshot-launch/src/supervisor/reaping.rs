//! Who has ended, and whom that concerns.
#![expect(unsafe_code, reason = "reaps processes whatever signal ended them")]

use nix::libc;
use snapshot_core::process::{children::Usage, own_processes};
use snapshot_core::terms::Ended;

use super::{
    numbers,
    state::{Phase, Supervisor},
};
use crate::channel::ToLauncher;
use crate::event::Event;

/// A child of these that has something to tell by `options`, whatever signal it ends with.
/// It stays to be reaped. Also gives what it has to tell (CLD_*).
fn look(kind: libc::idtype_t, id: libc::id_t, options: libc::c_int) -> Option<(i32, libc::c_int)> {
    // SAFETY: all-zero is a valid siginfo.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = options | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: waitid writes one siginfo, a live local.
    let answer = unsafe { libc::waitid(kind, id, &raw mut info, options) };
    // SAFETY: all-zero where there is none, else a child's.
    let pid = unsafe { info.si_pid() };
    (answer == 0 && pid > 0).then_some((pid, info.si_code))
}

/// Whether a process is a child of ours, ended or not.
pub(super) fn is_child(pid: i32) -> bool {
    let Ok(id) = libc::id_t::try_from(pid) else {
        return false;
    };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: without a siginfo waitid writes nothing; it reaps nothing either.
    unsafe { libc::waitid(libc::P_PID, id, std::ptr::null_mut(), options) == 0 }
}

/// Whether a child of ours has ended.
pub(super) fn waits_to_be_reaped(pid: i32) -> bool {
    libc::id_t::try_from(pid).is_ok_and(|id| look(libc::P_PID, id, libc::WEXITED).is_some())
}

impl Supervisor {
    /// Reaps whatever has ended, and says so to whom it concerns.
    pub(super) fn reap(&mut self) {
        self.keep_pending_trigger();
        let all = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED;
        while let Some((pid, code)) = look(libc::P_ALL, 0, all) {
            // What it has said before its end comes first: which process it is, and that it
            // runs. And until it is reaped it still has its number outside.
            self.hear_target();
            self.hear_unknown_copy();
            if !matches!(code, libc::CLD_STOPPED | libc::CLD_CONTINUED) {
                // Its number may be another's from then on.
                own_processes::remove(pid);
                if self.live.is_alive && pid == self.live.pid() {
                    numbers::wait_until_free(&self.live.numbers);
                }
            }
            let mut status = 0;
            let mut usage = Usage::default();
            let flags = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED | libc::__WALL;
            let room = (&raw mut usage).cast();
            // SAFETY: wait4 writes one status and one `rusage`, live locals of that size.
            if unsafe { libc::wait4(pid, &raw mut status, flags, room) } != pid {
                continue;
            }
            if libc::WIFSTOPPED(status) || libc::WIFCONTINUED(status) {
                if libc::WIFSTOPPED(status) && self.copy_stopped(pid, libc::WSTOPSIG(status)) {
                    continue;
                }
                if pid != self.live.pid() {
                    self.child_has_news(pid, status);
                } else if libc::WIFSTOPPED(status) {
                    let signal = libc::WSTOPSIG(status);
                    self.tell(&ToLauncher::Stopped { signal });
                }
                continue;
            }
            let ended = if libc::WIFEXITED(status) {
                Ended::Exited(libc::WEXITSTATUS(status))
            } else {
                Ended::Killed(libc::WTERMSIG(status))
            };
            self.child_ended(pid, status, &usage);
            self.ended(pid, ended);
        }
    }

    fn ended(&mut self, pid: i32, ended: Ended) {
        if self.keeper_ended(pid) {
            return;
        }
        // Its number, and that of its group, may be another's from now on.
        self.anchor.take_if(|anchor| anchor.pid().as_raw() == pid);
        // It may have come to life, and ended again before we looked.
        let was_woken = self.is_woken(pid);
        if was_woken {
            self.woken_ended(pid, ended);
        }
        if self.live.is_alive && pid == self.live.pid() {
            self.live.is_alive = false;
            if matches!(self.phase, Phase::Reverting(_)) {
                self.branch_has_ended();
            } else {
                self.live_ended(ended);
            }
        } else if was_woken {
            // The snapshot's own affair.
        } else if self.is_spare(pid) {
            self.hear_spare();
        } else if let Some(id) = self.snapshot_of(pid) {
            let outer_pid = self.timeline.remove(id).map_or(0, |lost| lost.outer_pid);
            if !matches!(self.phase, Phase::Ending { .. }) {
                self.event(Event::Dropped { id: id.number() });
                let how = match ended {
                    Ended::Killed(signal) => crate::signals::name_of(signal),
                    _ => "an exit".to_owned(),
                };
                self.note(format!(
                    "{id} is lost: its frozen copy (pid {outer_pid}) ended by {how}"
                ));
                self.end_needless_keeper();
            }
        } else {
            self.dying.remove(&pid);
            if !matches!(self.phase, Phase::Reverting(_)) {
                self.keepers.end_those_of_dead();
            }
            self.clear_branch();
        }
    }
}
