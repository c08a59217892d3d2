//! The names of core files. The kernel writes one when the program crashes, without a call of the
//! program's: it is nobody else's.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// How the kernel names them now.
#[derive(Debug)]
pub(super) struct CoreFiles {
    /// What is certain in a name, in this order, with anything between two of them.
    parts: Vec<Vec<u8>>,
}

impl CoreFiles {
    pub(super) fn now() -> Self {
        // Without an answer, the kernel's own default.
        let pattern = std::fs::read("/proc/sys/kernel/core_pattern");
        Self::of(pattern.as_deref().unwrap_or(b"core").trim_ascii_end())
    }

    /// `%` and a letter stand for something of the process.
    fn of(pattern: &[u8]) -> Self {
        let name = pattern.rsplit(|byte| *byte == b'/').next();
        let mut parts = vec![Vec::new()];
        let mut bytes = name.unwrap_or(pattern).iter();
        while let Some(byte) = bytes.next() {
            let byte = match byte {
                b'%' => bytes.next().filter(|byte| **byte == b'%'),
                byte => Some(byte),
            };
            match (byte, parts.last_mut()) {
                (Some(byte), Some(part)) => part.push(*byte),
                _ => parts.push(Vec::new()),
            }
        }
        Self { parts }
    }

    /// Whether a core file may have this name; the process' number may follow.
    pub(super) fn may_be(&self, name: &OsStr) -> bool {
        let Some((first, others)) = self.parts.split_first() else {
            return false;
        };
        let mut left = name.as_bytes().strip_prefix(&first[..]);
        for part in others {
            left = left.and_then(|left| after(left, part));
        }
        left.is_some()
    }
}

/// What follows the first place where `text` has `part`.
fn after<'a>(text: &'a [u8], part: &[u8]) -> Option<&'a [u8]> {
    (0..=text.len()).find_map(|at| text[at..].strip_prefix(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_core_files_are_known() {
        let may_be =
            |pattern: &str, name: &str| CoreFiles::of(pattern.as_bytes()).may_be(OsStr::new(name));
        assert!(may_be("core", "core"));
        assert!(may_be("core", "core.123"));
        assert!(!may_be("core", "score"));
        assert!(may_be("/var/cores/%e-%p.core", "sh-12.core"));
        assert!(!may_be("/var/cores/%e-%p.core", "sh-12"));
        assert!(may_be("100%%-%p", "100%-7"));
        assert!(may_be("%e", "anything"));
        assert!(!may_be("|/usr/bin/collect %p", "notes"));
    }
}
