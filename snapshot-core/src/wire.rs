//! What the agent and the supervisor say to each other: fixed-size messages, one a
//! packet of a SOCK_SEQPACKET socket.
//!
//! A message is a verb and its numbers, never a pointer, so that either side may be of
//! another build. Both sides check [`VERSION`] in the first byte.
//!
//! Context: AS-SAFE.

use crate::objects::{Closed, Kind, Why};
use crate::proc_text::Call;
use crate::threads::glimpse::{Asleep, Glimpse};
pub use crate::threads::layout::Disagreement;

/// Changes whenever a message changes its meaning.
pub const VERSION: u8 = 4;

/// The length of every message.
pub const MESSAGE_BYTES: usize = 256;

/// One message, encoded.
pub type Packet = [u8; MESSAGE_BYTES];

/// `si_value` of a request that the supervisor signals to the live process: the upper
/// half is this, the lower half the request's number.
pub const REQUEST_MAGIC: u64 = 0x534e_4150 << 32;

/// `si_value` of a SIGINT that the supervisor passes on, with the signal's number in the
/// lower half: the agent asks all the same, since the program may have got its own.
pub const PASSED_MAGIC: u64 = 0x5041_5353 << 32;

/// The sender of a signal that comes from outside the session's namespace: the kernel
/// tells no number for it. 0 is the kernel itself.
pub const SENDER_OUTSIDE: i32 = -1;

/// Who has sent a signal, by what its receiver was told: its code, and the number of the
/// process that sent it.
pub fn sender(code: i32, pid: i32) -> i32 {
    match code {
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL if pid == 0 => SENDER_OUTSIDE,
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => pid,
        _ => 0,
    }
}

/// A short text inside a message; longer ones are cut at a character.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text {
    length: u8,
    bytes: [u8; Self::CAPACITY],
}

impl Text {
    /// The longest text, in bytes.
    pub const CAPACITY: usize = 160;

    /// No text.
    pub const EMPTY: Self = Self {
        length: 0,
        bytes: [0; Self::CAPACITY],
    };

    /// As much of `text` as fits.
    pub fn new(text: &str) -> Self {
        let mut end = text.len().min(Self::CAPACITY);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut bytes = [0; Self::CAPACITY];
        bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
        Self {
            length: u8::try_from(end).unwrap_or(0),
            bytes,
        }
    }

    /// The text; empty where the other side sent no text.
    pub fn as_str(&self) -> &str {
        let length = usize::from(self.length).min(Self::CAPACITY);
        core::str::from_utf8(&self.bytes[..length]).unwrap_or("")
    }
}

impl core::fmt::Debug for Text {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.as_str().fmt(f)
    }
}

/// How a snapshot was asked for, as far as the agent knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// A signal sent straight to the live process.
    Signal,
    /// The library.
    Api,
    /// The supervisor's own request of this number.
    Request(u32),
}

/// Why the agent can't take a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// A thread could not be stopped.
    Unparked(Thread),
    /// There are more threads than this many.
    TooManyThreads(u32),
    /// Threads can't be made again with this libc.
    Libc(Disagreement),
    /// A step of the engine failed with an errno.
    Failed(Step, i32),
}

/// A thread that could not be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thread {
    /// Its id.
    pub tid: i32,
    /// Its name, up to a NUL.
    pub name: [u8; 16],
    /// What it is doing.
    pub why: Hindrance,
}

impl Thread {
    /// Its name as text; empty where it is none.
    pub fn name(&self) -> &str {
        let end = self.name.iter().position(|&byte| byte == 0).unwrap_or(16);
        core::str::from_utf8(&self.name[..end]).unwrap_or("")
    }
}

/// What keeps a thread from stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hindrance {
    /// Nothing that can be seen.
    Silent,
    /// It is stopped, by a signal or by a debugger.
    Stopped,
    /// It waits in this system call, where it can't be interrupted; -1 where the call is
    /// not known.
    InKernel(i64),
    /// It blocks every signal there is, those of libc too.
    BlocksAll,
}

impl Hindrance {
    /// What it is doing, a fragment after "it".
    pub const fn doing(self) -> &'static str {
        match self {
            Self::Silent => "did not come to its signal handler",
            Self::Stopped => "is stopped",
            Self::InKernel(libc::SYS_vfork | libc::SYS_clone | 435) => {
                "waits for a process that it has started by vfork"
            }
            Self::InKernel(_) => "waits inside the kernel and can't be interrupted",
            Self::BlocksAll => "blocks every signal, those of libc too",
        }
    }

    const fn to_numbers(self) -> (u8, i64) {
        match self {
            Self::Silent => (0, 0),
            Self::Stopped => (1, 0),
            Self::InKernel(call) => (2, call),
            Self::BlocksAll => (3, 0),
        }
    }

    const fn from_numbers(kind: u8, call: i64) -> Option<Self> {
        Some(match kind {
            0 => Self::Silent,
            1 => Self::Stopped,
            2 => Self::InKernel(call),
            3 => Self::BlocksAll,
            _ => return None,
        })
    }
}

/// What has been found of the program's threads while they are parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crew {
    /// The thread that makes the copy.
    pub tid: i32,
    /// How many threads the program has.
    pub threads: u32,
    /// How many the kernel has made in its stead, for io_uring: those can't be copied.
    pub workers: u32,
    /// How many hold a robust mutex.
    pub robust: u32,
    /// How many are of another user than the one that makes the copy.
    pub other_users: u32,
    /// Whether the program has children, ended ones included.
    pub has_children: bool,
    /// Whether the program has made mutexes with priority inheritance.
    pub priority_inheritance: bool,
    /// How many calls have returned EINTR because of the takes before this one.
    pub lost_calls: u32,
}

/// A step of the engine that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Stopping the threads.
    Park = 0,
    /// Reading the thread's own registrations with the kernel.
    Identity = 1,
    /// Copying the process.
    Split = 2,
    /// Recording the kernel objects.
    Record = 3,
    /// Reaching the supervisor.
    Link = 4,
    /// Making the threads again.
    Revive = 5,
}

impl Step {
    /// What was being done, a fragment after "while".
    pub const fn doing(self) -> &'static str {
        match self {
            Self::Park => "stopping its threads",
            Self::Identity => "reading what the kernel keeps of its thread",
            Self::Split => "copying the process",
            Self::Record => "recording what a copy lacks or shares",
            Self::Link => "reaching the supervisor",
            Self::Revive => "making its threads again",
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Park,
            1 => Self::Identity,
            2 => Self::Split,
            3 => Self::Record,
            4 => Self::Link,
            5 => Self::Revive,
            _ => return None,
        })
    }
}

/// A socket address as the kernel writes it, `struct sockaddr` of any family.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Address {
    length: u8,
    bytes: [u8; Self::CAPACITY],
}

impl Address {
    /// The longest there is: a path of 108 bytes and a family.
    pub const CAPACITY: usize = 110;

    /// No address.
    pub const NONE: Self = Self {
        length: 0,
        bytes: [0; Self::CAPACITY],
    };

    /// As much of it as fits.
    pub fn new(bytes: &[u8]) -> Self {
        let mut address = Self::NONE;
        for (place, &byte) in address.bytes.iter_mut().zip(bytes) {
            *place = byte;
            address.length += 1;
        }
        address
    }

    /// Its bytes; none where there is no address.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&[])
    }
}

impl core::fmt::Debug for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.bytes().fmt(f)
    }
}

/// Something that will not be as it was after a revert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remains {
    /// What it is.
    pub kind: Kind,
    /// Why it will not be.
    pub why: Why,
    /// Its descriptor, or -1.
    pub fd: i32,
    /// Where it is, or how much of it there is; 0 where that says nothing.
    pub number: u64,
    /// The peer of a socket.
    pub address: Address,
}

/// The program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Since when, on CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// As this process.
    pub pid: i32,
    /// How many recorded things could not be put back in a revived copy.
    pub not_restored: u32,
    /// How many ids, of the process and its threads, are not what they were.
    pub renewed: u32,
}

/// From the agent, in the live process or a frozen copy, to the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromAgent {
    /// The agent is in the program, and its handlers are in place.
    Hello,
    /// A snapshot is wanted.
    Begin {
        /// By whom.
        ask: Ask,
        /// When, on CLOCK_MONOTONIC.
        at_ns: u64,
        /// What to call it.
        label: Text,
    },
    /// It can't be: the program goes on.
    Hindered(Obstacle),
    /// Every thread stands still.
    Parked(Crew),
    /// The copy lacks memory that is kept from copies; the next one will have it.
    Again {
        /// The copy that is not wanted.
        spoilt_pid: i32,
    },
    /// The copy is made.
    Split {
        /// The frozen copy.
        frozen_pid: i32,
    },
    /// The frozen copy has recorded everything and sleeps.
    Ready {
        /// Its pid.
        pid: i32,
    },
    /// The frozen copy could not record everything, and is gone.
    Spoilt(Step, i32),
    /// The frozen copy has found something that will not be as it was.
    Remains(Remains),
    /// The program runs again, since this moment.
    Running(Running),
    /// The woken copy is about to go on as the process that it was made of: what ends is
    /// only what it was meanwhile.
    Becoming {
        /// The id that it is to have.
        pid: i32,
    },
    /// It could not, and goes on under the id that it has.
    Stayed {
        /// Why: EPERM where ids may not be chosen, EEXIST where the number is taken.
        errno: i32,
    },
    /// There is a keeper of this process's memory now.
    Keeper {
        /// Its pid.
        pid: i32,
    },
    /// A frozen copy was sent a signal that is meant for the live process.
    Passed {
        /// Which.
        signal: i32,
        /// By which process, or [`SENDER_OUTSIDE`].
        sender: i32,
    },
    /// The live process got a SIGINT. Whose is it?
    Interrupted {
        /// By which process, or [`SENDER_OUTSIDE`]; 0 where the kernel sent it, for a
        /// terminal.
        sender: i32,
        /// The number of the signal, if the supervisor sent it; else 0.
        passed: u32,
    },
    /// The live process is about to become another program; it wants the agent again.
    Exec,
    /// The live process closes what snapshots hold, and others wait for the end of.
    Closed(Closed),
    /// End this branch and go on from a snapshot.
    Revert {
        /// Which; 0 for the newest.
        id: u32,
    },
    /// Drop every snapshot.
    Commit,
    /// Forget one snapshot.
    Drop {
        /// Which.
        id: u32,
    },
    /// How many snapshots are there, and which?
    List,
}

/// From the supervisor to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromSupervisor {
    /// The answer to a Hello; the memory of the family table comes with it.
    Welcome {
        /// Take #1 before `main`.
        take_at_start: bool,
    },
    /// Go on with the take; a descriptor for the frozen copy comes with it.
    Granted {
        /// The snapshot's number.
        id: u32,
        /// What the first thread was doing when it was signalled, if it was by the
        /// supervisor.
        glimpse: Glimpse,
    },
    /// Don't take, or don't do what was asked; the program goes on.
    Denied,
    /// The snapshot is complete; go on.
    Go {
        /// The snapshot's number.
        id: u32,
        /// Whether the memory is to have a keeper: it has none yet.
        keeper: bool,
    },
    /// Wake up; a descriptor for the next frozen copy comes along if `keep`.
    Revive {
        /// Leave a frozen copy behind.
        keep: bool,
        /// When the revert was asked for, or the branch died, on CLOCK_MONOTONIC.
        asked_ns: u64,
        /// How the branch ended.
        ended: Ended,
        /// Take over the original's id: the one that it had outside of the session's
        /// namespace, or 0 where that one can't be chosen.
        same_ids: Option<i32>,
    },
    /// The snapshot is not wanted any more: end, but leave the memory to a keeper.
    Retire,
    /// The live branch has closed this: let go of it.
    LetGo(Closed),
    /// The signal is the program's own.
    Own,
    /// The agent to carry into the next program, as a descriptor.
    Carry,
    /// Done; the answer to a request of the library.
    Done {
        /// How many snapshots there are now.
        depth: u32,
        /// Their numbers, oldest first, as many as fit.
        ids: [u32; LISTED],
    },
}

/// How many ids one answer carries.
pub const LISTED: usize = 32;

/// How a live branch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
    /// A revert was asked for.
    Reverted,
    /// Ctrl+C.
    Interrupted,
}

/// Writes numbers one after the other into a packet.
struct Writer {
    packet: Packet,
    at: usize,
}

impl Writer {
    fn new(verb: u8) -> Self {
        let mut writer = Self {
            packet: [0; MESSAGE_BYTES],
            at: 0,
        };
        writer.put(&[VERSION, verb]);
        writer
    }

    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.at + bytes.len();
        if let Some(room) = self.packet.get_mut(self.at..end) {
            room.copy_from_slice(bytes);
            self.at = end;
        }
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    fn i32(&mut self, value: i32) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    fn obstacle(&mut self, obstacle: Obstacle) -> &mut Self {
        match obstacle {
            Obstacle::Failed(step, errno) => self.put(&[0, step as u8]).i32(errno),
            Obstacle::Unparked(Thread { tid, name, why }) => {
                let (kind, call) = why.to_numbers();
                self.put(&[1]).i32(tid).put(&name);
                self.put(&[kind]).u64(call.cast_unsigned())
            }
            Obstacle::TooManyThreads(most) => self.put(&[2]).u32(most),
            Obstacle::Libc(disagreement) => self.put(&[3]).u32(disagreement as u32),
        }
    }

    fn closed(&mut self, closed: Closed) -> &mut Self {
        self.u64(closed.inode).put(&[u8::from(closed.writes)])
    }

    fn crew(&mut self, crew: &Crew) -> &mut Self {
        self.i32(crew.tid).u32(crew.threads).u32(crew.workers);
        self.u32(crew.robust).u32(crew.other_users);
        self.put(&[
            u8::from(crew.has_children),
            u8::from(crew.priority_inheritance),
        ])
        .u32(crew.lost_calls)
    }

    fn glimpse(&mut self, glimpse: &Glimpse) -> &mut Self {
        self.put(&[
            u8::from(glimpse.call.is_some()),
            u8::from(glimpse.asleep.is_some()),
        ]);
        let call = glimpse.call.unwrap_or(Call {
            number: 0,
            arguments: [0; 6],
            stack: 0,
            program: 0,
        });
        let asleep = glimpse.asleep.unwrap_or(Asleep {
            since_ns: 0,
            processor: 0,
        });
        self.u64(call.number.cast_unsigned());
        for argument in call.arguments {
            self.u64(argument);
        }
        self.u64(call.stack).u64(call.program);
        self.u64(asleep.since_ns).u32(asleep.processor)
    }
}

/// Reads them back; `None` past the end.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn flag(&mut self) -> Option<bool> {
        self.byte().map(|byte| byte != 0)
    }

    fn text(&mut self) -> Option<Text> {
        let length = self.byte()?;
        let bytes = self.take()?;
        Some(Text { length, bytes })
    }

    fn step(&mut self) -> Option<Step> {
        Step::from_byte(self.byte()?)
    }

    fn obstacle(&mut self) -> Option<Obstacle> {
        Some(match self.byte()? {
            0 => Obstacle::Failed(self.step()?, self.i32()?),
            1 => Obstacle::Unparked(Thread {
                tid: self.i32()?,
                name: self.take()?,
                why: Hindrance::from_numbers(self.byte()?, self.u64()?.cast_signed())?,
            }),
            2 => Obstacle::TooManyThreads(self.u32()?),
            3 => Obstacle::Libc(Disagreement::from_number(self.u32()?)?),
            _ => return None,
        })
    }

    fn closed(&mut self) -> Option<Closed> {
        Some(Closed {
            inode: self.u64()?,
            writes: self.flag()?,
        })
    }

    fn crew(&mut self) -> Option<Crew> {
        Some(Crew {
            tid: self.i32()?,
            threads: self.u32()?,
            workers: self.u32()?,
            robust: self.u32()?,
            other_users: self.u32()?,
            has_children: self.flag()?,
            priority_inheritance: self.flag()?,
            lost_calls: self.u32()?,
        })
    }

    fn glimpse(&mut self) -> Option<Glimpse> {
        let in_call = self.flag()?;
        let is_asleep = self.flag()?;
        let call = Call {
            number: self.u64()?.cast_signed(),
            arguments: [
                self.u64()?,
                self.u64()?,
                self.u64()?,
                self.u64()?,
                self.u64()?,
                self.u64()?,
            ],
            stack: self.u64()?,
            program: self.u64()?,
        };
        let asleep = Asleep {
            since_ns: self.u64()?,
            processor: self.u32()?,
        };
        // It may have been of another thread than the one that got the signal.
        Some(Glimpse {
            looked: false,
            call: in_call.then_some(call),
            asleep: is_asleep.then_some(asleep),
        })
    }
}

/// The verb after the version, and the rest.
fn open(packet: &Packet) -> Option<(u8, Reader<'_>)> {
    let mut reader = Reader { rest: packet };
    if reader.byte()? != VERSION {
        return None;
    }
    Some((reader.byte()?, reader))
}

impl FromAgent {
    /// As bytes.
    pub fn encode(&self) -> Packet {
        let mut writer;
        match *self {
            Self::Hello => writer = Writer::new(1),
            Self::Begin { ask, at_ns, label } => {
                writer = Writer::new(2);
                let (who, request) = match ask {
                    Ask::Signal => (0, 0),
                    Ask::Api => (1, 0),
                    Ask::Request(number) => (2, number),
                };
                writer.put(&[who]).u32(request).u64(at_ns);
                writer.put(&[label.length]).put(&label.bytes);
            }
            Self::Hindered(obstacle) => {
                writer = Writer::new(3);
                writer.obstacle(obstacle);
            }
            Self::Parked(crew) => {
                writer = Writer::new(4);
                writer.crew(&crew);
            }
            Self::Again { spoilt_pid } => {
                writer = Writer::new(16);
                writer.i32(spoilt_pid);
            }
            Self::Split { frozen_pid } => {
                writer = Writer::new(5);
                writer.i32(frozen_pid);
            }
            Self::Ready { pid } => {
                writer = Writer::new(6);
                writer.i32(pid);
            }
            Self::Spoilt(step, errno) => {
                writer = Writer::new(7);
                writer.put(&[step as u8]).i32(errno);
            }
            Self::Running(Running {
                at_ns,
                pid,
                not_restored,
                renewed,
            }) => {
                writer = Writer::new(8);
                writer.u64(at_ns).i32(pid).u32(not_restored).u32(renewed);
            }
            Self::Becoming { pid } => {
                writer = Writer::new(17);
                writer.i32(pid);
            }
            Self::Stayed { errno } => {
                writer = Writer::new(18);
                writer.i32(errno);
            }
            Self::Keeper { pid } => {
                writer = Writer::new(19);
                writer.i32(pid);
            }
            Self::Remains(remains) => {
                writer = Writer::new(20);
                writer.put(&[remains.kind as u8, remains.why as u8]);
                writer.i32(remains.fd).u64(remains.number);
                writer
                    .put(&[remains.address.length])
                    .put(&remains.address.bytes);
            }
            Self::Passed { signal, sender } => {
                writer = Writer::new(9);
                writer.i32(signal).i32(sender);
            }
            Self::Interrupted { sender, passed } => {
                writer = Writer::new(10);
                writer.i32(sender).u32(passed);
            }
            Self::Exec => writer = Writer::new(11),
            Self::Closed(closed) => {
                writer = Writer::new(21);
                writer.closed(closed);
            }
            Self::Revert { id } => {
                writer = Writer::new(12);
                writer.u32(id);
            }
            Self::Commit => writer = Writer::new(13),
            Self::Drop { id } => {
                writer = Writer::new(14);
                writer.u32(id);
            }
            Self::List => writer = Writer::new(15),
        }
        writer.packet
    }

    /// Back from bytes; `None` for what is no message of this version.
    pub fn decode(packet: &Packet) -> Option<Self> {
        let (verb, mut reader) = open(packet)?;
        Some(match verb {
            1 => Self::Hello,
            2 => {
                let who = reader.byte()?;
                let request = reader.u32()?;
                let ask = match who {
                    0 => Ask::Signal,
                    1 => Ask::Api,
                    2 => Ask::Request(request),
                    _ => return None,
                };
                Self::Begin {
                    ask,
                    at_ns: reader.u64()?,
                    label: reader.text()?,
                }
            }
            3 => Self::Hindered(reader.obstacle()?),
            4 => Self::Parked(reader.crew()?),
            5 => Self::Split {
                frozen_pid: reader.i32()?,
            },
            6 => Self::Ready { pid: reader.i32()? },
            7 => Self::Spoilt(reader.step()?, reader.i32()?),
            8 => Self::Running(Running {
                at_ns: reader.u64()?,
                pid: reader.i32()?,
                not_restored: reader.u32()?,
                renewed: reader.u32()?,
            }),
            20 => Self::Remains(Remains {
                kind: Kind::from_byte(reader.byte()?)?,
                why: Why::from_byte(reader.byte()?)?,
                fd: reader.i32()?,
                number: reader.u64()?,
                address: Address {
                    length: reader.byte()?,
                    bytes: reader.take()?,
                },
            }),
            19 => Self::Keeper { pid: reader.i32()? },
            17 => Self::Becoming { pid: reader.i32()? },
            18 => Self::Stayed {
                errno: reader.i32()?,
            },
            9 => Self::Passed {
                signal: reader.i32()?,
                sender: reader.i32()?,
            },
            10 => Self::Interrupted {
                sender: reader.i32()?,
                passed: reader.u32()?,
            },
            11 => Self::Exec,
            21 => Self::Closed(reader.closed()?),
            12 => Self::Revert { id: reader.u32()? },
            13 => Self::Commit,
            14 => Self::Drop { id: reader.u32()? },
            15 => Self::List,
            16 => Self::Again {
                spoilt_pid: reader.i32()?,
            },
            _ => return None,
        })
    }
}

impl FromSupervisor {
    /// As bytes.
    pub fn encode(&self) -> Packet {
        let mut writer;
        match *self {
            Self::Welcome { take_at_start } => {
                writer = Writer::new(65);
                writer.put(&[u8::from(take_at_start)]);
            }
            Self::Granted { id, ref glimpse } => {
                writer = Writer::new(66);
                writer.u32(id).glimpse(glimpse);
            }
            Self::Denied => writer = Writer::new(67),
            Self::Go { id, keeper } => {
                writer = Writer::new(68);
                writer.u32(id).put(&[u8::from(keeper)]);
            }
            Self::Revive {
                keep,
                asked_ns,
                ended,
                same_ids,
            } => {
                writer = Writer::new(69);
                let (how, number) = match ended {
                    Ended::Exited(code) => (0, code),
                    Ended::Killed(signal) => (1, signal),
                    Ended::Reverted => (2, 0),
                    Ended::Interrupted => (3, 0),
                };
                writer.put(&[u8::from(keep)]).u64(asked_ns);
                writer.put(&[how]).i32(number);
                writer.put(&[u8::from(same_ids.is_some())]);
                writer.i32(same_ids.unwrap_or(0));
            }
            Self::Retire => writer = Writer::new(73),
            Self::LetGo(closed) => {
                writer = Writer::new(74);
                writer.closed(closed);
            }
            Self::Own => writer = Writer::new(70),
            Self::Carry => writer = Writer::new(72),
            Self::Done { depth, ids } => {
                writer = Writer::new(71);
                writer.u32(depth);
                for id in ids {
                    writer.u32(id);
                }
            }
        }
        writer.packet
    }

    /// Back from bytes; `None` for what is no message of this version.
    pub fn decode(packet: &Packet) -> Option<Self> {
        let (verb, mut reader) = open(packet)?;
        Some(match verb {
            65 => Self::Welcome {
                take_at_start: reader.flag()?,
            },
            66 => Self::Granted {
                id: reader.u32()?,
                glimpse: reader.glimpse()?,
            },
            67 => Self::Denied,
            68 => Self::Go {
                id: reader.u32()?,
                keeper: reader.flag()?,
            },
            69 => {
                let keep = reader.flag()?;
                let asked_ns = reader.u64()?;
                let how = reader.byte()?;
                let number = reader.i32()?;
                let ended = match how {
                    0 => Ended::Exited(number),
                    1 => Ended::Killed(number),
                    2 => Ended::Reverted,
                    3 => Ended::Interrupted,
                    _ => return None,
                };
                let takes_over = reader.flag()?;
                let outer_pid = reader.i32()?;
                Self::Revive {
                    keep,
                    asked_ns,
                    ended,
                    same_ids: takes_over.then_some(outer_pid),
                }
            }
            73 => Self::Retire,
            74 => Self::LetGo(reader.closed()?),
            70 => Self::Own,
            72 => Self::Carry,
            71 => {
                let depth = reader.u32()?;
                let mut ids = [0; LISTED];
                for id in &mut ids {
                    *id = reader.u32()?;
                }
                Self::Done { depth, ids }
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn step() -> impl Strategy<Value = Step> {
        (0_u8..6).prop_map(|byte| Step::from_byte(byte).expect("a step"))
    }

    fn obstacle() -> impl Strategy<Value = Obstacle> {
        prop_oneof![
            (step(), any::<i32>()).prop_map(|(step, errno)| Obstacle::Failed(step, errno)),
            (any::<i32>(), any::<[u8; 16]>(), 0_u8..4, any::<i64>()).prop_map(
                |(tid, name, kind, call)| Obstacle::Unparked(Thread {
                    tid,
                    name,
                    why: Hindrance::from_numbers(kind, call).expect("a hindrance"),
                })
            ),
            any::<u32>().prop_map(Obstacle::TooManyThreads),
            (2_u32..7).prop_map(|number| Obstacle::Libc(
                Disagreement::from_number(number).expect("a disagreement")
            )),
        ]
    }

    fn glimpse() -> impl Strategy<Value = Glimpse> {
        let call = (any::<i64>(), any::<[u64; 6]>(), any::<u64>(), any::<u64>()).prop_map(
            |(number, arguments, stack, program)| Call {
                number,
                arguments,
                stack,
                program,
            },
        );
        let asleep = (any::<u64>(), any::<u32>()).prop_map(|(since_ns, processor)| Asleep {
            since_ns,
            processor,
        });
        (prop::option::of(call), prop::option::of(asleep)).prop_map(|(call, asleep)| Glimpse {
            looked: false,
            call,
            asleep,
        })
    }

    fn from_agent() -> impl Strategy<Value = FromAgent> {
        prop_oneof![
            Just(FromAgent::Hello),
            (any::<u64>(), ".{0,200}", any::<u32>(), 0..3_usize).prop_map(
                |(at_ns, label, number, who)| FromAgent::Begin {
                    ask: [Ask::Signal, Ask::Api, Ask::Request(number)][who],
                    at_ns,
                    label: Text::new(&label),
                }
            ),
            obstacle().prop_map(FromAgent::Hindered),
            (any::<[u32; 6]>(), any::<[bool; 2]>()).prop_map(|(numbers, flags)| {
                FromAgent::Parked(Crew {
                    tid: numbers[0].cast_signed(),
                    threads: numbers[1],
                    workers: numbers[2],
                    robust: numbers[3],
                    other_users: numbers[4],
                    has_children: flags[0],
                    priority_inheritance: flags[1],
                    lost_calls: numbers[5],
                })
            }),
            any::<i32>().prop_map(|spoilt_pid| FromAgent::Again { spoilt_pid }),
            any::<i32>().prop_map(|frozen_pid| FromAgent::Split { frozen_pid }),
            any::<i32>().prop_map(|pid| FromAgent::Ready { pid }),
            (step(), any::<i32>()).prop_map(|(step, errno)| FromAgent::Spoilt(step, errno)),
            (any::<u64>(), any::<i32>(), any::<[u32; 2]>()).prop_map(
                |(at_ns, pid, [not_restored, renewed])| FromAgent::Running(Running {
                    at_ns,
                    pid,
                    not_restored,
                    renewed,
                })
            ),
            any::<i32>().prop_map(|pid| FromAgent::Becoming { pid }),
            any::<i32>().prop_map(|pid| FromAgent::Keeper { pid }),
            any::<i32>().prop_map(|errno| FromAgent::Stayed { errno }),
            (any::<i32>(), any::<i32>())
                .prop_map(|(signal, sender)| FromAgent::Passed { signal, sender }),
            (any::<i32>(), any::<u32>())
                .prop_map(|(sender, passed)| FromAgent::Interrupted { sender, passed }),
            Just(FromAgent::Exec),
            closed().prop_map(FromAgent::Closed),
            (
                0..Kind::ALL.len(),
                0..Why::ALL.len(),
                any::<i32>(),
                any::<u64>(),
                any::<Vec<u8>>()
            )
                .prop_map(|(kind, why, fd, number, address)| {
                    FromAgent::Remains(Remains {
                        kind: Kind::ALL[kind],
                        why: Why::ALL[why],
                        fd,
                        number,
                        address: Address::new(&address),
                    })
                }),
            any::<u32>().prop_map(|id| FromAgent::Revert { id }),
            Just(FromAgent::Commit),
            any::<u32>().prop_map(|id| FromAgent::Drop { id }),
            Just(FromAgent::List),
        ]
    }

    fn closed() -> impl Strategy<Value = Closed> {
        (any::<u64>(), any::<bool>()).prop_map(|(inode, writes)| Closed { inode, writes })
    }

    fn from_supervisor() -> impl Strategy<Value = FromSupervisor> {
        prop_oneof![
            any::<bool>().prop_map(|take_at_start| FromSupervisor::Welcome { take_at_start }),
            closed().prop_map(FromSupervisor::LetGo),
            (any::<u32>(), glimpse())
                .prop_map(|(id, glimpse)| FromSupervisor::Granted { id, glimpse }),
            (any::<u32>(), any::<bool>())
                .prop_map(|(id, keeper)| FromSupervisor::Go { id, keeper }),
            Just(FromSupervisor::Denied),
            (
                any::<bool>(),
                any::<u64>(),
                any::<i32>(),
                0..4_usize,
                prop::option::of(any::<i32>())
            )
                .prop_map(|(keep, asked_ns, number, how, same_ids)| {
                    FromSupervisor::Revive {
                        same_ids,
                        keep,
                        asked_ns,
                        ended: [
                            Ended::Exited(number),
                            Ended::Killed(number),
                            Ended::Reverted,
                            Ended::Interrupted,
                        ][how],
                    }
                }),
            Just(FromSupervisor::Retire),
            Just(FromSupervisor::Own),
            Just(FromSupervisor::Carry),
            (any::<u32>(), any::<[u32; LISTED]>())
                .prop_map(|(depth, ids)| FromSupervisor::Done { depth, ids }),
        ]
    }

    proptest! {
        #[test]
        fn agent_messages_come_back(message in from_agent()) {
            prop_assert_eq!(FromAgent::decode(&message.encode()), Some(message));
        }

        #[test]
        fn supervisor_messages_come_back(message in from_supervisor()) {
            prop_assert_eq!(FromSupervisor::decode(&message.encode()), Some(message));
        }

        #[test]
        fn noise_is_no_panic(noise in prop::collection::vec(any::<u8>(), MESSAGE_BYTES)) {
            let packet: Packet = noise.try_into().expect("the length asked for");
            if let Some(FromAgent::Begin { label, .. }) = FromAgent::decode(&packet) {
                let _ = label.as_str();
            }
            let _ = FromSupervisor::decode(&packet);
        }

        #[test]
        fn a_text_is_a_prefix(text in ".{0,300}") {
            let short = Text::new(&text);
            prop_assert!(text.starts_with(short.as_str()));
            prop_assert!(text.len() > Text::CAPACITY || short.as_str() == text);
        }
    }
}
