//! Memory that a process shares, as `/proc/PID/maps` shows it.

use std::collections::{BTreeMap, HashSet};

use nix::libc;
use snapshot_core::kernel::proc_text::{self, FileMapping};
use snapshot_core::terms::{
    Origin, Why,
    comes_back::{Mapping, Rooms},
};

/// The file of a mapping: its device and inode.
pub(super) type File = ((u32, u32), u64);

pub(super) fn file_of(mapping: &FileMapping<'_>) -> File {
    (mapping.device, mapping.inode)
}

/// All shared mappings of one file, which a take records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shared {
    pub(super) origin: Origin,
    /// For [`super::elsewhere::mapped`].
    pub(super) file: File,
    pub(super) path: String,
    /// Where the first mapping begins.
    pub(super) start: u64,
    pub(super) bytes: u64,
    /// The length of each mapping.
    lengths: Vec<u64>,
}

impl Shared {
    /// Why it does not come back. Judges each mapping by itself, like a take.
    pub(super) fn why(&self, rooms: &mut Rooms, is_elsewhere: bool) -> Option<Why> {
        let is_file = self.origin == Origin::File;
        self.lengths.iter().fold(None, |found, &bytes| {
            let why = rooms.why(is_file, is_elsewhere, bytes);
            found.or(why)
        })
    }
}

/// All of it, in the order of the files. Descriptors report the memory of devices and of open
/// memory files: `open` are the inodes of those.
pub(super) fn shared(text: &[u8], open: &HashSet<u64>) -> Vec<Shared> {
    let mut files: BTreeMap<File, Shared> = BTreeMap::new();
    for mapping in proc_text::file_mappings(text) {
        let Some(origin) = Origin::of(mapping.path).filter(|_| mapping.is_shared) else {
            continue;
        };
        let found = Mapping {
            origin,
            can_write: mapping.protection & libc::PROT_WRITE != 0,
            has_descriptor: open.contains(&mapping.inode),
        };
        if origin != Origin::Aio && !found.is_recorded() {
            continue;
        }
        let bytes = (mapping.range.end - mapping.range.start) as u64;
        files
            .entry(file_of(&mapping))
            .and_modify(|shared| {
                shared.bytes = shared.bytes.saturating_add(bytes);
                shared.lengths.push(bytes);
            })
            .or_insert_with(|| Shared {
                origin,
                file: file_of(&mapping),
                path: String::from_utf8_lossy(mapping.path).into_owned(),
                start: mapping.range.start as u64,
                bytes,
                lengths: vec![bytes],
            });
    }
    files.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use snapshot_core::terms::comes_back::FileContents;

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
    fn what_is_shared_and_recorded_is_told_once_a_file() {
        let mut found = shared(MAPS.as_bytes(), &HashSet::new());
        found.sort_by_key(|shared| shared.start);
        let found: Vec<_> = found
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

    #[test]
    fn what_a_take_does_not_record_by_its_mapping() {
        let maps = "\
            7f00-7f04 r--s 00000000 00:01 42    /dev/zero (deleted)\n\
            7f10-7f12 rw-s 00000000 00:01 43    /memfd:x (deleted)\n\
            7f12-7f13 rw-s 00000000 00:01 44    /memfd:y (deleted)\n\
            7f20-7f21 r--s 00000000 fe:00 45    /etc/locale\n";
        let found = shared(maps.as_bytes(), &HashSet::from([43]));
        let found: Vec<_> = found.iter().map(|shared| shared.file.1).collect();
        assert_eq!(found, [42, 44]);
    }

    #[test]
    fn each_mapping_of_a_file_is_judged_by_itself() {
        let most = Origin::File.most_copied();
        let of = |lengths: &[u64]| Shared {
            origin: Origin::File,
            file: ((0, 1), 2),
            path: String::new(),
            start: 0,
            bytes: 0,
            lengths: lengths.to_vec(),
        };
        let mut rooms = Rooms::new(FileContents::Copied);
        assert_eq!(of(&[most, 1]).why(&mut rooms, false), Some(Why::Large));
        let mut rooms = Rooms::new(FileContents::Copied);
        assert_eq!(of(&[most / 2, most / 2]).why(&mut rooms, false), None);
        assert_eq!(of(&[1]).why(&mut rooms, false), Some(Why::Large));
        assert_eq!(of(&[1]).why(&mut rooms, true), Some(Why::Elsewhere));
        let mut rooms = Rooms::new(FileContents::Left);
        assert_eq!(of(&[1]).why(&mut rooms, false), Some(Why::Unwanted));
    }

    proptest! {
        #[test]
        fn noise_is_no_panic(noise: String, cut in 0_usize..700, flip in 0_usize..700) {
            let _ = shared(noise.as_bytes(), &HashSet::new());
            let mut text = MAPS.as_bytes().to_vec();
            text.truncate(cut);
            if let Some(byte) = text.get_mut(flip) {
                *byte ^= 1;
            }
            let _ = shared(&text, &HashSet::new());
        }
    }
}
