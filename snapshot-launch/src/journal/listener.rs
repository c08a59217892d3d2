//! The kernel's side of the journal: the listener that reports the session's calls
//! (seccomp user notification), and the answers.
//!
//! A call waits in the kernel until it is answered. It can be answered, carried out by the
//! kernel as if nobody had looked, or get a descriptor of ours as its result.
#![expect(unsafe_code, reason = "ioctls that fill structs of the kernel's")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

use super::call_under_way::CallUnderWay;

const TYPE: u8 = b'!';

nix::ioctl_readwrite!(receive, TYPE, 0, libc::seccomp_notif);
nix::ioctl_readwrite!(answer, TYPE, 1, libc::seccomp_notif_resp);
nix::ioctl_write_ptr!(is_valid, TYPE, 2, u64);
nix::ioctl_write_ptr!(add_descriptor, TYPE, 3, libc::seccomp_notif_addfd);
nix::ioctl_write_int_bad!(set_flags, nix::request_code_write!(TYPE, 4, 8));

/// The caller continues on the processor of the one who answers (Linux 6.6 and later).
const SYNC_WAKE_UP: i32 = 1;

/// The session's listener.
#[derive(Debug)]
pub(super) struct Listener {
    fd: OwnedFd,
    under_way: CallUnderWay,
}

/// A call that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Notification {
    id: u64,
    /// The calling thread.
    pub(super) tid: i32,
    /// The machine whose numbers the call uses, as in `AUDIT_ARCH_X86_64`.
    pub(super) arch: u32,
    pub(super) number: u32,
    pub(super) arguments: [u64; 6],
}

impl Notification {
    pub(super) fn of(raw: &libc::seccomp_notif) -> Self {
        Self {
            id: raw.id,
            tid: raw.pid.cast_signed(),
            arch: raw.data.arch,
            number: raw.data.nr.cast_unsigned(),
            arguments: raw.data.args,
        }
    }
}

impl Listener {
    /// Of the descriptor that the agent has passed on.
    pub(super) fn of(fd: OwnedFd, under_way: CallUnderWay) -> Self {
        let listener = Self { fd, under_way };
        // An older kernel wakes callers in its own time.
        // SAFETY: the request takes a number.
        let _ = unsafe { set_flags(listener.fd.as_raw_fd(), SYNC_WAKE_UP) };
        listener
    }

    /// The next call that waits. `None` if it has been withdrawn: its thread was interrupted,
    /// or has died.
    ///
    /// # Errors
    /// If the listener is broken.
    pub(super) fn next(&self) -> io::Result<Option<Notification>> {
        // SAFETY: fills the struct, which is all zeros as the kernel demands.
        match unsafe { receive(self.fd.as_raw_fd(), self.under_way.next()) } {
            Ok(_) => Ok(self.under_way.call().as_ref().map(Notification::of)),
            Err(Errno::ENOENT | Errno::EINTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Has the kernel carry the call out.
    pub(super) fn let_through(&self, call: &Notification) {
        self.send(libc::seccomp_notif_resp {
            id: call.id,
            val: 0,
            error: 0,
            flags: (libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE & 0xffff_ffff) as u32,
        });
    }

    /// The call's result: a number, or an error.
    pub(super) fn reply(&self, call: &Notification, result: Result<i64, Errno>) {
        let (val, error) = match result {
            Ok(value) => (value, 0),
            Err(errno) => (0, -(errno as i32)),
        };
        self.send(libc::seccomp_notif_resp {
            id: call.id,
            val,
            error,
            flags: 0,
        });
    }

    /// Gives the caller a descriptor of ours: its number there is the call's result.
    ///
    /// In two steps. The kernel can do both in one, but if whoever asks for that is killed or
    /// stopped meanwhile, the call returns 0, and the caller takes its standard input for its file.
    /// Between the two ours is closed: when the caller closes its own, that is the last one, or a
    /// reader would wait for the end of a FIFO, and a program just written could not be run.
    ///
    /// # Errors
    /// EMFILE if the caller has no room. The call still waits for its answer then.
    pub(super) fn give(
        &self,
        call: &Notification,
        fd: OwnedFd,
        close_on_exec: bool,
    ) -> Result<(), Errno> {
        let given = libc::seccomp_notif_addfd {
            id: call.id,
            flags: 0,
            srcfd: fd.as_raw_fd().cast_unsigned(),
            newfd: 0,
            newfd_flags: if close_on_exec {
                libc::O_CLOEXEC.cast_unsigned()
            } else {
                0
            },
        };
        // SAFETY: reads the struct.
        match unsafe { add_descriptor(self.fd.as_raw_fd(), &raw const given) } {
            Ok(number) => {
                self.under_way.gave(number);
                drop(fd);
                self.reply(call, Ok(number.into()));
                Ok(())
            }
            // The caller is gone.
            Err(Errno::ENOENT) => {
                self.under_way.is_answered();
                Ok(())
            }
            Err(errno) => Err(errno),
        }
    }

    /// Whether the call still waits: then the caller's number is still the caller's.
    pub(super) fn still_waits(&self, call: &Notification) -> bool {
        // SAFETY: reads the number.
        unsafe { is_valid(self.fd.as_raw_fd(), &raw const call.id) }.is_ok()
    }

    fn send(&self, mut response: libc::seccomp_notif_resp) {
        // The only failure is that the caller is gone.
        // SAFETY: reads the struct.
        let _ = unsafe { answer(self.fd.as_raw_fd(), &raw mut response) };
        self.under_way.is_answered();
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
