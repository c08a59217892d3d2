//! The files that are open for writing, or mapped shared, when a level begins: what is written
//! to them from then on asks nobody, so their content is kept now. Big files are guarded instead,
//! if all that writes to them asks.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open};
use nix::libc;
use nix::sys::stat::{Mode, fstatat};

use super::by_descriptor::path_now;
use super::coverage::Coverage;
use super::credentials::field;
use super::guards::{Guards, SMALLEST};
use super::levels::Levels;
use super::news::News;
use super::paths::look;
use super::records::Want;
use super::scope::Scope;
use super::stat::{FileId, Kind, Stat};
use crate::talk::event::NotRolledBack;

/// Files up to this size are copied where they can't be guarded: in a take, or when a process
/// gets one that doesn't ask. So much takes one to three seconds, which is as long as somebody waits
/// for a file; what would take longer is named instead.
pub(super) const MOST_COPIED: u64 = 1 << 30;

/// Keeps what these processes may write to.
pub(super) fn keep(
    processes: &[i32],
    levels: &mut Levels,
    guards: &mut Guards,
    scope: &mut Scope,
    news: &mut News,
) -> Vec<NotRolledBack> {
    let mut keeper = Keeper {
        levels,
        guards,
        scope,
        news,
        gaps: Vec::new(),
        seen: HashSet::new(),
        big: Vec::new(),
    };
    for pid in processes {
        keeper.keep_open(*pid);
        keeper.keep_mapped(*pid);
    }
    keeper.keep_big();
    keeper.gaps
}

/// Keeps the guarded files that a program inherits when this process begins it.
pub(super) fn keep_inherited(tid: i32, levels: &mut Levels, guards: &mut Guards, news: &mut News) {
    let directory = format!("/proc/{tid}/fd");
    let Ok(entries) = fs::read_dir(&directory) else {
        return;
    };
    for entry in entries.flatten() {
        let number = entry.file_name();
        let path = Path::new(&directory).join(&number);
        let found = is_written_to(&path).then(|| object(&path));
        let Some(Ok(object)) = found else { continue };
        let Ok(stat) = look(object.as_fd()) else {
            continue;
        };
        let info = Info::read(&format!("/proc/{tid}/fdinfo/{}", number.display()));
        if !guards.has(stat.id) || info.closes_on_exec || info.want == Want::Size {
            continue;
        }
        if stat.size > MOST_COPIED {
            let path = path_now(object.as_fd()).unwrap_or_default();
            news.went_past(&format!(
                "what programs that it starts write to {}, which they inherit: it is too large to be copied",
                path.display()
            ));
            continue;
        }
        let kept = levels.keep_content(object.as_fd(), &stat, Want::All);
        match news.kept(kept) {
            Ok(()) => guards.kept(stat.id, 0, u64::MAX),
            Err(errno) => {
                let path = path_now(object.as_fd()).unwrap_or_default();
                news.went_past(&format!("the content of {}: {errno}", path.display()));
            }
        }
    }
}

struct Keeper<'a> {
    levels: &'a mut Levels,
    guards: &'a mut Guards,
    scope: &'a mut Scope,
    news: &'a mut News,
    gaps: Vec<NotRolledBack>,
    /// What has been kept whole.
    seen: HashSet<FileId>,
    /// What is guarded, if everybody who has it asks.
    big: Vec<Big>,
}

/// A big file that any of its bytes may be written to.
struct Big {
    object: OwnedFd,
    stat: Stat,
    all_ask: bool,
}

impl Keeper<'_> {
    /// A process that has ended has nothing open.
    fn keep_open(&mut self, pid: i32) {
        let directory = format!("/proc/{pid}/fd");
        let Ok(entries) = fs::read_dir(&directory) else {
            return;
        };
        let asks = self.guards.reach(pid);
        for entry in entries.flatten() {
            let number = entry.file_name();
            let path = Path::new(&directory).join(&number);
            if is_written_to(&path)
                && let Ok(object) = object(&path)
            {
                let info = format!("/proc/{pid}/fdinfo/{}", number.display());
                self.keep(object, asks, || Info::read(&info));
            }
        }
    }

    /// Mappings whose descriptors may be closed.
    fn keep_mapped(&mut self, pid: i32) {
        let Ok(maps) = fs::read_to_string(format!("/proc/{pid}/maps")) else {
            return;
        };
        for line in maps.lines() {
            let mut fields = line.split_ascii_whitespace();
            let (Some(range), Some(rights)) = (fields.next(), fields.next()) else {
                continue;
            };
            let path = fields.nth(3).unwrap_or_default();
            if path == "anon_inode:[io_uring]" {
                self.levels.stays_blind();
            }
            let is_shared_for_writing =
                rights.as_bytes().get(1) == Some(&b'w') && rights.ends_with('s');
            if !is_shared_for_writing || !path.starts_with('/') {
                continue;
            }
            let exact = format!("/proc/{pid}/map_files/{range}");
            // Only privileged processes may open these.
            let at = line.find('/').unwrap_or(line.len());
            let opened = object(Path::new(&exact)).or_else(|_| object(Path::new(&line[at..])));
            if let Ok(object) = opened {
                self.keep(object, false, || Info::MAPPED);
            }
        }
    }

    fn keep(&mut self, object: OwnedFd, asks: bool, info: impl FnOnce() -> Info) {
        let Ok(stat) = look(object.as_fd()) else {
            return;
        };
        let is_file = stat.kind == Kind::File;
        if !is_file && stat.kind != Kind::Fifo {
            return;
        }
        let is_covered = self.scope.covers(object.as_fd(), &stat, self.news);
        if !is_covered.unwrap_or(false) || self.seen.contains(&stat.id) {
            return;
        }
        if !is_file {
            let kept = self.levels.keep_properties(object.as_fd(), &stat);
            self.name_unless(kept, &object);
            return;
        }
        let Info {
            want, has_lease, ..
        } = info();
        // Whoever opens the file breaks the lease.
        if has_lease && want == Want::All {
            self.gaps.push(gap(
                &object,
                "the program has a lease on it, which ends when somebody reads it",
            ));
            return;
        }
        if want == Want::All && stat.size >= SMALLEST {
            match self.big.iter_mut().find(|big| big.stat.id == stat.id) {
                Some(big) => big.all_ask &= asks,
                None => self.big.push(Big {
                    object,
                    stat,
                    all_ask: asks,
                }),
            }
            return;
        }
        if want == Want::All {
            self.seen.insert(stat.id);
        }
        let kept = self.levels.keep_content(object.as_fd(), &stat, want);
        self.name_unless(kept, &object);
    }

    fn keep_big(&mut self) {
        for Big {
            object,
            stat,
            all_ask,
        } in std::mem::take(&mut self.big)
        {
            if all_ask && self.guards.add(object.as_fd(), &stat) {
                let kept = self.levels.guard(object.as_fd(), &stat);
                self.name_unless(kept, &object);
            } else if stat.size > MOST_COPIED {
                self.gaps.push(gap(
                    &object,
                    "it is too large to be copied, and not only the program's own code in its own process writes to it",
                ));
            } else {
                let kept = self.levels.keep_content(object.as_fd(), &stat, Want::All);
                self.name_unless(kept, &object);
            }
        }
    }

    /// Names what could not be kept.
    fn name_unless(&mut self, kept: io::Result<Coverage>, object: &OwnedFd) {
        if let Err(errno) = self.news.kept(kept) {
            let why = format!("it is open for writing, and its content can't be kept: {errno}");
            self.gaps.push(gap(object, why));
        }
    }
}

fn gap(object: &OwnedFd, why: impl Into<String>) -> NotRolledBack {
    let path = path_now(object.as_fd()).unwrap_or_default();
    NotRolledBack {
        kind: "files".to_owned(),
        what: path.display().to_string(),
        why: why.into(),
    }
}

/// Whether the link of a descriptor says that it may write.
fn is_written_to(path: &Path) -> bool {
    use nix::fcntl::AT_FDCWD;
    fstatat(AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW)
        .is_ok_and(|link| link.st_mode & libc::S_IWUSR != 0)
}

fn object(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
}

/// How a descriptor uses its file.
#[derive(Debug, Clone, Copy)]
struct Info {
    /// What must be kept before it goes on.
    want: Want,
    has_lease: bool,
    closes_on_exec: bool,
}

impl Info {
    const MAPPED: Self = Self {
        want: Want::All,
        has_lease: false,
        closes_on_exec: true,
    };

    fn read(info: &str) -> Self {
        let text = fs::read_to_string(info).unwrap_or_default();
        let flags = field(&text, "flags:").and_then(|flags| i32::from_str_radix(flags, 8).ok());
        let flags = OFlag::from_bits_retain(flags.unwrap_or(0));
        let only_appends =
            flags.contains(OFlag::O_APPEND) && flags & OFlag::O_ACCMODE == OFlag::O_WRONLY;
        Self {
            want: match only_appends {
                true => Want::Size,
                false => Want::All,
            },
            has_lease: text
                .lines()
                .any(|line| line.starts_with("lock:") && line.contains("LEASE")),
            closes_on_exec: flags.contains(OFlag::O_CLOEXEC),
        }
    }
}
