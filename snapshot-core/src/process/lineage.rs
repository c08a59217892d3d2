//! Whether a process descends from another one.
//!
//! A signal names its sender. A sender in the session makes the signal the program's own; a
//! sender outside doesn't. `/proc` tells, from parent to parent. A process whose parent has
//! ended is the supervisor's child by then, so it is still found.
//!
//! Context: AS-SAFE. Called by the agent's handlers, the supervisor and the launcher.

use crate::kernel::{proc_text, procfs};
use crate::sys;

/// The name of the first process of a session's namespace; no other process there has it.
pub const INIT_NAME: &str = "snap-init";

/// The most generations to follow. The chain has no circle, but can look like one if it changes
/// meanwhile.
const GENERATIONS: u32 = 10_000;
/// How often to read a chain again if one of its processes has ended meanwhile.
const ATTEMPTS: u32 = 4;

/// How a process is related to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lineage {
    /// It is one of them, or descends from one.
    Below,
    /// It descends from none.
    Apart,
    /// It has ended, or can't be read.
    Gone,
}

/// How a process is related to `roots`. Costs a read of `/proc` for each generation.
pub fn of(pid: i32, roots: &[i32]) -> Lineage {
    // A signal often comes from the calling process's own parent or sibling: the ancestors of
    // its parent are not below this process.
    let parent = if roots == [sys::getpid()] {
        sys::getppid()
    } else {
        0
    };
    for _ in 0..ATTEMPTS {
        let mut at = pid;
        for _ in 0..GENERATIONS {
            if roots.contains(&at) {
                return Lineage::Below;
            }
            if at <= 1 || at == parent {
                return Lineage::Apart;
            }
            match parent_of(at) {
                Some(parent) => at = parent,
                None if at == pid => return Lineage::Gone,
                // Its child has another parent by now.
                None => break,
            }
        }
    }
    Lineage::Gone
}

fn parent_of(pid: i32) -> Option<i32> {
    let mut buffer = [0; 320];
    procfs::of_process(pid, b"/stat", |path| {
        procfs::read(path, &mut buffer)
            .ok()
            .and_then(proc_text::stat)
    })
    // A process that is just being reaped has no parent any more.
    .filter(|stat| stat.parent != 0 || !matches!(stat.state, b'Z' | b'X'))
    .map(|stat| stat.parent)
}

/// Whether the calling process is in a session's namespace: every process with a number there
/// is the session's, unless it has entered from outside.
pub fn is_in_own_namespace() -> bool {
    let mut buffer = [0; 32];
    sys::getpid() != 1
        && procfs::read(c"/proc/1/comm", &mut buffer)
            .is_ok_and(|name| name.trim_ascii() == INIT_NAME.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_below_and_its_parent_is_not() {
        let own = sys::getpid();
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .expect("sleep is there");
        let pid = child.id().cast_signed();
        assert_eq!(of(pid, &[own]), Lineage::Below);
        assert_eq!(of(own, &[own]), Lineage::Below);
        assert_eq!(of(own, &[pid]), Lineage::Apart);
        assert_eq!(of(sys::getppid(), &[own]), Lineage::Apart);
        assert_eq!(of(1, &[own]), Lineage::Apart);
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
        assert_eq!(of(pid, &[own]), Lineage::Gone);
    }

    #[test]
    fn a_test_is_in_no_session() {
        assert!(!is_in_own_namespace());
    }
}
