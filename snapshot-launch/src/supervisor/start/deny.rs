//! What `--deny` takes from the program and all that it starts: the kernel answers as if it
//! lacked such a thing.
//!
//! An io_uring ring can't be copied. Runtimes without one use epoll, which can be. So the one
//! system call that makes a ring fails with ENOSYS, by a kernel filter (seccomp) that a process
//! can add and never remove.
//!
//! Context: the program's process before its exec, which has a single thread. It allocates
//! nothing.
#![expect(unsafe_code, reason = "hands a filter to the kernel")]

use std::io;

use nix::libc;
use nix::sys::prctl;

use crate::flags::DenyKind;

/// `io_uring_setup`: since Linux 5.1 new calls have the same number on every architecture, so
/// the filter need not ask for it.
const IO_URING_SETUP: u32 = 425;

/// What x86 adds to the numbers of calls with 32-bit pointers (x32).
const X32: u32 = 0x4000_0000;

/// Denies each of these to the calling process, for good.
///
/// A process that may not filter otherwise gives up set-uid programs (`no_new_privs`).
///
/// # Errors
/// The kernel has no filters, or something forbids them.
pub(crate) fn install(kinds: &[DenyKind]) -> io::Result<()> {
    for kind in kinds {
        match kind {
            DenyKind::IoUring => filter(IO_URING_SETUP)?,
        }
    }
    Ok(())
}

/// Has the kernel answer one call with ENOSYS.
fn filter(call: u32) -> io::Result<()> {
    let program = program(call);
    match set_filter(&program) {
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
            prctl::set_no_new_privs()?;
            set_filter(&program)
        }
        outcome => outcome,
    }
}

/// ENOSYS for this call, with or without the x32 mark; others go on.
fn program(call: u32) -> [libc::sock_filter; 5] {
    let step = |code: u32, jt, jf, k| libc::sock_filter {
        code: u16::try_from(code).expect("libc has them in wider numbers than the kernel"),
        jt,
        jf,
        k,
    };
    let enosys = libc::ENOSYS.unsigned_abs() & libc::SECCOMP_RET_DATA;
    [
        // The number is the first field of a filter's data.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, !X32),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call),
        step(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | enosys,
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

/// seccomp(2). Without the flag, kernels before 5.16 turn on protections that slow the
/// program down.
fn set_filter(steps: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(steps.len()).map_err(io::Error::other)?,
        filter: steps.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel reads as many steps as there are, and keeps a copy.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            &raw const program,
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do, for the few codes that there are.
    fn answer(steps: &[libc::sock_filter], number: u32) -> u32 {
        let (mut accumulator, mut at) = (0, 0);
        loop {
            let step = steps[at];
            at += 1;
            match u32::from(step.code) {
                0x20 => accumulator = number,
                0x54 => accumulator &= step.k,
                0x15 if accumulator == step.k => at += usize::from(step.jt),
                0x15 => at += usize::from(step.jf),
                0x06 => return step.k,
                code => panic!("an unknown code {code:#x}"),
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn one_call_alone_is_denied(number: u32) {
            let denied = answer(&program(IO_URING_SETUP), number) != libc::SECCOMP_RET_ALLOW;
            proptest::prop_assert_eq!(denied, number & !X32 == IO_URING_SETUP);
        }
    }

    #[test]
    fn it_is_denied_in_either_form() {
        for number in [IO_URING_SETUP, IO_URING_SETUP | X32] {
            assert_eq!(answer(&program(IO_URING_SETUP), number), 0x0005_0026);
        }
        // Its neighbours do nothing without a ring.
        assert_eq!(answer(&program(IO_URING_SETUP), 426), 0x7fff_0000);
    }
}
