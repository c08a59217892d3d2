//! A session in a real terminal: an emulator draws the far side of a pty pair, so that a test
//! sees what a person would see.
#![expect(unsafe_code, reason = "gives the child its controlling terminal")]

use std::fs::File;
use std::io::Write;
use std::num::NonZero;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{Termios, tcgetattr};

use crate::deadline;
use crate::prepared::Prepared;
use crate::session::Session;
use crate::transcript::{Reader, Transcript};

/// The prefix key, as a terminal sends it.
pub const PREFIX: &str = "\x1d";

/// Ctrl+C, as a terminal sends it.
pub const CTRL_C: &str = "\x03";

/// Ctrl+Z, as a terminal sends it.
pub const CTRL_Z: &str = "\x1a";

/// A session that leads a terminal of its own.
pub struct TerminalSession {
    session: Session,
    keyboard: File,
    /// Kept open, so that the settings can be read after the session.
    near: OwnedFd,
    before: Termios,
    emulator: Arc<Mutex<vt100::Parser>>,
    reader: Reader,
    looked_at: usize,
}

impl TerminalSession {
    pub(crate) fn start(mut prepared: Prepared) -> Self {
        let size = window(24, 100);
        let (far, near) = {
            // No child may be made until both are marked, or it would inherit them.
            let _no_child = deadline::spawning();
            let pair = openpty(&size, None).expect("the kernel has a pty left");
            for fd in [&pair.master, &pair.slave] {
                fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("the fd is open");
            }
            (pair.master, pair.slave)
        };
        let before = tcgetattr(&near).expect("a pty has settings");

        let stdio = || Stdio::from(near.try_clone().expect("there is an fd left"));
        prepared
            .command
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio());
        // SAFETY: the closure makes two system calls, so it may run in a child forked
        // from a process with threads.
        unsafe { prepared.command.pre_exec(lead_terminal) };
        let (mut session, _) = Session::start(prepared);

        let emulator = Arc::new(Mutex::new(vt100::Parser::new(lines(24), lines(100), 0)));
        let drawn = Arc::clone(&emulator);
        let keyboard = File::from(far);
        let source = keyboard.try_clone().expect("there is an fd left");
        let reader = Transcript::of(source.into(), move |piece| {
            drawn
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .process(piece);
        });
        session.hear("terminal", &reader.transcript());
        Self {
            session,
            keyboard,
            near,
            before,
            emulator,
            reader,
            looked_at: 0,
        }
    }

    /// Types.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn type_in(&mut self, keys: &str) {
        self.type_bytes(keys.as_bytes());
    }

    /// Types bytes that may not be text.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn type_bytes(&mut self, keys: &[u8]) {
        self.keyboard
            .write_all(keys)
            .expect("the test holds both sides of the terminal");
    }

    /// Types the prefix and a key.
    pub fn command_key(&mut self, key: &str) {
        self.type_in(&format!("{PREFIX}{key}"));
    }

    /// What a person sees.
    pub fn screen(&self) -> String {
        self.emulator
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .screen()
            .contents()
    }

    /// Waits until `wanted` accepts the screen.
    pub fn wait_for_screen(&mut self, what: &str, wanted: impl Fn(&str) -> bool) {
        if deadline::wait(|| wanted(&self.screen()).then_some(())).is_none() {
            let screen = self.screen();
            self.fail(&format!("not on the screen: {what}\n{screen}"));
        }
    }

    /// Waits until the screen shows this text.
    pub fn wait_for_text(&mut self, text: &str) {
        self.wait_for_screen(text, |screen| screen.contains(text));
    }

    /// All bytes that the terminal has got.
    pub fn bytes(&self) -> Vec<u8> {
        self.reader.transcript().bytes()
    }

    /// Waits for the next line that `wanted` accepts, after the last one waited for.
    pub fn next_line(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let transcript = self.reader.transcript();
        let from = self.looked_at;
        match deadline::wait(|| transcript.find(from, &wanted)) {
            Some((line, next)) => {
                self.looked_at = next;
                line
            }
            None => {
                let screen = self.screen();
                self.fail(&format!("no line came: {what}\n{screen}"))
            }
        }
    }

    /// The next line that `wanted` accepts, if it is there already.
    pub fn line_if_there(&mut self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let (line, next) = self.reader.transcript().find(self.looked_at, wanted)?;
        self.looked_at = next;
        Some(line)
    }

    /// Gives `commander` a command and returns its answer; an `err` fails the test.
    pub fn ask(&mut self, command: &str) -> String {
        self.type_in(&format!("{command}\n"));
        let answer = self.next_line(command, |line| {
            line == "ok" || line.starts_with("ok ") || line.starts_with("err ")
        });
        if answer.starts_with("err ") {
            self.fail(&format!("{command}: {answer}"));
        }
        answer[2..].trim().to_owned()
    }

    /// Sets the window's size.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        let size = window(rows, columns);
        // SAFETY: TIOCSWINSZ reads a `winsize`, which is a live local.
        let done =
            unsafe { libc::ioctl(self.keyboard.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(done, 0, "the terminal has a size");
        self.emulator
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .screen_mut()
            .set_size(lines(rows), lines(columns));
    }

    /// The terminal's settings now.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn settings(&self) -> Termios {
        tcgetattr(&self.near).expect("the test keeps the terminal open")
    }

    /// Whether the settings are the same as before the launch.
    pub fn is_sane(&self) -> bool {
        self.settings() == self.before
    }

    /// Fails unless the terminal is sane within the second that the tool has after its
    /// launcher's death.
    pub fn assert_sane(&mut self) {
        let sane = deadline::wait_for(Duration::from_secs(1), || self.is_sane().then_some(()));
        if sane.is_none() {
            let (before, now) = (self.before.clone(), self.settings());
            self.fail(&format!(
                "the terminal is not as before:\n{before:?}\n{now:?}"
            ));
        }
    }
}

impl Deref for TerminalSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for TerminalSession {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

fn window(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

fn lines(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a window has a size")
}

/// Makes the calling child the leader of a session whose terminal is its stdin.
fn lead_terminal() -> std::io::Result<()> {
    nix::unistd::setsid()?;
    // SAFETY: TIOCSCTTY takes a number; stdin is the near side of the pty here.
    let done = unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0) };
    if done == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}
