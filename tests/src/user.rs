//! An ordinary user for what a test launches, who owns nothing but the test's place. If root
//! doesn't run the tests, it is the user who runs them.
#![expect(unsafe_code, reason = "changes ids between fork and exec")]

use std::ffi::CString;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use nix::unistd::geteuid;

use crate::deadline;

/// The ids of the user, and of an extra group.
const USER: u32 = 23_456;
const OTHER_GROUP: u32 = 23_457;

/// Gives a test's place to the user, with copies of these programs in it, since the user may
/// not be able to read the build directory. Returns the copies.
pub(crate) fn give<const N: usize>(place: &Path, programs: [&Path; N]) -> [PathBuf; N] {
    let directory = place.join("programs");
    fs::create_dir_all(&directory).expect("the place is ours");
    let copies = programs.map(|program| {
        let name = program.file_name().expect("a program has a name");
        let copy = directory.join(name);
        if !copy.exists() {
            // A child that starts meanwhile would inherit the file open for writing, and the
            // kernel doesn't run such a file.
            let _no_child = deadline::spawning();
            fs::copy(program, &copy).expect("the place is ours");
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        copy
    });
    if geteuid().is_root() {
        give_all(place);
    }
    copies
}

/// The user's copy of a program, if the place has one.
pub(crate) fn copy_of(place: &Path, program: &Path) -> Option<PathBuf> {
    let name = program.file_name().expect("a program has a name");
    let copy = place.join("programs").join(name);
    copy.exists().then_some(copy)
}

fn give_all(path: &Path) {
    lchown(path, Some(USER), Some(USER)).expect("root may");
    let is_directory = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    if !is_directory {
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        give_all(&entry.path());
    }
}

/// What the user may do for isolation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Everything needed.
    Allowed,
    /// The user is in a user namespace that allows no further one.
    NoUserNamespaces,
    /// A part of `/proc` is hidden, as in containers, so it can't be mounted again. Only root
    /// can hide it.
    MaskedProc,
}

/// Runs a command as the user.
pub(crate) fn become_user(command: &mut Command, isolation: Isolation) {
    let is_root = geteuid().is_root();
    let (user, group) = if is_root {
        (USER, USER)
    } else {
        (geteuid().as_raw(), nix::unistd::getegid().as_raw())
    };
    let map = |id: u32| CString::new(format!("{id} {id} 1")).expect("no NUL");
    let (users, groups) = (map(user), map(group));
    let prepare = move || {
        if isolation == Isolation::MaskedProc {
            mask_proc()?;
        }
        if is_root {
            let beside = [user, OTHER_GROUP];
            // SAFETY: reads the numbers given.
            check(unsafe { libc::setgroups(beside.len(), beside.as_ptr()) })?;
            // SAFETY: takes numbers.
            check(unsafe { libc::setresgid(group, group, group) })?;
            // SAFETY: takes numbers.
            check(unsafe { libc::setresuid(user, user, user) })?;
            // The change of ids has cleared the parent-death signal. SAFETY: takes numbers.
            check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
            // The change of ids has given the process's files in `/proc` to root. SAFETY: takes
            // numbers.
            check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) })?;
        }
        if isolation != Isolation::NoUserNamespaces {
            return Ok(());
        }
        // SAFETY: takes a number.
        check(unsafe { libc::unshare(libc::CLONE_NEWUSER) })?;
        write(c"/proc/self/setgroups", b"deny")?;
        write(c"/proc/self/uid_map", users.as_bytes())?;
        write(c"/proc/self/gid_map", groups.as_bytes())?;
        // The limit of the process's present namespace.
        write(c"/proc/sys/user/max_user_namespaces", b"0")
    };
    // SAFETY: the closure makes system calls only, on existing memory.
    unsafe { command.pre_exec(prepare) };
}

/// Hides a part of `/proc` from this process and its children alone.
fn mask_proc() -> io::Result<()> {
    // SAFETY: takes a number.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let nothing = std::ptr::null();
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: reads constant C strings; null where there is nothing to say.
    check(unsafe { libc::mount(nothing, c"/".as_ptr(), nothing, private, nothing.cast()) })?;
    let (kind, place) = (c"tmpfs".as_ptr(), c"/proc/sys".as_ptr());
    // SAFETY: as above.
    check(unsafe { libc::mount(kind, place, kind, 0, nothing.cast()) })
}

fn check(answer: i32) -> io::Result<()> {
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn write(path: &std::ffi::CStr, text: &[u8]) -> io::Result<()> {
    // SAFETY: reads up to the NUL.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    check(file)?;
    // SAFETY: reads the bytes given.
    let written = unsafe { libc::write(file, text.as_ptr().cast(), text.len()) };
    // SAFETY: opened above, and nobody else's.
    unsafe { libc::close(file) };
    check(if written < 0 { -1 } else { 0 })
}
