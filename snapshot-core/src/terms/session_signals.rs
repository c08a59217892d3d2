//! The signals by which a session's processes ask each other, and what they carry.
//!
//! Context: AS-SAFE.

/// The signal by which requests reach the live process: glibc's SIGSETXID, by which threads
/// are parked too. No program can block it by way of libc, and none has a use for it.
pub const REQUEST_SIGNAL: i32 = 33;

/// `si_value` of a request that the supervisor signals to the live process: the upper
/// half is this, the lower half the request's number.
pub const REQUEST_MAGIC: u64 = 0x534e_4150 << 32;

/// `si_value` of a SIGINT that the supervisor passes on, with the signal's number in the
/// lower half: the agent asks all the same, since the program may have got its own.
pub const PASSED_MAGIC: u64 = 0x5041_5353 << 32;

const MUTE_MAGIC: u64 = 0x4d55_5445 << 32;

/// `si_value` of a trigger that the live process signals to the supervisor: it has been asked
/// for a snapshot, and can't call. The low eight bits tell the error, and those above the request by its last 24
/// bits, or 0 where it was a trigger.
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

/// The sender of a signal that comes from outside the session's namespace: the kernel
/// tells no number for it. 0 is the kernel itself.
pub const SENDER_OUTSIDE: i32 = -1;

/// Who has sent a signal, by what its receiver was told: its code, and the number of the
/// process that sent it.
pub fn sender(code: i32, pid: i32) -> i32 {
    match code {
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL if pid == 0 => SENDER_OUTSIDE,
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => pid,
        _ => 0,
    }
}
