//! Reads the small files of `/proc`.
//!
//! The kernel gives no size for them. So `std` asks for it and then reads a little more each
//! time: ten system calls for a file that fits into one read. Most looks at the program happen
//! while somebody waits for a snapshot.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use nix::libc;

/// Most of the files are shorter, and the kernel returns no longer pieces.
const PIECE: usize = 4096;

/// A file's contents.
///
/// # Errors
/// If it can't be opened or read.
pub(crate) fn bytes(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    rest_of(File::open(path)?)
}

/// The same as text, with a mark for each invalid part.
///
/// # Errors
/// As above.
pub(crate) fn text(path: impl AsRef<Path>) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&bytes(path)?).into_owned())
}

/// An open file's contents.
///
/// # Errors
/// If it can't be read.
pub(crate) fn rest_of(mut file: File) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut filled = 0;
    loop {
        all.resize(filled + PIECE, 0);
        match file.read(&mut all[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    all.truncate(filled);
    Ok(all)
}

/// The entries of a directory of `/proc` that are numbers: processes, threads, descriptors.
///
/// # Errors
/// If it doesn't exist, or may not be read.
pub(crate) fn numbers_in(directory: &str) -> io::Result<impl Iterator<Item = i32> + use<>> {
    let entries = fs::read_dir(directory)?.flatten();
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()))
}

/// Whether a look failed since the process or thread is no longer there.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_several_pieces_is_read_to_its_end() {
        let maps = bytes("/proc/self/maps").expect("it is there");
        assert!(maps.ends_with(b"[vsyscall]\n") || maps.len() > PIECE);
        assert_eq!(maps.last(), Some(&b'\n'));
        let status = text("/proc/self/status").expect("it is there");
        assert!(status.starts_with("Name:") && status.ends_with('\n'));
        assert!(bytes("/proc/self/no-such").is_err());
    }
}
