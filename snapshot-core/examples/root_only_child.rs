//! `RootOnly` with a child that is killed when its owner is dropped: a branch must not kill the
//! original's child. No revert brings a killed process back.
//!
//! Prints:
//! ```text
//! without RootOnly it runs: false
//! with RootOnly it runs: true
//! at the end it was killed: true
//! ```

use std::io;
use std::process::{Child, Command, Stdio};

use snapshot_core::{Arrival, RootOnly, revert, snapshot};

/// Kills its process when it is dropped, as `tokio::process` does with `kill_on_drop`.
struct KillOnDrop(Child);

impl KillOnDrop {
    /// A process that runs until its stdin ends.
    fn spawn() -> io::Result<Self> {
        let child = Command::new("cat").stdin(Stdio::piped()).spawn()?;
        Ok(Self(child))
    }

    fn runs(&mut self) -> io::Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut plain = KillOnDrop::spawn()?;
    if let Arrival::Live(_) = snapshot()? {
        drop(plain);
        match revert()? {}
    }
    println!("without RootOnly it runs: {}", plain.runs()?);

    let mut kept = RootOnly::new(KillOnDrop::spawn()?);
    if let Arrival::Live(_) = snapshot()? {
        drop(kept);
        match revert()? {}
    }
    println!("with RootOnly it runs: {}", kept.runs()?);

    let mut last = kept.into_inner();
    last.0.kill()?;
    println!("at the end it was killed: {}", !last.0.wait()?.success());
    Ok(())
}
