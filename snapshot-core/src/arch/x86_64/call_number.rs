//! The number of a system call, read from the machine code before it.
//!
//! Code does `mov $NUMBER, %eax`, then at most a few instructions that put arguments into
//! registers, then `syscall`. They are decoded one by one, from the place that sets the number
//! to the call. The number counts only if each is of a known kind, leaves the number alone, and
//! the last one ends exactly at the call; and only if it is one of the calls that are looked for.
//!
//! Context: AS-SAFE.

/// The most code that is read, and the least: the instruction that sets the number, and the
/// call.
pub(super) const FAR: usize = 64;
pub(super) const NEAR: usize = 7;

pub(super) const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// Calls that a signal handler can interrupt in spite of SA_RESTART, or end after a part of
/// their bytes.
const INTERRUPTIBLE: [i64; 48] = [
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_poll,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_select,
    libc::SYS_pause,
    libc::SYS_nanosleep,
    libc::SYS_connect,
    libc::SYS_accept,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_wait4,
    libc::SYS_semop,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigsuspend,
    libc::SYS_futex,
    libc::SYS_io_getevents,
    libc::SYS_semtimedop,
    libc::SYS_clock_nanosleep,
    libc::SYS_epoll_wait,
    libc::SYS_mq_timedsend,
    libc::SYS_mq_timedreceive,
    libc::SYS_waitid,
    libc::SYS_pselect6,
    libc::SYS_ppoll,
    libc::SYS_epoll_pwait,
    libc::SYS_accept4,
    libc::SYS_recvmmsg,
    libc::SYS_pwrite64,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_tee,
    libc::SYS_vmsplice,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_sendmmsg,
    libc::SYS_getrandom,
    326, // copy_file_range
    426, // io_uring_enter
    441, // epoll_pwait2
    449, // futex_waitv
];

/// Whether a signal handler can interrupt this call.
pub(crate) fn is_interruptible(number: i64) -> bool {
    INTERRUPTIBLE.contains(&number)
}

/// The number of the call that `code` ends with, if it is such a call.
pub(super) fn before(code: &[u8], is_such: impl Fn(i64) -> bool) -> Option<i64> {
    let code = code.strip_suffix(&SYSCALL)?;
    // From the nearest place that can have set it, since that one overrides farther ones.
    (0..code.len()).rev().find_map(|start| {
        let (number, rest) = setting(code.get(start..)?)?;
        (is_such(number) && leaves_alone(rest)).then_some(number)
    })
}

/// The number that the first instruction sets, and the code after it.
fn setting(code: &[u8]) -> Option<(i64, &[u8])> {
    match *code {
        // mov $number, %eax
        [0xb8, a, b, c, d, ref rest @ ..] => {
            Some((i64::from(u32::from_le_bytes([a, b, c, d])), rest))
        }
        // push $number; pop %rax
        [0x6a, number, 0x58, ref rest @ ..] if number < 0x80 => Some((i64::from(number), rest)),
        // xor %eax, %eax
        [0x31 | 0x33, 0xc0, ref rest @ ..] => Some((0, rest)),
        _ => None,
    }
}

/// Whether all instructions are known, and none changes RAX.
fn leaves_alone(mut code: &[u8]) -> bool {
    while !code.is_empty() {
        match instruction(code) {
            Some(length) => code = code.get(length..).unwrap_or(&[]),
            None => return false,
        }
    }
    true
}

/// What an instruction writes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writes {
    /// The register of the ModRM byte.
    Register,
    /// The register or memory of the ModRM byte.
    Operand,
    /// Neither.
    Nothing,
}

/// The length of the first instruction, if it is known and leaves RAX alone.
fn instruction(code: &[u8]) -> Option<usize> {
    // An operand-size prefix, then a REX prefix.
    let mut at = 0;
    let short = *code.first()? == 0x66;
    at += usize::from(short);
    let rex = match *code.get(at)? {
        rex @ 0x40..=0x4f => {
            at += 1;
            rex
        }
        _ => 0,
    };
    let opcode = *code.get(at)?;
    at += 1;
    let wide_immediate = if short { 2 } else { 4 };
    let (writes, immediate) = match opcode {
        // mov, lea, arithmetic into a register
        0x8b | 0x8a | 0x8d | 0x63 | 0x03 | 0x0b | 0x23 | 0x2b | 0x33 => (Writes::Register, 0),
        // mov, arithmetic from a register
        0x89 | 0x88 | 0x01 | 0x09 | 0x21 | 0x29 | 0x31 => (Writes::Operand, 0),
        // test, cmp
        0x84 | 0x85 | 0x38 | 0x39 | 0x3a | 0x3b => (Writes::Nothing, 0),
        // arithmetic with an immediate
        0x80 | 0x83 => (Writes::Operand, 1),
        0x81 => (Writes::Operand, wide_immediate),
        // mov of an immediate
        0xc6 => (Writes::Operand, 1),
        0xc7 => (Writes::Operand, wide_immediate),
        // mov of an immediate into a register named by the opcode
        0xb8..=0xbf => {
            let register = (opcode & 7) | (rex & 1) << 3;
            let length = if rex & 8 != 0 { 8 } else { wide_immediate };
            return (register != 0)
                .then_some(at + length)
                .filter(|&end| end <= code.len());
        }
        // push; pop
        0x50..=0x57 => return Some(at),
        0x58..=0x5f => return (opcode & 7 | (rex & 1) << 3 != 0).then_some(at),
        // nop
        0x90 if rex & 1 == 0 => return Some(at),
        0x0f => {
            let opcode = *code.get(at)?;
            at += 1;
            match opcode {
                // nop, and vector loads and stores
                0x1f | 0x10 | 0x11 | 0x28 | 0x29 | 0x6f | 0x7f => (Writes::Nothing, 0),
                // conditional moves, moves with extension
                0x40..=0x4f | 0xb6 | 0xb7 | 0xbe | 0xbf => (Writes::Register, 0),
                _ => return None,
            }
        }
        _ => return None,
    };
    let modrm = *code.get(at)?;
    at += 1;
    let register = (modrm >> 3 & 7) | (rex & 4) << 1;
    let operand = (modrm & 7) | (rex & 1) << 3;
    let is_memory = modrm >> 6 != 3;
    let touches = match writes {
        Writes::Register => register == 0,
        Writes::Operand => !is_memory && operand == 0,
        Writes::Nothing => false,
    };
    if touches {
        return None;
    }
    if is_memory {
        at += memory_operand(modrm, code.get(at).copied());
    }
    let end = at + immediate;
    (end <= code.len()).then_some(end)
}

/// The bytes of a memory operand behind its ModRM byte.
fn memory_operand(modrm: u8, next: Option<u8>) -> usize {
    let has_index = modrm & 7 == 4;
    let displacement = match modrm >> 6 {
        1 => 1,
        2 => 4,
        // Relative to the instruction, or without a base register.
        _ if modrm & 7 == 5 || has_index && next.is_some_and(|index| index & 7 == 5) => 4,
        _ => 0,
    };
    usize::from(has_index) + displacement
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_compilers_write_it() {
        let cases: [(&[u8], Option<i64>); 12] = [
            // mov $7,%eax; syscall
            (&[0xb8, 7, 0, 0, 0, 0x0f, 5], Some(7)),
            // mov $0x10e,%eax; mov 0x1c(%rsp),%edi; syscall
            (
                &[0xb8, 0x0e, 1, 0, 0, 0x8b, 0x7c, 0x24, 0x1c, 0x0f, 5],
                Some(270),
            ),
            // mov $0xca,%eax; xor $0x80,%sil; syscall
            (
                &[0xb8, 0xca, 0, 0, 0, 0x40, 0x80, 0xf6, 0x80, 0x0f, 5],
                Some(202),
            ),
            // mov $0xca,%eax; xor %r10d,%r10d; xor %edx,%edx; syscall
            (
                &[0xb8, 0xca, 0, 0, 0, 0x45, 0x31, 0xd2, 0x31, 0xd2, 0x0f, 5],
                Some(202),
            ),
            // mov $0xe8,%eax; lea 0x1178dd(%rip),%rsi; syscall
            (
                &[
                    0xb8, 0xe8, 0, 0, 0, 0x48, 0x8d, 0x35, 0xdd, 0x78, 0x11, 0, 0x0f, 5,
                ],
                Some(232),
            ),
            // push $7; pop %rax; xor %edi,%edi; mov $2000,%edx; syscall
            (
                &[0x6a, 7, 0x58, 0x31, 0xff, 0xba, 0xd0, 7, 0, 0, 0x0f, 5],
                Some(7),
            ),
            // xor %eax,%eax; syscall
            (&[0x31, 0xc0, 0x0f, 5], Some(0)),
            // mov $0xca,%eax; mov %r9d,%eax; syscall: set to something else.
            (&[0xb8, 0xca, 0, 0, 0, 0x44, 0x89, 0xc8, 0x0f, 5], None),
            // mov $0xca,%eax; mov (%rax),%eax; syscall
            (&[0xb8, 0xca, 0, 0, 0, 0x8b, 0, 0x0f, 5], None),
            // mov $0xca,%eax; call ...; syscall: not of a known kind.
            (&[0xb8, 0xca, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0x0f, 5], None),
            // mov $0x3b,%eax; syscall: execve is never interrupted.
            (&[0xb8, 0x3b, 0, 0, 0, 0x0f, 5], None),
            // No call at all.
            (&[0xb8, 7, 0, 0, 0, 0x90, 0x90], None),
        ];
        for (code, number) in cases {
            assert_eq!(before(code, is_interruptible), number, "{code:02x?}");
        }
    }

    #[test]
    fn the_nearest_place_counts() {
        // mov $0xe8,%eax; mov $7,%eax; syscall
        let code = [0xb8, 0xe8, 0, 0, 0, 0xb8, 7, 0, 0, 0, 0x0f, 5];
        assert_eq!(before(&code, is_interruptible), Some(7));
    }

    proptest! {
        #[test]
        fn noise_is_no_panic(noise in prop::collection::vec(any::<u8>(), 0..FAR), ends: bool) {
            let mut noise = noise;
            if ends {
                noise.extend(SYSCALL);
            }
            if let Some(number) = before(&noise, is_interruptible) {
                prop_assert!(INTERRUPTIBLE.contains(&number));
            }
        }

        #[test]
        fn instructions_end_within_the_code(noise in prop::collection::vec(any::<u8>(), 1..20)) {
            prop_assert!(instruction(&noise).is_none_or(|length| length <= noise.len()));
        }
    }
}
