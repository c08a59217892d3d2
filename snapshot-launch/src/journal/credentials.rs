//! A thread's rights to files, and how this process takes on a caller's for one call: user,
//! groups and capabilities, as the kernel looks at them when a file is opened or changed.
//!
//! The journal may have more rights than a caller: root's session with a program that has
//! become another user, or a session in a user namespace of its own. What it does for a
//! caller, it does with the caller's rights.
#![expect(unsafe_code, reason = "system calls that change this thread's rights")]

use std::cell::RefCell;
use std::io;

use nix::libc;

/// What decides on the access to files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    user: u32,
    group: u32,
    /// In the kernel's order.
    groups: Vec<u32>,
    /// The effective set.
    capabilities: u64,
}

impl Credentials {
    /// Of the text of a `/proc/PID/status`. `None` if a field is missing.
    pub(super) fn of_status(status: &str) -> Option<Self> {
        // The fourth number is the one for files.
        let for_files = |name| field(status, name)?.split_whitespace().nth(3)?.parse().ok();
        let groups = field(status, "Groups:")?.split_whitespace();
        Some(Self {
            user: for_files("Uid:")?,
            group: for_files("Gid:")?,
            groups: groups.map(str::parse).collect::<Result<_, _>>().ok()?,
            capabilities: u64::from_str_radix(field(status, "CapEff:")?, 16).ok()?,
        })
    }
}

impl Credentials {
    /// The user that the kernel compares with a file's.
    pub(super) fn user(&self) -> u32 {
        self.user
    }

    /// CAP_FOWNER: it may do with all files what their owners may.
    pub(super) fn owns_all_files(&self) -> bool {
        self.capabilities & OWNER != 0
    }

    /// CAP_SYS_ADMIN: it may mount and unmount, where these capabilities count.
    pub(super) fn administers(&self) -> bool {
        self.capabilities & ADMINISTRATOR != 0
    }
}

const OWNER: u64 = 1 << 3;
const ADMINISTRATOR: u64 = 1 << 21;

/// A field's value.
pub(super) fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim())
}

/// This process's rights, and whose it wears now. A change costs some system calls, so the last
/// ones stay on until others are needed.
#[derive(Debug)]
pub(super) struct Wardrobe {
    own: Credentials,
    is_restricted: bool,
    /// A caller's, if it wears any.
    worn: RefCell<Option<Credentials>>,
}

const SET_GROUPS: u64 = 1 << 6;
const SET_USER: u64 = 1 << 7;

impl Wardrobe {
    /// Reads what this process has. The effective capabilities become all that it may have.
    ///
    /// # Errors
    /// If `/proc` can't be read.
    pub(super) fn open() -> io::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let odd = || io::Error::other("/proc/self/status lacks the credentials");
        let permitted = field(&status, "CapPrm:").and_then(|set| u64::from_str_radix(set, 16).ok());
        let permitted = permitted.ok_or_else(odd)?;
        set_effective(permitted, permitted);
        let mut own = Credentials::of_status(&status).ok_or_else(odd)?;
        own.capabilities = permitted;
        Ok(Self {
            own,
            is_restricted: field(&status, "NoNewPrivs:") == Some("1"),
            worn: RefCell::new(None),
        })
    }

    /// Whether this process can't gain rights by an exec: then nor could the program, from its
    /// start.
    pub(super) fn is_restricted(&self) -> bool {
        self.is_restricted
    }

    /// Whether these are this process's rights.
    pub(super) fn is_own(&self, of: &Credentials) -> bool {
        self.own == *of
    }

    /// Whether this process can take these on.
    pub(super) fn has(&self, of: &Credentials) -> bool {
        let permitted = self.own.capabilities;
        let needs = |is_needed: bool, capability| !is_needed || permitted & capability != 0;
        of.capabilities & !permitted == 0
            && needs(of.user != self.own.user, SET_USER)
            && needs(
                of.group != self.own.group || of.groups != self.own.groups,
                SET_GROUPS,
            )
    }

    /// From here on this process has a caller's rights.
    ///
    /// # Errors
    /// EPERM if they can't be taken on.
    pub(super) fn wear(&self, of: &Credentials) -> io::Result<()> {
        if self.worn.borrow().as_ref() == Some(of) {
            return Ok(());
        }
        self.wear_own();
        // Before the first step: a half change must be taken off again.
        *self.worn.borrow_mut() = Some(of.clone());
        let done = self.put_on(of);
        if done.is_err() {
            self.wear_own();
        }
        done
    }

    /// From here on this process has its own rights.
    pub(super) fn wear_own(&self) {
        if let Some(worn) = self.worn.take()
            && self.take_off(&worn).is_err()
        {
            // Without them nothing more can be done truly.
            std::process::abort();
        }
    }

    fn put_on(&self, of: &Credentials) -> io::Result<()> {
        if of.groups != self.own.groups {
            set_groups(&of.groups)?;
        }
        if of.group != self.own.group {
            set_for_files(libc::SYS_setfsgid, of.group)?;
        }
        if of.user != self.own.user {
            set_for_files(libc::SYS_setfsuid, of.user)?;
        }
        // The kernel has lowered some with the user.
        set_effective(of.capabilities, self.own.capabilities)
            .then_some(())
            .ok_or_else(io::Error::last_os_error)
    }

    fn take_off(&self, of: &Credentials) -> io::Result<()> {
        let permitted = self.own.capabilities;
        let all = || {
            set_effective(permitted, permitted)
                .then_some(())
                .ok_or_else(io::Error::last_os_error)
        };
        all()?;
        if of.user != self.own.user {
            set_for_files(libc::SYS_setfsuid, self.own.user)?;
            all()?;
        }
        if of.group != self.own.group {
            set_for_files(libc::SYS_setfsgid, self.own.group)?;
        }
        if of.groups != self.own.groups {
            set_groups(&self.own.groups)?;
        }
        Ok(())
    }
}

fn set_groups(groups: &[u32]) -> io::Result<()> {
    // Not libc's function, which would tell other threads: there are none.
    // SAFETY: reads as many numbers as there are.
    let done = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// setfsuid(2) or setfsgid(2): both return the old number, whatever happens.
fn set_for_files(call: libc::c_long, number: u32) -> io::Result<()> {
    // SAFETY: both take a number.
    unsafe { libc::syscall(call, number) };
    // SAFETY: an invalid number changes nothing, and the old one comes back.
    let now = unsafe { libc::syscall(call, u32::MAX) };
    if now == i64::from(number.cast_signed()) || now == i64::from(number) {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EPERM))
    }
}

/// capset(2) on the effective set alone.
fn set_effective(effective: u64, permitted: u64) -> bool {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let low = |set: u64| (set & 0xffff_ffff) as u32;
    let high = |set: u64| (set >> 32) as u32;
    let data = [
        low(effective),
        low(permitted),
        0,
        high(effective),
        high(permitted),
        0,
    ];
    // SAFETY: a header of two numbers and two sets of three, in this version's format.
    (unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) }) == 0
}
