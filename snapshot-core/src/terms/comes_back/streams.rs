//! Pipes and sockets.
//!
//! Context: AS-SAFE.

use super::reasons::{Reasons, Sharing};
use crate::terms::Why;

/// Where the other end of a pipe is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OtherEnd {
    /// In the program.
    Own,
    /// It is closed.
    #[default]
    Closed,
    /// Perhaps in another process.
    Open,
}

/// An end of a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pipe {
    /// Where the other end is.
    pub other_end: OtherEnd,
    /// This one can be written to.
    pub can_write: bool,
    /// The program was started with it.
    pub is_inherited: bool,
}

impl Pipe {
    /// Why it does not come back. A process with either end shares the pipe.
    pub fn why(&self, sharing: Sharing) -> Option<Why> {
        if sharing.is_own() && self.other_end != OtherEnd::Open {
            return None;
        }
        Some(match (self.is_inherited, self.can_write) {
            (true, false) => Why::Input,
            (true, true) => Why::Output,
            (false, _) => Why::OtherEnd,
        })
    }
}

/// The state of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketState {
    /// Neither connected nor bound.
    New,
    /// Bound.
    Idle,
    /// It listens.
    Listening,
    /// It is connected, or about to be.
    Connected,
    /// It can't be seen from outside.
    Unseen,
}

/// A socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    /// What it does.
    pub state: SocketState,
    /// TCP, or a local socket like it.
    pub is_stream: bool,
    /// Something waits to be read from it.
    pub has_unread: bool,
    /// How many connections wait to be accepted.
    pub waiting_connections: u64,
    /// Another socket can certainly listen in its place, once it is closed.
    pub can_listen_again: bool,
    /// It has a filter that the kernel does not show.
    pub has_hidden_filter: bool,
    /// Its pair, if its peer is the program's own too or closed.
    pub pair: Option<Pair>,
}

impl Default for Socket {
    fn default() -> Self {
        Self {
            state: SocketState::Unseen,
            is_stream: false,
            has_unread: false,
            waiting_connections: 0,
            can_listen_again: true,
            has_hidden_filter: false,
            pair: None,
        }
    }
}

impl Socket {
    /// Why it does not come back.
    pub fn reasons(&self, sharing: Sharing) -> Reasons {
        let Some(pair) = self.pair else {
            return self.reasons_of_one(sharing);
        };
        match pair.is_made_anew() {
            true => pair.reasons(),
            false => pair.reasons().and(self.reasons_of_one(sharing)),
        }
    }

    /// The same for one that is in no pair, or in a pair that can't be made anew.
    pub fn reasons_of_one(&self, sharing: Sharing) -> Reasons {
        let has_backlog = self.waiting_connections > 0;
        // A socket that others share does not end when the program closes it.
        let is_held = !sharing.is_elsewhere && (sharing.is_hidden || !self.can_listen_again);
        let of_state = match self.state {
            SocketState::New => [None, None],
            SocketState::Idle => [
                (!self.is_stream && self.has_unread).then_some(Why::Unread),
                None,
            ],
            SocketState::Listening => [
                has_backlog.then_some(Why::Backlog),
                is_held.then_some(Why::Held),
            ],
            SocketState::Connected => [Some(Why::Connected), None],
            SocketState::Unseen => [Some(Why::State), None],
        };
        Reasons::NONE
            .and(of_state.into_iter().flatten())
            .and(self.has_hidden_filter.then_some(Why::Filter))
    }
}

/// A pair of connected local sockets that only the program has, or one with a closed peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// One of them is bound to a name, or made by a listener that is.
    pub has_name: bool,
    /// The kernel says that the program's present user has made both.
    pub is_vouched_for: bool,
    /// It has a pending error, and its messages hide what is behind that.
    pub hides_error: bool,
    /// Descriptors are on their way in it.
    pub carries_descriptors: bool,
}

impl Pair {
    /// Whether a copy makes a pair of its own.
    pub const fn is_made_anew(&self) -> bool {
        self.is_vouched_for && !self.hides_error
    }

    /// Why it does not come back, or not entirely.
    pub fn reasons(&self) -> Reasons {
        if !self.is_vouched_for {
            // A new one would name the program's present user as its maker.
            return Reasons::NONE.and([Why::Credentials]);
        }
        Reasons::NONE
            .and(self.has_name.then_some(Why::Names))
            .and(self.hides_error.then_some(Why::Error))
            .and((self.carries_descriptors && !self.hides_error).then_some(Why::Waiting))
    }
}
