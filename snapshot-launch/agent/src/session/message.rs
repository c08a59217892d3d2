//! The environment message: from the launcher, or from the agent before an exec, to the agent
//! of the program that starts.
//!
//! `CARGO_SNAPSHOT_AGENT=<preload fd>,<trigger>,<signal mask>,<tunables>,<inherited>,<address>`
//!
//! The mask is in hexadecimal. The open files that the session was started with are
//! `<device>:<inode>;` each, in hexadecimal; an empty list means everything that is open.
//!
//! Context: reading it is IN-PROCESS, before `main`; writing it is AS-SAFE.

use snapshot_core::objects::{self, Inherited, MOST_INHERITED};
use snapshot_core::sys::SignalSet;

use super::bump::Bump;

/// The variable that carries the message.
pub(super) const VARIABLE: &[u8] = b"CARGO_SNAPSHOT_AGENT=";
/// The variable that makes the loader load the agent.
pub(crate) const PRELOAD: &[u8] = b"LD_PRELOAD=";

/// Room for the supervisor's address.
pub(super) const MOST_NAME_BYTES: usize = 100;

/// The agent's start message.
pub(crate) struct Message {
    /// The agent itself, as the loader found it.
    pub(crate) preload_fd: i32,
    pub(crate) trigger: i32,
    /// The signal mask that the program starts with.
    pub(crate) mask: SignalSet,
    /// How many bytes at the beginning of GLIBC_TUNABLES are the session's.
    pub(crate) tunables: usize,
    /// The length of `inherited`; `None` if the session was started with everything that is
    /// open.
    inherited_count: Option<usize>,
    inherited: [Inherited; MOST_INHERITED],
    name: [u8; MOST_NAME_BYTES],
    name_length: usize,
}

impl Message {
    /// The open files that the session was started with; `None` if that is everything that is
    /// open.
    pub(crate) fn inherited(&self) -> Option<&[Inherited]> {
        self.inherited.get(..self.inherited_count?)
    }

    /// Where the supervisor listens.
    pub(crate) fn name(&self) -> &[u8] {
        self.name.get(..self.name_length).unwrap_or(&[])
    }

    /// Reads the message. `None` if it is not well formed.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text).ok()?;
        let mut parts = text.splitn(6, ',');
        let preload_fd = parts.next()?.parse().ok()?;
        let trigger = parts.next()?.parse().ok()?;
        let mask = u64::from_str_radix(parts.next()?, 16).ok()?;
        let tunables = parts.next()?.parse().ok()?;
        let mut inherited = [Inherited {
            device: 0,
            inode: 0,
        }; MOST_INHERITED];
        let mut inherited_count = None;
        for entry in parts.next()?.split_terminator(';') {
            let (device, inode) = entry.split_once(':')?;
            let count = inherited_count.get_or_insert(0);
            *inherited.get_mut(*count)? = Inherited {
                device: u64::from_str_radix(device, 16).ok()?,
                inode: u64::from_str_radix(inode, 16).ok()?,
            };
            *count += 1;
        }
        let address = parts.next()?.as_bytes();
        let mut name = [0; MOST_NAME_BYTES];
        name.get_mut(..address.len())?.copy_from_slice(address);
        Some(Self {
            preload_fd,
            trigger,
            mask: SignalSet(mask),
            tunables,
            inherited_count,
            inherited,
            name,
            name_length: address.len(),
        })
    }
}

/// The agent's message to the agent of the next program. It includes the open files that the
/// session was started with.
pub(crate) struct Outgoing<'a> {
    pub(crate) preload_fd: u64,
    pub(crate) trigger: i32,
    pub(crate) mask: SignalSet,
    pub(crate) tunables: usize,
    pub(crate) name: &'a [u8],
}

impl Outgoing<'_> {
    /// Writes it, with its variable in front and a NUL at the end.
    pub(crate) fn write(&self, to: &mut Bump) -> Option<()> {
        to.put(VARIABLE)?;
        to.number(self.preload_fd, 10)?;
        to.put(b",")?;
        to.number(u64::from(self.trigger.unsigned_abs()), 10)?;
        to.put(b",")?;
        to.number(self.mask.0, 16)?;
        to.put(b",")?;
        to.number(u64::try_from(self.tunables).ok()?, 10)?;
        to.put(b",")?;
        // A list that is too long is sent empty. That means everything that is open, which is
        // on the safe side.
        for inherited in objects::inherited().into_iter().flatten() {
            to.number(inherited.device, 16)?;
            to.put(b":")?;
            to.number(inherited.inode, 16)?;
            to.put(b";")?;
        }
        to.put(b",")?;
        to.put(self.name)?;
        to.put(b"\0")
    }
}
