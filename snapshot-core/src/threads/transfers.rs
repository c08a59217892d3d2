//! Calls that move many bytes. A signal ends them early, with the part that they have moved and
//! without an error. If the signal was ours, the rest is moved as well.
//!
//! This covers calls that return less only because of a signal, an end or an error: blocking
//! writes and sends, receives with MSG_WAITALL, several messages at once, and memory devices.
//! At an end or an error there is no rest, and the program gets the part, as it would without
//! us.
//!
//! A call that returns whatever there is (`read`, `splice` from a socket) is done when it has
//! returned anything, and is left alone.
//!
//! Context: AS-SAFE.

#![expect(unsafe_code, reason = "writes down how much has been moved")]

use super::transfer_parts::{MESSAGE_BYTES, Parts, Split, read_header, rest_of_message};
use crate::arch::{Header, Owned, Rest, STEPS, Step, SyscallFrame};
use crate::sys;

/// How a call names its bytes, and how to ask for the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// An address and a length; perhaps an offset in the file.
    Buffer { at: usize, offset: Option<usize> },
    /// An array of those, with its length in the next argument; perhaps an offset.
    Parts { offset: Option<usize> },
    /// A message's header.
    Message,
    /// An array of messages, with its length in the next argument; it moves whole messages.
    Messages,
    /// A length alone: the kernel keeps the position itself.
    Length(usize),
}

/// What a call's number says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Transfer {
    form: Form,
    /// The argument with the descriptor that it may wait for.
    fd: Option<usize>,
    /// Whether bytes go to the descriptor; else they come from it.
    gives: bool,
    /// The argument with a socket call's flags.
    flags: Option<usize>,
}

const fn transfer(form: Form, fd: Option<usize>, gives: bool, flags: Option<usize>) -> Transfer {
    Transfer {
        form,
        fd,
        gives,
        flags,
    }
}

const COPY_FILE_RANGE: i64 = 326;

fn by_number(number: i64) -> Option<Transfer> {
    const PLAIN: Form = Form::Buffer {
        at: 1,
        offset: None,
    };
    const PLAIN_PARTS: Form = Form::Parts { offset: None };
    Some(match number {
        libc::SYS_write => transfer(PLAIN, Some(0), true, None),
        libc::SYS_read => transfer(PLAIN, Some(0), false, None),
        libc::SYS_pwrite64 => {
            let form = Form::Buffer {
                at: 1,
                offset: Some(3),
            };
            transfer(form, Some(0), true, None)
        }
        libc::SYS_writev => transfer(PLAIN_PARTS, Some(0), true, None),
        libc::SYS_readv => transfer(PLAIN_PARTS, Some(0), false, None),
        libc::SYS_pwritev | libc::SYS_pwritev2 => {
            transfer(Form::Parts { offset: Some(3) }, Some(0), true, None)
        }
        libc::SYS_sendto => transfer(PLAIN, Some(0), true, Some(3)),
        libc::SYS_recvfrom => transfer(PLAIN, Some(0), false, Some(3)),
        libc::SYS_sendmsg => transfer(Form::Message, Some(0), true, Some(2)),
        libc::SYS_recvmsg => transfer(Form::Message, Some(0), false, Some(2)),
        libc::SYS_sendmmsg => transfer(Form::Messages, Some(0), true, Some(3)),
        libc::SYS_recvmmsg => transfer(Form::Messages, Some(0), false, Some(3)),
        libc::SYS_sendfile => transfer(Form::Length(3), Some(0), true, None),
        libc::SYS_splice => transfer(Form::Length(4), Some(2), true, None),
        COPY_FILE_RANGE => transfer(Form::Length(4), Some(2), true, None),
        libc::SYS_getrandom => {
            let form = Form::Buffer {
                at: 0,
                offset: None,
            };
            transfer(form, None, false, None)
        }
        _ => return None,
    })
}

/// What may be behind a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// A stream socket.
    Stream,
    OtherSocket,
    Pipe,
    /// `/dev/zero`, `/dev/random` and `/dev/urandom`: reading from them waits for nothing.
    EndlessDevice,
    /// A terminal, or something like it.
    Character,
    File,
}

fn behind(fd: i32) -> Option<Behind> {
    const ENDLESS: [u64; 3] = [
        libc::makedev(1, 5),
        libc::makedev(1, 8),
        libc::makedev(1, 9),
    ];
    let stat = sys::fstat(fd).ok()?;
    Some(match stat.mode & libc::S_IFMT {
        libc::S_IFSOCK => {
            if sys::socket_number(fd, libc::SO_TYPE) == Ok(libc::SOCK_STREAM) {
                Behind::Stream
            } else {
                Behind::OtherSocket
            }
        }
        libc::S_IFIFO => Behind::Pipe,
        libc::S_IFCHR if ENDLESS.contains(&stat.special) => Behind::EndlessDevice,
        libc::S_IFCHR => Behind::Character,
        _ => Behind::File,
    })
}

fn number(value: i64) -> i32 {
    // The kernel reads the lower half of a descriptor, and of flags.
    (value & 0xffff_ffff) as u32 as i32
}

fn unsigned(value: i64) -> usize {
    usize::from_ne_bytes(value.to_ne_bytes())
}

fn signed(value: usize) -> i64 {
    i64::from_ne_bytes(value.to_ne_bytes())
}

/// The state of a call that has returned a number above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// It is no such call, or it is complete.
    Over,
    /// It ended early, and the thread will move the rest.
    GoesOn,
    /// It ended early, and the rest can't be moved.
    Lost,
}

/// Whether a call with this number can end early.
pub(crate) fn may_be_short(number: i64) -> bool {
    by_number(number).is_some()
}

/// Makes the thread move the rest of a call that returned a part because of us. `left_ns` is
/// the time it had left, if it has a limit; `control_length` is the room for a message's
/// control data, if known.
pub(crate) fn go_on(
    frame: &mut SyscallFrame<'_>,
    call: i64,
    moved: i64,
    left_ns: Option<u64>,
    control_length: Option<u64>,
) -> Course {
    let arguments = core::array::from_fn(|index| *frame.argument(index));
    let Some(transfer) = by_number(call) else {
        return Course::Over;
    };
    let Some(manner) = transfer.manner(call, &arguments) else {
        return Course::Over;
    };
    if !transfer.is_short(&arguments, moved) {
        return Course::Over;
    }
    if manner == Manner::Again {
        frame.rewind(call);
        return Course::GoesOn;
    }
    if has_lost_error(call, &arguments) {
        return Course::Lost;
    }
    let Some(mut owned) = Owned::claim(frame, call, moved) else {
        return Course::Lost;
    };
    let rest = owned.rest();
    manner.furnish(&transfer, rest);
    if let Some(left_ns) = left_ns.filter(|_| rest.waits != 0) {
        rest.time = [
            i64::try_from(left_ns / 1_000_000_000).unwrap_or(i64::MAX),
            (left_ns % 1_000_000_000) as i64,
        ];
        rest.time_at = (&raw const rest.time).expose_provenance();
    }
    if call == libc::SYS_recvmsg && !receive_beside(rest, control_length) {
        owned.give_back();
        return Course::Lost;
    }
    if transfer.plan(rest).is_none() {
        owned.give_back();
        return Course::Over;
    }
    owned.begin(frame);
    Course::GoesOn
}

/// The thread was interrupted while it moved the rest. It goes on there, if `result` shows that
/// and no signal is due that the program handles.
pub(crate) fn go_on_with_rest(mut owned: Owned, frame: &mut SyscallFrame<'_>, result: i64) {
    let step = owned.step();
    if result == -i64::from(libc::EINTR) {
        // Nothing was moved meanwhile.
        if let Some(transfer) = by_number(owned.rest().number)
            && transfer.plan(owned.rest()).is_some()
        {
            owned.begin(frame);
        }
        return;
    }
    // The last message may have gone in part.
    let is_short = |step: &Step| result < step.length || step.number == libc::SYS_sendmmsg;
    let Some(step) = step.filter(|step| result > 0 && is_short(step)) else {
        return;
    };
    let rest = owned.rest();
    let Some(transfer) = by_number(rest.number) else {
        return;
    };
    // Control data has come: it ends there.
    if step.header != 0 && read_header(step.header).is_none_or(|header| header.control_length != 0)
    {
        return;
    }
    if has_lost_error(rest.number, &rest.arguments) || !add(step.counter, result) {
        return;
    }
    if transfer.plan(rest).is_some() {
        owned.begin(frame);
    } else {
        // It ends there, and the sum must not be counted twice.
        add(step.counter, -result);
    }
}

/// `recvmmsg` stores its end as the socket's own error for the next call, and an interruption
/// by us must not show there. True if it was another error, which is lost now.
fn has_lost_error(call: i64, arguments: &[i64; 6]) -> bool {
    /// The kernel's own numbers, which programs never see.
    const INTERRUPTIONS: [i32; 6] = [0, libc::EINTR, 512, 513, 514, 516];
    call == libc::SYS_recvmmsg
        && sys::socket_number(number(arguments[0]), libc::SO_ERROR)
            .is_ok_and(|error| !INTERRUPTIONS.contains(&error))
}

/// Adds to a number in the program's memory, or in ours.
fn add(address: usize, more: i64) -> bool {
    let mut bytes = [0; 8];
    if sys::read_own_memory(address, &mut bytes).is_err() {
        return false;
    }
    let sum = i64::from_ne_bytes(bytes).wrapping_add(more).to_ne_bytes();
    // SAFETY: the number that the program's call would have counted in, or ours.
    unsafe { sys::write_own_memory(address, &sum) }.is_ok()
}

/// A message is received in two parts: the first part's control data would be lost if the
/// second part had some too.
fn receive_beside(rest: &mut Rest, control_length: Option<u64>) -> bool {
    let address = unsigned(rest.arguments[1]);
    let Some(header) = read_header(address) else {
        return false;
    };
    if header.control_length != 0 && header.control != 0 {
        return false;
    }
    // Only local sockets pass descriptors, which must not be lost. On other sockets the second
    // part has no control data.
    let fd = number(rest.arguments[0]);
    let is_local = sys::socket_number(fd, libc::SO_DOMAIN) != Ok(libc::AF_INET)
        && sys::socket_number(fd, libc::SO_DOMAIN) != Ok(libc::AF_INET6);
    rest.control_length = match control_length {
        Some(length) if header.control != 0 => usize::try_from(length).unwrap_or(0),
        None if header.control != 0 && is_local => return false,
        _ => 0,
    };
    rest.copy_to = address;
    true
}

/// How the rest of a call is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// The call is made again as it was.
    Again,
    /// Without waiting, since it never has to.
    AtOnce,
    /// When the descriptor is ready. `gives_up` stops at an error or an end, which the
    /// program's next call finds.
    WhenReady { fd: i32, gives_up: bool },
}

impl Manner {
    fn furnish(self, transfer: &Transfer, rest: &mut Rest) {
        rest.waits = 0;
        rest.give_up = 0;
        if let Self::WhenReady { fd, gives_up } = self {
            rest.waits = 1;
            rest.descriptor = fd;
            rest.events = if transfer.gives {
                libc::POLLOUT
            } else {
                libc::POLLIN
            };
            rest.give_up = libc::POLLNVAL;
            if gives_up {
                rest.give_up |= libc::POLLERR;
                // Bytes sent before the end can still be received.
                if transfer.gives {
                    rest.give_up |= libc::POLLHUP;
                }
            }
        }
    }
}

const MSG_WAITFORONE: i32 = libc::MSG_WAITFORONE;
const MSG_ZEROCOPY: i32 = 0x400_0000;

impl Transfer {
    /// How the rest of this call is moved; `None` if it has no rest because it returned all.
    fn manner(&self, call: i64, arguments: &[i64; 6]) -> Option<Manner> {
        let Some(fd) = self.fd else {
            return Some(Manner::AtOnce);
        };
        let fd = number(arguments[fd]);
        let flags = self.flags.map_or(0, |index| number(arguments[index]));
        let behind = behind(fd)?;
        if flags & libc::MSG_DONTWAIT != 0
            || sys::fcntl(fd, libc::F_GETFL, 0).ok()? & libc::O_NONBLOCK != 0
        {
            return None;
        }
        let when_ready = Manner::WhenReady {
            fd,
            gives_up: matches!(behind, Behind::Stream | Behind::OtherSocket),
        };
        match (call, behind) {
            (libc::SYS_read | libc::SYS_readv, Behind::EndlessDevice) => Some(Manner::AtOnce),
            (libc::SYS_read | libc::SYS_readv, _) => None,
            // It fills the room in a pipe.
            (libc::SYS_sendfile | libc::SYS_splice | COPY_FILE_RANGE, Behind::Pipe) => None,
            (libc::SYS_splice, _) => {
                // It empties a pipe.
                let left = sys::waiting_bytes(number(arguments[0])).unwrap_or(0);
                (left > 0).then_some(when_ready)
            }
            (libc::SYS_recvfrom | libc::SYS_recvmsg, Behind::Stream) => {
                if flags & libc::MSG_WAITALL == 0 || sys::is_at_mark(fd) {
                    return None;
                }
                if flags & libc::MSG_PEEK == 0 {
                    return Some(when_ready);
                }
                // Nothing has been taken; but a local socket shows what it has, and doesn't
                // wait for more.
                let is_local = sys::socket_number(fd, libc::SO_DOMAIN) == Ok(libc::AF_UNIX);
                // And each peek goes on from the last one if the socket is set so.
                let looks_on = sys::socket_number(fd, libc::SO_PEEK_OFF).is_ok_and(|at| at >= 0);
                (!is_local && !looks_on).then_some(Manner::Again)
            }
            (libc::SYS_recvfrom | libc::SYS_recvmsg, _) => None,
            (libc::SYS_recvmmsg, Behind::Stream | Behind::OtherSocket) => {
                (flags & (MSG_WAITFORONE | libc::MSG_PEEK) == 0).then_some(when_ready)
            }
            (libc::SYS_sendmmsg, Behind::Stream | Behind::OtherSocket) => Some(when_ready),
            // A datagram goes whole or not at all.
            (libc::SYS_sendmmsg | libc::SYS_recvmmsg, _) | (_, Behind::OtherSocket) => None,
            (_, Behind::Stream) => (flags & (libc::MSG_OOB | MSG_ZEROCOPY | libc::MSG_FASTOPEN)
                == 0)
                .then_some(when_ready),
            (_, Behind::Pipe | Behind::Character) => Some(when_ready),
            (_, Behind::File | Behind::EndlessDevice) => Some(Manner::AtOnce),
        }
    }

    /// Whether `moved` is only a part of what was asked for.
    fn is_short(&self, arguments: &[i64; 6], moved: i64) -> bool {
        let moved = unsigned(moved);
        match self.form {
            Form::Buffer { at, .. } => moved < unsigned(arguments[at + 1]),
            Form::Length(index) => moved < unsigned(arguments[index]),
            Form::Parts { .. } => {
                let parts = Parts::new(arguments[1], arguments[2]);
                parts.split(moved).is_some()
            }
            Form::Message => read_header(unsigned(arguments[1])).is_some_and(|header| {
                let parts = Parts {
                    start: header.parts,
                    count: header.count,
                };
                parts.split(moved).is_some()
            }),
            // The last message may have gone in part.
            Form::Messages => {
                moved < unsigned(arguments[2])
                    || rest_of_message(unsigned(arguments[1]), moved).is_some()
            }
        }
    }

    /// Plans the steps that move the rest, from what has been moved; `None` if there is no
    /// rest.
    fn plan(&self, rest: &mut Rest) -> Option<()> {
        let mut steps = Steps::new();
        let moved = unsigned(rest.moved);
        let counter = (&raw const rest.moved).expose_provenance();
        let mut arguments = rest.arguments;
        // The program's next call reports a broken connection, with its signal.
        let is_socket = rest.give_up & libc::POLLERR != 0;
        if let Some(flags) = self.flags
            && self.gives
        {
            arguments[flags] |= i64::from(libc::MSG_NOSIGNAL);
        }
        match self.form {
            Form::Buffer { at, offset } => {
                let left = unsigned(arguments[at + 1]).checked_sub(moved)?;
                arguments[at] = arguments[at].wrapping_add(rest.moved);
                arguments[at + 1] = signed(left);
                if let Some(offset) = offset {
                    arguments[offset] = arguments[offset].wrapping_add(rest.moved);
                }
                // The address has been read or written already.
                if matches!(rest.number, libc::SYS_recvfrom | libc::SYS_sendto) {
                    arguments[4] = 0;
                    arguments[5] = 0;
                }
                let mut number = rest.number;
                if number == libc::SYS_write && is_socket {
                    number = libc::SYS_sendto;
                    arguments[3..].copy_from_slice(&[i64::from(libc::MSG_NOSIGNAL), 0, 0]);
                }
                steps.add(Step {
                    number,
                    arguments,
                    length: signed(left),
                    counter,
                    header: 0,
                });
            }
            Form::Length(index) => {
                let left = unsigned(arguments[index]).checked_sub(moved)?;
                arguments[index] = signed(left);
                steps.add(Step {
                    number: rest.number,
                    arguments,
                    length: signed(left),
                    counter,
                    header: 0,
                });
            }
            Form::Parts { offset } => {
                let parts = Parts::new(arguments[1], arguments[2]);
                let split = parts.split(moved)?;
                if is_socket {
                    let flags = i64::from(libc::MSG_NOSIGNAL);
                    let header = Header::default();
                    let by = (libc::SYS_sendmsg, [arguments[0], 0, flags, 0, 0, 0]);
                    plan_message(rest, &mut steps, by, header, &split, counter);
                } else {
                    let offset_of = |arguments: &mut [i64; 6], more: usize| {
                        if let Some(offset) = offset {
                            // -1 is the file's own position, which the kernel keeps.
                            let is_own =
                                rest.number == libc::SYS_pwritev2 && arguments[offset] == -1;
                            if !is_own {
                                arguments[offset] =
                                    arguments[offset].wrapping_add(signed(moved + more));
                            }
                        }
                    };
                    rest.part = split.part;
                    let mut first = arguments;
                    first[1] = signed((&raw const rest.part).expose_provenance());
                    first[2] = 1;
                    offset_of(&mut first, 0);
                    let mut second = arguments;
                    second[1] = signed(split.after.start);
                    second[2] = signed(split.after.count);
                    offset_of(&mut second, split.part.length);
                    for (arguments, length) in
                        [(first, split.part.length), (second, split.after_length)]
                    {
                        if length > 0 {
                            steps.add(Step {
                                number: rest.number,
                                arguments,
                                length: signed(length),
                                counter,
                                header: 0,
                            });
                        }
                    }
                }
            }
            Form::Message => {
                let header = read_header(unsigned(arguments[1]))?;
                let parts = Parts {
                    start: header.parts,
                    count: header.count,
                };
                let split = parts.split(moved)?;
                let header = Header {
                    control: if self.gives { 0 } else { header.control },
                    control_length: rest.control_length,
                    ..Header::default()
                };
                let by = (rest.number, arguments);
                plan_message(rest, &mut steps, by, header, &split, counter);
            }
            Form::Messages => {
                let start = unsigned(arguments[1]);
                let all = unsigned(arguments[2]);
                if self.gives
                    && let Some((split, counter)) = rest_of_message(start, moved)
                {
                    let by = (libc::SYS_sendmsg, [arguments[0], 0, arguments[3], 0, 0, 0]);
                    plan_message(rest, &mut steps, by, Header::default(), &split, counter);
                }
                let left = all.checked_sub(moved)?;
                if left > 0 {
                    arguments[1] = signed(start + moved * MESSAGE_BYTES);
                    arguments[2] = signed(left);
                    steps.add(Step {
                        number: rest.number,
                        arguments,
                        length: signed(left),
                        counter,
                        header: 0,
                    });
                }
            }
        }
        rest.steps = steps.finish()?;
        Some(())
    }
}

/// The rest of one message: of the part that it ended in, and all later parts.
fn plan_message(
    rest: &mut Rest,
    steps: &mut Steps,
    (number, arguments): (i64, [i64; 6]),
    header: Header,
    split: &Split,
    counter: usize,
) {
    rest.part = split.part;
    let part = Parts {
        start: (&raw const rest.part).expose_provenance(),
        count: 1,
    };
    let receives = number == libc::SYS_recvmsg;
    let both = [(part, split.part.length), (split.after, split.after_length)];
    for (place, (parts, length)) in rest.headers.iter_mut().zip(both) {
        if length == 0 {
            continue;
        }
        *place = Header {
            parts: parts.start,
            count: parts.count,
            ..header
        };
        let header = (&raw const *place).expose_provenance();
        let mut arguments = arguments;
        arguments[1] = signed(header);
        steps.add(Step {
            number,
            arguments,
            length: signed(length),
            counter,
            header: if receives { header } else { 0 },
        });
    }
}

struct Steps {
    steps: [Step; STEPS + 1],
    count: usize,
}

impl Steps {
    fn new() -> Self {
        Self {
            steps: [Step::NONE; STEPS + 1],
            count: 0,
        }
    }

    fn add(&mut self, step: Step) {
        if let Some(place) = self.steps[..STEPS].get_mut(self.count) {
            *place = step;
            self.count += 1;
        }
    }

    fn finish(self) -> Option<[Step; STEPS + 1]> {
        (self.count > 0).then_some(self.steps)
    }
}

/// The room for a message's control data while a thread waits for it; the kernel overwrites
/// that as the call ends.
pub(crate) fn control_length(call: i64, arguments: &[u64; 6]) -> Option<u64> {
    let waits_for_all = arguments[2] & libc::MSG_WAITALL.unsigned_abs() as u64 != 0;
    if call != libc::SYS_recvmsg || !waits_for_all {
        return None;
    }
    read_header(usize::try_from(arguments[1]).ok()?).map(|header| header.control_length as u64)
}
