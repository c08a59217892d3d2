//! Refusals: why something was not done.

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// One word for scripts.
    pub(crate) kind: &'static str,
    /// The reason, a lowercase fragment.
    pub(crate) why: String,
    /// The next step.
    pub(crate) help: String,
}

impl Refusal {
    pub(crate) fn new(kind: &'static str, why: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            kind,
            why: why.into(),
            help: help.into(),
        }
    }

    /// An unexpected failure of a step.
    pub(crate) fn failed(why: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new("failed", why, help)
    }
}
