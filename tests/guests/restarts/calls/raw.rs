//! Calls by the program's own `syscall` instruction.

use std::arch::asm;
use std::sync::atomic::AtomicU32;

use super::polls::epoll;
use crate::act::{Act, Given, limited};
use crate::outcome::Outcome;
use crate::time::{LIMIT, LIMIT_SPEC};

/// Makes a system call. The code before it doesn't show its number: there are only
/// no-operations, as in programs that load the register long before.
///
/// # Safety
/// As the call asks.
unsafe fn raw(number: libc::c_long, arguments: [usize; 6]) -> Outcome {
    let value: i64;
    // SAFETY: the arguments are the caller's; the kernel changes these registers only.
    unsafe {
        asm!(
            "nop", "nop", "nop", "nop", "nop", "nop", "nop", "nop", "syscall",
            inlateout("rax") number => value,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    Outcome::of_raw(value)
}

pub fn raw_poll(_: &Given) -> Act {
    limited(|note| {
        let limit = LIMIT.as_millis().try_into().expect("it fits");
        note.begin();
        // SAFETY: no descriptors are passed.
        unsafe { raw(libc::SYS_poll, [0, 0, limit, 0, 0, 0]) }
    })
}

pub fn raw_epoll_pwait2(_: &Given) -> Act {
    let (set, _) = epoll();
    limited(move |note| {
        let mut happened = libc::epoll_event { events: 0, u64: 0 };
        let set = usize::try_from(set).expect("it is open");
        let (event, limit) = (&raw mut happened, &raw const LIMIT_SPEC);
        note.begin();
        // SAFETY: room for one event, a time, and no mask.
        unsafe {
            raw(
                libc::SYS_epoll_pwait2,
                [
                    set,
                    event.expose_provenance(),
                    1,
                    limit.expose_provenance(),
                    0,
                    8,
                ],
            )
        }
    })
}

pub fn raw_futex(_: &Given) -> Act {
    static WORD: AtomicU32 = AtomicU32::new(0);
    limited(|note| {
        let (word, limit) = (WORD.as_ptr(), &raw const LIMIT_SPEC);
        note.begin();
        // SAFETY: the word and the time live as long as the program.
        unsafe {
            raw(
                libc::SYS_futex,
                [
                    word.expose_provenance(),
                    0,
                    0,
                    limit.expose_provenance(),
                    0,
                    0,
                ],
            )
        }
    })
}
