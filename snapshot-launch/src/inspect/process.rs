//! Looks at a process, and puts together what is told of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::unistd::{Uid, User, geteuid};
use serde::Serialize;
use snapshot_core::objects::{Kind, Why};
use snapshot_core::proc_text;
use snapshot_core::wire::Hindrance;

use super::descriptors::{self, Descriptor};
use super::elsewhere::{self, Elsewhere, Holder};
use super::judge::{self, OtherEnd, Surroundings, Verdict};
use super::memory::{self, Origin};
use super::sockets::{self, Socket};
use super::threads::{self, Thread};
use crate::control;
use crate::doctor::Launchable;
use crate::problem::{Problem, exit};
use crate::program;
use crate::signals::name_of;
use crate::supervisor::{children_of, process_name};
use crate::verdict;

/// What a take of a process would promise, by what it has now. The names of the fields are
/// a contract with scripts.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// Which process.
    pub pid: i32,
    /// What it is called.
    pub name: String,
    /// The user whose it is.
    pub user: u32,
    /// The session that it is in, if it is in one of this user's.
    pub session: Option<InSession>,
    /// Whether its executable can be launched in a session: of one that runs outside, no
    /// snapshot can be taken.
    pub executable: Launchable,
    /// Its threads, without the kernel's own.
    pub threads: usize,
    /// Its children.
    pub children: usize,
    /// Its resident memory.
    pub rss_bytes: u64,
    /// What would refuse a take.
    pub refused: Vec<Refused>,
    /// What would stay as the dead branch left it.
    pub not_rolled_back: Vec<Lost>,
    /// What would come back.
    pub rolled_back: Vec<Item>,
    /// How many processes may not be looked into: what is shared with them is not known.
    pub unseen_processes: u32,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InSession {
    /// Its name.
    pub name: String,
    /// Its launcher.
    pub launcher_pid: i32,
    /// What the process is in it.
    pub role: Role,
}

/// What a process is in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The live program.
    Program,
    /// The launcher.
    Launcher,
    /// A frozen copy.
    Snapshot,
}

/// What would come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// `file`, `socket`, `pipe`, ...
    pub kind: &'static str,
    /// Its descriptor, if it has one.
    pub fd: Option<i32>,
    /// Which one.
    pub what: String,
}

/// What would not come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Which one.
    #[serde(flatten)]
    pub item: Item,
    /// Why not.
    pub why: &'static str,
}

/// What would refuse a take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Which one.
    #[serde(flatten)]
    pub item: Item,
    /// Why.
    pub why: &'static str,
    /// The way on.
    pub help: &'static str,
}

/// Looks at a process.
///
/// # Errors
/// No such process, or it may not be looked into: what, cause, help.
pub(crate) fn inspect(pid: i32) -> Result<Inspection, Problem> {
    let status = fs::read(format!("/proc/{pid}/status")).map_err(|error| refused(pid, &error))?;
    // A thread's number means its process.
    let pid = proc_text::number(&status, "Tgid:")
        .and_then(|leader| i32::try_from(leader).ok())
        .unwrap_or(pid);
    check_it_runs(pid, &status)?;
    let mine = descriptors::of(pid).map_err(|error| refused(pid, &error))?;
    let all_threads = threads::of(pid).map_err(|error| refused(pid, &error))?;
    let maps = fs::read(format!("/proc/{pid}/maps")).map_err(|error| refused(pid, &error))?;
    let name = process_name(pid);
    let (session, of_session) = session(pid);
    let mut except = of_session;
    except.extend([pid, nix::unistd::getpid().as_raw()]);

    let mut told = Told::default();
    told.threads(&all_threads);
    let unseen_processes = told.descriptors(pid, &mine, &except);
    told.memory(&String::from_utf8_lossy(&maps), &except);
    let children = children_of(pid).len();
    told.children(children);
    Ok(Inspection {
        pid,
        executable: executable(pid, &name),
        name,
        user: fs::metadata(format!("/proc/{pid}")).map_or(0, |metadata| metadata.uid()),
        session,
        threads: all_threads.iter().filter(|one| !one.is_worker).count(),
        children,
        rss_bytes: proc_text::kilobytes(&status, "VmRSS:").unwrap_or(0) * 1024,
        refused: told.refused,
        not_rolled_back: told.not_rolled_back,
        rolled_back: told.rolled_back,
        unseen_processes,
    })
}

/// Why a process can't be looked at.
fn refused(pid: i32, error: &io::Error) -> Problem {
    let problem = Problem::new(exit::REFUSED, format!("cannot look at process {pid}"));
    match error.kind() {
        ErrorKind::PermissionDenied => {
            let owner = fs::metadata(format!("/proc/{pid}")).map(|metadata| metadata.uid());
            match owner {
                Ok(owner) if owner != geteuid().as_raw() => problem
                    .cause(format!("it belongs to {}", user(owner)))
                    .help("ask as that user, or as root"),
                _ => problem
                    .cause("it has rights that this user has not, or keeps itself from being looked at")
                    .help("ask as root"),
            }
        }
        // ESRCH is what a file of one that has just ended answers.
        _ if error.kind() == ErrorKind::NotFound
            || error.raw_os_error() == Some(nix::libc::ESRCH) =>
        {
            problem
                .cause("there is no process of that number")
                .help("see `ps` for those that there are")
        }
        _ => problem
            .cause(error)
            .help("see whether /proc is mounted: `mount -t proc proc /proc`"),
    }
}

fn user(number: u32) -> String {
    match User::from_uid(Uid::from_raw(number)) {
        Ok(Some(user)) => format!("`{}`", user.name),
        _ => format!("user {number}"),
    }
}

fn check_it_runs(pid: i32, status: &[u8]) -> Result<(), Problem> {
    let problem = Problem::new(exit::REFUSED, format!("cannot look at process {pid}"));
    if proc_text::field(status, "State:").is_some_and(|state| state.starts_with(b"Z")) {
        return Err(problem
            .cause("it has ended, and waits for its parent to take note of it")
            .help("see `ps` for those that run"));
    }
    // Only what runs a program has memory of its own.
    if proc_text::field(status, "VmSize:").is_none() {
        return Err(problem
            .cause("it is a thread of the kernel's")
            .help("see `ps` for programs"));
    }
    Ok(())
}

fn executable(pid: i32, name: &str) -> Launchable {
    let link = PathBuf::from(format!("/proc/{pid}/exe"));
    match program::check_executable(&link, name) {
        Ok(()) => Launchable {
            path: fs::read_link(&link).ok(),
            cause: None,
            help: None,
        },
        Err(problem) => Launchable {
            path: None,
            cause: problem.cause,
            help: problem.help,
        },
    }
}

/// The session that a process is in, and the processes that are its copies: what those
/// have is not another's.
fn session(pid: i32) -> (Option<InSession>, HashSet<i32>) {
    let sessions = control::sessions().unwrap_or_default().answering;
    for listing in sessions {
        let frozen: HashSet<i32> = listing
            .snapshots
            .iter()
            .map(|snapshot| snapshot.frozen_pid)
            .collect();
        let role = if pid == listing.live_pid {
            Role::Program
        } else if pid == listing.launcher_pid {
            Role::Launcher
        } else if frozen.contains(&pid) {
            Role::Snapshot
        } else {
            continue;
        };
        let mut copies = frozen;
        copies.insert(listing.live_pid);
        copies.extend(elsewhere::processes().filter(|&pid| process_name(pid) == "snap-keeper"));
        let session = InSession {
            name: listing.session,
            launcher_pid: listing.launcher_pid,
            role,
        };
        return (Some(session), copies);
    }
    (None, HashSet::new())
}

/// What is to be told.
#[derive(Debug, Default)]
struct Told {
    refused: Vec<Refused>,
    not_rolled_back: Vec<Lost>,
    rolled_back: Vec<Item>,
}

impl Told {
    fn add(&mut self, kind: Kind, fd: Option<i32>, what: String, judged: Verdict) {
        let item = Item {
            kind: kind.name(),
            fd,
            what,
        };
        match judged {
            Verdict::Returns => self.rolled_back.push(item),
            Verdict::Stays(why) => self.not_rolled_back.push(Lost {
                item,
                why: verdict::why(kind, why),
            }),
            Verdict::Refuses => self.refused.push(Refused {
                item,
                why: verdict::why(kind, Why::State),
                help: verdict::refusal(kind).map_or("", |refusal| refusal.help),
            }),
        }
    }

    fn refuse(&mut self, kind: &'static str, what: String, why: &'static str, help: &'static str) {
        self.refused.push(Refused {
            item: Item {
                kind,
                fd: None,
                what,
            },
            why,
            help,
        });
    }

    fn threads(&mut self, threads: &[Thread]) {
        let workers = threads.iter().filter(|thread| thread.is_worker).count();
        if workers > 0 {
            let what = format!("{workers} of the kernel's threads, which work for the program");
            self.add(Kind::IoUring, None, what, Verdict::Refuses);
        }
        if threads
            .iter()
            .all(|thread| thread.is_worker || thread.hindrance == Some(Hindrance::Stopped))
        {
            self.refuse(
                "stopped",
                "the process".to_owned(),
                "it is stopped",
                "let it go on: `kill -CONT`, or detach the debugger",
            );
            return;
        }
        for thread in threads {
            if let Some(hindrance) = thread.hindrance {
                self.refuse(
                    "thread",
                    format!("thread {} (`{}`)", thread.tid, thread.name),
                    hindrance.doing(),
                    "take the snapshot when it does something else",
                );
            }
        }
        // The default trigger.
        let trigger = nix::libc::SIGUSR1;
        if threads::all_block(threads, trigger) {
            self.refuse(
                "blocked",
                name_of(trigger),
                "the program has it blocked in every thread",
                "choose another trigger with --signal",
            );
        }
    }

    /// Tells of descriptors; how many processes could not be asked whether they have them.
    fn descriptors(&mut self, pid: i32, mine: &[Descriptor], except: &HashSet<i32>) -> u32 {
        let has_sockets = mine.iter().any(|one| one.kind == Kind::Socket);
        let mut sockets = HashMap::new();
        if has_sockets {
            sockets = sockets::of(pid);
            for one in mine {
                if let Some(inode) = inode_of_socket(one)
                    && !sockets.contains_key(&inode)
                    && let Some(socket) = sockets::unlisted(pid, one.number)
                {
                    sockets.insert(inode, socket);
                }
            }
        }
        let mut wanted: HashSet<Vec<u8>> = mine.iter().map(|one| one.target.clone()).collect();
        wanted.extend(
            mine.iter()
                .filter_map(|one| peer_of(socket_of(one, &sockets)?)),
        );
        let elsewhere = Elsewhere::look(except, &wanted);
        for one in mine {
            let socket = socket_of(one, &sockets);
            let same = elsewhere.same(pid, one);
            let (other_end, other) = other_end(one, socket, mine, &elsewhere);
            let around = Surroundings {
                is_elsewhere: same.is_some(),
                other_end,
                socket,
            };
            let judged = judge::descriptor(one, &around);
            let what = describe(one, socket, judged, same, other);
            self.add(one.kind, Some(one.number), what, judged);
            for lock in &one.info.locks {
                let what = format!("{lock} on {}", String::from_utf8_lossy(&one.target));
                self.add(Kind::Lock, Some(one.number), what, Verdict::Returns);
            }
        }
        elsewhere.unseen
    }

    fn memory(&mut self, maps: &str, except: &HashSet<i32>) {
        let shared = memory::shared(maps);
        let wanted = shared
            .iter()
            .filter(|one| matches!(one.origin, Origin::Anonymous | Origin::Memfd))
            .map(|one| one.file.clone())
            .collect();
        let mapped = elsewhere::mapped(except, &wanted);
        for one in shared {
            // The agent's own.
            if one.path.starts_with("/memfd:cargo-snapshot") {
                continue;
            }
            let other = mapped.get(&one.file);
            let (kind, judged) = judge::memory(one.origin, other.is_some());
            let name = match one.origin {
                Origin::Anonymous => "anonymous",
                _ => &one.path,
            };
            let who = other.map_or(String::new(), |&pid| {
                format!(", also in {pid} (`{}`)", process_name(pid))
            });
            let what = format!("{:#x} {name}, {} bytes{who}", one.start, one.bytes);
            self.add(kind, None, what, judged);
        }
    }

    fn children(&mut self, count: usize) {
        if count > 0 {
            let plural = if count == 1 { "process" } else { "processes" };
            self.not_rolled_back.push(Lost {
                item: Item {
                    kind: "child",
                    fd: None,
                    what: format!("{count} child {plural}"),
                },
                why: "a process that the program has started lives on; those that are started after the snapshot end with their branch",
            });
        }
    }
}

fn inode_of_socket(one: &Descriptor) -> Option<u64> {
    let target = std::str::from_utf8(&one.target).ok()?;
    let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok()
}

fn socket_of<'a>(one: &Descriptor, sockets: &'a HashMap<u64, Socket>) -> Option<&'a Socket> {
    sockets.get(&inode_of_socket(one)?)
}

/// What the link to the peer of a unix socket leads to.
fn peer_of(socket: &Socket) -> Option<Vec<u8>> {
    match socket {
        Socket::Unix {
            peer: Some(peer), ..
        } => Some(format!("socket:[{peer}]").into_bytes()),
        _ => None,
    }
}

/// Where the other end of a descriptor is, and who has it.
fn other_end<'a>(
    one: &Descriptor,
    socket: Option<&Socket>,
    mine: &[Descriptor],
    elsewhere: &'a Elsewhere,
) -> (OtherEnd, Option<&'a Holder>) {
    let unknown = if elsewhere.unseen > 0 {
        OtherEnd::Unknown
    } else {
        OtherEnd::Nobody
    };
    match one.kind {
        Kind::Pipe | Kind::Fifo => {
            let completes = |access: descriptors::Access| {
                (one.access.reads && access.writes) || (one.access.writes && access.reads)
            };
            let holder = elsewhere
                .holders(&one.target)
                .iter()
                .find(|holder| completes(holder.access));
            let is_own = mine
                .iter()
                .any(|other| other.target == one.target && completes(other.access));
            match (holder, is_own) {
                (Some(holder), _) => (OtherEnd::Elsewhere, Some(holder)),
                (None, true) => (OtherEnd::Own, None),
                (None, false) => (unknown, None),
            }
        }
        Kind::Socket => match socket.and_then(peer_of) {
            None => (unknown, None),
            Some(peer) => match elsewhere.holders(&peer).first() {
                Some(holder) => (OtherEnd::Elsewhere, Some(holder)),
                None if mine.iter().any(|other| other.target == peer) => (OtherEnd::Own, None),
                None => (unknown, None),
            },
        },
        _ => (OtherEnd::Nobody, None),
    }
}

/// Which one it is, and who else has it, where that is the reason.
fn describe(
    one: &Descriptor,
    socket: Option<&Socket>,
    judged: Verdict,
    same: Option<&Holder>,
    other: Option<&Holder>,
) -> String {
    let mut what = format!(
        "fd {}: {}",
        one.number,
        String::from_utf8_lossy(&one.target)
    );
    if let Some(socket) = socket {
        what.push(' ');
        what.push_str(&socket.describe());
    }
    match (judged, same, other) {
        (Verdict::Stays(Why::OtherEnd), _, Some(holder)) => {
            what.push_str(&format!(", the other end in {}", holder.describe()));
        }
        (Verdict::Stays(Why::Elsewhere), Some(holder), _) => {
            what.push_str(&format!(", also in {}", holder.describe()));
        }
        (Verdict::Returns, ..) if one.info.watches > 0 => {
            what.push_str(", where the paths of what it watches are known");
        }
        _ => {}
    }
    what
}

impl Inspection {
    /// What would come back, by kind: each with its descriptors.
    pub fn rolled_back_by_kind(&self) -> BTreeMap<&'static str, Vec<&Item>> {
        let mut kinds: BTreeMap<&'static str, Vec<&Item>> = BTreeMap::new();
        for item in &self.rolled_back {
            kinds.entry(item.kind).or_default().push(item);
        }
        kinds
    }
}
