//! The launcher's part of a session: the user's signals and keys, the terminal, the control
//! socket and the reports. It waits for all of them at once and for none alone, so a hung
//! terminal or a silent second terminal holds nothing up.

mod clients;
mod event_log;
mod events_file;
mod front;
mod job;
mod keyboard;
mod messages;
mod outlets;
mod pty;
mod run;
mod socket;
mod state;

pub(crate) use events_file::EventsFile;
pub(crate) use pty::Inner;
pub(crate) use socket::ControlSocket;
pub(crate) use state::{Parts, Session};
