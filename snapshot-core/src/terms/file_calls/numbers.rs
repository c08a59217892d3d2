//! The numbers of the calls that the journal is asked about, on each machine that a process of
//! an x86_64 kernel can speak: its own, x32 and i386.
//!
//! Context: AS-SAFE.

use super::call::FileCall;

/// `AUDIT_ARCH_X86_64`: how the kernel names the machine of 64-bit and x32 calls.
pub const ARCH_X86_64: u32 = 0xc000_003e;

/// `AUDIT_ARCH_I386`: the same for 32-bit calls, which a 64-bit program can make too.
pub const ARCH_I386: u32 = 0x4000_0003;

/// Marks the number of an x32 call. Without it, the number is that of the 64-bit call.
pub const X32_BIT: u32 = 0x4000_0000;

/// All numbers of the table are below this.
pub const NUMBERS: u32 = 600;

/// Each call with its numbers for x86_64 and for i386.
///
/// 514, 520 and 545 are numbers of x32 alone.
const CALLS: &[(FileCall, &[u16], &[u16])] = &[
    (FileCall::Open, &[2], &[5]),
    (FileCall::OpenAt, &[257], &[295]),
    (FileCall::OpenAt2, &[437], &[437]),
    (FileCall::Creat, &[85], &[8]),
    (FileCall::OpenByHandleAt, &[304], &[342]),
    (FileCall::Unlink, &[87], &[10]),
    (FileCall::UnlinkAt, &[263], &[301]),
    (FileCall::Rmdir, &[84], &[40]),
    (FileCall::Rename, &[82], &[38]),
    (FileCall::RenameAt, &[264], &[302]),
    (FileCall::RenameAt2, &[316], &[353]),
    (FileCall::Mkdir, &[83], &[39]),
    (FileCall::MkdirAt, &[258], &[296]),
    (FileCall::Mknod, &[133], &[14]),
    (FileCall::MknodAt, &[259], &[297]),
    (FileCall::Link, &[86], &[9]),
    (FileCall::LinkAt, &[265], &[303]),
    (FileCall::Symlink, &[88], &[83]),
    (FileCall::SymlinkAt, &[266], &[304]),
    (FileCall::Chmod, &[90], &[15]),
    (FileCall::Fchmod, &[91], &[94]),
    (FileCall::FchmodAt, &[268], &[306]),
    (FileCall::FchmodAt2, &[452], &[452]),
    (FileCall::Chown, &[92], &[212]),
    (FileCall::Chown16, &[], &[182]),
    (FileCall::Lchown, &[94], &[198]),
    (FileCall::Lchown16, &[], &[16]),
    (FileCall::Fchown, &[93], &[207]),
    (FileCall::Fchown16, &[], &[95]),
    (FileCall::FchownAt, &[260], &[298]),
    (FileCall::Utime, &[132], &[]),
    (FileCall::Utime32, &[], &[30]),
    (FileCall::Utimes, &[235], &[]),
    (FileCall::Utimes32, &[], &[271]),
    (FileCall::FutimesAt, &[261], &[]),
    (FileCall::FutimesAt32, &[], &[299]),
    (FileCall::UtimensAt, &[280], &[412]),
    (FileCall::UtimensAt32, &[], &[320]),
    (FileCall::SetXattr, &[188], &[226]),
    (FileCall::LsetXattr, &[189], &[227]),
    (FileCall::FsetXattr, &[190], &[228]),
    (FileCall::SetXattrAt, &[463], &[463]),
    (FileCall::RemoveXattr, &[197], &[235]),
    (FileCall::LremoveXattr, &[198], &[236]),
    (FileCall::FremoveXattr, &[199], &[237]),
    (FileCall::RemoveXattrAt, &[466], &[466]),
    (FileCall::FileSetAttr, &[469], &[469]),
    (FileCall::Truncate, &[76], &[]),
    (FileCall::Truncate32, &[], &[92]),
    (FileCall::TruncateHalves, &[], &[193]),
    (FileCall::Ftruncate, &[77], &[]),
    (FileCall::Ftruncate32, &[], &[93]),
    (FileCall::FtruncateHalves, &[], &[194]),
    (FileCall::Fallocate, &[285], &[]),
    (FileCall::FallocateHalves, &[], &[324]),
    (FileCall::Fcntl, &[72], &[55, 221]),
    (FileCall::Ioctl, &[16, 514], &[54]),
    (FileCall::Bind, &[49], &[361]),
    (FileCall::SocketCall, &[], &[102]),
    (FileCall::Umask, &[95], &[60]),
    (FileCall::Chroot, &[161], &[61]),
    (FileCall::PivotRoot, &[155], &[217]),
    (FileCall::Umount, &[], &[22]),
    (FileCall::Umount2, &[166], &[52]),
    (FileCall::Unshare, &[272], &[310]),
    (FileCall::SetNs, &[308], &[346]),
    (
        FileCall::SetIds,
        &[105, 106, 113, 114, 117, 119, 122, 123],
        &[
            23, 46, 70, 71, 138, 139, 164, 170, 203, 204, 208, 210, 213, 214, 215, 216,
        ],
    ),
    (FileCall::SetGroups, &[116], &[81, 206]),
    (FileCall::CapSet, &[126], &[185]),
    (FileCall::Landlock, &[446], &[446]),
    (FileCall::Exec, &[59, 520], &[11]),
    (FileCall::ExecAt, &[322, 545], &[358]),
    (FileCall::IoUringSetup, &[425], &[425]),
];

/// The call of each number of a machine.
type ByNumber = [Option<FileCall>; NUMBERS as usize];

static X86_64: ByNumber = by_number(false);
static I386: ByNumber = by_number(true);

const fn by_number(is_i386: bool) -> ByNumber {
    let mut table = [None; NUMBERS as usize];
    let mut row = 0;
    while row < CALLS.len() {
        let (call, of_x86_64, of_i386) = CALLS[row];
        let numbers = if is_i386 { of_i386 } else { of_x86_64 };
        let mut at = 0;
        while at < numbers.len() {
            let number = numbers[at] as usize;
            assert!(table[number].is_none(), "a number stands for one call");
            table[number] = Some(call);
            at += 1;
        }
        row += 1;
    }
    table
}

impl FileCall {
    /// The call with this number on this machine (`arch` and `nr` of `struct seccomp_data`), if
    /// the journal is asked about it.
    ///
    /// Whether it asks may also depend on the arguments; each variant says so.
    pub const fn of(arch: u32, number: u32) -> Option<Self> {
        let (table, number) = match arch {
            ARCH_X86_64 => (&X86_64, number & !X32_BIT),
            ARCH_I386 => (&I386, number),
            _ => return None,
        };
        if number < NUMBERS {
            table[number as usize]
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the calls in the C header, by variant.
    const NAMES: &[(FileCall, &[&str])] = &[
        (FileCall::Open, &["open"]),
        (FileCall::OpenAt, &["openat"]),
        (FileCall::OpenAt2, &["openat2"]),
        (FileCall::Creat, &["creat"]),
        (FileCall::OpenByHandleAt, &["open_by_handle_at"]),
        (FileCall::Unlink, &["unlink"]),
        (FileCall::UnlinkAt, &["unlinkat"]),
        (FileCall::Rmdir, &["rmdir"]),
        (FileCall::Rename, &["rename"]),
        (FileCall::RenameAt, &["renameat"]),
        (FileCall::RenameAt2, &["renameat2"]),
        (FileCall::Mkdir, &["mkdir"]),
        (FileCall::MkdirAt, &["mkdirat"]),
        (FileCall::Mknod, &["mknod"]),
        (FileCall::MknodAt, &["mknodat"]),
        (FileCall::Link, &["link"]),
        (FileCall::LinkAt, &["linkat"]),
        (FileCall::Symlink, &["symlink"]),
        (FileCall::SymlinkAt, &["symlinkat"]),
        (FileCall::Chmod, &["chmod"]),
        (FileCall::Fchmod, &["fchmod"]),
        (FileCall::FchmodAt, &["fchmodat"]),
        (FileCall::FchmodAt2, &["fchmodat2"]),
        (FileCall::Chown, &["chown32"]),
        (FileCall::Chown16, &["chown"]),
        (FileCall::Lchown, &["lchown32"]),
        (FileCall::Lchown16, &["lchown"]),
        (FileCall::Fchown, &["fchown32"]),
        (FileCall::Fchown16, &["fchown"]),
        (FileCall::FchownAt, &["fchownat"]),
        (FileCall::Utime32, &["utime"]),
        (FileCall::Utimes32, &["utimes"]),
        (FileCall::FutimesAt32, &["futimesat"]),
        (FileCall::UtimensAt, &["utimensat_time64"]),
        (FileCall::UtimensAt32, &["utimensat"]),
        (FileCall::SetXattr, &["setxattr"]),
        (FileCall::LsetXattr, &["lsetxattr"]),
        (FileCall::FsetXattr, &["fsetxattr"]),
        (FileCall::SetXattrAt, &["setxattrat"]),
        (FileCall::RemoveXattr, &["removexattr"]),
        (FileCall::LremoveXattr, &["lremovexattr"]),
        (FileCall::FremoveXattr, &["fremovexattr"]),
        (FileCall::RemoveXattrAt, &["removexattrat"]),
        (FileCall::FileSetAttr, &["file_setattr"]),
        (FileCall::Truncate32, &["truncate"]),
        (FileCall::TruncateHalves, &["truncate64"]),
        (FileCall::Ftruncate32, &["ftruncate"]),
        (FileCall::FtruncateHalves, &["ftruncate64"]),
        (FileCall::FallocateHalves, &["fallocate"]),
        (FileCall::Fcntl, &["fcntl", "fcntl64"]),
        (FileCall::Ioctl, &["ioctl"]),
        (FileCall::Bind, &["bind"]),
        (FileCall::SocketCall, &["socketcall"]),
        (FileCall::Umask, &["umask"]),
        (FileCall::Chroot, &["chroot"]),
        (FileCall::PivotRoot, &["pivot_root"]),
        (FileCall::Umount, &["umount"]),
        (FileCall::Umount2, &["umount2"]),
        (FileCall::Unshare, &["unshare"]),
        (FileCall::SetNs, &["setns"]),
        (
            FileCall::SetIds,
            &[
                "setuid",
                "setgid",
                "setreuid",
                "setregid",
                "setfsuid",
                "setfsgid",
                "setresuid",
                "setresgid",
                "setreuid32",
                "setregid32",
                "setresuid32",
                "setresgid32",
                "setuid32",
                "setgid32",
                "setfsuid32",
                "setfsgid32",
            ],
        ),
        (FileCall::SetGroups, &["setgroups", "setgroups32"]),
        (FileCall::CapSet, &["capset"]),
        (FileCall::Landlock, &["landlock_restrict_self"]),
        (FileCall::Exec, &["execve"]),
        (FileCall::ExecAt, &["execveat"]),
        (FileCall::IoUringSetup, &["io_uring_setup"]),
    ];

    #[test]
    fn numbers_of_x86_64_are_those_of_libc() {
        let expected: &[(FileCall, i64)] = &[
            (FileCall::Open, libc::SYS_open),
            (FileCall::OpenAt, libc::SYS_openat),
            (FileCall::OpenAt2, libc::SYS_openat2),
            (FileCall::Creat, libc::SYS_creat),
            (FileCall::OpenByHandleAt, libc::SYS_open_by_handle_at),
            (FileCall::Unlink, libc::SYS_unlink),
            (FileCall::UnlinkAt, libc::SYS_unlinkat),
            (FileCall::Rmdir, libc::SYS_rmdir),
            (FileCall::Rename, libc::SYS_rename),
            (FileCall::RenameAt, libc::SYS_renameat),
            (FileCall::RenameAt2, libc::SYS_renameat2),
            (FileCall::Mkdir, libc::SYS_mkdir),
            (FileCall::MkdirAt, libc::SYS_mkdirat),
            (FileCall::Mknod, libc::SYS_mknod),
            (FileCall::MknodAt, libc::SYS_mknodat),
            (FileCall::Link, libc::SYS_link),
            (FileCall::LinkAt, libc::SYS_linkat),
            (FileCall::Symlink, libc::SYS_symlink),
            (FileCall::SymlinkAt, libc::SYS_symlinkat),
            (FileCall::Chmod, libc::SYS_chmod),
            (FileCall::Fchmod, libc::SYS_fchmod),
            (FileCall::FchmodAt, libc::SYS_fchmodat),
            (FileCall::FchmodAt2, libc::SYS_fchmodat2),
            (FileCall::Chown, libc::SYS_chown),
            (FileCall::Lchown, libc::SYS_lchown),
            (FileCall::Fchown, libc::SYS_fchown),
            (FileCall::FchownAt, libc::SYS_fchownat),
            (FileCall::Utime, libc::SYS_utime),
            (FileCall::Utimes, libc::SYS_utimes),
            (FileCall::FutimesAt, libc::SYS_futimesat),
            (FileCall::UtimensAt, libc::SYS_utimensat),
            (FileCall::SetXattr, libc::SYS_setxattr),
            (FileCall::LsetXattr, libc::SYS_lsetxattr),
            (FileCall::FsetXattr, libc::SYS_fsetxattr),
            (FileCall::RemoveXattr, libc::SYS_removexattr),
            (FileCall::LremoveXattr, libc::SYS_lremovexattr),
            (FileCall::FremoveXattr, libc::SYS_fremovexattr),
            (FileCall::Truncate, libc::SYS_truncate),
            (FileCall::Ftruncate, libc::SYS_ftruncate),
            (FileCall::Fallocate, libc::SYS_fallocate),
            (FileCall::Fcntl, libc::SYS_fcntl),
            (FileCall::Ioctl, libc::SYS_ioctl),
            (FileCall::Bind, libc::SYS_bind),
            (FileCall::Umask, libc::SYS_umask),
            (FileCall::Chroot, libc::SYS_chroot),
            (FileCall::PivotRoot, libc::SYS_pivot_root),
            (FileCall::Umount2, libc::SYS_umount2),
            (FileCall::Unshare, libc::SYS_unshare),
            (FileCall::SetNs, libc::SYS_setns),
            (FileCall::SetIds, libc::SYS_setuid),
            (FileCall::SetIds, libc::SYS_setgid),
            (FileCall::SetIds, libc::SYS_setreuid),
            (FileCall::SetIds, libc::SYS_setregid),
            (FileCall::SetIds, libc::SYS_setresuid),
            (FileCall::SetIds, libc::SYS_setresgid),
            (FileCall::SetIds, libc::SYS_setfsuid),
            (FileCall::SetIds, libc::SYS_setfsgid),
            (FileCall::SetGroups, libc::SYS_setgroups),
            (FileCall::CapSet, libc::SYS_capset),
            (FileCall::Landlock, libc::SYS_landlock_restrict_self),
            (FileCall::Exec, libc::SYS_execve),
            (FileCall::ExecAt, libc::SYS_execveat),
            (FileCall::IoUringSetup, libc::SYS_io_uring_setup),
        ];
        for &(call, number) in expected {
            let number = u32::try_from(number).expect("numbers of calls are small");
            assert_eq!(FileCall::of(ARCH_X86_64, number), Some(call), "{number}");
            assert_eq!(FileCall::of(ARCH_X86_64, number | X32_BIT), Some(call));
        }
        // And the ones that libc does not name, and those of x32 alone.
        let listed = X86_64.iter().flatten().count();
        assert_eq!(listed, expected.len() + 3 + 3);
    }

    /// The lines `#define __NR_NAME NUMBER` of the kernel's header, if it is installed.
    fn header_of_i386() -> Option<Vec<(String, u32)>> {
        let places = [
            "/usr/include/x86_64-linux-gnu/asm/unistd_32.h",
            "/usr/include/asm/unistd_32.h",
        ];
        let text = places
            .iter()
            .find_map(|place| std::fs::read_to_string(place).ok())?;
        let numbers = text.lines().filter_map(|line| {
            let (name, number) = line.strip_prefix("#define __NR_")?.split_once(' ')?;
            Some((name.to_owned(), number.trim().parse().ok()?))
        });
        Some(numbers.collect())
    }

    #[test]
    fn numbers_of_i386_are_those_of_the_header() {
        let Some(header) = header_of_i386() else {
            eprintln!("the kernel's header for i386 is not installed here: nothing to compare");
            return;
        };
        assert!(header.len() > 300, "{}", header.len());
        for (name, number) in &header {
            let named = NAMES
                .iter()
                .find(|(_, names)| names.contains(&name.as_str()))
                .map(|(call, _)| *call);
            assert_eq!(FileCall::of(ARCH_I386, *number), named, "{name} {number}");
        }
    }

    #[test]
    fn every_variant_is_in_the_table_and_has_a_name() {
        for &(call, of_x86_64, of_i386) in CALLS {
            assert!(!of_x86_64.is_empty() || !of_i386.is_empty(), "{call:?}");
            let is_named = NAMES.iter().any(|(named, _)| *named == call);
            assert_eq!(is_named, !of_i386.is_empty(), "{call:?}");
        }
        assert_eq!(FileCall::of(ARCH_X86_64, 100_000), None);
        assert_eq!(FileCall::of(0, 2), None);
    }
}
