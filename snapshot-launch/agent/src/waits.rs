//! The functions by which a program waits for its children. They stand before libc's.
//!
//! They call libc's, and do two things more where a snapshot has seen a child. What the
//! program reaps of those children is written into the family table: should this branch be
//! reverted, nobody else would ever know how they ended. And children that a revived
//! process has adopted are answered for; see [`crate::adopted`].
//!
//! Limits: libc's `system` and `pclose` wait by a function inside of libc, and a direct
//! system call is not seen either.
//!
//! Context: AS-SAFE, as the functions of libc are.

use core::ffi::c_int;
use core::mem;
use core::ptr;

use libc::{id_t, idtype_t, pid_t, rusage, siginfo_t};
use snapshot_core::process::{
    children::{self, Place, Table, Usage},
    pidfd,
};
use snapshot_core::sys;

use crate::adopted::{self, End, Target};
use crate::dispositions::{Real, real};
use crate::{errno, session};

/// The others of the older kind call it inside of libc.
static WAIT4: Real = Real::new(c"wait4");
static WAITID: Real = Real::new(c"waitid");

/// The table has come. libc's functions are looked up now: later that may be in a signal
/// handler, or in a child of a process that holds the loader's lock.
pub(crate) fn begin(table: c_int) {
    for real in [&WAIT4, &WAITID] {
        real.address();
    }
    adopted::begin(table);
}

/// A child that has been reaped, as `wait4` tells of it.
#[derive(Clone, Copy)]
struct Reaped {
    pid: pid_t,
    status: c_int,
    usage: Usage,
}

impl Reaped {
    fn of(end: &End) -> Self {
        Self {
            pid: end.pid,
            status: end.status,
            usage: end.usage,
        }
    }
}

/// Writes down how a child has ended, if a snapshot has seen it. Gives its place.
fn note(pid: pid_t, status: c_int) -> Option<(&'static Table, Place)> {
    if libc::WIFSTOPPED(status) {
        let table = adopted::table()?;
        table.note_stop(table.find_alive(pid)?, libc::WSTOPSIG(status));
        return None;
    }
    let has_ended = libc::WIFEXITED(status) || libc::WIFSIGNALED(status);
    let table = adopted::table().filter(|_| has_ended)?;
    let place = table.find_alive(pid)?;
    table.end(place, status);
    Some((table, place))
}

/// Whether a wait is to look at a child before it reaps it: what is reaped by a process
/// that is killed before it can write it down is lost. As long as no snapshot has seen a
/// child only a wait that blocks has to, since there may be one by its end.
fn looks_first(options: c_int) -> bool {
    options & libc::WNOWAIT == 0
        && session::is_live()
        && (options & libc::WNOHANG == 0 || adopted::table().is_some())
}

/// Asks the kernel, and notes the answer before the child is reaped.
fn real_wait4(pid: pid_t, options: c_int) -> Result<Option<Reaped>, c_int> {
    let ids =
        ids_of_wait4(pid).filter(|_| options & !OPTIONS_OF_WAIT4 == 0 && looks_first(options));
    let Some((kind, id)) = ids else {
        return reap(pid, options);
    };
    loop {
        let Some(told) = libc_waitid(kind, id, options | libc::WEXITED | libc::WNOWAIT)? else {
            return Ok(None);
        };
        let noted = told.status().and_then(|status| note(told.pid, status));
        match reap(told.pid, options | libc::WNOHANG) {
            // Another thread has reaped it.
            Ok(None) | Err(libc::ECHILD) => {}
            Ok(Some(reaped)) => {
                if let Some((table, place)) = noted {
                    table.set_usage(place, &reaped.usage);
                }
                return Ok(Some(reaped));
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// Reaps. What has been reaped is noted here as well: a snapshot may have come in between.
fn reap(pid: pid_t, options: c_int) -> Result<Option<Reaped>, c_int> {
    let mut status = 0;
    let mut usage = Usage::default();
    let room: *mut rusage = (&raw mut usage).cast();
    let answer = real!(
        WAIT4: fn(pid_t, *mut c_int, c_int, *mut rusage),
        pid,
        &raw mut status,
        options,
        room
    );
    match answer {
        0 => Ok(None),
        -1 => Err(errno::get()),
        pid => {
            if let Some((table, place)) = note(pid, status) {
                table.set_usage(place, &usage);
            }
            Ok(Some(Reaped { pid, status, usage }))
        }
    }
}

/// Whom a wait4 is for, as waitid has it. `None` where that is the kernel's business.
fn ids_of_wait4(pid: pid_t) -> Option<(idtype_t, id_t)> {
    match pid {
        pid_t::MIN => None,
        -1 => Some((libc::P_ALL, 0)),
        pid if pid <= 0 => Some((libc::P_PGID, pid.unsigned_abs())),
        pid => Some((libc::P_PID, pid.unsigned_abs())),
    }
}

/// The options that mean something for an ordinary child.
const OPTIONS_OF_WAIT4: c_int = libc::WNOHANG
    | libc::WUNTRACED
    | libc::WCONTINUED
    | libc::__WALL
    | libc::__WCLONE
    | libc::__WNOTHREAD;

/// Whether only children are wanted that send no SIGCHLD, of which none is adopted.
fn wants_clones(options: c_int) -> bool {
    options & (libc::__WALL | libc::__WCLONE) == libc::__WCLONE
}

/// What the functions of the older kind do.
///
/// # Safety
/// `status` and `usage` must be writable or null.
unsafe fn wait_by_four(
    pid: pid_t,
    status: *mut c_int,
    options: c_int,
    usage: *mut rusage,
) -> pid_t {
    let target = ids_of_wait4(pid)
        .and_then(|(kind, id)| target_of_waitid(kind, id))
        .filter(|_| options & !OPTIONS_OF_WAIT4 == 0 && !wants_clones(options));
    let mut real = |more| real_wait4(pid, options | more);
    let answer = match target {
        Some(target) => adopted::wait(target, options | libc::WEXITED, &mut real, Reaped::of),
        None => real(0),
    };
    match answer {
        Ok(Some(reaped)) => {
            if !status.is_null() {
                // SAFETY: the caller's promise.
                unsafe { status.write(reaped.status) };
            }
            if !usage.is_null() {
                // SAFETY: the caller's promise; both are of one size, plain numbers.
                unsafe { usage.cast::<Usage>().write_unaligned(reaped.usage) };
            }
            reaped.pid
        }
        Ok(None) => 0,
        Err(errno) => {
            errno::set(errno);
            -1
        }
    }
}

/// wait(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wait(status: *mut c_int) -> pid_t {
    // SAFETY: the caller's promise.
    unsafe { wait_by_four(-1, status, 0, ptr::null_mut()) }
}

/// waitpid(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waitpid(pid: pid_t, status: *mut c_int, options: c_int) -> pid_t {
    // SAFETY: the caller's promise.
    unsafe { wait_by_four(pid, status, options, ptr::null_mut()) }
}

/// wait3(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wait3(status: *mut c_int, options: c_int, usage: *mut rusage) -> pid_t {
    // SAFETY: the caller's promise.
    unsafe { wait_by_four(-1, status, options, usage) }
}

/// wait4(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wait4(
    pid: pid_t,
    status: *mut c_int,
    options: c_int,
    usage: *mut rusage,
) -> pid_t {
    // SAFETY: the caller's promise.
    unsafe { wait_by_four(pid, status, options, usage) }
}

/// What `waitid` tells of a child.
#[derive(Clone, Copy)]
struct Told {
    code: c_int,
    pid: pid_t,
    user: u32,
    number: c_int,
}

impl Told {
    fn of(end: &End) -> Self {
        let info = sys::SignalInfo::of_child(end.pid, end.user, end.status, true);
        Self {
            code: info.code(),
            pid: end.pid,
            user: info.user(),
            number: info.child_status(),
        }
    }

    /// Writes it down. What the child has used is not told.
    fn note(self) {
        if self.code == libc::CLD_STOPPED {
            note(self.pid, children::stopped(self.number));
        }
        if let Some(status) = self.status() {
            note(self.pid, status);
        }
    }

    /// As the older functions would tell it, if it has ended.
    fn status(self) -> Option<c_int> {
        match self.code {
            libc::CLD_EXITED => Some((self.number & 0xff) << 8),
            libc::CLD_KILLED => Some(self.number),
            libc::CLD_DUMPED => Some(self.number | 0x80),
            _ => None,
        }
    }
}

/// The words of a `siginfo_t` that the kernel writes, as it lays them out: signal, errno,
/// code; process, user, status.
const WRITTEN: [usize; 6] = [0, 1, 2, 4, 5, 6];

/// Writes what the kernel does; all zero where nobody has ended.
///
/// # Safety
/// `info` must be writable or null.
unsafe fn write_info(info: *mut siginfo_t, told: Option<Told>) {
    if info.is_null() {
        return;
    }
    let values = told.map_or([0; 6], |told| {
        [
            libc::SIGCHLD,
            0,
            told.code,
            told.pid,
            told.user.cast_signed(),
            told.number,
        ]
    });
    for (index, value) in WRITTEN.into_iter().zip(values) {
        // SAFETY: within the structure, by the caller's promise.
        let word = unsafe { info.cast::<c_int>().add(index) };
        // SAFETY: as above.
        unsafe { word.write(value) };
    }
}

/// Asks the kernel, and notes the answer before the child is reaped.
fn real_waitid(kind: idtype_t, id: id_t, options: c_int) -> Result<Option<Told>, c_int> {
    if !looks_first(options) || options & libc::WEXITED == 0 {
        let told = libc_waitid(kind, id, options)?;
        if let Some(told) = told.filter(|_| options & libc::WNOWAIT == 0) {
            told.note();
        }
        return Ok(told);
    }
    loop {
        let Some(told) = libc_waitid(kind, id, options | libc::WNOWAIT)? else {
            return Ok(None);
        };
        told.note();
        let only = told.pid.unsigned_abs();
        match libc_waitid(libc::P_PID, only, options | libc::WNOHANG) {
            // Another thread has reaped it.
            Ok(None) | Err(libc::ECHILD) => {}
            Ok(Some(told)) => {
                told.note();
                return Ok(Some(told));
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// libc's function.
fn libc_waitid(kind: idtype_t, id: id_t, options: c_int) -> Result<Option<Told>, c_int> {
    // SAFETY: all-zero is a valid siginfo.
    let mut info: siginfo_t = unsafe { mem::zeroed() };
    let answer = real!(
        WAITID: fn(idtype_t, id_t, *mut siginfo_t, c_int),
        kind,
        id,
        &raw mut info,
        options
    );
    if answer != 0 {
        return Err(errno::get());
    }
    if info.si_signo != libc::SIGCHLD {
        return Ok(None);
    }
    Ok(Some(Told {
        code: info.si_code,
        // SAFETY: a siginfo of SIGCHLD.
        pid: unsafe { info.si_pid() },
        // SAFETY: as above.
        user: unsafe { info.si_uid() },
        // SAFETY: as above.
        number: unsafe { info.si_status() },
    }))
}

/// Whom a waitid is for. `None` where that is the kernel's business.
fn target_of_waitid(kind: idtype_t, id: id_t) -> Option<Target> {
    let id = c_int::try_from(id).ok()?;
    match kind {
        libc::P_ALL => Some(Target::Any),
        libc::P_PID => Some(Target::Child(id)),
        libc::P_PGID if id == 0 => Some(Target::OwnGroup),
        libc::P_PGID => Some(Target::Group(id)),
        libc::P_PIDFD => Some(Target::Handle(id)),
        _ => None,
    }
}

/// What a waitid must be for.
const WANTED: c_int = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED;
const OPTIONS_OF_WAITID: c_int = OPTIONS_OF_WAIT4 | libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT;

/// waitid(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waitid(
    kind: idtype_t,
    id: id_t,
    info: *mut siginfo_t,
    options: c_int,
) -> c_int {
    let is_usual =
        options & !OPTIONS_OF_WAITID == 0 && options & WANTED != 0 && !wants_clones(options);
    let target = target_of_waitid(kind, id).filter(|_| is_usual);
    // A pidfd may say itself that nobody is to wait by it.
    let by_descriptor = match target {
        Some(Target::Handle(descriptor))
            if adopted::table().is_some() && pidfd::is_nonblocking(descriptor) =>
        {
            libc::WNOHANG
        }
        _ => 0,
    };
    let mut real = |more| real_waitid(kind, id, options | more);
    let answer = match target {
        Some(target) => adopted::wait(target, options | by_descriptor, &mut real, Told::of),
        None => real(0),
    };
    match answer {
        Ok(None) if by_descriptor & !options != 0 => {
            errno::set(libc::EAGAIN);
            -1
        }
        Ok(told) => {
            // SAFETY: the caller's promise.
            unsafe { write_info(info, told) };
            0
        }
        Err(errno) => {
            errno::set(errno);
            -1
        }
    }
}
