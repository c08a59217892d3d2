//! A socket call with a time limit restarts, and would wait for the whole limit again. So the
//! thread first waits for the socket, for the time that is left.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "a function written in assembly, and its data")]

use core::arch::naked_asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};

use super::frame::SyscallFrame;

/// The state of a thread that waits for its socket before its call restarts. It can't be on the
/// thread's stack, where the signal frame is in the way.
#[repr(C)]
struct Wait {
    descriptor: i32,
    events: i16,
    ready: i16,
    time: [i64; 2],
    number: i64,
    program: i64,
    rbx: i64,
    arguments: [i64; 5],
    /// What the call returns on a timeout.
    over: i64,
    taken: AtomicU32,
}

impl Wait {
    const fn free() -> Self {
        Self {
            descriptor: 0,
            events: 0,
            ready: 0,
            time: [0; 2],
            number: 0,
            program: 0,
            rbx: 0,
            arguments: [0; 5],
            over: 0,
            taken: AtomicU32::new(0),
        }
    }
}

struct Waits([UnsafeCell<Wait>; 256]);

// SAFETY: a wait belongs to the thread that has set `taken`, until that thread clears it.
unsafe impl Sync for Waits {}

static WAITS: Waits = Waits([const { UnsafeCell::new(Wait::free()) }; 256]);

/// Makes the thread wait for its socket, at most this long, before it issues call `number`
/// again: alone the call would wait for the socket's whole limit. If all places are taken, it
/// does.
pub(crate) fn wait_first(frame: &mut SyscallFrame<'_>, number: i64, events: i16, left_ns: u64) {
    let free = WAITS.0.iter().find(|wait| {
        // SAFETY: an atomic, which any thread may look at.
        let taken = unsafe { &(*wait.get()).taken };
        // Acquire: the former owner is done with the place.
        taken
            .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    });
    let Some(free) = free else {
        frame.rewind(number);
        return;
    };
    let over = if number == libc::SYS_connect {
        libc::EINPROGRESS
    } else {
        libc::EAGAIN
    };
    let place = free.get();
    // The fields one by one, since all threads read `taken`.
    let arguments = core::array::from_fn(|index| *frame.argument(index));
    // SAFETY: taken above, so it is this thread's alone.
    let wait = unsafe { &mut *place };
    wait.descriptor = (arguments[0] & 0xffff_ffff) as i32;
    wait.events = events;
    wait.time = [
        i64::try_from(left_ns / 1_000_000_000).unwrap_or(i64::MAX),
        (left_ns % 1_000_000_000) as i64,
    ];
    wait.number = number;
    wait.program = *frame.register(libc::REG_RIP);
    wait.rbx = *frame.register(libc::REG_RBX);
    wait.arguments = arguments;
    wait.over = -i64::from(over);
    *frame.register(libc::REG_RBX) = place.expose_provenance().cast_signed() as i64;
    *frame.register(libc::REG_RIP) = wait_then_call as *const () as i64;
}

/// ppoll, then the call; RBX points to a [`Wait`]. Ends where the call would have, with
/// its registers.
#[unsafe(naked)]
unsafe extern "C" fn wait_then_call() {
    naked_asm!(
        "mov rdi, rbx",
        "mov esi, 1",
        "lea rdx, [rbx + {time}]",
        "xor r10d, r10d",
        "mov r8d, 8",
        // Just before the instruction, so that this call can be restarted as well.
        "mov eax, 271", // ppoll
        "syscall",
        "mov rdi, [rbx + {arguments}]",
        "mov rsi, [rbx + {arguments} + 8]",
        "mov rdx, [rbx + {arguments} + 16]",
        "mov r10, [rbx + {arguments} + 24]",
        "mov r8, [rbx + {arguments} + 32]",
        "test rax, rax",
        "js 3f",
        "jz 2f",
        "mov rax, [rbx + {number}]",
        "syscall",
        "jmp 3f",
        "2:",
        "mov rax, [rbx + {over}]",
        "3:",
        "mov rcx, [rbx + {program}]",
        "mov r11, [rbx + {rbx}]",
        "mov dword ptr [rbx + {taken}], 0",
        "mov rbx, r11",
        "jmp rcx",
        time = const core::mem::offset_of!(Wait, time),
        arguments = const core::mem::offset_of!(Wait, arguments),
        number = const core::mem::offset_of!(Wait, number),
        over = const core::mem::offset_of!(Wait, over),
        program = const core::mem::offset_of!(Wait, program),
        rbx = const core::mem::offset_of!(Wait, rbx),
        taken = const core::mem::offset_of!(Wait, taken),
    )
}
