//! The output of a pipe or a terminal, line by line.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The output so far. A thread of the test reads it, so that nothing blocks on a full pipe
/// unless a test wants that.
#[derive(Debug, Default)]
pub struct Transcript {
    bytes: Mutex<Vec<u8>>,
    stop: AtomicBool,
}

impl Transcript {
    /// Reads `source` to its end in a thread, and passes each piece to `hear`.
    pub fn of(source: OwnedFd, mut hear: impl FnMut(&[u8]) + Send + 'static) -> Reader {
        let transcript = Arc::new(Self::default());
        let writer = Arc::clone(&transcript);
        let thread = std::thread::spawn(move || {
            let mut source = File::from(source);
            let mut piece = [0; 4096];
            while writer.may_read(&source) {
                // A terminal whose other side is closed gives an error, not an end.
                let Ok(count @ 1..) = source.read(&mut piece) else {
                    break;
                };
                hear(&piece[..count]);
                writer
                    .bytes
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend_from_slice(&piece[..count]);
            }
        });
        Reader { transcript, thread }
    }

    /// Waits until there is something to read; false if reading is over.
    fn may_read(&self, source: &File) -> bool {
        loop {
            let mut fds = [PollFd::new(source.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::from(20_u8)) {
                Ok(0) if self.stop.load(Ordering::Relaxed) => return false,
                Ok(0) => {}
                Ok(_) => return true,
                Err(nix::errno::Errno::EINTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// All of it, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// The first complete line from byte `from` on that `wanted` accepts, and where the
    /// next one begins.
    pub fn find(&self, from: usize, wanted: impl Fn(&str) -> bool) -> Option<(String, usize)> {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut start = from;
        while let Some(length) = bytes.get(start..)?.iter().position(|&byte| byte == b'\n') {
            let line = String::from_utf8_lossy(&bytes[start..start + length]);
            let line = line.trim_end_matches('\r');
            start += length + 1;
            if wanted(line) {
                return Some((line.to_owned(), start));
            }
        }
        None
    }
}

/// The reading thread. On drop it stops as soon as nothing more comes, even if a process still
/// holds the other end.
#[derive(Debug)]
pub struct Reader {
    transcript: Arc<Transcript>,
    thread: JoinHandle<()>,
}

impl Reader {
    /// What it has read.
    pub fn transcript(&self) -> Arc<Transcript> {
        Arc::clone(&self.transcript)
    }

    /// Waits for the end of the source, but not for long: a process that holds the other end
    /// open has been reported as left behind.
    pub fn wait_for_end(&self) {
        let _ = crate::deadline::wait(|| self.thread.is_finished().then_some(()));
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Relaxed: it publishes nothing.
        self.transcript.stop.store(true, Ordering::Relaxed);
    }
}
