//! What a test needs from outside the workspace: installed programs, root's rights, the
//! kernel's rings. A test without it is skipped and says so. In CI (`CI=true`) an absent
//! program fails the test instead.

use std::path::PathBuf;

use crate::piped::PipedSession;

/// The path of `program`; or `None`, after saying that the test is skipped.
///
/// # Panics
/// When it is absent and `CI=true` is set.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file());
    if found.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "{program} is not installed, and in CI nothing may be skipped"
        );
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// Whether the test may go on, as root; else says that it is skipped.
pub fn as_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root can become another user");
    }
    root
}

/// Has the guest `rings` make a ring of this kind; says that the test is skipped if the kernel
/// makes none.
pub fn has_ring(session: &mut PipedSession, kind: &str) -> bool {
    let error = session.ask(kind);
    if !error.is_empty() {
        eprintln!("skipped: the kernel makes no such ring: {kind}: {error}");
    }
    error.is_empty()
}
