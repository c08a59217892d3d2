//! Programs from outside the workspace. A test whose program is absent says that it is
//! skipped; in CI nothing may be skipped.

use std::path::PathBuf;

/// Where `program` is, or `None` after saying that the test is skipped.
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

/// Whether the test may go on, being root; says that it is skipped where not.
pub fn as_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root can become another user");
    }
    root
}
