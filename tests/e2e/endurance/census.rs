//! Counts what each process of a session has: memory, descriptors, mappings, threads. After an
//! hour it must have what it had after a minute.
//!
//! The count runs without snapshots and clients, so each process has only what it needs for
//! itself. Allowed growth, and why:
//! - *memory* is the process's own (`RssAnon`): pages of its program come and go by the
//!   kernel's choice. An allocator keeps what was freed, 128 kB at the top and the holes
//!   between, so a tool's process may have half a megabyte more than the most it had in the
//!   first minute. A leak of 50 bytes an event is more than that in an hour.
//! - *descriptors and threads*: none for the tool's processes. The guest's children and threads
//!   come and go, so it may have as many as those need.
//! - *mappings*: a heap may be in one piece or in two. The guest's libc keeps stacks of
//!   threads that have ended, and a revival makes those of the engine.

use std::fmt;
use std::fs;

use snapshot_tests::process;

/// Whose it is, and so what it may differ by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Launcher,
    Init,
    Supervisor,
    Anchor,
    Journal,
    Live,
}

/// What one process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    pub memory_kb: u64,
    pub descriptors: usize,
    pub mappings: usize,
    pub threads: usize,
}

impl Count {
    /// Looks now; none, if the process is gone.
    pub fn look(pid: i32) -> Option<Self> {
        let memory = process::status(pid, "RssAnon")?;
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
        Some(Self {
            memory_kb: memory.split(' ').next()?.parse().ok()?,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count(),
            mappings: maps.lines().count(),
            threads: process::thread_ids(pid).len(),
        })
    }

    /// The most of both.
    pub fn or_more(self, other: Self) -> Self {
        Self {
            memory_kb: self.memory_kb.max(other.memory_kb),
            descriptors: self.descriptors.max(other.descriptors),
            mappings: self.mappings.max(other.mappings),
            threads: self.threads.max(other.threads),
        }
    }

    /// Whether it is no more than the first minute's, but for what may be.
    pub fn is_within(self, first: Self, role: Role) -> bool {
        let more = match role {
            Role::Live => Self {
                memory_kb: 8 << 10,
                descriptors: 8,
                mappings: 64,
                threads: 4,
            },
            // It keeps the room of its tables, and a descriptor for each store.
            Role::Journal => Self {
                memory_kb: 8 << 10,
                descriptors: 16,
                mappings: 16,
                threads: 0,
            },
            _ => Self {
                memory_kb: 512,
                descriptors: 0,
                mappings: 2,
                threads: 0,
            },
        };
        self.memory_kb <= first.memory_kb + more.memory_kb
            && self.descriptors <= first.descriptors + more.descriptors
            && self.mappings <= first.mappings + more.mappings
            && self.threads <= first.threads + more.threads
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            memory_kb,
            descriptors,
            mappings,
            threads,
        } = self;
        write!(
            f,
            "{memory_kb} kB, {descriptors} fds, {mappings} mappings, {threads} threads"
        )
    }
}
