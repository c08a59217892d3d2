//! The terminal that the launcher owns: passes input in and output out, both unchanged.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::termios::{LocalFlags, SpecialCharacterIndices, Termios, tcgetattr};

use super::outlets::{Outlet, read_ready};
use crate::talk::event::Event;
use crate::terminal::{
    keys::{Key, Keys},
    modes::{Modes, Set},
    raw::Raw,
};

/// How much of the program's output may wait for the terminal before the program must wait.
pub(super) const ENOUGH: usize = 64 * 1024;

/// The inner side of a terminal that the launcher owns.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) master: OwnedFd,
    /// The outer terminal's settings, if there is one.
    pub(crate) outer_settings: Option<Termios>,
}

/// The terminal, while the launcher owns it.
pub(super) struct Pty {
    pub(super) master: File,
    /// Typed bytes on their way to the program.
    pub(super) to_program: Outlet,
    pub(super) to_screen: Outlet,
    pub(super) raw: Option<Raw>,
    pub(super) keys: Keys,
    /// Bytes typed while a Ctrl+C is being decided.
    pub(super) typed: VecDeque<u8>,
    /// How many Ctrl+C are being decided.
    pub(super) deciding: u32,
    pub(super) input_ended: bool,
    pub(super) output_ended: bool,
    pub(super) modes: Modes,
    pub(super) modes_at: HashMap<u32, Set>,
}

impl Pty {
    pub(super) fn new(inner: Inner, key: Key) -> io::Result<Self> {
        let master = File::from(inner.master);
        let flags = OFlag::from_bits_retain(fcntl(&master, FcntlArg::F_GETFL)?);
        fcntl(&master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        let to_screen = if inner.outer_settings.is_some() {
            Outlet::to_terminal(io::stdout().as_fd())?
        } else {
            Outlet::to_shared(io::stdout().as_fd())?
        };
        Ok(Self {
            to_program: Outlet::to_own(master.try_clone()?.into()),
            to_screen,
            raw: inner.outer_settings.map(Raw::new),
            master,
            keys: Keys::new(key),
            typed: VecDeque::new(),
            deciding: 0,
            input_ended: false,
            output_ended: false,
            modes: Modes::default(),
            modes_at: HashMap::new(),
        })
    }

    pub(super) fn listens_to_keyboard(&self) -> bool {
        let in_front = self.raw.as_ref().is_none_or(Raw::is_on);
        in_front && !self.input_ended && self.to_program.len() + self.typed.len() < ENOUGH
    }

    pub(super) fn special(&self, index: SpecialCharacterIndices) -> Option<u8> {
        let settings = tcgetattr(&self.master).ok()?;
        settings.control_chars.get(index as usize).copied()
    }

    /// Whether the program's terminal would make a SIGINT of this byte.
    pub(super) fn interrupts(&self, byte: u8) -> bool {
        // Only a control character can. To ask the kernel for every letter would be slow.
        if byte >= 0x20 && byte != 0x7f {
            return false;
        }
        tcgetattr(&self.master).is_ok_and(|settings| {
            settings.local_flags.contains(LocalFlags::ISIG)
                && settings
                    .control_chars
                    .get(SpecialCharacterIndices::VINTR as usize)
                    == Some(&byte)
        })
    }

    /// The input has ended: sends the end-of-file character that a person would type.
    pub(super) fn end_input(&mut self) {
        self.input_ended = true;
        if let Some(end) = self.special(SpecialCharacterIndices::VEOF) {
            self.to_program.push(&[end]);
        }
    }

    /// Passes the program's output on.
    pub(super) fn pass_output(&mut self) -> bool {
        match read_ready(&self.master) {
            Some(bytes) => {
                self.modes.watch(&bytes);
                self.to_screen.push(&bytes);
                self.to_screen.write();
                !bytes.is_empty()
            }
            None => {
                self.output_ended = true;
                false
            }
        }
    }

    /// Passes on all output up to now, which comes before a message about it.
    pub(super) fn drain(&mut self) {
        let mut rounds = 0;
        while !self.output_ended && rounds < 64 && self.pass_output() {
            rounds += 1;
        }
    }

    /// Records the screen's modes with each snapshot, and restores them.
    pub(super) fn follow(&mut self, event: &Event) {
        match event {
            Event::Taken(taken) => {
                self.modes_at
                    .insert(taken.facts.id, self.modes.now().clone());
            }
            Event::Reverted(reverted) => {
                if let Some(set) = self.modes_at.get(&reverted.id) {
                    let bytes = self.modes.go_to(&set.clone());
                    self.to_screen.push(&bytes);
                }
                if !reverted.kept {
                    self.modes_at.remove(&reverted.id);
                }
            }
            Event::Dropped { id } => {
                self.modes_at.remove(id);
            }
            Event::Committed { .. } => self.modes_at.clear(),
            Event::Started { .. }
            | Event::Refused(_)
            | Event::Ended(_)
            | Event::Finished { .. }
            | Event::Missed { .. } => {}
        }
    }
}

/// The typed bytes; `None` at the end of the input.
pub(super) fn read_stdin() -> Option<Vec<u8>> {
    let mut bytes = vec![0; 4096];
    match nix::unistd::read(io::stdin().as_fd(), &mut bytes) {
        Ok(0) => None,
        Ok(length) => {
            bytes.truncate(length);
            Some(bytes)
        }
        Err(Errno::EINTR | Errno::EAGAIN) => Some(Vec::new()),
        Err(_) => None,
    }
}
