//! Who brings the contents of files back: the journal, if there is one.
//!
//! Context: AS-SAFE. Nothing but an atomic.

use core::sync::atomic::{AtomicU8, Ordering};

use crate::terms::comes_back::FileContents;

/// What becomes of them, as a number.
static CONTENTS: AtomicU8 = AtomicU8::new(FileContents::Copied as u8);

/// Tells takes what becomes of the contents of files.
pub fn set_file_contents(contents: FileContents) {
    CONTENTS.store(contents as u8, Ordering::Relaxed);
}

pub(crate) fn file_contents() -> FileContents {
    let contents = CONTENTS.load(Ordering::Relaxed);
    let all = [FileContents::Kept, FileContents::Left];
    let known = all.into_iter().find(|known| *known as u8 == contents);
    known.unwrap_or(FileContents::Copied)
}
