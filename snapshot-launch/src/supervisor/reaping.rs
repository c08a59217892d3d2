//! Ended processes, and what follows.

use nix::libc;
use snapshot_core::process::own_processes;
use snapshot_core::terms::Ended;

use super::state::{Phase, Supervisor};
use crate::processes::{ends, numbers};
use crate::talk::{channel::ToLauncher, event::Event};

impl Supervisor {
    /// Reaps every ended process, and passes its end on.
    pub(super) fn reap(&mut self) {
        self.keep_pending_trigger();
        while let Some((pid, code)) = ends::next() {
            // First hear what it said before its end: which process it is, and that it runs.
            // Its number outside exists until it is reaped.
            self.hear_target();
            self.hear_unknown_copy();
            if !matches!(code, libc::CLD_STOPPED | libc::CLD_CONTINUED) {
                // Its number is free after that.
                own_processes::remove(pid);
                if self.live.is(pid) {
                    numbers::wait_until_free(self.live.thread_numbers());
                }
            }
            let Some((status, usage)) = ends::reap(pid) else {
                continue;
            };
            if libc::WIFSTOPPED(status) || libc::WIFCONTINUED(status) {
                if libc::WIFSTOPPED(status) && self.copy_stopped(pid, libc::WSTOPSIG(status)) {
                    continue;
                }
                if pid != self.live.pid() {
                    let live = self.live.child();
                    self.aspects.children.has_news(pid, status, live);
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
            let live = self.live.child();
            self.aspects.children.ended(pid, status, &usage, live);
            self.ended(pid, ended);
        }
    }

    fn ended(&mut self, pid: i32, ended: Ended) {
        if self.keeper_ended(pid) {
            return;
        }
        if self.aspects.files.pid() == Some(pid) {
            self.journal_has_ended();
            return;
        }
        // Its number, and that of its group, may be another's from now on.
        self.anchor.take_if(|anchor| anchor.pid().as_raw() == pid);
        // It may have come to life, and ended again before we looked.
        let was_woken = self.is_woken(pid);
        if was_woken {
            self.woken_ended(pid, ended);
        }
        if self.live.is(pid) {
            self.live.has_ended();
            if matches!(self.phase, Phase::Reverting(_)) {
                self.branch_has_ended();
            } else {
                self.live_ended(ended);
            }
        } else if was_woken {
            // Served by `woken_ended`.
        } else if self.is_spare(pid) {
            self.hear_spare();
        } else if let Some(id) = self.snapshot_of(pid) {
            let outer_pid = self.forget(id).map_or(0, |lost| lost.outer_pid);
            if !matches!(self.phase, Phase::Ending(_)) {
                self.event(Event::Dropped { id: id.number() });
                let how = match ended {
                    Ended::Killed(signal) => crate::talk::signals::name_of(signal),
                    _ => "an exit".to_owned(),
                };
                self.note(format!(
                    "{id} is lost: its frozen copy (pid {outer_pid}) ended by {how}"
                ));
            }
        } else {
            self.dying.remove(&pid);
            if !matches!(self.phase, Phase::Reverting(_)) {
                self.aspects.keepers.end_those_of_dead();
            }
            self.clear_branch();
        }
    }
}
