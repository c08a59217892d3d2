//! The environment in the format of libc and exec: an array of C strings that ends with a null.
//!
//! The agent takes its own entries out before the program looks, so that the program's children
//! don't start with an agent. Before an exec it adds them again.
//!
//! Context: taking it out is IN-PROCESS, before `main`; reading is AS-SAFE.

use core::ffi::{CStr, c_char};
use core::iter;
use core::mem;

use snapshot_core::kernel::tunables;

use super::message::{Message, PRELOAD, VARIABLE};

/// An array of C strings that ends with a null.
pub(crate) type Strings = *const *const c_char;

unsafe extern "C" {
    /// libc's `environ`.
    #[link_name = "environ"]
    static mut ENVIRON: *mut *mut c_char;
}

/// The program's environment.
pub(crate) fn environ() -> Strings {
    // SAFETY: libc's own variable; the program may not change it during an exec.
    unsafe { ENVIRON }.cast_const().cast()
}

/// The string's bytes, without its NUL.
///
/// # Safety
/// `string` must be a C string that doesn't change while the answer is used.
unsafe fn bytes_of<'a>(string: *const c_char) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(string) }.to_bytes()
}

/// The bytes of an entry of an environment that an exec passes on.
pub(crate) fn text_of<'a>(entry: *const c_char) -> &'a [u8] {
    // SAFETY: an entry of an environment is a C string, which stays until the exec.
    unsafe { bytes_of(entry) }
}

/// The bytes of every entry.
pub(crate) fn texts_of<'a>(environment: Strings) -> impl Iterator<Item = &'a [u8]> + Clone {
    let mut at = environment;
    iter::from_fn(move || {
        if at.is_null() {
            return None;
        }
        // SAFETY: `at` is within the array, which ends with a null.
        let entry = unsafe { *at };
        if entry.is_null() {
            return None;
        }
        // SAFETY: the end has not been reached.
        at = unsafe { at.add(1) };
        Some(text_of(entry))
    })
}

/// Visits every entry, until a visit returns `None`.
pub(crate) fn for_each(
    strings: Strings,
    mut visit: impl FnMut(*const c_char) -> Option<()>,
) -> Option<()> {
    if strings.is_null() {
        return Some(());
    }
    let mut at = strings;
    loop {
        // SAFETY: `at` is within the array, which ends with a null.
        let entry = unsafe { *at };
        if entry.is_null() {
            return Some(());
        }
        visit(entry)?;
        // SAFETY: the end has not been reached.
        at = unsafe { at.add(1) };
    }
}

/// Takes the message, and the session's parts of LD_PRELOAD and GLIBC_TUNABLES, out of the
/// environment. `None` if another program than the launcher has loaded the agent.
pub(crate) fn take_message() -> Option<Message> {
    let mut message = None;
    // SAFETY: libc has set `environ` up, and no other thread runs yet.
    let mut entry = unsafe { ENVIRON };
    if entry.is_null() {
        return None;
    }
    loop {
        // SAFETY: `entry` is within the array, which ends with a null.
        let string = unsafe { *entry };
        if string.is_null() {
            break;
        }
        // SAFETY: entries are C strings; the slice is not used after the entry is moved.
        let bytes = unsafe { bytes_of(string) };
        if let Some(text) = bytes.strip_prefix(VARIABLE) {
            message = Message::parse(text);
            // SAFETY: `entry` is an entry of the array.
            unsafe { remove(entry) };
            continue;
        }
        // SAFETY: stays within the array; the check above has not found its end.
        entry = unsafe { entry.add(1) };
    }
    let message = message?;
    take_settings(message.tunables);
    Some(message)
}

/// Takes the session's parts of LD_PRELOAD and GLIBC_TUNABLES out: they come first, the user's
/// own follow. The first `tunable_bytes` of the latter are the session's.
fn take_settings(mut tunable_bytes: usize) {
    // SAFETY: as in `take_message`, which has found it not to be null.
    let mut entry = unsafe { ENVIRON };
    loop {
        // SAFETY: `entry` is within the array, which ends with a null.
        let string = unsafe { *entry };
        if string.is_null() {
            return;
        }
        // SAFETY: entries are C strings; the slice is not used after the string is changed.
        let bytes = unsafe { bytes_of(string) };
        let ours = if let Some(list) = bytes.strip_prefix(PRELOAD) {
            let first = list.iter().position(|&byte| byte == b':');
            Some((PRELOAD, first.map_or(list.len(), |colon| colon + 1)))
        } else if tunable_bytes > 0 && bytes.starts_with(tunables::VARIABLE) {
            // A second variable of that name is the user's.
            Some((tunables::VARIABLE, mem::take(&mut tunable_bytes)))
        } else {
            None
        };
        if let Some((name, length)) = ours {
            if name.len() + length >= bytes.len() {
                // SAFETY: `entry` is an entry of the array.
                unsafe { remove(entry) };
                continue;
            }
            let rest = bytes.len() - name.len() - length + 1; // with the NUL
            // SAFETY: within the entry's string.
            let to = unsafe { string.add(name.len()) };
            // SAFETY: the same, as has been checked.
            let from = unsafe { to.add(length) };
            // SAFETY: both ranges lie within the entry's string; they may overlap, which
            // `copy` allows, and the string becomes shorter.
            unsafe { core::ptr::copy(from, to, rest) };
        }
        // SAFETY: as in `take_message`.
        entry = unsafe { entry.add(1) };
    }
}

/// Moves everything after `entry` one place down.
///
/// # Safety
/// `entry` must point to a non-null entry of a null-terminated array that nothing else
/// uses at the time.
unsafe fn remove(mut entry: *mut *mut c_char) {
    loop {
        // SAFETY: the entry is not the null at the end, so there is one after it.
        let next = unsafe { entry.add(1) };
        // SAFETY: as above.
        let moved = unsafe { *next };
        // SAFETY: as above.
        unsafe { *entry = moved };
        if moved.is_null() {
            return;
        }
        entry = next;
    }
}
