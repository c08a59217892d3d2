//! Reads of the calling process's memory that return an error where a plain read would crash.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "makes a system call")]

use super::syscall;

/// process_vm_readv(2) on the calling process; returns the kernel's answer.
pub(crate) fn read_own_memory(address: usize, into: &mut [u8]) -> i64 {
    let local = [into.as_mut_ptr().expose_provenance(), into.len()];
    let remote = [address, into.len()];
    // SAFETY: takes no argument.
    let own = unsafe { syscall(libc::SYS_gettid, [0; 6]) };
    // SAFETY: the local vector names `into` alone; the remote one is only read.
    unsafe {
        syscall(
            libc::SYS_process_vm_readv,
            [
                usize::try_from(own).unwrap_or(0),
                local.as_ptr().expose_provenance(),
                1,
                remote.as_ptr().expose_provenance(),
                1,
                0,
            ],
        )
    }
}

/// Reads all of `into`; false if any part can't be read.
pub(crate) fn can_read_own_memory(address: usize, into: &mut [u8]) -> bool {
    usize::try_from(read_own_memory(address, into)) == Ok(into.len())
}
