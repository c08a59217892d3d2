//! The words for things that a frozen copy can't bring back as they were.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use snapshot_core::kernel::proc_text::{self, FileMapping};
use snapshot_core::terms::{Address, Gap, Kind, Why};

use crate::processes::files;
use crate::refusal::kinds;
use crate::talk::event::NotRolledBack;

/// In words; `proc` is its process's place in `/proc`, and `maps` what that has mapped. `None`
/// if it is not there: the process has been killed.
pub(crate) fn tell(proc: &str, maps: &[u8], gap: &Gap) -> Option<NotRolledBack> {
    Some(in_words(gap, what(proc, maps, gap)?))
}

/// The same for a program that was killed during the take: looks at its frozen copy.
pub(crate) fn tell_by_copy(copy: i32, gap: &Gap) -> NotRolledBack {
    let proc = format!("/proc/{copy}");
    let maps = files::bytes(format!("{proc}/maps")).unwrap_or_default();
    let what = what(&proc, &maps, gap);
    in_words(gap, what.unwrap_or_else(|| gap.kind.name().to_owned()))
}

fn in_words(gap: &Gap, what: String) -> NotRolledBack {
    NotRolledBack {
        kind: gap.kind.name().to_owned(),
        what,
        why: kinds::why(gap.kind, gap.why).to_owned(),
    }
}

fn what(proc: &str, maps: &[u8], gap: &Gap) -> Option<String> {
    match gap.kind {
        Kind::SharedMemory => mapping(maps, gap.number),
        Kind::Lock => Some(kinds::LOCKS.to_owned()),
        kind @ (Kind::Semaphores | Kind::MessageQueue) if gap.fd < 0 => {
            Some(kinds::system_v(kind, gap.number))
        }
        _ => {
            let target = fs::read_link(format!("{proc}/fd/{}", gap.fd)).ok()?;
            let target = target.to_string_lossy();
            let peer = peer(&gap.address).map_or_else(String::new, |peer| format!(" to {peer}"));
            Some(format!("fd {}: {target}{peer}{}", gap.fd, count(gap)))
        }
    }
}

/// How much of it there is, if known.
fn count(gap: &Gap) -> String {
    let (one, more) = match (gap.kind, gap.why) {
        (_, Why::Backlog) => ("connection", "connections"),
        (Kind::MessageQueue, _) => ("message", "messages"),
        (_, Why::Unread) => ("byte", "bytes"),
        _ => return String::new(),
    };
    match gap.number {
        0 => String::new(),
        1 => format!(", 1 {one}"),
        number => format!(", {number} {more}"),
    }
}

/// Where a mapping is, as the kernel writes it.
pub(crate) fn range_of(mapping: &FileMapping<'_>) -> String {
    format!("{:08x}-{:08x}", mapping.range.start, mapping.range.end)
}

/// The mapping that begins at an address.
fn mapping(maps: &[u8], start: u64) -> Option<String> {
    let mapping =
        proc_text::file_mappings(maps).find(|mapping| mapping.range.start as u64 == start)?;
    let path = match mapping.path {
        [] => "anonymous".into(),
        path => String::from_utf8_lossy(path),
    };
    Some(format!("{} {path}", range_of(&mapping)))
}

/// The address of a socket's other end.
fn peer(address: &Address) -> Option<String> {
    let bytes = address.bytes();
    let (family, rest) = bytes.split_first_chunk::<2>()?;
    let port = |rest: &[u8]| Some(u16::from_be_bytes(*rest.first_chunk::<2>()?));
    match i32::from(u16::from_ne_bytes(*family)) {
        nix::libc::AF_INET => {
            let ip = Ipv4Addr::from(*rest.get(2..)?.first_chunk::<4>()?);
            Some(SocketAddr::new(IpAddr::V4(ip), port(rest)?).to_string())
        }
        nix::libc::AF_INET6 => {
            let ip = Ipv6Addr::from(*rest.get(6..)?.first_chunk::<16>()?);
            Some(SocketAddr::new(IpAddr::V6(ip), port(rest)?).to_string())
        }
        nix::libc::AF_UNIX => match rest {
            [] => None,
            [0, name @ ..] => Some(format!("@{}", String::from_utf8_lossy(name))),
            path => {
                let end = path
                    .iter()
                    .position(|&byte| byte == 0)
                    .unwrap_or(path.len());
                Some(String::from_utf8_lossy(path.get(..end)?).into_owned())
            }
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers() {
        let address = |family: i32, rest: &[u8]| {
            let family = u16::try_from(family).expect("it fits").to_ne_bytes();
            Address::new(&[&family, rest].concat())
        };
        let inet = address(nix::libc::AF_INET, &[0, 80, 127, 0, 0, 1, 0, 0]);
        assert_eq!(peer(&inet).as_deref(), Some("127.0.0.1:80"));
        let mut six = vec![31, 144, 0, 0, 0, 0];
        six.extend(Ipv6Addr::LOCALHOST.octets());
        six.extend([0; 4]);
        let six = address(nix::libc::AF_INET6, &six);
        assert_eq!(peer(&six).as_deref(), Some("[::1]:8080"));
        let unix = address(nix::libc::AF_UNIX, b"/run/a\0");
        assert_eq!(peer(&unix).as_deref(), Some("/run/a"));
        let hidden = address(nix::libc::AF_UNIX, b"\0name");
        assert_eq!(peer(&hidden).as_deref(), Some("@name"));
        assert_eq!(peer(&address(nix::libc::AF_UNIX, b"")), None);
        assert_eq!(peer(&Address::NONE), None);
    }
}
