//! `cargo snapshot recover`: finishes what a killed session has left of a revert of files. Called
//! by `cli`.

use std::path::PathBuf;

use clap::Args;
use snapshot_launch::{
    problem::Problem,
    recover::{Fate, Recovered, recover},
    timeline_view::printable,
};

use crate::second_terminal::answer::JsonFlag;

/// Finish what a killed session has left of a revert of files
#[derive(Debug, Args)]
#[command(after_help = "\
A session that is killed leaves files as the program left them. Only if it is killed in the
middle of a revert, files can be half-way. The next session that is started in the same
directory finishes that, or this command does. It may be interrupted and run again.

Examples:
  cargo snapshot recover ~/.cache
  cargo snapshot recover /tmp/.cargo-snapshot-files-4123-9f86d081")]
pub struct Recover {
    /// A directory that a session has left, or the one that it lies in
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    #[command(flatten)]
    json: JsonFlag,
}

impl Recover {
    /// Finishes the reverts and prints what was done.
    ///
    /// # Errors
    /// If a session that lives uses the directory, if it is another user's, or if something can't
    /// be put back.
    pub fn run(self) -> Result<(), Problem> {
        let recovered = recover(&self.directory)?;
        self.json.print(&recovered, || text(&recovered))
    }
}

fn text(recovered: &[Recovered]) -> String {
    if recovered.is_empty() {
        return "nothing to recover".to_owned();
    }
    let mut text = String::new();
    for Recovered { path, fate } in recovered {
        let path = printable(&path.to_string_lossy());
        match fate {
            Fate::Finished { changed, problems } => {
                text += &format!("{path}: the revert is finished, {changed} changes taken back\n");
                for problem in problems {
                    text += &format!("  not as it was: {}\n", printable(problem));
                }
            }
            Fate::Removed => text += &format!("{path}: no revert was under way, removed\n"),
            Fate::Kept => {
                text += &format!("{path}: an earlier revert has left files in `left`, kept\n");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each() {
        assert_eq!(text(&[]), "nothing to recover");
        let fate = Fate::Finished {
            changed: 3,
            problems: vec!["/a: failed to bring it back: gone".to_owned()],
        };
        let path = PathBuf::from("/tmp/store");
        let recovered = [
            Recovered {
                path: path.clone(),
                fate,
            },
            Recovered {
                path,
                fate: Fate::Removed,
            },
        ];
        assert_eq!(
            text(&recovered),
            "/tmp/store: the revert is finished, 3 changes taken back\n  \
             not as it was: /a: failed to bring it back: gone\n\
             /tmp/store: no revert was under way, removed\n"
        );
    }
}
