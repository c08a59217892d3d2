//! The program's children across a revert.
//!
//! Those that a snapshot has seen are entered in the family table, which the program
//! shares. A revert makes the supervisor their parent; the revived process *adopts* them:
//! the supervisor, which reaps them, writes into the table how they end and sends the
//! SIGCHLD, and the agent answers the program's waits from there. The program can write what
//! it likes into the table, and lies to itself then: which process a place stands for, the
//! supervisor knows by its own list.
#![expect(unsafe_code, reason = "maps memory that the program shares")]

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;
use snapshot_core::process::{
    children::{self, CAPACITY, CONTINUED, Child, Place, State, Table, Usage},
    pidfd,
};
use snapshot_core::sys::{self, SignalInfo};
use snapshot_core::terms::SnapshotId;

use super::{
    family::{self, Process},
    preflight,
    state::Supervisor,
};
use crate::event::{EndedChild, KeptChild};
use crate::outside::Outside;

/// What the supervisor knows of the children that snapshots have seen.
pub(crate) struct Children {
    table: &'static Table,
    memory: OwnedFd,
    known: Vec<Known>,
    /// Those of the snapshot that was last reverted to.
    reverted: Vec<Place>,
}

/// A child in the table.
struct Known {
    place: Place,
    process: Process,
    /// Its number as everybody outside sees it.
    outer_pid: i32,
    name: String,
}

impl Children {
    /// Makes an empty table.
    ///
    /// # Errors
    /// Where there is no memory or no descriptor for it.
    pub(crate) fn new() -> io::Result<Self> {
        let memory = memfd_create(
            c"cargo-snapshot-children",
            MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING,
        )?;
        let length = libc::off_t::try_from(Table::BYTES).map_err(io::Error::other)?;
        ftruncate(&memory, length)?;
        // Whatever the program does to it: it stays as long as it is, and access is safe.
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&memory, FcntlArg::F_ADD_SEALS(seals))?;
        // SAFETY: as long as that, sealed, and made for this.
        let table = unsafe { Table::map(memory.as_raw_fd()) }
            .map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
        Ok(Self {
            table,
            memory,
            known: Vec::new(),
            reverted: Vec::new(),
        })
    }

    /// The memory that the table lies in, for the agent.
    pub(crate) fn memory(&self) -> &OwnedFd {
        &self.memory
    }

    /// Forgets those that nobody can wait for any more.
    fn forget_all_but(&mut self, named: &HashSet<Place>) {
        let table = self.table;
        self.known.retain(|known| {
            let stays = named.contains(&known.place) || table.is_adopted(known.place);
            if !stays {
                table.remove(known.place);
            }
            stays
        });
        self.reverted.clear();
    }

    /// Which of them have been stopped by now, or have news that nobody has waited for.
    fn standings(&self, places: &[Place]) -> HashMap<Place, Standing> {
        let table = self.table;
        let standing = |&place: &Place| {
            let (is_stopped, untold) = family::stop_of(self.known(place)?.process.pid)?;
            let untold = match table.is_adopted(place) {
                true => table.news(place),
                false => Some(untold)
                    .filter(|&signal| signal > 0)
                    .map(children::stopped),
            };
            let standing = Standing { is_stopped, untold };
            (standing != Standing::default()).then_some((place, standing))
        };
        places.iter().filter_map(standing).collect()
    }

    /// What there is to tell the life that adopts a child, which knows it as it stood then.
    fn news_of(&self, place: Place, then: Standing) -> Option<i32> {
        let table = self.table;
        if table.state(place) != State::Alive {
            return None;
        }
        let (is_stopped, untold) = family::stop_of(self.known(place)?.process.pid)?;
        match (then.is_stopped, is_stopped) {
            (true, false) => Some(CONTINUED),
            (false, true) if untold > 0 => Some(children::stopped(untold)),
            (false, true) => Some(children::stopped(table.stopped_by(place))),
            // As the one that is dead now has been told, or has not been yet.
            _ => then.untold,
        }
    }

    /// The place of a child of the live process. `None` where there is no room, or it is
    /// gone already.
    fn enter(&mut self, pid: i32, outside: &Outside) -> Option<Place> {
        let process = Process::of(pid)?;
        // Ended ones too: the program may be about to reap it.
        if let Some(known) = self.known.iter().find(|known| known.process.is(process)) {
            return Some(known.place);
        }
        // Somebody has reaped that one without our knowing, and its number is another's.
        if let Some(place) = self.table.find_alive(pid) {
            self.table.lose(place);
        }
        let place = self.table.enter(Child {
            pid,
            group: sys::group_of(pid).unwrap_or(0),
            user: fs::metadata(format!("/proc/{pid}")).map_or(0, |metadata| metadata.uid()),
            handle: pidfd::inode_of(pid),
        })?;
        self.known.push(Known {
            place,
            process,
            outer_pid: outside.number_of(pid),
            name: family::name_of(pid),
        });
        Some(place)
    }

    fn known(&self, place: Place) -> Option<&Known> {
        self.known.iter().find(|known| known.place == place)
    }

    /// Gives up those that have been reaped by a dead branch without a word.
    fn lose_missing(&self, places: &[Place]) {
        for known in &self.known {
            if places.contains(&known.place)
                && self.table.state(known.place) == State::Alive
                && Process::of(known.process.pid).is_none_or(|now| !now.is(known.process))
            {
                self.table.lose(known.place);
            }
        }
    }

    /// Which of the children that were there at the snapshot there still are, and how the
    /// others have ended.
    fn account(&self) -> (Vec<KeptChild>, Vec<EndedChild>) {
        let mut kept = Vec::new();
        let mut ended = Vec::new();
        for known in self.reverted.iter().filter_map(|&place| self.known(place)) {
            let pid = known.process.pid;
            let (code, signal) = match self.table.state(known.place) {
                State::Alive => {
                    // It may have become another program since.
                    let name = Some(family::name_of(pid)).filter(|name| !name.is_empty());
                    kept.push(KeptChild {
                        pid: known.outer_pid,
                        name: name.unwrap_or_else(|| known.name.clone()),
                    });
                    continue;
                }
                State::Ended(status) if libc::WIFEXITED(status) => {
                    (Some(libc::WEXITSTATUS(status)), None)
                }
                State::Ended(status) => (None, Some(libc::WTERMSIG(status))),
                State::Free | State::Lost => (None, None),
            };
            ended.push(EndedChild {
                pid: known.outer_pid,
                name: known.name.clone(),
                code,
                signal,
            });
        }
        (kept, ended)
    }
}

/// How a child stands, in the eyes of the program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    is_stopped: bool,
    /// What a wait for stopped children would tell it next.
    untold: Option<i32>,
}

impl Supervisor {
    /// Enters the children that the live process has, by birth (`own`) and by adoption;
    /// it stands still. Gives their places.
    pub(super) fn record_children(
        &mut self,
        own: &[i32],
    ) -> (Vec<Place>, HashMap<Place, Standing>) {
        let named = self
            .timeline
            .iter()
            .flat_map(|(_, snapshot)| snapshot.children.iter().copied())
            .collect();
        self.children.forget_all_but(&named);
        let mut places: Vec<Place> = self.children.table.adopted().collect();
        let adopted = places.len();
        let outside = &self.outside;
        places.extend(
            own.iter()
                .filter_map(|&pid| self.children.enter(pid, outside)),
        );
        // It stands still, so none of them has been reaped meanwhile: there is no room.
        if places.len() - adopted < own.len() {
            self.note(format!(
                "the program and its snapshots have more than {CAPACITY} children: after a revert it can't wait for the rest of them"
            ));
        }
        let standings = self.children.standings(&places);
        (places, standings)
    }

    /// What there is to say of these children, which the program has now.
    pub(super) fn tell_children(&self, places: &[Place]) -> Vec<preflight::Child> {
        let live = self.live.pid();
        let known = places
            .iter()
            .filter_map(|&place| self.children.known(place));
        known
            .map(|known| {
                // It may have become another program since.
                let pid = known.process.pid;
                preflight::Child::look(pid, known.outer_pid, &family::name_of(pid), live)
            })
            .collect()
    }

    /// Makes a snapshot's children those of the copy that is about to be woken.
    pub(super) fn adopt_children(&mut self, target: SnapshotId) {
        let (places, standings) = self
            .timeline
            .get(target)
            .map_or_else(Default::default, |of| {
                (of.children.clone(), of.standings.clone())
            });
        self.children.lose_missing(&places);
        for &place in &places {
            let then = standings.get(&place).copied().unwrap_or_default();
            let news = self.children.news_of(place, then);
            self.children.table.set_news(place, news);
        }
        let table = self.children.table;
        let to_adopt = |place: &Place| table.state(*place) != State::Lost;
        table.adopt(places.iter().copied().filter(to_adopt));
        self.children.reverted = places;
    }

    /// A process has been reaped: if it was the program's, whoever waits for it is told.
    pub(super) fn child_ended(&mut self, pid: i32, status: i32, usage: &Usage) {
        let table = self.children.table;
        if let Some(place) = table.find_alive(pid) {
            // Once it has ended it may be waited for before we have looked.
            let is_adopted = table.is_adopted(place);
            table.set_usage(place, usage);
            table.end(place, status);
            if is_adopted {
                self.tell_of_end(place);
            }
            table.wake(place);
        }
    }

    /// A child of ours has stopped, or goes on: if it was the program's, whoever waits for
    /// that is told.
    pub(super) fn child_has_news(&mut self, pid: i32, status: i32) {
        let table = self.children.table;
        let Some(place) = table.find_alive(pid) else {
            return;
        };
        if table.is_adopted(place) {
            table.set_news(place, Some(status));
            self.tell_news(place);
            table.wake(place);
        } else if libc::WIFSTOPPED(status) {
            // The branch is dead, and the next one has not adopted it yet.
            table.note_stop(place, libc::WSTOPSIG(status));
        }
    }

    /// Sends the live process the SIGCHLD of that, if it wants one.
    fn tell_news(&self, place: Place) {
        let table = self.children.table;
        if self.live.is_alive
            && !table.hides_stops()
            && let Some(status) = table.news(place)
            && table.are_news_to_be_told(place)
        {
            let child = table.child(place);
            let info = SignalInfo::of_child(child.pid, child.user, status, false);
            let _ = self.live.child.queue(&info);
        }
    }

    /// Sends the live process the SIGCHLD of a child that it has adopted, if that has ended
    /// and the agent has not sent it. The kernel lets nobody say of another process's child that it has exited
    /// (`si_code` CLD_EXITED): such a code is the kernel's own. So it says that a process
    /// has queued it, and the rest is where the kernel has it.
    fn tell_of_end(&self, place: Place) {
        let table = self.children.table;
        if self.live.is_alive
            && let State::Ended(status) = table.state(place)
            && table.is_to_be_told(place)
        {
            let child = table.child(place);
            let info = SignalInfo::of_child(child.pid, child.user, status, false);
            let _ = self.live.child.queue(&info);
        }
    }

    /// The revived process runs: tells it of those that have ended while it woke, and says
    /// what has become of all.
    pub(super) fn report_children(
        &self,
        target: SnapshotId,
    ) -> (Vec<KeptChild>, Vec<EndedChild>, Vec<String>) {
        for &place in &self.children.reverted {
            self.tell_of_end(place);
            if self.children.table.is_adopted(place) {
                self.tell_news(place);
            }
        }
        let (kept, ended) = self.children.account();
        let notes = [name_kept(&kept, target), name_ended(&ended, target)];
        (kept, ended, notes.into_iter().flatten().collect())
    }
}

fn processes(count: usize, one: &str, more: &str, target: SnapshotId) -> String {
    let (count, verb) = match count {
        1 => ("1 process".to_owned(), one),
        count => (format!("{count} processes"), more),
    };
    format!("{count} that the program had started before {target} {verb}: ")
}

/// `2 processes that the program had started before #1 stay its children: sleep (123), make (124)`
fn name_kept(kept: &[KeptChild], target: SnapshotId) -> Option<String> {
    let names: Vec<String> = kept
        .iter()
        .map(|child| format!("{} ({})", child.name, child.pid))
        .collect();
    (!names.is_empty()).then(|| {
        processes(kept.len(), "stays its child", "stay its children", target) + &names.join(", ")
    })
}

/// `1 process that the program had started before #1 has ended since: sh (125) with status 3`
fn name_ended(ended: &[EndedChild], target: SnapshotId) -> Option<String> {
    let names: Vec<String> = ended
        .iter()
        .map(|child| {
            let how = match (child.code, child.signal) {
                (Some(code), _) => format!("with status {code}"),
                (None, Some(signal)) => format!("by {}", crate::signals::name_of(signal)),
                (None, None) => "and its exit status is lost".to_owned(),
            };
            format!("{} ({}) {how}", child.name, child.pid)
        })
        .collect();
    (!names.is_empty()).then(|| {
        processes(ended.len(), "has ended since", "have ended since", target) + &names.join(", ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_named() {
        let target = SnapshotId::new(1);
        let kept = |pid| KeptChild {
            pid,
            name: "sleep".to_owned(),
        };
        assert_eq!(name_kept(&[], target), None);
        assert_eq!(
            name_kept(&[kept(5)], target).as_deref(),
            Some("1 process that the program had started before #1 stays its child: sleep (5)")
        );
        assert_eq!(
            name_kept(&[kept(5), kept(6)], target).as_deref(),
            Some(
                "2 processes that the program had started before #1 stay its children: sleep (5), sleep (6)"
            )
        );
        let ended = |code, signal| EndedChild {
            pid: 7,
            name: "sh".to_owned(),
            code,
            signal,
        };
        assert_eq!(
            name_ended(&[ended(Some(3), None)], target).as_deref(),
            Some(
                "1 process that the program had started before #1 has ended since: sh (7) with status 3"
            )
        );
        assert_eq!(
            name_ended(&[ended(None, Some(9)), ended(None, None)], target).as_deref(),
            Some(
                "2 processes that the program had started before #1 have ended since: sh (7) by SIGKILL, sh (7) and its exit status is lost"
            )
        );
    }
}
