//! x86_64 Linux.
//!
//! Context: AS-SAFE.
#![expect(
    unsafe_code,
    reason = "system calls and the registers of an interrupted thread"
)]

use core::arch::{asm, naked_asm};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering};

/// `clone3`, which the libc crate does not name on every target.
pub(crate) const SYS_CLONE3: i64 = 435;

/// One system call with up to six arguments; the kernel's answer, a negative errno on
/// failure. Does not touch `errno`, which belongs to the interrupted program.
///
/// # Safety
/// The arguments must be what the named call expects; see its manual page.
#[inline(always)]
pub(crate) unsafe fn syscall(number: i64, arguments: [usize; 6]) -> i64 {
    let [a, b, c, d, e, f] = arguments;
    let answer: i64;
    // SAFETY: the `syscall` instruction clobbers rcx and r11 alone, which are declared;
    // the caller vouches for what the kernel does with the arguments. Memory is assumed
    // changed, since no `nomem` is given.
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

/// Parks the calling thread: saves what a function must save, leaves the stack pointer at
/// `place`, and calls `wait(place)`. Comes back when that does, or in a copy of the
/// process, in the thread that [`spawn_parked`] has made in this one's stead.
///
/// # Safety
/// `place` must be writable until the thread has come back, here and in every copy.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn park(place: *mut c_void, wait: unsafe extern "C" fn(*mut c_void)) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "mov [rdi], rsp",
        "call rsi",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// clone3 of a thread that goes on where a parked one stands in the copied memory: on its
/// stack it calls `begin(place)`, and then returns from its [`park`].
///
/// Gives what clone3 gives, in the caller alone.
///
/// # Safety
/// `arguments` must name a stack that ends where `place` says, and all that the parked
/// thread needs.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn spawn_parked(
    arguments: *const c_void,
    size: usize,
    place: *mut c_void,
    begin: unsafe extern "C" fn(*mut c_void),
) -> i64 {
    naked_asm!(
        "mov r8, rdx",
        "mov r9, rcx",
        "mov eax, 435", // clone3
        "syscall",
        "test rax, rax",
        "jz 2f",
        "ret",
        // The new thread has the caller's registers, and its own stack.
        "2:",
        "mov rdi, r8",
        "call r9",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Calls `function(argument)` on another stack, which ends at `top`.
///
/// # Safety
/// `top` must be 16-byte aligned, with room below it that nobody else uses.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn on_stack(
    top: *mut c_void,
    function: unsafe extern "C" fn(*mut c_void),
    argument: *mut c_void,
) {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "mov rsp, rdi",
        "mov rdi, rdx",
        "call rsi",
        "mov rsp, rbp",
        "pop rbp",
        "ret",
    )
}

/// What a signal handler returns to. Debuggers know a handler's frame by these very
/// instructions.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn restore_from_signal() {
    naked_asm!("mov rax, 15", "syscall")
}

/// What registers of a thread the kernel keeps outside a signal frame: the bases of the
/// FS and GS segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// The calling thread's.
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

/// Whether the calling thread has a shadow stack, which a recreated thread would not.
pub(crate) fn has_shadow_stack() -> bool {
    let mut features = 0_usize;
    // The option writes one long there; older kernels don't know it.
    arch_prctl(ARCH_SHSTK_STATUS, (&raw mut features).expose_provenance()) == 0 && features != 0
}

/// The registers of an interrupted thread that a system call is restarted by.
pub(crate) struct SyscallFrame<'a> {
    registers: &'a mut [i64; 23],
}

impl<'a> SyscallFrame<'a> {
    /// The frame inside a signal handler's third argument.
    ///
    /// # Safety
    /// `context` must be the third argument of a running SA_SIGINFO handler, and no
    /// other reference into it may live as long as `'a`.
    pub(crate) unsafe fn new(context: *mut libc::ucontext_t) -> Self {
        // SAFETY: the kernel wrote a whole `ucontext_t` there, which stays until the
        // handler returns; the caller promises that it is not aliased.
        let registers = unsafe { &mut (*context).uc_mcontext.gregs };
        Self { registers }
    }

    fn register(&mut self, index: i32) -> &mut i64 {
        // The libc crate's register numbers are all within the array.
        &mut self.registers[index.unsigned_abs() as usize % 23]
    }

    /// What the interrupted call returned, if the thread was in one at all: the kernel
    /// leaves the return address in RCX, and a thread interrupted elsewhere has it there
    /// only by chance.
    pub(crate) fn result_if_in_syscall(&mut self) -> Option<i64> {
        let pc = *self.register(libc::REG_RIP);
        (*self.register(libc::REG_RCX) == pc).then(|| *self.register(libc::REG_RAX))
    }

    /// The number of the interrupted call, read from the `mov $number, %eax; syscall`
    /// that libc's wrappers consist of. `None` where the code looks otherwise.
    pub(crate) fn number_from_code(&mut self) -> Option<i64> {
        let pc = usize::try_from(*self.register(libc::REG_RIP)).ok()?;
        let mut code = [0_u8; 7];
        // Read through the kernel: the bytes before a return address need not be mapped.
        crate::sys::read_own_memory(pc.checked_sub(7)?, &mut code).ok()?;
        let [0xb8, a, b, c, d, 0x0f, 0x05] = code else {
            return None;
        };
        Some(i64::from(u32::from_le_bytes([a, b, c, d])))
    }

    /// Where the thread will go on, and its stack pointer.
    pub(crate) fn position(&mut self) -> (usize, usize) {
        let address = |value: i64| usize::from_ne_bytes(value.to_ne_bytes());
        (
            address(*self.register(libc::REG_RIP)),
            address(*self.register(libc::REG_RSP)),
        )
    }

    /// Argument `index` of the call, 0 to 5.
    pub(crate) fn argument(&mut self, index: usize) -> &mut i64 {
        const ORDER: [i32; 6] = [
            libc::REG_RDI,
            libc::REG_RSI,
            libc::REG_RDX,
            libc::REG_R10,
            libc::REG_R8,
            libc::REG_R9,
        ];
        self.register(ORDER[index % 6])
    }

    /// Makes the thread issue call `number` again when the handler returns.
    pub(crate) fn rewind(&mut self, number: i64) {
        *self.register(libc::REG_RIP) -= 2; // the length of `syscall`
        *self.register(libc::REG_RAX) = number;
    }
}

/// What a thread needs that waits for its socket before its call starts again: kept
/// outside its stack, where its signal frame is in the way.
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
    /// What the call returns when its time is over.
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

// SAFETY: a wait belongs to the thread that has set `taken`, until it clears it.
unsafe impl Sync for Waits {}

static WAITS: Waits = Waits([const { UnsafeCell::new(Wait::free()) }; 256]);

/// Makes the thread wait for its socket, for so long at most, before it issues call
/// `number` again: the call would wait for as long as the socket says, from the beginning.
/// If all places are taken, that is what happens.
pub(crate) fn wait_first(frame: &mut SyscallFrame<'_>, number: i64, events: i16, left_ns: u64) {
    let free = WAITS.0.iter().find(|wait| {
        // SAFETY: an atomic, which any thread may look at.
        let taken = unsafe { &(*wait.get()).taken };
        // Acquire: what the former owner did with the place is over.
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
    // The fields one by one, since `taken` is everybody's.
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
        // Just before the instruction, so that this call can be issued again as well.
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
