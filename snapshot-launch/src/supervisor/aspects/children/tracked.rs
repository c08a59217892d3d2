//! The program's children across a revert.
//!
//! Those that a snapshot has seen are entered in the family table, which the program
//! shares. A revert makes the supervisor their parent; the revived process *adopts* them:
//! the supervisor, which reaps them, writes into the table how they end and sends the
//! SIGCHLD, and the agent answers the program's waits from there. The program can write what
//! it likes into the table, and lies to itself then: which process a place stands for, the
//! supervisor knows by its own list.
#![expect(unsafe_code, reason = "maps memory that the program shares")]

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;
use snapshot_core::process::{
    children::{self, CONTINUED, Child, Place, State, Table},
    pidfd,
};
use snapshot_core::sys;

use crate::processes::{
    family::{self, Process},
    outside::Outside,
};
use crate::talk::event::{EndedChild, KeptChild};

/// What the supervisor knows of the children that snapshots have seen.
pub(in crate::supervisor) struct Children {
    pub(super) table: &'static Table,
    pub(super) memory: OwnedFd,
    pub(super) known: Vec<Known>,
    /// Those of the snapshot that was last reverted to.
    pub(super) reverted: Vec<Place>,
}

/// A child in the table.
pub(super) struct Known {
    pub(super) place: Place,
    pub(super) process: Process,
    /// Its number as everybody outside sees it.
    pub(super) outer_pid: i32,
    pub(super) name: String,
}

impl Children {
    /// Makes an empty table.
    ///
    /// # Errors
    /// Where there is no memory or no descriptor for it.
    pub(in crate::supervisor) fn new() -> io::Result<Self> {
        let memory = memfd_create(
            c"cargo-snapshot-children",
            MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING,
        )?;
        let length = libc::off_t::try_from(Table::BYTES).map_err(io::Error::other)?;
        ftruncate(&memory, length)?;
        // Whatever the program does to it: it stays as long as it is, and access is safe.
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&memory, FcntlArg::F_ADD_SEALS(seals))?;
        // SAFETY: as long as that, sealed, and made for this.
        let table = unsafe { Table::map(memory.as_raw_fd()) }
            .map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
        Ok(Self {
            table,
            memory,
            known: Vec::new(),
            reverted: Vec::new(),
        })
    }

    /// The memory that the table lies in, for the agent.
    pub(in crate::supervisor) fn memory(&self) -> &OwnedFd {
        &self.memory
    }

    /// Forgets those that nobody can wait for any more.
    pub(super) fn forget_all_but(&mut self, named: &HashSet<Place>) {
        let table = self.table;
        self.known.retain(|known| {
            let stays = named.contains(&known.place) || table.is_adopted(known.place);
            if !stays {
                table.remove(known.place);
            }
            stays
        });
        self.reverted.clear();
    }

    /// Which of them have been stopped by now, or have news that nobody has waited for.
    pub(super) fn standings(&self, places: &[Place]) -> HashMap<Place, Standing> {
        let table = self.table;
        let standing = |&place: &Place| {
            let (is_stopped, untold) = family::stop_of(self.known(place)?.process.pid)?;
            let untold = match table.is_adopted(place) {
                true => table.news(place),
                false => Some(untold)
                    .filter(|&signal| signal > 0)
                    .map(children::stopped),
            };
            let standing = Standing { is_stopped, untold };
            (standing != Standing::default()).then_some((place, standing))
        };
        places.iter().filter_map(standing).collect()
    }

    /// What there is to tell the life that adopts a child, which knows it as it stood then.
    pub(super) fn news_of(&self, place: Place, then: Standing) -> Option<i32> {
        let table = self.table;
        if table.state(place) != State::Alive {
            return None;
        }
        let (is_stopped, untold) = family::stop_of(self.known(place)?.process.pid)?;
        match (then.is_stopped, is_stopped) {
            (true, false) => Some(CONTINUED),
            (false, true) if untold > 0 => Some(children::stopped(untold)),
            (false, true) => Some(children::stopped(table.stopped_by(place))),
            // As the one that is dead now has been told, or has not been yet.
            _ => then.untold,
        }
    }

    /// The place of a child of the live process. `None` where there is no room, or it is
    /// gone already.
    pub(super) fn enter(&mut self, pid: i32, outside: &Outside) -> Option<Place> {
        let process = Process::of(pid)?;
        // Ended ones too: the program may be about to reap it.
        if let Some(known) = self.known.iter().find(|known| known.process.is(process)) {
            return Some(known.place);
        }
        // Somebody has reaped that one without our knowing, and its number is another's.
        if let Some(place) = self.table.find_alive(pid) {
            self.table.lose(place);
        }
        let place = self.table.enter(Child {
            pid,
            group: sys::group_of(pid).unwrap_or(0),
            user: fs::metadata(format!("/proc/{pid}")).map_or(0, |metadata| metadata.uid()),
            handle: pidfd::inode_of(pid),
        })?;
        self.known.push(Known {
            place,
            process,
            outer_pid: outside.number_of(pid),
            name: family::name_of(pid),
        });
        Some(place)
    }

    /// What is known of the children at these places.
    pub(super) fn known_of(&self, places: &[Place]) -> impl Iterator<Item = &Known> {
        places.iter().filter_map(|&place| self.known(place))
    }

    fn known(&self, place: Place) -> Option<&Known> {
        self.known.iter().find(|known| known.place == place)
    }

    /// Gives up those that have been reaped by a dead branch without a word.
    pub(super) fn lose_missing(&self, places: &[Place]) {
        for known in &self.known {
            if places.contains(&known.place)
                && self.table.state(known.place) == State::Alive
                && Process::of(known.process.pid).is_none_or(|now| !now.is(known.process))
            {
                self.table.lose(known.place);
            }
        }
    }

    /// Which of the children that were there at the snapshot there still are, and how the
    /// others have ended.
    pub(super) fn account(&self) -> (Vec<KeptChild>, Vec<EndedChild>) {
        let mut kept = Vec::new();
        let mut ended = Vec::new();
        for known in self.known_of(&self.reverted) {
            let pid = known.process.pid;
            let (code, signal) = match self.table.state(known.place) {
                State::Alive => {
                    // It may have become another program since.
                    let name = Some(family::name_of(pid)).filter(|name| !name.is_empty());
                    kept.push(KeptChild {
                        pid: known.outer_pid,
                        name: name.unwrap_or_else(|| known.name.clone()),
                    });
                    continue;
                }
                State::Ended(status) if libc::WIFEXITED(status) => {
                    (Some(libc::WEXITSTATUS(status)), None)
                }
                State::Ended(status) => (None, Some(libc::WTERMSIG(status))),
                State::Free | State::Lost => (None, None),
            };
            ended.push(EndedChild {
                pid: known.outer_pid,
                name: known.name.clone(),
                code,
                signal,
            });
        }
        (kept, ended)
    }
}

/// How a child stands, in the eyes of the program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::supervisor) struct Standing {
    is_stopped: bool,
    /// What a wait for stopped children would tell it next.
    pub(super) untold: Option<i32>,
}
