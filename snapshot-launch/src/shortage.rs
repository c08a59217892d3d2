//! What a person does about a limit that a call has failed at, by the call's error: the same
//! words wherever it happens, at the launch, at a take or at a revert.

use nix::libc;

/// The next step where something that the kernel limits has run out; nothing where the error
/// says something else.
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
pub(crate) fn help_for(error: &std::io::Error) -> Option<&'static str> {
    match error.kind() {
        // Its own allocations fail without a number.
        std::io::ErrorKind::OutOfMemory => help(libc::ENOMEM),
        _ => help(error.raw_os_error()?),
    }
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
        assert!(help_for(&std::io::ErrorKind::OutOfMemory.into()).is_some());
    }
}
