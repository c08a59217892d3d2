//! Memory that the program has locked (`mlock`, `mlockall`). A copy has no locks, so it locks
//! the same ranges again.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "unmaps a page that it has mapped")]

use crate::kernel::{proc_text, procfs, records::Records};
use crate::sys::{self, Errno};

const MOST: usize = 16_384;

/// A locked range, and whether its pages are locked only as they are touched.
type Range = (usize, usize, bool);

/// What is locked.
pub(super) struct Locked {
    ranges: Records<Range>,
    /// Whether future mappings are locked too.
    future: bool,
}

fn locked_kilobytes() -> Result<u64, Errno> {
    let mut buffer = [0; 2048];
    let status = procfs::read(c"/proc/thread-self/status", &mut buffer)?;
    proc_text::kilobytes(status, "VmLck:").ok_or(procfs::SILENT)
}

impl Locked {
    /// # Errors
    /// If `/proc` can't be read, or if there are more ranges than fit.
    pub(super) fn record() -> Result<Self, Errno> {
        let mut locked = Self {
            ranges: Records::new(MOST),
            future: false,
        };
        let before = locked_kilobytes()?;
        if before == 0 {
            return Ok(locked);
        }
        // No call tells whether future mappings are locked; a new page does.
        let page = sys::map_memory(4096, false).ok_or(Errno(libc::ENOMEM))?;
        locked.future = locked_kilobytes()? > before;
        // SAFETY: mapped above, and used by nobody.
        unsafe { sys::unmap_memory(page, 4096) };
        let mut outcome = Ok(());
        let mut mapping = None;
        procfs::for_each_line(c"/proc/thread-self/smaps", |line| {
            if let Some(begun) = proc_text::mapping(line) {
                mapping = Some(begun);
            } else if proc_text::has_flag(line, b"lo")
                && let Some(mapping) = mapping
                && outcome.is_ok()
            {
                let on_fault = proc_text::has_flag(line, b"lf");
                let length = mapping.end - mapping.start;
                outcome = locked.ranges.push((mapping.start, length, on_fault));
            }
        })?;
        outcome?;
        Ok(locked)
    }

    /// Locks them again; returns how many ranges failed.
    pub(super) fn restore(&self) -> u32 {
        let mut failed = 0;
        if self.future {
            failed += u32::from(sys::lock_all_memory(libc::MCL_FUTURE).is_err());
        }
        for &(start, length, on_fault) in self.ranges.entries() {
            failed += u32::from(sys::lock_memory(start, length, on_fault).is_err());
        }
        failed
    }

    pub(super) fn release(self) {
        self.ranges.release();
    }
}
