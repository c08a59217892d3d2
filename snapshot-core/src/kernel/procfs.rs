//! Reading `/proc` without allocating.
//!
//! Context: AS-SAFE.

use core::ffi::CStr;

use crate::sys::{self, Errno};

/// A file of a thread in `/proc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskFile {
    Syscall,
    Stat,
    Status,
    Sched,
    Children,
}

impl TaskFile {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Syscall => b"/syscall\0",
            Self::Stat => b"/stat\0",
            Self::Status => b"/status\0",
            Self::Sched => b"/sched\0",
            Self::Children => b"/children\0",
        }
    }

    /// Its path beside the processes, with its NUL, and not below the process's list of
    /// threads. The kernel caches every file that is looked at. Whoever reaps a process clears
    /// the cache below it, and spins while a thread of the process still clears its own files
    /// there.
    fn path(self, tid: i32) -> [u8; 48] {
        const PROC: &[u8] = b"../../";
        let mut digits = [0; 10];
        let tid = decimal(tid.unsigned_abs(), &mut digits);
        match self {
            // `/proc/TID/stat` describes the whole process, and there is no `/proc/TID/children`.
            Self::Stat | Self::Children => join(&[PROC, tid, b"/task/", tid, self.name()]),
            _ => join(&[PROC, tid, self.name()]),
        }
    }
}

/// Joins the pieces; zeros follow.
fn join(pieces: &[&[u8]]) -> [u8; 48] {
    let mut path = [0; 48];
    let bytes = pieces.iter().flat_map(|piece| piece.iter());
    // The longest path leaves seven bytes.
    for (place, byte) in path.iter_mut().zip(bytes) {
        *place = *byte;
    }
    path
}

/// Writes a decimal number at the end of `buffer`; returns its digits.
pub(crate) fn decimal(mut number: u32, buffer: &mut [u8; 10]) -> &[u8] {
    let mut first = buffer.len();
    loop {
        first -= 1;
        buffer[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &buffer[first..];
        }
    }
}

/// A path of a number and a name, `123/stat`, with its NUL.
pub(crate) fn numbered(number: i32, name: &[u8]) -> [u8; 32] {
    let mut path = [0; 32];
    let mut digits = [0; 10];
    let digits = decimal(number.unsigned_abs(), &mut digits);
    path[..digits.len()].copy_from_slice(digits);
    let length = name.len().min(path.len() - digits.len() - 1);
    path[digits.len()..digits.len() + length].copy_from_slice(&name[..length]);
    path
}

/// Calls `with` with a number as a name, `123`: for an entry of `fd` or `fdinfo`.
pub(crate) fn with_number<T>(number: i32, with: impl FnOnce(&CStr) -> T) -> T {
    with(CStr::from_bytes_until_nul(&numbered(number, b"\0")).unwrap_or(c""))
}

/// Opens the list of this process's threads.
///
/// # Errors
/// Any error of opening it; ENOENT if `/proc` is not mounted.
pub(crate) fn open_tasks() -> sys::Result<i32> {
    sys::open_to_read(c"/proc/self/task", libc::O_DIRECTORY)
}

/// How many threads there are: the links of this directory, less its own two. The kernel counts
/// them at that moment; its list of them may lack some, since it ends early when a thread
/// ends in the middle of it.
///
/// # Errors
/// Any error of looking at it.
pub(crate) fn count_tasks(tasks: i32) -> sys::Result<u32> {
    let links = sys::fstat(tasks)?.links;
    u32::try_from(links.saturating_sub(2)).map_err(|_| SILENT)
}

/// Calls `with` with the path of another process's file, `/proc/123/statm`. `None` if `with`
/// returns none.
pub(crate) fn of_process<T>(
    pid: i32,
    name: &[u8],
    with: impl FnOnce(&CStr) -> Option<T>,
) -> Option<T> {
    const PROC: &[u8] = b"/proc/";
    let mut path = [0; 40];
    path[..PROC.len()].copy_from_slice(PROC);
    path[PROC.len()..PROC.len() + 32].copy_from_slice(&numbered(pid, name));
    with(CStr::from_bytes_until_nul(&path).ok()?)
}

/// The error for a file of `/proc` that is empty, or has an unknown format.
pub(crate) const SILENT: Errno = Errno(libc::EPROTO);

/// Reads a thread's file into the buffer, through a descriptor of `/proc/PID/task`.
///
/// # Errors
/// As `openat(2)` and `read(2)`; ENOENT or ESRCH if there is no such thread.
pub(crate) fn read_task(
    tasks: i32,
    tid: i32,
    file: TaskFile,
    buffer: &mut [u8],
) -> sys::Result<&[u8]> {
    let fd = sys::open_at(tasks, &file.path(tid))?;
    let length = sys::read(fd, buffer);
    sys::close(fd);
    buffer.get(..length?).ok_or(SILENT)
}

/// Calls `with` with a descriptor, if opening it worked, and closes it.
pub(crate) fn with_descriptor(opened: sys::Result<i32>, with: impl FnOnce(i32) -> bool) -> bool {
    let Ok(fd) = opened else {
        return false;
    };
    let done = with(fd);
    sys::close(fd);
    done
}

/// Reads a small file into the buffer.
///
/// # Errors
/// As `open(2)` and `read(2)`; [`SILENT`] where it is empty.
pub(crate) fn read<'a>(path: &CStr, buffer: &'a mut [u8]) -> sys::Result<&'a [u8]> {
    let fd = sys::open_to_read(path, 0)?;
    let mut length = 0;
    let mut outcome = Err(SILENT);
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match sys::read(fd, rest) {
            Ok(0) => break,
            Ok(more) => {
                length += more;
                outcome = Ok(());
            }
            Err(errno) => {
                outcome = Err(errno);
                break;
            }
        }
    }
    sys::close(fd);
    outcome?;
    buffer.get(..length).ok_or(SILENT)
}

/// Calls `visit` with every line of a text of any length. A line of more than 4 KB is cut.
///
/// # Errors
/// Any error of opening or reading it.
pub(crate) fn for_each_line(path: &CStr, mut visit: impl FnMut(&[u8])) -> sys::Result<()> {
    let fd = sys::open_to_read(path, 0)?;
    let mut buffer = [0_u8; 4096];
    let mut filled = 0;
    let outcome = loop {
        let Some(room) = buffer.get_mut(filled..) else {
            break Ok(());
        };
        match sys::read(fd, room) {
            Ok(0) => break Ok(()),
            Ok(length) => filled += length,
            Err(errno) => break Err(errno),
        }
        let text = buffer.get(..filled).unwrap_or(&[]);
        let whole = match text.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => end + 1,
            None if filled == buffer.len() => filled,
            None => continue,
        };
        text.get(..whole)
            .unwrap_or(&[])
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .for_each(&mut visit);
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    };
    sys::close(fd);
    outcome
}

/// Calls `visit` with every number that names an entry of a directory: processes in
/// `/proc`, threads in `/proc/self/task`.
///
/// # Errors
/// Any error of opening or reading it; ENOENT if `/proc` is not mounted.
pub(crate) fn for_each_number(directory: &CStr, mut visit: impl FnMut(i32)) -> sys::Result<()> {
    let fd = sys::open_to_read(directory, libc::O_DIRECTORY)?;
    let outcome = for_each_number_in(fd, &mut visit);
    sys::close(fd);
    outcome
}

/// Calls `visit` with every descriptor of this process but the one that reads the list.
///
/// # Errors
/// As above.
pub(crate) fn for_each_descriptor(mut visit: impl FnMut(i32)) -> sys::Result<()> {
    let fd = sys::open_to_read(c"/proc/thread-self/fd", libc::O_DIRECTORY)?;
    let outcome = for_each_number_in(fd, |number| {
        if number != fd {
            visit(number);
        }
    });
    sys::close(fd);
    outcome
}

/// The same for an open directory, from its beginning.
///
/// # Errors
/// Any error of reading it.
pub(crate) fn for_each_number_in(fd: i32, mut visit: impl FnMut(i32)) -> sys::Result<()> {
    sys::lseek(fd, 0, libc::SEEK_SET)?;
    let mut buffer = [0_u8; 4096];
    loop {
        let length = sys::getdents(fd, &mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        Names::of(buffer.get(..length).unwrap_or(&[]))
            .filter_map(number)
            .for_each(&mut visit);
    }
}

/// The names in getdents64's output: an inode and an offset of 8 bytes each, a record length of
/// 2, a type of 1, and a NUL-terminated name.
struct Names<'a> {
    rest: &'a [u8],
}

impl<'a> Names<'a> {
    fn of(records: &'a [u8]) -> Self {
        Self { rest: records }
    }
}

impl<'a> Iterator for Names<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = self.rest.get(16..18)?;
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        // A record of length 0 would never end.
        let record = self.rest.get(..length).filter(|record| record.len() > 19)?;
        self.rest = self.rest.get(length..)?;
        let name = record.get(19..)?;
        let end = name
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(name.len());
        name.get(..end)
    }
}

fn number(name: &[u8]) -> Option<i32> {
    core::str::from_utf8(name).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn finds_an_open_descriptor_and_this_thread() {
        let file = std::fs::File::open("/dev/null").expect("/dev/null is there");
        let mut found = false;
        for_each_descriptor(|fd| found |= fd == file.as_raw_fd()).expect("/proc is mounted");
        assert!(found);
        let mut found = false;
        for_each_number(c"/proc/self/task", |tid| found |= tid == sys::gettid())
            .expect("/proc is mounted");
        assert!(found);
    }

    #[test]
    fn counts_the_threads() {
        let tasks = open_tasks().expect("/proc is mounted");
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let waiting = std::thread::spawn(move || stopped.recv());
        let counts = std::iter::repeat_with(|| {
            let status = std::fs::read("/proc/thread-self/status").expect("/proc is mounted");
            let told = crate::kernel::proc_text::number(&status, "Threads:");
            (count_tasks(tasks).expect("it is open"), told)
        });
        // Other tests begin and end threads between the two looks.
        let equal = |(counted, told): &(u32, Option<i64>)| Some(i64::from(*counted)) == *told;
        let found = counts.take(10_000).find(equal);
        sys::close(tasks);
        drop(stop);
        let _ = waiting.join();
        assert!(found.is_some_and(|(counted, _)| counted >= 2), "{found:?}");
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        let answer = for_each_number(c"/proc/self/no-such", |_| {});
        assert_eq!(answer, Err(sys::Errno(libc::ENOENT)));
    }

    #[test]
    fn a_numbered_path_ends_with_a_nul() {
        assert_eq!(
            &numbered(4194303, b"/syscall\0")[..17],
            b"4194303/syscall\0\0"
        );
        assert_eq!(&numbered(0, b"/stat\0")[..7], b"0/stat\0");
    }

    #[test]
    fn a_thread_is_read_by_its_number() {
        let tasks = open_tasks().expect("it is there");
        let mut buffer = [0; 100];
        let text = read_task(tasks, sys::gettid(), TaskFile::Stat, &mut buffer).expect("a text");
        assert!(text.starts_with(sys::gettid().to_string().as_bytes()));
        assert!(read_task(tasks, 1 << 30, TaskFile::Stat, &mut buffer).is_err());
        sys::close(tasks);
    }

    #[test]
    fn every_line_of_a_long_text() {
        let mut lines = 0;
        let mut ranges = 0;
        for_each_line(c"/proc/self/smaps", |line| {
            lines += 1;
            ranges += usize::from(crate::kernel::proc_text::mapping(line).is_some());
        })
        .expect("/proc is mounted");
        assert!(lines > 20 * ranges && ranges > 5, "{lines} {ranges}");
    }

    proptest::proptest! {
        #[test]
        fn noise_ends(noise: Vec<u8>) {
            proptest::prop_assert!(Names::of(&noise).count() <= noise.len());
        }
    }
}
