//! Memory that a process shares, as `/proc/PID/maps` shows it.

use std::collections::BTreeMap;

use nix::libc;
use snapshot_core::kernel::proc_text::{self, FileMapping};
use snapshot_core::terms::Origin;

/// Which file a mapping is of, told from any other: its device and inode.
pub(super) type File = ((u32, u32), u64);

pub(super) fn file_of(mapping: &FileMapping<'_>) -> File {
    (mapping.device, mapping.inode)
}

/// Shared memory that can be written, one file's together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shared {
    pub(super) origin: Origin,
    /// For [`super::elsewhere::mapped`].
    pub(super) file: File,
    pub(super) path: String,
    /// Where the first mapping begins.
    pub(super) start: u64,
    pub(super) bytes: u64,
}

/// All of it, by address. A device's memory is told of by its descriptor.
pub(super) fn shared(text: &[u8]) -> Vec<Shared> {
    let mut files: BTreeMap<File, Shared> = BTreeMap::new();
    for mapping in proc_text::file_mappings(text) {
        if !(mapping.is_shared && mapping.protection & libc::PROT_WRITE != 0) {
            continue;
        }
        let Some(origin) = Origin::of(mapping.path) else {
            continue;
        };
        let bytes = (mapping.range.end - mapping.range.start) as u64;
        files
            .entry(file_of(&mapping))
            .and_modify(|shared| shared.bytes = shared.bytes.saturating_add(bytes))
            .or_insert_with(|| Shared {
                origin,
                file: file_of(&mapping),
                path: String::from_utf8_lossy(mapping.path).into_owned(),
                start: mapping.range.start as u64,
                bytes,
            });
    }
    let mut all: Vec<Shared> = files.into_values().collect();
    all.sort_by_key(|shared| shared.start);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAPS: &str = "\
        55d0-55d1 r-xp 00000000 fe:00 12    /usr/bin/a b\n\
        7f00-7f04 rw-s 00000000 00:01 42    /dev/zero (deleted)\n\
        7f10-7f12 rw-s 00000000 00:01 43    /memfd:x (deleted)\n\
        7f12-7f13 rw-s 00002000 00:01 43    /memfd:x (deleted)\n\
        7f20-7f21 r--s 00000000 fe:00 44    /etc/locale\n\
        7f30-7f31 rw-s 00000000 00:0f 45    /[aio] (deleted)\n\
        7f40-7f41 rw-s 00000000 00:05 46    /dev/nvidia0\n\
        7f50-7f51 rw-s 00000000 00:17 47    /dev/shm/ring 1\n\
        7f60-7f61 rw-s 00000000 00:0e 48    anon_inode:[io_uring]\n\
        7f70-7f71 rw-s 00000000 00:01 49    /SYSV00000000 (deleted)\n\
        7fff-8000 rw-p 00000000 00:00 0 \n";

    #[test]
    fn what_is_shared_and_writable_is_told_once_a_file() {
        let found: Vec<_> = shared(MAPS.as_bytes())
            .into_iter()
            .map(|shared| (shared.origin, shared.path, shared.bytes))
            .collect();
        let expected = [
            (Origin::Memory, "/dev/zero (deleted)", 4),
            (Origin::Memfd, "/memfd:x (deleted)", 3),
            (Origin::Aio, "/[aio] (deleted)", 1),
            (Origin::File, "/dev/shm/ring 1", 1),
            (Origin::Memory, "/SYSV00000000 (deleted)", 1),
        ]
        .map(|(origin, path, bytes)| (origin, path.to_owned(), bytes));
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn noise_is_no_panic(noise: String, cut in 0_usize..700, flip in 0_usize..700) {
            let _ = shared(noise.as_bytes());
            let mut text = MAPS.as_bytes().to_vec();
            text.truncate(cut);
            if let Some(byte) = text.get_mut(flip) {
                *byte ^= 1;
            }
            let _ = shared(&text);
        }
    }
}
