//! The account of a process: what the rule says of its objects, in words.

use std::borrow::Cow;
use std::collections::HashSet;

use snapshot_core::objects::for_each_system_v;
use snapshot_core::terms::{
    Hindrance, Kind, Origin, Why,
    comes_back::{self, ComesBack, FileContents, Reasons, Rooms},
};

use super::{
    descriptors::Descriptor,
    elsewhere,
    facts::{Others, Surroundings},
    inspection::{Item, Lost, Refused},
    memory,
    sockets::Socket,
    threads::{self, Thread},
};
use crate::flags::{AllowKind, SnapshotFlags};
use crate::processes::{
    family::{name_of as process_name, title_of},
    kin::Child,
};
use crate::refusal::{family, kinds};

/// What a take refuses, what a revert loses, and what it brings back.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Kinds that refuse no take here.
    allowed: Vec<AllowKind>,
    /// Whether mapped files stay as they are.
    files: FileContents,
    pub(super) refused: Vec<Refused>,
    pub(super) not_rolled_back: Vec<Lost>,
    pub(super) rolled_back: Vec<Item>,
}

impl Account {
    /// For a session with these flags.
    pub(super) fn new(flags: &SnapshotFlags) -> Self {
        Self {
            allowed: flags.allow.clone(),
            files: match flags.no_files {
                true => FileContents::Left,
                false => FileContents::Kept,
            },
            ..Self::default()
        }
    }

    fn lose(&mut self, item: Item, why: impl Into<Cow<'static, str>>) {
        self.not_rolled_back.push(Lost {
            item,
            why: why.into(),
        });
    }

    /// Adds something that refuses a take unless it is allowed.
    fn refuse_kind(&mut self, item: Item, kind: Kind, why: &'static str) {
        match kinds::rule(kind) {
            Some(rule) if !self.allowed.contains(&rule.allow) => self.refused.push(Refused {
                item,
                why,
                help: rule.help,
            }),
            _ => self.lose(item, why),
        }
    }

    /// Adds something with or without a descriptor; `what` names it, by why it is lost.
    fn add(
        &mut self,
        kind: Kind,
        fd: Option<i32>,
        judged: ComesBack,
        what: impl Fn(Option<Why>) -> String,
    ) {
        let item = |why| Item {
            kind: kind.name(),
            fd,
            what: what(why),
        };
        match judged {
            ComesBack::Yes => self.rolled_back.push(item(None)),
            ComesBack::No(reasons) => {
                for why in reasons {
                    self.lose(item(Some(why)), kinds::why(kind, why));
                }
            }
            ComesBack::RefusesTake => {
                let why = kinds::why(kind, Why::State);
                self.refuse_kind(item(Some(Why::State)), kind, why);
            }
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
            let item = Item {
                kind: Kind::IoUring.name(),
                fd: None,
                what: family::kernel_threads(u32::try_from(workers).unwrap_or(u32::MAX)),
            };
            self.refuse_kind(item, Kind::IoUring, family::KERNEL_THREADS);
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

    /// Adds threads that a revert makes another user's.
    pub(super) fn users(&mut self, threads: &[Thread]) {
        let others = threads::of_other_users(threads);
        if others > 0 {
            let item = Item {
                kind: "thread-user",
                fd: None,
                what: family::other_users(others),
            };
            self.lose(item, family::OTHER_USERS);
        }
    }

    /// Adds descriptors. Returns how many processes could not be asked about them.
    pub(super) fn descriptors(
        &mut self,
        pid: i32,
        mine: &[Descriptor],
        except: &HashSet<i32>,
    ) -> u32 {
        let around = Surroundings::look(pid, mine, except, self.files);
        let mut have_locks = false;
        for one in mine {
            let judged = comes_back::descriptor(one.kind, &around.facts(one));
            let socket = around.socket(one);
            let others = match judged {
                ComesBack::No(_) => around.others(one),
                _ => Others::default(),
            };
            self.add(one.kind, Some(one.number), judged, |why| {
                describe(one, socket, why, others)
            });
            for lock in &one.info.locks {
                let what = format!("{lock} on {}", String::from_utf8_lossy(&one.target));
                self.add(Kind::Lock, Some(one.number), ComesBack::Yes, |_| {
                    what.clone()
                });
                have_locks = true;
            }
        }
        // They come back conditionally.
        if let Some(why) = comes_back::locks(have_locks) {
            let item = Item {
                kind: Kind::Lock.name(),
                fd: None,
                what: kinds::LOCKS.to_owned(),
            };
            self.lose(item, kinds::why(Kind::Lock, why));
        }
        around.elsewhere.unseen
    }

    pub(super) fn memory(&mut self, maps: &[u8], mine: &[Descriptor], except: &HashSet<i32>) {
        let memfds = mine.iter().filter(|one| one.kind == Kind::Memfd);
        let open = memfds.filter_map(|one| Some(one.file?.1)).collect();
        let shared = memory::shared(maps, &open);
        let wanted = shared.iter().map(|one| one.file).collect();
        let mapped = elsewhere::mapped(except, &wanted);
        let mut rooms = Rooms::new(self.files);
        let mut all = Vec::new();
        for one in shared {
            // The agent's own.
            if one.path.starts_with("/memfd:cargo-snapshot") {
                continue;
            }
            let other = mapped.get(&one.file).copied();
            let judged = match one.origin {
                Origin::Aio => (Kind::Aio, ComesBack::RefusesTake),
                _ => {
                    let why = one.why(&mut rooms, other.is_some());
                    let reasons = Reasons::NONE.and(why);
                    (Kind::SharedMemory, ComesBack::unless(reasons))
                }
            };
            all.push((one, other, judged));
        }
        all.sort_by_key(|(one, ..)| one.start);
        for (one, other, (kind, judged)) in all {
            let name = match one.path.as_str() {
                path if path.starts_with("/dev/zero") => "anonymous",
                path => path,
            };
            let who = other.map_or(String::new(), |pid| {
                format!(", also in {pid} (`{}`)", process_name(pid))
            });
            let what = format!("{:#x} {name}, {} bytes{who}", one.start, one.bytes);
            self.add(kind, None, judged, |_| what.clone());
        }
    }

    /// Adds System V objects that the process was the last to use.
    pub(super) fn system_v(&mut self, pid: i32) {
        let namespace = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/ipc")).ok();
        if namespace("self") != namespace(&pid.to_string()) {
            // The kernel lists the caller's namespace only.
            return;
        }
        for_each_system_v(pid, |kind, id| {
            let reasons = Reasons::NONE.and(comes_back::unrecorded(kind, false));
            self.add(kind, None, ComesBack::unless(reasons), |_| {
                kinds::system_v(kind, id)
            });
        });
    }

    /// Adds the children of a process.
    pub(super) fn children(&mut self, pid: i32, children: &[i32]) {
        for &child in children {
            let child = Child::look(child, child, pid);
            let why = child.why();
            let item = Item {
                kind: "child",
                fd: None,
                what: child.what,
            };
            self.lose(item, why);
        }
    }

    /// Adds the process that traces it.
    pub(super) fn traced_by(&mut self, tracer: i32) {
        let item = Item {
            kind: "ptrace",
            fd: None,
            what: family::traced(&title_of(tracer)),
        };
        self.lose(item, family::TRACED);
    }
}

/// Names it, and who else has it if that is the reason.
fn describe(
    one: &Descriptor,
    socket: Option<&Socket>,
    why: Option<Why>,
    others: Others<'_>,
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
    let is_pipe = matches!(one.kind, Kind::Pipe | Kind::Fifo);
    match (why, others.same, others.other_end) {
        (Some(Why::OtherEnd | Why::Input | Why::Output | Why::Connected), _, Some(holder)) => {
            what.push_str(&format!(", the other end in {}", holder.describe()));
        }
        (Some(Why::OtherEnd | Why::Input | Why::Output), Some(holder), None) if is_pipe => {
            what.push_str(&format!(", also in {}", holder.describe()));
        }
        (Some(Why::Elsewhere), Some(holder), _) => {
            what.push_str(&format!(", also in {}", holder.describe()));
        }
        (Some(Why::Backlog), ..) => match socket.map_or(0, Socket::waiting_connections) {
            1 => what.push_str(", 1 connection waits"),
            number => what.push_str(&format!(", {number} connections wait")),
        },
        (None, ..) if one.info.watches > 0 => {
            what.push_str(", where the paths of what it watches are known");
        }
        (None, ..) if socket.is_some_and(Socket::listens_by_tcp) => {
            what.push_str(", where SO_REUSEADDR is set");
        }
        _ => {}
    }
    what
}
