//! Which other processes have what the program has open: children inherit descriptors, and
//! processes pass them to each other.
//!
//! One look at every process that shows its descriptors, except the session's own: frozen copies
//! hold them for later, and the live process is the original. The engine keeps a list of these
//! ([`own_processes`]), since any program can take any name.
//!
//! Inherited files came from outside, maybe from a process that can't be seen from here:
//! [`note_inherited`] remembers them, and the agent carries that across an exec.
//!
//! Context: AS-SAFE.

use core::cmp::Ordering;
use core::ffi::CStr;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::descriptors::{self, Descriptors, Group, LINK_BYTES, name_of};
use crate::kernel::{procfs, records::Records};
use crate::process::own_processes;
use crate::sys::{self, Errno};
use crate::terms::Kind;

/// How many inherited files are remembered.
pub const MOST_INHERITED: usize = 64;

/// A file that the program was started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inherited {
    /// Its file's device.
    pub device: u64,
    /// Its file's inode.
    pub inode: u64,
}

/// A place for an inherited file; inode 0 marks it empty.
struct Slot {
    device: AtomicU64,
    inode: AtomicU64,
}

impl Slot {
    const fn empty() -> Self {
        Self {
            device: AtomicU64::new(0),
            inode: AtomicU64::new(0),
        }
    }

    fn has(&self) -> Inherited {
        Inherited {
            device: self.device.load(Relaxed),
            inode: self.inode.load(Relaxed),
        }
    }
}

static INHERITED: [Slot; MOST_INHERITED] = [const { Slot::empty() }; MOST_INHERITED];
/// There was no room for all of them: then any file may be inherited.
static INHERITED_MORE: AtomicBool = AtomicBool::new(false);

/// Remembers all that is open now: before the program begins, all of it came from somebody else.
pub fn note_inherited() {
    let _ = procfs::for_each_descriptor(|fd| {
        if let Ok(stat) = sys::fstat(fd) {
            note_one_inherited(Inherited {
                device: stat.device,
                inode: stat.inode,
            });
        }
    });
}

/// Remembers one file.
pub fn note_one_inherited(inherited: Inherited) {
    let found = INHERITED
        .iter()
        .find(|place| place.has() == inherited || place.has().inode == 0);
    match found {
        Some(place) => {
            place.device.store(inherited.device, Relaxed);
            place.inode.store(inherited.inode, Relaxed);
        }
        None => INHERITED_MORE.store(true, Relaxed),
    }
}

/// All remembered files; `None` if there was no room for all.
pub fn inherited() -> Option<impl Iterator<Item = Inherited>> {
    let all = INHERITED.iter().map(Slot::has);
    (!INHERITED_MORE.load(Relaxed)).then(|| all.take_while(|place| place.inode != 0))
}

/// Whether the program was started with this file.
pub(super) fn is_inherited(device: u64, inode: u64) -> bool {
    let wanted = Inherited { device, inode };
    inherited().is_none_or(|mut all| all.any(|one| one == wanted))
}

/// The groups that other processes have as well.
pub(super) struct Holders {
    elsewhere: Records<bool>,
}

/// How a group is found in another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// By the inode in a descriptor's name.
    Inode(u64),
    /// By device and inode.
    File(u64, u64),
    /// The kernel compares it with groups of its kind.
    Compared(u8),
    /// The kernel compares it with groups of its name.
    Name(u64),
}

/// The key of a group; `None` for kinds that need none.
fn key(group: &Group) -> Option<Key> {
    match group.kind {
        Kind::Pipe | Kind::Socket => Some(Key::Inode(group.inode)),
        Kind::Fifo | Kind::Memfd => Some(Key::File(group.device, group.inode)),
        Kind::Epoll | Kind::Eventfd | Kind::Timerfd | Kind::Signalfd | Kind::Inotify => {
            Some(Key::Compared(group.kind as u8))
        }
        Kind::File | Kind::Directory if group.flags & libc::O_PATH == 0 => {
            Some(Key::Name(group.name))
        }
        _ => None,
    }
}

impl Holders {
    /// Looks at other processes, except `original`, which this one is a copy of.
    ///
    /// # Errors
    /// `/proc` can't be read, or there is no memory.
    pub(super) fn record(open: &Descriptors, original: i32) -> Result<Self, Errno> {
        let mut elsewhere = Records::growing();
        let mut wanted = Records::growing();
        for (number, group) in open.groups().iter().enumerate() {
            // Without an inode of its own a group is only compared.
            let key = key(group);
            let inherited = match key {
                None | Some(Key::Compared(_)) => false,
                Some(_) => is_inherited(group.device, group.inode),
            };
            elsewhere.push(inherited)?;
            if let Some(key) = key.filter(|_| !inherited) {
                wanted.push((key, number))?;
            }
        }
        let mut search = Search {
            open,
            own: sys::getpid(),
            left: wanted.entries().len(),
            has_fifo: open.of_kind(Kind::Fifo).next().is_some(),
            wanted,
            elsewhere,
        };
        if search.left > 0 {
            // This keeps the kernel's order among equal keys, as `compare` needs.
            search.wanted.entries_mut().sort_unstable();
            for_each_other(original, |pid| search.look_at(pid))?;
        }
        search.wanted.release();
        Ok(Self {
            elsewhere: search.elsewhere,
        })
    }

    /// Whether another process has this group's file.
    pub(super) fn has(&self, group: usize) -> bool {
        self.elsewhere.entries().get(group) == Some(&true)
    }

    /// Whether another process has one of these groups' files.
    pub(super) fn have_any(&self, mut groups: Range<usize>) -> bool {
        groups.any(|group| self.has(group))
    }

    pub(super) fn release(self) {
        self.elsewhere.release();
    }
}

/// Up to so many descriptors of a process are read one by one.
const FEW: usize = 16;

/// A look through all processes. The cost grows with their descriptors, and hardly with the
/// program's, which are sorted.
struct Search<'a> {
    open: &'a Descriptors,
    own: i32,
    /// How many wanted groups are not found yet.
    left: usize,
    has_fifo: bool,
    /// Keys and groups, sorted.
    wanted: Records<(Key, usize)>,
    elsewhere: Records<bool>,
}

impl Search<'_> {
    fn look_at(&mut self, pid: i32) {
        if self.left == 0 {
            return;
        }
        by_first_living(pid, |tid| {
            procfs::of_process(tid, b"/fd\0", |path| self.look_at_all(tid, path))
        });
    }

    /// Looks at all that another process has open. Returns how many descriptors; `None` if it has
    /// ended or does not show them.
    fn look_at_all(&mut self, pid: i32, path: &CStr) -> Option<usize> {
        let directory = sys::open_to_read(path, libc::O_DIRECTORY).ok()?;
        // Since Linux 6.2 the size is the number of descriptors.
        let count = sys::fstat(directory).map_or(0, |stat| stat.bytes);
        let count = usize::try_from(count).unwrap_or(0);
        if count > FEW && self.probe(pid, directory, count) {
            sys::close(directory);
            return Some(count);
        }
        let mut count = 0;
        let _ = procfs::for_each_number_in(directory, |fd| {
            count += 1;
            if self.left > 0 {
                procfs::with_number(fd, |name| self.look_at_one((pid, fd), directory, name));
            }
        });
        sys::close(directory);
        Some(count)
    }

    /// Looks at a process with many descriptors: most are inherited, with the same numbers as
    /// here. A comparison takes a tenth of the time of reading a name. Returns true once all are
    /// found.
    fn probe(&mut self, pid: i32, directory: i32, count: usize) -> bool {
        let Some(some) = self.open.groups().first() else {
            return false;
        };
        let mut left = count;
        let end = i32::try_from(count * 4 + 1024).unwrap_or(i32::MAX);
        for fd in 0..end {
            if left == 0 || self.left == 0 {
                return true;
            }
            let own = self.open.group_of(fd);
            let own_fd = if own.is_some() { fd } else { some.fd };
            match sys::compare_files((self.own, own_fd), (pid, fd)) {
                Ok(Ordering::Equal) => {
                    self.mark_alike(own.unwrap_or(0));
                    left -= 1;
                }
                Ok(_) => {
                    procfs::with_number(fd, |name| self.look_at_one((pid, fd), directory, name));
                    left -= 1;
                }
                // It has no such descriptor.
                Err(Errno(libc::EBADF)) => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// Looks at one descriptor of another process, by its name in a directory.
    fn look_at_one(&mut self, other: (i32, i32), directory: i32, name: &CStr) {
        let mut buffer = [0; LINK_BYTES];
        let Ok(target) = sys::read_link_at(directory, name, &mut buffer) else {
            return;
        };
        if let Some(inode) = inode_in(target) {
            self.mark_all(Key::Inode(inode));
        } else if target.starts_with(b"anon_inode:") {
            self.compare(Key::Compared(Kind::of(target, 0) as u8), other);
        } else {
            // The same open file has the same name everywhere; then the kernel compares.
            self.compare(Key::Name(name_of(target)), other);
        }
        if target.starts_with(b"/memfd:") || (target.starts_with(b"/") && self.has_fifo) {
            // The name may lead elsewhere from here.
            if let Ok(stat) = sys::stat_at(directory, name) {
                self.mark_all(Key::File(stat.device, stat.inode));
            }
        }
    }

    /// The range of a key among the wanted.
    fn range(&self, key: Key) -> Range<usize> {
        let wanted = self.wanted.entries();
        let first = wanted.partition_point(|&(other, _)| other < key);
        let rest = wanted.get(first..).unwrap_or(&[]);
        first..first + rest.partition_point(|&(other, _)| other == key)
    }

    fn mark_all(&mut self, key: Key) {
        for at in self.range(key) {
            self.mark(at);
        }
    }

    fn mark(&mut self, at: usize) {
        if let Some(&(_, group)) = self.wanted.entries().get(at) {
            self.mark_group(group);
        }
    }

    fn mark_group(&mut self, group: usize) {
        if let Some(is_elsewhere) = self.elsewhere.entries_mut().get_mut(group)
            && !*is_elsewhere
        {
            *is_elsewhere = true;
            self.left -= 1;
        }
    }

    /// Marks a group, and all groups with the same inode key.
    fn mark_alike(&mut self, number: usize) {
        if self.elsewhere.entries().get(number) != Some(&false) {
            return;
        }
        match self.open.groups().get(number).and_then(key) {
            Some(Key::Compared(_) | Key::Name(_)) => self.mark_group(number),
            Some(key) => self.mark_all(key),
            None => {}
        }
    }

    /// A wanted group.
    fn group(&self, at: usize) -> Option<&Group> {
        let &(_, group) = self.wanted.entries().get(at)?;
        self.open.groups().get(group)
    }

    /// Marks the group that the other process has. Groups of one inode are in the kernel's order;
    /// on today's kernels that holds for a whole kind.
    fn compare(&mut self, key: Key, other: (i32, i32)) {
        let all = self.range(key);
        let mut from = all.start;
        while from < all.end {
            let file = self.group(from).map(|group| (group.device, group.inode));
            let is_of_file =
                |&at: &usize| self.group(at).map(|group| (group.device, group.inode)) == file;
            let end = from + (from..all.end).take_while(is_of_file).count();
            let mut is_hidden = false;
            let compare = |at| {
                let order = sys::compare_files((self.own, self.group(at)?.fd), other);
                // Nobody has a descriptor that was closed meanwhile.
                is_hidden |=
                    order.is_err_and(|errno| !matches!(errno.0, libc::EBADF | libc::ESRCH));
                order.ok()
            };
            let found = descriptors::search(from..end, compare);
            if let Some(found) = found {
                return self.mark(found);
            }
            if is_hidden && matches!(key, Key::Name(_)) {
                // It may be any of them.
                for at in from..end {
                    self.mark(at);
                }
            }
            from = end;
        }
    }
}

/// The number in `pipe:[123]` and `socket:[123]`.
fn inode_in(target: &[u8]) -> Option<u64> {
    let number = target
        .strip_prefix(b"pipe:[")
        .or_else(|| target.strip_prefix(b"socket:["))?
        .strip_suffix(b"]")?;
    core::str::from_utf8(number).ok()?.parse().ok()
}

/// Calls `look` with a process's number. If that finds nothing, calls it with each other thread
/// until one finds something: once the first thread has ended, only those show what the process
/// has.
pub(super) fn by_first_living(pid: i32, mut look: impl FnMut(i32) -> Option<usize>) {
    if look(pid) != Some(0) {
        return;
    }
    let mut is_done = false;
    procfs::of_process(pid, b"/task\0", |path| {
        procfs::for_each_number(path, |tid| {
            if tid != pid && !is_done {
                is_done = look(tid).is_some_and(|found| found > 0);
            }
        })
        .ok()
    });
}

/// Whether another visible process has the slave of the terminal with this number.
pub(super) fn others_have_terminal(number: u32) -> bool {
    let mut others = false;
    let looked = for_each_other(sys::getpid(), |pid| {
        if !others && let Some(directory) = open_descriptors(pid) {
            others = is_terminal_in(directory, number);
        }
    });
    looked.is_err() || others
}

/// Whether the slave of that terminal is among these descriptors. Closes their directory.
fn is_terminal_in(descriptors: i32, number: u32) -> bool {
    const DIRECTORY: &[u8] = b"/dev/pts/";
    let mut digits = [0; 10];
    let digits = procfs::decimal(number, &mut digits);
    let mut found = false;
    let _ = procfs::for_each_number_in(descriptors, |fd| {
        let mut buffer = [0; 32];
        let target =
            procfs::with_number(fd, |name| sys::read_link_at(descriptors, name, &mut buffer));
        found |= target.is_ok_and(|target| target.strip_prefix(DIRECTORY) == Some(digits));
    });
    sys::close(descriptors);
    found
}

/// The directory of another process's descriptors; `None` if it has ended or does not show them.
fn open_descriptors(pid: i32) -> Option<i32> {
    procfs::of_process(pid, b"/fd\0", |path| {
        sys::open_to_read(path, libc::O_DIRECTORY).ok()
    })
}

/// Calls `visit` with every process except this one, its original, and the session's own. The
/// youngest comes first: it has inherited most.
///
/// # Errors
/// `/proc` can't be read.
pub(super) fn for_each_other(original: i32, mut visit: impl FnMut(i32)) -> Result<(), Errno> {
    let own = sys::getpid();
    let mut others = Records::growing();
    let mut outcome = Ok(());
    procfs::for_each_number(c"/proc", |pid| {
        if pid != own && pid != original && !own_processes::contain(pid) && outcome.is_ok() {
            outcome = others.push(pid);
        }
    })?;
    outcome?;
    for &pid in others.entries().iter().rev() {
        visit(pid);
    }
    others.release();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn names() {
        assert_eq!(inode_in(b"pipe:[4711]"), Some(4711));
        assert_eq!(inode_in(b"pipe:[]"), None);
    }

    #[test]
    fn a_child_has_what_it_was_given() {
        let (given, _kept) = std::io::pipe().expect("a pipe");
        let (own, _other) = std::io::pipe().expect("a pipe");
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .stdin(given.try_clone().expect("a descriptor"))
            .spawn()
            .expect("sleep is there");
        let open = Descriptors::of(&[given.as_raw_fd(), own.as_raw_fd()]);
        let holders = Holders::record(&open, 0).expect("/proc is mounted");
        let has = |fd: i32| holders.has(open.group_of(fd).expect("it is open"));
        let found = (has(given.as_raw_fd()), has(own.as_raw_fd()));
        child.kill().expect("it is ours");
        child.wait().expect("it has ended");
        assert_eq!(found, (true, false));
        holders.release();
        open.release();
    }
}
