//! What a revert has done, and what it could not do. Nothing is left out.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// How a revert of files went.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) restored: Restored,
    pub(crate) problems: Vec<Problem>,
    /// Some object is another one than before.
    pub(crate) has_made_anew: bool,
    /// What others have changed, in words.
    pub(crate) outsiders: Vec<String>,
}

/// How many of each kind were put back.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Restored {
    /// Names that lead to their old object again.
    pub(crate) names: usize,
    /// Objects of the branch that were removed.
    pub(crate) removed: usize,
    /// Inodes whose content or properties were compared and put back.
    pub(crate) inodes: usize,
}

impl Restored {
    /// All together.
    pub(crate) fn all(self) -> u64 {
        (self.names + self.removed + self.inodes) as u64
    }
}

/// Something that is not as it was.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) path: PathBuf,
    /// What failed: "bring it back".
    pub(crate) what: String,
    pub(crate) error: io::Error,
}

impl Outcome {
    pub(super) fn problem(&mut self, path: PathBuf, what: impl Into<String>, error: io::Error) {
        self.problems.push(Problem {
            path,
            what: what.into(),
            error,
        });
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, what, error } = self;
        write!(f, "{}: failed to {what}: {error}", path.display())
    }
}
