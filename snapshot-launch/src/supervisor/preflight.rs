//! What a revert will not bring back: looked for at each take, while the program stands
//! still, so that the user hears of it before relying on it.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use snapshot_core::wire::Crew;

use crate::event::NotRolledBack;
use crate::flags::AllowKind;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What stays as the dead branch left it.
    pub(crate) not_rolled_back: Vec<NotRolledBack>,
    /// What makes a take impossible: kind, why, help.
    pub(crate) refusal: Option<(&'static str, String, String)>,
    /// Resident memory.
    pub(crate) rss_bytes: u64,
}

impl Findings {
    fn add(&mut self, kind: &str, what: impl Into<String>, why: &str) {
        self.not_rolled_back.push(NotRolledBack {
            kind: kind.to_owned(),
            what: what.into(),
            why: why.to_owned(),
        });
    }
}

/// What the agent has open in the program, which is not the program's.
pub(crate) struct Own {
    /// The number of its descriptor.
    pub(crate) descriptor: i32,
    /// The inode of the socket that the copy will have.
    pub(crate) socket: u64,
    /// The inode of the family table's memory.
    pub(crate) table: u64,
}

/// Looks at the live process, whose threads are parked.
pub(crate) fn look(
    pid: i32,
    crew: &Crew,
    own: &Own,
    children: usize,
    same_ids: bool,
    allowed: &[AllowKind],
) -> Findings {
    // The first thread may have ended, and what it had is not shown under its number then.
    let proc = format!("/proc/{pid}/task/{}", crew.tid);
    let mut findings = Findings {
        rss_bytes: resident(&proc),
        ..Findings::default()
    };
    threads(crew, same_ids, allowed, &mut findings);
    let mut descriptors: Vec<i32> = fs::read_dir(format!("{proc}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&fd| fd != own.descriptor)
        .collect();
    descriptors.sort_unstable();
    for fd in descriptors {
        descriptor(&proc, fd, own.socket, allowed, &mut findings);
    }
    shared_memory(&proc, own.table, allowed, &mut findings);
    if children > 0 {
        let plural = if children == 1 {
            "process"
        } else {
            "processes"
        };
        findings.add(
            "child",
            format!("{children} child {plural}"),
            "a process that the program has started lives on, and after a revert the program can still wait for it; but it has another parent then, and neither its stops nor those waits that libc makes by itself (`system`, `pclose`) are served",
        );
    }
    findings
}

/// What can't be made again of the threads.
fn threads(crew: &Crew, same_ids: bool, allowed: &[AllowKind], findings: &mut Findings) {
    if crew.workers > 0 {
        let plural = if crew.workers == 1 {
            "thread"
        } else {
            "threads"
        };
        let what = format!("{} {plural} of the kernel's", crew.workers);
        if allowed.contains(&AllowKind::IoUring) {
            findings.add("io-uring", what, "they work for the live process alone");
        } else {
            findings.refusal = Some((
                "io-uring",
                format!("{what} work for the program: a copy would not have them"),
                IO_URING_HELP.to_owned(),
            ));
        }
    }
    if crew.robust > 0 && !same_ids {
        findings.add(
            "robust-mutex",
            format!("held by {}", threads_are(crew.robust)),
            "after a revert the thread has a new id: should it end without unlocking, the kernel does not tell the next owner",
        );
    }
    if crew.priority_inheritance && !same_ids {
        findings.add(
            "pi-mutex",
            "mutexes with priority inheritance",
            "after a revert threads have new ids: the kernel does not find the owner of one that was held at the snapshot, or is contended",
        );
    }
    if crew.other_users > 0 {
        findings.add(
            "thread-user",
            format!("{} of another user", threads_are(crew.other_users)),
            "after a revert all threads are the user that the first one is",
        );
    }
}

fn threads_are(count: u32) -> String {
    match count {
        1 => "one thread".to_owned(),
        count => format!("{count} threads"),
    }
}

const IO_URING_HELP: &str = "start with --allow io-uring to go on without rolling it back";

fn descriptor(
    proc: &str,
    fd: i32,
    own_socket: u64,
    allowed: &[AllowKind],
    findings: &mut Findings,
) {
    let link = format!("{proc}/fd/{fd}");
    let Ok(target) = fs::read_link(&link) else {
        return;
    };
    let target = target.to_string_lossy();
    let what = || format!("fd {fd}: {target}");
    if let Some(kind) = target.strip_prefix("anon_inode:") {
        let kind = kind.trim_matches(['[', ']']);
        if kind == "io_uring" {
            if allowed.contains(&AllowKind::IoUring) {
                findings.add(
                    "io-uring",
                    what(),
                    "a ring's memory is shared with the kernel and can't be copied",
                );
            } else {
                findings.refusal = Some((
                    "io-uring",
                    format!(
                        "an io_uring ring is open (fd {fd}): its memory is shared with the kernel and can't be copied"
                    ),
                    IO_URING_HELP.to_owned(),
                ));
            }
            return;
        }
        findings.add(
            kind,
            what(),
            "the frozen copy shares it with the live process: what changes there stays changed",
        );
    } else if target == format!("socket:[{own_socket}]").as_str() {
        // The copy's, on its way to it.
    } else if target.starts_with("socket:") {
        findings.add("socket", what(), "what has been sent and received stays so");
    } else if target.starts_with("pipe:") {
        // 0, 1 and 2 come from outside, like a terminal: that input is consumed and
        // output printed goes without saying.
        if fd > 2 {
            findings.add("pipe", what(), "what has been written and read stays so");
        }
    } else if target.starts_with('/') {
        let Ok(metadata) = fs::metadata(&link) else {
            return;
        };
        let kind = metadata.file_type();
        if kind.is_file() && is_writable(proc, fd) {
            if fd > 2 {
                findings.add("file", what(), "its offset comes back, its contents do not");
            }
        } else if kind.is_fifo() && fd > 2 {
            findings.add("pipe", what(), "what has been written and read stays so");
        } else if kind.is_char_device() && is_gpu(&target) {
            findings.add("device", what(), "a device's state can't be copied");
        }
    }
}

fn is_writable(proc: &str, fd: i32) -> bool {
    let info = fs::read_to_string(format!("{proc}/fdinfo/{fd}")).unwrap_or_default();
    info.lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok())
        .is_some_and(|flags| flags & 0o3 != 0)
}

fn is_gpu(target: &str) -> bool {
    target.starts_with("/dev/nvidia") || target.starts_with("/dev/dri/") || target == "/dev/kfd"
}

/// Writable memory that is shared: a copy of it is none.
fn shared_memory(proc: &str, own_table: u64, allowed: &[AllowKind], findings: &mut Findings) {
    let maps = fs::read_to_string(format!("{proc}/maps")).unwrap_or_default();
    for line in maps.lines() {
        let mut fields = line.splitn(6, ' ');
        let (Some(range), Some(rights)) = (fields.next(), fields.next()) else {
            continue;
        };
        if rights.contains('w') && rights.ends_with('s') {
            let inode = fields.nth(2).unwrap_or("");
            let path = fields.next().unwrap_or("").trim();
            if path.starts_with("/memfd:") && inode.parse() == Ok(own_table) {
                continue;
            }
            if path.starts_with("/[aio]") {
                if allowed.contains(&AllowKind::Aio) {
                    findings.add("aio", range, "the copy has no context for its requests");
                } else {
                    findings.refusal = Some((
                        "aio",
                        "the program has a context for asynchronous input and output (io_setup): a copy can't have it"
                            .to_owned(),
                        "start with --allow aio to go on without rolling it back".to_owned(),
                    ));
                }
                continue;
            }
            // Memory of a device is named by its descriptor.
            if Path::new(path).starts_with("/dev") && !path.starts_with("/dev/shm") {
                continue;
            }
            let path = if path.is_empty() { "anonymous" } else { path };
            findings.add(
                "shared-memory",
                format!("{range} {path}"),
                "both branches write to the same memory",
            );
        }
    }
}

fn resident(proc: &str) -> u64 {
    let statm = fs::read_to_string(format!("{proc}/statm")).unwrap_or_default();
    let pages: u64 = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(0);
    // The kernel counts in pages of 4096 bytes on this processor.
    pages * 4096
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_an_open_file_a_socket_and_a_pipe() {
        let own = i32::try_from(std::process::id()).expect("a pid fits");
        let path = std::env::temp_dir().join(format!("preflight-{own}"));
        let _file = fs::File::create(&path).expect("the temp directory is writable");
        let _pair = std::os::unix::net::UnixStream::pair().expect("sockets are to be had");
        let _pipe = std::io::pipe().expect("pipes are to be had");
        let crew = Crew {
            tid: nix::unistd::gettid().as_raw(),
            threads: 2,
            workers: 0,
            robust: 1,
            other_users: 0,
            has_children: true,
            priority_inheritance: true,
            lost_calls: 0,
        };
        let nothing = Own {
            descriptor: -1,
            socket: 0,
            table: 0,
        };
        let findings = look(own, &crew, &nothing, 1, false, &[]);
        fs::remove_file(&path).expect("it was just made");
        for kind in [
            "file",
            "socket",
            "pipe",
            "child",
            "robust-mutex",
            "pi-mutex",
        ] {
            assert!(
                findings
                    .not_rolled_back
                    .iter()
                    .any(|item| item.kind == kind),
                "{kind} is missing: {findings:?}"
            );
        }
        assert!(findings.rss_bytes > 0);
        assert!(findings.refusal.is_none());
    }
}
