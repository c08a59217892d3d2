//! New seeds after a revert.
//!
//! A revert brings back the state of every generator in memory, so two branches from one snapshot draw the
//! same numbers. The library can reach the generators that all of a process shares; those that a program
//! or a thread keeps to itself it can't. docs/library.md has the table.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "calls the generators of C libraries")]

use std::ffi::{CStr, c_char, c_int, c_void};

use super::agent::{Agent, error, notices};
use super::error::SnapshotError;
use super::hooks::{self, Hook};
use super::own_lock::OwnLock;
use crate::library::bridge;

/// The hook that [`reseeds`] has registered.
static HOOK: OwnLock<Option<Hook>> = OwnLock::new(None);

/// Gives the generators that the whole process shares new seeds from the kernel: `rand()` and `random()` of
/// the C library, and OpenSSL's in every `libcrypto` that is loaded, for all its threads.
///
/// Generators of the `rand` crate, and others that the program keeps itself, are its own to seed, in an
/// [`crate::on_revert`] hook or by [`reverts`].
///
/// ```
/// snapshot_core::on_revert(|| {
///     if let Err(error) = snapshot_core::reseed() {
///         eprintln!("two branches may draw the same secrets: {error}");
///     }
/// })?;
/// # Ok::<(), snapshot_core::SnapshotError>(())
/// ```
///
/// # Errors
/// [`SnapshotError::Failed`] if the kernel gives no random bytes.
pub fn reseed() -> Result<(), SnapshotError> {
    let seed: [u8; SEED_BYTES] = fresh()?;
    for_each_loaded(c"libcrypto", |library| mix_into_openssl(library, &seed));
    let seed = u32::from_ne_bytes(fresh()?);
    // SAFETY: has no conditions; libc locks its state.
    unsafe { srandom(seed) };
    Ok(())
}

/// Whether each revert reseeds: it calls [`reseed`] before all `on_revert` hooks, and memory that is marked
/// to be wiped in copies (`MADV_WIPEONFORK`), by which BoringSSL and others know a copy, is wiped.
///
/// It holds for the snapshots that are taken from now on, until it is turned off. A session that was started
/// with `--reseed` always wipes such memory.
///
/// # Errors
/// As [`crate::on_revert`], and [`SnapshotError::NotTheLiveProcess`].
pub fn reseeds(wanted: bool) -> Result<(), SnapshotError> {
    let mut hook = HOOK.lock()?;
    if let Some(agent) = Agent::here() {
        let answer = agent.call(bridge::CALL_RESEEDS, u32::from(wanted), "");
        if answer.verdict != bridge::ANSWER_LIST {
            return Err(error(&answer, SnapshotError::Refused));
        }
    }
    match (wanted, *hook) {
        (true, None) => *hook = Some(hooks::first_on_revert(reseed_or_say)?),
        (false, Some(registered)) => {
            registered.remove()?;
            *hook = None;
        }
        _ => {}
    }
    Ok(())
}

/// How many reverts there were, which no revert takes back. A thread with a generator of its own compares
/// before it draws:
///
/// ```
/// use std::cell::Cell;
/// use snapshot_core::{SnapshotError, reverts};
///
/// struct Generator(u64);
///
/// impl Generator {
///     fn reseed(&mut self) { self.0 += 1; }
/// }
///
/// thread_local!(static SEEDED_AT: Cell<u32> = const { Cell::new(0) });
///
/// fn fresh(generator: &mut Generator) -> Result<&mut Generator, SnapshotError> {
///     let reverts = reverts()?;
///     if SEEDED_AT.replace(reverts) != reverts {
///         generator.reseed();
///     }
///     Ok(generator)
/// }
/// # fresh(&mut Generator(0))?;
/// # Ok::<(), SnapshotError>(())
/// ```
///
/// A snapshot from outside may still come between the look and the draw.
///
/// # Errors
/// [`SnapshotError::Failed`] if there is no memory that survives a revert.
pub fn reverts() -> Result<u32, SnapshotError> {
    Ok(notices()?.count_of_reverts())
}

fn reseed_or_say() {
    if let Err(error) = reseed() {
        // Nobody is there to return it to, and to be silent would leave the same secrets.
        eprintln!("[snapshot] warning: generators were not seeded anew after a revert: {error}");
    }
}

/// What OpenSSL's strongest generator asks for, with its nonce.
const SEED_BYTES: usize = 48;

fn fresh<const BYTES: usize>() -> Result<[u8; BYTES], SnapshotError> {
    let mut bytes = [0; BYTES];
    // SAFETY: it writes at most so many bytes there. Up to 256 come at once, and no signal cuts them.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), BYTES, 0) };
    if usize::try_from(got) == Ok(BYTES) {
        return Ok(bytes);
    }
    let error = std::io::Error::last_os_error();
    Err(SnapshotError::Failed {
        doing: "asking the kernel for random bytes",
        errno: error.raw_os_error().unwrap_or(libc::EIO),
    })
}

unsafe extern "C" {
    /// random(3)
    fn srandom(seed: libc::c_uint);
}

/// `RAND_add`: mixes bytes in, and says how many of them nobody can guess.
type RandAdd = unsafe extern "C" fn(*const c_void, c_int, f64);

/// The primary generator takes it, and those of all threads see that and seed themselves from it before
/// they draw again.
fn mix_into_openssl(library: *mut c_void, seed: &[u8; SEED_BYTES]) {
    // SAFETY: the handle is open, and the name is NUL-terminated.
    let function = unsafe { libc::dlsym(library, c"RAND_add".as_ptr()) };
    if function.is_null() {
        return;
    }
    // SAFETY: every libcrypto has it with this signature, since 0.9.
    let add = unsafe { std::mem::transmute::<*mut c_void, RandAdd>(function) };
    // SAFETY: it reads so many bytes.
    unsafe { add(seed.as_ptr().cast(), 48, 48.0) };
}

/// Calls `f` with a handle of each loaded library of this name, in whichever namespace of symbols.
fn for_each_loaded(name: &CStr, mut f: impl FnMut(*mut c_void)) {
    let mut search = Search {
        name: name.to_bytes(),
        paths: Vec::new(),
    };
    // SAFETY: the callback gets this structure back, and no reference outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(note_path), (&raw mut search).cast()) };
    // Not in the callback: the linker's lock is held there.
    for path in search.paths {
        // SAFETY: it is loaded already, so no initialiser runs; if it has gone meanwhile this fails.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_NOW) };
        if !library.is_null() {
            f(library);
            // SAFETY: opened above.
            unsafe { libc::dlclose(library) };
        }
    }
}

struct Search<'a> {
    name: &'a [u8],
    paths: Vec<std::ffi::CString>,
}

unsafe extern "C" fn note_path(
    info: *mut libc::dl_phdr_info,
    _size: usize,
    search: *mut c_void,
) -> c_int {
    // SAFETY: `for_each_loaded` has passed it, and looks at it only afterwards.
    let search = unsafe { &mut *search.cast::<Search<'_>>() };
    // SAFETY: the linker passes a structure that is live during this call.
    let path: *const c_char = unsafe { (*info).dlpi_name };
    if path.is_null() {
        return 0;
    }
    // SAFETY: a path, NUL-terminated.
    let path = unsafe { CStr::from_ptr(path) };
    let file = path.to_bytes().rsplit(|&byte| byte == b'/').next();
    // `libcrypto.so.3`; and `libcrypto-1a2b3c.so.3`, as wheels of Python carry it.
    if file.is_some_and(|file| file.starts_with(search.name)) {
        search.paths.push(path.to_owned());
    }
    0
}
