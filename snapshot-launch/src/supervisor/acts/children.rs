//! The program's children at each act: recorded, adopted, and told of.

use crate::processes::family;
use crate::supervisor::{aspects::children::Standing, refusal::preflight, state::Supervisor};
use crate::talk::event::{EndedChild, KeptChild};
use nix::libc;
use snapshot_core::process::children::{CAPACITY, Place, State, Usage};
use snapshot_core::sys::SignalInfo;
use snapshot_core::terms::SnapshotId;
use std::collections::HashMap;

impl Supervisor {
    /// Enters the children that the live process has, by birth (`own`) and by adoption;
    /// it stands still. Gives their places.
    pub(in crate::supervisor) fn record_children(
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
    pub(in crate::supervisor) fn tell_children(&self, places: &[Place]) -> Vec<preflight::Child> {
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
    pub(in crate::supervisor) fn adopt_children(&mut self, target: SnapshotId) {
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
    pub(in crate::supervisor) fn child_ended(&mut self, pid: i32, status: i32, usage: &Usage) {
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
    pub(in crate::supervisor) fn child_has_news(&mut self, pid: i32, status: i32) {
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
    pub(in crate::supervisor) fn report_children(
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
                (None, Some(signal)) => format!("by {}", crate::talk::signals::name_of(signal)),
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
