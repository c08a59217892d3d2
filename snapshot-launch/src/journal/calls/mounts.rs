//! Unmounting. What the journal holds of a filesystem would keep it busy, so it lets go of that
//! first: a revert does not mount it again, and so it could not bring its files back.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::libc;

use super::names::PathAt;
use super::work::{Reply, Work};
use crate::journal::by_descriptor::path_now;
use crate::journal::paths;

pub(in crate::journal) fn unmount(
    work: &mut Work<'_>,
    at: PathAt,
    flags: i32,
) -> Result<Reply, Errno> {
    let PathAt(base, place) = at;
    let path = work.memory.path(place)?;
    let follow = flags & libc::UMOUNT_NOFOLLOW == 0;
    // Errors are the kernel's to tell.
    let Ok(Some(top)) = work.object(base, &path, follow) else {
        return Ok(Reply::Continue);
    };
    let stat = paths::look(top.as_fd())?;
    if stat.is_mount_root() && work.may_unmount() && work.levels().let_go(stat.mount) {
        let path = path_now(top.as_fd())?;
        work.news.went_past(&format!(
            "what was changed on {}: it was unmounted",
            path.display()
        ));
    }
    work.scope.forget(stat.id.dev);
    Ok(Reply::Continue)
}
