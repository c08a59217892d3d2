//! Plain data that every room may name. It imports nothing above.
//!
//! Context: AS-SAFE.

mod closed;
pub mod comes_back;
mod disagreement;
mod ended;
pub mod file_calls;
pub mod guards;
mod interrupted_call;
mod kinds;
mod message_parts;
mod session_signals;
mod signal_name;
mod snapshot_id;
#[cfg(feature = "std")]
pub mod timeline;

pub use closed::Closed;
pub use disagreement::Disagreement;
pub use ended::Ended;
pub use interrupted_call::{Asleep, Call, Clock, Doing, InterruptedCall};
pub use kinds::{Kind, Origin, Why, is_stateless_device, may_be_message_queue};
pub use message_parts::*;
pub use session_signals::{
    PASSED_MAGIC, REQUEST_MAGIC, REQUEST_SIGNAL, SENDER_OUTSIDE, mute, muted, sender,
};
pub use signal_name::SignalNumber;
pub use snapshot_id::SnapshotId;
