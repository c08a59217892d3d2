//! What went wrong, why, and what to do next: the one shape of every error that a person sees
//! from the tool, with its exit code.

use std::fmt;

/// The exit codes of the tool itself; a program's own status is passed on.
pub mod exit {
    /// A second-terminal command was refused.
    pub const REFUSED: u8 = 1;
    /// The command line can't be understood.
    pub const USAGE: u8 = 2;
    /// The session couldn't be set up; the program never ran.
    pub const SETUP: u8 = 96;
    /// The session broke while the program ran.
    pub const BROKEN: u8 = 97;
    /// The build failed.
    pub const BUILD: u8 = 101;
    /// `cargo metadata` failed.
    pub const METADATA: u8 = 102;
}

/// An error for a person: what, cause, help, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What could not be done, a lowercase fragment without a full stop.
    pub what: String,
    /// Why.
    pub cause: Option<String>,
    /// The next step.
    pub help: Option<String>,
    /// The exit code, one of [`exit`].
    pub code: u8,
}

impl Problem {
    /// A problem with a headline alone.
    pub fn new(code: u8, what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            cause: None,
            help: None,
            code,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Adds the next step.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        if let Some(cause) = &self.cause {
            write!(f, "\n  cause: {cause}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help:  {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_has_what_cause_and_help() {
        let problem = Problem::new(exit::SETUP, "cannot launch `x`")
            .cause("it is static")
            .help("build it dynamically");
        assert_eq!(
            problem.to_string(),
            "error: cannot launch `x`\n  cause: it is static\n  help:  build it dynamically"
        );
    }
}
