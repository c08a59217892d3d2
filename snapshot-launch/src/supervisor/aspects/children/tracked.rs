//! The program's children across a revert.
//!
//! Those that a snapshot has seen are in the table of children, which the program shares. A
//! revert makes the supervisor their parent, and the revived process *adopts* them: the
//! supervisor reaps them, writes their ends into the table and sends SIGCHLD; the agent answers
//! the program's waits from there. If the program writes into the table, it deceives only
//! itself: the supervisor has its own list of which process an index means.
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
    children::{self, CONTINUED, Child, Index, State, Table},
    notices::Notices,
    pidfd,
};
use snapshot_core::sys;

use crate::processes::{
    family::{self, Process},
    outside::Outside,
};
use crate::talk::event::{EndedChild, KeptChild};

/// What the supervisor knows of the children that snapshots have seen.
pub(crate) struct Children {
    pub(super) table: &'static Table,
    pub(super) memory: OwnedFd,
    pub(super) known: Vec<Known>,
    /// The children of the last revert's target.
    pub(super) reverted: Vec<Index>,
}

/// A child in the table.
pub(super) struct Known {
    pub(super) index: Index,
    pub(super) process: Process,
    /// Its number outside the namespace.
    pub(super) outer_pid: i32,
    pub(super) name: String,
}

impl Children {
    /// Makes an empty table.
    ///
    /// # Errors
    /// No memory or no descriptor for it.
    pub(crate) fn new() -> io::Result<Self> {
        let memory = memfd_create(
            c"cargo-snapshot-children",
            MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING,
        )?;
        let length = libc::off_t::try_from(Table::BYTES).map_err(io::Error::other)?;
        ftruncate(&memory, length)?;
        // The program can't change its length, so access is safe.
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&memory, FcntlArg::F_ADD_SEALS(seals))?;
        // SAFETY: of that length, sealed, and made for this.
        let table = unsafe { Table::map(memory.as_raw_fd()) }
            .map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
        Ok(Self {
            table,
            memory,
            known: Vec::new(),
            reverted: Vec::new(),
        })
    }

    /// What the program's library hears.
    pub(crate) fn notices(&self) -> &Notices {
        self.table.notices()
    }

    /// The memory that the table lies in, for the agent.
    pub(crate) fn memory(&self) -> &OwnedFd {
        &self.memory
    }

    /// Forgets those that nobody can wait for.
    pub(super) fn forget_all_but(&mut self, named: &HashSet<Index>) {
        let table = self.table;
        self.known.retain(|known| {
            let stays = named.contains(&known.index) || table.is_adopted(known.index);
            if !stays {
                table.remove(known.index);
            }
            stays
        });
        self.reverted.clear();
    }

    /// Which of them have been stopped by now, or have news that nobody has waited for.
    pub(super) fn standings(&self, indices: &[Index]) -> HashMap<Index, Standing> {
        let table = self.table;
        let standing = |&index: &Index| {
            let (is_stopped, untold) = family::stop_of(self.known(index)?.process.pid)?;
            let untold = match table.is_adopted(index) {
                true => table.news(index),
                false => Some(untold)
                    .filter(|&signal| signal > 0)
                    .map(children::stopped),
            };
            let standing = Standing { is_stopped, untold };
            (standing != Standing::default()).then_some((index, standing))
        };
        indices.iter().filter_map(standing).collect()
    }

    /// The news for the process that adopts a child, and knows it as it was `then`.
    pub(super) fn news_of(&self, index: Index, then: Standing) -> Option<i32> {
        let table = self.table;
        if table.state(index) != State::Alive {
            return None;
        }
        let (is_stopped, untold) = family::stop_of(self.known(index)?.process.pid)?;
        match (then.is_stopped, is_stopped) {
            (true, false) => Some(CONTINUED),
            (false, true) if untold > 0 => Some(children::stopped(untold)),
            (false, true) => Some(children::stopped(table.stopped_by(index))),
            // As before: the dead branch was told, or not yet.
            _ => then.untold,
        }
    }

    /// The index of a child of the live process. `None` if there is no room, or it is gone.
    ///
    /// # Errors
    /// It can't be seen.
    pub(super) fn enter(&mut self, pid: i32, outside: &Outside) -> io::Result<Option<Index>> {
        match Process::look(pid)? {
            Some(process) => Ok(self.enter_seen(process, outside)),
            None => Ok(None),
        }
    }

    fn enter_seen(&mut self, process: Process, outside: &Outside) -> Option<Index> {
        let pid = process.pid;
        // Ended ones too: the program may still reap it.
        if let Some(known) = self.known.iter().find(|known| known.process.is(process)) {
            return Some(known.index);
        }
        // That child was reaped unnoticed, and its number is another's.
        if let Some(index) = self.table.find_alive(pid) {
            self.table.lose(index);
        }
        let index = self.table.enter(Child {
            pid,
            group: sys::group_of(pid).unwrap_or(0),
            user: fs::metadata(format!("/proc/{pid}")).map_or(0, |metadata| metadata.uid()),
            handle: pidfd::inode_of(pid),
        })?;
        self.known.push(Known {
            index,
            process,
            outer_pid: outside.number_of(pid),
            name: family::name_of(pid),
        });
        Some(index)
    }

    /// What is known of the children at these indices.
    pub(super) fn known_of(&self, indices: &[Index]) -> impl Iterator<Item = &Known> {
        indices.iter().filter_map(|&index| self.known(index))
    }

    fn known(&self, index: Index) -> Option<&Known> {
        self.known.iter().find(|known| known.index == index)
    }

    /// Gives up those that a dead branch has reaped unnoticed.
    pub(super) fn lose_missing(&self, indices: &[Index]) {
        for known in &self.known {
            if indices.contains(&known.index)
                && self.table.state(known.index) == State::Alive
                && Process::of(known.process.pid).is_none_or(|now| !now.is(known.process))
            {
                self.table.lose(known.index);
            }
        }
    }

    /// Which children of the snapshot still live, and how the others have ended.
    pub(super) fn account(&self) -> (Vec<KeptChild>, Vec<EndedChild>) {
        let mut kept = Vec::new();
        let mut ended = Vec::new();
        for known in self.known_of(&self.reverted) {
            let pid = known.process.pid;
            let (code, signal) = match self.table.state(known.index) {
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

/// The state of a child, as the program knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    is_stopped: bool,
    /// What a wait for stopped children would tell it next.
    pub(super) untold: Option<i32>,
}
