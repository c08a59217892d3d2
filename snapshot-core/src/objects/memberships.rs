//! Memberships of datagram sockets in multicast groups.
//!
//! The kernel shows no list for a socket. But it lists the groups that any socket here is in, and
//! tells whether a given socket is in one. So the copy asks about each. It does not keep the
//! sources that a member has chosen or excluded.
//!
//! Context: AS-SAFE.

use crate::kernel::{procfs, records::Records};
use crate::sys::{self, Errno, GroupRequest};

const JOIN: i32 = 42;
const LEAVE: i32 = 45;

/// One socket's range of all memberships.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Of {
    first: usize,
    end: usize,
}

/// The memberships of all sockets.
pub(super) struct Memberships {
    all: Records<GroupRequest>,
    /// The groups of all sockets, read for the first one.
    here: Option<Records<GroupRequest>>,
}

/// Whether a socket of this kind can be a member.
pub(super) fn can_be_member([domain, kind, _]: [i32; 3]) -> bool {
    matches!(domain, libc::AF_INET | libc::AF_INET6) && kind != libc::SOCK_STREAM
}

fn level_of(domain: i32) -> i32 {
    match domain {
        libc::AF_INET6 => libc::IPPROTO_IPV6,
        _ => libc::IPPROTO_IP,
    }
}

impl Memberships {
    pub(super) const fn new() -> Self {
        Self {
            all: Records::growing(),
            here: None,
        }
    }

    /// Records a socket's.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn record(&mut self, fd: i32, domain: i32) -> Result<Of, Errno> {
        let here = match &self.here {
            Some(here) => here,
            None => self.here.insert(groups_here()?),
        };
        let first = self.all.entries().len();
        for group in here.entries().iter().filter(|group| group.is_of(domain)) {
            if sys::is_member(fd, level_of(domain), group) {
                self.all.push(*group)?;
            }
        }
        Ok(Of {
            first,
            end: self.all.entries().len(),
        })
    }

    /// Joins and leaves groups. Returns how many of those calls failed.
    pub(super) fn restore(&self, of: Of, fd: i32, domain: i32) -> u32 {
        let level = level_of(domain);
        let wanted = self.all.entries().get(of.first..of.end).unwrap_or(&[]);
        let mut failed = 0;
        for group in wanted {
            if !sys::is_member(fd, level, group) {
                failed += u32::from(sys::set_membership(fd, level, JOIN, group).is_err());
            }
        }
        if let Ok(here) = groups_here() {
            for group in here.entries().iter().filter(|group| group.is_of(domain)) {
                if !wanted.contains(group) && sys::is_member(fd, level, group) {
                    failed += u32::from(sys::set_membership(fd, level, LEAVE, group).is_err());
                }
            }
            here.release();
        }
        failed
    }

    pub(super) fn release(self) {
        self.all.release();
        if let Some(here) = self.here {
            here.release();
        }
    }
}

/// The groups of all sockets in this network namespace, by interface.
fn groups_here() -> Result<Records<GroupRequest>, Errno> {
    let mut groups = Records::growing();
    let mut added = Ok(());
    let mut interface = 0;
    // The kernel may lack a protocol.
    let _ = procfs::for_each_line(c"/proc/thread-self/net/igmp", |line| {
        match (older_group(line), line.first()) {
            (Some(address), _) => {
                let group = GroupRequest::older(interface, address);
                added = added.and_then(|()| groups.push(group));
            }
            (None, Some(first)) if first.is_ascii_digit() => interface = number(line),
            _ => {}
        }
    });
    let _ = procfs::for_each_line(c"/proc/thread-self/net/igmp6", |line| {
        if let Some(address) = newer_group(line) {
            let group = GroupRequest::newer(number(line), address);
            added = added.and_then(|()| groups.push(group));
        }
    });
    added.map(|()| groups)
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

/// The decimal number at the start of a line.
fn number(line: &[u8]) -> u32 {
    let digits = words(line).next().unwrap_or(&[]);
    let number = core::str::from_utf8(digits).ok();
    number.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The group in `\t\t\t\t010000E0 1 0:00000000\t\t0`, in native byte order.
fn older_group(line: &[u8]) -> Option<[u8; 4]> {
    let group = line.strip_prefix(b"\t\t")?;
    let digits = core::str::from_utf8(words(group).next()?).ok()?;
    Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
}

/// Of `1    lo              ff020000000000000000000000000001     1 0000000C 0`.
fn newer_group(line: &[u8]) -> Option<[u8; 16]> {
    let digits = core::str::from_utf8(words(line).nth(2)?).ok()?;
    let number = u128::from_str_radix(digits, 16).ok()?;
    (digits.len() == 32).then(|| number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
    use std::os::fd::AsRawFd;

    #[test]
    fn a_membership_comes_back_and_another_goes() {
        let (one, two) = (Ipv4Addr::new(239, 1, 2, 3), Ipv4Addr::new(239, 1, 2, 4));
        let own = Ipv4Addr::LOCALHOST;
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a port");
        let other = UdpSocket::bind("0.0.0.0:0").expect("a port");
        let joined = socket.join_multicast_v4(&one, &own);
        if joined.is_err() || other.join_multicast_v4(&two, &own).is_err() {
            eprintln!("skipped: no multicast on the loopback");
            return;
        }
        let mut memberships = Memberships::new();
        let of = memberships
            .record(socket.as_raw_fd(), libc::AF_INET)
            .expect("memory");
        assert_eq!(of.end - of.first, 1, "the other's is not its own");
        let is_member = |socket: &UdpSocket, group: Ipv4Addr| {
            let group = GroupRequest::older(1, group.octets());
            sys::is_member(socket.as_raw_fd(), libc::IPPROTO_IP, &group)
        };
        socket.leave_multicast_v4(&one, &own).expect("it is in it");
        socket.join_multicast_v4(&two, &own).expect("as above");
        assert!(!is_member(&socket, one) && is_member(&socket, two));
        assert_eq!(
            memberships.restore(of, socket.as_raw_fd(), libc::AF_INET),
            0
        );
        assert!(is_member(&socket, one) && !is_member(&socket, two));
        let new = UdpSocket::bind("0.0.0.0:0").expect("a port");
        assert_eq!(memberships.restore(of, new.as_raw_fd(), libc::AF_INET), 0);
        assert!(is_member(&new, one) && is_member(&other, two));
        memberships.release();
    }

    #[test]
    fn the_newer_family_too() {
        let group = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 0x77);
        let Ok(socket) = UdpSocket::bind("[::]:0") else {
            eprintln!("skipped: no IPv6");
            return;
        };
        if socket.join_multicast_v6(&group, 1).is_err() {
            eprintln!("skipped: no multicast on the loopback");
            return;
        }
        let mut memberships = Memberships::new();
        let of = memberships
            .record(socket.as_raw_fd(), libc::AF_INET6)
            .expect("memory");
        assert_eq!(of.end - of.first, 1);
        socket.leave_multicast_v6(&group, 1).expect("it is in it");
        assert_eq!(
            memberships.restore(of, socket.as_raw_fd(), libc::AF_INET6),
            0
        );
        let request = GroupRequest::newer(1, group.octets());
        assert!(sys::is_member(
            socket.as_raw_fd(),
            libc::IPPROTO_IPV6,
            &request
        ));
        memberships.release();
    }

    #[test]
    fn lines() {
        assert_eq!(older_group(b"Idx\tDevice    : Count Querier"), None);
        assert_eq!(older_group(b"1\tlo        :     1      V3"), None);
        if cfg!(target_endian = "little") {
            let line = b"\t\t\t\t010000E0     1 0:00000000\t\t0";
            assert_eq!(older_group(line), Some([224, 0, 0, 1]));
        }
        let line = b"12   lo              ff020000000000000000000000000001     1 0000000C 0";
        let group = newer_group(line).expect("a group");
        assert_eq!((number(line), group[0], group[15]), (12, 0xff, 1));
    }
}
