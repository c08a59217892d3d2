//! What other processes share with a process: the same descriptor, or the other end. Found by
//! one look at `/proc/*/fd`.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;

use snapshot_core::kernel::proc_text;
use snapshot_core::sys;
use snapshot_core::terms::Kind;

use super::{
    descriptors::{Access, Descriptor},
    memory::{self, File},
};
use crate::processes::{family::name_of as process_name, files, files::numbers_in};

/// A descriptor of another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: i32,
    pub(super) number: i32,
    pub(super) access: Access,
}

impl Holder {
    /// Names the process.
    pub(super) fn describe(&self) -> String {
        format!("{} (`{}`)", self.pid, process_name(self.pid))
    }
}

/// What others have.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    /// By the targets of their links.
    holders: HashMap<Vec<u8>, Vec<Holder>>,
    /// How many processes we may not look into.
    pub(super) unseen: u32,
}

impl Elsewhere {
    /// Looks at every process but these, for links that lead to one of the targets.
    pub(super) fn look(except: &HashSet<i32>, wanted: &HashSet<Vec<u8>>) -> Self {
        let mut found = Self::default();
        for pid in processes() {
            if except.contains(&pid) {
                continue;
            }
            match numbers_in(&format!("/proc/{pid}/fd")) {
                Ok(numbers) => numbers.for_each(|number| found.add(pid, number, wanted)),
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                    found.unseen += 1;
                }
                // It has ended meanwhile.
                Err(_) => {}
            }
        }
        found
    }

    fn add(&mut self, pid: i32, number: i32, wanted: &HashSet<Vec<u8>>) {
        let link = format!("/proc/{pid}/fd/{number}");
        let Ok(target) = fs::read_link(&link) else {
            return;
        };
        let target = target.into_os_string().into_vec();
        if !wanted.contains(&target) {
            return;
        }
        let mode = fs::symlink_metadata(&link).map_or(0, |metadata| metadata.mode());
        self.holders.entry(target).or_default().push(Holder {
            pid,
            number,
            access: Access::of_link(mode),
        });
    }

    /// All that have something of this name.
    pub(super) fn holders(&self, target: &[u8]) -> &[Holder] {
        self.holders.get(target).map_or(&[], Vec::as_slice)
    }

    /// Another process that has the same object as this descriptor of `pid`.
    pub(super) fn same(&self, pid: i32, descriptor: &Descriptor) -> Option<&Holder> {
        self.holders(&descriptor.target)
            .iter()
            .find(|holder| match descriptor.kind {
                // Each socket has its own name.
                Kind::Socket => true,
                Kind::Pipe | Kind::Fifo => holder.access == descriptor.access,
                Kind::Memfd => is_same_file(pid, descriptor.number, holder),
                _ => is_same_opening(pid, descriptor.number, holder),
            })
    }
}

/// Every process that this one sees.
pub(super) fn processes() -> impl Iterator<Item = i32> {
    numbers_in("/proc").into_iter().flatten()
}

fn is_same_file(pid: i32, number: i32, holder: &Holder) -> bool {
    let id = |pid: i32, number: i32| {
        let metadata = fs::metadata(format!("/proc/{pid}/fd/{number}")).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    let own = id(pid, number);
    own.is_some() && own == id(holder.pid, holder.number)
}

/// If the kernel does not tell, it does not count as shared.
fn is_same_opening(pid: i32, number: i32, holder: &Holder) -> bool {
    sys::compare_files((pid, number), (holder.pid, holder.number)) == Ok(Ordering::Equal)
}

/// Which of these files other processes map, and who.
pub(super) fn mapped(except: &HashSet<i32>, wanted: &HashSet<File>) -> HashMap<File, i32> {
    let mut found = HashMap::new();
    if wanted.is_empty() {
        return found;
    }
    for pid in processes().filter(|pid| !except.contains(pid)) {
        let text = files::bytes(format!("/proc/{pid}/maps")).unwrap_or_default();
        for mapping in proc_text::file_mappings(&text) {
            let file = memory::file_of(&mapping);
            if mapping.is_shared && wanted.contains(&file) {
                found.entry(file).or_insert(pid);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_child_has_the_other_end_of_its_pipe_and_what_it_has_inherited() {
        let own = std::process::id().cast_signed();
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("every system has cat");
        let end = child.stdin.take().expect("it was asked for");
        let number = std::os::fd::AsRawFd::as_raw_fd(&end);
        let mine = super::super::descriptors::of(own)
            .expect("it is this process")
            .into_iter()
            .find(|descriptor| descriptor.number == number)
            .expect("it is open");
        let except = HashSet::from([own]);
        let wanted = HashSet::from([mine.target.clone()]);
        let elsewhere = Elsewhere::look(&except, &wanted);
        let holders = elsewhere.holders(&mine.target);
        let pid = child.id().cast_signed();
        assert!(
            holders
                .iter()
                .any(|holder| holder.pid == pid && holder.number == 0 && holder.access.reads),
            "{holders:?}"
        );
        assert_eq!(elsewhere.same(own, &mine), None, "it has the other end");
        drop(end);
        child.wait().expect("it ends with its input");
    }
}
