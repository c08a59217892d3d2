//! Refusals: why something was not done.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// One word for scripts.
    pub kind: Cow<'static, str>,
    /// The reason, a lowercase fragment.
    pub why: String,
    /// The next step.
    pub help: String,
}

impl Refusal {
    /// A refusal of this kind.
    pub fn new(kind: &'static str, why: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            kind: Cow::Borrowed(kind),
            why: why.into(),
            help: help.into(),
        }
    }

    /// An unexpected failure of a step.
    pub fn failed(why: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new("failed", why, help)
    }
}
