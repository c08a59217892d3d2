//! What a person reads on stderr: a line an event, prefixed `[snapshot]`.
//!
//! Pure: words only. [`crate::session`] writes them out.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::{Ended, Event, How, NotRolledBack};
use crate::signals::name_of;
use crate::timeline_view::{duration, printable};

/// Turns events into lines.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    /// What the last take could not promise: said again only when it changes.
    last_warning: String,
    live_pid: i32,
    /// The prefix key, where keys are listened to.
    key: Option<String>,
    /// Why the session has no namespaces.
    missing: Option<String>,
}

impl Reporter {
    /// One that tells of keys too, if there are any, and of what is missing.
    pub(crate) fn new(key: Option<String>, missing: Option<String>) -> Self {
        Self {
            key,
            missing,
            ..Self::default()
        }
    }

    /// What is promised here, said once.
    fn tier(&self) -> String {
        match &self.missing {
            None => "in namespaces of its own: after a revert it has the same ids; files are not rolled back".to_owned(),
            Some(why) => format!("no namespaces ({why}): after a revert the pid is new, and files are not rolled back"),
        }
    }

    /// The line for one event, sometimes two; none where there is nothing to say.
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
                format!(
                    "{} is running as {live_pid}: `kill -USR1 {launcher_pid}` takes a snapshot{key}\n{}",
                    printable(session),
                    self.tier()
                )
            }
            Event::Taken(taken) => {
                let label = taken
                    .label
                    .as_ref()
                    .map(|label| format!(" \"{}\"", printable(label)))
                    .unwrap_or_default();
                let warning = summary(&taken.not_rolled_back);
                let told = if warning.is_empty() || warning == self.last_warning {
                    String::new()
                } else {
                    format!("; not rolled back: {warning}")
                };
                self.last_warning = warning;
                format!(
                    "#{}{label} taken in {}{told}",
                    taken.id,
                    microseconds(taken.latency_us)
                )
            }
            Event::Refused(refused) => {
                format!("no snapshot: {}; {}", refused.why, refused.help)
            }
            Event::Ended(ended) => {
                format!("the branch after #{} {}", ended.id_reverted_to, how(ended))
            }
            Event::Reverted(reverted) => {
                let kept = if reverted.kept { ", which stays" } else { "" };
                let pid = if reverted.live_pid == self.live_pid {
                    String::new()
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
                    "reverted to #{}{kept} in {}{pid}",
                    reverted.id,
                    microseconds(reverted.latency_us)
                )
            }
            Event::Committed { dropped, .. } => {
                let ids: Vec<String> = dropped.iter().map(|id| format!("#{id}")).collect();
                format!("committed: {} dropped", ids.join(", "))
            }
            Event::Dropped { id } => format!("#{id} dropped"),
            Event::Finished {
                code: Some(0) | None,
                signal: None,
            } => return None,
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

fn how(ended: &Ended) -> String {
    match (ended.how, ended.code, ended.signal) {
        (How::Interrupt, ..) => "was interrupted".to_owned(),
        (How::Revert, ..) => "was given up".to_owned(),
        (_, Some(code), _) => format!("exited with status {code}"),
        (_, _, Some(signal)) => format!("was killed by {}", name_of(signal)),
        _ => "ended".to_owned(),
    }
}

fn microseconds(count: u64) -> String {
    duration(Duration::from_micros(count))
}

/// `2 file, 1 socket`: what there is by kind; the events have the details.
fn summary(items: &[NotRolledBack]) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for item in items {
        *kinds.entry(&item.kind).or_default() += 1;
    }
    let parts: Vec<String> = kinds
        .iter()
        .map(|(kind, count)| {
            let plural = if *count == 1 { "" } else { "s" };
            format!("{count} {kind}{plural}")
        })
        .collect();
    parts.join(", ")
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
    use crate::event::{Taken, Trigger};

    fn taken(items: &[&str]) -> Event {
        Event::Taken(Taken {
            id: 1,
            label: Some("a\x1b[2J".to_owned()),
            depth: 1,
            trigger: Trigger::Signal,
            latency_us: 1300,
            threads: 1,
            rss_bytes: 0,
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
    fn a_warning_is_said_once_and_again_when_it_changes() {
        let mut reporter = Reporter::default();
        let mut line = |items: &[&str]| reporter.line(&taken(items)).expect("a line");
        assert!(line(&["file", "file", "socket"]).ends_with("2 files, 1 socket"));
        assert!(!line(&["file", "file", "socket"]).contains("not rolled back"));
        assert!(line(&["file"]).ends_with("1 file"));
        assert!(!line(&[]).contains("not rolled back"));
        assert!(line(&["file"]).ends_with("1 file"));
    }

    #[test]
    fn a_label_can_not_command_the_terminal() {
        let line = Reporter::default().line(&taken(&[])).expect("a line");
        assert!(!line.contains('\x1b'), "{line:?}");
    }
}
