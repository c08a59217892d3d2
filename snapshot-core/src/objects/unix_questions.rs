//! Questions to the kernel about local sockets, by netlink (`unix_diag`).
//!
//! Context: AS-SAFE.

use super::descriptors::Descriptors;
use crate::kernel::{
    records::Records,
    unix_diag::{self, Message},
};
use crate::sys::{self, Errno};
use crate::terms::Kind;

/// The questions of one record. For each the kernel searches all sockets of the system,
/// so for many sockets it gets one question, about all.
pub(super) enum Asking {
    NotYet { has_many: bool },
    Each { socket: i32 },
    All { info: Records<unix_diag::Socket> },
    Refused,
}

impl Asking {
    const MANY: usize = 32;

    pub(super) fn new(open: &Descriptors) -> Self {
        let has_many = open.of_kind(Kind::Socket).nth(Self::MANY).is_some();
        Self::NotYet { has_many }
    }

    pub(super) fn about(&mut self, inode: u64) -> Option<unix_diag::Socket> {
        if let Self::NotYet { has_many } = *self {
            *self = Self::begin(has_many).unwrap_or(Self::Refused);
        }
        match self {
            Self::Each { socket } => ask(*socket, inode),
            Self::All { info } => {
                let inode = u32::try_from(inode).ok()?;
                let info = info.entries();
                let at = info.binary_search_by_key(&inode, |info| info.inode).ok()?;
                info.get(at).copied()
            }
            Self::NotYet { .. } | Self::Refused => None,
        }
    }

    fn begin(has_many: bool) -> Result<Self, Errno> {
        let socket = sys::socket(libc::AF_NETLINK, libc::SOCK_RAW, unix_diag::PROTOCOL)?;
        if !has_many {
            return Ok(Self::Each { socket });
        }
        let mut info = Records::growing();
        let asked = ask_all(socket, &mut info);
        sys::close(socket);
        asked?;
        info.entries_mut().sort_unstable_by_key(|info| info.inode);
        Ok(Self::All { info })
    }

    pub(super) fn end(self) {
        match self {
            Self::Each { socket } => sys::close(socket),
            Self::All { info } => info.release(),
            Self::NotYet { .. } | Self::Refused => {}
        }
    }
}

/// Asks about all sockets.
fn ask_all(socket: i32, info: &mut Records<unix_diag::Socket>) -> Result<(), Errno> {
    sys::send(socket, &unix_diag::question(None))?;
    let mut packet = [0_u8; 16 * 1024];
    loop {
        let length = sys::read(socket, &mut packet)?;
        if length == 0 {
            return Err(Errno(libc::EPROTO));
        }
        for message in unix_diag::messages(packet.get(..length).unwrap_or(&[])) {
            match message {
                Message::Socket(of) => info.push(of)?,
                Message::End => return Ok(()),
            }
        }
    }
}

/// Asks about one socket.
fn ask(socket: i32, inode: u64) -> Option<unix_diag::Socket> {
    let question = unix_diag::question(Some(u32::try_from(inode).ok()?));
    sys::send(socket, &question).ok()?;
    let mut answer = [0_u8; 1024];
    let length = sys::read(socket, &mut answer).ok()?;
    match unix_diag::messages(answer.get(..length)?).next()? {
        Message::Socket(info) => Some(info),
        Message::End => None,
    }
}
