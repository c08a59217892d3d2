//! Counters (`eventfd`): a number, and whether it is a semaphore. The copy makes a new counter,
//! since `fdinfo` shows both.
//!
//! Older kernels don't show whether it is a semaphore. Then it stays shared, and the copy sets
//! its number.
//!
//! Context: AS-SAFE.

use super::{
    by_group::ByGroup,
    descriptors::{Descriptors, drain, information},
    recording::{Object, Recording},
};
use crate::kernel::proc_text;
use crate::sys::{self, Errno};
use crate::terms::Kind;

#[derive(Clone, Copy)]
struct Counter {
    count: u64,
    /// `None` where the kernel does not tell.
    is_semaphore: Option<bool>,
}

/// The program's counters.
pub(super) struct Counters(ByGroup<Counter>);

impl Object for Counters {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let mut counters = ByGroup::new();
        recording.for_each_own(Kind::Eventfd, |recording, number, group| {
            let mut buffer = [0; 1024];
            let text = information(group.fd, &mut buffer)?;
            let is_semaphore = proc_text::number(text, "eventfd-semaphore:").map(|is| is != 0);
            if is_semaphore.is_some() {
                recording.open.will_be_rebuilt(number);
            }
            let count = proc_text::hexadecimal_field(text, "eventfd-count:");
            let count = count.ok_or(Errno(libc::EPROTO))?;
            counters.push(
                number,
                Counter {
                    count,
                    is_semaphore,
                },
            )
        })?;
        Ok(Self(counters))
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        self.0
            .restore(open, |group, counter| match counter.is_semaphore {
                Some(is_semaphore) => {
                    let fd = sys::eventfd(is_semaphore)?;
                    let filled = fill(fd, counter.count);
                    open.install(group, fd).and(filled)
                }
                None => {
                    drain(group.fd)?;
                    fill(group.fd, counter.count)
                }
            })
    }

    fn release(self) {
        self.0.release();
    }
}

fn fill(fd: i32, count: u64) -> Result<(), Errno> {
    match count {
        0 => Ok(()),
        count => sys::write_once(fd, &count.to_ne_bytes()).map(drop),
    }
}
