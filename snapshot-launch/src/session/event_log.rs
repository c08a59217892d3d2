//! The events file: a line an event, written as it happens, without ever waiting.
//!
//! The reader may be slow, or not there yet, and a disk may be full. Then lines wait, up to a
//! bound. Lines beyond it are counted; the file gets a line with their number, and a person
//! hears of it too. No half line stays in a file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use nix::libc;

use super::events_file::EventsFile;
use crate::talk::{counted::counted, event::Event};

/// How many bytes may wait: some thousand events.
const MOST: usize = 1 << 20;

/// The pause before the next try, if the kernel doesn't say when there is room.
const PAUSE: Duration = Duration::from_millis(250);

/// How long lines may wait before a person hears of it.
const LAG: Duration = Duration::from_secs(1);

/// Why lines wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The reader is slow; the kernel says when there is room.
    Full,
    /// Nobody reads.
    NoReader,
    /// Something else: a full disk.
    Failed(i32),
}

/// The events file during the session.
#[derive(Debug)]
pub(crate) struct EventLog {
    to: Option<EventsFile>,
    lines: VecDeque<Vec<u8>>,
    /// How many bytes of the first line have been written.
    begun: usize,
    bytes: usize,
    /// How many lines had no room, after all the waiting ones.
    missed: u64,
    waiting: Option<(Wait, Instant)>,
    tried: Instant,
    /// The reason that a person has heard.
    reported: Option<Wait>,
}

impl EventLog {
    pub(crate) fn new(to: Option<EventsFile>) -> Self {
        Self {
            to,
            lines: VecDeque::new(),
            begun: 0,
            bytes: 0,
            missed: 0,
            waiting: None,
            tried: Instant::now(),
            reported: None,
        }
    }

    /// Writes one event, or keeps it until there is room. Returns what a person should know.
    pub(crate) fn write(&mut self, event: &Event) -> Option<String> {
        let to = self.to.as_ref()?;
        if to.file.as_ref().is_some_and(is_removed) {
            let name = to.name.display().to_string();
            self.to = None;
            return Some(format!(
                "the events file {name} was removed: events are no longer written"
            ));
        }
        self.keep(event);
        self.go_on()
    }

    fn keep(&mut self, event: &Event) {
        let is_last = matches!(event, Event::Finished { .. });
        if self.bytes > MOST && !is_last {
            self.missed += 1;
            return;
        }
        if self.missed > 0 {
            let count = std::mem::take(&mut self.missed);
            self.push(&Event::Missed { count });
        }
        self.push(event);
    }

    fn push(&mut self, event: &Event) {
        let mut line = serde_json::to_vec(event).unwrap_or_default();
        line.push(b'\n');
        self.bytes += line.len();
        self.lines.push_back(line);
    }

    /// The file, if its lines wait for room and the kernel says when there is some.
    pub(crate) fn awaits_room(&self) -> Option<BorrowedFd<'_>> {
        let is_full = matches!(self.waiting, Some((Wait::Full, _)));
        let file = self.to.as_ref()?.file.as_ref()?;
        is_full.then(|| file.as_fd())
    }

    /// The time until the next try, or until a person should hear of the wait.
    pub(crate) fn next_try(&self) -> Option<Duration> {
        match self.waiting? {
            (Wait::Full, _) if self.reported == Some(Wait::Full) => None,
            (Wait::Full, since) => Some(LAG.saturating_sub(since.elapsed())),
            _ => Some(PAUSE.saturating_sub(self.tried.elapsed())),
        }
    }

    /// Writes what there is room for; returns what a person should know.
    pub(crate) fn go_on(&mut self) -> Option<String> {
        let before = self.lines.len();
        self.tried = Instant::now();
        let wait = self.write_lines().err();
        let since = match self.waiting {
            // A slow reader makes progress.
            Some((_, since)) if self.lines.len() >= before => since,
            _ => self.tried,
        };
        self.waiting = wait.map(|wait| (wait, since));
        self.word()
    }

    /// What a person should know: once for each wait.
    fn word(&mut self) -> Option<String> {
        let name = self.to.as_ref()?.name.display().to_string();
        let Some((wait, since)) = self.waiting else {
            let was = self.reported.take()?;
            return Some(match was {
                Wait::Full | Wait::NoReader => format!("the events are read again from {name}"),
                Wait::Failed(_) => format!("the events are written to {name} again"),
            });
        };
        let is_due = matches!(wait, Wait::Failed(_)) || since.elapsed() >= LAG;
        if self.reported == Some(wait) || !is_due {
            return None;
        }
        self.reported = Some(wait);
        Some(format!(
            "{}; the session goes on, and events wait",
            reason(wait, &name)
        ))
    }

    fn write_lines(&mut self) -> Result<(), Wait> {
        let Some(to) = &mut self.to else {
            return Ok(());
        };
        while let Some(line) = self.lines.front() {
            if !to.has_reader() {
                return Err(Wait::NoReader);
            }
            let Some(file) = &mut to.file else {
                return Err(Wait::NoReader);
            };
            let rest = line.get(self.begun..).unwrap_or_default();
            let outcome = if to.is_regular {
                write_whole(file, rest)
            } else {
                file.write(rest)
            };
            match outcome {
                Ok(written) if written == rest.len() => {
                    self.bytes -= line.len();
                    self.begun = 0;
                    self.lines.pop_front();
                }
                Ok(written) => self.begun += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Wait::of(&error)),
            }
        }
        Ok(())
    }

    /// At the end: how many lines are missing in the file, for a person.
    pub(crate) fn unwritten(&self) -> Option<String> {
        let (wait, _) = self.waiting?;
        let name = self.to.as_ref()?.name.display().to_string();
        let count = self.lines.len() + usize::try_from(self.missed).unwrap_or(usize::MAX);
        Some(format!(
            "{} not written to {name}: {}",
            counted_are(count),
            reason(wait, "it")
        ))
    }
}

impl Wait {
    fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EAGAIN) => Self::Full,
            Some(libc::EPIPE) => Self::NoReader,
            errno => Self::Failed(errno.unwrap_or(libc::EIO)),
        }
    }
}

fn reason(wait: Wait, name: &str) -> String {
    match wait {
        Wait::Full => format!("whoever reads {name} is slow"),
        Wait::NoReader => format!("nobody reads {name}"),
        Wait::Failed(errno) => {
            format!(
                "{name} can't be written: {}",
                io::Error::from_raw_os_error(errno)
            )
        }
    }
}

fn counted_are(count: usize) -> String {
    let verb = if count == 1 { "was" } else { "were" };
    format!("{} {verb}", counted(count, "event"))
}

fn is_removed(file: &File) -> bool {
    file.metadata()
        .is_ok_and(|found| found.is_file() && found.nlink() == 0)
}

/// Writes a whole line into a file, or nothing: a disk that is full in the middle leaves no
/// half.
fn write_whole(file: &mut File, line: &[u8]) -> io::Result<usize> {
    let written = file.write(line)?;
    if written == line.len() {
        return Ok(written);
    }
    // The kernel gives the reason only on the next write.
    let why = match file.write(line.get(written..).unwrap_or_default()) {
        Err(error) => error,
        Ok(more) if written + more == line.len() => return Ok(line.len()),
        Ok(_) => io::Error::from_raw_os_error(libc::ENOSPC),
    };
    let end = file.stream_position()?;
    // Not if another process has written behind it.
    if file.metadata()?.len() == end {
        file.set_len(end - u64::try_from(written).unwrap_or(0))?;
    }
    Err(why)
}
