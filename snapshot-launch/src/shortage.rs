//! What to do about a limit, by a failed call's error: a person gets the same words at the
//! launch, a take or a revert, and the tool tries again.

use std::io;
use std::time::Duration;

use nix::libc;

/// The next step if a resource has run out; `None` for another error.
pub(crate) fn help(errno: i32) -> Option<&'static str> {
    Some(match errno {
        libc::EAGAIN => {
            "raise the limit on processes (`ulimit -u`, or the pids limit of the container), or end some"
        }
        libc::ENOMEM => {
            "free some memory, or raise the limit on it (`ulimit -v`, `ulimit -d`, for a program that locks its memory `ulimit -l`, the container's)"
        }
        libc::EMFILE => "raise the limit on descriptors (`ulimit -n`), or close some",
        libc::ENFILE => {
            "the whole system has no descriptors left: end what has many, or raise fs.file-max"
        }
        libc::EFBIG => "raise the limit on the size of files, `ulimit -f`",
        libc::ENOSPC => "make room on that file system, for files and for their number",
        _ => return None,
    })
}

/// The same for an error of the standard library.
pub(crate) fn help_for(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        // Its own allocations fail without a number.
        io::ErrorKind::OutOfMemory => help(libc::ENOMEM),
        _ => help(error.raw_os_error()?),
    }
}

/// The next step if a signal could not be queued.
pub(crate) const HELP_WITH_SIGNALS: &str =
    "raise the limit, `ulimit -i`, or end the process that does not take its own";

/// How often to try again when the whole system is short of something, and the pause between:
/// there may be more in a moment.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(1);

/// Tries a call again if it lacks descriptors or memory.
///
/// # Errors
/// The call's error, if it lasts.
pub(crate) fn patiently<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut outcome = call();
    for _ in 1..ATTEMPTS {
        let errno = outcome.as_ref().err().and_then(io::Error::raw_os_error);
        if !matches!(errno, Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)) {
            break;
        }
        std::thread::sleep(PAUSE);
        outcome = call();
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_says_what_to_raise() {
        let words = |errno| help(errno).unwrap_or("");
        assert!(words(libc::EMFILE).contains("ulimit -n"));
        assert!(words(libc::EAGAIN).contains("pids limit"));
        assert_eq!(help(libc::EPERM), None);
        assert!(help_for(&io::ErrorKind::OutOfMemory.into()).is_some());
    }

    #[test]
    fn only_a_shortage_is_waited_for() {
        for (errno, expected) in [(libc::ENFILE, ATTEMPTS), (libc::EPERM, 1)] {
            let mut calls = 0;
            let outcome: io::Result<()> = patiently(|| {
                calls += 1;
                Err(io::Error::from_raw_os_error(errno))
            });
            assert_eq!(outcome.expect_err("it fails").raw_os_error(), Some(errno));
            assert_eq!(calls, expected);
        }
    }
}
