//! The open descriptors of a process, in groups of duplicates. Duplicates have one open file
//! description, so they share offset, flags and state.
//!
//! The kernel's order of open file descriptions (`kcmp`) finds the groups, with as many
//! comparisons as a sort needs.
//!
//! Context: AS-SAFE.

use core::cmp::Ordering;
use core::ops::Range;

use crate::kernel::{procfs, records::Records};
use crate::sys::{self, Errno, Stat};
use crate::terms::{Kind, may_be_message_queue};

/// An open descriptor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Descriptor {
    pub(super) fd: i32,
    close_on_exec: bool,
    kind: Kind,
    device: u64,
    inode: u64,
    /// A hash of its link in `/proc`.
    name: u64,
}

/// What becomes of an open file description while the copy is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The copy shares it with the live process.
    Shared,
    /// The copy has let go of it, and makes it anew when it comes back to life.
    Rebuilt,
    /// The copy has let go of it and keeps its path (`O_PATH`). It opens that again when it comes
    /// back to life.
    Reopened,
    /// The live branch has closed it, and the copy has let go of it for good.
    Lost,
}

/// An open file description.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub(super) kind: Kind,
    pub(super) device: u64,
    pub(super) inode: u64,
    /// F_GETFL: access mode and status flags.
    pub(super) flags: i32,
    /// Its lowest descriptor.
    pub(super) fd: i32,
    /// A hash of its link in `/proc`: the same in all processes.
    pub(super) name: u64,
    pub(super) fate: Fate,
    /// Whether somebody else waits for its end.
    pub(super) is_waited_for: bool,
    /// Whether the copy can open the same file again by its path.
    pub(super) can_be_reopened: bool,
    /// Its range of the descriptors.
    first: usize,
    count: usize,
}

impl Group {
    pub(super) fn can_read(&self) -> bool {
        self.flags & libc::O_ACCMODE != libc::O_WRONLY
    }

    /// Whether an open of a path made it: that leaves a mark in the flags, unlike a call such as
    /// `pipe`.
    pub(super) fn was_opened(&self) -> bool {
        // O_LARGEFILE, which libc defines as 0 on this processor.
        self.flags & 0o100_000 != 0
    }

    pub(super) fn can_write(&self) -> bool {
        self.flags & libc::O_ACCMODE != libc::O_RDONLY
    }
}

/// All descriptors, and their groups.
pub(super) struct Descriptors {
    /// Sorted by group.
    all: Records<Descriptor>,
    groups: Records<Group>,
    /// Each number and its group, sorted by the number.
    numbers: Records<(i32, usize)>,
    /// Whether the kernel compares descriptors; otherwise each is a group by itself.
    pub(super) are_told_apart: bool,
}

/// Whether this system lets a process compare its own descriptors.
pub fn can_compare() -> bool {
    let own = (sys::getpid(), 0);
    !matches!(
        sys::compare_files(own, own),
        Err(Errno(libc::EPERM | libc::ENOSYS | libc::EACCES))
    )
}

impl Descriptors {
    fn none() -> Self {
        Self {
            all: Records::growing(),
            groups: Records::growing(),
            numbers: Records::growing(),
            are_told_apart: can_compare(),
        }
    }

    /// Finds all descriptors except `own`, the engine's.
    ///
    /// # Errors
    /// `/proc` can't be read, or there is no memory.
    pub(super) fn record(own: &[i32]) -> Result<Self, Errno> {
        let directory = sys::open_to_read(c"/proc/thread-self/fd", libc::O_DIRECTORY)?;
        let mut descriptors = Self::none();
        let listed = descriptors.list(directory, own);
        sys::close(directory);
        if let Err(errno) = listed.and_then(|()| descriptors.group()) {
            descriptors.release();
            return Err(errno);
        }
        Ok(descriptors)
    }

    /// Only these: each test in this process has its own.
    #[cfg(test)]
    pub(super) fn of(fds: &[i32]) -> Self {
        let directory = sys::open_to_read(c"/proc/thread-self/fd", libc::O_DIRECTORY)
            .expect("/proc is mounted");
        let mut descriptors = Self::none();
        for &fd in fds {
            let found = look(directory, fd).expect("it is open");
            descriptors.all.push(found).expect("there is room");
        }
        sys::close(directory);
        descriptors.group().expect("they are open");
        descriptors
    }

    fn list(&mut self, directory: i32, own: &[i32]) -> Result<(), Errno> {
        let mut outcome = Ok(());
        procfs::for_each_number_in(directory, |fd| {
            if fd != directory && !own.contains(&fd) && outcome.is_ok() {
                outcome = look(directory, fd).and_then(|found| self.all.push(found));
            }
        })?;
        outcome
    }

    fn group(&mut self) -> Result<(), Errno> {
        let pid = sys::getpid();
        let compares = self.are_told_apart;
        let order = |a: &Descriptor, b: &Descriptor| {
            (a.device, a.inode, a.kind as u8)
                .cmp(&(b.device, b.inode, b.kind as u8))
                .then_with(|| match sys::compare_files((pid, a.fd), (pid, b.fd)) {
                    Ok(order) if compares => order,
                    _ => a.fd.cmp(&b.fd),
                })
        };
        self.all
            .entries_mut()
            .sort_unstable_by(|a, b| order(a, b).then(a.fd.cmp(&b.fd)));
        let mut begun: Option<Group> = None;
        for (number, descriptor) in self.all.entries().iter().enumerate() {
            match &mut begun {
                Some(group)
                    if self
                        .all
                        .entries()
                        .get(group.first)
                        .is_some_and(|first| order(first, descriptor) == Ordering::Equal) =>
                {
                    group.count += 1;
                }
                _ => {
                    if let Some(done) = begun.take() {
                        self.groups.push(done)?;
                    }
                    begun = Some(Group {
                        kind: descriptor.kind,
                        device: descriptor.device,
                        inode: descriptor.inode,
                        flags: sys::status_flags(descriptor.fd)?,
                        fd: descriptor.fd,
                        name: descriptor.name,
                        fate: Fate::Shared,
                        is_waited_for: false,
                        can_be_reopened: false,
                        first: number,
                        count: 1,
                    });
                }
            }
        }
        if let Some(done) = begun {
            self.groups.push(done)?;
        }
        for (number, group) in self.groups.entries().iter().enumerate() {
            for descriptor in members(self.all.entries(), group) {
                self.numbers.push((descriptor.fd, number))?;
            }
        }
        self.numbers.entries_mut().sort_unstable_by_key(|of| of.0);
        Ok(())
    }

    /// The open file descriptions; those of one file follow each other.
    pub(super) fn groups(&self) -> &[Group] {
        self.groups.entries()
    }

    /// The numbers of this group and those after it of the same file.
    pub(super) fn of_same_file(&self, first: usize) -> Range<usize> {
        let groups = self.groups().get(first..).unwrap_or(&[]);
        let count = groups.first().map_or(0, |of| {
            let is_same = |other: &&Group| {
                (other.device, other.inode, other.kind) == (of.device, of.inode, of.kind)
            };
            groups.iter().take_while(is_same).count()
        });
        first..first + count
    }

    /// The groups of a file, by the kernel's device number and the inode.
    pub(super) fn of_file(&self, (device, inode): (u64, u64)) -> Range<usize> {
        let [major, minor] = [device >> 20, device & 0xf_ffff]
            .map(|number| libc::c_uint::try_from(number).unwrap_or(libc::c_uint::MAX));
        self.of_inode(libc::makedev(major, minor), inode)
    }

    /// The same, by the device number in `stat`.
    pub(super) fn of_inode(&self, device: u64, inode: u64) -> Range<usize> {
        let key = (device, inode);
        let groups = self.groups();
        let first = groups.partition_point(|group| (group.device, group.inode) < key);
        let rest = groups.get(first..).unwrap_or(&[]);
        first..first + rest.partition_point(|group| (group.device, group.inode) == key)
    }

    /// Some groups, by their numbers.
    pub(super) fn some(&self, numbers: Range<usize>) -> &[Group] {
        self.groups().get(numbers).unwrap_or(&[])
    }

    /// The groups of a kind, with their numbers.
    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (usize, &Group)> {
        self.groups()
            .iter()
            .enumerate()
            .filter(move |(_, group)| group.kind == kind)
    }

    /// The number of a descriptor's group.
    pub(super) fn group_of(&self, fd: i32) -> Option<usize> {
        let numbers = self.numbers.entries();
        let at = numbers.binary_search_by_key(&fd, |of| of.0).ok()?;
        numbers.get(at).map(|of| of.1)
    }

    /// The highest number of all.
    pub(super) fn highest(&self) -> i32 {
        self.numbers.entries().last().map_or(0, |of| of.0)
    }

    /// The group of a descriptor that is not in the record. With `of_file`, for a pipe, any group
    /// of the same file.
    pub(super) fn find(&self, fd: i32, stat: &Stat, of_file: bool) -> Option<usize> {
        let pid = sys::getpid();
        self.groups().iter().position(|group| {
            (group.device, group.inode) == (stat.device, stat.inode)
                && group.flags & libc::O_PATH == 0
                && (of_file
                    || sys::compare_files((pid, group.fd), (pid, fd)) == Ok(Ordering::Equal))
        })
    }

    /// The copy will let go of this group.
    pub(super) fn will_be_rebuilt(&mut self, number: usize) {
        if let Some(group) = self.groups.entries_mut().get_mut(number) {
            group.fate = Fate::Rebuilt;
        }
    }

    /// The copy can open this group again, and lets go of it if `lets_go`.
    pub(super) fn can_be_reopened(&mut self, number: usize, lets_go: bool) {
        if let Some(group) = self.groups.entries_mut().get_mut(number) {
            group.can_be_reopened = true;
            if lets_go {
                group.fate = Fate::Reopened;
            }
        }
    }

    /// Somebody else waits for the end of this group, which the copy can't make anew.
    pub(super) fn will_be_waited_for(&mut self, number: usize) {
        if let Some(group) = self.groups.entries_mut().get_mut(number) {
            group.is_waited_for = true;
        }
    }

    /// Replaces each descriptor that will be rebuilt or opened again by a placeholder. Then only
    /// the live process has them, and their numbers stay taken.
    ///
    /// # Errors
    /// EMFILE and kin.
    pub(super) fn let_go(&self) -> Result<(), Errno> {
        self.leave_paths()?;
        if !self.has(Fate::Rebuilt) {
            return Ok(());
        }
        self.place(Fate::Rebuilt, self.groups())
    }

    /// Replaces descriptors that will be opened again by path descriptors.
    fn leave_paths(&self) -> Result<(), Errno> {
        if !self.has(Fate::Reopened) {
            return Ok(());
        }
        let directory = sys::open_to_read(c"/proc/thread-self/fd", libc::O_DIRECTORY)?;
        let left = self
            .groups()
            .iter()
            .filter(|group| group.fate == Fate::Reopened)
            .try_for_each(|group| self.leave_path(directory, group));
        sys::close(directory);
        left
    }

    fn leave_path(&self, directory: i32, group: &Group) -> Result<(), Errno> {
        let open = |name: &core::ffi::CStr| sys::open_path_at(directory, name);
        let path = procfs::with_number(group.fd, open)?;
        let placed = members(self.all.entries(), group)
            .iter()
            .try_for_each(|of| sys::duplicate_to(path, of.fd, of.close_on_exec));
        sys::close(path);
        placed
    }

    fn has(&self, fate: Fate) -> bool {
        self.groups().iter().any(|group| group.fate == fate)
    }

    /// Replaces the descriptors of groups with this fate by a placeholder.
    fn place(&self, fate: Fate, groups: &[Group]) -> Result<(), Errno> {
        let placeholder = sys::open(c"/", libc::O_PATH)?;
        let placed = groups
            .iter()
            .filter(|group| group.fate == fate)
            .flat_map(|group| members(self.all.entries(), group))
            .try_for_each(|of| sys::duplicate_to(placeholder, of.fd, of.close_on_exec));
        sys::close(placeholder);
        placed
    }

    /// Lets go of one group for good.
    ///
    /// # Errors
    /// As above.
    pub(super) fn lose(&mut self, number: usize) -> Result<(), Errno> {
        let Some(group) = self.groups.entries_mut().get_mut(number) else {
            return Ok(());
        };
        group.fate = Fate::Lost;
        let group = *group;
        self.place(Fate::Lost, &[group])
    }

    /// Closes a group before it is made anew, and keeps its numbers taken.
    ///
    /// # Errors
    /// As above.
    pub(super) fn vacate(&self, group: &Group) -> Result<(), Errno> {
        self.place(group.fate, &[*group])
    }

    /// The numbers of a group's descriptors.
    pub(super) fn members(&self, group: &Group) -> impl Iterator<Item = i32> {
        members(self.all.entries(), group).iter().map(|of| of.fd)
    }

    /// Replaces every descriptor of a group by a duplicate of `fd`, with the group's flags, and
    /// closes `fd`.
    ///
    /// # Errors
    /// EBADF if the limit is lower now.
    pub(super) fn install(&self, group: &Group, fd: i32) -> Result<(), Errno> {
        let mut outcome = set_status_flags(fd, group.flags);
        for descriptor in members(self.all.entries(), group) {
            let done = sys::duplicate_to(fd, descriptor.fd, descriptor.close_on_exec);
            outcome = outcome.and(done);
        }
        sys::close(fd);
        outcome
    }

    pub(super) fn release(self) {
        self.all.release();
        self.groups.release();
        self.numbers.release();
    }
}

/// A binary search.
pub(super) fn search(
    mut among: Range<usize>,
    mut compare: impl FnMut(usize) -> Option<Ordering>,
) -> Option<usize> {
    while !among.is_empty() {
        let middle = among.start + among.len() / 2;
        match compare(middle)? {
            Ordering::Less => among.start = middle + 1,
            Ordering::Greater => among.end = middle,
            Ordering::Equal => return Some(middle),
        }
    }
    None
}

fn members<'a>(all: &'a [Descriptor], group: &Group) -> &'a [Descriptor] {
    all.get(group.first..group.first + group.count)
        .unwrap_or(&[])
}

/// fcntl(F_SETFL), if a flag differs.
pub(super) fn set_status_flags(fd: i32, flags: i32) -> Result<(), Errno> {
    /// The kernel ignores or refuses changes of other flags.
    const CHANGEABLE: i32 =
        libc::O_APPEND | libc::O_ASYNC | libc::O_DIRECT | libc::O_NOATIME | libc::O_NONBLOCK;
    let now = sys::status_flags(fd)?;
    if (now ^ flags) & CHANGEABLE == 0 || flags & libc::O_PATH != 0 {
        return Ok(());
    }
    let flags = usize::try_from(flags & CHANGEABLE).unwrap_or(0);
    sys::fcntl(fd, libc::F_SETFL, flags).map(drop)
}

fn look(directory: i32, fd: i32) -> Result<Descriptor, Errno> {
    let mut buffer = [0; LINK_BYTES];
    let target = procfs::with_number(fd, |name| sys::read_link_at(directory, name, &mut buffer))?;
    let stat = sys::fstat(fd)?;
    let mut kind = Kind::of(target, stat.mode);
    if kind == Kind::File && may_be_message_queue(target) && sys::waiting_messages(fd).is_ok() {
        kind = Kind::MessageQueue;
    }
    Ok(Descriptor {
        fd,
        close_on_exec: sys::fcntl(fd, libc::F_GETFD, 0)? & libc::FD_CLOEXEC != 0,
        kind,
        device: stat.device,
        inode: stat.inode,
        name: name_of(target),
    })
}

/// How many bytes of a link in `/proc` are read.
pub(super) const LINK_BYTES: usize = 256;

/// A hash of a link's text (FNV-1a).
pub(super) fn name_of(target: &[u8]) -> u64 {
    target.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Reads a descriptor's entry in `fdinfo`, as much as fits.
pub(super) fn information(fd: i32, buffer: &mut [u8]) -> Result<&[u8], Errno> {
    with_information_path(fd, |path| procfs::read(path, buffer))
}

/// Calls `with` with the path of a descriptor's entry in `fdinfo`.
pub(super) fn with_information_path<T>(fd: i32, with: impl FnOnce(&core::ffi::CStr) -> T) -> T {
    with_path(b"/proc/thread-self/fdinfo/", fd, with)
}

/// Opens a descriptor's file again, with these flags.
pub(super) fn open_again(fd: i32, flags: i32) -> Result<i32, Errno> {
    with_descriptor_path(fd, |path| sys::open(path, flags))
}

/// The same for a file that its owner has made inaccessible: lends it the mode meanwhile.
pub(super) fn open_as_owner(fd: i32, flags: i32) -> Result<i32, Errno> {
    const OWN_READ_AND_WRITE: u32 = 0o600;
    const MODE: u32 = 0o7777;
    let refused = match open_again(fd, flags) {
        Err(errno @ Errno(libc::EACCES)) => errno,
        done => return done,
    };
    let stat = sys::fstat(fd)?;
    if stat.owner.0 != sys::effective_ids().0 {
        return Err(refused);
    }
    let set = |mode| with_descriptor_path(fd, |path| sys::set_mode(path, mode));
    set((stat.mode & MODE) | OWN_READ_AND_WRITE)?;
    let opened = open_again(fd, flags);
    match (opened, set(stat.mode & MODE)) {
        (Ok(fd), Err(errno)) => {
            sys::close(fd);
            Err(errno)
        }
        (opened, _) => opened,
    }
}

/// Reads all that waits in a descriptor, and leaves it non-blocking.
pub(super) fn drain(fd: i32) -> Result<(), Errno> {
    sys::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK as usize)?;
    let mut buffer = [0; 4096];
    while sys::read(fd, &mut buffer).is_ok_and(|length| length > 0) {}
    Ok(())
}

/// Calls `with` with the path of a descriptor in `/proc`.
pub(super) fn with_descriptor_path<T>(fd: i32, with: impl FnOnce(&core::ffi::CStr) -> T) -> T {
    with_path(b"/proc/thread-self/fd/", fd, with)
}

fn with_path<T>(directory: &[u8], fd: i32, with: impl FnOnce(&core::ffi::CStr) -> T) -> T {
    let mut path = [0; 64];
    let name = procfs::numbered(fd, b"\0");
    for (place, &byte) in path.iter_mut().zip(directory.iter().chain(&name)) {
        *place = byte;
    }
    with(core::ffi::CStr::from_bytes_until_nul(&path).unwrap_or(c""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn duplicates_are_one_group_and_others_are_not() {
        let file = std::fs::File::open("/proc/self/exe").expect("the test itself");
        let same = file.try_clone().expect("a descriptor");
        let other = std::fs::File::open("/proc/self/exe").expect("the test itself");
        let found = Descriptors::of(&[&file, &same, &other].map(AsRawFd::as_raw_fd));
        let group = |file: &std::fs::File| found.group_of(file.as_raw_fd()).expect("it is open");
        assert_eq!(group(&file), group(&same));
        assert_ne!(group(&file), group(&other));
        assert_eq!(found.groups()[group(&same)].count, 2);
        assert_eq!(found.groups()[group(&same)].kind, Kind::File);
        found.release();
    }

    #[test]
    fn what_is_let_go_is_installed_again() {
        let (end, mut other) = std::io::pipe().expect("a pipe");
        let mut found = Descriptors::of(&[end.as_raw_fd()]);
        let number = found.group_of(end.as_raw_fd()).expect("it is open");
        let kept = end.try_clone().expect("a descriptor");
        found.will_be_rebuilt(number);
        found.let_go().expect("it is placed");
        assert!(
            sys::fstat(end.as_raw_fd()).expect("a placeholder").mode & libc::S_IFMT
                == libc::S_IFDIR
        );
        let again = sys::duplicate_above(kept.as_raw_fd(), 100).expect("a descriptor");
        found
            .install(&found.groups()[number], again)
            .expect("it is installed");
        std::io::Write::write_all(&mut other, b"x").expect("it is read");
        let mut byte = [0];
        std::io::Read::read_exact(&mut &end, &mut byte).expect("it was written");
        found.release();
    }
}
