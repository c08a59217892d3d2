//! The program's threads: where each stands, what the kernel keeps of it, how it is reached,
//! and how its interrupted call goes on.
//!
//! Context: AS-SAFE.

pub mod call_number;
pub mod interrupted_call;
pub mod layout;
pub(crate) mod leader;
pub mod limits;
pub mod mutexes;
pub(crate) mod own_stack;
pub(crate) mod parked;
pub mod restart;
pub mod shielded;
pub(crate) mod slots;
pub mod stale;
pub(crate) mod state;
pub mod takeover;
pub(crate) mod time_used;
pub mod timing;
mod transfer_parts;
pub(crate) mod transfers;
pub mod turn;
pub(crate) mod unparked;
pub mod withdrawn;
