//! The facts of each descriptor, gathered from outside, as [`comes_back::descriptor`] asks for
//! them. Nothing is decided here.
//!
//! Facts that only the process itself can find out have their harmless value: what waits in a
//! terminal, whether a listener's address can be taken again, a socket's filters.

use std::collections::{BTreeMap, HashMap, HashSet};

use snapshot_core::objects::{can_compare, is_local};
use snapshot_core::terms::{
    Kind, Origin, Why,
    comes_back::{
        Facts, File, FileContents, OtherEnd, Pair, Pipe, Room, Sharing, Terminal, Watches,
    },
};

use super::{
    descriptors::{self, Access, Descriptor},
    elsewhere::{Elsewhere, Holder},
    sockets::{self, Peer, Socket},
};

/// All that is around the descriptors of a process.
pub(super) struct Surroundings<'a> {
    pid: i32,
    mine: &'a [Descriptor],
    sockets: HashMap<u64, Socket>,
    pub(super) elsewhere: Elsewhere,
    /// Whether the kernel hides which descriptors are the same.
    is_hidden: bool,
    /// Who brings the contents of files back.
    file_contents: FileContents,
    /// The files of stdin, stdout and stderr: the program was started with them.
    inherited: HashSet<(u64, u64)>,
    /// For each memory file: why it does not come back.
    memory: HashMap<(u64, u64), Option<Why>>,
}

/// Who else has a descriptor's object.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Others<'a> {
    /// The same object.
    pub(super) same: Option<&'a Holder>,
    /// The other end of a pipe or a connection.
    pub(super) other_end: Option<&'a Holder>,
}

impl<'a> Surroundings<'a> {
    /// Looks at every process but these.
    pub(super) fn look(
        pid: i32,
        mine: &'a [Descriptor],
        except: &HashSet<i32>,
        file_contents: FileContents,
    ) -> Self {
        let sockets = sockets_of(pid, mine);
        let mut wanted: HashSet<Vec<u8>> = mine.iter().map(|one| one.target.clone()).collect();
        wanted.extend(
            mine.iter()
                .filter_map(|one| peer_of(sockets.get(&inode_of_socket(one)?)?)),
        );
        let stdio = mine.iter().filter(|one| one.number <= 2);
        let mut all = Self {
            pid,
            mine,
            sockets,
            elsewhere: Elsewhere::look(except, &wanted),
            is_hidden: !can_compare(),
            file_contents,
            inherited: stdio.filter_map(|one| one.file).collect(),
            memory: HashMap::new(),
        };
        all.memory = all.memory_files();
        all
    }

    pub(super) fn socket(&self, one: &Descriptor) -> Option<&Socket> {
        self.sockets.get(&inode_of_socket(one)?)
    }

    /// Who else has it.
    pub(super) fn others(&self, one: &Descriptor) -> Others<'_> {
        let other_end = match one.kind {
            Kind::Pipe | Kind::Fifo => {
                let mut holders = self.elsewhere.holders(&one.target).iter();
                holders.find(|holder| completes(one.access, holder.access))
            }
            Kind::Socket => self
                .socket(one)
                .and_then(peer_of)
                .and_then(|peer| self.elsewhere.holders(&peer).first()),
            _ => None,
        };
        Others {
            same: self.elsewhere.same(self.pid, one),
            other_end,
        }
    }

    /// The facts for the rule.
    pub(super) fn facts(&self, one: &Descriptor) -> Facts {
        let is_inherited = self.is_inherited(one);
        let mut facts = Facts {
            is_path: one.info.is_path,
            sharing: self.sharing(one),
            is_stateless: one.is_stateless,
            memory: one.file.and_then(|file| *self.memory.get(&file)?),
            file: self.file(one),
            pipe: Pipe {
                other_end: self.other_end(one),
                can_write: one.access.writes,
                is_inherited,
            },
            terminal: Terminal {
                is_master: one.target.ends_with(b"/ptmx"),
                is_inherited,
                ..Terminal::default()
            },
            watches: Watches::default(),
            ..Facts::default()
        };
        if let Some(socket) = self.socket(one) {
            facts.socket = socket.facts();
            facts.socket.pair = self.pair(one, socket);
        }
        facts
    }

    fn sharing(&self, one: &Descriptor) -> Sharing {
        let is_elsewhere = match one.kind {
            // Any end of it.
            Kind::Pipe | Kind::Fifo | Kind::Socket => {
                !self.elsewhere.holders(&one.target).is_empty()
            }
            _ => self.elsewhere.same(self.pid, one).is_some(),
        };
        let can_be_inherited = matches!(
            one.kind,
            Kind::Pipe | Kind::Fifo | Kind::Socket | Kind::Memfd | Kind::File | Kind::Directory
        );
        Sharing {
            is_hidden: self.is_hidden,
            is_elsewhere: is_elsewhere || (can_be_inherited && self.is_inherited(one)),
        }
    }

    /// Whether the program was started with it, as far as that shows. If it alone has both
    /// ends, it made them itself.
    fn is_inherited(&self, one: &Descriptor) -> bool {
        if !one.file.is_some_and(|file| self.inherited.contains(&file)) {
            return false;
        }
        let has_both_ends = match one.kind {
            Kind::Pipe | Kind::Fifo => self.completed_by_own(one),
            Kind::Socket => self.own_peer(one).is_some(),
            _ => false,
        };
        !(has_both_ends && self.elsewhere.holders(&one.target).is_empty())
    }

    fn file(&self, one: &Descriptor) -> File {
        let has_locks = !one.info.locks.is_empty();
        let link = format!("/proc/{}/fd/{}", self.pid, one.number);
        File {
            can_write: one.access.writes,
            is_output: self.is_inherited(one),
            has_locks,
            can_be_reopened: !has_locks || descriptors::file_system(&link).is_none_or(is_local),
            file_contents: self.file_contents,
        }
    }

    fn completed_by_own(&self, one: &Descriptor) -> bool {
        let mut mine = self.mine.iter();
        mine.any(|other| other.target == one.target && completes(one.access, other.access))
    }

    fn other_end(&self, one: &Descriptor) -> OtherEnd {
        if self.completed_by_own(one) {
            OtherEnd::Own
        } else if self.elsewhere.unseen > 0 || !self.elsewhere.holders(&one.target).is_empty() {
            OtherEnd::Open
        } else {
            OtherEnd::Closed
        }
    }

    /// The program's own descriptor of a socket's peer. A socket connected to itself has none.
    fn own_peer(&self, one: &Descriptor) -> Option<&Descriptor> {
        let peer = peer_of(self.socket(one)?)?;
        let mut mine = self.mine.iter();
        mine.find(|other| other.target == peer && other.target != one.target)
    }

    /// The facts of a pair, if no other process has a socket of it.
    fn pair(&self, one: &Descriptor, socket: &Socket) -> Option<Pair> {
        let Socket::Unix {
            is_connected: true,
            peer,
            ..
        } = socket
        else {
            return None;
        };
        let other = match peer {
            Peer::Unknown => return None,
            Peer::Closed => None,
            Peer::Inode(_) => Some(self.own_peer(one)?),
        };
        let mut ends = [Some(one), other].into_iter().flatten();
        if !ends.clone().all(|end| self.sharing(end).is_own()) {
            return None;
        }
        let has_name =
            |end| matches!(self.socket(end), Some(Socket::Unix { path, .. }) if !path.is_empty());
        Some(Pair {
            has_name: ends.clone().any(has_name),
            is_vouched_for: true,
            hides_error: false,
            carries_descriptors: ends.any(|end| end.info.carries_descriptors),
        })
    }

    /// Judges the memory files in the order of a take.
    fn memory_files(&self) -> HashMap<(u64, u64), Option<Why>> {
        let mut files: BTreeMap<(u64, u64), (bool, u64)> = BTreeMap::new();
        let memfds = self.mine.iter().filter(|one| one.kind == Kind::Memfd);
        for one in memfds.filter(|one| !one.info.is_path) {
            if let Some(file) = one.file {
                let (is_elsewhere, bytes) = files.entry(file).or_default();
                *is_elsewhere |= self.sharing(one).is_elsewhere;
                *bytes = one.bytes;
            }
        }
        let mut room = Room::of(Origin::Memfd);
        files
            .into_iter()
            .map(|(file, (is_elsewhere, bytes))| (file, room.why(is_elsewhere, bytes)))
            .collect()
    }
}

/// Whether one of two pipe descriptors reads what the other writes.
fn completes(one: Access, other: Access) -> bool {
    (one.reads && other.writes) || (one.writes && other.reads)
}

fn sockets_of(pid: i32, mine: &[Descriptor]) -> HashMap<u64, Socket> {
    if !mine.iter().any(|one| one.kind == Kind::Socket) {
        return HashMap::new();
    }
    let mut sockets = sockets::of(pid);
    for one in mine {
        if let Some(inode) = inode_of_socket(one)
            && !sockets.contains_key(&inode)
            && let Some(socket) = sockets::unlisted(pid, one.number)
        {
            sockets.insert(inode, socket);
        }
    }
    sockets
}

fn inode_of_socket(one: &Descriptor) -> Option<u64> {
    let target = std::str::from_utf8(&one.target).ok()?;
    let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok()
}

/// The link target of a unix socket's peer.
fn peer_of(socket: &Socket) -> Option<Vec<u8>> {
    match socket {
        Socket::Unix {
            peer: Peer::Inode(peer),
            ..
        } => Some(format!("socket:[{peer}]").into_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snapshot_core::terms::comes_back::{self, ComesBack};
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::os::unix::net::{UnixListener, UnixStream};

    /// The reasons against each of these, of this process.
    fn reasons(fds: &[&dyn AsRawFd]) -> Vec<Vec<Why>> {
        let own = std::process::id().cast_signed();
        let mine = descriptors::of(own).expect("it is this process");
        let around = Surroundings::look(own, &mine, &HashSet::from([own]), FileContents::Copied);
        fds.iter()
            .map(|fd| {
                let fd = fd.as_raw_fd();
                let one = mine.iter().find(|one| one.number == fd);
                let one = one.expect("it is open");
                match comes_back::descriptor(one.kind, &around.facts(one)) {
                    ComesBack::No(reasons) => reasons.into_iter().collect(),
                    _ => Vec::new(),
                }
            })
            .collect()
    }

    #[test]
    fn sockets_by_what_they_are_connected_to() {
        let (a, b) = UnixStream::pair().expect("a pair");
        let (end, other) = UnixStream::pair().expect("a pair");
        drop(other);
        let directory = tempfile::tempdir().expect("the temp directory is writable");
        let name = directory.path().join("socket");
        let listener = UnixListener::bind(&name).expect("a name");
        let client = UnixStream::connect(&name).expect("somebody listens");
        let (server, _) = listener.accept().expect("somebody has connected");
        let late = UnixStream::connect(&name).expect("somebody listens");
        assert_eq!(
            reasons(&[&a, &b, &end, &client, &server, &late, &listener]),
            [
                vec![],
                vec![],
                vec![],
                vec![Why::Names],
                vec![Why::Names],
                vec![Why::Connected],
                vec![Why::Backlog],
            ]
        );
    }

    #[test]
    fn a_path_alone_has_no_state() {
        use std::fs::OpenOptions;
        use std::os::unix::fs::OpenOptionsExt;
        let open = |path: &str| {
            let mut options = OpenOptions::new();
            options.read(true).custom_flags(nix::libc::O_PATH);
            options.open(path).expect("every system has it")
        };
        let terminal = open("/dev/ptmx");
        let file: OwnedFd = open("/proc/self/exe").into();
        assert_eq!(reasons(&[&terminal, &file]), [vec![], vec![]]);
    }

    #[test]
    fn memory_that_is_too_large() {
        let make = |bytes| {
            let name = c"facts";
            let fd = nix::sys::memfd::memfd_create(name, nix::sys::memfd::MFdFlags::MFD_CLOEXEC)
                .expect("every kernel has them");
            nix::unistd::ftruncate(&fd, bytes).expect("it has no pages");
            fd
        };
        let most = i64::try_from(Origin::Memfd.most_copied()).expect("it fits");
        let (small, large) = (make(4096), make(most + 1));
        assert_eq!(reasons(&[&small, &large]), [vec![], vec![Why::Large]]);
    }
}
