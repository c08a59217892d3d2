//! Calls that change a file's size or its blocks, and the one that lets a descriptor write
//! elsewhere than at the end.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::unistd::truncate as truncate_path;

use super::guarded::{keep_range, will_ask};
use super::names::PathAt;
use super::work::{Reply, Work};
use crate::journal::by_descriptor::path_of;
use crate::journal::paths;
use crate::journal::records::Want;
use crate::journal::stat::{Kind, Stat};

pub(in crate::journal) fn truncate(
    work: &mut Work<'_>,
    at: PathAt,
    length: i64,
) -> Result<Reply, Errno> {
    let PathAt(base, place) = at;
    let path = work.memory.path(place)?;
    let Some(object) = work.object(base, &path, true)? else {
        return Ok(Reply::Continue);
    };
    let stat = paths::look(object.as_fd())?;
    if stat.kind != Kind::File || !work.covers(object.as_fd(), &stat)? {
        return Ok(Reply::Continue);
    }
    keep(work, &object, &stat, want(&stat, length))?;
    // The caller's limit sends it a signal.
    if !work.emulates() || work.limits_file_size() {
        work.levels().goes_blind();
        return Ok(Reply::Continue);
    }
    let path = path_of(object.as_fd());
    work.as_caller(|| truncate_path(path.as_c_str(), length))?;
    Ok(Reply::Done(0))
}

/// How much of a file a call is about to change.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// It only adds to it.
    Size,
    /// An offset and a length.
    Range(u64, u64),
}

/// What is needed before a file gets this length.
fn want(stat: &Stat, length: i64) -> Part {
    match u64::try_from(length) {
        Ok(length) if length < stat.size => Part::Range(length, u64::MAX),
        _ => Part::Size,
    }
}

fn keep(work: &mut Work<'_>, object: &OwnedFd, stat: &Stat, part: Part) -> Result<(), Errno> {
    match part {
        Part::Size => {
            let kept = work.levels().keep_content(object.as_fd(), stat, Want::Size);
            work.news.kept(kept)
        }
        Part::Range(offset, length) => keep_range(work, object, stat, (offset, length)),
    }
}

pub(in crate::journal) fn ftruncate(
    work: &mut Work<'_>,
    number: i32,
    length: i64,
) -> Result<Reply, Errno> {
    before_change(work, number, |stat| want(stat, length))
}

pub(in crate::journal) fn fallocate(
    work: &mut Work<'_>,
    number: i32,
    mode: i32,
    (offset, length): (u64, u64),
) -> Result<Reply, Errno> {
    let only_adds = mode & !libc::FALLOC_FL_KEEP_SIZE == 0;
    let moves = libc::FALLOC_FL_COLLAPSE_RANGE | libc::FALLOC_FL_INSERT_RANGE;
    before_change(work, number, |_| match only_adds {
        true => Part::Size,
        false if mode & moves != 0 => Part::Range(offset, u64::MAX),
        false => Part::Range(offset, length),
    })
}

/// fcntl(2) F_SETFL without O_APPEND.
pub(in crate::journal) fn set_flags(work: &mut Work<'_>, number: i32) -> Result<Reply, Errno> {
    let flags = work.caller.descriptor_flags(number).unwrap_or(0);
    let flags = OFlag::from_bits_retain(flags);
    if flags & OFlag::O_ACCMODE == OFlag::O_RDONLY || !flags.contains(OFlag::O_APPEND) {
        return Ok(Reply::Continue);
    }
    let Ok(object) = work.descriptor(number) else {
        return Ok(Reply::Continue);
    };
    let stat = paths::look(object.as_fd())?;
    if work.covers(object.as_fd(), &stat)? && will_ask(work, object.as_fd(), &stat)? {
        return Ok(Reply::Continue);
    }
    before_change(work, number, |_| Part::Range(0, u64::MAX))
}

/// A call on a descriptor, which the kernel carries out.
fn before_change(
    work: &mut Work<'_>,
    number: i32,
    part: impl FnOnce(&Stat) -> Part,
) -> Result<Reply, Errno> {
    let Ok(object) = work.descriptor(number) else {
        return Ok(Reply::Continue);
    };
    let stat = paths::look(object.as_fd())?;
    if stat.kind == Kind::File && work.covers(object.as_fd(), &stat)? {
        keep(work, &object, &stat, part(&stat))?;
    }
    Ok(Reply::Continue)
}
