//! The shared code of the second terminal's verbs: which session and which snapshot are meant,
//! one request to the session, and the answer on stdout.

pub mod answer;
pub mod request;
pub mod session_choice;
pub mod snapshot_id;
