//! The signals between a session's processes, and their values.
//!
//! Context: AS-SAFE.

/// The signal for requests to the live process: glibc's SIGSETXID, which also parks threads.
/// Programs can't block it through libc, and don't use it.
pub const REQUEST_SIGNAL: i32 = 33;

/// `si_value` of a request from the supervisor to the live process: this in the upper half, the
/// request's number in the lower.
pub const REQUEST_MAGIC: u64 = 0x534e_4150 << 32;

/// `si_value` of a SIGINT that the supervisor passes on, with the signal's number in the lower
/// half. The agent asks all the same, since the program may have got its own.
pub const PASSED_MAGIC: u64 = 0x5041_5353 << 32;

const MUTE_MAGIC: u64 = 0x4d55_5445 << 32;

/// `si_value` of a trigger from the live process to the supervisor: a snapshot was asked for,
/// and the agent can't connect. The low eight bits are the error. The bits above are the
/// request's last 24 bits, or 0 for a trigger.
pub const fn mute(request: u32, errno: i32) -> u64 {
    MUTE_MAGIC | ((request as u64) << 8 & 0xffff_ff00) | (errno as u64 & 0xff)
}

/// The request and the error of such a value, if it is one.
pub const fn muted(value: u64) -> Option<(u32, i32)> {
    if value >> 32 != MUTE_MAGIC >> 32 {
        return None;
    }
    Some(((value >> 8 & 0xff_ffff) as u32, (value & 0xff) as i32))
}

/// The sender of a signal from outside the session's namespace: the kernel gives no number for
/// it. 0 is the kernel itself.
pub const SENDER_OUTSIDE: i32 = -1;

/// The sender of a signal, by the code and the process number that its receiver got.
pub fn sender(code: i32, pid: i32) -> i32 {
    match code {
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL if pid == 0 => SENDER_OUTSIDE,
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => pid,
        _ => 0,
    }
}
