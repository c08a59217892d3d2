//! `maps` and `smaps`: a process's mappings.
//!
//! Context: AS-SAFE.

use super::words::{decimal, hexadecimal, words};

/// A mapping of a file, or of an object that the kernel shows as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMapping<'a> {
    /// Whether others see writes to it.
    pub is_shared: bool,
    /// Its addresses.
    pub range: Mapping,
    /// PROT_*
    pub protection: i32,
    /// Its offset in the file.
    pub offset: u64,
    /// Its file's device: major and minor.
    pub device: (u32, u32),
    /// Its file's inode.
    pub inode: u64,
    /// Its file's name.
    pub path: &'a [u8],
}

/// Reads a line of `/proc/PID/maps`: `7f00-7f01 rw-s 00001000 00:01 1058 /memfd:a (deleted)`;
/// `None` for any other line.
pub fn file_mapping(line: &[u8]) -> Option<FileMapping<'_>> {
    let range = mapping(line)?;
    let mut fields = line.splitn(6, |&byte| byte == b' ').skip(1);
    let rights: &[u8; 4] = fields.next()?.try_into().ok()?;
    let protection = [libc::PROT_READ, libc::PROT_WRITE, libc::PROT_EXEC]
        .into_iter()
        .zip(rights)
        .filter(|(_, right)| **right != b'-')
        .fold(libc::PROT_NONE, |all, (protection, _)| all | protection);
    let offset = hexadecimal(fields.next()?)?;
    let device = fields.next()?;
    let colon = device.iter().position(|&byte| byte == b':')?;
    let number = |text: Option<&[u8]>| u32::try_from(hexadecimal(text?)?).ok();
    Some(FileMapping {
        is_shared: rights[3] == b's',
        range,
        protection,
        offset,
        device: (
            number(device.get(..colon))?,
            number(device.get(colon + 1..))?,
        ),
        inode: u64::try_from(decimal(fields.next()?)?).ok()?,
        path: fields.next().unwrap_or(&[]).trim_ascii(),
    })
}

/// Every mapping in a whole `/proc/PID/maps`.
pub fn file_mappings(maps: &[u8]) -> impl Iterator<Item = FileMapping<'_>> {
    maps.split(|&byte| byte == b'\n').filter_map(file_mapping)
}

/// The same for shared mappings; `None` for any other.
pub fn shared_mapping(line: &[u8]) -> Option<FileMapping<'_>> {
    file_mapping(line).filter(|mapping| mapping.is_shared)
}

/// A line of `/proc/PID/maps`, or the first line of an entry of `smaps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// Its first address.
    pub start: usize,
    /// The first address behind it.
    pub end: usize,
}

/// Reads the first line of a mapping: `7f00-7f01 rw-p ...`; `None` for any other line.
pub fn mapping(line: &[u8]) -> Option<Mapping> {
    let range = line.split(|&byte| byte == b' ').next()?;
    let dash = range.iter().position(|&byte| byte == b'-')?;
    let start = usize::try_from(hexadecimal(range.get(..dash)?)?).ok()?;
    let end = usize::try_from(hexadecimal(range.get(dash + 1..)?)?).ok()?;
    (start < end).then_some(Mapping { start, end })
}

/// Whether a `VmFlags:` line of `smaps` has this two-letter flag.
pub fn has_flag(line: &[u8], flag: &[u8; 2]) -> bool {
    line.strip_prefix(b"VmFlags:")
        .is_some_and(|flags| words(flags).any(|word| word == flag))
}
