//! Shortages that a test makes and ends: of descriptors by a process's limit, of processes by a
//! control group.
#![expect(unsafe_code, reason = "sets another process's limit")]

use std::fs;
use std::path::{Path, PathBuf};

/// The soft limit on descriptors of another process, for a while.
#[derive(Debug)]
pub struct FewDescriptors {
    pid: i32,
    before: libc::rlimit,
}

impl FewDescriptors {
    /// Leaves it as many as it has, and `more`; none, if it is gone.
    pub fn leave(pid: i32, more: u64) -> Option<Self> {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let highest = open
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok())
            .max()?;
        let before = limit(pid, None)?;
        let now = libc::rlimit {
            rlim_cur: (highest + 1 + more).min(before.rlim_max),
            ..before
        };
        limit(pid, Some(now))?;
        Some(Self { pid, before })
    }
}

impl Drop for FewDescriptors {
    fn drop(&mut self) {
        // It may be gone, and then has no limit.
        let _ = limit(self.pid, Some(self.before));
    }
}

/// Lets a process have as many as it may: one that comes back from a shortage has the limit of
/// that time.
pub fn end_shortage_of(pid: i32) {
    if let Some(now) = limit(pid, None) {
        let plenty = libc::rlimit {
            rlim_cur: now.rlim_max,
            ..now
        };
        // It may be gone, and then needs none.
        let _ = limit(pid, Some(plenty));
    }
}

/// Sets a process's limit if asked to, and says what it was.
fn limit(pid: i32, new: Option<libc::rlimit>) -> Option<libc::rlimit> {
    let mut old = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: reads one limit or none and writes one, all live locals.
    let done = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, new, &raw mut old) };
    (done == 0).then_some(old)
}

/// A control group that allows so many processes and threads. Its processes go back to where
/// they were when it is dropped.
#[derive(Debug)]
pub struct FewProcesses {
    group: PathBuf,
}

impl FewProcesses {
    /// Puts these processes into one that has room for `more`. None where the machine gives
    /// no such group.
    pub fn leave(pids: &[i32], more: u64) -> Option<Self> {
        let group = Path::new("/sys/fs/cgroup/pids")
            .join(format!("snapshot-endurance-{}", std::process::id()));
        fs::create_dir(&group).ok()?;
        let few = Self { group };
        for pid in pids {
            // It may have ended.
            let _ = fs::write(few.group.join("cgroup.procs"), pid.to_string());
        }
        let current = fs::read_to_string(few.group.join("pids.current")).ok()?;
        let current: u64 = current.trim().parse().ok()?;
        fs::write(few.group.join("pids.max"), (current + more).to_string()).ok()?;
        Some(few)
    }
}

impl Drop for FewProcesses {
    fn drop(&mut self) {
        let _ = fs::write(self.group.join("pids.max"), "max");
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = own
            .lines()
            .find_map(|line| line.split_once(":pids:"))
            .map_or("/", |(_, path)| path);
        let parent = Path::new("/sys/fs/cgroup/pids").join(own.trim_start_matches('/'));
        // Who forks meanwhile has a child in the group, so look again.
        for _ in 0..100 {
            let inside = fs::read_to_string(self.group.join("cgroup.procs")).unwrap_or_default();
            for pid in inside.lines() {
                let _ = fs::write(parent.join("cgroup.procs"), pid);
            }
            if fs::remove_dir(&self.group).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}
