//! What the user should hear of the journal's work: each once.

use std::collections::HashSet;
use std::io;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::by_descriptor::{errno_of, path_now};
use super::coverage::Coverage;

/// So many are passed on between two takes; a program may go past the journal without end.
const MOST: usize = 32;

/// What waits to be passed on to the supervisor.
#[derive(Debug, Default)]
pub(super) struct News {
    notes: Vec<String>,
    said: HashSet<String>,
}

impl News {
    /// What is new.
    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// A new level: what was said of the one before may be said again.
    pub(super) fn begin(&mut self) {
        self.said.clear();
    }

    pub(super) fn say(&mut self, text: String) {
        if self.said.len() < MOST && self.said.insert(text.clone()) {
            self.notes.push(text);
        }
    }

    /// The program changes something in a way that no filter shows.
    pub(super) fn went_past(&mut self, what: &str) {
        self.say(format!("a revert will not bring back {what}"));
    }

    /// The program changes a file on a filesystem of another machine or process.
    pub(super) fn is_remote(&mut self, fd: BorrowedFd<'_>) {
        let path = path_now(fd).map(|path| path.display().to_string());
        let path = path.unwrap_or_else(|_| "a file".to_owned());
        self.say(format!(
            "a revert will not bring back what is changed on {path}: it lies on a remote filesystem"
        ));
    }
}

/// The call must wait for nobody else: what could not be kept is said, and it goes on; or it
/// fails with an error of its own.
impl News {
    /// # Errors
    /// Why the call fails.
    pub(super) fn kept(&mut self, kept: io::Result<Coverage>) -> Result<(), Errno> {
        match kept {
            Ok(Coverage::Covered) => Ok(()),
            Ok(Coverage::Not(what)) => {
                self.say(format!("a revert will not bring back {what}"));
                Ok(())
            }
            Err(error) => Err(errno_of(&error)),
        }
    }
}
