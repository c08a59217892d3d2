//! Files come back: after a revert every file is as it was at the take, and after a commit it is
//! as the program left it.

mod attacks;
mod databases;
mod differences;
mod guest;
mod ipython;
mod killed_journal;
mod killed_session;
mod kinds;
mod large;
mod limits;
mod mounted;
mod outsiders;
mod postgres;
mod programs;
mod promises;
mod storm;
mod temporary;
