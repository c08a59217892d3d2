//! Contracts with others: the messages between launcher and supervisor, what scripts and second
//! terminals read, and the words of both.

pub(crate) mod channel;
pub mod control;
pub mod counted;
pub(crate) mod doors;
pub mod event;
pub mod facts;
pub mod file_changes;
pub(crate) mod journal;
pub(crate) mod own_use;
pub mod problem;
pub mod refusal;
pub(crate) mod report;
pub mod signals;
pub mod timeline_view;
pub(crate) mod unstarted;
