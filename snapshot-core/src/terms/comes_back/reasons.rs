//! The verdict on one object: it comes back, it does not for these reasons, or it refuses a
//! take. And its owners, which decide most of it.
//!
//! Context: AS-SAFE.

use crate::terms::Why;

/// Whether something is as before after a revert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComesBack {
    /// It is.
    Yes,
    /// Not entirely, for these reasons.
    No(Reasons),
    /// There is no snapshot to revert to: it refuses a take, unless the user allows this kind.
    RefusesTake,
}

impl ComesBack {
    /// The verdict by the reasons against it.
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

    /// Adds these.
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

/// The owners of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sharing {
    /// The system hides which descriptors are the same (`kcmp`).
    pub is_hidden: bool,
    /// Another process has it too, or may have: the program was started with it.
    pub is_elsewhere: bool,
}

impl Sharing {
    /// Whether it certainly belongs to the program alone.
    pub const fn is_own(self) -> bool {
        self.why().is_none()
    }

    /// Why a shared object does not come back, for interest lists, counters, timers and
    /// `signalfd`.
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
