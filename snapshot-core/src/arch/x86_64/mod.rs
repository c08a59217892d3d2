//! x86_64 Linux.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "system calls")]

mod call_number;
mod detour;
#[cfg(feature = "std")]
mod float;
mod frame;
#[cfg(feature = "std")]
mod pages;
mod rest;
mod segments;
mod shims;
mod wait_first;
#[cfg(feature = "std")]
mod weak;

pub(crate) use call_number::is_interruptible;
pub(crate) use detour::{Decision, Entry, MOST_JUMPS, TRAMPOLINE, decide_by};
pub(crate) use frame::SyscallFrame;
pub(crate) use rest::{Header, Owned, Part, Rest, STEPS, Step};
pub(crate) use segments::{SegmentBases, has_shadow_stack};
pub(crate) use shims::{
    become_child, on_stack, park, restore_from_signal, shielded_by, spawn_aside, spawn_parked,
};
pub(crate) use wait_first::wait_first;
// For copies that go back.
#[cfg(feature = "std")]
pub(crate) use {
    float::{FloatControl, float_control, set_float_control},
    frame::is_native_call,
    pages::copy_words,
    shims::{gate, set_mask_unseen, unpark},
    weak::{afl_area, afl_map_size},
};

use core::arch::asm;

/// `clone3`, which the libc crate does not name on every target.
pub(crate) const SYS_CLONE3: i64 = 435;

/// One system call with up to six arguments; returns the kernel's answer, a negative errno on
/// failure. Leaves `errno` alone, which belongs to the interrupted program.
///
/// # Safety
/// The arguments must be what the named call expects; see its manual page.
#[inline(always)]
pub(crate) unsafe fn syscall(number: i64, arguments: [usize; 6]) -> i64 {
    let [a, b, c, d, e, f] = arguments;
    let answer: i64;
    // SAFETY: the `syscall` instruction clobbers rcx and r11 alone, which are declared; the
    // caller vouches for the effect of the arguments. Without `nomem`, the compiler assumes
    // that memory has changed.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => answer,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            in("r9") f,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer
}
