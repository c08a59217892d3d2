//! Copies parts of files with their holes, and writes only what differs.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::libc;

use crate::journal::sys;

/// Files are compared and copied in pieces of this size.
pub(super) const PIECE: usize = 1024 * 1024;

/// The next range with data, from `at` and up to `end`.
pub(super) fn next_data(file: &File, at: u64, end: u64) -> Option<(u64, u64)> {
    if at >= end {
        return None;
    }
    let data = match sys::seek(file, at, libc::SEEK_DATA) {
        Ok(data) => data,
        Err(Errno::ENXIO) => return None,
        // A filesystem that doesn't know holes.
        Err(_) => at,
    };
    let hole = sys::seek(file, data, libc::SEEK_HOLE)
        .unwrap_or(end)
        .min(end);
    (data < hole).then_some((data, hole))
}

pub(super) fn copy_bytes(from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
    let mut at = start;
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(1 << 30);
        match sys::copy_range(from, to, at, length) {
            // It has become shorter meanwhile.
            Ok(0) => return Ok(()),
            Ok(copied) => at += copied as u64,
            Err(Errno::EINTR) => {}
            Err(Errno::EXDEV | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS) => {
                return copy_by_hand(from, to, at, end);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn copy_by_hand(from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut at = start;
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
        let read = from.read_at(&mut piece[..length], at)?;
        if read == 0 {
            break;
        }
        to.write_all_at(&piece[..read], at)?;
        at += read as u64;
    }
    Ok(())
}

/// Makes a hole, if there isn't one.
pub(super) fn clear(file: &File, start: u64, end: u64) -> io::Result<()> {
    if next_data(file, start, end).is_none() {
        return Ok(());
    }
    let signed = |number: u64| i64::try_from(number).map_err(io::Error::other);
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    match fallocate(file, flags, signed(start)?, signed(end - start)?) {
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => {
            let zeros = vec![0; PIECE];
            let mut at = start;
            while at < end {
                let length = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
                file.write_all_at(&zeros[..length], at)?;
                at += length as u64;
            }
            Ok(())
        }
        other => Ok(other?),
    }
}

/// Writes what differs in a range.
pub(super) fn write_differences(
    kept: &File,
    file: &File,
    start: u64,
    end: u64,
    (was, is): &mut (Vec<u8>, Vec<u8>),
) -> io::Result<()> {
    let mut at = start;
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
        kept.read_exact_at(&mut was[..length], at)?;
        file.read_exact_at(&mut is[..length], at)?;
        if was[..length] != is[..length] {
            file.write_all_at(&was[..length], at)?;
        }
        at += length as u64;
    }
    Ok(())
}
