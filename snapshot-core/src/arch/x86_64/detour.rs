//! A jump at the entry of a function of libc: a call first asks a function of the engine
//! whether it may go on, or is done already.
//!
//! The jump takes the place of a single instruction, so no thread can stand inside the bytes
//! that change, wherever it was interrupted: it is before that instruction, and takes the jump,
//! or behind it. The instruction moves to a *trampoline*, a short piece of code near the
//! function, from where a call goes on in the function itself. So it stays a point of
//! cancellation, and whatever else libc makes of it.
//!
//! Only the few instructions that libc's wrappers of system calls begin with are known here.
//! Everything else is left alone.
//!
//! Context: AS-SAFE. Only while no other thread runs.
#![expect(unsafe_code, reason = "a function written in assembly")]

use core::arch::naked_asm;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use crate::arch::can_read_own_memory;

/// The length of a trampoline.
pub(crate) const TRAMPOLINE: usize = 80;

/// The length of a jump.
pub(crate) const JUMP: usize = 5;

/// How much of a function is looked at.
const LOOKED_AT: usize = 24;

/// Short instructions that a wrapper may begin with: `endbr64`, and the two that move the fourth
/// argument to where the kernel wants it.
const SKIPPED: [&[u8]; 3] = [
    &[0xf3, 0x0f, 0x1e, 0xfa],
    &[0x49, 0x89, 0xca],
    &[0x41, 0x89, 0xca],
];

/// The instructions that a jump may replace: how each begins, its length, and where it has the
/// distance to an address, if it has one.
const REPLACED: [(&[u8], usize, Option<usize>); 5] = [
    // cmp byte ptr [rip + distance], number
    (&[0x80, 0x3d], 7, Some(2)),
    // lea rax, [rip + distance]
    (&[0x48, 0x8d, 0x05], 7, Some(3)),
    // mov eax, fs:[number]
    (&[0x64, 0x8b, 0x04, 0x25], 8, None),
    // mov eax, number
    (&[0xb8], 5, None),
    // test r9d, number
    (&[0x41, 0xf7, 0xc1], 7, None),
];

/// The instruction of a function that a jump can replace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// Its address.
    pub(crate) at: usize,
    bytes: [u8; 8],
    length: usize,
    distance: Option<usize>,
}

impl Entry {
    /// Looks at the beginning of a function. `None` if it begins in an unknown way.
    pub(crate) fn of(function: usize) -> Option<Self> {
        let mut code = [0; LOOKED_AT];
        if !can_read_own_memory(function, &mut code) {
            return None;
        }
        let mut start = 0;
        for skipped in SKIPPED {
            if code.get(start..)?.starts_with(skipped) {
                start += skipped.len();
            }
        }
        let rest = code.get(start..)?;
        let found = REPLACED.iter().find(|known| rest.starts_with(known.0));
        let &(_, length, distance) = found?;
        let mut bytes = [0; 8];
        bytes
            .get_mut(..length)?
            .copy_from_slice(rest.get(..length)?);
        Some(Self {
            at: function + start,
            bytes,
            length,
            distance,
        })
    }

    /// The code of its trampoline at this address. It asks only if the word at `switch` isn't 0;
    /// then with `kind`. `None` if the address is too far away.
    pub(crate) fn trampoline(
        &self,
        address: usize,
        switch: usize,
        kind: u8,
    ) -> Option<[u8; TRAMPOLINE]> {
        let mut code = Code {
            bytes: [0xcc; TRAMPOLINE],
            length: 0,
            address,
        };
        // mov r11, switch; cmp qword ptr [r11], 0; jne ask
        code.put(&[0x49, 0xbb])?;
        code.put(&switch.to_le_bytes())?;
        code.put(&[0x49, 0x83, 0x3b, 0x00])?;
        code.put(&[0x75, u8::try_from(self.length + JUMP).ok()?])?;
        let goes_on = code.next();
        let moved = code.next();
        code.put(self.bytes.get(..self.length)?)?;
        if let Some(place) = self.distance {
            let was = self.bytes.get(place..place + 4)?.try_into().ok()?;
            let target = (self.at + self.length)
                .wrapping_add_signed(isize::try_from(i32::from_le_bytes(was)).ok()?);
            let distance = distance(moved + self.length, target)?;
            let start = moved - address + place;
            (code.bytes.get_mut(start..start + 4)?).copy_from_slice(&distance);
        }
        code.jump(self.at + self.length)?;
        // ask: mov r11, goes_on; push r11; push kind; mov r11, ask; jmp r11
        code.put(&[0x49, 0xbb])?;
        code.put(&goes_on.to_le_bytes())?;
        code.put(&[0x41, 0x53, 0x6a, kind, 0x49, 0xbb])?;
        code.put(&(ask_first as *const () as usize).to_le_bytes())?;
        code.put(&[0x41, 0xff, 0xe3])?;
        Some(code.bytes)
    }

    /// The jump to its trampoline, to be written at its address. It is remembered.
    pub(crate) fn jump(&self, trampoline: usize) -> Option<[u8; JUMP]> {
        let [a, b, c, d] = distance(self.at + JUMP, trampoline)?;
        let mut written = WRITTEN.iter();
        let (at, bytes) = written.find(|(at, _)| at.load(Ordering::Relaxed) == 0)?;
        bytes.store(u64::from_le_bytes(self.bytes), Ordering::Relaxed);
        // Release: whoever sees the address sees the bytes.
        at.store(self.at, Ordering::Release);
        Some([0xe9, a, b, c, d])
    }
}

/// How many jumps there can be.
pub(crate) const MOST_JUMPS: usize = 32;

/// The jumps: where each is, and what was there.
static WRITTEN: [(AtomicUsize, AtomicU64); MOST_JUMPS] =
    [const { (AtomicUsize::new(0), AtomicU64::new(0)) }; MOST_JUMPS];

/// Puts what was there before the jumps into a copy of some code: a wrapper of a system call may
/// begin with the instruction that sets its number.
pub(super) fn without_jumps(start: usize, code: &mut [u8]) {
    for (at, bytes) in &WRITTEN {
        let at = at.load(Ordering::Acquire);
        if at == 0 {
            return;
        }
        let was = bytes.load(Ordering::Relaxed).to_le_bytes();
        for (offset, byte) in was.iter().enumerate().take(JUMP) {
            let place = (at + offset).checked_sub(start);
            if let Some(place) = place.and_then(|place| code.get_mut(place)) {
                *place = *byte;
            }
        }
    }
}

fn distance(from: usize, to: usize) -> Option<[u8; 4]> {
    let distance = to.wrapping_sub(from).cast_signed();
    Some(i32::try_from(distance).ok()?.to_le_bytes())
}

/// Code that is being written.
struct Code {
    bytes: [u8; TRAMPOLINE],
    length: usize,
    address: usize,
}

impl Code {
    fn next(&self) -> usize {
        self.address + self.length
    }

    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let place = self.bytes.get_mut(self.length..self.length + bytes.len())?;
        place.copy_from_slice(bytes);
        self.length += bytes.len();
        Some(())
    }

    fn jump(&mut self, to: usize) -> Option<()> {
        let distance = distance(self.next() + JUMP, to)?;
        self.put(&[0xe9])?;
        self.put(&distance)
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Decision {
    /// 0: it goes on.
    is_done: u64,
    result: i64,
}

impl Decision {
    pub(crate) const GO_ON: Self = Self {
        is_done: 0,
        result: 0,
    };

    /// It ends with this result. If that is -1, `errno` is set.
    pub(crate) const fn done(result: i64) -> Self {
        Self { is_done: 1, result }
    }
}

/// Decides on a call: its kind, and its first six arguments.
pub(crate) type Decide = unsafe extern "C" fn(kind: u64, arguments: *const [usize; 6]) -> Decision;

/// Null until the first jump is written.
static DECIDE: AtomicPtr<core::ffi::c_void> = AtomicPtr::new(core::ptr::null_mut());

/// What all trampolines ask.
pub(crate) fn decide_by(decide: Decide) {
    // Release: whoever takes a jump finds this.
    DECIDE.store(decide as *mut core::ffi::c_void, Ordering::Release);
}

/// Where trampolines jump to, with the kind and the place to go on at on the stack.
#[unsafe(naked)]
unsafe extern "C" fn ask_first() {
    naked_asm!(
        // The fourth argument may be in r10 already. With what the trampoline has pushed and the
        // return address, these make a multiple of 16.
        "push r10",
        "push r9",
        "push r8",
        "push rcx",
        "push rdx",
        "push rsi",
        "push rdi",
        "mov rdi, [rsp + 56]",
        "mov rsi, rsp",
        "call [rip + {decide}]",
        // Both words of the decision are in registers.
        "test rax, rax",
        "jnz 2f",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop rcx",
        "pop r8",
        "pop r9",
        "pop r10",
        "add rsp, 8",
        "pop r11",
        "jmp r11",
        "2:",
        "add rsp, 72",
        "mov rax, rdx",
        "ret",
        decide = sym DECIDE,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_beginnings_can_be_replaced() {
        // cmp byte ptr [rip + 0x100], 0; je
        let code: [u8; 24] = [
            0x80, 0x3d, 0x00, 0x01, 0, 0, 0, 0x74, 0x17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0,
        ];
        let at = code.as_ptr().addr();
        let entry = Entry::of(at).expect("it is known");
        assert_eq!((entry.at, entry.length), (at, 7));
        let page = at & !0xfff;
        let code = entry.trampoline(page, 0x1234, 3).expect("it is near");
        let moved = 16;
        assert_eq!(code[moved..moved + 2], [0x80, 0x3d]);
        let distance = i32::from_le_bytes(code[18..22].try_into().expect("four"));
        let target = (page + moved + 7).wrapping_add_signed(distance as isize);
        assert_eq!(target, at + 7 + 0x100);
        assert_eq!(code[23], 0xe9);
        assert!(entry.trampoline(at.wrapping_add(1 << 40), 0, 0).is_none());
    }

    #[test]
    fn short_instructions_before_it_stay() {
        // mov r10, rcx; mov eax, 40; syscall
        let mut code = [0_u8; 24];
        code[..10].copy_from_slice(&[0x49, 0x89, 0xca, 0xb8, 40, 0, 0, 0, 0x0f, 0x05]);
        let entry = Entry::of(code.as_ptr().addr()).expect("it is known");
        assert_eq!((entry.at - code.as_ptr().addr(), entry.length), (3, 5));
        code[0] = 0x55;
        assert!(Entry::of(code.as_ptr().addr()).is_none());
    }
}
