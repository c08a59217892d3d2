//! The messages, one way and the other.
//!
//! Context: AS-SAFE.

use super::{
    Packet,
    packet::{Writer, open},
};
use crate::terms::*;

/// From the agent, in the live process or a frozen copy, to the supervisor.
///
/// No message says which process it is about: it is about the one that says it, and the
/// kernel tells the supervisor which one that is.
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
    Parked(ThreadCounts),
    /// The copy lacks memory that is kept from copies, and has done nothing yet; the next
    /// one will have it.
    Again,
    /// The live process has made the copy.
    Split,
    /// The frozen copy has recorded everything and sleeps.
    Ready,
    /// The frozen copy could not record everything, and is gone.
    Spoilt(Step, i32),
    /// The frozen copy has found something that will not be as it was.
    Remains(Remains),
    /// The woken copy could not put something back.
    NotRestored {
        /// What.
        part: Part,
        /// How many of them.
        count: u32,
    },
    /// The program runs again, since this moment.
    Running(Running),
    /// The woken copy is about to go on under the id of the process that it was made of:
    /// what ends is only what it was meanwhile.
    Becoming,
    /// It could not, and goes on under the id that it has.
    Stayed {
        /// Why: EPERM where ids may not be chosen, EEXIST where the number is taken.
        errno: i32,
    },
    /// From the keeper of this process's memory itself: it is there now.
    Keeper,
    /// A frozen copy was sent a signal that is meant for the live process.
    Passed {
        /// Which.
        signal: i32,
        /// By which process, or [`crate::terms::SENDER_OUTSIDE`].
        sender: i32,
    },
    /// The live process got a SIGINT. Whose is it?
    Interrupted {
        /// By which process, or [`crate::terms::SENDER_OUTSIDE`]; 0 where the kernel sent it, for a
        /// terminal.
        sender: i32,
        /// The number of the signal, if the supervisor sent it; else 0.
        passed: u32,
    },
    /// The live process is about to become another program; it wants the agent again.
    Exec,
    /// The live process closes what snapshots hold, and others wait for the end of; it
    /// waits until they have let go.
    Closed(Closed),
    /// The frozen copy has let go of what it was told.
    LetGo,
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
    /// The program is about to set a filter of system calls.
    Filtered(Filter),
    /// It could not be set after all.
    Unfiltered(Filter),
    /// The program has a use of its own for the trigger. Nobody answers.
    Uses(OwnUse),
    /// From a new copy, before anything else: it is there.
    Made,
    /// The frozen copy could come back to life, as far as it can tell before the branch has
    /// ended.
    Prepared,
    /// The woken copy is about to let the program's threads go: how it ends from now on is
    /// the program's business.
    Opening {
        /// How many ids are not what they were.
        renewed: u32,
    },
}

/// From the supervisor to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromSupervisor {
    /// The answer to a Hello; the memory of the family table comes with it.
    Welcome {
        /// Take #1 before `main`.
        take_at_start: bool,
        /// Roll no file back.
        no_files: bool,
        /// A revert wipes memory that asks to be wiped in copies.
        reseed: bool,
    },
    /// Go on with the take; a descriptor for the frozen copy comes with it.
    Granted {
        /// The snapshot's number.
        id: u32,
        /// What the first thread was doing when it was signalled, if it was by the
        /// supervisor.
        interrupted_call: InterruptedCall,
        /// Whether the memory is to have a keeper: it has none yet.
        keeper: bool,
    },
    /// Don't take, or don't do what was asked; the program goes on.
    Denied,
    /// The snapshot is complete; go on.
    Go {
        /// The snapshot's number.
        id: u32,
    },
    /// Wake up.
    Revive {
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
    /// No snapshot holds what the live process closes.
    Gone,
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
    /// See whether you can come back to life, and answer. If a descriptor comes along, leave
    /// a frozen copy of yourself behind, which reports there.
    Prepare {
        /// How many threads there must be room for, beside all that run now.
        threads: u32,
    },
}

/// How many ids one answer carries.
pub const LISTED: usize = 32;

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
                writer.short(&label.0);
            }
            Self::Hindered(obstacle) => {
                writer = Writer::new(3);
                writer.obstacle(obstacle);
            }
            Self::Parked(counts) => {
                writer = Writer::new(4);
                writer.thread_counts(&counts);
            }
            Self::Again => writer = Writer::new(16),
            Self::Split => writer = Writer::new(5),
            Self::Ready => writer = Writer::new(6),
            Self::Spoilt(step, errno) => {
                writer = Writer::new(7);
                writer.put(&[step as u8]).i32(errno);
            }
            Self::Running(Running { at_ns, renewed }) => {
                writer = Writer::new(8);
                writer.u64(at_ns).u32(renewed);
            }
            Self::Becoming => writer = Writer::new(17),
            Self::Stayed { errno } => {
                writer = Writer::new(18);
                writer.i32(errno);
            }
            Self::Keeper => writer = Writer::new(19),
            Self::Remains(remains) => {
                writer = Writer::new(20);
                writer.put(&[remains.kind as u8, remains.why as u8]);
                writer.i32(remains.fd).u64(remains.number);
                writer.short(&remains.address.0);
            }
            Self::NotRestored { part, count } => {
                writer = Writer::new(23);
                writer.put(&[part as u8]).u32(count);
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
            Self::LetGo => writer = Writer::new(22),
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
            Self::Filtered(filter) => {
                writer = Writer::new(40);
                writer.filter(filter);
            }
            Self::Unfiltered(filter) => {
                writer = Writer::new(41);
                writer.filter(filter);
            }
            Self::Uses(own) => {
                writer = Writer::new(42);
                writer.put(&[own as u8]);
            }
            Self::Made => writer = Writer::new(24),
            Self::Prepared => writer = Writer::new(33),
            Self::Opening { renewed } => {
                writer = Writer::new(34);
                writer.u32(renewed);
            }
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
                    label: Text(reader.short()?),
                }
            }
            3 => Self::Hindered(reader.obstacle()?),
            4 => Self::Parked(reader.thread_counts()?),
            5 => Self::Split,
            6 => Self::Ready,
            7 => Self::Spoilt(reader.step()?, reader.i32()?),
            8 => Self::Running(Running {
                at_ns: reader.u64()?,
                renewed: reader.u32()?,
            }),
            20 => Self::Remains(Remains {
                kind: Kind::from_byte(reader.byte()?)?,
                why: Why::from_byte(reader.byte()?)?,
                fd: reader.i32()?,
                number: reader.u64()?,
                address: Address(reader.short()?),
            }),
            19 => Self::Keeper,
            17 => Self::Becoming,
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
            22 => Self::LetGo,
            23 => Self::NotRestored {
                part: Part::from_byte(reader.byte()?)?,
                count: reader.u32()?,
            },
            12 => Self::Revert { id: reader.u32()? },
            13 => Self::Commit,
            14 => Self::Drop { id: reader.u32()? },
            15 => Self::List,
            40 => Self::Filtered(reader.filter()?),
            41 => Self::Unfiltered(reader.filter()?),
            42 => Self::Uses(OwnUse::from_byte(reader.byte()?)?),
            16 => Self::Again,
            24 => Self::Made,
            33 => Self::Prepared,
            34 => Self::Opening {
                renewed: reader.u32()?,
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
            Self::Welcome {
                take_at_start,
                no_files,
                reseed,
            } => {
                writer = Writer::new(65);
                writer.put(&[
                    u8::from(take_at_start),
                    u8::from(no_files),
                    u8::from(reseed),
                ]);
            }
            Self::Granted {
                id,
                ref interrupted_call,
                keeper,
            } => {
                writer = Writer::new(66);
                writer
                    .u32(id)
                    .interrupted_call(interrupted_call)
                    .put(&[u8::from(keeper)]);
            }
            Self::Denied => writer = Writer::new(67),
            Self::Go { id } => {
                writer = Writer::new(68);
                writer.u32(id);
            }
            Self::Revive {
                asked_ns,
                ended,
                same_ids,
            } => {
                writer = Writer::new(69);
                let (how, number) = ended.to_numbers();
                writer.u64(asked_ns).put(&[how]).i32(number);
                writer.put(&[u8::from(same_ids.is_some())]);
                writer.i32(same_ids.unwrap_or(0));
            }
            Self::Prepare { threads } => {
                writer = Writer::new(82);
                writer.u32(threads);
            }
            Self::Retire => writer = Writer::new(73),
            Self::LetGo(closed) => {
                writer = Writer::new(74);
                writer.closed(closed);
            }
            Self::Gone => writer = Writer::new(75),
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
                no_files: reader.flag()?,
                reseed: reader.flag()?,
            },
            66 => Self::Granted {
                id: reader.u32()?,
                interrupted_call: reader.interrupted_call()?,
                keeper: reader.flag()?,
            },
            67 => Self::Denied,
            68 => Self::Go { id: reader.u32()? },
            69 => {
                let asked_ns = reader.u64()?;
                let how = reader.byte()?;
                let number = reader.i32()?;
                let ended = Ended::from_numbers(how, number)?;
                let takes_over = reader.flag()?;
                let outer_pid = reader.i32()?;
                Self::Revive {
                    asked_ns,
                    ended,
                    same_ids: takes_over.then_some(outer_pid),
                }
            }
            73 => Self::Retire,
            82 => Self::Prepare {
                threads: reader.u32()?,
            },
            74 => Self::LetGo(reader.closed()?),
            75 => Self::Gone,
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
