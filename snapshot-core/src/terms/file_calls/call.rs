//! A system call that the journal is asked about, by what its arguments mean.
//!
//! The names are those of the calls. Calls with the same arguments share a variant; a call with
//! other arguments on i386 has one of its own there. So the variant alone tells how to read the
//! arguments.
//!
//! Context: AS-SAFE. The agent builds the filter from this list, and the journal decodes with it.

use crate::terms::guards::KEEP_RANGE;

/// Flags of an open that may change something.
///
/// `O_TMPFILE` works with an access mode for writing only.
pub const OPEN_TO_CHANGE: u32 =
    (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC).unsigned_abs();

/// The commands of [`FileCall::Ioctl`] that the journal is asked about.
///
/// They are FS_IOC_SETFLAGS, the same for a 32-bit `long`, and FS_IOC_FSSETXATTR.
pub const SET_ATTRIBUTES: [u32; 3] = [0x4008_6602, 0x4004_6602, 0x401c_5820];

/// The call number of a bind in [`FileCall::SocketCall`].
pub const SOCKETCALL_BIND: u32 = 2;

/// A call that the journal is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileCall {
    /// path, flags, mode. Asked only with one of [`OPEN_TO_CHANGE`].
    Open,
    /// directory, path, flags, mode. Asked as `Open` is.
    OpenAt,
    /// directory, path, `struct open_how`, its size.
    OpenAt2,
    /// path, mode.
    Creat,
    /// mount, `struct file_handle`, flags. Asked as `Open` is.
    OpenByHandleAt,
    /// path.
    Unlink,
    /// directory, path, flags.
    UnlinkAt,
    /// path.
    Rmdir,
    /// old path, new path.
    Rename,
    /// old directory, old path, new directory, new path.
    RenameAt,
    /// The same, and flags.
    RenameAt2,
    /// path, mode.
    Mkdir,
    /// directory, path, mode.
    MkdirAt,
    /// path, mode, device.
    Mknod,
    /// directory, path, mode, device.
    MknodAt,
    /// old path, new path.
    Link,
    /// old directory, old path, new directory, new path, flags.
    LinkAt,
    /// target, path.
    Symlink,
    /// target, directory, path.
    SymlinkAt,
    /// path, mode.
    Chmod,
    /// descriptor, mode.
    Fchmod,
    /// directory, path, mode.
    FchmodAt,
    /// The same, and flags.
    FchmodAt2,
    /// path, owner, group.
    Chown,
    /// The same, with numbers of 16 bits; 0xffff leaves one alone.
    Chown16,
    /// path, owner, group: of a link itself.
    Lchown,
    /// The same, with numbers of 16 bits.
    Lchown16,
    /// descriptor, owner, group.
    Fchown,
    /// The same, with numbers of 16 bits.
    Fchown16,
    /// directory, path, owner, group, flags.
    FchownAt,
    /// path, `struct utimbuf`.
    Utime,
    /// The same, with seconds of 32 bits.
    Utime32,
    /// path, two `struct timeval`.
    Utimes,
    /// The same, with seconds of 32 bits.
    Utimes32,
    /// directory, path, two `struct timeval`.
    FutimesAt,
    /// The same, with seconds of 32 bits.
    FutimesAt32,
    /// directory, path or null, two `struct timespec`, flags.
    UtimensAt,
    /// The same, with seconds of 32 bits.
    UtimensAt32,
    /// path, name, value, size, flags.
    SetXattr,
    /// The same, of a link itself.
    LsetXattr,
    /// descriptor, name, value, size, flags.
    FsetXattr,
    /// directory, path, flags, name, `struct xattr_args`, its size.
    SetXattrAt,
    /// path, name.
    RemoveXattr,
    /// The same, of a link itself.
    LremoveXattr,
    /// descriptor, name.
    FremoveXattr,
    /// directory, path, flags, name.
    RemoveXattrAt,
    /// directory, path, `struct file_attr`, its size, flags.
    FileSetAttr,
    /// path, size.
    Truncate,
    /// path, size of 32 bits with a sign.
    Truncate32,
    /// path, lower and upper half of the size.
    TruncateHalves,
    /// descriptor, size.
    Ftruncate,
    /// descriptor, size of 32 bits with a sign.
    Ftruncate32,
    /// descriptor, lower and upper half of the size.
    FtruncateHalves,
    /// descriptor, mode, offset, length.
    Fallocate,
    /// descriptor, mode, halves of the offset, halves of the length.
    FallocateHalves,
    /// descriptor, command, argument. Asked only when F_SETFL takes O_APPEND away, or leaves it
    /// away.
    Fcntl,
    /// descriptor, command, argument. Asked only for [`SET_ATTRIBUTES`], and for
    /// [`KEEP_RANGE`], which has an offset and a length.
    Ioctl,
    /// socket, address, its size.
    Bind,
    /// 2 for a bind, and then its three arguments as an array. Asked for nothing else.
    SocketCall,
    /// mask.
    Umask,
    /// path: the caller's root changes.
    Chroot,
    /// new root, place of the old one: the root of everybody who has it changes.
    PivotRoot,
    /// path.
    Umount,
    /// path, flags.
    Umount2,
    /// flags: the caller gets namespaces, or a root and directory, of its own.
    Unshare,
    /// namespace or process, kinds: the caller enters namespaces.
    SetNs,
    /// The caller changes some of its users or groups.
    SetIds,
    /// count, groups.
    SetGroups,
    /// header, sets.
    CapSet,
    /// rule set, flags.
    Landlock,
    /// path, arguments, environment.
    Exec,
    /// directory, path, arguments, environment, flags.
    ExecAt,
    /// entries, parameters. A ring's calls go past every filter.
    IoUringSetup,
}

impl FileCall {
    /// Whether the journal is asked about this call with these arguments.
    pub fn is_asked(self, arguments: &[u64; 6]) -> bool {
        // The kernel looks at the lower half of these alone.
        let [first, second, third, ..] = arguments.map(|word| (word & 0xffff_ffff) as u32);
        let set_flags = libc::F_SETFL.unsigned_abs();
        let append = libc::O_APPEND.unsigned_abs();
        match self {
            Self::Open => second & OPEN_TO_CHANGE != 0,
            Self::OpenAt | Self::OpenByHandleAt => third & OPEN_TO_CHANGE != 0,
            Self::Fcntl => second == set_flags && third & append == 0,
            Self::Ioctl => SET_ATTRIBUTES.contains(&second) || second == KEEP_RANGE,
            Self::SocketCall => first == SOCKETCALL_BIND,
            _ => true,
        }
    }
}
