//! `stat` and `statm`: a process or a thread in one line.
//!
//! Context: AS-SAFE.

use super::words::{decimal, words};

/// The fields of `/proc/PID/task/TID/stat` that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// `R`, `S`, `D`, `T`, `t`, `Z`, ...
    pub state: u8,
    /// Its parent's number; 0 if the parent is outside of the namespace.
    pub parent: i32,
    /// The kernel's PF_* flags.
    pub flags: u64,
    /// The processor it was last on.
    pub processor: u32,
}

impl Stat {
    /// Whether the kernel has made this thread for the program, for io_uring or vhost: it has
    /// no code of the program to stop.
    pub fn is_kernel_worker(&self) -> bool {
        const PF_IO_WORKER: u64 = 0x10;
        const PF_USER_WORKER: u64 = 0x4000;
        self.flags & (PF_IO_WORKER | PF_USER_WORKER) != 0
    }
}

/// Reads `/proc/PID/task/TID/stat`. The name in it may contain anything, even parentheses and
/// line feeds, so the fields begin after the last parenthesis.
pub fn stat(text: &[u8]) -> Option<Stat> {
    let end = text.iter().rposition(|&byte| byte == b')')?;
    let mut words = words(text.get(end + 1..)?);
    let state = *words.next()?.first()?;
    // Field 4 of the manual page; the state is field 3.
    let parent = i32::try_from(decimal(words.next()?)?).ok()?;
    // Field 9.
    let flags = u64::try_from(decimal(words.nth(4)?)?).ok()?;
    // Field 39.
    let processor = u32::try_from(decimal(words.nth(29)?)?).ok()?;
    Some(Stat {
        state,
        parent,
        flags,
        processor,
    })
}

/// The first number of `/proc/PID/statm`: the size of the address space, in pages.
pub fn address_space_pages(text: &[u8]) -> Option<u64> {
    u64::try_from(decimal(words(text).next()?)?).ok()
}
