//! Looks for what refuses a take, and for threads, children and allowed kinds that a revert
//! will not bring back. Runs at each take, while the program stands still, so the user knows
//! before relying on it.
//!
//! The copy itself reports ordinary descriptors and shared memory: it records them.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use snapshot_core::kernel::proc_text;
use snapshot_core::terms::{Kind, Origin, ThreadCounts, Why};

use super::gaps::range_of;
use crate::flags::AllowKind;
use crate::processes::{
    family::{title_of, tracer_in},
    files,
    files::numbers_in,
};
use crate::refusal::{Refusal, family, kinds, obstacles::unseen};
use crate::talk::event::NotRolledBack;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What stays as the dead branch left it.
    pub(crate) not_rolled_back: Vec<NotRolledBack>,
    /// What makes a take impossible.
    pub(crate) refusal: Option<Refusal>,
    /// Resident memory; unknown if the program has died meanwhile.
    pub(crate) rss_bytes: Option<u64>,
    /// What is mapped.
    pub(crate) maps: Vec<u8>,
}

impl Findings {
    fn add(&mut self, kind: &str, what: impl Into<String>, why: &str) {
        self.not_rolled_back.push(NotRolledBack {
            kind: kind.to_owned(),
            what: what.into(),
            why: why.to_owned(),
        });
    }

    /// The result of a look. A failed one refuses the take, since it may have missed something.
    /// One at something that is gone finds nothing.
    fn seen<T>(&mut self, look: io::Result<T>) -> Option<T> {
        let error = match look {
            Ok(seen) => return Some(seen),
            Err(error) => error,
        };
        if !files::is_gone(&error) && self.refusal.is_none() {
            self.refusal = Some(unseen(&error));
        }
        None
    }

    /// Refuses, if this kind does and is not allowed; else names it. Only the first refusal
    /// counts.
    fn refuse(&mut self, kind: Kind, what: String, allowed: &[AllowKind]) {
        let Some(rule) = kinds::rule(kind) else {
            return;
        };
        let why = kinds::why(kind, Why::State);
        if allowed.contains(&rule.allow) {
            self.add(kind.name(), what, why);
        } else if self.refusal.is_none() {
            let why = format!("{} ({what}): {why}", rule.what);
            self.refusal = Some(Refusal::new(kind.name(), why, rule.help));
        }
    }
}

/// Looks at the live process while its threads are parked; `proc` is its place in `/proc`.
pub(crate) fn look(
    proc: &str,
    counts: &ThreadCounts,
    same_ids: bool,
    allowed: &[AllowKind],
) -> Findings {
    let status = files::bytes(format!("{proc}/status"));
    let mut findings = Findings::default();
    let maps = files::bytes(format!("{proc}/maps"));
    let maps = findings.seen(maps).unwrap_or_default();
    let status = findings.seen(status);
    findings.rss_bytes = status.as_deref().and_then(resident_bytes_in);
    let status = status.unwrap_or_default();
    threads(counts, same_ids, allowed, &mut findings);
    descriptors(proc, allowed, &mut findings);
    for range in aio_contexts(&maps) {
        findings.refuse(Kind::Aio, range, allowed);
    }
    if let Some(tracer) = tracer_in(&status) {
        findings.add("ptrace", family::traced(&title_of(tracer)), family::TRACED);
    }
    findings.maps = maps;
    findings
}

/// The resident memory of a process; `proc` is its place in `/proc`.
pub(crate) fn resident_bytes(proc: &str) -> Option<u64> {
    resident_bytes_in(&files::bytes(format!("{proc}/status")).ok()?)
}

/// `None` if the process has ended.
fn resident_bytes_in(status: &[u8]) -> Option<u64> {
    Some(proc_text::resident_bytes(status)).filter(|&bytes| bytes != 0)
}

/// Threads that can't come back.
fn threads(counts: &ThreadCounts, same_ids: bool, allowed: &[AllowKind], findings: &mut Findings) {
    if counts.workers > 0 {
        let what = family::kernel_threads(counts.workers);
        if allowed.contains(&AllowKind::IoUring) {
            findings.add("io-uring", what, family::KERNEL_THREADS);
        } else {
            let help = kinds::rule(Kind::IoUring).map_or("", |rule| rule.help);
            findings.refusal = Some(Refusal::new(
                "io-uring",
                format!("{what} work for the program: a copy would not have them"),
                help,
            ));
        }
    }
    if counts.robust > 0 && !same_ids {
        findings.add(
            "robust-mutex",
            format!("held by {}", family::threads(counts.robust)),
            "after a revert the thread has a new id: should it end without unlocking, the kernel does not tell the next owner",
        );
    }
    if counts.priority_inheritance && !same_ids {
        findings.add(
            "pi-mutex",
            "mutexes with priority inheritance",
            "after a revert threads have new ids: the kernel does not find the owner of one that was held at the snapshot, or is contended",
        );
    }
    if counts.other_users > 0 {
        findings.add(
            "thread-user",
            family::other_users(counts.other_users),
            family::OTHER_USERS,
        );
    }
}

/// Descriptors of kinds that refuse a take.
fn descriptors(proc: &str, allowed: &[AllowKind], findings: &mut Findings) {
    let numbers = findings.seen(numbers_in(&format!("{proc}/fd")));
    let mut numbers: Vec<i32> = numbers.into_iter().flatten().collect();
    numbers.sort_unstable();
    for fd in numbers {
        let link = format!("{proc}/fd/{fd}");
        let Some(target) = findings.seen(fs::read_link(&link)) else {
            continue;
        };
        let target = target.as_os_str().as_bytes();
        // Other names are of no such kind. The mode is expensive to read: there may be
        // thousands.
        let mode = if target.starts_with(b"/dev/") {
            fs::metadata(&link).map_or(0, |metadata| metadata.mode())
        } else if target.starts_with(b"anon_inode:") {
            0
        } else {
            continue;
        };
        let what = format!("fd {fd}: {}", String::from_utf8_lossy(target));
        findings.refuse(Kind::of(target, mode), what, allowed);
    }
}

/// The addresses of `io_setup` contexts: they have no descriptor.
fn aio_contexts(maps: &[u8]) -> impl Iterator<Item = String> {
    proc_text::file_mappings(maps)
        .filter(|mapping| Origin::of(mapping.path) == Some(Origin::Aio))
        .map(|mapping| range_of(&mapping))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "/proc/thread-self";

    fn counts() -> ThreadCounts {
        ThreadCounts {
            tid: nix::unistd::gettid().as_raw(),
            threads: 2,
            workers: 0,
            robust: 1,
            other_users: 0,
            has_children: true,
            priority_inheritance: true,
            lost_calls: 0,
        }
    }

    fn kinds(findings: &Findings) -> Vec<&str> {
        findings
            .not_rolled_back
            .iter()
            .map(|item| item.kind.as_str())
            .collect()
    }

    #[test]
    fn tells_of_threads_and_not_of_what_the_copy_tells() {
        let _pair = std::os::unix::net::UnixStream::pair().expect("sockets are to be had");
        let findings = look(OWN, &counts(), false, &[]);
        assert_eq!(kinds(&findings), ["robust-mutex", "pi-mutex"]);
        assert!(findings.rss_bytes.is_some_and(|bytes| bytes > 0));
        assert!(findings.refusal.is_none());
    }

    #[test]
    fn threads_of_the_kernel_refuse_unless_they_are_allowed() {
        let counts = ThreadCounts {
            workers: 1,
            ..counts()
        };
        let Refusal { kind, help, .. } = look(OWN, &counts, true, &[AllowKind::Aio])
            .refusal
            .expect("it is not allowed");
        assert_eq!(kind, "io-uring");
        assert!(help.contains("--deny io-uring"), "{help}");
        let findings = look(OWN, &counts, true, &[AllowKind::IoUring]);
        assert!(findings.refusal.is_none());
        assert_eq!(kinds(&findings), ["io-uring"]);
    }

    #[test]
    fn what_is_refused_is_named_when_it_is_allowed() {
        for (kind, allow) in [
            (Kind::IoUring, AllowKind::IoUring),
            (Kind::Userfaultfd, AllowKind::Userfaultfd),
            (Kind::Gpu, AllowKind::Gpu),
            (Kind::Kvm, AllowKind::Kvm),
            (Kind::Aio, AllowKind::Aio),
        ] {
            let mut findings = Findings::default();
            findings.refuse(kind, "fd 3".to_owned(), &[allow]);
            assert!(findings.refusal.is_none());
            assert_eq!(kinds(&findings), [kind.name()]);
            let mut findings = Findings::default();
            findings.refuse(kind, "fd 3".to_owned(), &[]);
            findings.refuse(kind, "fd 4".to_owned(), &[]);
            let refusal = findings.refusal.expect("it is not allowed");
            assert_eq!(refusal.kind, kind.name());
            assert!(refusal.why.contains("fd 3"), "the first one: {refusal:?}");
            assert!(findings.not_rolled_back.is_empty());
        }
        let mut findings = Findings::default();
        findings.refuse(Kind::Epoll, "fd 3".to_owned(), &[]);
        assert!(findings.refusal.is_none());
    }

    #[test]
    fn contexts_are_found_by_their_name() {
        // A path may be of any bytes.
        let maps = b"00001000-00002000 rw-s 00000000 00:11 42    /[aio] (deleted)\n\
            7f02-7f03 rw-p 00000000 00:00 0 \n7f04-7f05 rw-p 0 0:0 1 /tmp/[aio]\n\
            7f05-7f06 r--p 0 0:0 2 /tmp/\xff\n7f06\n";
        let found: Vec<String> = aio_contexts(maps).collect();
        assert_eq!(found, ["00001000-00002000"]);
    }
}
