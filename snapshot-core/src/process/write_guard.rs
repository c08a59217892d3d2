//! Lets the journal keep a part of a guarded file before libc writes over it
//! ([`crate::terms::guards`]).
//!
//! The functions of libc that write get a jump at their entry, so that its own calls, of
//! standard I/O for example, take it too. As long as no file is guarded that costs a comparison.
//! Otherwise a call looks up whether its range is kept, in memory that it shares with the
//! journal, and asks the journal if it is not. What decides is the file behind the descriptor at
//! that moment: how the program has come by the descriptor doesn't matter.
//!
//! The jumps are written in the program's first take and stay until an exec. Copies and forked
//! children have them, and the shared memory.
//!
//! A take may find a thread between the look and the write. Then the write counts as one before
//! the take, though the revived thread makes it again: it writes the same bytes to the same
//! place.
//!
//! Limits: a direct system call goes around it, and so does what a program does that was started
//! by an exec; the journal sees the exec.
//!
//! Context: AS-SAFE, also in every write of the program. [`reserve`] is IN-PROCESS.
#![expect(unsafe_code, reason = "writes jumps, and reads the arguments of calls")]

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use super::own_memory;
use crate::arch;
use crate::kernel::reserve::lasting_addresses;
use crate::sys::{self, Errno};
use crate::terms::guards::{self, BITMAPS, FIRST_SLOT, KEEP_RANGE, SLOT_WORDS, SLOTS};

/// A function of libc that writes, by its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Writer {
    /// descriptor, bytes, length.
    Write,
    /// descriptor, bytes, length, offset.
    WriteAt,
    /// descriptor, parts, their number.
    WriteParts,
    /// descriptor, parts, their number, offset, which may be -1.
    WritePartsAt,
    /// descriptor, source, offset there, length.
    SendFile,
    /// source, place of an offset there, descriptor, place of an offset, length.
    CopyRange,
    /// address, length, protection, flags, descriptor.
    Map,
}

impl Writer {
    const ALL: [Self; 7] = [
        Self::Write,
        Self::WriteAt,
        Self::WriteParts,
        Self::WritePartsAt,
        Self::SendFile,
        Self::CopyRange,
        Self::Map,
    ];

    fn of(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u64 == number)
    }
}

/// How many functions can get a jump: their trampolines are in one page.
const MOST: usize = PAGE / arch::TRAMPOLINE;
const PAGE: usize = 4096;

/// The page for the trampolines, near libc; 0 if there is none.
static TRAMPOLINES: AtomicUsize = AtomicUsize::new(0);
/// The functions, and their kinds.
static FUNCTIONS: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];
static KINDS: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];
/// The memory that is shared with the journal; null before the first take.
static SHARED: AtomicPtr<Shared> = AtomicPtr::new(ptr::null_mut());

/// It, as words of atomics: the journal writes them.
#[repr(transparent)]
struct Shared([AtomicU64; guards::BYTES / 8]);

/// Remembers where libc's functions are, and reserves room near them. To be called once, before
/// the program's `main`: a new mapping in the middle of a take could land in a hole that the
/// program relies on.
pub fn reserve(functions: &[(Writer, usize)]) {
    let Some(&(_, first)) = functions.first() else {
        return;
    };
    if functions.len() > MOST || functions.iter().any(|(_, function)| *function == 0) {
        return;
    }
    for ((slot, kind), (writer, function)) in FUNCTIONS.iter().zip(&KINDS).zip(functions) {
        kind.store(*writer as usize, Ordering::Relaxed);
        slot.store(*function, Ordering::Relaxed);
    }
    if let Some(page) = sys::map_page_near(first) {
        TRAMPOLINES.store(page, Ordering::Release);
    }
}

/// Writes the jumps, if that has not been done in this process's program. Returns a descriptor of
/// the memory to share with the journal then; whoever gets it closes it.
///
/// # Errors
/// ENOTSUP if libc's functions begin in an unknown way; EACCES, ENOMEM, EMFILE.
///
/// # Safety
/// No other thread may run.
pub(crate) unsafe fn begin() -> sys::Result<Option<i32>> {
    let page = TRAMPOLINES.swap(0, Ordering::Relaxed);
    if page == 0 {
        return Ok(None);
    }
    let unknown = Errno(libc::ENOTSUP);
    // A file beyond the program's limit would send it a signal.
    if !sys::may_have_length(guards::BYTES as u64) {
        return Err(unknown);
    }
    let fd = sys::memfd(c"cargo-snapshot-guards")?;
    let written = sys::set_length(fd, guards::BYTES as u64).and_then(|()| {
        let address = lasting_addresses(guards::BYTES).ok_or(Errno(libc::ENOMEM))?;
        // SAFETY: the addresses are reserved for this alone.
        unsafe { sys::map_over((address, guards::BYTES), libc::PROT_READ, true, fd, 0) }?;
        own_memory::keep_out(address);
        let mut entries = [None; MOST];
        for (entry, function) in entries.iter_mut().zip(&FUNCTIONS) {
            let function = function.load(Ordering::Relaxed);
            if function != 0 {
                *entry = Some(arch::Entry::of(function).ok_or(unknown)?);
            }
        }
        let places = (page..).step_by(arch::TRAMPOLINE);
        for ((entry, kind), place) in entries.iter().flatten().zip(&KINDS).zip(places.clone()) {
            let kind = u8::try_from(kind.load(Ordering::Relaxed)).unwrap_or(u8::MAX);
            let code = entry.trampoline(place, address, kind).ok_or(unknown)?;
            // SAFETY: the page is for this alone, and has room for all.
            unsafe { sys::write_own_memory(place, &code) }?;
        }
        sys::protect(page, PAGE, libc::PROT_READ | libc::PROT_EXEC)?;
        SHARED.store(ptr::with_exposed_provenance_mut(address), Ordering::Release);
        arch::decide_by(decide);
        for (entry, place) in entries.iter().flatten().zip(places) {
            let jump = entry.jump(place).ok_or(unknown)?;
            // SAFETY: no other thread runs, and none can be interrupted inside one instruction.
            unsafe { sys::write_code(entry.at, &jump) }?;
        }
        sys::synchronize_code();
        Ok(())
    });
    match written {
        Ok(()) => Ok(Some(fd)),
        Err(errno) => {
            sys::close(fd);
            Err(errno)
        }
    }
}

/// Decides on a call of a function that has a jump.
unsafe extern "C" fn decide(kind: u64, arguments: *const [usize; 6]) -> i32 {
    // Acquire: pairs with `begin`.
    let shared = ptr::NonNull::new(SHARED.load(Ordering::Acquire));
    let (Some(kind), Some(shared)) = (Writer::of(kind), shared) else {
        return 0;
    };
    // SAFETY: it was mapped in `begin`, and stays.
    let shared = unsafe { shared.as_ref() };
    // SAFETY: the trampoline gives its caller's arguments.
    let arguments = unsafe { &*arguments };
    match shared.keep(kind, arguments) {
        Ok(()) => 0,
        Err(Errno(errno)) => {
            // SAFETY: has no precondition.
            let place = unsafe { libc::__errno_location() };
            // SAFETY: the address is this thread's own.
            unsafe { place.write(errno) };
            -1
        }
    }
}

/// For a writer that has no jump, since it has a function before it: has the journal keep what
/// it is about to write over.
///
/// # Errors
/// What the call should fail with: the journal has no room to keep it.
pub fn before(kind: Writer, arguments: &[usize; 6]) -> sys::Result<()> {
    // Acquire: pairs with `begin`.
    let shared = SHARED.load(Ordering::Acquire);
    let Some(shared) = ptr::NonNull::new(shared) else {
        return Ok(());
    };
    // SAFETY: it was mapped in `begin`, and stays.
    unsafe { shared.as_ref() }.keep(kind, arguments)
}

/// A range of a file that is about to be written to.
struct Target {
    fd: i32,
    offset: u64,
    length: u64,
}

/// The lower half of an argument: a number of 32 bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the kernel looks at no more"
)]
const fn number(argument: usize) -> i32 {
    argument as i32
}

fn position(fd: i32) -> Option<u64> {
    u64::try_from(sys::lseek(fd, 0, libc::SEEK_CUR).ok()?).ok()
}

impl Target {
    /// `None` if the call writes to no file.
    fn of(kind: Writer, arguments: &[usize; 6]) -> Option<Self> {
        let &[a, b, c, d, e, _] = arguments;
        let at = |fd, length: usize, offset: Option<u64>| {
            Some(Self {
                fd,
                offset: offset?,
                length: length as u64,
            })
        };
        match kind {
            Writer::Write => at(number(a), c, position(number(a))),
            Writer::WriteAt => at(number(a), c, Some(d as u64)),
            Writer::WriteParts => at(number(a), length_of_parts(b, c), position(number(a))),
            Writer::WritePartsAt => {
                let offset = match d.cast_signed() {
                    -1 => position(number(a)),
                    _ => Some(d as u64),
                };
                at(number(a), length_of_parts(b, c), offset)
            }
            Writer::SendFile => at(number(a), d, position(number(a))),
            Writer::CopyRange => {
                let mut offset = [0; 8];
                let offset = match d {
                    0 => position(number(c)),
                    place => sys::read_own_memory(place, &mut offset)
                        .ok()
                        .map(|()| u64::from_ne_bytes(offset)),
                };
                at(number(c), e, offset)
            }
            Writer::Map => {
                let (protection, flags) = (number(c), number(d));
                let is_written_to = protection & libc::PROT_WRITE != 0
                    && flags & libc::MAP_SHARED != 0
                    && flags & libc::MAP_ANONYMOUS == 0;
                is_written_to.then_some(Self {
                    fd: number(e),
                    offset: 0,
                    length: u64::MAX,
                })
            }
        }
    }
}

/// All bytes of the parts of a `writev`. If they can't be read, the call fails, or is longer than
/// anything.
fn length_of_parts(place: usize, count: usize) -> usize {
    const AT_ONCE: usize = 16;
    const PART: usize = 16;
    const MOST_PARTS: usize = 1024;
    let mut bytes = [0; AT_ONCE * PART];
    let mut length: usize = 0;
    let mut left = count.min(MOST_PARTS);
    let mut place = place;
    while left > 0 {
        let now = left.min(AT_ONCE);
        let some = bytes.get_mut(..now * PART).unwrap_or_default();
        if sys::read_own_memory(place, some).is_err() {
            return usize::MAX;
        }
        for part in some.chunks_exact(PART) {
            let of_this = part.get(8..).and_then(|word| word.try_into().ok());
            length = length.saturating_add(of_this.map_or(0, usize::from_ne_bytes));
        }
        place += now * PART;
        left -= now;
    }
    length
}

/// A guarded file.
struct Slot {
    device: u64,
    inode: u64,
    size: u64,
    bitmap: u64,
}

impl Shared {
    fn word(&self, index: usize) -> u64 {
        // Relaxed: the journal changes these words while this thread stands still, or before it
        // answers this thread.
        (self.0.get(index)).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn slots(&self) -> impl Iterator<Item = Slot> {
        let used = usize::try_from(self.word(0)).unwrap_or(0).min(SLOTS);
        let slots = (0..used).map(|index| {
            let first = FIRST_SLOT + index * SLOT_WORDS;
            Slot {
                device: self.word(first),
                inode: self.word(first + 1),
                size: self.word(first + 2),
                bitmap: self.word(first + 3),
            }
        });
        slots.filter(|slot| slot.inode != 0)
    }

    /// Whether all of this range is kept, of what the file had.
    fn is_kept(&self, slot: &Slot, target: &Target) -> bool {
        let (first, end) = guards::units(target.offset, target.length, slot.size);
        (first..end).all(|unit| {
            let Ok(byte) = usize::try_from(slot.bitmap + unit / 8) else {
                return false;
            };
            byte >= BITMAPS && self.word(byte / 8) >> ((byte % 8) as u64 * 8 + unit % 8) & 1 != 0
        })
    }

    /// Has the journal keep what this call overwrites.
    fn keep(&self, kind: Writer, arguments: &[usize; 6]) -> sys::Result<()> {
        if self.word(0) == 0 {
            return Ok(());
        }
        let Some(target) = Target::of(kind, arguments) else {
            return Ok(());
        };
        if self.slots().all(|slot| self.is_kept(&slot, &target)) {
            return Ok(());
        }
        let Ok(stat) = sys::fstat(target.fd) else {
            return Ok(());
        };
        let mut slots = self.slots();
        let is_unkept = slots.any(|slot| {
            (slot.device, slot.inode) == (stat.device, stat.inode) && !self.is_kept(&slot, &target)
        });
        if is_unkept { target.ask() } else { Ok(()) }
    }
}

impl Target {
    /// Asks the journal. Only want of room is a reason to fail: without a journal, nothing is
    /// kept.
    fn ask(&self) -> sys::Result<()> {
        loop {
            match sys::keep_range(self.fd, KEEP_RANGE, self.offset, self.length) {
                Err(Errno(libc::EINTR)) => {}
                Err(errno @ Errno(libc::ENOSPC | libc::EDQUOT | libc::EIO)) => return Err(errno),
                _ => return Ok(()),
            }
        }
    }
}
