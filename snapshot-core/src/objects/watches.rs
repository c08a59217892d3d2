//! Watched files (`inotify`). The kernel shows the inode of a watched file, but not its path. The
//! agent notes the paths as the program names them ([`paths::add_watch`]). If it knows all of
//! them, the copy makes the watches anew, each with its number. Otherwise they stay shared, a
//! revert removes those of the branch, and the take says so.
//!
//! Unread events are lost: reading them would take them from the program.
//!
//! Context: AS-SAFE.

use core::ffi::CStr;

use super::{
    descriptors::{Descriptors, Group, drain, with_information_path},
    paths,
    recording::{Object, Recording},
};
use crate::kernel::{
    proc_text::{self, Watch},
    procfs,
    records::Records,
};
use crate::sys::{self, Errno};
use crate::terms::{Kind, comes_back};

#[derive(Clone, Copy)]
struct Watched {
    watch: Watch,
    /// The noted path, if it is known.
    path: Option<paths::Noted>,
}

#[derive(Clone, Copy)]
struct Instance {
    group: usize,
    is_rebuilt: bool,
    first: usize,
    count: usize,
}

/// The program's watches.
pub(super) struct Watches {
    instances: Records<Instance>,
    watches: Records<Watched>,
}

impl Watches {
    pub(super) fn is_empty(&self) -> bool {
        self.instances.entries().is_empty()
    }
}

impl Object for Watches {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let mut found = Self {
            instances: Records::growing(),
            watches: Records::growing(),
        };
        recording.for_each_own(Kind::Inotify, |recording, number, group| {
            let first = found.watches.entries().len();
            let mut outcome = Ok(());
            for_each_watch(group.fd, |watch| {
                if outcome.is_ok() {
                    outcome = found.watches.push(Watched {
                        watch,
                        path: paths::find(watch.device, watch.inode),
                    });
                }
            })?;
            outcome?;
            let watches = found.watches.entries().get(first..).unwrap_or(&[]);
            let is_rebuilt = watches.iter().all(|watched| watched.path.is_some());
            let facts = comes_back::Watches {
                has_unread: sys::waiting_bytes(group.fd)? > 0,
                are_paths_known: is_rebuilt,
            };
            recording.name_all(facts.reasons(recording.sharing(number)), &group);
            if is_rebuilt {
                recording.open.will_be_rebuilt(number);
            }
            found.instances.push(Instance {
                group: number,
                is_rebuilt,
                first,
                count: watches.len(),
            })
        })?;
        Ok(found)
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        let mut failed = 0;
        for instance in self.instances.entries() {
            let watches = self
                .watches
                .entries()
                .get(instance.first..instance.first + instance.count)
                .unwrap_or(&[]);
            if let Some(group) = open.groups().get(instance.group) {
                failed += match instance.is_rebuilt {
                    true => make_anew(open, group, watches),
                    false => take_away(group.fd, watches),
                };
            }
        }
        failed
    }

    fn release(self) {
        self.instances.release();
        self.watches.release();
    }
}

fn for_each_watch(fd: i32, mut visit: impl FnMut(Watch)) -> Result<(), Errno> {
    with_information_path(fd, |path| {
        procfs::for_each_line(path, |line| {
            if let Some(watch) = proc_text::watch(line) {
                visit(watch);
            }
        })
    })
}

fn make_anew(open: &Descriptors, group: &Group, watches: &[Watched]) -> u32 {
    let Ok(fd) = sys::inotify() else {
        return 1;
    };
    let mut failed = 0;
    for watched in watches {
        let made = watched
            .path
            .ok_or(Errno(libc::ENOENT))
            .and_then(|path| watched.make(fd, path));
        failed += u32::from(made.is_err());
    }
    failed + u32::from(open.install(group, fd).is_err())
}

impl Watched {
    fn make(&self, fd: i32, path: paths::Noted) -> Result<(), Errno> {
        /// Flags that a program can set; the kernel sets the others itself.
        const ASKED: u32 = libc::IN_ALL_EVENTS
            | libc::IN_ONLYDIR
            | libc::IN_DONT_FOLLOW
            | libc::IN_EXCL_UNLINK
            | libc::IN_ONESHOT;
        sys::set_next_watch(fd, self.watch.number)?;
        let number = paths::with(path, |path: &CStr| {
            sys::add_watch(fd, path, self.watch.mask & ASKED)
        })?;
        if number == self.watch.number {
            Ok(())
        } else {
            Err(Errno(libc::EEXIST))
        }
    }
}

/// Removes the watches that the branch has added, and all events. Returns how many watches are
/// missing.
fn take_away(fd: i32, watches: &[Watched]) -> u32 {
    let here = loop {
        // One at a time: the list changes under the reader.
        let mut added = None;
        let mut here = 0_u32;
        let read = for_each_watch(fd, |watch| {
            if watches.iter().any(|was| was.watch.number == watch.number) {
                here += 1;
            } else {
                added = Some(watch.number);
            }
        });
        match added {
            Some(number) if read.is_ok() && sys::remove_watch(fd, number).is_ok() => {}
            _ => break here,
        }
    };
    let missing = u32::try_from(watches.len())
        .unwrap_or(u32::MAX)
        .saturating_sub(here);
    missing + u32::from(drain(fd).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::recording::tests::round;

    fn watched(fd: i32) -> Vec<Watch> {
        let mut all = Vec::new();
        for_each_watch(fd, |watch| all.push(watch)).expect("it is open");
        all.sort_by_key(|watch| watch.number);
        all
    }

    #[test]
    fn files_of_one_number_on_two_devices() {
        // The root of each has the number 1.
        let fd = sys::inotify().expect("an inotify");
        for path in [c"/proc", c"/sys"] {
            paths::add_watch(fd, path.as_ptr(), libc::IN_CREATE).expect("it is there");
        }
        let before = watched(fd);
        assert_eq!(before.len(), 2);
        assert_eq!(before[0].inode, before[1].inode);
        let named = round::<Watches>(&[fd], || {
            for watch in &before {
                sys::remove_watch(fd, watch.number).expect("it is watched");
            }
        });
        assert!(named.is_empty(), "{named:?}");
        assert_eq!(watched(fd), before);
        sys::close(fd);
    }
}
