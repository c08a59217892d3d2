//! `cargo snapshot diff`: which files differ between two moments of a session. Called by `cli`.

use clap::Args;
use similar::TextDiff;
use snapshot_launch::{
    control::Request,
    file_changes::{Change, FileChange, FileChanges, Text},
    problem::Problem,
    timeline_view::{bytes, printable},
};

use crate::second_terminal::{
    answer::JsonFlag,
    request::{self, SessionFlag},
    snapshot_id,
};

/// Show which files differ between two moments
///
/// Only files: what differs in memory is not shown. It lists what the program has changed, from
/// the records that a revert needs, and searches no tree. What only others have changed is not
/// in it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo snapshot diff              What has changed since the newest snapshot
  cargo snapshot diff 1 2          What had changed between #1 and #2
  cargo snapshot diff --patch      With the text, as `diff -u` shows it")]
pub struct Diff {
    #[command(flatten)]
    session: SessionFlag,

    /// The earlier moment, a snapshot [default: the newest]
    #[arg(value_name = "A", value_parser = snapshot_id::parse)]
    from: Option<u32>,

    /// The later moment, a snapshot [default: the program as it runs]
    #[arg(value_name = "B", value_parser = snapshot_id::parse)]
    to: Option<u32>,

    /// Show the text of what has changed, as a unified diff
    #[arg(short, long)]
    patch: bool,

    #[command(flatten)]
    json: JsonFlag,
}

impl Diff {
    /// Asks the session and prints what differs.
    ///
    /// # Errors
    /// If no session is meant, or it has no such snapshot.
    pub fn run(self) -> Result<(), Problem> {
        let request = Request::Diff {
            from: self.from,
            to: self.to,
            with_text: self.patch,
        };
        let changes = request::ask_for_changes(&self.session, &request)?;
        self.json.print(&changes, || text(&changes))
    }
}

fn text(found: &FileChanges) -> String {
    let mut text = String::new();
    for change in &found.changes {
        text += &line(change);
        if let Some(patch) = patch(change) {
            text += &patch;
        }
    }
    if found.is_cut {
        text += "and more\n";
    }
    if found.is_late {
        text += &format!(
            "the journal was started again after #{}: what had changed before is not listed\n",
            found.from
        );
    }
    if text.is_empty() {
        let to = found
            .to
            .map_or_else(|| "now".to_owned(), |to| format!("#{to}"));
        return format!("no file differs between #{} and {to}", found.from);
    }
    text
}

fn line(change: &FileChange) -> String {
    let path = printable(&change.path);
    let head = match (&change.change, &change.renamed_from) {
        (Change::Renamed, Some(from)) => format!("renamed  {} -> {path}", printable(from)),
        (Change::Renamed | Change::Changed, _) => format!("changed  {path}"),
        (Change::Added, _) => format!("added    {path}"),
        (Change::Removed, _) => format!("removed  {path}"),
    };
    let mut details = Vec::new();
    match (change.size_before, change.size_now) {
        (Some(before), Some(now)) if before != now => {
            details.push(format!("{} -> {}", bytes(before), bytes(now)));
        }
        (Some(size), _) | (None, Some(size)) => details.push(bytes(size)),
        (None, None) => {}
    }
    match (&change.mode_before, &change.mode_now) {
        (Some(before), Some(now)) if before != now => {
            details.push(format!("mode {before} -> {now}"));
        }
        (Some(mode), None) | (None, Some(mode)) => details.push(format!("mode {mode}")),
        _ => {}
    }
    match details.is_empty() {
        true => format!("{head}\n"),
        false => format!("{head}  ({})\n", details.join(", ")),
    }
}

fn patch(change: &FileChange) -> Option<String> {
    let (before, now) = match change.text.as_ref()? {
        Text::Binary => return Some("  binary\n".to_owned()),
        Text::Large => return Some("  too large to be shown\n".to_owned()),
        Text::Of { before, now } => (before, now),
    };
    let path = printable(&change.path);
    let was = change
        .renamed_from
        .as_deref()
        .map_or_else(|| path.clone(), printable);
    let name = |path: String, is_there: bool| match is_there {
        true => path,
        false => "/dev/null".to_owned(),
    };
    let difference = TextDiff::from_lines(before, now);
    let patch = difference
        .unified_diff()
        .header(
            &name(was, change.size_before.is_some()),
            &name(path, change.size_now.is_some()),
        )
        .to_string();
    // The text is the program's: a terminal must not obey it.
    let lines = patch.lines().map(|line| {
        let parts: Vec<_> = line.split('\t').map(printable).collect();
        parts.join("\t") + "\n"
    });
    Some(lines.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(change: Change) -> FileChange {
        FileChange {
            path: "/w/a".to_owned(),
            change,
            renamed_from: None,
            size_before: Some(4),
            size_now: Some(6),
            mode_before: Some("100644".to_owned()),
            mode_now: Some("100755".to_owned()),
            text: None,
        }
    }

    fn changes(changes: Vec<FileChange>) -> FileChanges {
        FileChanges {
            from: 1,
            to: None,
            changes,
            is_cut: false,
            is_late: false,
        }
    }

    #[test]
    fn a_line_for_each() {
        assert_eq!(text(&changes(vec![])), "no file differs between #1 and now");
        let renamed = FileChange {
            renamed_from: Some("/w/b".to_owned()),
            size_now: Some(4),
            mode_now: Some("100644".to_owned()),
            ..change(Change::Renamed)
        };
        let text = text(&changes(vec![change(Change::Changed), renamed]));
        assert_eq!(
            text,
            "changed  /w/a  (4 B -> 6 B, mode 100644 -> 100755)\nrenamed  /w/b -> /w/a  (4 B)\n"
        );
    }

    #[test]
    fn a_patch_as_diff_shows_it() {
        let of = |before: &str, now: &str| Text::Of {
            before: before.to_owned(),
            now: now.to_owned(),
        };
        let mut change = change(Change::Changed);
        change.text = Some(of("one\ntwo\n", "one\n\x1b[2J\n"));
        assert_eq!(
            patch(&change).expect("a text"),
            "--- /w/a\n+++ /w/a\n@@ -1,2 +1,2 @@\n one\n-two\n+\\u{1b}[2J\n"
        );
        change.text = Some(Text::Binary);
        assert_eq!(patch(&change).as_deref(), Some("  binary\n"));
    }
}
