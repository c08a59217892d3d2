//! Reading `/proc` without allocating.
//!
//! Context: AS-SAFE.

use core::ffi::CStr;

use crate::sys;

/// Calls `visit` with every number that names an entry of a directory: descriptors in
/// `/proc/self/fd`, threads in `/proc/self/task`.
///
/// # Errors
/// Whatever opening or reading it gives; ENOENT where `/proc` is not mounted.
pub(crate) fn for_each_number(directory: &CStr, mut visit: impl FnMut(i32)) -> sys::Result<()> {
    let fd = sys::open_to_read(directory, libc::O_DIRECTORY)?;
    let mut buffer = [0_u8; 2048];
    let outcome = loop {
        match sys::getdents(fd, &mut buffer) {
            Ok(0) => break Ok(()),
            Ok(length) => {
                for name in Names::of(buffer.get(..length).unwrap_or(&[])) {
                    match number(name) {
                        Some(number) if number != fd => visit(number),
                        _ => {}
                    }
                }
            }
            Err(errno) => break Err(errno),
        }
    };
    sys::close(fd);
    outcome
}

/// The names in what getdents64 has written: an inode and an offset of 8 bytes each, a
/// record length of 2, a type of 1, and a NUL-terminated name.
struct Names<'a> {
    rest: &'a [u8],
}

impl<'a> Names<'a> {
    fn of(records: &'a [u8]) -> Self {
        Self { rest: records }
    }
}

impl<'a> Iterator for Names<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = self.rest.get(16..18)?;
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        // A record of no length would be read forever.
        let record = self.rest.get(..length).filter(|record| record.len() > 19)?;
        self.rest = self.rest.get(length..)?;
        let name = record.get(19..)?;
        let end = name
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(name.len());
        name.get(..end)
    }
}

fn number(name: &[u8]) -> Option<i32> {
    core::str::from_utf8(name).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn finds_an_open_descriptor_and_this_thread() {
        let file = std::fs::File::open("/dev/null").expect("/dev/null is there");
        let mut found = false;
        for_each_number(c"/proc/self/fd", |fd| found |= fd == file.as_raw_fd())
            .expect("/proc is mounted");
        assert!(found);
        let mut found = false;
        for_each_number(c"/proc/self/task", |tid| found |= tid == sys::gettid())
            .expect("/proc is mounted");
        assert!(found);
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        let answer = for_each_number(c"/proc/self/no-such", |_| {});
        assert_eq!(answer, Err(sys::Errno(libc::ENOENT)));
    }

    proptest::proptest! {
        #[test]
        fn noise_ends(noise: Vec<u8>) {
            proptest::prop_assert!(Names::of(&noise).count() <= noise.len());
        }
    }
}
