//! Reads the arguments of a call in the caller's memory, each once: another thread may change
//! them at any time.

use std::io::IoSliceMut;

use nix::errno::Errno;
use nix::libc;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

/// The longest path, with its zero.
const PATH_BYTES: usize = libc::PATH_MAX as usize;

/// Pages are at least that large: a read that stays inside one is whole or fails.
const PAGE: u64 = 4096;

/// The memory of a thread that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory(Pid);

impl Memory {
    pub(super) fn of(tid: i32) -> Self {
        Self(Pid::from_raw(tid))
    }

    /// A path.
    ///
    /// # Errors
    /// EFAULT, ENAMETOOLONG: what the kernel would say. EPERM if this process may not read the
    /// caller's memory.
    pub(super) fn path(self, address: u64) -> Result<Vec<u8>, Errno> {
        self.text(address, PATH_BYTES, Errno::ENAMETOOLONG)
    }

    /// Text up to its zero, of less than `most` bytes.
    ///
    /// # Errors
    /// As [`Memory::path`]; `too_long` if there is no zero in `most` bytes.
    pub(super) fn text(self, address: u64, most: usize, too_long: Errno) -> Result<Vec<u8>, Errno> {
        let mut text = Vec::with_capacity(256.min(most));
        while text.len() < most {
            let from = address.wrapping_add(text.len() as u64);
            // Most paths end in their first page, and are short.
            let in_page = usize::try_from(PAGE - from % PAGE).unwrap_or(1);
            let wanted = if text.is_empty() { 256 } else { 4096 };
            let wanted = in_page.min(wanted).min(most - text.len());
            let begun = text.len();
            text.resize(begun + wanted, 0);
            self.read(from, &mut text[begun..])?;
            if let Some(end) = text[begun..].iter().position(|byte| *byte == 0) {
                text.truncate(begun + end);
                return Ok(text);
            }
        }
        Err(too_long)
    }

    /// As many bytes as there is room for.
    ///
    /// # Errors
    /// EFAULT if not all are there.
    pub(super) fn read(self, address: u64, bytes: &mut [u8]) -> Result<(), Errno> {
        let wanted = bytes.len();
        if wanted == 0 {
            return Ok(());
        }
        let base = usize::try_from(address).map_err(|_| Errno::EFAULT)?;
        let remote = [RemoteIoVec { base, len: wanted }];
        match process_vm_readv(self.0, &mut [IoSliceMut::new(bytes)], &remote) {
            Ok(read) if read == wanted => Ok(()),
            Ok(_) => Err(Errno::EFAULT),
            Err(errno) => Err(errno),
        }
    }

    /// Numbers of 64 bits in a row.
    ///
    /// # Errors
    /// As [`Memory::read`].
    pub(super) fn words<const N: usize>(self, address: u64) -> Result<[u64; N], Errno> {
        let mut words = [0; N];
        let mut bytes = vec![0; 8 * N];
        self.read(address, &mut bytes)?;
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
        }
        Ok(words)
    }
}
