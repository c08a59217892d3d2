//! Which system calls a run may make and still be undone: those that change nothing, those that get memory,
//! which is given back afterwards, and those that read files, whose offsets are put back.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "makes the program's system calls")]

use crate::arch::{self, SyscallFrame};
use crate::sys::{self, Errno};

/// The most mappings of a run.
const MOST: usize = 64;
/// The most files that a run reads.
const MOST_FILES: usize = 8;

/// What is to become of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has been made, with this result.
    Made(i64),
    /// It ends the process, with this code.
    Ends(i32),
    /// It may change what can't be undone here.
    Leaves,
}

/// What a run has got from the kernel, and changed in it.
pub(super) struct Calls {
    /// Where the heap ended before the run.
    heap_end: usize,
    /// Starts and lengths.
    mappings: [(usize, usize); MOST],
    count: usize,
    /// Descriptors of files, and their offsets before the run.
    offsets: [(i32, i64); MOST_FILES],
    files: usize,
}

/// Calls that change nothing for anybody, whatever their arguments.
const HARMLESS: [i64; 24] = [
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getpgrp,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_time,
    libc::SYS_getrandom,
    libc::SYS_getcpu,
    libc::SYS_getrusage,
    libc::SYS_getrlimit,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_access,
];

/// brk(2): sets the heap's end, or asks for it by 0. Returns where it is now.
fn heap_end(wanted: usize) -> usize {
    // SAFETY: the caller gives only memory back that nobody uses.
    let end = unsafe { arch::syscall(libc::SYS_brk, [wanted, 0, 0, 0, 0, 0]) };
    usize::try_from(end).unwrap_or(0)
}

fn rounded(length: usize) -> Option<usize> {
    length.checked_next_multiple_of(4096)
}

impl Calls {
    pub(super) fn begin(&mut self) {
        self.heap_end = heap_end(0);
        self.count = 0;
        self.files = 0;
    }

    /// Judges the call that the frame shows, and makes it if that can be undone.
    ///
    /// # Safety
    /// The frame must be of a thread that the kernel has stopped before this very call.
    pub(super) unsafe fn judge(&mut self, number: i64, frame: &mut SyscallFrame<'_>) -> Verdict {
        let mut arguments = [0; 6];
        for (index, argument) in arguments.iter_mut().enumerate() {
            *argument = usize::from_ne_bytes(frame.argument(index).to_ne_bytes());
        }
        // SAFETY: it is the program's own call, with its arguments.
        let make = || unsafe { arch::syscall(number, arguments) };
        let [first, second, third, fourth, ..] = arguments;
        match number {
            // It is the program's only thread.
            libc::SYS_exit_group | libc::SYS_exit => {
                Verdict::Ends(i32::from(first.to_le_bytes()[0]))
            }
            libc::SYS_brk if first == 0 || first >= self.heap_end => Verdict::Made(make()),
            libc::SYS_mmap if is_private(third, fourth) => {
                let Some(length) = rounded(second).filter(|_| self.count < MOST) else {
                    return Verdict::Leaves;
                };
                let start = make();
                if let Some(start) = usize::try_from(start).ok().filter(|start| *start != 0) {
                    self.note(start, length);
                }
                Verdict::Made(start)
            }
            libc::SYS_munmap => match self.find(first, second) {
                Some(index) => {
                    self.forget(index);
                    Verdict::Made(make())
                }
                None => Verdict::Leaves,
            },
            libc::SYS_mremap => self.resize(arguments, make),
            libc::SYS_madvise if self.is_new(first, second) => Verdict::Made(make()),
            libc::SYS_rt_sigprocmask if second == 0 => Verdict::Made(make()),
            libc::SYS_prlimit64 if third == 0 => Verdict::Made(make()),
            libc::SYS_futex if is_wake(second) => Verdict::Made(make()),
            libc::SYS_write | libc::SYS_writev if is_null(first) => Verdict::Made(make()),
            libc::SYS_read | libc::SYS_readv if is_null(first) => Verdict::Made(make()),
            libc::SYS_read | libc::SYS_readv | libc::SYS_lseek if self.keeps_offset(first) => {
                Verdict::Made(make())
            }
            _ if HARMLESS.contains(&number) => Verdict::Made(make()),
            _ => Verdict::Leaves,
        }
    }

    /// Whether this is a file, whose offset is known then.
    fn keeps_offset(&mut self, fd: usize) -> bool {
        let fd = i32::try_from(fd).unwrap_or(-1);
        let known = self.offsets.get(..self.files).unwrap_or(&[]);
        if known.iter().any(|(number, _)| *number == fd) {
            return true;
        }
        let is_file = sys::fstat(fd).is_ok_and(|stat| stat.mode & libc::S_IFMT == libc::S_IFREG);
        match (
            self.offsets.get_mut(self.files),
            sys::lseek(fd, 0, libc::SEEK_CUR),
        ) {
            (Some(place), Ok(offset)) if is_file => {
                *place = (fd, offset);
                self.files += 1;
                true
            }
            _ => false,
        }
    }

    fn note(&mut self, start: usize, length: usize) {
        if let Some(place) = self.mappings.get_mut(self.count) {
            *place = (start, length);
            self.count += 1;
        }
    }

    fn forget(&mut self, index: usize) {
        self.count -= 1;
        self.mappings.swap(index, self.count);
    }

    fn noted(&self) -> &[(usize, usize)] {
        self.mappings.get(..self.count).unwrap_or(&[])
    }

    /// A mapping of this run with these very bounds.
    fn find(&self, start: usize, length: usize) -> Option<usize> {
        let length = rounded(length)?;
        self.noted()
            .iter()
            .position(|noted| *noted == (start, length))
    }

    /// Whether this range is memory of this run.
    fn is_new(&self, start: usize, length: usize) -> bool {
        let Some(end) = rounded(length).and_then(|length| start.checked_add(length)) else {
            return false;
        };
        let is_heap = || start >= self.heap_end && end <= heap_end(0);
        self.noted()
            .iter()
            .any(|(from, bytes)| start >= *from && end <= from + bytes)
            || is_heap()
    }

    fn resize(&mut self, arguments: [usize; 6], make: impl Fn() -> i64) -> Verdict {
        let [start, old, new, flags, ..] = arguments;
        let is_plain = flags & !(libc::MREMAP_MAYMOVE as usize) == 0;
        match (self.find(start, old), rounded(new)) {
            (Some(index), Some(length)) if is_plain && length > 0 => {
                let now = make();
                if let Ok(start) = usize::try_from(now) {
                    self.forget(index);
                    self.note(start, length);
                }
                Verdict::Made(now)
            }
            _ => Verdict::Leaves,
        }
    }

    /// Gives the memory of this run back, and puts the offsets back.
    ///
    /// # Errors
    /// The kernel doesn't do it.
    pub(super) fn undo(&mut self) -> Result<(), Errno> {
        while let Some((start, length)) = self.noted().last().copied() {
            self.count -= 1;
            // SAFETY: the run has got it, and is over.
            unsafe { sys::unmap_range(start, length) }?;
        }
        for (fd, offset) in self.offsets.iter().take(self.files) {
            sys::lseek(*fd, *offset, libc::SEEK_SET)?;
        }
        self.files = 0;
        if heap_end(0) != self.heap_end && heap_end(self.heap_end) != self.heap_end {
            return Err(Errno(libc::ENOMEM));
        }
        Ok(())
    }
}

/// Whether mmap(2) makes new memory, where the kernel likes.
fn is_private(protection: usize, flags: usize) -> bool {
    let wanted = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    let others = (libc::MAP_NORESERVE | libc::MAP_STACK | libc::MAP_POPULATE) as usize;
    flags & !others == wanted && protection & libc::PROT_EXEC as usize == 0
}

fn is_wake(operation: usize) -> bool {
    let flags = (libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME) as usize;
    operation & !flags == libc::FUTEX_WAKE as usize
}

/// Whether nothing is read there, and what is written is thrown away.
fn is_null(fd: usize) -> bool {
    const NULL: u64 = 0x103;
    let fd = i32::try_from(fd).unwrap_or(-1);
    sys::fstat(fd)
        .is_ok_and(|stat| stat.mode & libc::S_IFMT == libc::S_IFCHR && stat.special == NULL)
}
