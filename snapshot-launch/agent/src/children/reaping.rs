//! Reaping a child by libc's own functions, so that a revert loses nothing.
//!
//! The program's reaping of a child that a snapshot has seen is recorded in the table: if a
//! revert ends this branch, no other record says how that child ended. It is written before the
//! child is reaped, since the process may be killed in between.
//!
//! Context: AS-SAFE, as the functions of libc are. [`begin`] is IN-PROCESS, before `main`.

use core::ffi::c_int;
use core::mem;

use libc::{id_t, idtype_t, pid_t, rusage, siginfo_t};
use snapshot_core::process::children::{self, Index, Table, Usage};
use snapshot_core::sys;

use super::{
    adopted::Change,
    table::{self, table},
};
use crate::real::{Real, real};
use crate::{errno, session};

/// libc's older functions call it themselves.
static WAIT4: Real = Real::new(c"wait4");
static WAITID: Real = Real::new(c"waitid");

/// Maps the table. Looks libc's functions up now: later that may be in a signal handler, or in
/// a child of a process that holds the loader's lock.
pub(crate) fn begin(table: c_int) {
    for real in [&WAIT4, &WAITID] {
        real.address();
    }
    table::begin(table);
}

/// A reaped child, as `wait4` returns it.
#[derive(Clone, Copy)]
pub(crate) struct Reaped {
    pub(crate) pid: pid_t,
    pub(crate) status: c_int,
    pub(crate) usage: Usage,
}

impl Reaped {
    /// A change of an adopted child in this form.
    pub(crate) fn of(change: &Change) -> Self {
        Self {
            pid: change.pid,
            status: change.status,
            usage: change.usage,
        }
    }
}

/// A child's state change, as `waitid` returns it.
#[derive(Clone, Copy)]
pub(crate) struct ChildInfo {
    pub(crate) code: c_int,
    pub(crate) pid: pid_t,
    pub(crate) user: u32,
    /// The exit code, or the signal.
    pub(crate) number: c_int,
}

impl ChildInfo {
    /// A change of an adopted child in this form.
    pub(crate) fn of(change: &Change) -> Self {
        let info = sys::SignalInfo::of_child(change.pid, change.user, change.status, true);
        Self {
            code: info.code(),
            pid: change.pid,
            user: info.user(),
            number: info.child_status(),
        }
    }

    /// Writes it into the table. The child's usage stays unknown.
    fn note(self) {
        if self.code == libc::CLD_STOPPED {
            note(self.pid, children::stopped(self.number));
        }
        if let Some(status) = self.status() {
            note(self.pid, status);
        }
    }

    /// The wait status, if the child has ended.
    fn status(self) -> Option<c_int> {
        match self.code {
            libc::CLD_EXITED => Some((self.number & 0xff) << 8),
            libc::CLD_KILLED => Some(self.number),
            libc::CLD_DUMPED => Some(self.number | 0x80),
            _ => None,
        }
    }
}

/// Writes a child's end into the table, if a snapshot has seen the child. Returns its index.
fn note(pid: pid_t, status: c_int) -> Option<(&'static Table, Index)> {
    if libc::WIFSTOPPED(status) {
        let table = table()?;
        table.note_stop(table.find_alive(pid)?, libc::WSTOPSIG(status));
        return None;
    }
    let has_ended = libc::WIFEXITED(status) || libc::WIFSIGNALED(status);
    let table = table().filter(|_| has_ended)?;
    let index = table.find_alive(pid)?;
    table.end(index, status);
    Some((table, index))
}

/// Whether a wait must look at a child before it reaps it. While no snapshot has seen a child,
/// only a blocking wait must: there may be a snapshot before the child ends.
fn looks_first(options: c_int) -> bool {
    options & libc::WNOWAIT == 0
        && session::is_live()
        && (options & libc::WNOHANG == 0 || table().is_some())
}

/// The options that matter for an ordinary child.
pub(crate) const OPTIONS_OF_WAIT4: c_int = libc::WNOHANG
    | libc::WUNTRACED
    | libc::WCONTINUED
    | libc::__WALL
    | libc::__WCLONE
    | libc::__WNOTHREAD;

/// The children that a wait4 is for, in waitid's form. `None` if only the kernel knows.
pub(crate) fn ids_of_wait4(pid: pid_t) -> Option<(idtype_t, id_t)> {
    match pid {
        pid_t::MIN => None,
        -1 => Some((libc::P_ALL, 0)),
        pid if pid <= 0 => Some((libc::P_PGID, pid.unsigned_abs())),
        pid => Some((libc::P_PID, pid.unsigned_abs())),
    }
}

/// wait4(2) by libc. Records the end before it reaps the child. `None` if there are children
/// and none has changed.
pub(crate) fn wait4(pid: pid_t, options: c_int) -> Result<Option<Reaped>, c_int> {
    let ids =
        ids_of_wait4(pid).filter(|_| options & !OPTIONS_OF_WAIT4 == 0 && looks_first(options));
    let Some((kind, id)) = ids else {
        return reap(pid, options);
    };
    loop {
        let Some(info) = libc_waitid(kind, id, options | libc::WEXITED | libc::WNOWAIT)? else {
            return Ok(None);
        };
        let noted = info.status().and_then(|status| note(info.pid, status));
        match reap(info.pid, options | libc::WNOHANG) {
            // Another thread has reaped it.
            Ok(None) | Err(libc::ECHILD) => {}
            Ok(Some(reaped)) => {
                if let Some((table, index)) = noted {
                    table.set_usage(index, &reaped.usage);
                }
                return Ok(Some(reaped));
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// Reaps, and records the end: a snapshot may have come in between.
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
            if let Some((table, index)) = note(pid, status) {
                table.set_usage(index, &usage);
            }
            Ok(Some(Reaped { pid, status, usage }))
        }
    }
}

/// waitid(2) by libc, likewise.
pub(crate) fn waitid(kind: idtype_t, id: id_t, options: c_int) -> Result<Option<ChildInfo>, c_int> {
    if !looks_first(options) || options & libc::WEXITED == 0 {
        let info = libc_waitid(kind, id, options)?;
        if let Some(info) = info.filter(|_| options & libc::WNOWAIT == 0) {
            info.note();
        }
        return Ok(info);
    }
    loop {
        let Some(info) = libc_waitid(kind, id, options | libc::WNOWAIT)? else {
            return Ok(None);
        };
        info.note();
        let only = info.pid.unsigned_abs();
        match libc_waitid(libc::P_PID, only, options | libc::WNOHANG) {
            // Another thread has reaped it.
            Ok(None) | Err(libc::ECHILD) => {}
            Ok(Some(info)) => {
                info.note();
                return Ok(Some(info));
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// libc's function.
fn libc_waitid(kind: idtype_t, id: id_t, options: c_int) -> Result<Option<ChildInfo>, c_int> {
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
    Ok(Some(ChildInfo {
        code: info.si_code,
        // SAFETY: a siginfo of SIGCHLD.
        pid: unsafe { info.si_pid() },
        // SAFETY: as above.
        user: unsafe { info.si_uid() },
        // SAFETY: as above.
        number: unsafe { info.si_status() },
    }))
}
