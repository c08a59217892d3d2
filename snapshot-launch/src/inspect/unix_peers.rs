//! Which unix socket is connected to which: the kernel tells it by netlink
//! (sock_diag(7)), and nowhere in `/proc`.
//!
//! It tells of the caller's own network namespace alone; of a process in another one
//! nothing is known.

use std::collections::HashMap;
use std::fs;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use std::os::fd::AsRawFd;

/// The inode of the peer, by inode.
pub(super) fn of(pid: i32) -> HashMap<u64, u64> {
    let namespace = |who: &str| fs::read_link(format!("/proc/{who}/ns/net")).ok();
    let own = namespace("self");
    if own.is_none() || own != namespace(&pid.to_string()) {
        return HashMap::new();
    }
    ask().unwrap_or_default()
}

const BY_FAMILY: u16 = 20;
const REQUEST_DUMP: u16 = 0x301;
const DONE: u16 = 3;
const ERROR: u16 = 2;
const SHOW_PEER: u32 = 4;
const PEER: u16 = 2;

fn ask() -> nix::Result<HashMap<u64, u64>> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    let fd = netlink.as_raw_fd();
    send(fd, &request(), MsgFlags::empty())?;
    let mut peers = HashMap::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = recv(fd, &mut buffer, MsgFlags::empty())?;
        let is_last = read(buffer.get(..length).unwrap_or(&[]), &mut peers);
        if is_last || length == 0 {
            return Ok(peers);
        }
    }
}

/// A header of netlink's and a `unix_diag_req`: every socket, and its peer.
fn request() -> Vec<u8> {
    let mut request = Vec::with_capacity(40);
    let words = |request: &mut Vec<u8>, words: &[u32]| {
        for word in words {
            request.extend(word.to_ne_bytes());
        }
    };
    words(&mut request, &[40]);
    request.extend(BY_FAMILY.to_ne_bytes());
    request.extend(REQUEST_DUMP.to_ne_bytes());
    // A sequence, and a port that the kernel fills in.
    words(&mut request, &[1, 0]);
    // AF_UNIX, and padding.
    request.extend([1, 0, 0, 0]);
    // In any state, of any inode, and with no cookie.
    words(&mut request, &[u32::MAX, 0, SHOW_PEER, u32::MAX, u32::MAX]);
    request
}

/// Reads one packet of the answer; true where it is the last.
fn read(mut packet: &[u8], peers: &mut HashMap<u64, u64>) -> bool {
    while let Some((length, kind)) = word(packet, 0).zip(half(packet, 4)) {
        if kind == DONE || kind == ERROR {
            return true;
        }
        let length = usize::try_from(length).unwrap_or(0);
        let Some(message) = packet.get(16..length) else {
            return true;
        };
        if kind == BY_FAMILY
            && let Some((inode, peer)) = word(message, 4).zip(peer(message))
            && peer != 0
        {
            peers.insert(inode.into(), peer.into());
        }
        packet = packet.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    false
}

/// The attribute that names the peer, behind the sixteen bytes of a `unix_diag_msg`.
fn peer(message: &[u8]) -> Option<u32> {
    let mut attributes = message.get(16..)?;
    loop {
        let (length, kind) = (half(attributes, 0)?, half(attributes, 2)?);
        if kind == PEER && length >= 8 {
            return word(attributes, 4);
        }
        let next = usize::from(length).max(4).next_multiple_of(4);
        attributes = attributes.get(next..)?;
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn both_ends_of_a_pair_name_each_other() {
        let (end, other) = UnixDatagram::pair().expect("a pair");
        let inode = |socket| nix::sys::stat::fstat(socket).expect("it is open").st_ino;
        let peers = of(std::process::id().cast_signed());
        assert_eq!(peers.get(&inode(&end)), Some(&inode(&other)));
        assert_eq!(peers.get(&inode(&other)), Some(&inode(&end)));
    }

    proptest! {
        #[test]
        fn noise_ends_and_is_no_panic(
            noise in prop::collection::vec(any::<u8>(), 0..200), length in 0_u32..64, kind in 0_u16..24
        ) {
            let mut packet = length.to_ne_bytes().to_vec();
            packet.extend(kind.to_ne_bytes());
            packet.extend(noise);
            read(&packet, &mut HashMap::new());
        }

        #[test]
        fn a_message_cut_off_anywhere_is_no_panic(cut in 0_usize..60) {
            let mut packet = 40_u32.to_ne_bytes().to_vec();
            packet.extend(BY_FAMILY.to_ne_bytes());
            packet.extend([0; 10]);
            // A message, of inode 7, and its peer, 8.
            packet.extend([1, 1, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            packet.extend([8, 0, 2, 0, 8, 0, 0, 0]);
            let mut peers = HashMap::new();
            let is_whole = cut >= packet.len();
            packet.truncate(cut);
            read(&packet, &mut peers);
            prop_assert_eq!(peers.len(), usize::from(is_whole && cfg!(target_endian = "little")));
        }
    }
}
