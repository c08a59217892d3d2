//! Memory: mapping it, and reading it with care.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "memory system calls")]

use core::ffi::c_void;
use core::ptr;

use super::{Errno, Result, arg, check, gettid, plain, with};
use crate::arch::{self, syscall};

/// process_vm_readv(2) on the calling process: a read that returns EFAULT if a plain one
/// would crash.
///
/// # Errors
/// EFAULT if the range is not readable; ENOSYS, EPERM if the call is not available.
pub(crate) fn read_own_memory(address: usize, into: &mut [u8]) -> Result<()> {
    let read = check(arch::read_own_memory(address, into))?;
    if read == into.len() {
        Ok(())
    } else {
        Err(Errno(libc::EFAULT))
    }
}

/// Anonymous memory for the engine's own records; `None` if there is none left. Forks share
/// shared memory, and copy private memory.
pub(crate) fn map_memory(length: usize, shared: bool) -> Option<ptr::NonNull<u8>> {
    let sharing = if shared {
        libc::MAP_SHARED
    } else {
        libc::MAP_PRIVATE
    };
    // SAFETY: a new anonymous mapping touches no memory in use.
    let address = check(unsafe {
        syscall(
            libc::SYS_mmap,
            [
                0,
                length,
                arg(libc::PROT_READ | libc::PROT_WRITE),
                arg(sharing | libc::MAP_ANONYMOUS),
                arg(-1),
                0,
            ],
        )
    })
    .ok()?;
    ptr::NonNull::new(ptr::with_exposed_provenance_mut(address))
}

/// mmap(2) of the beginning of a file, shared, to read and write.
///
/// # Errors
/// ENOMEM, EBADF and kin.
pub(crate) fn map_file_shared(fd: i32, length: usize) -> Result<ptr::NonNull<u8>> {
    // SAFETY: a new mapping touches no memory in use.
    let address = check(unsafe {
        syscall(
            libc::SYS_mmap,
            [
                0,
                length,
                arg(libc::PROT_READ | libc::PROT_WRITE),
                arg(libc::MAP_SHARED),
                arg(fd),
                0,
            ],
        )
    })?;
    ptr::NonNull::new(ptr::with_exposed_provenance_mut(address)).ok_or(Errno(libc::ENOMEM))
}

/// munmap(2)
///
/// # Safety
/// Nothing may use the range any more.
pub(crate) unsafe fn unmap_memory(start: ptr::NonNull<u8>, length: usize) {
    // SAFETY: the caller's promise is the call's only condition.
    let _ = unsafe {
        syscall(
            libc::SYS_munmap,
            [start.as_ptr().expose_provenance(), length, 0, 0, 0, 0],
        )
    };
}

/// madvise(2)
///
/// # Errors
/// EINVAL if the advice does not fit the mapping, ENOMEM if there is no mapping.
///
/// # Safety
/// The advice must not discard memory that is in use.
pub(crate) unsafe fn advise(start: usize, length: usize, advice: i32) -> Result<()> {
    plain(libc::SYS_madvise, [start, length, arg(advice)]).map(drop)
}

/// madvise(2): puts this range into huge pages now.
///
/// # Errors
/// EINVAL before Linux 6.1 or where the program forbids it; EAGAIN, ENOMEM without a free huge page.
pub(crate) fn make_huge(start: usize, length: usize) -> Result<()> {
    const MADV_COLLAPSE: i32 = 25;
    plain(libc::SYS_madvise, [start, length, arg(MADV_COLLAPSE)]).map(drop)
}

/// madvise(2) as a program asks for it.
///
/// # Errors
/// As the manual page says.
///
/// # Safety
/// As the program has to know.
pub unsafe fn advise_of_program(start: *mut c_void, length: usize, advice: i32) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { advise(start.expose_provenance(), length, advice) }
}

/// mmap(2) as a program asks for it.
///
/// # Errors
/// As the manual page says.
///
/// # Safety
/// As the program has to know.
pub unsafe fn map_for_program(
    start: *mut c_void,
    length: usize,
    protection: i32,
    flags: i32,
    fd: i32,
    offset: i64,
) -> Result<*mut c_void> {
    // SAFETY: the caller's promise.
    let mapped = check(unsafe {
        syscall(
            libc::SYS_mmap,
            [
                start.expose_provenance(),
                length,
                arg(protection),
                arg(flags),
                arg(fd),
                usize::from_ne_bytes(offset.to_ne_bytes()),
            ],
        )
    })?;
    Ok(ptr::with_exposed_provenance_mut(mapped))
}

/// mlock2(2): keeps a range in memory, all of it now or each page once it is used.
///
/// # Errors
/// ENOMEM, EPERM if the limit is lower; EAGAIN.
pub(crate) fn lock_memory(start: usize, length: usize, on_fault: bool) -> Result<()> {
    let flags = if on_fault {
        libc::MLOCK_ONFAULT as usize
    } else {
        0
    };
    plain(libc::SYS_mlock2, [start, length, flags]).map(drop)
}

/// mlockall(2)
///
/// # Errors
/// ENOMEM, EPERM if the limit is lower.
pub(crate) fn lock_all_memory(flags: i32) -> Result<()> {
    plain(libc::SYS_mlockall, [arg(flags)]).map(drop)
}

/// mprotect(PROT_NONE) of memory that is not in use.
///
/// # Errors
/// ENOMEM.
pub(crate) fn protect_from_all(start: usize, length: usize) -> Result<()> {
    plain(libc::SYS_mprotect, [start, length, arg(libc::PROT_NONE)]).map(drop)
}

/// mprotect(2)
///
/// # Errors
/// EACCES if the mapping's file was not opened for it, ENOMEM.
pub(crate) fn protect(start: usize, length: usize, protection: i32) -> Result<()> {
    plain(libc::SYS_mprotect, [start, length, arg(protection)]).map(drop)
}

/// mremap(2) to another length, wherever there is room.
///
/// # Errors
/// ENOMEM.
///
/// # Safety
/// Nothing may use the old range any more.
pub(crate) unsafe fn resize_memory(
    start: ptr::NonNull<u8>,
    length: usize,
    wanted: usize,
) -> Result<ptr::NonNull<u8>> {
    // SAFETY: the caller's promise.
    let address = check(unsafe {
        syscall(
            libc::SYS_mremap,
            [
                start.as_ptr().expose_provenance(),
                length,
                wanted,
                arg(libc::MREMAP_MAYMOVE),
                0,
                0,
            ],
        )
    })?;
    ptr::NonNull::new(ptr::with_exposed_provenance_mut(address)).ok_or(Errno(libc::ENOMEM))
}

/// process_vm_writev(2) on the calling process. Where a plain write would crash it ends early:
/// at memory that is not writable, or behind the end of a file. Returns how much was written.
///
/// # Errors
/// EFAULT if nothing could be written.
///
/// # Safety
/// The caller must own the range.
pub(crate) unsafe fn write_own_memory(address: usize, from: &[u8]) -> Result<usize> {
    let local = [from.as_ptr().expose_provenance(), from.len()];
    let remote = [address, from.len()];
    // SAFETY: the local vector names `from` alone, which is only read.
    check(unsafe {
        syscall(
            libc::SYS_process_vm_writev,
            [
                arg(gettid()),
                local.as_ptr().expose_provenance(),
                1,
                remote.as_ptr().expose_provenance(),
                1,
                0,
            ],
        )
    })
}

/// mincore(2): whether each page is in memory, in bit 0 of each byte.
///
/// # Errors
/// ENOMEM if a part of the range is not mapped.
pub(crate) fn resident_pages(start: usize, length: usize, pages: &mut [u8]) -> Result<()> {
    if pages.len() < length.div_ceil(4096) {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: writes a byte a page, for which there is room.
    check(unsafe {
        syscall(
            libc::SYS_mincore,
            [
                start,
                length,
                pages.as_mut_ptr().expose_provenance(),
                0,
                0,
                0,
            ],
        )
    })
    .map(drop)
}

/// mmap(2) of addresses alone: they use no memory, and promise none.
pub(crate) fn reserve_addresses(length: usize) -> Option<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    plain(
        libc::SYS_mmap,
        [0, length, arg(libc::PROT_NONE), arg(flags), arg(-1), 0],
    )
    .ok()
}

/// mmap(2) of a file over an existing mapping.
///
/// # Errors
/// ENOMEM, EACCES and kin; then the old mapping is unchanged.
///
/// # Safety
/// The old mapping must have the same contents.
pub(crate) unsafe fn map_over(
    (start, length): (usize, usize),
    protection: i32,
    is_shared: bool,
    fd: i32,
    offset: u64,
) -> Result<()> {
    let sharing = if is_shared {
        libc::MAP_SHARED
    } else {
        libc::MAP_PRIVATE
    };
    // SAFETY: the caller's promise.
    check(unsafe {
        syscall(
            libc::SYS_mmap,
            [
                start,
                length,
                arg(protection),
                arg(sharing | libc::MAP_FIXED),
                arg(fd),
                usize::try_from(offset).unwrap_or(0),
            ],
        )
    })
    .map(drop)
}

/// mmap(2) of inaccessible memory over an existing mapping.
///
/// # Errors
/// ENOMEM; then the old mapping is unchanged.
///
/// # Safety
/// Nothing may use the range until it is mapped again.
pub(crate) unsafe fn reserve(start: usize, length: usize) -> Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
    // SAFETY: the caller's promise.
    check(unsafe {
        syscall(
            libc::SYS_mmap,
            [start, length, arg(libc::PROT_NONE), arg(flags), arg(-1), 0],
        )
    })
    .map(drop)
}

/// memfd_create(2), close-on-exec and sealable.
///
/// # Errors
/// EMFILE, ENFILE, ENOMEM.
pub(crate) fn memfd(name: &core::ffi::CStr) -> Result<i32> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: reads up to the NUL.
    check(unsafe {
        syscall(
            libc::SYS_memfd_create,
            [
                name.as_ptr().expose_provenance(),
                flags as usize,
                0,
                0,
                0,
                0,
            ],
        )
    })
    .map(super::small)
}

/// sysinfo(2): whether this system uses any of its swap space.
pub(crate) fn is_swapping() -> bool {
    // The length of `struct sysinfo`, and two of its longs.
    const BYTES: usize = 112;
    const LONG: usize = 8;
    const TOTAL_SWAP: usize = 8 * LONG;
    const FREE_SWAP: usize = TOTAL_SWAP + LONG;
    let mut information = [0_u8; BYTES];
    // SAFETY: writes one `struct sysinfo`.
    let asked = check(unsafe {
        syscall(
            libc::SYS_sysinfo,
            [information.as_mut_ptr().expose_provenance(), 0, 0, 0, 0, 0],
        )
    });
    let long = |at: usize| information.get(at..at + LONG);
    asked.is_err() || long(TOTAL_SWAP) != long(FREE_SWAP)
}

/// A page that can be read and written, within reach of a jump from `address`.
pub(crate) fn map_page_near(address: usize) -> Option<usize> {
    const PAGE: usize = 4096;
    const STEP: usize = 16 << 20;
    // A jump reaches 2 GiB; what it belongs to may be large itself.
    const STEPS: usize = 96;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    (1..=STEPS).find_map(|step| {
        let wanted = (address & !(PAGE - 1)).checked_sub(step * STEP)?;
        let protection = arg(libc::PROT_READ | libc::PROT_WRITE);
        let mapped = plain(
            libc::SYS_mmap,
            [wanted, PAGE, protection, arg(flags), arg(-1), 0],
        )
        .ok()?;
        if mapped == wanted {
            return Some(mapped);
        }
        // Kernels before 4.17 take the address for a hint.
        let _ = plain(libc::SYS_munmap, [mapped, PAGE]);
        None
    })
}

/// Writes to code, which may lie across two pages.
///
/// # Errors
/// EACCES if that is forbidden here; ENOMEM.
///
/// # Safety
/// No other thread may run there.
pub(crate) unsafe fn write_code(address: usize, code: &[u8]) -> Result<()> {
    const PAGE: usize = 4096;
    let start = address & !(PAGE - 1);
    let length = (address + code.len()).next_multiple_of(PAGE) - start;
    let open = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    protect(start, length, open)?;
    // SAFETY: the caller's promise.
    let written = unsafe { write_own_memory(address, code) };
    protect(start, length, libc::PROT_READ | libc::PROT_EXEC)?;
    written.map(drop)
}

/// membarrier(2): every processor fetches code anew before it runs this process again. Kernels
/// before 4.16 can't; there the change of the protection has to do.
pub(crate) fn synchronize_code() {
    const SYNC_CORE: usize = 1 << 5;
    const REGISTER_SYNC_CORE: usize = 1 << 6;
    let _ = plain(libc::SYS_membarrier, [REGISTER_SYNC_CORE, 0, 0]);
    let _ = plain(libc::SYS_membarrier, [SYNC_CORE, 0, 0]);
}

/// munmap(2)
///
/// # Safety
/// Nothing may use the range any more.
///
/// # Errors
/// EINVAL for a range that is none.
pub(crate) unsafe fn unmap_range(start: usize, length: usize) -> Result<()> {
    plain(libc::SYS_munmap, [start, length]).map(drop)
}

/// process_vm_readv(2): reads all of `into` from another process.
///
/// # Errors
/// EFAULT if a part is not readable there; EPERM if it may not be read.
pub(crate) fn read_memory_of(pid: i32, address: usize, into: &mut [u8]) -> Result<()> {
    let local = [into.as_mut_ptr().expose_provenance(), into.len()];
    let remote = [address, into.len()];
    // SAFETY: the local vector names `into` alone; the remote one is only read.
    let read = check(unsafe {
        syscall(
            libc::SYS_process_vm_readv,
            [
                arg(pid),
                local.as_ptr().expose_provenance(),
                1,
                remote.as_ptr().expose_provenance(),
                1,
                0,
            ],
        )
    })?;
    if read == into.len() {
        Ok(())
    } else {
        Err(Errno(libc::EFAULT))
    }
}

/// A range of pages, as the kernel tells it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PageRange {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// PAGE_IS_*
    categories: u64,
}

/// PAGEMAP_SCAN (Linux 6.7) on a descriptor of `pagemap`: the ranges with pages that are in use, and are
/// neither a file's nor the kernel's page of zeros. Returns how many have been found. If there is room for
/// more, these are all; else the rest is behind the last. (What the kernel tells of how far it has come is
/// not right with more than 512.)
///
/// # Errors
/// ENOTTY before Linux 6.7.
pub(crate) fn pages_in_use(
    pagemap: i32,
    start: usize,
    end: usize,
    ranges: &mut [PageRange],
) -> Result<usize> {
    const PAGEMAP_SCAN: usize = 0xc060_6610;
    const FILE: u64 = 1 << 2;
    const PRESENT: u64 = 1 << 3;
    const SWAPPED: u64 = 1 << 4;
    const ZERO: u64 = 1 << 5;
    #[repr(C)]
    struct Scan {
        size: u64,
        flags: u64,
        start: u64,
        end: u64,
        walk_end: u64,
        ranges: u64,
        length: u64,
        most_pages: u64,
        inverted: u64,
        all_of: u64,
        any_of: u64,
        told: u64,
    }
    let mut scan = Scan {
        size: size_of::<Scan>() as u64,
        flags: 0,
        start: start as u64,
        end: end as u64,
        walk_end: 0,
        ranges: ranges.as_mut_ptr().expose_provenance() as u64,
        length: ranges.len() as u64,
        most_pages: 0,
        inverted: FILE | ZERO,
        all_of: FILE | ZERO,
        any_of: PRESENT | SWAPPED,
        told: PRESENT,
    };
    // SAFETY: writes the structure and the ranges, as many as it says.
    unsafe {
        with(
            libc::SYS_ioctl,
            [
                arg(pagemap),
                PAGEMAP_SCAN,
                (&raw mut scan).expose_provenance(),
            ],
        )
    }
}
