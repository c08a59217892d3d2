//! The account of a process: judges all that it has, and puts that into words.

use std::collections::{HashMap, HashSet};

use snapshot_core::objects::for_each_system_v;
use snapshot_core::terms::{Hindrance, Kind, Origin, Why};

use super::{
    descriptors::{self, Descriptor},
    elsewhere::{self, Elsewhere, Holder},
    inspection::{Item, Lost, Refused},
    judge::{self, OtherEnd, Surroundings, Verdict},
    memory,
    sockets::{self, Socket},
    threads::Thread,
};
use crate::processes::family::name_of as process_name;
use crate::refusal::kinds;

/// What a take refuses, what a revert loses, and what it brings back.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) refused: Vec<Refused>,
    pub(super) not_rolled_back: Vec<Lost>,
    pub(super) rolled_back: Vec<Item>,
}

impl Account {
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
                why: kinds::why(kind, why),
            }),
            Verdict::Refuses => self.refused.push(Refused {
                item,
                why: kinds::why(kind, Why::State),
                help: kinds::rule(kind).map_or("", |rule| rule.help),
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

    pub(super) fn threads(&mut self, threads: &[Thread]) {
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
    }

    /// Tells of descriptors; how many processes could not be asked whether they have them.
    pub(super) fn descriptors(
        &mut self,
        pid: i32,
        mine: &[Descriptor],
        except: &HashSet<i32>,
    ) -> u32 {
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

    pub(super) fn memory(&mut self, maps: &[u8], except: &HashSet<i32>) {
        let shared = memory::shared(maps);
        let wanted = shared.iter().map(|one| one.file).collect();
        let mapped = elsewhere::mapped(except, &wanted);
        let mut memory_left = Origin::Memory.most_copied();
        let mut of_files_left = Origin::File.most_copied();
        for one in shared {
            // The agent's own.
            if one.path.starts_with("/memfd:cargo-snapshot") {
                continue;
            }
            let other = mapped.get(&one.file);
            let left = match one.origin {
                Origin::File => &mut of_files_left,
                _ => &mut memory_left,
            };
            let (kind, judged) = judge::memory(one.origin, other.is_some(), one.bytes, *left);
            if judged == Verdict::Returns {
                *left -= one.bytes;
            }
            let name = match one.path.as_str() {
                path if path.starts_with("/dev/zero") => "anonymous",
                path => path,
            };
            let who = other.map_or(String::new(), |&pid| {
                format!(", also in {pid} (`{}`)", process_name(pid))
            });
            let what = format!("{:#x} {name}, {} bytes{who}", one.start, one.bytes);
            self.add(kind, None, what, judged);
        }
    }

    /// Tells of what the system has for everybody, and the process has used last.
    pub(super) fn system_v(&mut self, pid: i32) {
        let namespace = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/ipc")).ok();
        if namespace("self") != namespace(&pid.to_string()) {
            // The kernel tells of the caller's own alone.
            return;
        }
        for_each_system_v(pid, |kind, id| {
            self.add(
                kind,
                None,
                kinds::system_v(kind, id),
                Verdict::Stays(Why::State),
            );
        });
    }

    pub(super) fn children(&mut self, count: usize) {
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
                // One that is connected to itself is no pair.
                None if one.target != peer && mine.iter().any(|other| other.target == peer) => {
                    (OtherEnd::Own, None)
                }
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
        (Verdict::Stays(Why::Backlog), ..) => match socket.map_or(0, Socket::waiting_connections) {
            1 => what.push_str(", 1 connection waits"),
            number => what.push_str(&format!(", {number} connections wait")),
        },
        (Verdict::Returns, ..) if one.info.watches > 0 => {
            what.push_str(", where the paths of what it watches are known");
        }
        _ => {}
    }
    what
}
