//! Calls on guarded files: the question that a write function asks before it overwrites
//! something, and calls that change a part of a file.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::stat::{Mode, umask};

use super::work::{Reply, Work};
use crate::journal::by_descriptor::path_now;
use crate::journal::guards::SMALLEST;
use crate::journal::open_files::MOST_COPIED;
use crate::journal::paths;
use crate::journal::records::Want;
use crate::journal::stat::{Kind, Stat};

/// A write function is about to write to this range.
pub(in crate::journal) fn keep_asked(
    work: &mut Work<'_>,
    number: i32,
    offset: u64,
    length: u64,
) -> Result<Reply, Errno> {
    let object = work.descriptor(number)?;
    let stat = paths::look(object.as_fd())?;
    if !work.guards.has(stat.id) {
        return Ok(Reply::Done(0));
    }
    // A shared mapping needs all of it, at once and without a chance to ask again.
    if length == u64::MAX && stat.size > MOST_COPIED {
        let path = path_now(object.as_fd()).unwrap_or_default();
        work.news.went_past(&format!(
            "what the program changes by a mapping of {}: it is too large to be copied",
            path.display()
        ));
        return Ok(Reply::Done(0));
    }
    keep_range(work, &object, &stat, (offset, length))?;
    Ok(Reply::Done(0))
}

/// Keeps what a range of a file has, and all of it if the file is not guarded.
pub(super) fn keep_range(
    work: &mut Work<'_>,
    object: &OwnedFd,
    stat: &Stat,
    (offset, length): (u64, u64),
) -> Result<(), Errno> {
    let pin = object.as_fd();
    if !work.guards.has(stat.id) && !work.levels().has_blocks(stat.id) {
        let kept = work.levels().keep_content(pin, stat, Want::All);
        return work.news.kept(kept);
    }
    work.wardrobe.wear_own();
    umask(Mode::empty());
    let (length, file) = work.guards.widened(stat.id, offset, length);
    let kept = (work.levels).keep_range(pin, stat, (offset, length), file);
    work.news.kept(kept)?;
    work.guards.kept(stat.id, offset, length);
    Ok(())
}

/// Whether the caller will ask before it changes this file, which it is about to have open for
/// writing.
pub(super) fn will_ask(
    work: &mut Work<'_>,
    pin: BorrowedFd<'_>,
    stat: &Stat,
) -> Result<bool, Errno> {
    let is_big = stat.kind == Kind::File && stat.size >= SMALLEST;
    if !is_big || work.levels().is_born(stat) || !work.guards.reach(work.caller.tgid) {
        return Ok(false);
    }
    if !work.guards.has(stat.id) {
        // Somebody who doesn't ask may have it open already; then all of it is kept.
        let is_unkept = work.levels().has_nothing_of(stat.id);
        if !is_unkept || !work.guards.add(pin, stat) {
            return Ok(false);
        }
    }
    let kept = work.levels().guard(pin, stat);
    work.news.kept(kept)?;
    Ok(true)
}
