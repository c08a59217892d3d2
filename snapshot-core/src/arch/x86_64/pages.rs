//! Copies into memory that a checked copy of a sanitizer's would refuse.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "writes to addresses")]

use core::arch::asm;

/// Copies whole words of 8 bytes; what is left over stays. No function of the program's is called.
///
/// # Safety
/// `to` must be writable for as many bytes, and nobody may rely on what is there.
pub(crate) unsafe fn copy_words(to: usize, from: &[u8]) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "rep movsq",
            inout("rdi") to => _,
            inout("rsi") from.as_ptr() => _,
            inout("rcx") from.len() / 8 => _,
            options(nostack, preserves_flags),
        );
    }
}
