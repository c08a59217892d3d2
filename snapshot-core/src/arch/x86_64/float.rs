//! How the processor rounds, and which floating-point errors it reports.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "reads and sets control words")]

use core::arch::asm;

/// The control words of both units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FloatControl {
    sse: u32,
    x87: u16,
}

/// The calling thread's.
pub(crate) fn float_control() -> FloatControl {
    let mut control = FloatControl { sse: 0, x87: 0 };
    // SAFETY: writes the two words.
    unsafe {
        asm!(
            "stmxcsr [{sse}]",
            "fnstcw [{x87}]",
            sse = in(reg) &raw mut control.sse,
            x87 = in(reg) &raw mut control.x87,
            options(nostack, preserves_flags),
        );
    }
    control
}

/// Sets them, with the older unit's registers empty, as at each call of a function.
pub(crate) fn set_float_control(control: &FloatControl) {
    // SAFETY: the words are some that the processor has had.
    unsafe {
        asm!(
            "fninit",
            "fldcw [{x87}]",
            "ldmxcsr [{sse}]",
            sse = in(reg) &raw const control.sse,
            x87 = in(reg) &raw const control.x87,
            options(nostack, preserves_flags),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_of_rounding_comes_back() {
        const UPWARD: u32 = 0x4000;
        let usual = float_control();
        set_float_control(&FloatControl {
            sse: usual.sse | UPWARD,
            ..usual
        });
        assert_eq!(float_control().sse & UPWARD, UPWARD);
        set_float_control(&usual);
        assert_eq!(float_control(), usual);
    }
}
