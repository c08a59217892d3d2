//! Signals by name.
//!
//! Context: for people; no handler shows one.

/// The names of 1 to 31, as Linux numbers them on all processors but MIPS, SPARC and Alpha.
const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// A signal's number, shown by its name: `SIGSEGV` for 11, `SIGRTMIN+6` for 40, `signal 33` for
/// one without a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalNumber(pub i32);

#[allow(clippy::disallowed_macros, reason = "for people: no handler shows one")]
impl core::fmt::Display for SignalNumber {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let number = self.0;
        let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
        let name = usize::try_from(number - 1)
            .ok()
            .and_then(|index| NAMES.get(index));
        match name {
            Some(name) => f.write_str(name),
            None if number == first => f.write_str("SIGRTMIN"),
            None if number == last => f.write_str("SIGRTMAX"),
            // As `kill -l` does: from the nearer end.
            None if (first..=first + (last - first) / 2).contains(&number) => {
                write!(f, "SIGRTMIN+{}", number - first)
            }
            None if (first..last).contains(&number) => write!(f, "SIGRTMAX-{}", last - number),
            None => write!(f, "signal {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name_where_there_is_one() {
        let shown = |number| SignalNumber(number).to_string();
        assert_eq!(shown(libc::SIGHUP), "SIGHUP");
        assert_eq!(shown(libc::SIGSEGV), "SIGSEGV");
        assert_eq!(shown(libc::SIGSYS), "SIGSYS");
        assert_eq!(shown(libc::SIGRTMIN() + 6), "SIGRTMIN+6");
        assert_eq!(shown(libc::SIGRTMAX()), "SIGRTMAX");
        assert_eq!(shown(0), "signal 0");
        assert_eq!(shown(33), "signal 33");
    }
}
