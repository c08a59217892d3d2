//! The registers of a thread that are not in a signal frame.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "asks the kernel for registers")]

use super::syscall;

/// A thread's FS and GS bases, which the kernel keeps outside a signal frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SegmentBases {
    pub(crate) fs: usize,
    pub(crate) gs: usize,
}

const ARCH_SET_GS: usize = 0x1001;
const ARCH_GET_FS: usize = 0x1003;
const ARCH_GET_GS: usize = 0x1004;
const ARCH_SHSTK_STATUS: usize = 0x5005;

fn arch_prctl(option: usize, address: usize) -> i64 {
    // SAFETY: every use below passes what the option expects.
    unsafe { syscall(libc::SYS_arch_prctl, [option, address, 0, 0, 0, 0]) }
}

impl SegmentBases {
    /// Those of the calling thread.
    pub(crate) fn of_this_thread() -> Self {
        let mut bases = Self { fs: 0, gs: 0 };
        // Both options write one long there.
        arch_prctl(ARCH_GET_FS, (&raw mut bases.fs).expose_provenance());
        arch_prctl(ARCH_GET_GS, (&raw mut bases.gs).expose_provenance());
        bases
    }

    /// Sets the calling thread's GS base; FS is set when a thread is made.
    pub(crate) fn restore_gs(self) {
        arch_prctl(ARCH_SET_GS, self.gs);
    }
}

/// Whether the calling thread has a shadow stack; a thread made again would have none.
pub(crate) fn has_shadow_stack() -> bool {
    let mut features = 0_usize;
    // The option writes one long there; older kernels don't know it.
    arch_prctl(ARCH_SHSTK_STATUS, (&raw mut features).expose_provenance()) == 0 && features != 0
}
