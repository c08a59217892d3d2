//! A target by its kind and its name: what the flags say, and what cargo's output is searched for.
//!
//! Plain data, below everything else about cargo.

use std::fmt;

use cargo_metadata::{Target, TargetKind};

/// A kind of target that can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `--bin`
    Bin,
    /// `--example`
    Example,
    /// `--test`
    Test,
    /// `--bench`
    Bench,
}

impl Kind {
    /// The flag that chooses one.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Bin => "--bin",
            Self::Example => "--example",
            Self::Test => "--test",
            Self::Bench => "--bench",
        }
    }

    /// The kind of a target; `None` for kinds that no flag chooses.
    pub fn of(target: &Target) -> Option<Self> {
        target.kind.iter().find_map(|kind| match kind {
            TargetKind::Bin => Some(Self::Bin),
            TargetKind::Example => Some(Self::Example),
            TargetKind::Test => Some(Self::Test),
            TargetKind::Bench => Some(Self::Bench),
            _ => None,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.flag().trim_start_matches('-'))
    }
}

/// One target by its name. Several packages may have one of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetChoice {
    /// Its kind.
    pub kind: Kind,
    /// Its name in the manifest.
    pub name: String,
}

impl TargetChoice {
    /// Whether `target` is the chosen one.
    pub fn is(&self, target: &Target) -> bool {
        Kind::of(target) == Some(self.kind) && target.name == self.name
    }
}
