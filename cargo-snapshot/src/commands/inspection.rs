//! What `cargo snapshot doctor --pid` says about a process, for a person. Called by `doctor`.
//!
//! First each thing that would refuse a take, then each thing that a revert would lose, then a
//! summary of what comes back.

use snapshot_launch::{
    counted::counted,
    inspect::{Inspection, Item, Role},
    timeline_view::{bytes, printable},
};

/// The whole text, in lines.
pub fn describe(found: &Inspection) -> String {
    let mut text = format!(
        "process {} ({}): {}, {}\n",
        found.pid,
        printable(&found.name),
        counted(found.threads, "thread"),
        bytes(found.rss_bytes)
    );
    let mut line = |text_of_line: &str| {
        text.push_str(text_of_line);
        text.push('\n');
    };
    match &found.session {
        Some(session) => {
            let role = match session.role {
                Role::Program => "the program",
                Role::Launcher => "the launcher",
                Role::Snapshot => "a snapshot",
            };
            line(&format!(
                "  it is {role} of session `{}` (launcher {})",
                printable(&session.name),
                session.launcher_pid
            ));
        }
        None => {
            line("  it is in no session of yours: this is what one would promise for it");
        }
    }
    if let Some(cause) = &found.executable.cause {
        line("its executable can't be launched in a session");
        line(&format!("  cause: {cause}"));
        if let Some(help) = &found.executable.help {
            line(&format!("  help:  {help}"));
        }
    }
    if found.refused.is_empty() {
        if found.executable.cause.is_none() {
            line("a take would not be refused");
        }
    } else {
        line("a take would be refused");
        for refused in &found.refused {
            line(&of_kind(&refused.item));
            line(&format!("    cause: {}", refused.why));
            line(&format!("    help:  {}", refused.help));
        }
    }
    if found.not_rolled_back.is_empty() {
        line("nothing would be lost");
    } else {
        line("not rolled back");
        for lost in &found.not_rolled_back {
            line(&of_kind(&lost.item));
            line(&format!("    cause: {}", lost.why));
        }
    }
    if !found.rolled_back.is_empty() {
        line("rolled back");
        for (kind, items) in found.rolled_back_by_kind() {
            line(&format!("  {kind}: {}", which(&items)));
        }
    }
    if let Some(trigger) = &found.trigger {
        line(trigger);
    }
    if found.unseen_processes > 0 {
        line(&format!(
            "{} may not be looked into: what is shared with those is not known (root may)",
            counted(found.unseen_processes as usize, "other process")
        ));
    }
    text
}

fn of_kind(item: &Item) -> String {
    format!("  {}: {}", item.kind, printable(&item.what))
}

/// `fd 3, 4, 7`, or their number if they have no descriptors.
fn which(items: &[&Item]) -> String {
    let numbers: Vec<String> = items
        .iter()
        .filter_map(|item| Some(item.fd?.to_string()))
        .collect();
    if numbers.is_empty() {
        items.len().to_string()
    } else {
        format!("fd {}", numbers.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snapshot_launch::doctor::Launchable;
    use snapshot_launch::inspect::{InSession, Lost, Refused};

    fn item(kind: &'static str, fd: Option<i32>, what: &str) -> Item {
        Item {
            kind,
            fd,
            what: what.to_owned(),
        }
    }

    fn inspection() -> Inspection {
        Inspection {
            pid: 71,
            name: "server\x1b[2J".to_owned(),
            user: 0,
            session: None,
            executable: Launchable {
                path: Some("/bin/server".into()),
                cause: None,
                help: None,
            },
            threads: 2,
            children: 0,
            rss_bytes: 0,
            refused: Vec::new(),
            not_rolled_back: Vec::new(),
            rolled_back: Vec::new(),
            trigger: None,
            unseen_processes: 0,
        }
    }

    #[test]
    fn a_process_that_loses_nothing() {
        let text = describe(&inspection());
        assert!(text.starts_with("process 71 (server\\u{1b}[2J): 2 threads, "));
        for part in ["would not be refused", "nothing would be lost"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("may not be looked into"), "{text}");
    }

    #[test]
    fn everything_that_can_be_said() {
        let text = describe(&Inspection {
            session: Some(InSession {
                name: "tour".to_owned(),
                launcher_pid: 70,
                role: Role::Program,
            }),
            executable: Launchable {
                path: None,
                cause: Some("it is static".to_owned()),
                help: Some("link it".to_owned()),
            },
            refused: vec![Refused {
                item: item("io-uring", Some(9), "fd 9: ring"),
                why: "shared",
                help: "deny it",
            }],
            not_rolled_back: vec![Lost {
                item: item("socket", Some(4), "fd 4: \x1b]0;x"),
                why: "connected".into(),
            }],
            rolled_back: vec![
                item("epoll", Some(5), ""),
                item("file", Some(3), ""),
                item("epoll", Some(6), ""),
                item("shared-memory", None, ""),
            ],
            trigger: Some("the program handles SIGUSR1 itself".to_owned()),
            unseen_processes: 2,
            ..inspection()
        });
        for part in [
            "the program of session `tour` (launcher 70)",
            "can't be launched in a session\n  cause: it is static\n  help:  link it\n",
            "refused\n  io-uring: fd 9: ring\n    cause: shared\n    help:  deny it\n",
            "not rolled back\n  socket: fd 4: \\u{1b}]0;x\n    cause: connected\n",
            "rolled back\n  epoll: fd 5, 6\n  file: fd 3\n  shared-memory: 1\n",
            "the program handles SIGUSR1 itself\n",
            "2 other processes may not be looked into",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    }
}
