//! Which unix socket is connected to which, and how much waits in it: the kernel tells this
//! only by netlink (sock_diag(7)), not in `/proc`.
//!
//! It lists only the caller's own network namespace: nothing is known of processes in another.

use std::collections::HashMap;
use std::fs;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use snapshot_core::kernel::unix_diag::{self, Message, Socket};
use std::os::fd::AsRawFd;

/// The sockets, by inode.
pub(super) fn of(pid: i32) -> HashMap<u64, Socket> {
    let namespace = |who: &str| fs::read_link(format!("/proc/{who}/ns/net")).ok();
    let own = namespace("self");
    if own.is_none() || own != namespace(&pid.to_string()) {
        return HashMap::new();
    }
    ask().unwrap_or_default()
}

fn ask() -> nix::Result<HashMap<u64, Socket>> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    let fd = netlink.as_raw_fd();
    send(fd, &unix_diag::question(None), MsgFlags::empty())?;
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

/// Reads one packet of the answer; true if it is the last.
fn read(packet: &[u8], peers: &mut HashMap<u64, Socket>) -> bool {
    for message in unix_diag::messages(packet) {
        match message {
            Message::End => return true,
            Message::Socket(socket) => {
                peers.insert(socket.inode.into(), socket);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::net::UnixDatagram;

    /// SOCK_DIAG_BY_FAMILY
    const BY_FAMILY: u16 = 20;

    #[test]
    fn both_ends_of_a_pair_name_each_other() {
        let (end, other) = UnixDatagram::pair().expect("a pair");
        let inode = |socket| nix::sys::stat::fstat(socket).expect("it is open").st_ino;
        let peers = of(std::process::id().cast_signed());
        let peer = |socket| {
            peers
                .get(&inode(socket))
                .and_then(|info| info.peer)
                .map(u64::from)
        };
        assert_eq!(peer(&end), Some(inode(&other)));
        assert_eq!(peer(&other), Some(inode(&end)));
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
