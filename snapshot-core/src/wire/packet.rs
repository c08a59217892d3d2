//! How a message becomes bytes: numbers one after the other, and what is made of them.
//!
//! Context: AS-SAFE.

use super::{MESSAGE_BYTES, Packet, VERSION};
use crate::terms::*;

/// Writes numbers one after the other into a packet.
pub(super) struct Writer {
    pub(super) packet: Packet,
    at: usize,
}

impl Writer {
    pub(super) fn new(verb: u8) -> Self {
        let mut writer = Self {
            packet: [0; MESSAGE_BYTES],
            at: 0,
        };
        writer.put(&[VERSION, verb]);
        writer
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.at + bytes.len();
        if let Some(room) = self.packet.get_mut(self.at..end) {
            room.copy_from_slice(bytes);
            self.at = end;
        }
        self
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    pub(super) fn i32(&mut self, value: i32) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    pub(super) fn short<const CAPACITY: usize>(&mut self, short: &Short<CAPACITY>) -> &mut Self {
        self.put(&[short.length]).put(&short.bytes)
    }

    pub(super) fn filter(&mut self, filter: Filter) -> &mut Self {
        let (what, call) = match filter {
            Filter::Harmless => (0, 0),
            Filter::Strict => (1, 0),
            Filter::Asks => (2, 0),
            Filter::Forbids(call) => (3, call),
        };
        self.put(&[what]).i32(call)
    }

    pub(super) fn obstacle(&mut self, obstacle: Obstacle) -> &mut Self {
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

    pub(super) fn closed(&mut self, closed: Closed) -> &mut Self {
        self.u64(closed.inode).put(&[u8::from(closed.writes)]);
        self.i32(closed.pid).i32(closed.fd)
    }

    pub(super) fn thread_counts(&mut self, counts: &ThreadCounts) -> &mut Self {
        self.i32(counts.tid).u32(counts.threads).u32(counts.workers);
        self.u32(counts.robust).u32(counts.other_users);
        self.put(&[
            u8::from(counts.has_children),
            u8::from(counts.priority_inheritance),
        ])
        .u32(counts.lost_calls)
    }

    pub(super) fn interrupted_call(&mut self, interrupted_call: &InterruptedCall) -> &mut Self {
        self.put(&[
            u8::from(interrupted_call.call.is_some()),
            u8::from(interrupted_call.asleep.is_some()),
        ]);
        let call = interrupted_call.call.unwrap_or(Call {
            number: 0,
            arguments: [0; 6],
            stack: 0,
            program: 0,
        });
        let asleep = interrupted_call.asleep.unwrap_or(Asleep {
            since_ns: 0,
            processor: 0,
            clock: Clock::Ran,
            sleeps: 0,
        });
        self.u64(call.number.cast_unsigned());
        for argument in call.arguments {
            self.u64(argument);
        }
        self.u64(call.stack).u64(call.program);
        self.u64(asleep.since_ns).u32(asleep.processor);
        self.put(&[u8::from(asleep.clock == Clock::Load)])
            .u64(asleep.sleeps)
    }
}

/// Reads them back; `None` past the end.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        self.byte().map(|byte| byte != 0)
    }

    pub(super) fn short<const CAPACITY: usize>(&mut self) -> Option<Short<CAPACITY>> {
        let length = self.byte()?;
        let bytes = self.take()?;
        Some(Short { length, bytes })
    }

    pub(super) fn step(&mut self) -> Option<Step> {
        Step::from_byte(self.byte()?)
    }

    pub(super) fn filter(&mut self) -> Option<Filter> {
        let what = self.byte()?;
        let call = self.i32()?;
        Some(match what {
            0 => Filter::Harmless,
            1 => Filter::Strict,
            2 => Filter::Asks,
            3 => Filter::Forbids(call),
            _ => return None,
        })
    }

    pub(super) fn obstacle(&mut self) -> Option<Obstacle> {
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

    pub(super) fn closed(&mut self) -> Option<Closed> {
        Some(Closed {
            inode: self.u64()?,
            writes: self.flag()?,
            pid: self.i32()?,
            fd: self.i32()?,
        })
    }

    pub(super) fn thread_counts(&mut self) -> Option<ThreadCounts> {
        Some(ThreadCounts {
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

    pub(super) fn interrupted_call(&mut self) -> Option<InterruptedCall> {
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
            clock: if self.flag()? {
                Clock::Load
            } else {
                Clock::Ran
            },
            sleeps: self.u64()?,
        };
        // It may have been of another thread than the one that got the signal.
        Some(InterruptedCall {
            looked: false,
            call: in_call.then_some(call),
            asleep: is_asleep.then_some(asleep),
            control_length: None,
        })
    }
}

/// The verb after the version, and the rest.
pub(super) fn open(packet: &Packet) -> Option<(u8, Reader<'_>)> {
    let mut reader = Reader { rest: packet };
    if reader.byte()? != VERSION {
        return None;
    }
    Some((reader.byte()?, reader))
}
