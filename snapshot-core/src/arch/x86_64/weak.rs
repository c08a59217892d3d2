//! A symbol that a program may have or not. Rust has no name for it on the stable compiler, so the
//! linker is asked in assembler.
//!
//! Not by `dlsym`: it knows only what the program exports, and a linker exports nothing of a program
//! unless a shared library or a list asks for it.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "reads an address that the linker has written")]

use core::arch::asm;

/// Where AFL++'s runtime has the size of its coverage map. Null in a program without that runtime.
pub(crate) fn afl_map_size() -> *const u32 {
    let place: *const u32;
    // SAFETY: reads one entry of the global offset table, which the linker makes for this line. It is 0
    // for a weak symbol that nobody defines.
    unsafe {
        asm!(
            ".weak __afl_map_size",
            "mov {place}, qword ptr [rip + __afl_map_size@GOTPCREL]",
            place = out(reg) place,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    place
}
