//! The lines for a person on stderr: one for each event, prefixed `[snapshot]`.
//!
//! Pure: makes the words, and [`crate::session`] writes them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::talk::{
    counted::counted,
    event::{Event, Files, NotRolledBack},
    refusal::Refusal,
    signals::{SignalName, name_of},
    timeline_view::duration,
};

/// Turns events into lines.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    /// What the last take could not promise. It is printed again only when it changes.
    last_warning: Vec<NotRolledBack>,
    /// Why the session ends, if a person has asked for it.
    asked_to_end: Option<String>,
    live_pid: i32,
    /// The trigger, if it is not the usual one.
    trigger: Option<SignalName>,
    /// The prefix key, if the session reads keys.
    key: Option<String>,
    /// Why the session has no namespaces.
    missing: Option<String>,
}

impl Reporter {
    /// Lines that mention this prefix key, and why namespaces are missing.
    pub(crate) fn new(key: Option<String>, missing: Option<String>) -> Self {
        Self {
            key,
            missing,
            ..Self::default()
        }
    }

    /// Records that a person has asked for the session's end: by the key, or by this signal.
    pub(crate) fn ends_by(&mut self, signal: Option<i32>) {
        self.asked_to_end.get_or_insert_with(|| match signal {
            None => "the session was quit".to_owned(),
            Some(signal) => format!("the session was ended by {}", name_of(signal)),
        });
    }

    /// Lines that mention this trigger.
    pub(crate) fn with_trigger(self, trigger: SignalName) -> Self {
        Self {
            trigger: Some(trigger),
            ..self
        }
    }

    /// The promise of this session, printed once.
    pub(crate) fn promise(&self, files: &Files) -> String {
        let ids = match &self.missing {
            None => "in namespaces of its own: after a revert it has the same ids".to_owned(),
            Some(why) => format!("no namespaces ({why}): after a revert the pid is new"),
        };
        match files {
            Files::All => format!("{ids}, and its files are as they were"),
            Files::None => format!("{ids}; files are not rolled back"),
            Files::Trees(trees) => {
                let trees: Vec<String> = trees
                    .iter()
                    .map(|tree| tree.display().to_string())
                    .collect();
                format!(
                    "{ids}, and the files in {} are as they were",
                    trees.join(", ")
                )
            }
        }
    }

    /// The line for one event, if it has one. It may still contain what would steer a terminal.
    pub(crate) fn line(&mut self, event: &Event) -> Option<String> {
        Some(match event {
            Event::Started {
                session,
                launcher_pid,
                live_pid,
                ..
            } => {
                self.live_pid = *live_pid;
                let key = self
                    .key
                    .as_ref()
                    .map(|key| format!(", and so does {key} s"))
                    .unwrap_or_default();
                let trigger = self
                    .trigger
                    .map_or_else(|| "USR1".to_owned(), |trigger| trigger.to_string());
                format!(
                    "{session} is running as {live_pid}: `kill -{trigger} {launcher_pid}` takes a snapshot{key}"
                )
            }
            Event::Taken(taken) => {
                let is_new = taken.not_rolled_back != self.last_warning;
                let warning = if taken.not_rolled_back.is_empty() || !is_new {
                    String::new()
                } else {
                    format!("; not rolled back: {}", summary(&taken.not_rolled_back))
                };
                self.last_warning.clone_from(&taken.not_rolled_back);
                format!(
                    "{} taken in {}{warning}",
                    taken.facts.title(),
                    microseconds(taken.facts.latency_us)
                )
            }
            Event::Refused(refused) => {
                let Refusal { why, help, .. } = &refused.refusal;
                format!("no snapshot: {why}; {help}")
            }
            Event::Ended(ended) => {
                format!("the branch after #{} {}", ended.id_reverted_to, ended.ended)
            }
            Event::Reverted(reverted) => {
                let kept = if reverted.kept {
                    format!("; #{} stays", reverted.id)
                } else {
                    String::new()
                };
                let pid = if reverted.live_pid == self.live_pid {
                    String::new()
                } else if reverted.live_pid == 0 {
                    "; for want of descriptors its pid outside can't be seen".to_owned()
                } else {
                    let seen = if reverted.same_ids {
                        "from outside "
                    } else {
                        ""
                    };
                    format!("; {seen}its pid is now {}", reverted.live_pid)
                };
                self.live_pid = reverted.live_pid;
                format!(
                    "reverted to #{} in {}{kept}{pid}",
                    reverted.id,
                    microseconds(reverted.latency_us)
                )
            }
            Event::Committed { dropped, .. } => {
                let ids: Vec<String> = dropped.iter().map(|id| format!("#{id}")).collect();
                format!("committed: {} dropped", ids.join(", "))
            }
            Event::Dropped { id } => format!("#{id} dropped"),
            // The session itself says that events wait.
            Event::Missed { .. } => return None,
            Event::Finished { .. } if self.asked_to_end.is_some() => self.asked_to_end.take()?,
            Event::Finished {
                code: Some(0),
                signal: None,
            } => return None,
            Event::Finished {
                code: None,
                signal: None,
            } => "the session has ended".to_owned(),
            Event::Finished {
                code: Some(code),
                signal: None,
            } => format!("the program exited with status {code}"),
            Event::Finished {
                signal: Some(signal),
                ..
            } => format!("the program was killed by {}", name_of(*signal)),
        })
    }
}

fn microseconds(count: u64) -> String {
    duration(Duration::from_micros(count))
}

/// `2 files, 1 socket`: a count by kind; the events have the details.
fn summary(items: &[NotRolledBack]) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for item in items {
        *kinds.entry(&item.kind).or_default() += 1;
    }
    let parts: Vec<String> = kinds
        .iter()
        .map(|(kind, count)| match *kind {
            // One entry stands for all of them.
            "ids" => "ids".to_owned(),
            kind => counted(*count, noun(kind)),
        })
        .collect();
    parts.join(", ")
}

/// The noun for a kind in the events.
fn noun(kind: &str) -> &str {
    match kind {
        "shared-memory" => "area of shared memory",
        "memfd" => "memory file",
        "pi-mutex" => "mutex with priority inheritance",
        "robust-mutex" => "robust mutex",
        "thread-user" => "thread of another user",
        "semaphores" => "set of semaphores",
        "message-queue" => "message queue",
        kind => kind,
    }
}

/// The keys, for `?`.
pub(crate) fn key_help(prefix: &str) -> Vec<String> {
    [
        "s  take a snapshot",
        "r  revert to the newest one",
        "R  revert to it and keep it",
        "c  commit: drop the snapshots",
        "l  list them",
        "q  quit the session",
    ]
    .iter()
    .map(|line| format!("{prefix} {line}"))
    .chain([format!("{prefix} {prefix}  send {prefix} itself")])
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::talk::event::{Reverted, Taken, Trigger};
    use crate::talk::facts::SnapshotFacts;

    fn taken(items: &[&str]) -> Event {
        Event::Taken(Taken {
            facts: SnapshotFacts {
                id: 1,
                label: Some("a".to_owned()),
                trigger: Trigger::Signal,
                latency_us: 1300,
                threads: 1,
                rss_bytes: 0,
            },
            depth: 1,
            moments_ns: None,
            not_rolled_back: items
                .iter()
                .map(|kind| NotRolledBack {
                    kind: (*kind).to_owned(),
                    what: String::new(),
                    why: String::new(),
                })
                .collect(),
        })
    }

    #[test]
    fn a_warning_about_another_thing_of_the_same_kind_is_said() {
        let mut reporter = Reporter::default();
        let mut line = |pid: &str| {
            let Event::Taken(mut event) = taken(&["child"]) else {
                unreachable!("it is a take")
            };
            pid.clone_into(&mut event.not_rolled_back[0].what);
            reporter.line(&Event::Taken(event)).expect("a line")
        };
        assert!(line("71").ends_with("not rolled back: 1 child"));
        assert!(!line("71").contains("not rolled back"));
        assert!(line("72").ends_with("not rolled back: 1 child"));
    }

    #[test]
    fn a_summary_is_english() {
        let mut reporter = Reporter::default();
        let line = reporter
            .line(&taken(&[
                "shared-memory",
                "shared-memory",
                "child",
                "child",
            ]))
            .expect("a line");
        assert!(
            line.ends_with("not rolled back: 2 children, 2 areas of shared memory"),
            "{line}"
        );
    }

    #[test]
    fn a_kept_snapshot_stays() {
        let line = Reporter::default()
            .line(&Event::Reverted(Reverted {
                id: 5,
                depth: 1,
                kept: true,
                live_pid: 0,
                latency_us: 600,
                same_ids: true,
                children_kept: Vec::new(),
                children_ended: Vec::new(),
            }))
            .expect("a line");
        assert_eq!(line, "reverted to #5 in 0.6 ms; #5 stays");
    }

    #[test]
    fn a_session_that_was_quit_says_so() {
        let killed = Event::Finished {
            code: None,
            signal: Some(9),
        };
        let mut reporter = Reporter::default();
        assert_eq!(
            reporter.line(&killed).as_deref(),
            Some("the program was killed by SIGKILL")
        );
        reporter.ends_by(None);
        assert_eq!(
            reporter.line(&killed).as_deref(),
            Some("the session was quit")
        );
        let mut reporter = Reporter::default();
        reporter.ends_by(Some(15));
        assert_eq!(
            reporter.line(&killed).as_deref(),
            Some("the session was ended by SIGTERM")
        );
    }

    #[test]
    fn a_warning_is_said_once_and_again_when_it_changes() {
        let mut reporter = Reporter::default();
        let mut line = |items: &[&str]| reporter.line(&taken(items)).expect("a line");
        assert!(line(&["file", "file", "socket"]).ends_with("2 files, 1 socket"));
        assert!(!line(&["file", "file", "socket"]).contains("not rolled back"));
        assert!(line(&["file"]).ends_with("1 file"));
        assert!(!line(&[]).contains("not rolled back"));
        assert!(line(&["file"]).ends_with("1 file"));
    }
}
