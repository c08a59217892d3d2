//! Serves one call: reads what its arguments mean, and hands it on.

use nix::errno::Errno;
use nix::fcntl::{OFlag, ResolveFlag};
use nix::libc;
use nix::sys::stat::Mode;
use snapshot_core::terms::{file_calls::FileCall, guards::KEEP_RANGE};

use super::{
    guarded, mounts,
    names::{self, Make, PathAt},
    opening,
    properties::{self, Change},
    sizes,
    way::Opening,
    work::{Reply, Work},
};
use crate::journal::paths::Base;

/// A call that changes names, contents or properties.
///
/// # Errors
/// What the caller gets.
pub(in crate::journal) fn serve(
    work: &mut Work<'_>,
    call: FileCall,
    arguments: &[u64; 6],
) -> Result<Reply, Errno> {
    let served = serve_as_new(work, call, arguments);
    // A journal that has died over this call had seen that it could be made: it has made it.
    let is_done = match call {
        _ if !work.trace.has_acted => false,
        FileCall::Unlink | FileCall::UnlinkAt | FileCall::Rmdir => {
            matches!(served, Err(Errno::ENOENT))
        }
        FileCall::Mkdir
        | FileCall::MkdirAt
        | FileCall::Mknod
        | FileCall::MknodAt
        | FileCall::Symlink
        | FileCall::SymlinkAt
        | FileCall::Link
        | FileCall::LinkAt => matches!(served, Err(Errno::EEXIST)),
        _ => false,
    };
    if is_done { Ok(Reply::Done(0)) } else { served }
}

fn serve_as_new(work: &mut Work<'_>, call: FileCall, arguments: &[u64; 6]) -> Result<Reply, Errno> {
    let [a, b, c, d, e, _] = *arguments;
    let here = |path| PathAt(Base(libc::AT_FDCWD), path);
    let at = |base, path| PathAt(Base(number(base)), path);
    match call {
        FileCall::Open => open(work, here(a), b, c),
        FileCall::OpenAt => open(work, at(a, b), c, d),
        FileCall::Creat => {
            let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
            open(work, here(a), u64::from(flags.cast_unsigned()), b)
        }
        FileCall::OpenAt2 => {
            // `struct open_how` begins with these; more may follow in later kernels.
            let [flags, mode, resolve] = work.memory.words(c)?;
            if flags & u64::from(opening::TO_CHANGE) == 0 {
                return Ok(Reply::Continue);
            }
            let opening = opening_of(at(a, b), flags, mode);
            opening::open(
                work,
                Opening {
                    resolve: ResolveFlag::from_bits_retain(resolve),
                    is_unclear: d > 24,
                    ..opening
                },
            )
        }
        FileCall::OpenByHandleAt => {
            work.levels().goes_blind();
            work.news
                .went_past("a file that it has opened by its handle");
            Ok(Reply::Continue)
        }
        FileCall::Unlink => names::unlink(work, here(a)),
        FileCall::Rmdir => names::rmdir(work, here(a)),
        FileCall::UnlinkAt if number(c) & libc::AT_REMOVEDIR != 0 => names::rmdir(work, at(a, b)),
        FileCall::UnlinkAt => names::unlink(work, at(a, b)),
        FileCall::Rename => names::rename(work, here(a), here(b), 0),
        FileCall::RenameAt => names::rename(work, at(a, b), at(c, d), 0),
        FileCall::RenameAt2 => names::rename(work, at(a, b), at(c, d), bits(e)),
        FileCall::Mkdir => names::make(work, here(a), Make::Directory(mode(b))),
        FileCall::MkdirAt => names::make(work, at(a, b), Make::Directory(mode(c))),
        FileCall::Mknod => names::make(work, here(a), node(b, c)),
        FileCall::MknodAt => names::make(work, at(a, b), node(c, d)),
        FileCall::Symlink => names::make(work, here(b), Make::Link(a)),
        FileCall::SymlinkAt => names::make(work, at(b, c), Make::Link(a)),
        FileCall::Link => names::link(work, here(a), here(b), 0),
        FileCall::LinkAt => names::link(work, at(a, b), at(c, d), number(e)),
        FileCall::Bind => bind(work, b, c),
        FileCall::SocketCall => {
            let mut bytes = [0; 12];
            work.memory.read(b, &mut bytes)?;
            let word = |at: usize| {
                let bytes = bytes.get(at..at + 4).and_then(|part| part.try_into().ok());
                u64::from(u32::from_ne_bytes(bytes.unwrap_or_default()))
            };
            bind(work, word(4), word(8))
        }
        FileCall::Truncate => sizes::truncate(work, here(a), a_size(b)),
        FileCall::Truncate32 => sizes::truncate(work, here(a), i64::from(number(b))),
        FileCall::TruncateHalves => sizes::truncate(work, here(a), a_size(halves(b, c))),
        FileCall::Ftruncate => sizes::ftruncate(work, number(a), a_size(b)),
        FileCall::Ftruncate32 => sizes::ftruncate(work, number(a), i64::from(number(b))),
        FileCall::FtruncateHalves => sizes::ftruncate(work, number(a), a_size(halves(b, c))),
        FileCall::Fallocate => sizes::fallocate(work, number(a), number(b), (c, d)),
        FileCall::FallocateHalves => sizes::fallocate(work, number(a), number(b), (0, u64::MAX)),
        FileCall::Ioctl if bits(b) == KEEP_RANGE => guarded::keep_asked(work, number(a), c, d),
        FileCall::Fcntl => sizes::set_flags(work, number(a)),
        FileCall::Umount => mounts::unmount(work, here(a), 0),
        FileCall::Umount2 => mounts::unmount(work, here(a), number(b)),
        _ => change(work, call, arguments),
    }
}

/// A call that changes properties.
fn change(work: &mut Work<'_>, call: FileCall, arguments: &[u64; 6]) -> Result<Reply, Errno> {
    let [a, b, c, d, e, _] = *arguments;
    let here = |path| PathAt(Base(libc::AT_FDCWD), path);
    let at = |base, path| PathAt(Base(number(base)), path);
    let follows = |flags| number(flags) & libc::AT_SYMLINK_NOFOLLOW == 0;
    let may_be_empty = |flags| number(flags) & libc::AT_EMPTY_PATH != 0;
    let attribute = |name, value, size, flags| Change::SetAttribute {
        name,
        value,
        size,
        flags: number(flags),
    };
    let (at, follow, is_empty_allowed, change) = match call {
        FileCall::Chmod => (here(a), true, false, Change::Mode(bits(b))),
        FileCall::FchmodAt => (at(a, b), true, false, Change::Mode(bits(c))),
        FileCall::FchmodAt2 => (at(a, b), follows(d), may_be_empty(d), Change::Mode(bits(c))),
        FileCall::Chown => (here(a), true, false, Change::Owner(bits(b), bits(c))),
        FileCall::Chown16 => (here(a), true, false, owner_16(b, c)),
        FileCall::Lchown => (here(a), false, false, Change::Owner(bits(b), bits(c))),
        FileCall::Lchown16 => (here(a), false, false, owner_16(b, c)),
        FileCall::FchownAt => {
            let change = Change::Owner(bits(c), bits(d));
            (at(a, b), follows(e), may_be_empty(e), change)
        }
        FileCall::Utime => (here(a), true, false, seconds::<8>(work, b)?),
        FileCall::Utime32 => (here(a), true, false, seconds::<4>(work, b)?),
        FileCall::Utimes => (here(a), true, false, times::<8>(work, b, 1000)?),
        FileCall::Utimes32 => (here(a), true, false, times::<4>(work, b, 1000)?),
        FileCall::FutimesAt => (at(a, b), true, false, times::<8>(work, c, 1000)?),
        FileCall::FutimesAt32 => (at(a, b), true, false, times::<4>(work, c, 1000)?),
        FileCall::UtimensAt => (
            at(a, b),
            follows(d),
            may_be_empty(d),
            times::<8>(work, c, 1)?,
        ),
        FileCall::UtimensAt32 => (
            at(a, b),
            follows(d),
            may_be_empty(d),
            times::<4>(work, c, 1)?,
        ),
        FileCall::SetXattr => (here(a), true, false, attribute(b, c, d, e)),
        FileCall::LsetXattr => (here(a), false, false, attribute(b, c, d, e)),
        FileCall::SetXattrAt => {
            // `struct xattr_args`: the value's place, then its size and the flags.
            let [value, rest] = work.memory.words(e)?;
            let change = attribute(d, value, rest & 0xffff_ffff, rest >> 32);
            (at(a, b), follows(c), may_be_empty(c), change)
        }
        FileCall::RemoveXattr => (here(a), true, false, Change::RemoveAttribute { name: b }),
        FileCall::LremoveXattr => (here(a), false, false, Change::RemoveAttribute { name: b }),
        FileCall::RemoveXattrAt => {
            let change = Change::RemoveAttribute { name: d };
            (at(a, b), follows(c), may_be_empty(c), change)
        }
        FileCall::FileSetAttr => (at(a, b), follows(e), may_be_empty(e), Change::Other),
        FileCall::Fchmod
        | FileCall::Fchown
        | FileCall::Fchown16
        | FileCall::FsetXattr
        | FileCall::FremoveXattr
        | FileCall::Ioctl => return properties::of_descriptor(work, number(a)),
        _ => return Ok(Reply::Continue),
    };
    properties::of_path(work, at, follow, is_empty_allowed, change)
}

fn open(work: &mut Work<'_>, at: PathAt, flags: u64, mode: u64) -> Result<Reply, Errno> {
    opening::open(work, opening_of(at, flags, mode))
}

fn opening_of(PathAt(base, path): PathAt, flags: u64, bits: u64) -> Opening {
    Opening {
        base,
        path,
        flags: OFlag::from_bits_retain(number(flags)),
        mode: mode(bits),
        resolve: ResolveFlag::empty(),
        is_unclear: false,
    }
}

/// A local socket with a path makes a file.
fn bind(work: &mut Work<'_>, address: u64, size: u64) -> Result<Reply, Errno> {
    const FAMILY_BYTES: u64 = 2;
    // Longer ones are not local.
    const MOST: u64 = 110;
    if size <= FAMILY_BYTES || size > MOST {
        return Ok(Reply::Continue);
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    work.memory.read(address, &mut bytes)?;
    // The family is the first half of a word of its own.
    let family = bytes.get(..2).and_then(|family| family.try_into().ok());
    let family = family.map_or(0, u16::from_ne_bytes);
    let is_local = i32::from(family) == libc::AF_UNIX;
    let path = &bytes[2..];
    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
    if !is_local || path.is_empty() {
        return Ok(Reply::Continue);
    }
    names::bind(work, path)
}

/// A number of 32 bits with a sign.
fn number(argument: u64) -> i32 {
    bits(argument).cast_signed()
}

/// The lower half, which is all that these arguments have.
fn bits(argument: u64) -> u32 {
    (argument & 0xffff_ffff) as u32
}

fn mode(argument: u64) -> Mode {
    Mode::from_bits_truncate(bits(argument))
}

fn node(mode: u64, device: u64) -> Make {
    Make::Node {
        mode: bits(mode),
        device: u64::from(bits(device)),
    }
}

fn a_size(argument: u64) -> i64 {
    argument.cast_signed()
}

fn halves(lower: u64, upper: u64) -> u64 {
    (upper << 32) | (lower & 0xffff_ffff)
}

fn owner_16(user: u64, group: u64) -> Change {
    let whole = |number: u64| match bits(number) & 0xffff {
        0xffff => u32::MAX,
        number => number,
    };
    Change::Owner(whole(user), whole(group))
}

/// Two times with fractions, of which one second has a billion after `to_nanoseconds`.
fn times<const WORD: usize>(
    work: &Work<'_>,
    place: u64,
    to_nanoseconds: i64,
) -> Result<Change, Errno> {
    if place == 0 {
        return Ok(Change::Times(None));
    }
    let [a, b, c, d] = words::<WORD, 4>(work, place)?;
    let time = |seconds, fraction: i64| libc::timespec {
        tv_sec: seconds,
        // UTIME_NOW and UTIME_OMIT exist only where there is nothing to multiply.
        tv_nsec: fraction.saturating_mul(to_nanoseconds),
    };
    Ok(Change::Times(Some([time(a, b), time(c, d)])))
}

/// Two times in whole seconds.
fn seconds<const WORD: usize>(work: &Work<'_>, place: u64) -> Result<Change, Errno> {
    if place == 0 {
        return Ok(Change::Times(None));
    }
    let [accessed, modified] = words::<WORD, 2>(work, place)?;
    let time = |seconds| libc::timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    Ok(Change::Times(Some([time(accessed), time(modified)])))
}

/// Numbers with a sign, of 4 or 8 bytes.
fn words<const WORD: usize, const N: usize>(
    work: &Work<'_>,
    place: u64,
) -> Result<[i64; N], Errno> {
    let mut bytes = vec![0; WORD * N];
    work.memory.read(place, &mut bytes)?;
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(WORD)) {
        *word = match bytes.try_into() {
            Ok(bytes) => i64::from_ne_bytes(bytes),
            Err(_) => bytes
                .try_into()
                .map_or(0, |bytes| i64::from(i32::from_ne_bytes(bytes))),
        };
    }
    Ok(words)
}
