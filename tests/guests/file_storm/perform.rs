//! Performs one operation on files, as its words say. What the kernel answers is the answer: a
//! random operation may well be impossible.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::{
    AT_FDCWD, AtFlags, FallocateFlags, FcntlArg, OFlag, RenameFlags, fallocate, fcntl, open,
    openat, renameat, renameat2,
};
use nix::sys::stat::{
    FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, fstat, futimens, makedev,
    mkdirat, mknodat, umask, utimensat,
};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::unistd::{
    Gid, LinkatFlags, Uid, UnlinkatFlags, Whence, chdir, fchdir, fchown, fchownat, fsync,
    ftruncate, getcwd, linkat, lseek, mkfifo, symlinkat, truncate, unlinkat, write,
};

use crate::calls;
use crate::words::{below_slot, bytes, decode, number, octal};

/// How many descriptors an actor holds at most.
pub const SLOTS: usize = 8;

/// Who performs operations: a thread or a child, with the files that it holds open.
#[derive(Debug)]
pub struct Actor {
    /// The directory that it does not leave.
    base: PathBuf,
    slots: [Option<OwnedFd>; SLOTS],
}

/// A path and the directory that it is relative to.
struct Spot<'a> {
    directory: BorrowedFd<'a>,
    path: PathBuf,
}

impl Actor {
    /// One that holds nothing.
    pub fn new(base: &Path) -> Self {
        Self {
            base: base.to_owned(),
            slots: [const { None }; SLOTS],
        }
    }

    /// Performs it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn perform(&mut self, line: &str) -> nix::Result<()> {
        let words: Vec<&str> = line.split(' ').collect();
        let (&name, rest) = words.split_first().expect("a line has a word");
        match name {
            "hold" | "hold-temporary" | "release" | "hold-directory" | "chdir" | "fchdir"
            | "umask" => self.keep(name, rest),
            _ if name.starts_with("held-") => self.with_held(name, rest),
            _ if name.starts_with("raw-") => by_number(name, rest),
            _ if name.starts_with("rename") || name.starts_with("link") => {
                self.with_two(name, rest)
            }
            _ => self.with_one(name, rest),
        }
    }

    fn spot(&self, word: &str) -> nix::Result<Spot<'_>> {
        let path = decode(word);
        let Some((slot, below)) = below_slot(&path) else {
            return Ok(Spot {
                directory: AT_FDCWD,
                path,
            });
        };
        Ok(Spot {
            directory: self.held(slot)?.as_fd(),
            path: below.to_owned(),
        })
    }

    fn held(&self, slot: usize) -> nix::Result<&OwnedFd> {
        self.slots[slot].as_ref().ok_or(Errno::EBADF)
    }

    /// Opens a file that exists or is made. Never waits for the other end of a FIFO.
    fn open(&self, word: &str, flags: OFlag) -> nix::Result<OwnedFd> {
        let spot = self.spot(word)?;
        let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let mode = Mode::from_bits_truncate(0o666);
        openat(spot.directory, &spot.path, flags, mode)
    }

    /// An operation on one path.
    fn with_one(&self, name: &str, words: &[&str]) -> nix::Result<()> {
        let (write_only, create) = (OFlag::O_WRONLY, OFlag::O_WRONLY | OFlag::O_CREAT);
        match (name, words) {
            ("create", &[path, length, salt]) => {
                let file = self.open(path, create | OFlag::O_EXCL)?;
                write_all(&file, &bytes(length, salt))
            }
            ("put", &[path, length, salt]) => {
                let file = self.open(path, create | OFlag::O_TRUNC)?;
                write_all(&file, &bytes(length, salt))
            }
            ("over", &[path, at, length, salt]) => {
                let file = self.open(path, write_only)?;
                nix::sys::uio::pwrite(&file, &bytes(length, salt), number(at)).map(drop)
            }
            ("append", &[path, length, salt]) => {
                let file = self.open(path, create | OFlag::O_APPEND)?;
                write_all(&file, &bytes(length, salt))
            }
            ("touch", &[path]) => self.open(path, create).map(drop),
            ("truncate", &[path, length]) => truncate(&self.spot(path)?.path, number(length)),
            ("allocate", &[path, how, at, length]) => {
                let how = match how {
                    "hole" => {
                        FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE
                    }
                    "zero" => FallocateFlags::FALLOC_FL_ZERO_RANGE,
                    "collapse" => FallocateFlags::FALLOC_FL_COLLAPSE_RANGE,
                    _ => FallocateFlags::empty(),
                };
                let file = self.open(path, write_only)?;
                fallocate(&file, how, number(at), number(length))
            }
            ("map", &[path, at, length, salt]) => {
                let file = self.open(path, OFlag::O_RDWR)?;
                map_write(&file, number(at), &bytes(length, salt))
            }
            ("splice", &[path, length, salt]) => {
                let file = self.open(path, create)?;
                splice_into(&file, &bytes(length, salt))
            }
            ("unlink", &[path]) => {
                let spot = self.spot(path)?;
                unlinkat(spot.directory, &spot.path, UnlinkatFlags::NoRemoveDir)
            }
            ("rmdir", &[path]) => {
                let spot = self.spot(path)?;
                unlinkat(spot.directory, &spot.path, UnlinkatFlags::RemoveDir)
            }
            ("clear", &[path]) => clear(&self.spot(path)?),
            ("mkdir", &[path, mode]) => {
                let spot = self.spot(path)?;
                mkdirat(spot.directory, &spot.path, mode_of(mode))
            }
            ("deep", &[path, depth]) => {
                let path = self.spot(path)?.path;
                let mut path = path.join("ash");
                for _ in 0..number::<u32>(depth) {
                    path.push("ash");
                }
                std::fs::create_dir_all(&path).map_err(errno)?;
                // Another thread may make a FIFO there just before.
                let mut options = std::fs::File::options();
                options.write(true).create(true).truncate(true);
                let mut file = options
                    .custom_flags(OFlag::O_NONBLOCK.bits())
                    .open(path.join("birch"))
                    .map_err(errno)?;
                std::io::Write::write_all(&mut file, b"deep").map_err(errno)
            }
            ("symlink", &[target, path]) => {
                let spot = self.spot(path)?;
                symlinkat(&decode(target), spot.directory, &spot.path)
            }
            ("fifo", &[path, mode]) => mkfifo(&self.spot(path)?.path, mode_of(mode)),
            ("device", &[path, kind, major, minor]) => {
                let kind = match kind {
                    "block" => SFlag::S_IFBLK,
                    _ => SFlag::S_IFCHR,
                };
                let spot = self.spot(path)?;
                let device = makedev(number(major), number(minor));
                mknodat(spot.directory, &spot.path, kind, mode_of("640"), device)
            }
            ("socket", &[path]) => {
                let path = self.spot(path)?.path;
                let bound = std::os::unix::net::UnixListener::bind(path);
                bound.map(drop).map_err(errno)
            }
            ("shell", &[path]) => {
                let spot = self.spot(path)?;
                shell(&spot.path)
            }
            _ => self.with_properties(name, words),
        }
    }

    /// An operation on the properties of one path.
    fn with_properties(&self, name: &str, words: &[&str]) -> nix::Result<()> {
        match (name, words) {
            ("chmod", &[path, mode]) => {
                let spot = self.spot(path)?;
                let follow = FchmodatFlags::FollowSymlink;
                fchmodat(spot.directory, &spot.path, mode_of(mode), follow)
            }
            ("fchmod", &[path, mode]) => fchmod(&self.open(path, OFlag::O_RDONLY)?, mode_of(mode)),
            ("chown" | "lchown", &[path, user, group]) => {
                let spot = self.spot(path)?;
                let (user, group) = (owner(user), group_of(group));
                let flags = if name == "lchown" {
                    AtFlags::AT_SYMLINK_NOFOLLOW
                } else {
                    AtFlags::empty()
                };
                fchownat(spot.directory, &spot.path, user, group, flags)
            }
            ("times" | "ltimes", &[path, seconds, nanoseconds]) => {
                let spot = self.spot(path)?;
                let time = time(seconds, nanoseconds);
                let flags = if name == "ltimes" {
                    UtimensatFlags::NoFollowSymlink
                } else {
                    UtimensatFlags::FollowSymlink
                };
                utimensat(spot.directory, &spot.path, &time, &time, flags)
            }
            ("attribute" | "lattribute", &[path, key, length, salt]) => {
                let key = std::ffi::CString::new(key).expect("no NUL");
                let value = bytes(length, salt);
                let path = self.spot(path)?.path;
                calls::set_attribute(&path, &key, &value, name == "attribute")
            }
            ("remove-attribute", &[path, key]) => {
                let key = std::ffi::CString::new(key).expect("no NUL");
                calls::remove_attribute(&self.spot(path)?.path, &key)
            }
            ("acl", &[path, which, user]) => {
                let key = match which {
                    "default" => c"system.posix_acl_default",
                    _ => c"system.posix_acl_access",
                };
                let value = access_list(number(user));
                calls::set_attribute(&self.spot(path)?.path, key, &value, true)
            }
            _ => panic!("no such operation: {name} {words:?}"),
        }
    }

    /// An operation on two paths.
    fn with_two(&self, name: &str, words: &[&str]) -> nix::Result<()> {
        let &[from, to, ..] = words else {
            panic!("two paths: {name} {words:?}");
        };
        let (from, to) = (self.spot(from)?, self.spot(to)?);
        let rename = |flags| renameat2(from.directory, &from.path, to.directory, &to.path, flags);
        match name {
            "rename" => renameat(from.directory, &from.path, to.directory, &to.path),
            "rename-exchange" => rename(RenameFlags::RENAME_EXCHANGE),
            "rename-noreplace" => rename(RenameFlags::RENAME_NOREPLACE),
            "rename-whiteout" => rename(RenameFlags::RENAME_WHITEOUT),
            "link" | "link-target" => {
                let flags = if name == "link" {
                    LinkatFlags::empty()
                } else {
                    LinkatFlags::AT_SYMLINK_FOLLOW
                };
                linkat(from.directory, &from.path, to.directory, &to.path, flags)
            }
            _ => panic!("no such operation: {name}"),
        }
    }

    /// What changes the actor itself.
    fn keep(&mut self, name: &str, words: &[&str]) -> nix::Result<()> {
        match (name, words) {
            ("hold", &[slot, path, how]) => {
                let mut flags = OFlag::empty();
                for letter in how.chars() {
                    flags |= match letter {
                        'w' => OFlag::O_WRONLY,
                        'b' => OFlag::O_RDWR,
                        'a' => OFlag::O_APPEND,
                        't' => OFlag::O_TRUNC,
                        'c' => OFlag::O_CREAT,
                        _ => OFlag::O_RDONLY,
                    };
                }
                self.slots[number::<usize>(slot)] = Some(self.open(path, flags)?);
            }
            ("hold-temporary", &[slot, directory]) => {
                let file = self.open(directory, OFlag::O_TMPFILE | OFlag::O_RDWR)?;
                self.slots[number::<usize>(slot)] = Some(file);
            }
            ("hold-directory", &[slot, path]) => {
                let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
                let directory = self.open(path, flags)?;
                let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
                let is_inside = std::fs::read_link(link).is_ok_and(|at| at.starts_with(&self.base));
                self.slots[number::<usize>(slot)] = is_inside.then_some(directory);
            }
            ("release", &[slot]) => self.slots[number::<usize>(slot)] = None,
            ("chdir", &[path]) => {
                let moved = match path {
                    "base" => chdir(&self.base),
                    _ => chdir(&self.spot(path)?.path),
                };
                self.stay()?;
                moved?;
            }
            ("fchdir", &[slot]) => {
                let moved = fchdir(self.held(number(slot))?);
                self.stay()?;
                moved?;
            }
            ("umask", &[mode]) => {
                umask(mode_of(mode));
            }
            _ => panic!("no such operation: {name} {words:?}"),
        }
        Ok(())
    }

    /// Goes back where a link or `..` has led out.
    fn stay(&self) -> nix::Result<()> {
        match getcwd() {
            Ok(directory) if directory.starts_with(&self.base) => Ok(()),
            _ => chdir(&self.base),
        }
    }

    /// An operation on a file that is held open.
    fn with_held(&self, name: &str, words: &[&str]) -> nix::Result<()> {
        let (slot, rest) = words.split_first().expect("a slot");
        let file = self.held(number(slot))?;
        match (name, rest) {
            ("held-write", &[length, salt]) => write_all(file, &bytes(length, salt)),
            ("held-over", &[at, length, salt]) => {
                nix::sys::uio::pwrite(file, &bytes(length, salt), number(at)).map(drop)
            }
            ("held-map", &[at, length, salt]) => map_write(file, number(at), &bytes(length, salt)),
            ("held-splice", &[length, salt]) => splice_into(file, &bytes(length, salt)),
            ("held-seek", &[at]) => lseek(file, number(at), Whence::SeekSet).map(drop),
            ("held-truncate", &[length]) => ftruncate(file, number(length)),
            ("held-append", &[append]) => {
                let flags = match append {
                    "on" => OFlag::O_APPEND | OFlag::O_NONBLOCK,
                    _ => OFlag::O_NONBLOCK,
                };
                fcntl(file, FcntlArg::F_SETFL(flags)).map(drop)
            }
            ("held-sync", &[]) => fsync(file),
            ("held-chmod", &[mode]) => fchmod(file, mode_of(mode)),
            ("held-chown", &[user, group]) => fchown(file, owner(user), group_of(group)),
            ("held-times", &[seconds, nanoseconds]) => {
                let time = time(seconds, nanoseconds);
                futimens(file, &time, &time)
            }
            ("held-attribute", &[length, salt]) => {
                calls::set_attribute_of(file, c"user.held", &bytes(length, salt))
            }
            // A name for a file that may have none.
            ("held-link", &[path]) => {
                let spot = self.spot(path)?;
                let own = format!("/proc/self/fd/{}", file.as_raw_fd());
                let follow = LinkatFlags::AT_SYMLINK_FOLLOW;
                linkat(AT_FDCWD, own.as_str(), spot.directory, &spot.path, follow)
            }
            // The same file once more, by the kernel's link to it.
            ("held-reopen", &[length, salt]) => {
                let own = format!("/proc/self/fd/{}", file.as_raw_fd());
                let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
                let again = open(own.as_str(), flags, Mode::empty())?;
                write_all(&again, &bytes(length, salt))
            }
            ("held-copy", &[to, length]) => {
                let to = self.held(number(to))?;
                nix::fcntl::copy_file_range(file, None, to, None, number(length)).map(drop)
            }
            ("held-send", &[to, length]) => {
                let to = self.held(number(to))?;
                nix::sys::sendfile::sendfile(to, file, None, number(length)).map(drop)
            }
            _ => panic!("no such operation: {name} {words:?}"),
        }
    }
}

/// By the numbers of the calls that libc no longer uses. Their paths are never below a slot.
fn by_number(name: &str, words: &[&str]) -> nix::Result<()> {
    let first = decode(words[0]);
    match (name, &words[1..]) {
        ("raw-open", &[length, salt]) => {
            let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_NONBLOCK | libc::O_CLOEXEC;
            write_all(
                &calls::raw_open(&first, flags, 0o644)?,
                &bytes(length, salt),
            )
        }
        ("raw-creat", &[length, salt]) => {
            // It has no flags, so it would wait at a FIFO. No FIFO gets such a name.
            let mut path = first.into_os_string();
            path.push(".raw");
            let file = calls::raw_creat(Path::new(&path), 0o644)?;
            write_all(&file, &bytes(length, salt))
        }
        ("raw-beneath", &[length, salt]) => {
            let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_NONBLOCK;
            write_all(
                &calls::open_beneath(&first, flags, 0o644)?,
                &bytes(length, salt),
            )
        }
        ("raw-rename", &[to]) => calls::raw(libc::SYS_rename, &first, raw_path(to).as_slice()),
        ("raw-link", &[to]) => calls::raw(libc::SYS_link, &first, raw_path(to).as_slice()),
        ("raw-symlink", &[to]) => calls::raw(libc::SYS_symlink, &first, raw_path(to).as_slice()),
        ("raw-unlink", &[]) => calls::raw(libc::SYS_unlink, &first, b""),
        ("raw-rmdir", &[]) => calls::raw(libc::SYS_rmdir, &first, b""),
        _ => panic!("no such operation: {name} {words:?}"),
    }
}

fn raw_path(word: &str) -> Vec<u8> {
    decode(word).as_os_str().as_bytes().to_vec()
}

fn write_all(file: &OwnedFd, bytes: &[u8]) -> nix::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        rest = &rest[write(file, rest)?..];
    }
    Ok(())
}

/// Through a shared map, if the file is a page long.
fn map_write(file: &OwnedFd, at: usize, bytes: &[u8]) -> nix::Result<()> {
    let status = fstat(file)?;
    if status.st_mode & libc::S_IFMT != libc::S_IFREG || status.st_size < 4096 {
        return Err(Errno::EINVAL);
    }
    calls::write_through_map(file, at, bytes)
}

fn splice_into(file: &OwnedFd, bytes: &[u8]) -> nix::Result<()> {
    let (from, to) = nix::unistd::pipe()?;
    // A pipe holds so much.
    let part = &bytes[..bytes.len().min(4096)];
    write_all(&to, part)?;
    let flags = nix::fcntl::SpliceFFlags::SPLICE_F_NONBLOCK;
    nix::fcntl::splice(from, None, file, None, part.len(), flags).map(drop)
}

/// Removes a directory with all that is in it, if it is one.
fn clear(spot: &Spot<'_>) -> nix::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let directory = openat(spot.directory, &spot.path, flags, Mode::empty())?;
    let mut entries = nix::dir::Dir::from_fd(directory)?;
    let names: Vec<_> = entries
        .iter()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_owned()))
        .filter(|name| !matches!(name.to_bytes(), b"." | b".."))
        .collect();
    for name in names {
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(name.to_bytes()));
        let inner = Spot {
            directory: entries.as_fd(),
            path,
        };
        let removed = unlinkat(inner.directory, &inner.path, UnlinkatFlags::NoRemoveDir);
        if removed == Err(Errno::EISDIR) {
            clear(&inner)?;
        }
    }
    unlinkat(spot.directory, &spot.path, UnlinkatFlags::RemoveDir)
}

/// A program of somebody else's that does several things. It opens no file that may be a FIFO.
fn shell(path: &Path) -> nix::Result<()> {
    let script = r#"echo one > "$0.new"; mv -f "$0.new" "$0"; ln -f "$0" "$0.old""#;
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).arg(path);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().map(drop).map_err(errno)
}

/// An access list with one more user, as the kernel keeps it.
fn access_list(user: u32) -> Vec<u8> {
    const OWNER: (u16, u16) = (1, 6);
    const USER: (u16, u16) = (2, 4);
    const GROUP: (u16, u16) = (4, 4);
    const MASK: (u16, u16) = (0x10, 6);
    const OTHER: (u16, u16) = (0x20, 4);
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, allowed) in [OWNER, USER, GROUP, MASK, OTHER] {
        let id = if (tag, allowed) == USER {
            user
        } else {
            u32::MAX
        };
        list.extend(tag.to_le_bytes());
        list.extend(allowed.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

fn mode_of(word: &str) -> Mode {
    Mode::from_bits_truncate(octal(word))
}

fn owner(word: &str) -> Option<Uid> {
    Some(Uid::from_raw(number(word)))
}

fn group_of(word: &str) -> Option<Gid> {
    Some(Gid::from_raw(number(word)))
}

fn time(seconds: &str, nanoseconds: &str) -> TimeSpec {
    TimeSpec::seconds(number(seconds)) + TimeSpec::nanoseconds(number(nanoseconds))
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EINVAL))
}
