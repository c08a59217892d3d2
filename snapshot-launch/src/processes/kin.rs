//! The children of a program, as a take and the doctor tell of them.

use snapshot_core::sys;

use crate::processes::{
    family::{name_of, title, tracer_in},
    files,
};
use crate::refusal::family;
use crate::talk::event::NotRolledBack;

/// A child of the program.
#[derive(Debug, Default)]
pub(crate) struct Child {
    /// Its name and number.
    pub(crate) what: String,
    /// What it shares with the program beside what is inherited.
    pub(crate) shares: Vec<&'static str>,
    /// Whether the program traces it.
    pub(crate) is_traced: bool,
}

impl Child {
    /// Looks at a child, whose number outside is `outer`, of the program `live`.
    pub(crate) fn look(pid: i32, outer: i32, live: i32) -> Self {
        let shares = [
            (sys::Shared::Memory, "memory"),
            (sys::Shared::Descriptors, "the table of descriptors"),
            (sys::Shared::Directory, "the working directory"),
        ];
        let is_shared = |what| sys::compare_processes(what, live, pid) == Ok(true);
        Self {
            // It may have become another program since its start.
            what: title(&name_of(pid), outer),
            shares: shares
                .into_iter()
                .filter(|(what, _)| is_shared(*what))
                .map(|(_, name)| name)
                .collect(),
            is_traced: files::bytes(format!("/proc/{pid}/status"))
                .is_ok_and(|status| tracer_in(&status) == Some(live)),
        }
    }

    /// What a take says of it.
    pub(crate) fn named(&self) -> NotRolledBack {
        NotRolledBack {
            kind: "child".to_owned(),
            what: self.what.clone(),
            why: self.why(),
        }
    }

    /// What a revert means for it.
    pub(crate) fn why(&self) -> String {
        family::child(&self.shares, self.is_traced)
    }
}
