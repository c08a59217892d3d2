//! The error numbers, and their texts.
//!
//! A number stays what it is for ever; a new error gets a new number. The full text of an error
//! names more than the number can (which thread, which step), and is kept for each thread.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "exports functions to C, and sets errno")]

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int};

use snapshot_core::SnapshotError;

/// There is no snapshot with that number, or none at all.
pub const SNAPSHOT_ERROR_NO_SUCH_SNAPSHOT: c_int = -1;
/// The launcher refused; it has said why on stderr and in its events.
pub const SNAPSHOT_ERROR_REFUSED: c_int = -2;
/// The program has forked this process; it is not the live process.
pub const SNAPSHOT_ERROR_NOT_LIVE: c_int = -3;
/// It was called in a hook. What hooks do belongs to the take or the revert under way.
pub const SNAPSHOT_ERROR_IN_HOOK: c_int = -4;
/// It was called in a signal handler that has interrupted the library in the same thread.
pub const SNAPSHOT_ERROR_BUSY: c_int = -5;
/// A thread could not be stopped.
pub const SNAPSHOT_ERROR_THREAD: c_int = -6;
/// There are too many threads.
pub const SNAPSHOT_ERROR_TOO_MANY_THREADS: c_int = -7;
/// Threads can't be made again with this libc.
pub const SNAPSHOT_ERROR_LIBC: c_int = -8;
/// The kernel refused something; errno says why.
pub const SNAPSHOT_ERROR_SYSTEM: c_int = -9;
/// A pointer is null where it must not be, or a structure's size is wrong.
pub const SNAPSHOT_ERROR_ARGUMENT: c_int = -10;
/// A defect in the library.
pub const SNAPSHOT_ERROR_DEFECT: c_int = -11;
/// The program runs in a session, which keeps its copies itself.
pub const SNAPSHOT_ERROR_IN_SESSION: c_int = -12;

/// How many bytes each text in a structure has, with its NUL. A longer text is cut.
pub const SNAPSHOT_TEXT_BYTES: usize = 256;

/// How many bytes the full text has, with its NUL. What comes through a revert is shorter.
const FULL_TEXT_BYTES: usize = 4352;

thread_local! {
    /// What this thread's last failure says, with a NUL. It is made once and never moves: C may ask
    /// for the text's place before the call that fails (the arguments of one `printf`, for example).
    static LAST: RefCell<Box<[u8]>> = RefCell::new(vec![0; FULL_TEXT_BYTES].into());
}

/// Why a function of this library fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    number: c_int,
    errno: Option<c_int>,
    text: String,
}

impl Failure {
    /// The caller has given what can't be meant.
    pub(crate) fn argument(text: &str) -> Self {
        Self {
            number: SNAPSHOT_ERROR_ARGUMENT,
            errno: None,
            text: text.to_owned(),
        }
    }

    /// The library has panicked.
    pub(crate) fn defect() -> Self {
        Self {
            number: SNAPSHOT_ERROR_DEFECT,
            errno: None,
            text: text_of(SNAPSHOT_ERROR_DEFECT)
                .to_string_lossy()
                .into_owned(),
        }
    }

    pub(crate) fn number(&self) -> c_int {
        self.number
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Keeps its text for this thread, sets errno if there is one, and gives its number.
    pub(crate) fn report(self) -> c_int {
        keep_text(&self.text);
        if let Some(errno) = self.errno {
            // SAFETY: has no conditions.
            let place = unsafe { libc::__errno_location() };
            // SAFETY: it is this thread's own errno.
            unsafe { place.write(errno) };
        }
        self.number
    }
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Self {
        let number = match error {
            SnapshotError::InSession => SNAPSHOT_ERROR_IN_SESSION,
            SnapshotError::NoSuchSnapshot => SNAPSHOT_ERROR_NO_SUCH_SNAPSHOT,
            SnapshotError::Refused => SNAPSHOT_ERROR_REFUSED,
            SnapshotError::NotTheLiveProcess => SNAPSHOT_ERROR_NOT_LIVE,
            SnapshotError::InHook => SNAPSHOT_ERROR_IN_HOOK,
            SnapshotError::Busy => SNAPSHOT_ERROR_BUSY,
            SnapshotError::Thread { .. } => SNAPSHOT_ERROR_THREAD,
            SnapshotError::TooManyThreads(_) => SNAPSHOT_ERROR_TOO_MANY_THREADS,
            SnapshotError::Libc { .. } => SNAPSHOT_ERROR_LIBC,
            SnapshotError::Failed { .. } => SNAPSHOT_ERROR_SYSTEM,
            // `SnapshotError` may grow, and a new error needs a number here.
            _ => SNAPSHOT_ERROR_DEFECT,
        };
        let errno = match error {
            SnapshotError::Failed { errno, .. } => Some(errno),
            _ => None,
        };
        Self {
            number,
            errno,
            text: error.to_string(),
        }
    }
}

/// Keeps a text for [`snapshot_last_error`].
pub(crate) fn keep_text(text: &str) {
    let write = |last: &mut Box<[u8]>| {
        let mut end = text.len().min(last.len() - 1);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let bytes = text.bytes().take(end).chain([0]);
        for (place, byte) in last.iter_mut().zip(bytes) {
            *place = byte;
        }
    };
    // Not in a thread that ends, nor in a signal handler that has interrupted this.
    let _ = LAST.try_with(|last| last.try_borrow_mut().map(|mut last| write(&mut last)));
}

fn text_of(error: c_int) -> &'static CStr {
    match error {
        SNAPSHOT_ERROR_NO_SUCH_SNAPSHOT => c"there is no such snapshot",
        SNAPSHOT_ERROR_REFUSED => c"the launcher refused the snapshot",
        SNAPSHOT_ERROR_NOT_LIVE => c"this process is a child of the one that is snapshotted",
        SNAPSHOT_ERROR_IN_HOOK => c"a hook can take no snapshot, and end no branch",
        SNAPSHOT_ERROR_BUSY => c"a signal handler has interrupted the library in this thread",
        SNAPSHOT_ERROR_THREAD => c"a thread could not be stopped",
        SNAPSHOT_ERROR_TOO_MANY_THREADS => c"there are too many threads",
        SNAPSHOT_ERROR_LIBC => c"threads can't be made again with this libc",
        SNAPSHOT_ERROR_SYSTEM => c"the kernel refused something",
        SNAPSHOT_ERROR_ARGUMENT => c"an argument is null, or a structure's size is wrong",
        SNAPSHOT_ERROR_DEFECT => c"there is a defect in the library",
        SNAPSHOT_ERROR_IN_SESSION => c"in a session it is the launcher that copies the program",
        _ if error >= 0 => c"no error",
        _ => c"an unknown error",
    }
}

/// A short text for an error number. It lives as long as the program.
#[unsafe(no_mangle)]
pub extern "C" fn snapshot_error_text(error: c_int) -> *const c_char {
    text_of(error).as_ptr()
}

/// The full text of this thread's last error, or of its last attempt that was undone; "" if there
/// was none. The place stays the same as long as the thread lives; the text stays until its next
/// call of this library.
#[unsafe(no_mangle)]
pub extern "C" fn snapshot_last_error() -> *const c_char {
    let place = LAST.try_with(|last| last.try_borrow().map(|last| last.as_ptr()));
    match place {
        Ok(Ok(place)) => place.cast(),
        _ => c"".as_ptr(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_text_of_its_own() {
        let texts: Vec<_> = (SNAPSHOT_ERROR_IN_SESSION..0).map(text_of).collect();
        for (at, text) in texts.iter().enumerate() {
            assert!(!texts.iter().skip(at + 1).any(|other| other == text));
            assert_ne!(*text, text_of(-1000));
        }
    }

    #[test]
    fn the_full_text_says_more_and_is_the_threads_own() {
        let error = SnapshotError::Failed {
            doing: "testing",
            errno: libc::ENOENT,
        };
        assert_eq!(Failure::from(error).report(), SNAPSHOT_ERROR_SYSTEM);
        assert_eq!(
            std::io::Error::last_os_error().raw_os_error(),
            Some(libc::ENOENT)
        );
        let full = || {
            // SAFETY: it is NUL-terminated, and stays until this thread's next call.
            unsafe { CStr::from_ptr(snapshot_last_error()) }.to_owned()
        };
        assert!(full().to_string_lossy().contains("while testing"));
        keep_text(&"ü".repeat(FULL_TEXT_BYTES));
        assert_eq!(full().to_bytes().len(), FULL_TEXT_BYTES - 2);
        let other = std::thread::spawn(move || full().is_empty());
        assert!(other.join().expect("it does not panic"));
    }
}
