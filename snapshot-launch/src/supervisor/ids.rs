//! Whether ids stay the same after a revert. The take finds out and says so.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::libc;

use crate::processes::{family::Process, files, files::numbers_in};
use crate::talk::event::NotRolledBack;

/// The rights that let a process choose ids: CAP_CHECKPOINT_RESTORE, CAP_SYS_ADMIN.
const CHOOSE: u64 = 1 << 40 | 1 << 21;

/// What `/proc/PID/stat` says of a process's place.
#[derive(Debug, Clone, Copy)]
struct Membership {
    group: i32,
    session: i32,
    /// The number of its controlling terminal; 0 for none.
    terminal: u64,
}

impl Membership {
    fn of(proc: &str) -> Option<Self> {
        let stat = files::text(format!("{proc}/stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(2);
        Some(Self {
            group: fields.next()?.parse().ok()?,
            session: fields.next()?.parse().ok()?,
            // Printed as a signed number.
            terminal: fields.next()?.parse::<i64>().ok()?.try_into().ok()?,
        })
    }
}

fn ids(what: impl Into<String>, why: &str) -> NotRolledBack {
    NotRolledBack {
        kind: "ids".to_owned(),
        what: what.into(),
        why: why.to_owned(),
    }
}

/// What will not come back. `copy` is the frozen copy's pid, which `family` may contain by
/// mistake.
pub(super) fn look(
    pid: i32,
    has_namespaces: bool,
    has_other_users: bool,
    family: &HashSet<Process>,
    copy: i32,
) -> Vec<NotRolledBack> {
    let mut found = Vec::new();
    let proc = format!("/proc/{pid}");
    let whose = "process id and thread ids";
    if !has_namespaces {
        found.push(ids(
            whose,
            "the session has no namespaces: after a revert the program has new ids; `cargo snapshot doctor` says how to get them",
        ));
    } else if has_other_users || !may_choose(&proc) {
        found.push(ids(
            whose,
            "the program has given up the right to choose ids (CAP_CHECKPOINT_RESTORE): after a revert it has new ones; keep that right, or expect them",
        ));
    } else if let Some(others) = others_in_its_groups(pid, family, copy) {
        found.push(ids(
            format!("process id {pid}"),
            match others {
                Others::Group => {
                    "a child is in the process group that the program leads, and keeps its number taken: after a revert the program has a new one; wait for that child before the take"
                }
                Others::Session => {
                    "a child is in the session that the program leads, and keeps its number taken: after a revert the program has a new one; wait for that child before the take"
                }
            },
        ));
    }
    if let Some(place) = Membership::of(&proc)
        && place.session == pid
        && place.terminal != 0
        && !has_open(&proc, place.terminal)
    {
        found.push(NotRolledBack {
            kind: "terminal".to_owned(),
            what: "the controlling terminal of the program's session".to_owned(),
            why: "the program has no descriptor of it, so that after a revert its session has none; keep one open".to_owned(),
        });
    }
    found
}

fn may_choose(proc: &str) -> bool {
    let status = files::text(format!("{proc}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        // If it can't be read, claim nothing.
        .is_none_or(|set| set & CHOOSE != 0)
}

#[derive(Debug, Clone, Copy)]
enum Others {
    Group,
    Session,
}

/// Who else is in the group or the session of this number.
fn others_in_its_groups(pid: i32, family: &HashSet<Process>, copy: i32) -> Option<Others> {
    let mut others = family
        .iter()
        .filter(|process| process.pid != pid && process.pid != copy)
        .peekable();
    others.peek()?;
    let own = Membership::of(&format!("/proc/{pid}"))?;
    if own.group != pid && own.session != pid {
        return None;
    }
    others.find_map(|other| {
        let place = Membership::of(&format!("/proc/{}", other.pid))?;
        if place.group == pid {
            Some(Others::Group)
        } else if place.session == pid {
            Some(Others::Session)
        } else {
            None
        }
    })
}

/// Whether one of its descriptors is that terminal.
fn has_open(proc: &str, terminal: u64) -> bool {
    // As the kernel packs it: twelve bits of the device's kind between those of its number.
    let major = u32::try_from(terminal >> 8 & 0xfff).unwrap_or(0);
    let minor = u32::try_from(terminal & 0xff | terminal >> 12 & 0xf_ff00).unwrap_or(0);
    let device = libc::makedev(major, minor);
    numbers_in(&format!("{proc}/fd"))
        .into_iter()
        .flatten()
        .any(|fd| fs::metadata(format!("{proc}/fd/{fd}")).is_ok_and(|file| file.rdev() == device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_namespaces_ids_are_new() {
        let own = nix::unistd::getpid().as_raw();
        let found = look(own, false, false, &HashSet::new(), 0);
        assert_eq!(found[0].kind, "ids");
        let given_up = look(own, true, true, &HashSet::new(), 0);
        assert!(given_up[0].why.contains("CAP_CHECKPOINT_RESTORE"));
    }

    #[test]
    fn its_own_place_is_read() {
        let place = Membership::of("/proc/self").expect("it is there");
        assert!(place.group >= 0 && place.session >= 0);
    }
}
