//! What a person hears while many files come back: a line after half a second, and one every few
//! seconds from then on.

use snapshot_core::sys::now_ns;

use crate::talk::{counted::counted, journal::Counts, timeline_view::bytes};

/// Nobody minds less.
const PATIENCE_NS: u64 = 500_000_000;
const PAUSE_NS: u64 = 5_000_000_000;

/// Files that come back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ComingBack {
    begun_ns: u64,
    next_ns: u64,
    /// How much there is, if the journal has said so.
    all: Option<Counts>,
}

impl ComingBack {
    pub(crate) fn begin() -> Self {
        let begun_ns = now_ns();
        Self {
            begun_ns,
            next_ns: begun_ns + PATIENCE_NS,
            all: None,
        }
    }

    pub(crate) fn announce(&mut self, all: Counts) {
        self.all = Some(all);
    }

    /// When there is more to say.
    pub(crate) fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// What to say now, if it is time.
    pub(crate) fn word(&mut self, now: u64) -> Option<String> {
        if now < self.next_ns {
            return None;
        }
        let is_first = self.next_ns == self.begun_ns + PATIENCE_NS;
        self.next_ns = now + PAUSE_NS;
        let what = match self.all {
            Some(Counts {
                files, bytes: size, ..
            }) => {
                let files = counted(usize::try_from(files).unwrap_or(usize::MAX), "changed file");
                format!("bringing back {files}, for which {} are kept", bytes(size))
            }
            None => "bringing files back".to_owned(),
        };
        Some(match is_first {
            true => what,
            false => format!("{what}: {} s so far", (now - self.begun_ns) / 1_000_000_000),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_hears_of_it_after_a_while() {
        let mut files = ComingBack::begin();
        let begun = files.begun_ns;
        assert_eq!(files.word(begun + PATIENCE_NS - 1), None);
        let all = Counts {
            id: 1,
            files: 2,
            bytes: 0,
        };
        files.announce(all);
        let first = files.word(files.next_ns()).expect("it is time");
        assert!(
            first.starts_with("bringing back 2 changed files"),
            "{first}"
        );
        assert_eq!(files.word(files.next_ns() - 1), None);
        let next = files.word(files.next_ns()).expect("it is time");
        assert!(next.ends_with("5 s so far"), "{next}");
    }
}
