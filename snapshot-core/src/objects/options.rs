//! Socket options: the copy records them, and sets those that differ after a revert.
//! [`super::option_table`] has all that can be read and set.
//!
//! Some options change others (`IP_TOS` the priority, one time stamp the other), so the copy sets
//! them in several rounds. Unreadable ones are missing: keys (`TCP_MD5SIG`), and eBPF filters,
//! which the kernel reports but does not show.
//!
//! Context: AS-SAFE.

use super::option_table::{
    How::{Buffer, Datagrams, Everywhere, Segment, Unconnected},
    IPPROTO_ICMP_LEVEL, Option_, SO_BUF_LOCK, SO_DETACH_FILTER, SO_LOCK_FILTER, SOL_NETLINK,
    SOL_PACKET, all,
};
use crate::kernel::records::Records;
use crate::sys::{self, Errno};

/// The longest option here: IP options as in a packet.
const LONGEST: usize = 40;

/// What decides which options a socket has.
#[derive(Debug, Clone, Copy)]
struct Style {
    domain: i32,
    kind: i32,
    protocol: i32,
    is_connected: bool,
    /// The buffers with a set size; all, if the kernel does not say.
    locked: u8,
}

impl Style {
    fn of(fd: i32, is_connected: bool) -> Result<Self, Errno> {
        let locked = sys::socket_number(fd, SO_BUF_LOCK).unwrap_or(3);
        Ok(Self {
            domain: sys::socket_number(fd, libc::SO_DOMAIN)?,
            kind: sys::socket_number(fd, libc::SO_TYPE)?,
            protocol: sys::socket_number(fd, libc::SO_PROTOCOL)?,
            is_connected,
            locked: u8::try_from(locked & 3).unwrap_or(3),
        })
    }

    fn has(&self, option: Option_) -> bool {
        const MPTCP: i32 = 262;
        let is_internet = matches!(self.domain, libc::AF_INET | libc::AF_INET6);
        let is_of_the_level = match option.level {
            libc::SOL_SOCKET => true,
            libc::IPPROTO_TCP => is_internet && matches!(self.protocol, libc::IPPROTO_TCP | MPTCP),
            libc::IPPROTO_UDP => is_internet && self.protocol == libc::IPPROTO_UDP,
            // An IPv6 socket has the options of both families.
            libc::IPPROTO_IP => is_internet && !(self.is_connected && self.is_newer()),
            libc::IPPROTO_IPV6 => self.is_newer(),
            libc::IPPROTO_ICMPV6 => self.is_newer() && self.kind == libc::SOCK_RAW,
            IPPROTO_ICMP_LEVEL => self.domain == libc::AF_INET && self.kind == libc::SOCK_RAW,
            SOL_NETLINK => self.domain == libc::AF_NETLINK,
            SOL_PACKET => self.domain == libc::AF_PACKET,
            _ => false,
        };
        let is_dealt_with = match option.how {
            Everywhere => true,
            Unconnected | Segment => !self.is_connected,
            Buffer { lock, .. } => !self.is_connected || self.locked & lock != 0,
            Datagrams => self.kind != libc::SOCK_STREAM,
        };
        is_of_the_level && is_dealt_with
    }

    fn is_newer(&self) -> bool {
        self.domain == libc::AF_INET6
    }
}

/// An instruction of a filter.
type Instruction = [u8; 8];

/// One socket's range of the values.
#[derive(Clone, Copy, Default)]
pub(super) struct Of {
    first: usize,
    end: usize,
    filter: (usize, usize),
    /// It has a filter that the kernel does not show.
    pub(super) has_hidden_filter: bool,
    is_filter_locked: bool,
    is_connected: bool,
}

/// The options of all sockets.
pub(super) struct Options {
    /// For each: number in the table, length, bytes.
    values: Records<u8>,
    filters: Records<Instruction>,
}

impl Options {
    pub(super) const fn new() -> Self {
        Self {
            values: Records::growing(),
            filters: Records::growing(),
        }
    }

    /// Records a socket's options; for a connection only those that the kernel never changes.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn record(&mut self, fd: i32, is_connected: bool) -> Result<Of, Errno> {
        let first = self.values.entries().len();
        let style = Style::of(fd, is_connected)?;
        for (number, option) in (0_u8..).zip(all()) {
            let mut bytes = [0; LONGEST];
            if style.has(option)
                && let Ok(length) = sys::socket_option(fd, option.level, option.name, &mut bytes)
                && let Some(value) = bytes.get(..length)
            {
                self.values.push(number)?;
                self.values.push(u8::try_from(length).unwrap_or(0))?;
                for &byte in value {
                    self.values.push(byte)?;
                }
            }
        }
        let before = self.filters.entries().len();
        let has_hidden_filter = !self.record_filter(fd)?;
        Ok(Of {
            first,
            end: self.values.entries().len(),
            filter: (before, self.filters.entries().len()),
            has_hidden_filter,
            is_filter_locked: sys::socket_number(fd, SO_LOCK_FILTER) == Ok(1),
            is_connected,
        })
    }

    /// Returns false if the kernel hides the filter.
    fn record_filter(&mut self, fd: i32) -> Result<bool, Errno> {
        match read_filter(fd, &mut self.filters) {
            // An eBPF filter.
            Err(Errno(libc::EACCES)) => Ok(false),
            Err(errno @ Errno(libc::ENOMEM)) => Err(errno),
            // It has none, or can have none.
            _ => Ok(true),
        }
    }

    /// Sets those that differ. Returns how many failed.
    pub(super) fn restore(&self, of: Of, fd: i32) -> u32 {
        /// An option changes another, but that changes no third.
        const ROUNDS: usize = 3;
        let mut failed = 0;
        for _ in 0..ROUNDS {
            let mut differing = 0;
            failed = 0;
            self.for_each(of, |option, wanted| {
                let mut now = [0; LONGEST];
                let length = sys::socket_option(fd, option.level, option.name, &mut now);
                let is_same = length.is_ok_and(|length| now.get(..length) == Some(wanted));
                if !is_same {
                    differing += 1;
                    failed += u32::from(set(fd, option, wanted).is_err());
                }
            });
            if differing == 0 {
                break;
            }
        }
        failed + u32::from(self.restore_filter(of, fd).is_err())
    }

    fn restore_filter(&self, of: Of, fd: i32) -> Result<(), Errno> {
        if of.has_hidden_filter || of.is_connected {
            return Ok(());
        }
        let wanted = self.filters.entries().get(of.filter.0..of.filter.1);
        let wanted = wanted.unwrap_or(&[]);
        let mut now = Records::growing();
        let is_same = match read_filter(fd, &mut now) {
            Ok(()) => now.entries() == wanted,
            Err(Errno(libc::EACCES)) => false,
            Err(_) => wanted.is_empty(),
        };
        now.release();
        if !is_same && wanted.is_empty() {
            sys::set_socket_option(fd, libc::SOL_SOCKET, SO_DETACH_FILTER, &[0; 4])?;
        } else if !is_same {
            sys::set_socket_filter(fd, wanted)?;
        }
        if of.is_filter_locked && sys::socket_number(fd, SO_LOCK_FILTER) != Ok(1) {
            let on = 1_i32.to_ne_bytes();
            sys::set_socket_option(fd, libc::SOL_SOCKET, SO_LOCK_FILTER, &on)?;
        }
        Ok(())
    }

    /// Calls `visit` with each option and its value.
    fn for_each(&self, of: Of, mut visit: impl FnMut(Option_, &[u8])) {
        // The values are in the table's order.
        let mut table = (0_u8..).zip(all());
        let mut rest = self.values.entries().get(of.first..of.end).unwrap_or(&[]);
        while let [number, length, bytes @ ..] = rest {
            let Some((value, after)) = bytes.split_at_checked(usize::from(*length)) else {
                return;
            };
            if let Some((_, option)) = table.find(|(at, _)| at == number) {
                visit(option, value);
            }
            rest = after;
        }
    }

    pub(super) fn release(self) {
        self.values.release();
        self.filters.release();
    }
}

/// Adds the instructions of a socket's filter to what is there.
fn read_filter(fd: i32, to: &mut Records<Instruction>) -> Result<(), Errno> {
    let count = sys::socket_filter(fd, &mut [])?;
    let before = to.entries().len();
    for _ in 0..count {
        to.push([0; 8])?;
    }
    if count > 0 {
        sys::socket_filter(fd, to.entries_mut().get_mut(before..).unwrap_or(&mut []))?;
    }
    Ok(())
}

fn set(fd: i32, option: Option_, wanted: &[u8]) -> Result<(), Errno> {
    /// The value reported for an unset segment size.
    const NO_SEGMENT: i32 = 536;
    let Option_ { level, name, how } = option;
    let number = wanted
        .first_chunk::<4>()
        .map(|&bytes| i32::from_ne_bytes(bytes));
    match (how, number) {
        (Buffer { forced, .. }, Some(size)) => {
            let half = (size / 2).to_ne_bytes();
            sys::set_socket_option(fd, level, name, &half)?;
            if sys::socket_number(fd, name) == Ok(size) {
                return Ok(());
            }
            sys::set_socket_option(fd, level, forced, &half)
        }
        (Segment, Some(NO_SEGMENT)) => sys::set_socket_option(fd, level, name, &[0; 4]),
        _ => sys::set_socket_option(fd, level, name, wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: i32 = libc::SOCK_STREAM;
    const DATAGRAM: i32 = libc::SOCK_DGRAM;

    /// Every kind of socket that this machine has and an ordinary program uses.
    fn styles() -> impl Iterator<Item = [i32; 3]> {
        [
            [libc::AF_INET, STREAM, 0],
            [libc::AF_INET6, STREAM, 0],
            [libc::AF_INET, DATAGRAM, 0],
            [libc::AF_INET6, DATAGRAM, 0],
            [libc::AF_UNIX, STREAM, 0],
            [libc::AF_UNIX, DATAGRAM, 0],
            [libc::AF_NETLINK, libc::SOCK_RAW, 0],
            [libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP],
            [libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6],
        ]
        .into_iter()
        .filter(|&[domain, kind, protocol]| {
            sys::socket(domain, kind, protocol).is_ok_and(|fd| {
                sys::close(fd);
                true
            })
        })
    }

    fn value(fd: i32, option: Option_) -> Option<Vec<u8>> {
        let mut bytes = [0; LONGEST];
        let length = sys::socket_option(fd, option.level, option.name, &mut bytes).ok()?;
        Some(bytes[..length].to_vec())
    }

    /// Sets an option to another value; false if none is accepted.
    fn change(fd: i32, option: Option_, number: usize) -> bool {
        let Some(before) = value(fd, option) else {
            return false;
        };
        let numbers = [1, 0, 2, 3, 4, 30, 100, 700, 2000, 1_000_000];
        let mut candidates: Vec<Vec<u8>> = numbers
            .into_iter()
            .cycle()
            .skip(number)
            .take(numbers.len())
            .map(|number: i32| {
                let mut bytes = number.to_ne_bytes().to_vec();
                bytes.resize(before.len().max(4), 0);
                bytes
            })
            .collect();
        candidates.push(b"reno\0".to_vec());
        candidates.push(vec![1, 1, 1, 1]);
        candidates.into_iter().any(|candidate| {
            sys::set_socket_option(fd, option.level, option.name, &candidate).is_ok()
                && value(fd, option).is_some_and(|now| now != before)
        })
    }

    fn change_all(fd: i32, number: usize) -> Vec<Option_> {
        let changed = |option: &Option_| change(fd, *option, number);
        // A lock prevents no setting, but must show.
        all().filter(changed).collect()
    }

    fn values(fd: i32) -> Vec<Option<Vec<u8>>> {
        all().map(|option| value(fd, option)).collect()
    }

    /// Fails with the options that are not as they were.
    fn check(fd: i32, wanted: &[Option<Vec<u8>>], what: &str) {
        let differing: Vec<_> = all()
            .zip(wanted)
            .map(|(option, was)| ((option.level, option.name), was, value(fd, option)))
            .filter(|(_, was, now)| *was != now)
            .collect();
        assert!(differing.is_empty(), "{what}: {differing:?}");
    }

    /// Each option by itself, so that none hides a missing one.
    #[test]
    fn whatever_can_be_set_is_set_in_a_new_socket_and_in_the_old_one() {
        let mut tried = 0;
        for [domain, kind, protocol] in styles() {
            for option in all() {
                let make = || sys::socket(domain, kind, protocol).expect("there was one");
                let (old, new) = (make(), make());
                if change(old, option, 0) {
                    tried += 1;
                    let mut options = Options::new();
                    let of = options.record(old, false).expect("memory");
                    let wanted = values(old);
                    let failed = options.restore(of, new);
                    check(new, &wanted, &format!("{option:?} of {domain} {kind}"));
                    assert_eq!(failed, 0, "{option:?} of {domain} {kind}");
                    change(old, option, 1);
                    options.restore(of, old);
                    check(
                        old,
                        &wanted,
                        &format!("{option:?} of {domain} {kind}, again"),
                    );
                    options.release();
                }
                sys::close(old);
                sys::close(new);
            }
        }
        assert!(tried > 200, "{tried}");
    }

    #[test]
    fn what_was_never_set_is_as_if_it_had_not_been() {
        for [domain, kind, protocol] in styles() {
            for option in all() {
                let fd = sys::socket(domain, kind, protocol).expect("there was one");
                let mut options = Options::new();
                let of = options.record(fd, false).expect("memory");
                let wanted = values(fd);
                // These can't be turned off again; IP options leave a mark in the segment size.
                let stays = [
                    (libc::SOL_SOCKET, libc::SO_TXTIME),
                    (libc::IPPROTO_IP, libc::IP_OPTIONS),
                ]
                .contains(&(option.level, option.name));
                if change(fd, option, 0) && !stays {
                    options.restore(of, fd);
                    check(fd, &wanted, &format!("{option:?} of {domain} {kind}"));
                }
                options.release();
                sys::close(fd);
            }
        }
    }

    #[test]
    fn all_at_once() {
        for [domain, kind, protocol] in styles() {
            let make = || sys::socket(domain, kind, protocol).expect("there was one");
            let (old, new) = (make(), make());
            assert!(change_all(old, 0).len() > 5);
            let mut options = Options::new();
            let of = options.record(old, false).expect("memory");
            let wanted = values(old);
            options.restore(of, new);
            check(new, &wanted, &format!("{domain} {kind}"));
            options.release();
            sys::close(old);
            sys::close(new);
        }
    }

    #[test]
    fn a_filter_comes_back_and_goes() {
        let make = || sys::socket(libc::AF_INET, DATAGRAM, 0).expect("a socket");
        let (with, without, new) = (make(), make(), make());
        // ret 7; ret 9
        let filter = [[6, 0, 0, 0, 7, 0, 0, 0], [6, 0, 0, 0, 9, 0, 0, 0]];
        sys::set_socket_filter(with, &filter).expect("a filter");
        let on = 1_i32.to_ne_bytes();
        sys::set_socket_option(with, libc::SOL_SOCKET, SO_LOCK_FILTER, &on).expect("a filter");
        let mut options = Options::new();
        let of_with = options.record(with, false).expect("memory");
        let of_without = options.record(without, false).expect("memory");
        assert_eq!(options.restore(of_with, new), 0);
        let mut now = [[0; 8]; 2];
        assert_eq!(sys::socket_filter(new, &mut now), Ok(2));
        assert_eq!(now, filter);
        assert_eq!(sys::socket_number(new, SO_LOCK_FILTER), Ok(1));
        sys::set_socket_filter(without, &filter).expect("a filter");
        assert_eq!(options.restore(of_without, without), 0);
        assert_eq!(sys::socket_filter(without, &mut []), Ok(0));
        for fd in [with, without, new] {
            sys::close(fd);
        }
        options.release();
    }
}
