//! The filter of system calls by which the kernel asks the journal: a program for the kernel's
//! BPF machine, made from the table in [`crate::terms::file_calls`] when this is compiled.
//!
//! For every number that the table lacks, the answer doesn't depend on the arguments. From 5.11
//! on the kernel finds that out when the filter is set, and never runs it for such a call: that
//! costs the same however long the program is. For the others, and on older kernels, it is a
//! binary search over the numbers.
//!
//! Context: AS-SAFE. Data.

use libc::sock_filter;

use crate::terms::file_calls::{
    ARCH_I386, ARCH_X86_64, FileCall, NUMBERS, OPEN_TO_CHANGE, SET_ATTRIBUTES, SOCKETCALL_BIND,
    X32_BIT,
};
use crate::terms::guards::KEEP_RANGE;

/// The whole program.
pub(super) static FILTER: [sock_filter; LENGTH] = {
    let mut filter = [NO_STEP; LENGTH];
    let mut at = 0;
    while at < LENGTH {
        filter[at] = PROGRAM.steps[at];
        at += 1;
    }
    filter
};

const LENGTH: usize = PROGRAM.length as usize;
const PROGRAM: Program = whole();

const NO_STEP: sock_filter = step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW);

/// Places in `struct seccomp_data`. The kernel looks at the lower half of these arguments alone.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

const MOST: usize = 1024;

#[derive(Clone, Copy)]
struct Program {
    steps: [sock_filter; MOST],
    length: u32,
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "codes of the machine are small; the constants are wide for C's sake"
)]
const fn step(code: u32, k: u32) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

const fn jump(kind: u32, k: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter {
        jt: yes,
        jf: no,
        ..step(libc::BPF_JMP | kind | libc::BPF_K, k)
    }
}

const fn load(place: u32) -> sock_filter {
    step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, place)
}

const fn answer(what: u32) -> sock_filter {
    step(libc::BPF_RET | libc::BPF_K, what)
}

const ALLOW: sock_filter = answer(libc::SECCOMP_RET_ALLOW);
const ASK: sock_filter = answer(libc::SECCOMP_RET_USER_NOTIF);

/// When the journal is asked about the calls of a run of numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum When {
    Never,
    Always,
    /// The argument after the path has a flag of [`OPEN_TO_CHANGE`]: with or without a directory
    /// before the path.
    Opens,
    OpensAt,
    SetsFlags,
    SetsAttributes,
    Binds,
}

const fn when(arch: u32, number: u32) -> When {
    match FileCall::of(arch, number) {
        None => When::Never,
        Some(FileCall::Open) => When::Opens,
        Some(FileCall::OpenAt | FileCall::OpenByHandleAt) => When::OpensAt,
        Some(FileCall::Fcntl) => When::SetsFlags,
        Some(FileCall::Ioctl) => When::SetsAttributes,
        Some(FileCall::SocketCall) => When::Binds,
        Some(_) => When::Always,
    }
}

/// Numbers with the same answer, in a row: where each run begins.
struct Runs {
    begin: [u32; NUMBERS as usize],
    when: [When; NUMBERS as usize],
    count: usize,
}

const fn runs(arch: u32) -> Runs {
    let mut runs = Runs {
        begin: [0; NUMBERS as usize],
        when: [When::Never; NUMBERS as usize],
        count: 1,
    };
    let mut number = 1;
    // The last run has every number from its beginning on, and answers `Never`.
    while number <= NUMBERS {
        let next = when(arch, number);
        if next as u8 != runs.when[runs.count - 1] as u8 {
            runs.begin[runs.count] = number;
            runs.when[runs.count] = next;
            runs.count += 1;
        }
        number += 1;
    }
    runs
}

impl Program {
    const fn add(mut self, step: sock_filter) -> Self {
        self.steps[self.length as usize] = step;
        self.length += 1;
        self
    }

    /// The decision once the run is known.
    const fn decide(self, when: When) -> Self {
        match when {
            When::Never => self.add(ALLOW),
            When::Always => self.add(ASK),
            When::Opens => self.ask_if_any(1, OPEN_TO_CHANGE),
            When::OpensAt => self.ask_if_any(2, OPEN_TO_CHANGE),
            When::SetsFlags => self
                .add(load(argument(1)))
                .add(jump(libc::BPF_JEQ, libc::F_SETFL.unsigned_abs(), 0, 2))
                .add(load(argument(2)))
                .add(jump(libc::BPF_JSET, libc::O_APPEND.unsigned_abs(), 0, 1))
                .add(ALLOW)
                .add(ASK),
            When::SetsAttributes => self
                .add(load(argument(1)))
                .add(jump(libc::BPF_JEQ, SET_ATTRIBUTES[0], 4, 0))
                .add(jump(libc::BPF_JEQ, SET_ATTRIBUTES[1], 3, 0))
                .add(jump(libc::BPF_JEQ, SET_ATTRIBUTES[2], 2, 0))
                .add(jump(libc::BPF_JEQ, KEEP_RANGE, 1, 0))
                .add(ALLOW)
                .add(ASK),
            When::Binds => self
                .add(load(argument(0)))
                .add(jump(libc::BPF_JEQ, SOCKETCALL_BIND, 1, 0))
                .add(ALLOW)
                .add(ASK),
        }
    }

    const fn ask_if_any(self, index: u32, bits: u32) -> Self {
        self.add(load(argument(index)))
            .add(jump(libc::BPF_JSET, bits, 1, 0))
            .add(ALLOW)
            .add(ASK)
    }

    /// Finds the run of the number that is loaded, among these.
    const fn search(self, runs: &Runs, from: usize, to: usize) -> Self {
        if to - from == 1 {
            return self.decide(runs.when[from]);
        }
        let middle = from.midpoint(to);
        let at = self.length;
        let mut program = self
            .add(jump(libc::BPF_JGE, runs.begin[middle], 0, 0))
            .search(runs, from, middle);
        let distance = program.length - at - 1;
        assert!(distance <= u8::MAX as u32, "a jump reaches 255 steps");
        #[expect(clippy::cast_possible_truncation, reason = "checked above")]
        {
            program.steps[at as usize].jt = distance as u8;
        }
        program.search(runs, middle, to)
    }
}

const fn whole() -> Program {
    let empty = Program {
        steps: [NO_STEP; MOST],
        length: 0,
    };
    let native = runs(ARCH_X86_64);
    let compatible = runs(ARCH_I386);
    let program = empty
        .add(load(ARCH))
        .add(jump(libc::BPF_JEQ, ARCH_X86_64, 1, 0))
        .add(step(libc::BPF_JMP | libc::BPF_JA, 0));
    let mut program = program
        .add(load(NUMBER))
        // An x32 call asks as its 64-bit twin does.
        .add(step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, !X32_BIT))
        .search(&native, 0, native.count);
    // A far jump has room for its distance.
    program.steps[2].k = program.length - 3;
    program
        .add(jump(libc::BPF_JEQ, ARCH_I386, 1, 0))
        .add(ALLOW)
        .add(load(NUMBER))
        .search(&compatible, 0, compatible.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel would; returns its answer and how many steps it took.
    fn run(arch: u32, number: u32, arguments: [u64; 6]) -> (u32, usize) {
        let load = |place: u32| match place {
            0 => number,
            4 => arch,
            place => {
                let index = (place as usize - 16) / 8;
                assert_eq!((place - 16) % 8, 0, "the lower half");
                u32::try_from(arguments[index] & 0xffff_ffff).expect("a half")
            }
        };
        let (mut at, mut value, mut steps) = (0, 0, 0);
        loop {
            let step = FILTER[at];
            at += 1;
            steps += 1;
            let code = u32::from(step.code);
            let is_so = match code & 0xf7 {
                code if code == libc::BPF_RET | libc::BPF_K => return (step.k, steps),
                code if code == libc::BPF_JMP | libc::BPF_JEQ => value == step.k,
                code if code == libc::BPF_JMP | libc::BPF_JGE => value >= step.k,
                code if code == libc::BPF_JMP | libc::BPF_JSET => value & step.k != 0,
                code if code == libc::BPF_JMP | libc::BPF_JA => {
                    at += step.k as usize;
                    continue;
                }
                code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    value = load(step.k);
                    continue;
                }
                code if code == libc::BPF_ALU | libc::BPF_AND => {
                    value &= step.k;
                    continue;
                }
                code => unreachable!("{code:x}"),
            };
            at += usize::from(if is_so { step.jt } else { step.jf });
        }
    }

    fn asks(arch: u32, number: u32, arguments: [u64; 6]) -> bool {
        match run(arch, number, arguments).0 {
            libc::SECCOMP_RET_ALLOW => false,
            libc::SECCOMP_RET_USER_NOTIF => true,
            other => unreachable!("{other:x}"),
        }
    }

    #[test]
    fn it_asks_as_the_table_says() {
        let upper = 0xdead_beef_u64 << 32;
        let words = [
            0,
            1,
            2,
            3,
            4,
            5,
            0x40,
            0x200,
            0x400,
            0x401,
            0x800,
            0x8_0000,
            0x41_0000,
            0x41_0002,
            0x4008_6602,
            0x4004_6602,
            0x401c_5820,
            0x8008_6601,
            0x5401,
            u64::from(u32::MAX),
        ];
        for arch in [ARCH_X86_64, ARCH_I386] {
            for number in 0..=700 {
                for one in words {
                    for other in words {
                        let arguments = [one, one, other, other, 0, 0];
                        let swapped = [other | upper, other, one | upper, 0, 0, 0];
                        for arguments in [arguments, swapped] {
                            let expected = FileCall::of(arch, number)
                                .is_some_and(|call| call.is_asked(&arguments));
                            assert_eq!(
                                asks(arch, number, arguments),
                                expected,
                                "{arch:x} {number} {arguments:x?}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn x32_calls_ask_and_other_machines_do_not() {
        let write = [1; 6];
        for number in 0..600 {
            assert_eq!(
                asks(ARCH_X86_64, number | X32_BIT, write),
                asks(ARCH_X86_64, number, write)
            );
            assert!(!asks(0xc000_00b7, number, write));
        }
        assert!(!asks(ARCH_X86_64, u32::MAX, write));
        assert!(!asks(ARCH_I386, u32::MAX, write));
    }

    #[test]
    fn it_is_short_for_frequent_calls() {
        for number in [
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_futex,
            libc::SYS_getppid,
            libc::SYS_open,
            libc::SYS_openat,
            libc::SYS_fcntl,
            libc::SYS_ioctl,
            libc::SYS_newfstatat,
        ] {
            let number = u32::try_from(number).expect("numbers of calls are small");
            let (_, steps) = run(ARCH_X86_64, number, [0; 6]);
            assert!(steps <= 20, "{number}: {steps}");
        }
    }
}
