//! Which local sockets are connected to each other: the kernel shows it here alone, not in
//! `/proc`. A question and its answer by a netlink socket (sock_diag(7)); pure functions from
//! and to bytes.
//!
//! Context: AS-SAFE.

/// The protocol of that netlink socket.
pub const PROTOCOL: i32 = 4;

const BY_FAMILY: u16 = 20;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;
/// SHOW_VFS, SHOW_PEER, SHOW_RQLEN
const SHOW: u32 = 2 | 4 | 0x10;
const HEADER: usize = 16;
const LENGTH: u8 = 40;

/// The question about the socket with this inode, or about all of the network namespace.
pub fn question(inode: Option<u32>) -> [u8; LENGTH as usize] {
    let flags = match inode {
        Some(_) => REQUEST,
        None => REQUEST | DUMP,
    };
    let mut question = [0; LENGTH as usize];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = question.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(0, &u32::from(LENGTH).to_ne_bytes());
    put(4, &BY_FAMILY.to_ne_bytes());
    put(6, &flags.to_ne_bytes());
    put(8, &1_u32.to_ne_bytes()); // a sequence
    put(16, &[1]); // AF_UNIX
    put(20, &u32::MAX.to_ne_bytes()); // in any state
    put(24, &inode.unwrap_or(0).to_ne_bytes());
    put(28, &SHOW.to_ne_bytes());
    put(32, &[0xff; 8]); // with no cookie
    question
}

/// A socket in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    /// Its inode.
    pub inode: u32,
    /// The inode of its peer, if it has one; 0 where that has been closed, or nobody has
    /// accepted it yet.
    pub peer: Option<u32>,
    /// RCV 1, SEND 2.
    pub shut_down: u8,
    /// The inode of its bound path; 0 if it is not bound to one.
    pub path_inode: u32,
    /// For a listener: how many connections wait, and how many may.
    pub queue: (u32, u32),
}

impl Socket {
    /// Whether the peer of this one, which is of this type, has been closed. Where nobody has
    /// accepted it yet, this one is not shut down.
    pub const fn has_lost_peer(&self, kind: i32) -> bool {
        const BOTH: u8 = 3;
        matches!(self.peer, Some(0)) && (kind == libc::SOCK_DGRAM || self.shut_down == BOTH)
    }
}

/// A part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// A socket.
    Socket(Socket),
    /// The end, or an unreadable packet.
    End,
}

/// Reads a packet of the answer.
pub fn messages(mut packet: &[u8]) -> impl Iterator<Item = Message> {
    core::iter::from_fn(move || {
        let (length, kind) = (word(packet, 0)?, half(packet, 4)?);
        let length = usize::try_from(length).unwrap_or(0);
        let message = packet.get(HEADER..length);
        packet = packet.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        let (Some(message), true) = (message, kind != DONE && kind != ERROR) else {
            packet = &[];
            return Some(Message::End);
        };
        Some(socket(message).map_or(Message::End, Message::Socket))
    })
}

/// Sixteen bytes of a `unix_diag_msg`, and attributes of a length and a type each.
fn socket(message: &[u8]) -> Option<Socket> {
    const VFS: u16 = 1;
    const PEER: u16 = 2;
    const RQLEN: u16 = 4;
    const SHUT_DOWN: u16 = 6;
    let mut found = Socket {
        inode: word(message, 4)?,
        peer: None,
        shut_down: 0,
        path_inode: 0,
        queue: (0, 0),
    };
    let mut attributes = message.get(16..)?;
    while let Some((length, kind)) = half(attributes, 0).zip(half(attributes, 2)) {
        let length = usize::from(length).max(4);
        let value = attributes.get(4..length).unwrap_or(&[]);
        match kind {
            VFS => found.path_inode = word(value, 0).unwrap_or(0),
            PEER => found.peer = word(value, 0),
            RQLEN => found.queue = word(value, 0).zip(word(value, 4)).unwrap_or((0, 0)),
            SHUT_DOWN => found.shut_down = value.first().copied().unwrap_or(0),
            _ => {}
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Some(found)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_ne_bytes(*bytes))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn noise_ends(noise: Vec<u8>) {
            prop_assert!(messages(&noise).count() <= noise.len());
        }
    }
}
