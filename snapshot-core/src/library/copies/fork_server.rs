//! AFL++ drives the program: its protocol for fork servers, on copies with all threads.
//!
//! `afl-fuzz` hands the program two descriptors. On one it asks for a run, with four bytes; on the other
//! the program says first which options it knows, and then for each run the copy's process id and its
//! wait status. Numbers are in the machine's order. Source: AFL++'s `include/types.h` and its description
//! of the fork server.
//!
//! Context: IN-PROCESS, but for the server, which is AS-SAFE.
#![expect(unsafe_code, reason = "maps the input")]

use std::ffi::CStr;
use std::io::Read;

use super::{ending::work_or_abort, serving::serve};
use crate::arch;
use crate::library::alone::{
    again::coverage,
    template::{Role, Server},
};
use crate::library::api::{error::SnapshotError, snapshots::must_be_alone};
use crate::sys;
use crate::terms::Ended;

const REQUESTS: i32 = 198;
const ANSWERS: i32 = 199;

/// The options follow in the same word.
const ENABLED: u32 = 0x8000_0001;
/// The size of the coverage map is in bits 1 to 23.
const MAP_SIZE: u32 = 0x4000_0000;
const MAP_SIZE_BITS: u32 = 0x00ff_fffe;
/// The input comes in shared memory.
const SHARED_INPUT: u32 = 0x0100_0000;

/// The compiler's runtime logs comparisons (CmpLog) as the newer versions do.
const NEW_COMPARISONS: u32 = 0x0200_0000;

/// `afl-fuzz` looks for this text, with the NUL behind it, in the program's file. It then tells AFL++'s
/// runtime to start no fork server before `main`.
const MARK: &CStr = c"##SIG_AFL_DEFER_FORKSRV##";

/// Runs the program's part that is to be fuzzed. Under `afl-fuzz` each input is run in a fresh copy of
/// the program as it is at this call, with all threads, its timers, sets of events and file offsets: what
/// was set up before costs no run anything, and no run sees what another has done. Without `afl-fuzz` it
/// runs once, with what is on stdin.
///
/// It returns when there is no further input; a copy never returns.
///
/// A panic of `run` ends the copy by SIGABRT, so `afl-fuzz` keeps the input as a crash. Where `cargo afl`
/// or `afl-cc` have built the program, the coverage of each run is theirs.
///
/// ```no_run
/// # struct Parser; impl Parser { fn new() -> Self { Self } fn parse(&mut self, _: &[u8]) {} }
/// let mut parser = Parser::new(); // expensive
/// snapshot_core::persistent(|input| parser.parse(input))?;
/// # Ok::<(), snapshot_core::SnapshotError>(())
/// ```
///
/// # Errors
/// The program can't be stopped or copied; stdin can't be read; or under `afl-fuzz` it runs in a session
/// ([`SnapshotError::InSession`]).
pub fn persistent(run: impl FnMut(&[u8])) -> Result<(), SnapshotError> {
    // This function is compiled with its caller. So the text is in programs that call it, and in no
    // others.
    std::hint::black_box(MARK);
    persistent_unmarked(run)
}

/// The same for a program that has the mark itself.
///
/// # Errors
/// As [`persistent`].
#[doc(hidden)]
pub fn persistent_unmarked(mut run: impl FnMut(&[u8])) -> Result<(), SnapshotError> {
    if !sys::is_open(REQUESTS) || !sys::is_open(ANSWERS) {
        run(&read_stdin()?);
        return Ok(());
    }
    must_be_alone()?;
    let mut server = ForkServer::greet()?;
    match serve(&mut server)? {
        Role::Copy => work_or_abort(|| match server.input {
            Some(input) => run(input.bytes()),
            None => match read_stdin() {
                Ok(input) => run(&input),
                Err(error) => panic!("{error}"),
            },
        }),
        Role::Template => {
            coverage::show();
            Ok(())
        }
    }
}

fn read_stdin() -> Result<Vec<u8>, SnapshotError> {
    let mut input = Vec::new();
    match std::io::stdin().lock().read_to_end(&mut input) {
        Ok(_) => Ok(input),
        Err(error) => Err(SnapshotError::Failed {
            doing: "reading the input from stdin",
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        }),
    }
}

/// The input of the next run, in memory that `afl-fuzz` writes: four bytes of length, and the bytes.
#[derive(Clone, Copy)]
struct SharedInput(*const u8);

impl SharedInput {
    /// Attaches it, if there is one.
    fn attach() -> Option<Self> {
        let id = std::env::var("__AFL_SHM_FUZZ_ID").ok()?.parse().ok()?;
        // SAFETY: maps memory where the kernel likes.
        let memory = unsafe { libc::shmat(id, std::ptr::null(), libc::SHM_RDONLY) };
        (memory.addr() != usize::MAX).then(|| Self(memory.cast()))
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the memory begins with the length.
        let length = unsafe { self.0.cast::<u32>().read() };
        // SAFETY: the bytes follow.
        let bytes = unsafe { self.0.add(size_of::<u32>()) };
        // SAFETY: the fuzzer keeps the length within the memory, and doesn't write while a run lasts.
        unsafe { std::slice::from_raw_parts(bytes, length as usize) }
    }
}

struct ForkServer {
    input: Option<SharedInput>,
    /// Whether afl-fuzz has killed the last copy.
    has_killed: bool,
}

/// The size of the coverage map, if the program has AFL++'s runtime.
fn map_size() -> Option<u32> {
    // SAFETY: the runtime has a `u32` under this name, which its constructors have set.
    unsafe { arch::afl_map_size().as_ref() }.copied()
}

impl ForkServer {
    /// Says that this is a fork server, and what it knows; hears what `afl-fuzz` wants of that.
    fn greet() -> Result<Self, SnapshotError> {
        let failed = |errno: sys::Errno| SnapshotError::Failed {
            doing: "greeting afl-fuzz",
            errno: errno.0,
        };
        let mut input = SharedInput::attach();
        let mut known = 0;
        if input.is_some() {
            known |= ENABLED | SHARED_INPUT;
        }
        if let Some(size) = map_size() {
            known |= ENABLED | NEW_COMPARISONS;
            // Without it `afl-fuzz` takes the size that it was built with, as for larger maps.
            if size > 1 && size <= MAP_SIZE_BITS >> 1 {
                known |= MAP_SIZE | ((size - 1) << 1 & MAP_SIZE_BITS);
            }
        }
        sys::write_once(ANSWERS, &known.to_ne_bytes()).map_err(failed)?;
        if known & SHARED_INPUT != 0 {
            let wanted = read_word().ok_or(failed(sys::Errno(libc::EPROTO)))?;
            if wanted & (ENABLED | SHARED_INPUT) != ENABLED | SHARED_INPUT {
                input = None;
            }
        }
        coverage::begin(map_size().map_or(0, |bytes| bytes as usize));
        Ok(Self {
            input,
            has_killed: false,
        })
    }

    fn say(word: u32) {
        // If afl-fuzz is gone, the next request doesn't come.
        let _ = sys::write_once(ANSWERS, &word.to_ne_bytes());
    }
}

/// A word from `afl-fuzz`; `None` if it is gone.
fn read_word() -> Option<u32> {
    let mut word = [0; 4];
    (sys::read(REQUESTS, &mut word) == Ok(4)).then(|| u32::from_ne_bytes(word))
}

impl Server for ForkServer {
    fn own(&self) -> &[i32] {
        &[REQUESTS, ANSWERS]
    }

    fn source(&self) -> i32 {
        REQUESTS
    }

    fn asker(&self) -> i32 {
        REQUESTS
    }

    fn next(&mut self) -> bool {
        let word = read_word();
        self.has_killed = word.is_some_and(|word| word != 0);
        word.is_some()
    }

    fn may_go_back(&self) -> bool {
        !self.has_killed
    }

    fn in_copy(&mut self) {
        sys::close(REQUESTS);
        sys::close(ANSWERS);
    }

    fn begun(&mut self, copy: i32) {
        Self::say(copy.unsigned_abs());
    }

    fn ended(&mut self, ended: Ended, _: u32) {
        Self::say(wait_status(ended));
    }
}

/// As waitpid(2) tells it.
fn wait_status(ended: Ended) -> u32 {
    match ended {
        Ended::Exited(code) => (code.cast_unsigned() & 0xff) << 8,
        Ended::Killed(signal) => signal.cast_unsigned() & 0x7f,
        // No copy ends in these ways.
        Ended::Reverted | Ended::Interrupted => 0,
    }
}
