//! The keyboard: bytes for the program, the prefix key's commands for the tool, and Ctrl+C,
//! which the supervisor decides about.

use nix::libc;

use super::state::{Session, Waiter};
use crate::talk::{channel::ToSupervisor, control::Request, event::Trigger, report::key_help};
use crate::terminal::keys::{Command, Input};
use snapshot_core::sys::now_ns;

impl Session {
    /// Reads the typed bytes. While a Ctrl+C is being decided it looks for another Ctrl+C
    /// alone, since a burst is one press; it drops what was typed before that, as a terminal
    /// does.
    pub(super) fn serve_typed(&mut self) {
        loop {
            let Some(pty) = &mut self.pty else { return };
            if pty.deciding > 0 {
                let interrupts = |byte: &u8| pty.interrupts(*byte);
                let Some(last) = pty.typed.iter().rposition(interrupts) else {
                    return;
                };
                let presses = pty.typed.iter().filter(|&byte| interrupts(byte)).count();
                pty.typed.drain(..=last);
                for _ in 0..presses {
                    pty.deciding += 1;
                    let _ = self.channel.send(&ToSupervisor::Typed { at_ns: now_ns() });
                }
                return;
            }
            let Some(byte) = pty.typed.pop_front() else {
                return;
            };
            match pty.keys.next(byte) {
                None => {}
                Some(Input::Byte(byte)) => {
                    if pty.interrupts(byte) {
                        pty.deciding += 1;
                        self.say(&ToSupervisor::Typed { at_ns: now_ns() });
                    } else {
                        pty.to_program.push(&[byte]);
                    }
                }
                Some(Input::Command(command)) => self.command(command),
            }
        }
    }

    fn command(&mut self, command: Command) {
        let request = match command {
            Command::Take => Request::Take { label: None },
            Command::Revert => Request::Revert {
                id: None,
                keep: false,
                force: false,
                ahead: false,
            },
            Command::RevertKeep => Request::Revert {
                id: None,
                keep: true,
                force: false,
                ahead: false,
            },
            Command::Commit => Request::Commit,
            Command::List => Request::List,
            Command::Help => {
                for line in key_help(&self.key.to_string()) {
                    self.report(&line);
                }
                return;
            }
            Command::Quit => {
                self.reporter.ends_by(None);
                self.end_by(libc::SIGTERM);
                return;
            }
            Command::Unknown(_) => {
                let key = self.key;
                self.report(&format!("no such key; {key} ? lists them"));
                return;
            }
        };
        self.ask(request, Trigger::Key, Waiter::Key, now_ns());
    }
}
