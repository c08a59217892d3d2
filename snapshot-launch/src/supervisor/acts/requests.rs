//! What the launcher asks for, on behalf of keys, second terminals and the clock.

use nix::sys::signal::Signal;
use snapshot_core::sys::now_ns;
use snapshot_core::terms::{Ended, SENDER_OUTSIDE, SnapshotId};

use crate::supervisor::under_way::reverting::Manner;
use crate::supervisor::{
    anchor::Anchor,
    interrupts::arrivals::Recipient,
    state::{Phase, Supervisor},
    under_way::wanted::Wanted,
};
use crate::talk::{
    channel::{Received, ToSupervisor},
    control::{Answer, Listing, Request, SnapshotInfo},
    event::Trigger,
    journal::Counts,
};

impl Supervisor {
    pub(crate) fn hear_launcher(&mut self) {
        loop {
            match self.channel.receive() {
                Ok(Received::Message(message)) => self.serve_launcher(message),
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) | Err(_) => {
                    self.launcher_gone = true;
                    // At once: ending the rest may take time.
                    if let Some(door) = self.config.door.take() {
                        door.remove();
                    }
                    self.end_at_once();
                    return;
                }
            }
        }
    }

    fn serve_launcher(&mut self, message: ToSupervisor) {
        match message {
            ToSupervisor::Begin { .. } => {}
            ToSupervisor::Ask {
                token,
                request,
                trigger,
                asked_ns,
            } => self.serve_request(Wanted {
                token: Some(token),
                request,
                trigger,
                asked_ns,
            }),
            ToSupervisor::Typed { at_ns } => self.interrupt_typed(at_ns),
            ToSupervisor::Signalled { signal, inside, .. }
                if inside && signal == self.config.trigger => {}
            ToSupervisor::Signalled {
                signal,
                sender,
                at_ns,
                ..
            } => {
                // Its pids are not ours.
                let sender = if self.outside.is_another() {
                    SENDER_OUTSIDE
                } else {
                    sender
                };
                self.signalled(Recipient::Launcher, signal, sender, at_ns);
            }
            ToSupervisor::End { signal } => self.end_by(signal),
            ToSupervisor::Stop => {
                self.signal_live(Signal::SIGSTOP);
            }
            ToSupervisor::Continue => {
                self.signal_live(Signal::SIGCONT);
                // The rest of its group was stopped too.
                if let Some(group) = self.anchor.as_ref().and_then(Anchor::group) {
                    let _ = nix::sys::signal::killpg(group, Signal::SIGCONT);
                }
            }
        }
    }

    /// Serves a request now, or keeps it until the program runs again.
    fn serve_request(&mut self, wanted: Wanted) {
        if matches!(wanted.request, Request::List) {
            if !self.aspects.files.count_for(wanted.token) {
                self.answer(wanted.token, Answer::List(self.listing(&[])));
            }
            return;
        }
        if matches!(self.phase, Phase::Ending(_)) {
            self.refuse(
                wanted.token,
                "cannot do that any more",
                "the session is ending",
                "start it again",
            );
            return;
        }
        if self.revert_waits() {
            self.serve_without_program(wanted);
            return;
        }
        if !self.is_running() {
            self.waiting.push_back(wanted);
            return;
        }
        match wanted.request {
            Request::List => {}
            Request::Take { .. } => self.want_take(wanted),
            Request::Revert {
                id,
                keep,
                force,
                ahead,
            } => {
                let asked = (wanted.token, wanted.asked_ns);
                self.serve_revert(id, Manner { keep, force, ahead }, Ended::Reverted, asked);
            }
            Request::Commit => {
                if !self.commit(wanted.token) {
                    self.refuse_unknown(wanted.token, "commit", None);
                }
            }
            Request::Diff {
                from,
                to,
                with_text,
            } => self.compare_files(wanted.token, from, to, with_text),
            Request::Drop { id } => {
                let id = SnapshotId::new(id);
                match self.drop_snapshot(id) {
                    Some(event) => self.answer(wanted.token, Answer::Done(event)),
                    None => self.refuse_unknown(wanted.token, "drop", Some(id)),
                }
            }
        }
    }

    /// Begins the revert that somebody has asked for, or says why not.
    pub(crate) fn serve_revert(
        &mut self,
        id: Option<u32>,
        manner: Manner,
        ended: Ended,
        (token, asked_ns): (Option<u64>, u64),
    ) {
        // What a branch has changed in files is kept to go back, and not to go forward again.
        if manner.ahead && self.config.trees.is_some() {
            self.refuse(
                token,
                "cannot leave newer snapshots there",
                "files come back in this session, and nothing could bring them forward again",
                "start it with --no-files",
            );
            return;
        }
        let id = id.map(SnapshotId::new);
        if !self.begin_revert(id, manner, ended, asked_ns, token) {
            self.refuse_unknown(token, "revert", id);
        }
    }

    pub(crate) fn refuse_unknown(&self, token: Option<u64>, verb: &str, id: Option<SnapshotId>) {
        let there: Vec<String> = self.ids().iter().map(|id| format!("#{id}")).collect();
        let cause = match (id, there.is_empty()) {
            (_, true) => "there is no snapshot".to_owned(),
            (Some(id), false) => format!("there is no {id}, only {}", there.join(", ")),
            (None, false) => "it is not there".to_owned(),
        };
        let what = match id {
            Some(id) => format!("cannot {verb} {id}"),
            None => format!("cannot {verb}"),
        };
        let help = if there.is_empty() {
            "take one first: `cargo snapshot take`"
        } else {
            "`cargo snapshot list` shows them"
        };
        self.refuse(token, &what, &cause, help);
    }

    /// Serves requests that waited until the program runs again.
    pub(crate) fn serve_waiting(&mut self) {
        while self.is_running() && self.asked.is_none() {
            let Some(at) = self.waiting.iter().position(|wanted| {
                self.live.has_agent() || !matches!(wanted.request, Request::Take { .. })
            }) else {
                return;
            };
            if let Some(wanted) = self.waiting.remove(at) {
                self.serve_request(wanted);
            }
        }
    }

    /// Takes an automatic snapshot when it is time.
    pub(crate) fn tick(&mut self, now: u64) {
        let Some(every_ns) = self.config.every_ns() else {
            return;
        };
        if self.is_running() && self.next_tick_ns.is_some_and(|at| now >= at) {
            self.next_tick_ns = Some(now + every_ns);
            if self.live.has_agent() && self.asked.is_none() {
                self.want_take(Wanted {
                    token: None,
                    request: Request::Take { label: None },
                    trigger: Trigger::Timer,
                    asked_ns: now,
                });
            }
        }
    }

    /// The timeline, with the files of the snapshots that are counted.
    pub(super) fn listing(&self, counts: &[Counts]) -> Listing {
        let now = now_ns();
        let files = |id| counts.iter().find(|of| of.id == id);
        Listing {
            session: self.config.session.clone(),
            launcher_pid: self.config.launcher_pid,
            live_pid: self.live.outer_pid(),
            depth: self.depth(),
            snapshots: self
                .timeline
                .iter()
                .map(|(_, snapshot)| SnapshotInfo {
                    facts: snapshot.facts.clone(),
                    frozen_pid: snapshot.outer_pid,
                    taken_us_ago: now.saturating_sub(snapshot.taken_ns) / 1000,
                    files: files(snapshot.facts.id).map(|of| of.files),
                    files_bytes: files(snapshot.facts.id).map(|of| of.bytes),
                    ahead: self.timeline.is_ahead(SnapshotId::new(snapshot.facts.id)),
                })
                .collect(),
        }
    }
}
