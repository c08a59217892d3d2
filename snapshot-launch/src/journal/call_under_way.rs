//! The call that the journal serves right now, in memory that outlives it.
//!
//! A call that was reported waits until somebody answers it, and WAIT_KILLABLE_RECV lets no
//! signal end that. If the journal is killed meanwhile, the next one finds the call here: the
//! kernel itself writes it, so there is no moment at which it is in neither place. It is served
//! anew then. What the dead journal had come to do may be done already, and must not fail for
//! that: [`CallUnderWay::acts`] marks the last moment at which it certainly was not.
//!
//! Context: the supervisor makes it; one journal at a time uses it.
#![expect(
    unsafe_code,
    reason = "memory that processes share, one after the other"
)]

use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

use super::stat::FileId;

/// So many journals serve a call, before it is left to the kernel.
const MOST_TRIES: u32 = 8;

/// What is in the memory. All zeros: no call.
#[repr(C)]
#[derive(Clone, Copy)]
struct Page {
    raw: libc::seccomp_notif,
    /// The journal was about to change something for it.
    acts: bool,
    /// What it was about to move.
    moves: FileId,
    /// The descriptor that the caller got for it, and one more.
    given_and_one: i32,
    /// How many journals have begun to serve it.
    tries: u32,
}

const NOTHING: Page = Page {
    raw: libc::seccomp_notif {
        id: 0,
        pid: 0,
        flags: 0,
        data: libc::seccomp_data {
            nr: 0,
            arch: 0,
            instruction_pointer: 0,
            args: [0; 6],
        },
    },
    acts: false,
    moves: FileId { dev: 0, ino: 0 },
    given_and_one: 0,
    tries: 0,
};

/// What a dead journal has left of a call.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trace {
    /// Whether the call may have been carried out.
    pub(super) has_acted: bool,
    /// What it moves.
    pub(super) moves: Option<FileId>,
    /// The descriptor that the caller already has from it, and that only has to be named.
    pub(super) given: Option<i32>,
}

/// The memory, which stays for good: a session has one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallUnderWay(NonNull<Page>);

impl CallUnderWay {
    /// # Errors
    /// ENOMEM.
    pub(crate) fn new() -> io::Result<Self> {
        let size = NonZeroUsize::MIN.saturating_add(size_of::<Page>() - 1);
        let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at a place that the kernel chooses.
        let memory = unsafe { mmap_anonymous(None, size, rights, MapFlags::MAP_SHARED) }?;
        Ok(Self(memory.cast()))
    }

    fn page(self) -> Page {
        // SAFETY: the memory stays mapped, is aligned to a page and begins as zeros, which are a
        // value; other writers are dead.
        unsafe { self.0.read_volatile() }
    }

    fn set(self, page: Page) {
        // SAFETY: as above.
        unsafe { self.0.write_volatile(page) }
    }

    /// Where the kernel writes the next call. It demands zeros.
    pub(super) fn next(self) -> *mut libc::seccomp_notif {
        self.set(NOTHING);
        self.0.cast().as_ptr()
    }

    /// The call that is there, if there is one.
    pub(super) fn call(self) -> Option<libc::seccomp_notif> {
        Some(self.page().raw).filter(|raw| raw.id != 0)
    }

    /// The call that a dead journal has left, how far that had come, and whether so many have died
    /// over it that the call must be the reason.
    pub(super) fn left(self) -> Option<(libc::seccomp_notif, Trace, bool)> {
        let raw = self.call()?;
        let page = self.page();
        self.set(Page {
            tries: page.tries + 1,
            ..page
        });
        let moves = Some(page.moves).filter(|moves| *moves != NOTHING.moves);
        let trace = Trace {
            has_acted: page.acts,
            moves,
            given: page
                .given_and_one
                .checked_sub(1)
                .filter(|given| *given >= 0),
        };
        Some((raw, trace, page.tries >= MOST_TRIES))
    }

    /// From here on, what the call asks for may be done. `moves` is what a rename takes along:
    /// what the journal does for the rename after that leaves it known.
    pub(super) fn acts(self, moves: Option<FileId>) {
        let page = self.page();
        self.set(Page {
            acts: true,
            moves: moves.unwrap_or(page.moves),
            ..page
        });
    }

    /// The caller has got a descriptor.
    pub(super) fn gave(self, number: i32) {
        let page = self.page();
        self.set(Page {
            given_and_one: number.saturating_add(1),
            ..page
        });
    }

    /// It has been answered.
    pub(super) fn is_answered(self) {
        self.set(NOTHING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_journal_finds_what_the_last_one_did() {
        let under_way = CallUnderWay::new().expect("there is memory");
        assert!(under_way.left().is_none());
        let place = under_way.next();
        // SAFETY: the place that the kernel would write to.
        unsafe { (*place).id = 7 };
        let moves = FileId { dev: 1, ino: 2 };
        let (raw, trace, is_deadly) = under_way.left().expect("a call");
        assert_eq!((raw.id, trace.has_acted, is_deadly), (7, false, false));
        under_way.acts(Some(moves));
        let (_, trace, _) = under_way.left().expect("a call");
        assert!(trace.has_acted);
        assert_eq!((trace.moves, trace.given), (Some(moves), None));
        under_way.acts(None);
        let (_, trace, _) = under_way.left().expect("a call");
        assert_eq!(trace.moves, Some(moves));
        under_way.gave(0);
        let (_, trace, _) = under_way.left().expect("a call");
        assert_eq!(trace.given, Some(0));
        let deadly = (0..=MOST_TRIES).find_map(|_| under_way.left().filter(|left| left.2));
        assert!(deadly.is_some());
        under_way.is_answered();
        assert!(under_way.left().is_none());
    }
}
