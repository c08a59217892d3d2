//! Whether the program is beyond the session's reach: in namespaces of its own, or under an
//! emulator. Checked before any signal to it.

use crate::refusal::Refusal;
use std::os::unix::fs::MetadataExt;
use std::{fs, io};

use crate::program::emulator;

/// The session's own namespaces, by their inodes.
#[derive(Debug, Default)]
pub(crate) struct Home {
    processes: Option<u64>,
    network: Option<u64>,
    users: Option<u64>,
}

fn inode(pid: &str, namespace: &str) -> Option<u64> {
    let metadata = fs::metadata(format!("/proc/{pid}/ns/{namespace}")).ok()?;
    Some(metadata.ino())
}

/// A process's place in `/proc` for its namespaces, and its network namespace. If its first
/// thread has ended, another thread's. `None` if it has ended, or we may not look.
fn living(pid: i32) -> Option<(String, u64)> {
    let with_network = |path: String| inode(&path, "net").map(|network| (path, network));
    with_network(pid.to_string()).or_else(|| {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        threads
            .flatten()
            .map(|thread| format!("{pid}/task/{}", thread.file_name().to_string_lossy()))
            .find_map(with_network)
    })
}

/// Whether both are known, and differ.
fn differ(ours: Option<u64>, theirs: Option<u64>) -> bool {
    ours.zip(theirs)
        .is_some_and(|(ours, theirs)| ours != theirs)
}

impl Home {
    /// This process's.
    pub(crate) fn own() -> Self {
        Self {
            processes: inode("self", "pid"),
            network: inode("self", "net"),
            users: inode("self", "user"),
        }
    }

    /// Why no snapshot of this process can be taken: it can't call the supervisor, or a copy of
    /// it would be in another namespace.
    pub(crate) fn is_left(&self, pid: i32) -> Option<Refusal> {
        let (thread, network) = living(pid)?;
        self.is_out_of_reach(network)
            .or_else(|| self.thread_is_left_by_children(pid, &thread))
    }

    /// Whether a copy of this process would be in another namespace.
    pub(crate) fn is_left_by_children(&self, pid: i32) -> Option<Refusal> {
        self.thread_is_left_by_children(pid, &living(pid)?.0)
    }

    fn thread_is_left_by_children(&self, pid: i32, thread: &str) -> Option<Refusal> {
        let theirs = match fs::metadata(format!("/proc/{thread}/ns/pid_for_children")) {
            Ok(metadata) => Some(metadata.ino()),
            // It is another one, still empty.
            Err(error) if error.kind() == io::ErrorKind::NotFound && living(pid).is_some() => {
                Some(0)
            }
            Err(_) => None,
        };
        differ(self.processes, theirs).then(|| {
            Refusal::new(
                "namespace",
                "the program has its children in another process namespace (`unshare`, `setns`): a copy would be in there, and with its end, if it is the first, no other could begin",
                "take snapshots before that, or have a child of the program do it",
            )
        })
    }

    /// Whether a process with this network can't call the supervisor.
    fn is_out_of_reach(&self, network: u64) -> Option<Refusal> {
        differ(self.network, Some(network)).then(|| {
            Refusal::new(
                "namespace",
                "the program is in another network namespace (`unshare`, `setns`), from where its agent does not reach the session",
                "take snapshots before that, or launch the tool in that namespace: `ip netns exec NAME cargo snapshot exec ...`",
            )
        })
    }

    /// Whether this process has its rights in another user namespace.
    pub(crate) fn has_other_users(&self, pid: i32) -> bool {
        living(pid).is_some_and(|(thread, _)| differ(self.users, inode(&thread, "user")))
    }
}

/// The emulator that the process has become.
pub(crate) fn emulator_in(pid: i32) -> Option<&'static str> {
    emulator(&fs::read_link(format!("/proc/{pid}/exe")).ok()?)
}

/// Why no snapshot is possible under it.
pub(crate) fn under(emulator: &str) -> Refusal {
    Refusal::new(
        "emulator",
        format!(
            "the program has become one that runs under {emulator}, which simulates its threads and system calls: a copy could not go on with them"
        ),
        "run the program without it, or snapshot it natively",
    )
}
