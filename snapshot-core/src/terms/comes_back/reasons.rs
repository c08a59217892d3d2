//! What is said of one thing: it comes back, it does not for these reasons, or it refuses a
//! take. And whom a thing belongs to, which decides most of it.
//!
//! Context: AS-SAFE.

use crate::terms::Why;

/// Whether something is as it was after a revert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComesBack {
    /// It is.
    Yes,
    /// Not quite, for these reasons.
    No(Reasons),
    /// There is no revert: a take refuses, unless the user allows this kind.
    RefusesTake,
}

impl ComesBack {
    /// By the reasons against it.
    pub const fn unless(reasons: Reasons) -> Self {
        match reasons.0 {
            [None, ..] => Self::Yes,
            _ => Self::No(reasons),
        }
    }
}

/// Reasons, in the order in which a person hears them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reasons([Option<Why>; 4]);

impl Reasons {
    /// None.
    pub const NONE: Self = Self([None; 4]);

    /// These, if there is one.
    #[must_use]
    pub fn and(mut self, reasons: impl IntoIterator<Item = Why>) -> Self {
        for why in reasons {
            if let Some(place) = self.0.iter_mut().find(|place| place.is_none()) {
                *place = Some(why);
            }
        }
        self
    }
}

impl IntoIterator for Reasons {
    type Item = Why;
    type IntoIter = core::iter::Flatten<core::array::IntoIter<Option<Why>, 4>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().flatten()
    }
}

/// Whom something belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sharing {
    /// The system hides which descriptors are the same (`kcmp`).
    pub is_hidden: bool,
    /// Another process has it too, or may have: the program was started with it.
    pub is_elsewhere: bool,
}

impl Sharing {
    /// Whether it is the program's alone, for certain.
    pub const fn is_own(self) -> bool {
        self.why().is_none()
    }

    /// Why a thing does not come back that only the program's own does: interest lists,
    /// counters, timers, signals to read.
    pub const fn why(self) -> Option<Why> {
        match self {
            Self {
                is_hidden: true, ..
            } => Some(Why::Hidden),
            Self {
                is_elsewhere: true, ..
            } => Some(Why::Elsewhere),
            _ => None,
        }
    }
}
