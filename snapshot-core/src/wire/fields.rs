//! The fields of messages, each encoded as numbers.
//!
//! Context: AS-SAFE.

use super::packet::{Field, Reader, Writer};
use crate::terms::*;

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Field for $number {
            fn write(&self, writer: &mut Writer) {
                writer.bytes(&self.to_le_bytes());
            }

            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                reader.bytes().map(<$number>::from_le_bytes)
            }
        }

        impl<const N: usize> Field for [$number; N] {
            fn write(&self, writer: &mut Writer) {
                for number in self {
                    writer.put(number);
                }
            }

            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                let mut numbers = [0; N];
                for number in &mut numbers {
                    *number = reader.get()?;
                }
                Some(numbers)
            }
        }
    )*};
}

numbers!(u8, u32, i32, u64, i64);

impl Field for bool {
    fn write(&self, writer: &mut Writer) {
        writer.put(&u8::from(*self));
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.get::<u8>().map(|byte| byte != 0)
    }
}

/// Fields with a number of one byte.
macro_rules! by_byte {
    ($($name:ty),*) => {$(
        impl Field for $name {
            fn write(&self, writer: &mut Writer) {
                writer.put(&(*self as u8));
            }

            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                Self::from_byte(reader.get()?)
            }
        }
    )*};
}

by_byte!(Kind, OwnUse, Part, Step, Why);

/// Fields that consist of others, in the order written here.
macro_rules! in_a_row {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl Field for $name {
            fn write(&self, writer: &mut Writer) {
                writer$(.put(&self.$field))*;
            }

            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                Some(Self { $($field: reader.get()?),* })
            }
        }
    )*};
}

in_a_row! {
    Call { number, arguments, stack, program }
    Closed { inode, writes, pid, fd }
    Gap { kind, why, fd, number, address }
    Running { at_ns, renewed }
    Thread { tid, name, why }
    ThreadCounts {
        tid, threads, workers, robust, other_users, has_children, priority_inheritance, lost_calls
    }
}

impl<const CAPACITY: usize> Field for Short<CAPACITY> {
    fn write(&self, writer: &mut Writer) {
        writer.put(&self.length).bytes(&self.bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            length: reader.get()?,
            bytes: reader.bytes()?,
        })
    }
}

impl Field for Text {
    fn write(&self, writer: &mut Writer) {
        writer.put(&self.0);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.get().map(Self)
    }
}

impl Field for Address {
    fn write(&self, writer: &mut Writer) {
        writer.put(&self.0);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.get().map(Self)
    }
}

impl Field for Ask {
    fn write(&self, writer: &mut Writer) {
        let (who, request): (u8, u32) = match *self {
            Self::Signal => (0, 0),
            Self::Api => (1, 0),
            Self::Request(number) => (2, number),
        };
        writer.put(&who).put(&request);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let who: u8 = reader.get()?;
        let request = reader.get()?;
        Some(match who {
            0 => Self::Signal,
            1 => Self::Api,
            2 => Self::Request(request),
            _ => return None,
        })
    }
}

impl Field for Filter {
    fn write(&self, writer: &mut Writer) {
        let (what, call): (u8, i32) = match *self {
            Self::Harmless => (0, 0),
            Self::Strict => (1, 0),
            Self::Asks => (2, 0),
            Self::Forbids(call) => (3, call),
        };
        writer.put(&what).put(&call);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let what: u8 = reader.get()?;
        let call = reader.get()?;
        Some(match what {
            0 => Self::Harmless,
            1 => Self::Strict,
            2 => Self::Asks,
            3 => Self::Forbids(call),
            _ => return None,
        })
    }
}

impl Field for Ended {
    fn write(&self, writer: &mut Writer) {
        let (how, number) = self.to_numbers();
        writer.put(&how).put(&number);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Self::from_numbers(reader.get()?, reader.get()?)
    }
}

impl Field for Hindrance {
    fn write(&self, writer: &mut Writer) {
        let (kind, call) = self.to_numbers();
        writer.put(&kind).put(&call);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Self::from_numbers(reader.get()?, reader.get()?)
    }
}

impl Field for Disagreement {
    fn write(&self, writer: &mut Writer) {
        writer.put(&(*self as u32));
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Self::from_number(reader.get()?)
    }
}

impl Field for Obstacle {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Failed(step, errno) => writer.put(&0_u8).put(step).put(errno),
            Self::Unparked(thread) => writer.put(&1_u8).put(thread),
            Self::TooManyThreads(most) => writer.put(&2_u8).put(most),
            Self::Libc(disagreement) => writer.put(&3_u8).put(disagreement),
        };
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(match reader.get::<u8>()? {
            0 => Self::Failed(reader.get()?, reader.get()?),
            1 => Self::Unparked(reader.get()?),
            2 => Self::TooManyThreads(reader.get()?),
            3 => Self::Libc(reader.get()?),
            _ => return None,
        })
    }
}

/// Whether there is a number, and the number or 0.
impl Field for Option<i32> {
    fn write(&self, writer: &mut Writer) {
        writer.put(&self.is_some()).put(&self.unwrap_or(0));
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let is_there: bool = reader.get()?;
        let number = reader.get()?;
        Some(is_there.then_some(number))
    }
}

impl Field for Asleep {
    fn write(&self, writer: &mut Writer) {
        writer.put(&self.since_ns).put(&self.processor);
        writer.put(&(self.clock == Clock::Load)).put(&self.sleeps);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            since_ns: reader.get()?,
            processor: reader.get()?,
            clock: match reader.get()? {
                true => Clock::Load,
                false => Clock::Ran,
            },
            sleeps: reader.get()?,
        })
    }
}

/// Two flags for call and sleep, and then both, or zeros.
impl Field for InterruptedCall {
    fn write(&self, writer: &mut Writer) {
        writer.put(&self.call.is_some()).put(&self.asleep.is_some());
        writer.put(&self.call.unwrap_or(Call {
            number: 0,
            arguments: [0; 6],
            stack: 0,
            program: 0,
        }));
        writer.put(&self.asleep.unwrap_or(Asleep {
            since_ns: 0,
            processor: 0,
            clock: Clock::Ran,
            sleeps: 0,
        }));
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (in_call, is_asleep): (bool, bool) = (reader.get()?, reader.get()?);
        let (call, asleep) = (reader.get()?, reader.get()?);
        // Another thread than the receiver of the signal may have been in the call.
        Some(Self {
            looked: false,
            call: in_call.then_some(call),
            asleep: is_asleep.then_some(asleep),
            control_length: None,
        })
    }
}
