//! Connected pairs of local sockets that are both the program's. The copy makes a new pair, with
//! the same unread bytes and descriptors in both directions.
//!
//! The kernel shows each socket's peer by netlink (`unix_diag`). For a socket with a closed peer
//! the copy makes a pair and closes the other end.
//!
//! A descriptor in a stream may arrive with an earlier byte than before, never with a later one:
//! the kernel does not show its place in the queue. The kernel shows empty messages after the
//! first only once: a later snapshot lacks them.
//!
//! A peer that closes with unread bytes leaves an error. A peek past the bytes before it would
//! take the error. A stream tells their length, so the record stops there, and the copy causes
//! the error again in its new pair. For packets the record does not peek: the copy holds the
//! socket, and the take names it.
//!
//! Context: AS-SAFE.

use super::{
    contents::Contents,
    descriptors::{Descriptors, Fate, Group, open_again, set_status_flags},
    options::{Of, Options},
    recording::Recording,
    unix_questions::Asking,
};
use crate::kernel::{records::Records, unix_diag};
use crate::sys::{self, Errno};
use crate::terms::{Kind, comes_back};

/// One end, and what it has unread.
#[derive(Clone, Copy)]
struct End {
    group: usize,
    options: Of,
    /// RCV 1, SEND 2.
    shut_down: u8,
    contents: Contents,
    /// ECONNRESET waits behind `contents`: local sockets have no other error.
    is_reset: bool,
    /// Its range of the descriptors in transit.
    rights: (usize, usize),
}

#[derive(Clone, Copy)]
struct Pair {
    kind: i32,
    ends: [Option<End>; 2],
}

/// A descriptor in transit: its part of the queue, and what it is here.
#[derive(Clone, Copy)]
struct OnItsWay {
    part: usize,
    fd: i32,
    /// For a pipe `fd` is the inode alone, so that the end can come; these flags open it.
    flags: Option<i32>,
    /// The program's own group of the same file.
    group: Option<usize>,
}

impl OnItsWay {
    fn new(open: &Descriptors, part: usize, fd: i32) -> Result<Self, Errno> {
        let flags = sys::status_flags(fd)?;
        let stat = sys::fstat(fd)?;
        let is_pipe = stat.mode & libc::S_IFMT == libc::S_IFIFO;
        let group = open.find(fd, &stat, is_pipe);
        if !is_pipe || flags & libc::O_PATH != 0 {
            return Ok(Self {
                part,
                fd,
                flags: None,
                group,
            });
        }
        let inode = open_again(fd, libc::O_PATH);
        sys::close(fd);
        Ok(Self {
            part,
            fd: inode?,
            flags: Some(flags),
            group,
        })
    }

    /// The program's own group, if the copy makes it anew: then `fd` is not needed.
    fn own<'a>(&self, open: &'a Descriptors) -> Option<&'a Group> {
        let group = open.groups().get(self.group?)?;
        (group.fate == Fate::Rebuilt).then_some(group)
    }

    /// A descriptor to send.
    fn open(&self, open: &Descriptors) -> Result<i32, Errno> {
        let fd = self.own(open).map_or(self.fd, |own| own.fd);
        match self.flags {
            None => sys::duplicate_above(fd, 0),
            Some(flags) => {
                let mode = (flags & libc::O_ACCMODE) | libc::O_NONBLOCK;
                let fd = open_again(fd, mode)?;
                set_status_flags(fd, flags)?;
                Ok(fd)
            }
        }
    }
}

/// The program's own pairs.
pub(super) struct Pairs {
    pairs: Records<Pair>,
    options: Options,
    rights: Records<OnItsWay>,
}

impl Pairs {
    pub(super) fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let mut found = Self {
            pairs: Records::growing(),
            options: Options::new(),
            rights: Records::growing(),
        };
        let mut asking = Asking::new(recording.open);
        recording.for_each_group(|recording, number, group| {
            let Some(info) = ask_about(recording, number, &group, &mut asking) else {
                return Ok(());
            };
            let of_peer = match info.peer {
                None | Some(0) => 0..0,
                Some(peer) => recording.open.of_inode(group.device, u64::from(peer)),
            };
            let peer = of_peer
                .filter_map(|number| Some((number, *recording.open.groups().get(number)?)))
                .find(|(_, peer)| peer.kind == Kind::Socket && peer.flags & libc::O_PATH == 0);
            if peer.is_some_and(|(other, _)| other == number) {
                // A socket connected to itself is no pair.
                return Ok(());
            }
            let kind = sys::socket_number(group.fd, libc::SO_TYPE)?;
            let other = match peer {
                // Each pair once.
                Some((other, _)) if other < number => return Ok(()),
                Some((other, peer)) => match ask_about(recording, other, &peer, &mut asking) {
                    Some(info) => Some((other, peer, info)),
                    None => return Ok(()),
                },
                None if info.has_lost_peer(kind) => None,
                None => return Ok(()),
            };
            let ends = [Some(group), other.map(|(_, peer, _)| peer)];
            let mut ends = ends.iter().flatten();
            let is_stuck = |fd| kind != libc::SOCK_STREAM && has_error(fd);
            let mut facts = comes_back::Pair {
                is_vouched_for: ends.clone().all(|end| is_vouched_for(end.fd)),
                has_name: ends.clone().any(|end| has_name(end.fd)),
                hides_error: ends.any(|end| is_stuck(end.fd)),
                carries_descriptors: false,
            };
            if !facts.is_made_anew() {
                recording.name_all(facts.reasons(), &group);
                return Ok(());
            }
            let on_their_way = found.rights.entries().len();
            let own_end = found.record_end(recording.open, number, &group, kind, info)?;
            let other_end = match other {
                Some((other, peer, info)) => {
                    Some(found.record_end(recording.open, other, &peer, kind, info)?)
                }
                None => None,
            };
            found.pairs.push(Pair {
                kind,
                ends: [Some(own_end), other_end],
            })?;
            recording.open.will_be_rebuilt(number);
            if let Some((other, ..)) = other {
                recording.open.will_be_rebuilt(other);
            }
            facts.carries_descriptors = found.rights.entries().len() > on_their_way;
            recording.name_all(facts.reasons(), &group);
            Ok(())
        })?;
        asking.end();
        Ok(found)
    }

    /// Lets go of descriptors in transit that the copy makes anew, once all fates are known.
    pub(super) fn let_go(&mut self, open: &Descriptors) {
        for right in self.rights.entries_mut() {
            if right.own(open).is_some() {
                sys::close(core::mem::replace(&mut right.fd, -1));
            }
        }
    }

    /// Makes the pairs anew, once all that may be in transit is there again.
    pub(super) fn restore(&self, open: &Descriptors) -> u32 {
        let mut made = Records::growing();
        let mut failed = 0;
        for pair in self.pairs.entries() {
            let ends = sys::socket_pair(pair.kind);
            failed += match ends.and_then(|ends| made.push((*pair, ends)).map(|()| ends)) {
                Ok(ends) => self.place(open, pair, ends),
                Err(_) => 2,
            };
        }
        for (pair, ends) in made.entries() {
            failed += self.fill_both(open, pair, *ends);
        }
        made.release();
        failed
    }

    pub(super) fn release(self) {
        for pair in self.pairs.entries() {
            for end in pair.ends.iter().flatten() {
                end.contents.release();
            }
        }
        for right in self.rights.entries() {
            if right.fd >= 0 {
                sys::close(right.fd);
            }
        }
        self.pairs.release();
        self.options.release();
        self.rights.release();
    }
}

/// Asks about a group, if it may be an end of a pair of the program's.
fn ask_about(
    recording: &Recording<'_>,
    number: usize,
    group: &Group,
    asking: &mut Asking,
) -> Option<unix_diag::Socket> {
    if group.kind != Kind::Socket
        || !recording.sharing(number).is_own()
        || sys::socket_number(group.fd, libc::SO_DOMAIN) != Ok(libc::AF_UNIX)
        || sys::socket_number(group.fd, libc::SO_ACCEPTCONN) != Ok(0)
    {
        return None;
    }
    let mut peer = [0; 128];
    sys::peer_address(group.fd, &mut peer).ok()?;
    asking.about(group.inode)
}

/// Whether the kernel names the program's effective user for an end's peer.
fn is_vouched_for(fd: i32) -> bool {
    sys::peer_ids(fd) == Some(sys::effective_ids())
}

/// Whether the socket, or the listener that made it, is bound to a name.
fn has_name(fd: i32) -> bool {
    const FAMILY: usize = 2;
    let mut name = [0; 128];
    sys::own_address(fd, &mut name).is_ok_and(|name| name.len() > FAMILY)
}

impl Pairs {
    fn record_end(
        &mut self,
        open: &Descriptors,
        group: usize,
        of: &Group,
        kind: i32,
        info: unix_diag::Socket,
    ) -> Result<End, Errno> {
        let options = self.options.record(of.fd, false)?;
        let first = self.rights.entries().len();
        let before = sys::socket_number(of.fd, libc::SO_PEEK_OFF).unwrap_or(-1);
        let is_reset = has_error(of.fd);
        let most = if is_reset {
            sys::waiting_bytes(of.fd)?
        } else {
            usize::MAX
        };
        let contents = self.read(open, of.fd, kind, info, most);
        set_peek_offset(of.fd, before)?;
        Ok(End {
            group,
            options,
            shut_down: info.shut_down,
            contents: contents?,
            is_reset,
            rights: (first, self.rights.entries().len()),
        })
    }

    /// Peeks at the queue, up to about `most` bytes.
    fn read(
        &mut self,
        open: &Descriptors,
        fd: i32,
        kind: i32,
        info: unix_diag::Socket,
        most: usize,
    ) -> Result<Contents, Errno> {
        /// More than a socket's buffer can hold without privileges.
        const ROOM: usize = 8 << 20;
        const MOST_PARTS: usize = 1 << 16;
        if most == 0 || sys::poll_now(fd) & libc::POLLIN == 0 {
            return Ok(Contents::default());
        }
        let mut contents = Contents::with_room(ROOM)?;
        // An empty message is the end only if nothing more can come.
        let can_end = kind == libc::SOCK_STREAM || info.shut_down & 1 != 0;
        set_peek_offset(fd, -1)?;
        let begins_empty = !can_end && is_empty_at_first(fd);
        let mut at = 0;
        for part in 0..MOST_PARTS {
            // After its first peek an empty message shows at no offset.
            let offset = if part == 0 && begins_empty { -1 } else { at };
            set_peek_offset(fd, offset)?;
            let mut came = None;
            let added = contents.add(|room| {
                let (length, rights) = sys::peek(fd, room)?;
                came = Some(rights);
                Ok(length)
            });
            match added {
                Ok(0) if can_end => return Ok(contents),
                Ok(length) => at += i32::try_from(length).unwrap_or(i32::MAX),
                Err(Errno(libc::EAGAIN)) => return Ok(contents),
                Err(errno) => return Err(errno),
            }
            for &fd in came.iter().flat_map(sys::Rights::fds) {
                self.rights.push(OnItsWay::new(open, part, fd)?)?;
            }
            if usize::try_from(at).is_ok_and(|at| at >= most) {
                return Ok(contents);
            }
        }
        Err(Errno(libc::ENOSPC))
    }

    /// Installs duplicates of a new pair's ends. [`Pairs::fill_both`] closes `ends` themselves.
    fn place(&self, open: &Descriptors, pair: &Pair, ends: [i32; 2]) -> u32 {
        let mut failed = 0;
        for (end, fd) in pair.ends.iter().zip(ends) {
            let Some(end) = end else { continue };
            failed += self.options.restore(end.options, fd);
            let placed = match open.groups().get(end.group) {
                Some(group) => sys::duplicate_above(fd, 0).and_then(|fd| open.install(group, fd)),
                None => Ok(()),
            };
            failed += u32::from(placed.is_err());
        }
        failed
    }

    fn fill_both(&self, open: &Descriptors, pair: &Pair, ends: [i32; 2]) -> u32 {
        let mut failed = 0;
        for (number, end) in pair.ends.iter().enumerate() {
            if let Some(end) = end {
                failed += u32::from(self.fill(open, end, ends[1 - number]).is_err());
            }
        }
        // An end that closes with unread bytes causes the error.
        for (number, end) in pair.ends.iter().enumerate() {
            if end.is_some_and(|end| end.is_reset) && pair.ends[1 - number].is_none() {
                failed += u32::from(sys::send_with(ends[number], b"?", &[]).is_err());
            }
        }
        // Only after all is sent.
        for (number, end) in pair.ends.iter().enumerate() {
            let how = match end.map_or(0, |end| end.shut_down) {
                1 => Some(libc::SHUT_RD),
                2 => Some(libc::SHUT_WR),
                3 if pair.ends[1 - number].is_some() => Some(libc::SHUT_RDWR),
                // The closed end does it.
                _ => None,
            };
            if let Some(how) = how {
                failed += u32::from(sys::shut_down(ends[number], how).is_err());
            }
        }
        ends.into_iter().for_each(sys::close);
        failed
    }

    /// Sends an end's recorded bytes and descriptors from the other end.
    fn fill(&self, open: &Descriptors, end: &End, from: i32) -> Result<(), Errno> {
        let rights = self.rights.entries().get(end.rights.0..end.rights.1);
        let rights = rights.unwrap_or(&[]);
        let mut part = 0;
        let mut sent = Ok(());
        end.contents.for_each(|bytes| {
            let mut fds = [0; sys::MOST_RIGHTS];
            let mut count = 0;
            for right in rights.iter().filter(|right| right.part == part) {
                match (right.open(open), fds.get_mut(count)) {
                    (Ok(fd), Some(place)) => {
                        *place = fd;
                        count += 1;
                    }
                    (Err(errno), _) => sent = Err(errno),
                    _ => {}
                }
            }
            part += 1;
            if sent.is_ok() {
                let mut rest = bytes;
                let mut with = fds.get(..count).unwrap_or(&[]);
                loop {
                    match sys::send_with(from, rest, with) {
                        Ok(length) => rest = rest.get(length..).unwrap_or(&[]),
                        Err(errno) => sent = Err(errno),
                    }
                    with = &[];
                    if rest.is_empty() || sent.is_err() {
                        break;
                    }
                }
            }
            for &fd in fds.get(..count).unwrap_or(&[]) {
                sys::close(fd);
            }
        });
        sent
    }
}

/// Whether an error waits. SO_ERROR would take it.
fn has_error(fd: i32) -> bool {
    sys::poll_now(fd) & libc::POLLERR != 0
}

/// Whether the first unread message is empty.
fn is_empty_at_first(fd: i32) -> bool {
    let Ok((_, rights)) = sys::peek(fd, &mut []) else {
        // A message with bytes, or no message.
        return false;
    };
    for &fd in rights.fds() {
        sys::close(fd);
    }
    true
}

fn set_peek_offset(fd: i32, offset: i32) -> Result<(), Errno> {
    let value = offset.to_ne_bytes();
    sys::set_socket_option(fd, libc::SOL_SOCKET, libc::SO_PEEK_OFF, &value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::recording::tests::round;
    use crate::objects::sockets::Sockets;
    use crate::terms::Why;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    #[test]
    fn both_queues_of_a_stream() {
        let (mut a, mut b) = UnixStream::pair().expect("a pair");
        a.write_all(b"to b").expect("there is room");
        b.write_all(b"to a").expect("there is room");
        let mut buffer = [0; 4];
        let named = round::<Sockets>(&[a.as_raw_fd(), b.as_raw_fd()], || {
            b.read_exact(&mut buffer).expect("it was sent");
            a.write_all(b"more").expect("there is room");
            b.shutdown(std::net::Shutdown::Both)
                .expect("it is connected");
        });
        assert!(named.iter().all(|gap| gap.fd != a.as_raw_fd()));
        b.read_exact(&mut buffer).expect("it is there again");
        assert_eq!(&buffer, b"to b");
        a.read_exact(&mut buffer).expect("it is there again");
        assert_eq!(&buffer, b"to a");
        b.set_nonblocking(true).expect("a socket");
        b.read(&mut buffer).expect_err("nothing more was sent");
    }

    #[test]
    fn a_connection_that_nobody_has_accepted_is_no_closed_one() {
        use std::os::unix::net::UnixListener;
        let name = std::env::temp_dir().join(format!("not-accepted-{}", std::process::id()));
        let listener = UnixListener::bind(&name).expect("the directory is writable");
        let client = UnixStream::connect(&name).expect("somebody listens");
        std::fs::remove_file(&name).expect("it is there");
        let (end, other) = UnixStream::pair().expect("a pair");
        drop(other);
        let named = round::<Sockets>(&[client.as_raw_fd(), end.as_raw_fd()], || {});
        let named: Vec<_> = named.iter().map(|of| (of.fd, of.why)).collect();
        assert_eq!(named, [(client.as_raw_fd(), Why::Connected)]);
        let (mut server, _) = listener.accept().expect("somebody has connected");
        (&client).write_all(b"x").expect("it is connected");
        server.read_exact(&mut [0]).expect("it was sent");
    }

    #[test]
    fn datagrams_stay_apart_and_descriptors_come_along() {
        let (a, b) = UnixDatagram::pair().expect("a pair");
        let (from, mut to) = std::io::pipe().expect("a pipe");
        a.send(b"one").expect("there is room");
        sys::send_with(a.as_raw_fd(), b"with", &[from.as_raw_fd()]).expect("there is room");
        a.send(b"").expect("there is room");
        let mut buffer = [0; 9];
        round::<Sockets>(&[a.as_raw_fd(), b.as_raw_fd()], || {
            for _ in 0..3 {
                b.recv(&mut buffer).expect("it was sent");
            }
        });
        assert_eq!(b.recv(&mut buffer).expect("it is there again"), 3);
        let (length, rights) = sys::peek(b.as_raw_fd(), &mut buffer).expect("it is there again");
        assert_eq!((length, rights.fds().len()), (4, 1));
        to.write_all(b"x").expect("there is room");
        assert_eq!(sys::waiting_bytes(rights.fds()[0]), Ok(1));
        sys::close(rights.fds()[0]);
        assert_eq!(b.recv(&mut buffer).expect("it is there again"), 4);
        assert_eq!(b.recv(&mut buffer).expect("it is there again"), 0);
    }

    #[test]
    fn descriptors_in_a_stream_come_along() {
        let (mut a, mut b) = UnixStream::pair().expect("a pair");
        let (from, _to) = std::io::pipe().expect("a pipe");
        a.write_all(b"hello").expect("there is room");
        sys::send_with(a.as_raw_fd(), b"F", &[from.as_raw_fd()]).expect("there is room");
        a.write_all(b"tail").expect("there is room");
        let mut buffer = [0; 20];
        let named = round::<Sockets>(&[a.as_raw_fd(), b.as_raw_fd()], || {
            let length = b.read(&mut buffer).expect("it was sent");
            assert!(length > 0);
        });
        // The record does not look into the pipe.
        assert!(named.iter().any(|gap| gap.why == Why::Waiting));
        let (length, rights) = sys::peek(b.as_raw_fd(), &mut buffer).expect("it is there again");
        assert!(length >= 6);
        assert_eq!(rights.fds().len(), 1);
        sys::close(rights.fds()[0]);
        b.read_exact(&mut buffer[..10]).expect("it is there again");
        assert_eq!(&buffer[..10], b"helloFtail");
    }

    /// Reads bytes, then the error, then the end.
    fn read_through_an_error(mut end: &UnixStream, length: usize) {
        let mut buffer = [0; 10];
        assert_eq!(end.read(&mut buffer).expect("it was sent"), length);
        let error = end
            .read(&mut buffer)
            .expect_err("what was sent was not read");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(end.read(&mut buffer).expect("the end"), 0);
    }

    #[test]
    fn an_error_that_waits_is_left_and_comes_back() {
        let (a, b) = UnixStream::pair().expect("a pair");
        (&a).write_all(b"last").expect("there is room");
        (&b).write_all(b"unread").expect("there is room");
        drop(a);
        round::<Sockets>(&[b.as_raw_fd()], || read_through_an_error(&b, 4));
        read_through_an_error(&b, 4);
    }

    #[test]
    fn an_error_where_nothing_else_waits() {
        let (a, b) = UnixStream::pair().expect("a pair");
        (&b).write_all(b"unread").expect("there is room");
        drop(a);
        let read = |mut end: &UnixStream| end.read(&mut [0; 10]);
        round::<Sockets>(&[b.as_raw_fd()], || {
            read(&b).expect_err("what was sent was not read");
        });
        read(&b).expect_err("what was sent was not read");
        assert_eq!(read(&b).expect("the end"), 0);
    }

    #[test]
    fn an_error_before_packets_is_named_and_left() {
        let [a, b] = sys::socket_pair(libc::SOCK_SEQPACKET).expect("a pair");
        sys::send_with(a, b"packet", &[]).expect("there is room");
        sys::send_with(b, b"unread", &[]).expect("there is room");
        sys::close(a);
        let named = round::<Sockets>(&[b], || {});
        let is_named = |gap: &crate::terms::Gap| gap.why == Why::Error;
        assert!(named.iter().any(is_named), "{named:?}");
        assert_eq!(sys::socket_number(b, libc::SO_ERROR), Ok(libc::ECONNRESET));
        sys::close(b);
    }

    #[test]
    fn what_is_left_of_a_pair() {
        let (a, mut b) = UnixStream::pair().expect("a pair");
        (&a).write_all(b"last").expect("there is room");
        drop(a);
        let mut text = Vec::new();
        round::<Sockets>(&[b.as_raw_fd()], || {
            b.read_to_end(&mut text).expect("it was sent");
        });
        text.clear();
        b.read_to_end(&mut text)
            .expect("it is there again, and its end");
        assert_eq!(text, b"last");
    }

    #[test]
    fn what_is_on_its_way_is_the_one_that_the_program_has() {
        let (a, b) = UnixStream::pair().expect("a pair");
        let (c, mut d) = UnixStream::pair().expect("a pair");
        let new = sys::socket(libc::AF_INET, libc::SOCK_STREAM, 0).expect("a socket");
        let rights = [c.as_raw_fd(), new];
        sys::send_with(a.as_raw_fd(), b"F", &rights).expect("there is room");
        let fds = [&a, &b, &c, &d].map(|end| end.as_raw_fd());
        let all = [&fds[..], &rights[1..]].concat();
        let mut buffer = [0; 4];
        round::<Sockets>(&all, || {
            let (_, rights) = sys::peek(b.as_raw_fd(), &mut buffer).expect("it was sent");
            rights.fds().iter().copied().for_each(sys::close);
        });
        let (_, came) = sys::peek(b.as_raw_fd(), &mut buffer).expect("it is there again");
        let pid = sys::getpid();
        for (&came, own) in came.fds().iter().zip(rights) {
            let order = sys::compare_files((pid, came), (pid, own));
            assert_eq!(order, Ok(core::cmp::Ordering::Equal));
        }
        sys::write_once(came.fds()[0], b"here").expect("it is connected");
        d.read_exact(&mut buffer).expect("with this one");
        assert_eq!(&buffer, b"here");
        sys::close(new);
        came.fds().iter().copied().for_each(sys::close);
    }
}
