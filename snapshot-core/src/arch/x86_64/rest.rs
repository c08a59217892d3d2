//! The rest of a transfer that ended early. The thread goes on in code of ours, which makes
//! calls for the rest, adds up the results, and returns to the program as its own call would
//! have.
//!
//! Before each call it waits until something can be moved. If a signal of the program's comes
//! then, it ends the wait, as it would have ended the program's call, and the call returns what
//! has been moved so far.
//!
//! It can be interrupted anywhere, parked, and made again in a copy: all its state is in memory
//! that a register points to. It uses the program's stack below the red zone for an instant at
//! the end.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "a function written in assembly, and its data")]

use core::arch::naked_asm;
use core::cell::UnsafeCell;
use core::mem::{offset_of, size_of};
use core::sync::atomic::{AtomicU32, Ordering};

use super::frame::SyscallFrame;

/// One call for a part of the rest.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// The system call; negative after the last step.
    pub(crate) number: i64,
    pub(crate) arguments: [i64; 6],
    /// The result if it moves all; only then the next step follows.
    pub(crate) length: i64,
    /// The address of the number that the result is added to.
    pub(crate) counter: usize,
    /// The address of a message's header for the program; 0 for none.
    pub(crate) header: usize,
}

impl Step {
    pub(crate) const NONE: Self = Self {
        number: -1,
        arguments: [0; 6],
        length: 0,
        counter: 0,
        header: 0,
    };
}

/// The kernel's `struct msghdr`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) name: usize,
    pub(crate) name_length: u64,
    pub(crate) parts: usize,
    pub(crate) count: usize,
    pub(crate) control: usize,
    pub(crate) control_length: usize,
    pub(crate) flags: u64,
}

/// The kernel's `struct iovec`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) start: usize,
    pub(crate) length: usize,
}

pub(crate) const STEPS: usize = 3;

/// What a thread needs for the rest of its transfer.
#[repr(C)]
pub(crate) struct Rest {
    // These two first: the unwinding table below names their offsets.
    program: i64,
    rbx: i64,
    flags: i64,
    /// The number of the program's call.
    pub(crate) number: i64,
    /// The registers that the program's call had its arguments in.
    pub(crate) arguments: [i64; 6],
    /// The result: the bytes moved so far.
    pub(crate) moved: i64,
    /// The steps, in order, and the address of the current one.
    pub(crate) steps: [Step; STEPS + 1],
    current: usize,
    /// 1 while it waits, 2 while it moves.
    phase: u32,
    /// Whether it waits before it moves.
    pub(crate) waits: u32,
    // The kernel's `struct pollfd`.
    pub(crate) descriptor: i32,
    pub(crate) events: i16,
    ready: i16,
    /// The poll events that end the transfer.
    pub(crate) give_up: i16,
    /// The time it may wait, counted down by the kernel, and the address of that, or 0.
    pub(crate) time: [i64; 2],
    pub(crate) time_at: usize,
    /// Where the program's header of a received message is; 0 for none.
    pub(crate) copy_to: usize,
    /// The room for that message's control data.
    pub(crate) control_length: usize,
    /// Memory for the steps.
    pub(crate) part: Part,
    pub(crate) headers: [Header; 2],
}

impl Rest {
    const fn free() -> Self {
        const HEADER: Header = Header {
            name: 0,
            name_length: 0,
            parts: 0,
            count: 0,
            control: 0,
            control_length: 0,
            flags: 0,
        };
        Self {
            program: 0,
            rbx: 0,
            flags: 0,
            number: 0,
            arguments: [0; 6],
            moved: 0,
            steps: [Step::NONE; STEPS + 1],
            current: 0,
            phase: 0,
            waits: 0,
            descriptor: -1,
            events: 0,
            ready: 0,
            give_up: 0,
            time: [0; 2],
            time_at: 0,
            copy_to: 0,
            control_length: 0,
            part: Part {
                start: 0,
                length: 0,
            },
            headers: [HEADER; 2],
        }
    }
}

const SLOTS: usize = 256;

/// One thread's state.
#[repr(C)]
struct Slot {
    rest: UnsafeCell<Rest>,
    taken: AtomicU32,
}

// SAFETY: a place belongs to the thread that has set `taken`, until that thread clears it.
unsafe impl Sync for Slot {}

static RESTS: [Slot; SLOTS] = [const {
    Slot {
        rest: UnsafeCell::new(Rest::free()),
        taken: AtomicU32::new(0),
    }
}; SLOTS];

/// More than the length of the function that a thread may be interrupted in.
const REACH: usize = 512;

/// A place of the interrupted thread.
pub(crate) struct Owned(&'static Slot);

impl Owned {
    /// A new place for the thread, which is at the end of call `number` and has moved this
    /// much; `None` if all are taken.
    pub(crate) fn claim(frame: &mut SyscallFrame<'_>, number: i64, moved: i64) -> Option<Self> {
        let free = RESTS.iter().find(|place| {
            // Acquire: the former owner is done with the place.
            place
                .taken
                .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        })?;
        let mut owned = Self(free);
        let rest = owned.rest();
        rest.program = *frame.register(libc::REG_RIP);
        rest.rbx = *frame.register(libc::REG_RBX);
        rest.flags = *frame.register(libc::REG_EFL);
        rest.number = number;
        rest.arguments = core::array::from_fn(|index| *frame.argument(index));
        rest.moved = moved;
        rest.time_at = 0;
        rest.copy_to = 0;
        rest.control_length = 0;
        Some(owned)
    }

    /// The place of a thread that was interrupted in the function below.
    pub(crate) fn of(frame: &mut SyscallFrame<'_>) -> Option<Self> {
        let (program, _) = frame.position();
        let start = (rest_of_transfer as *const ()).addr();
        if program.wrapping_sub(start) >= REACH {
            return None;
        }
        let rbx = *frame.register(libc::REG_RBX);
        RESTS
            .iter()
            .find(|place| place.rest.get().expose_provenance().cast_signed() as i64 == rbx)
            .map(Self)
    }

    /// The transfer's state.
    pub(crate) fn rest(&mut self) -> &mut Rest {
        // SAFETY: the place is the thread's, by the check of its maker.
        unsafe { &mut *self.0.rest.get() }
    }

    /// The step that the thread was interrupted in, if it was moving.
    pub(crate) fn step(&mut self) -> Option<Step> {
        let rest = self.rest();
        let start = (&raw const rest.steps).addr();
        let number = rest.current.checked_sub(start)? / size_of::<Step>();
        (rest.phase == 2)
            .then(|| rest.steps.get(number).copied())
            .flatten()
    }

    /// Frees the place unused.
    pub(crate) fn give_back(self) {
        self.0.taken.store(0, Ordering::Release);
    }

    /// Makes the thread do the steps when the handler returns.
    pub(crate) fn begin(mut self, frame: &mut SyscallFrame<'_>) {
        let rest = self.rest();
        rest.current = (&raw const rest.steps).expose_provenance();
        rest.phase = 0;
        *frame.register(libc::REG_RBX) = self.0.rest.get().expose_provenance().cast_signed() as i64;
        *frame.register(libc::REG_RIP) = rest_of_transfer as *const () as i64;
    }
}

/// Waits and moves, step by step; RBX points to a [`Rest`]. Ends where the program's call would
/// have, with its registers.
#[unsafe(naked)]
unsafe extern "C" fn rest_of_transfer() {
    naked_asm!(
        // For stack unwinders: there is no frame, the return address is `program`, and RBX is
        // beside it.
        ".cfi_startproc",
        ".cfi_def_cfa rsp, 0",
        ".cfi_escape 0x10, 0x10, 0x02, 0x73, 0x00",
        ".cfi_escape 0x10, 0x03, 0x02, 0x73, 0x08",
        "2:",
        "cmp dword ptr [rbx + {waits}], 0",
        "je 3f",
        "mov dword ptr [rbx + {phase}], 1",
        "lea rdi, [rbx + {poll}]",
        "mov esi, 1",
        "mov rdx, [rbx + {time_at}]",
        "xor r10d, r10d",
        "mov r8d, 8",
        "mov eax, 271", // ppoll
        "syscall",
        "test rax, rax",
        "jle 5f",
        "mov ax, [rbx + {ready}]",
        "test ax, [rbx + {give_up}]",
        "jnz 5f",
        "3:",
        "mov r11, [rbx + {current}]",
        "mov rdi, [r11 + {arguments}]",
        "mov rsi, [r11 + {arguments} + 8]",
        "mov rdx, [r11 + {arguments} + 16]",
        "mov r10, [r11 + {arguments} + 24]",
        "mov r8, [r11 + {arguments} + 32]",
        "mov r9, [r11 + {arguments} + 40]",
        "mov rax, [r11 + {number}]",
        "mov dword ptr [rbx + {phase}], 2",
        "syscall",
        // The program's next call returns the error, as it would without us.
        "test rax, rax",
        "jle 5f",
        "mov r11, [rbx + {current}]",
        "mov rdx, [r11 + {counter}]",
        "add [rdx], rax",
        "mov rcx, [r11 + {header}]",
        "test rcx, rcx",
        "jz 4f",
        "mov rdx, [rbx + {copy_to}]",
        "mov r10d, [rcx + {header_flags}]",
        "mov [rdx + {header_flags}], r10d",
        "mov r10, [rcx + {header_control}]",
        "mov [rdx + {header_control}], r10",
        // Control data came: there the program's call would have ended.
        "test r10, r10",
        "jnz 5f",
        "4:",
        "cmp rax, [r11 + {length}]",
        "jne 5f",
        "add r11, {step}",
        "mov [rbx + {current}], r11",
        "cmp qword ptr [r11 + {number}], 0",
        "jge 2b",
        "5:",
        "mov rdi, [rbx + {registers}]",
        "mov rsi, [rbx + {registers} + 8]",
        "mov rdx, [rbx + {registers} + 16]",
        "mov r10, [rbx + {registers} + 24]",
        "mov r8, [rbx + {registers} + 32]",
        "mov r9, [rbx + {registers} + 40]",
        "mov rax, [rbx + {moved}]",
        "mov rcx, [rbx + {program}]",
        // Below the red zone; what follows leaves the flags alone.
        "lea rsp, [rsp - 136]",
        "mov r11, [rbx + {flags}]",
        "mov [rsp], r11",
        "mov r11, [rbx + {rbx}]",
        "mov dword ptr [rbx + {taken}], 0",
        "mov rbx, r11",
        "mov r11, [rsp]",
        "popfq",
        "lea rsp, [rsp + 128]",
        "jmp rcx",
        ".cfi_endproc",
        waits = const offset_of!(Rest, waits),
        phase = const offset_of!(Rest, phase),
        poll = const offset_of!(Rest, descriptor),
        time_at = const offset_of!(Rest, time_at),
        ready = const offset_of!(Rest, ready),
        give_up = const offset_of!(Rest, give_up),
        current = const offset_of!(Rest, current),
        registers = const offset_of!(Rest, arguments),
        moved = const offset_of!(Rest, moved),
        program = const offset_of!(Rest, program),
        flags = const offset_of!(Rest, flags),
        rbx = const offset_of!(Rest, rbx),
        copy_to = const offset_of!(Rest, copy_to),
        taken = const offset_of!(Slot, taken),
        number = const offset_of!(Step, number),
        arguments = const offset_of!(Step, arguments),
        length = const offset_of!(Step, length),
        counter = const offset_of!(Step, counter),
        header = const offset_of!(Step, header),
        step = const size_of::<Step>(),
        header_flags = const offset_of!(Header, flags),
        header_control = const offset_of!(Header, control_length),
    )
}

// RBX points to both, and the unwinding table counts from there.
const _: () = assert!(offset_of!(Slot, rest) == 0);
const _: () = assert!(offset_of!(Rest, program) == 0 && offset_of!(Rest, rbx) == 8);
