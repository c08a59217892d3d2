//! All that a copy shares with its original, and the order of its kinds.
//!
//! Context: AS-SAFE.

use super::{
    counters,
    descriptors::Descriptors,
    files, flags,
    holders::Holders,
    interests, ipc, locks, lost, mappings, memfds, pipes,
    recording::{Object, Recording},
    reopened, shared_memory, signal_descriptors, sockets, terminals, timer_descriptors, unrecorded,
    watches,
};
use crate::sys::{self, Errno};
use crate::terms::{Closed, Gap, Part};

/// More descriptors than any kind has open for a moment while it puts its objects back.
const TEMPORARY: i32 = 16;

impl Shared {
    /// Whether nothing of it changes while the program makes no system call: there is no memory that
    /// others see, and nothing that the kernel counts or queues.
    pub(crate) fn is_still(&self) -> bool {
        self.memory.is_empty()
            && self.memfds.is_empty()
            && self.timers.is_empty()
            && self.signals.is_empty()
            && self.watches.is_empty()
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
            /// Records it. `own` are the engine's descriptors. `original` is the process that
            /// this one is a copy of, or its own id. `tell` gets what will not be as it was.
            ///
            /// # Errors
            /// The state can't be read, or there is no memory. Then the record so far is not
            /// freed: a frozen copy ends, and a program without launcher keeps that memory.
            pub(crate) fn record(
                own: &[i32],
                original: i32,
                thread: i32,
                tell: &mut dyn FnMut(Gap),
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

            /// Lets go of what the live branch has closed and others wait for.
            pub(crate) fn let_go_of(&mut self, closed: Closed) {
                self.losses.let_go(&mut self.open, closed);
            }

            /// Opens the files again that the copy has let go of, and maps them, before there are
            /// threads. Returns how many failed; `tell` gets the number for each part.
            pub(crate) fn open(&self, tell: &mut dyn FnMut(Part, u32)) -> u32 {
                let mut failed = Failed::new(tell);
                failed.count(Part::Closed, self.losses.restore(&self.open));
                failed.count(Part::Files, self.reopened.open(&self.open));
                failed.count(Part::Memory, self.mappings.restore(&self.open));
                failed.all
            }

            /// Makes the table of descriptors as large as `open` and `restore` need it, while no
            /// other task shares it. Later the kernel lets all processors pass by (RCU) before
            /// a table grows: 5 to 10 ms. `by` is any descriptor.
            pub(crate) fn make_room(&self, by: i32) {
                let Ok(lowest) = sys::duplicate_above(by, 0) else {
                    // At the limit: what has no room is counted as it is put back.
                    return;
                };
                sys::close(lowest);
                let highest = self.open.highest().max(lowest + TEMPORARY);
                if !sys::is_open(highest)
                    && let Ok(fd) = sys::duplicate_above(by, highest)
                {
                    sys::close(fd);
                }
            }

            /// Puts the rest back, once all files are open and the threads exist. Returns as
            /// above.
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
    // After the files on the lists.
    interests: interests::Interests => Interests,
    flags: flags::Flags => Flags,
    // Last: closing any descriptor of a file drops locks.
    locks: locks::Locks => Locks,
    unrecorded: unrecorded::Unrecorded => Unrecorded,
}
