//! What a revert will not bring back: looked for at each take, while the program stands
//! still, so that the user hears of it before relying on it.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

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

/// Looks at the live process. `link_fd` is the agent's own descriptor.
pub(crate) fn look(pid: i32, link_fd: i32, children: usize, allowed: &[AllowKind]) -> Findings {
    let mut findings = Findings {
        rss_bytes: resident(pid),
        ..Findings::default()
    };
    let mut descriptors: Vec<i32> = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&fd| fd != link_fd)
        .collect();
    descriptors.sort_unstable();
    for fd in descriptors {
        descriptor(pid, fd, allowed, &mut findings);
    }
    shared_memory(pid, &mut findings);
    if children > 0 {
        let plural = if children == 1 {
            "process"
        } else {
            "processes"
        };
        findings.add(
            "child",
            format!("{children} child {plural}"),
            "a process that the program has started lives on, and after a revert is no longer its child",
        );
    }
    let timers = fs::read_to_string(format!("/proc/{pid}/timers")).unwrap_or_default();
    let timers = timers.matches("ID:").count();
    if timers > 0 {
        findings.add(
            "timer",
            format!("{timers} made by timer_create"),
            "a copy has none of them",
        );
    }
    findings
}

fn descriptor(pid: i32, fd: i32, allowed: &[AllowKind], findings: &mut Findings) {
    let link = format!("/proc/{pid}/fd/{fd}");
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
                    "start with --allow io-uring to go on without rolling it back".to_owned(),
                ));
            }
            return;
        }
        findings.add(
            kind,
            what(),
            "the frozen copy shares it with the live process: what changes there stays changed",
        );
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
        if kind.is_file() && is_writable(pid, fd) {
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

fn is_writable(pid: i32, fd: i32) -> bool {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
    info.lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok())
        .is_some_and(|flags| flags & 0o3 != 0)
}

fn is_gpu(target: &str) -> bool {
    target.starts_with("/dev/nvidia") || target.starts_with("/dev/dri/") || target == "/dev/kfd"
}

/// Writable memory that is shared: a copy of it is none.
fn shared_memory(pid: i32, findings: &mut Findings) {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    for line in maps.lines() {
        let mut fields = line.splitn(6, ' ');
        let (Some(range), Some(rights)) = (fields.next(), fields.next()) else {
            continue;
        };
        if rights.contains('w') && rights.ends_with('s') {
            let path = fields.nth(3).unwrap_or("").trim();
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

fn resident(pid: i32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
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
        let findings = look(own, -1, 1, &[]);
        fs::remove_file(&path).expect("it was just made");
        for kind in ["file", "socket", "pipe", "child"] {
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
