//! The name of the trigger signal, as a person writes it: `USR1`, `SIGUSR1`, `usr1`.

use std::str::FromStr;

use nix::sys::signal::Signal;

/// The kernel's word, as a signal's code, for "from a terminal, or something else of mine".
pub(crate) const SI_KERNEL: i32 = 0x80;

/// A signal that may serve as the trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalName(pub Signal);

impl SignalName {
    /// The kernel's number.
    pub fn number(self) -> i32 {
        // A fieldless enum over `c_int`.
        self.0 as i32
    }
}

impl std::fmt::Display for SignalName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str().trim_start_matches("SIG"))
    }
}

impl FromStr for SignalName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let upper = text.to_ascii_uppercase();
        let name = format!("SIG{}", upper.strip_prefix("SIG").unwrap_or(&upper));
        let signal = Signal::from_str(&name)
            .map_err(|_| format!("no signal is called `{text}`; `kill -l` lists them"))?;
        match signal {
            Signal::SIGKILL | Signal::SIGSTOP => Err(format!("{name} can't be caught")),
            Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT => {
                Err(format!("{name} already ends a branch or the session"))
            }
            Signal::SIGCHLD | Signal::SIGCONT | Signal::SIGTSTP | Signal::SIGWINCH => {
                Err(format!("{name} is the kernel's own message to the program"))
            }
            Signal::SIGSEGV
            | Signal::SIGBUS
            | Signal::SIGILL
            | Signal::SIGFPE
            | Signal::SIGABRT
            | Signal::SIGTRAP
            | Signal::SIGSYS => Err(format!("{name} reports a crash")),
            signal => Ok(Self(signal)),
        }
    }
}

/// `SIGSEGV` for 11; `signal 40` where there is no name.
pub fn name_of(number: i32) -> String {
    Signal::try_from(number).map_or_else(
        |_| format!("signal {number}"),
        |signal| signal.as_str().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["USR1", "SIGUSR1", "usr1", "sigusr2"] {
            assert!(good.parse::<SignalName>().is_ok(), "{good}");
        }
        for bad in ["", "SIG", "USR3", "KILL", "INT", "10", "SEGV"] {
            assert!(bad.parse::<SignalName>().is_err(), "{bad}");
        }
    }
}
