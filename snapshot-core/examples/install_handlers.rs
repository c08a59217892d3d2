//! `install_handlers` lets SIGUSR1 take a snapshot and Ctrl+C go back to it in a program alone. A session
//! does so by itself, for signals from outside; a signal that the program sends itself is its own there.
//!
//! Prints, alone:
//! ```text
//! depth 0 after 0 steps
//! depth 1 after 1 steps
//! depth 0 after 0 steps
//! ```
//!
//! In a session:
//! ```text
//! depth 0 after 0 steps
//! a session serves its own signals
//! ```

use nix::sys::signal::{Signal, raise};
use snapshot_core::{Rollback, depth, install_handlers, rollback};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut steps = 0;
    install_handlers()?;
    println!("depth {} after {steps} steps", depth());
    if rollback() == Rollback::Session {
        println!("a session serves its own signals");
        return Ok(());
    }
    // As `kill -USR1 PID` does. It returns again after the revert.
    raise(Signal::SIGUSR1)?;
    if depth() > 0 {
        steps += 1;
        println!("depth {} after {steps} steps", depth());
        raise(Signal::SIGINT)?;
    }
    println!("depth {} after {steps} steps", depth());
    Ok(())
}
