//! What a program believes to be its own although a copy of it shares it, or lacks it.
//!
//! `Lacking` is what the kernel forgets in a copy: timers, pending signals, locked
//! memory. It is recorded by the original, while everything is parked, before the split.
//! `Shared` is what both sides have one of: open files and all that descriptors stand
//! for, shared memory, locks. It is recorded by the frozen side, a kind a file. Both are
//! put back on revive.
//!
//! Of what can be made anew, or opened again, the frozen side lets go after it has recorded
//! it: what the program closes then is closed, and whoever reads the other end, or waits for a
//! lock, learns of it. The rest stays shared, and is put back as it was. What will not be as it was is named, by
//! [`Remains`].
//!
//! Directory, root and umask, limits and descriptor flags are a copy's own already.
//!
//! Context: AS-SAFE.

mod by_group;
mod contents;
mod counters;
mod descriptors;
mod files;
mod flags;
mod held;
mod holders;
mod interests;
mod ipc;
mod kinds;
mod locked_memory;
mod locks;
mod lost;
mod mappings;
mod memberships;
mod memfds;
mod memory;
mod options;
mod pairs;
mod paths;
mod pipes;
mod posix_timers;
mod reopened;
mod shared_memory;
mod signal_descriptors;
mod signals;
mod sockets;
mod terminals;
mod timer_descriptors;
mod timers;
mod unrecorded;
mod watches;
mod wiped_memory;

pub use held::{Closed, begin as begin_to_hold, closing, for_each_marked, is_marked};
pub use holders::{Inherited, MOST_INHERITED, inherited, note_inherited, note_one_inherited};
pub use ipc::for_each_system_v;
pub use kinds::{Kind, Origin, Why, is_stateless_device, may_be_message_queue};
pub use paths::add_watch;
pub(crate) use shared_memory::keep_out;
pub use shared_memory::leave_files_alone;
pub(crate) use signals::{take_back_pending, tell_pending};
pub use wiped_memory::note_wiped;

use descriptors::{Descriptors, Group};
use holders::Holders;

use crate::sys::{self, Errno, SignalInfo, SignalSet};
use crate::wire::{Address, Part, Remains};

/// What a copy lacks.
pub(crate) struct Lacking {
    intervals: timers::Intervals,
    timers: posix_timers::Timers,
    pending: signals::Pending,
    locked: locked_memory::Locked,
    wiped: wiped_memory::Wiped,
    is_subreaper: bool,
}

impl Lacking {
    /// Records it in the original, whose threads are parked. Of the signals of `kept` those
    /// that `is_kept` says are the session's own, and not recorded. With `reseed`, what is
    /// wiped in copies stays so.
    ///
    /// # Errors
    /// Where it can't be read, or there is no memory for the record.
    pub(crate) fn record(
        kept: SignalSet,
        is_kept: fn(&SignalInfo) -> bool,
        reseed: bool,
    ) -> Result<Self, Errno> {
        // First: a timer whose signal waits has stopped, and goes on as the signal is taken
        // off its queue.
        let pending = signals::Pending::record(kept, is_kept)?;
        Ok(Self {
            pending,
            intervals: timers::Intervals::record()?,
            timers: posix_timers::Timers::record()?,
            locked: locked_memory::Locked::record()?,
            wiped: wiped_memory::Wiped::record(reseed)?,
            is_subreaper: sys::is_subreaper(),
        })
    }

    /// In a copy, before its threads are made again.
    pub(crate) fn prepare(&self) {
        self.pending.publish();
    }

    /// Puts it back in a copy whose threads have been made again and wait; the number of
    /// things that could not be. `own` is the id that the calling thread had.
    pub(crate) fn restore(&self, own: i32) -> u32 {
        if self.is_subreaper {
            sys::set_subreaper(true);
        }
        // Signals last: they wait until the threads' masks let them through.
        self.wiped.restore()
            + self.locked.restore()
            + self.intervals.restore()
            + self.timers.restore()
            + self.pending.restore(own)
    }

    /// Puts back, in the original, what has gone on while it was frozen: its timers.
    pub(crate) fn restore_in_original(&self) -> u32 {
        self.intervals.restore() + self.timers.rearm()
    }

    /// Gives the records' memory back.
    pub(crate) fn release(self) {
        self.timers.release();
        self.pending.release();
        self.locked.release();
        self.wiped.release();
    }
}

/// A kind of kernel object that a copy shares with its original.
trait Object: Sized {
    /// Writes down the state of every one of them, while everything stands still, and says
    /// of which groups the copy can let go. Changes nothing.
    ///
    /// # Errors
    /// Where it can't be read, or there is no memory for the record.
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno>;

    /// Puts it back, as often as it is called; the number of things that could not be.
    fn restore(&self, open: &Descriptors) -> u32;

    /// Gives the record's memory back.
    fn release(self);
}

/// A recording under way.
struct Recording<'a> {
    open: &'a mut Descriptors,
    holders: &'a Holders,
    mappings: &'a mut mappings::Mappings,
    /// The process that this one is a copy of, or this one.
    original: i32,
    /// The thread of it that this is a copy of: it lives, while the first one may have
    /// ended, and then the kernel shows nothing by that one's number.
    thread: i32,
    tell: &'a mut dyn FnMut(Remains),
}

impl Recording<'_> {
    /// Calls `visit` with every group and its number, but for those that are a path alone
    /// (`O_PATH`): those have no state.
    fn for_each_group(
        &mut self,
        mut visit: impl FnMut(&mut Self, usize, Group) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut number = 0;
        while let Some(&group) = self.open.groups().get(number) {
            if group.flags & libc::O_PATH == 0 {
                visit(self, number, group)?;
            }
            number += 1;
        }
        Ok(())
    }

    /// Calls `visit` with every group of a kind that is the program's alone. One that is not
    /// is named.
    fn for_each_own(
        &mut self,
        kind: Kind,
        mut visit: impl FnMut(&mut Self, usize, Group) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        self.for_each_group(|recording, number, group| {
            if group.kind == kind && recording.is_own(number, &group) {
                visit(recording, number, group)?;
            }
            Ok(())
        })
    }

    /// Whether nobody else has a group. One that somebody has is named.
    fn is_own(&mut self, number: usize, group: &Group) -> bool {
        let why = if !self.open.are_told_apart {
            Why::Hidden
        } else if self.holders.has(number) {
            Why::Elsewhere
        } else {
            return true;
        };
        self.name(group.kind, why, group.fd, 0);
        false
    }

    /// Says that something will not be as it was.
    fn name(&mut self, kind: Kind, why: Why, fd: i32, number: u64) {
        self.name_peer(kind, why, fd, number, Address::NONE);
    }

    /// The same of a socket with a peer.
    fn name_peer(&mut self, kind: Kind, why: Why, fd: i32, number: u64, address: Address) {
        (self.tell)(Remains {
            kind,
            why,
            fd,
            number,
            address,
        });
    }
}

/// What could not be put back.
struct Failed<'a> {
    all: u32,
    tell: &'a mut dyn FnMut(Part, u32),
}

impl<'a> Failed<'a> {
    fn new(tell: &'a mut dyn FnMut(Part, u32)) -> Self {
        Self { all: 0, tell }
    }

    fn count(&mut self, part: Part, count: u32) {
        if count > 0 {
            self.all += count;
            (self.tell)(part, count);
        }
    }
}

/// Every kind, in the order in which they are put back; and which of them are the locks.
macro_rules! kinds {
    (locked by $locks:ident; $($name:ident: $type:ty => $part:ident,)*) => {
        /// What a copy shares.
        pub(crate) struct Shared {
            open: Descriptors,
            losses: lost::Losses,
            reopened: reopened::Reopened,
            mappings: mappings::Mappings,
            $($name: $type,)*
        }

        impl Shared {
            /// Records it. `own` are descriptors of the engine's, `original` is the process
            /// that the calling one is a copy of, or its own id. What will not be as it was
            /// is told to `tell`.
            ///
            /// # Errors
            /// Where it can't be read, or there is no memory for the record. What has been
            /// recorded until then is not given back: a frozen copy ends, and a program by
            /// itself keeps that memory.
            pub(crate) fn record(
                own: &[i32],
                original: i32,
                thread: i32,
                tell: &mut dyn FnMut(Remains),
            ) -> Result<Self, Errno> {
                let mut open = Descriptors::record(own)?;
                let holders = Holders::record(&open, original)?;
                let mut mappings = mappings::Mappings::new();
                let mut recording = Recording {
                    open: &mut open,
                    holders: &holders,
                    mappings: &mut mappings,
                    original,
                    thread,
                    tell,
                };
                $(let $name = <$type as Object>::record(&mut recording)?;)*
                let reopened = reopened::Reopened::record(&mut recording, &$locks)?;
                mappings.find(&open);
                holders.release();
                Ok(Self { open, losses: lost::Losses::new(), reopened, mappings, $($name,)* })
            }

            /// On the side that freezes, after the split: lets go of what it can make anew.
            ///
            /// # Errors
            /// EMFILE and kin.
            pub(crate) fn let_go(&self) -> Result<(), Errno> {
                lost::Losses::mark(&self.open);
                self.open.let_go()?;
                self.mappings.let_go()
            }

            /// The live branch has closed what others wait for the end of.
            pub(crate) fn let_go_of(&mut self, closed: Closed) {
                self.losses.let_go(&mut self.open, closed);
            }

            /// Opens the files again that the copy has let go of, and maps them; the number of
            /// those where that failed, and `tell` hears of each part how many. Before there are
            /// threads.
            pub(crate) fn open(&self, tell: &mut dyn FnMut(Part, u32)) -> u32 {
                let mut failed = Failed::new(tell);
                failed.count(Part::Closed, self.losses.restore(&self.open));
                failed.count(Part::Files, self.reopened.open(&self.open));
                failed.count(Part::Memory, self.mappings.restore(&self.open));
                failed.all
            }

            /// Puts it back, when everything is open and the threads are there; the number of
            /// things that could not be, as above.
            pub(crate) fn restore(&self, tell: &mut dyn FnMut(Part, u32)) -> u32 {
                let mut failed = Failed::new(tell);
                failed.count(Part::Files, self.reopened.open_of_process(&self.open));
                lost::Losses::mark(&self.open);
                $(failed.count(Part::$part, self.$name.restore(&self.open));)*
                failed.count(Part::Memory, self.mappings.protect());
                failed.all
            }

            /// Gives the records' memory back.
            pub(crate) fn release(self) {
                $(self.$name.release();)*
                self.losses.release();
                self.reopened.release();
                self.mappings.release();
                self.open.release();
            }
        }
    };
}

kinds! {
    locked by locks;
    memory: shared_memory::SharedMemory => Memory,
    memfds: memfds::MemoryFiles => MemoryFiles,
    files: files::Offsets => Files,
    counters: counters::Counters => Counters,
    timers: timer_descriptors::Timers => TimerDescriptors,
    signals: signal_descriptors::SignalDescriptors => SignalDescriptors,
    watches: watches::Watches => Watches,
    pipes: pipes::Pipes => Pipes,
    sockets: sockets::Sockets => Sockets,
    terminals: terminals::Terminals => Terminals,
    ipc: ipc::Ipc => Unrecorded,
    // Those are on it.
    interests: interests::Interests => Interests,
    flags: flags::Flags => Flags,
    // To close any descriptor of a file drops locks.
    locks: locks::Locks => Locks,
    unrecorded: unrecorded::Unrecorded => Unrecorded,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records what these are, does something, and restores it.
    pub(super) fn round<T: Object>(fds: &[i32], between: impl FnOnce()) -> Vec<Remains> {
        let mut told = Vec::new();
        let mut open = Descriptors::of(fds);
        let holders = Holders::record(&open, 0).expect("/proc is mounted");
        let mut tell = |remains| told.push(remains);
        let mut mappings = mappings::Mappings::new();
        let mut recording = Recording {
            open: &mut open,
            holders: &holders,
            mappings: &mut mappings,
            original: sys::getpid(),
            thread: sys::gettid(),
            tell: &mut tell,
        };
        let recorded = T::record(&mut recording).expect("it can be recorded");
        between();
        assert_eq!(recorded.restore(&open), 0);
        recorded.release();
        mappings.release();
        holders.release();
        open.release();
        told
    }
}
