//! A symbol that a program may have or not. Rust has no name for it on the stable compiler, so the
//! linker is asked in assembler.
//!
//! Not by `dlsym`: it knows only what the program exports, and a linker exports nothing of a program
//! unless a shared library or a list asks for it.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "reads an address that the linker has written")]

use core::arch::asm;

/// Reads the entry of the global offset table that the linker makes for the symbol. It is 0 for a weak one
/// that nobody defines.
macro_rules! weak {
    ($name:literal) => {{
        let place: *const ();
        // SAFETY: reads that one entry.
        unsafe {
            asm!(
                concat!(".weak ", $name),
                concat!("mov {place}, qword ptr [rip + ", $name, "@GOTPCREL]"),
                place = out(reg) place,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        place
    }};
}

/// Where AFL++'s runtime has the size of its coverage map. Null in a program without that runtime.
pub(crate) fn afl_map_size() -> *const u32 {
    weak!("__afl_map_size").cast()
}

/// Where AFL++'s runtime has the address of its coverage map. Null in a program without that runtime.
pub(crate) fn afl_area() -> *const *mut u8 {
    weak!("__afl_area_ptr").cast()
}
