//! What the launcher, or the agent itself before an exec, has left in the environment:
//! taken out before the program looks at it, so that its children aren't followed.
//!
//! Context: IN-PROCESS, before `main`; writing it is AS-SAFE.

use core::ffi::{CStr, c_char};
use core::mem;

use snapshot_core::kernel::tunables;
use snapshot_core::objects::{Inherited, MOST_INHERITED};
use snapshot_core::sys::SignalSet;

/// `<preload fd>,<trigger>,<signal mask in hexadecimal>,<tunables>,<inherited>,<address>`
///
/// What the session was started with is `<device>:<inode>;` each, in hexadecimal, or nothing
/// where that is all that is open.
pub(crate) const LETTER: &[u8] = b"CARGO_SNAPSHOT_AGENT=";
pub(crate) const PRELOAD: &[u8] = b"LD_PRELOAD=";

unsafe extern "C" {
    /// libc's `environ`.
    #[link_name = "environ"]
    pub(crate) static mut ENVIRON: *mut *mut c_char;
}

/// What the launcher tells the agent.
pub(crate) struct Letter {
    pub(crate) preload_fd: i32,
    pub(crate) trigger: i32,
    /// The signal mask that the program is to have.
    pub(crate) mask: SignalSet,
    /// How many bytes at the beginning of GLIBC_TUNABLES are not the user's own.
    pub(crate) tunables: usize,
    /// How many things in `inherited` are what the session was started with; `None` where
    /// all that is open is.
    inherited_count: Option<usize>,
    inherited: [Inherited; MOST_INHERITED],
    name: [u8; 100],
    name_length: usize,
}

impl Letter {
    /// What the session was started with; `None` where all that is open is.
    pub(crate) fn inherited(&self) -> Option<&[Inherited]> {
        self.inherited.get(..self.inherited_count?)
    }

    pub(crate) fn name(&self) -> &[u8] {
        self.name.get(..self.name_length).unwrap_or(&[])
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text).ok()?;
        let mut parts = text.splitn(6, ',');
        let preload_fd = parts.next()?.parse().ok()?;
        let trigger = parts.next()?.parse().ok()?;
        let mask = u64::from_str_radix(parts.next()?, 16).ok()?;
        let tunables = parts.next()?.parse().ok()?;
        let mut inherited = [Inherited {
            device: 0,
            inode: 0,
        }; MOST_INHERITED];
        let mut inherited_count = None;
        for entry in parts.next()?.split_terminator(';') {
            let (device, inode) = entry.split_once(':')?;
            let count = inherited_count.get_or_insert(0);
            *inherited.get_mut(*count)? = Inherited {
                device: u64::from_str_radix(device, 16).ok()?,
                inode: u64::from_str_radix(inode, 16).ok()?,
            };
            *count += 1;
        }
        let address = parts.next()?.as_bytes();
        let mut name = [0; 100];
        name.get_mut(..address.len())?.copy_from_slice(address);
        Some(Self {
            preload_fd,
            trigger,
            mask: SignalSet(mask),
            tunables,
            inherited_count,
            inherited,
            name,
            name_length: address.len(),
        })
    }
}

/// The entry's bytes, without its NUL.
///
/// # Safety
/// `entry` must be a C string that stays as it is while the answer is used.
pub(crate) unsafe fn bytes_of<'a>(entry: *const c_char) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(entry) }.to_bytes()
}

/// Takes the letter, and our parts of LD_PRELOAD and GLIBC_TUNABLES, out of the
/// environment.
pub(crate) fn take_letter() -> Option<Letter> {
    let mut letter = None;
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
        if let Some(text) = bytes.strip_prefix(LETTER) {
            letter = Letter::parse(text);
            // SAFETY: `entry` is an entry of the array.
            unsafe { remove(entry) };
            continue;
        }
        // SAFETY: stays within the array, whose end has been checked for above.
        entry = unsafe { entry.add(1) };
    }
    let mut letter = letter?;
    let given = letter.tunables;
    // SAFETY: as above.
    let mut entry = unsafe { ENVIRON };
    loop {
        // SAFETY: as above.
        let string = unsafe { *entry };
        if string.is_null() {
            break;
        }
        // SAFETY: as above.
        let bytes = unsafe { bytes_of(string) };
        let ours = if let Some(list) = bytes.strip_prefix(PRELOAD) {
            // Ours is the first: what follows it is the user's own.
            let first = list.iter().position(|&byte| byte == b':');
            Some((PRELOAD, first.map_or(list.len(), |colon| colon + 1)))
        } else if letter.tunables > 0 && bytes.starts_with(tunables::VARIABLE) {
            // A second variable of that name is the user's.
            Some((tunables::VARIABLE, mem::take(&mut letter.tunables)))
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
        // SAFETY: as above.
        entry = unsafe { entry.add(1) };
    }
    letter.tunables = given;
    Some(letter)
}

/// Moves everything after `entry` one place down.
///
/// # Safety
/// `entry` must point to a non-null entry of a null-terminated array that nobody else
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
