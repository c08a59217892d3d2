//! The name of the trigger signal, as a person writes it: `USR1`, `SIGUSR1`, `usr1`, `RTMIN+5`,
//! `10`: whatever `kill -l` prints.

use std::str::FromStr;

use nix::libc;
use nix::sys::signal::Signal;
use snapshot_core::terms::SignalNumber;

/// A signal's code for the kernel's own: from a terminal, or other.
pub(crate) const SI_KERNEL: i32 = 0x80;

/// The highest signal number.
const HIGHEST: i32 = 64;

/// Other names of the same signals.
const ALIASES: [(&str, Signal); 4] = [
    ("IOT", Signal::SIGABRT),
    ("CLD", Signal::SIGCHLD),
    ("POLL", Signal::SIGIO),
    ("UNUSED", Signal::SIGSYS),
];

/// A signal that may serve as the trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalName(i32);

impl SignalName {
    /// The kernel's number.
    pub fn number(self) -> i32 {
        self.0
    }
}

impl std::fmt::Display for SignalName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(name_of(self.0).trim_start_matches("SIG"))
    }
}

impl FromStr for SignalName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = number_of(text)
            .ok_or_else(|| format!("no signal is called `{text}`; `kill -l` lists them"))?;
        match why_not(number) {
            Some(why) => Err(format!("{} {why}", name_of(number))),
            None => Ok(Self(number)),
        }
    }
}

/// The signal of a name or a number.
fn number_of(text: &str) -> Option<i32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text
            .parse()
            .ok()
            .filter(|number| (1..=HIGHEST).contains(number));
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    real_time(name)
        .or_else(|| {
            ALIASES
                .into_iter()
                .find(|(alias, _)| *alias == name)
                .map(|(_, signal)| number(signal))
        })
        .or_else(|| Signal::from_str(&format!("SIG{name}")).ok().map(number))
}

/// `RTMIN`, `RTMIN+5`, `RTMAX-3`.
fn real_time(name: &str) -> Option<i32> {
    let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    let distance = |rest: &str, sign: char| match rest {
        "" => Some(0),
        _ => {
            let digits = rest.strip_prefix(sign)?;
            let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<i32>().ok().filter(|_| is_plain)
        }
    };
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        first.checked_add(distance(rest, '+')?)?
    } else {
        last.checked_sub(distance(name.strip_prefix("RTMAX")?, '-')?)?
    };
    (first..=last).contains(&number).then_some(number)
}

/// Why a signal can't be the trigger.
fn why_not(number: i32) -> Option<&'static str> {
    let Ok(signal) = Signal::try_from(number) else {
        return (number < libc::SIGRTMIN()).then_some("is libc's own, and no program's");
    };
    match signal {
        Signal::SIGKILL | Signal::SIGSTOP => Some("can't be caught"),
        Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT => {
            Some("already ends a branch or the session")
        }
        Signal::SIGCHLD
        | Signal::SIGCONT
        | Signal::SIGTSTP
        | Signal::SIGTTIN
        | Signal::SIGTTOU
        | Signal::SIGWINCH => Some("is the kernel's own message to the program"),
        Signal::SIGPIPE => Some("is what the kernel sends whoever writes to nobody"),
        Signal::SIGSEGV
        | Signal::SIGBUS
        | Signal::SIGILL
        | Signal::SIGFPE
        | Signal::SIGABRT
        | Signal::SIGTRAP
        | Signal::SIGSYS => Some("reports a crash"),
        _ => None,
    }
}

fn number(signal: Signal) -> i32 {
    // A fieldless enum over `c_int`.
    signal as i32
}

/// `SIGSEGV` for 11, `SIGRTMIN+6` for 40; `signal 33` for one without a name.
pub fn name_of(number: i32) -> String {
    SignalNumber(number).to_string()
}

/// Whether the signal asks the session to end.
pub(crate) fn is_fatal_request(signal: i32) -> bool {
    [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT]
        .iter()
        .any(|fatal| *fatal as i32 == signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output of bash's `kill -l`.
    const LISTED: &str = "
        SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2
        SIGPIPE SIGALRM SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG
        SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS - - SIGRTMIN SIGRTMIN+1
        SIGRTMIN+2 SIGRTMIN+3 SIGRTMIN+4 SIGRTMIN+5 SIGRTMIN+6 SIGRTMIN+7 SIGRTMIN+8 SIGRTMIN+9
        SIGRTMIN+10 SIGRTMIN+11 SIGRTMIN+12 SIGRTMIN+13 SIGRTMIN+14 SIGRTMIN+15 SIGRTMAX-14
        SIGRTMAX-13 SIGRTMAX-12 SIGRTMAX-11 SIGRTMAX-10 SIGRTMAX-9 SIGRTMAX-8 SIGRTMAX-7 SIGRTMAX-6
        SIGRTMAX-5 SIGRTMAX-4 SIGRTMAX-3 SIGRTMAX-2 SIGRTMAX-1 SIGRTMAX";

    #[test]
    fn every_name_that_kill_lists() {
        let names = LISTED.split_whitespace().zip(1..);
        assert_eq!(names.clone().count(), 64);
        for (name, number) in names.filter(|(name, _)| *name != "-") {
            assert_eq!(number_of(name), Some(number), "{name}");
            assert_eq!(number_of(&name[3..].to_lowercase()), Some(number), "{name}");
            assert_eq!(number_of(&number.to_string()), Some(number));
            assert_eq!(name_of(number), name);
        }
    }

    #[test]
    fn names() {
        let shown = |text: &str| text.parse::<SignalName>().map(|name| name.to_string());
        for good in ["USR1", "SIGUSR1", "usr1", "sigusr1", "10"] {
            assert_eq!(shown(good), Ok("USR1".to_owned()), "{good}");
        }
        assert_eq!(shown("rtmin+5"), Ok("RTMIN+5".to_owned()));
        assert_eq!(shown("SIGRTMAX-30"), Ok("RTMIN".to_owned()));
        assert_eq!(shown("poll"), Ok("IO".to_owned()));
        for bad in [
            "", "SIG", "USR3", "0", "65", "-1", "RTMIN+31", "RTMAX+1", "RTMIN-1", "RTMIN+",
            "RTMIN+-1", "RTMIN++1", "RTMINUS",
        ] {
            assert!(
                shown(bad).is_err_and(|why| why.contains("kill -l")),
                "{bad}"
            );
        }
        for (bad, why) in [
            ("KILL", "SIGKILL can't be caught"),
            ("9", "SIGKILL can't be caught"),
            ("INT", "SIGINT already ends a branch or the session"),
            ("SEGV", "SIGSEGV reports a crash"),
            ("32", "signal 32 is libc's own, and no program's"),
            ("33", "signal 33 is libc's own, and no program's"),
        ] {
            assert_eq!(shown(bad), Err(why.to_owned()));
        }
    }
}
