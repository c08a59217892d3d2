//! Counters (`eventfd`): a number, and whether it is a semaphore. Both are in `fdinfo`, so
//! that the copy makes a counter of its own.
//!
//! Older kernels don't tell whether one is a semaphore: there it stays shared, and the
//! number is put back.
//!
//! Context: AS-SAFE.

use super::descriptors::{Descriptors, Group, information};
use super::kinds::Kind;
use super::{Object, Recording};
use crate::proc_text;
use crate::records::Records;
use crate::sys::{self, Errno};

#[derive(Clone, Copy)]
struct Counter {
    group: usize,
    count: u64,
    /// `None` where the kernel does not tell.
    is_semaphore: Option<bool>,
}

/// The program's counters.
pub(super) struct Counters(Records<Counter>);

impl Object for Counters {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let mut counters = Records::new(usize::MAX >> 8);
        for number in 0..recording.open.groups().len() {
            let Some(group) = recording.own(number, Kind::Eventfd)? else {
                continue;
            };
            let mut buffer = [0; 1024];
            let text = information(group.fd, &mut buffer)?;
            let is_semaphore = proc_text::number(text, "eventfd-semaphore:").map(|is| is != 0);
            counters.push(Counter {
                group: number,
                count: proc_text::hexadecimal_field(text, "eventfd-count:")
                    .ok_or(Errno(libc::EPROTO))?,
                is_semaphore,
            })?;
            if is_semaphore.is_some() {
                recording.open.will_be_rebuilt(number);
            }
        }
        Ok(Self(counters))
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        let mut failed = 0;
        for counter in self.0.entries() {
            if let Some(group) = open.groups().get(counter.group) {
                failed += u32::from(counter.restore(open, group).is_err());
            }
        }
        failed
    }

    fn release(self) {
        self.0.release();
    }
}

impl Counter {
    fn restore(&self, open: &Descriptors, group: &Group) -> Result<(), Errno> {
        match self.is_semaphore {
            Some(is_semaphore) => {
                let fd = sys::eventfd(is_semaphore)?;
                let filled = fill(fd, self.count);
                open.install(group, fd).and(filled)
            }
            None => {
                sys::fcntl(group.fd, libc::F_SETFL, libc::O_NONBLOCK as usize)?;
                let mut number = [0; 8];
                while sys::read(group.fd, &mut number).is_ok() {}
                fill(group.fd, self.count)
            }
        }
    }
}

fn fill(fd: i32, count: u64) -> Result<(), Errno> {
    match count {
        0 => Ok(()),
        count => sys::write_once(fd, &count.to_ne_bytes()).map(drop),
    }
}
