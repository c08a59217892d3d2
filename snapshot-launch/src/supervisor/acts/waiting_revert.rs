//! A revert that can't go on: the branch has ended, the snapshot is there, and there is no room
//! for it to come back. The supervisor tries again; meanwhile a person may revert to another
//! one, or end the session.

use snapshot_core::sys::now_ns;
use snapshot_core::terms::SnapshotId;

use crate::supervisor::under_way::reverting::Manner;
use crate::supervisor::{
    state::{Phase, Supervisor},
    under_way::{reverting::Stage, wanted::Wanted},
};
use crate::talk::control::{Answer, Request};

/// How long to wait before a copy is woken again: twice as long each time, up to a limit.
const PAUSE_NS: u64 = 100_000_000;
const LONGEST_PAUSE_NS: u64 = 2_000_000_000;

impl Supervisor {
    /// The copy can't be woken now. If the branch lives it goes on; else the copy is asked
    /// again later.
    pub(crate) fn let_revert_wait(&mut self, cause: &str, help: &str) {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        if matches!(reverting.stage, Stage::Preparing) {
            self.refuse_revert(cause, help);
            return;
        }
        let pause_ns = PAUSE_NS << reverting.tries.min(5);
        reverting.tries += 1;
        reverting.stage = Stage::Waiting {
            until_ns: now_ns() + pause_ns.min(LONGEST_PAUSE_NS),
        };
        let (target, token) = (reverting.target, reverting.token.take());
        if reverting.last_said.as_deref() != Some(cause) {
            reverting.last_said = Some(cause.to_owned());
            let launcher = self.config.launcher_pid;
            self.note(format!(
                "{target} can't be brought back yet; it stays, and is tried again\n  cause: {cause}\n  help:  {help}; or go back to an older one, `cargo snapshot revert N`; `kill -TERM {launcher}` ends the session"
            ));
        }
        // Answer now: this may take any length of time.
        self.refuse(
            token,
            &format!("cannot bring {target} back yet"),
            cause,
            help,
        );
    }

    /// Wakes the target once more.
    pub(crate) fn try_again(&mut self) {
        if let Phase::Reverting(reverting) = &mut self.phase {
            reverting.stage = Stage::Clearing;
            self.prepare();
            self.clear_branch();
        }
    }

    /// Notes something on the target's copy, unless that was the last note.
    pub(crate) fn say_once(&mut self, what: &str) {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        if reverting.last_said.as_deref() != Some(what) {
            reverting.last_said = Some(what.to_owned());
            let text = format!("the copy of {} {what}", reverting.target);
            self.note(text);
        }
    }

    /// Whether nothing lives, and only a person or time can change that.
    pub(crate) fn revert_waits(&self) -> bool {
        matches!(&self.phase, Phase::Reverting(reverting) if reverting.waits())
    }

    /// Serves a request while nothing lives. If it needs the program, it waits.
    pub(crate) fn serve_without_program(&mut self, wanted: Wanted) {
        let Phase::Reverting(reverting) = &self.phase else {
            return;
        };
        let (target, ended) = (reverting.target(), reverting.ended);
        match wanted.request {
            Request::Revert {
                id,
                keep,
                force,
                ahead,
            } => {
                let asked = (wanted.token, wanted.asked_ns);
                self.serve_revert(id, Manner { keep, force, ahead }, ended, asked);
            }
            Request::Drop { id } if id != target.number() => {
                let id = SnapshotId::new(id);
                match self.drop_snapshot(id) {
                    Some(event) => self.answer(wanted.token, Answer::Done(event)),
                    None => self.refuse_unknown(wanted.token, "drop", Some(id)),
                }
            }
            Request::Commit | Request::Drop { .. } => self.refuse(
                wanted.token,
                "cannot do that now",
                &format!("the program is not there: {target} waits until it can come back"),
                "`cargo snapshot revert N` goes to another one",
            ),
            Request::Take { .. } | Request::List | Request::Diff { .. } => {
                self.waiting.push_back(wanted)
            }
        }
    }
}
