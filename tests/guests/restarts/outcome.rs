//! How a call ended, and the macro that makes a call of libc and returns that.

use nix::errno::Errno;

/// How a call ended: its value, or its error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome(pub Result<i64, Errno>);

impl Outcome {
    /// The outcome of a call that returns -1 and sets `errno`.
    pub fn of(value: i64) -> Self {
        Self(if value == -1 {
            Err(Errno::last())
        } else {
            Ok(value)
        })
    }

    /// The outcome of a call that returns an error's number: `pthread_*`, `clock_nanosleep`,
    /// and the kernel's own with its sign turned.
    pub fn of_code(code: i64) -> Self {
        match i32::try_from(code) {
            Ok(0) => Self(Ok(0)),
            Ok(code) => Self(Err(Errno::from_raw(code))),
            Err(_) => Self(Err(Errno::UnknownErrno)),
        }
    }

    /// The outcome of a system call without libc.
    pub fn of_raw(value: i64) -> Self {
        if value < 0 {
            Self::of_code(-value)
        } else {
            Self(Ok(value))
        }
    }

    pub fn text(self) -> String {
        match self.0 {
            Ok(value) => value.to_string(),
            Err(error) => format!("{error:?}"),
        }
    }
}

/// Makes one call of libc and records how it ended.
macro_rules! call {
    ($call:expr) => {{
        // SAFETY: a row passes null, or its own object, which lives as long as the call and has
        // the size that the call's page asks for.
        let value = unsafe { $call };
        $crate::outcome::Outcome::of(value as i64)
    }};
}

pub(crate) use call;
