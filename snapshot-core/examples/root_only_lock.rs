//! `RootOnly` with a lock file, which is there as long as somebody has the lock: a branch that drops it
//! must not let others in. (Locks of the kernel, `flock` and `fcntl`, come back in a revert.)
//!
//! Prints, alone:
//! ```text
//! without RootOnly it is locked: false
//! with RootOnly it is locked: true
//! at the end it is locked: false
//! ```
//!
//! In a session files come back by themselves:
//! ```text
//! without RootOnly it is locked: true
//! with RootOnly it is locked: true
//! at the end it is locked: false
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use snapshot_core::{Arrival, RootOnly, revert, snapshot};

/// Unlocks when it is dropped.
struct LockFile(PathBuf);

impl LockFile {
    fn lock(path: &Path) -> io::Result<Self> {
        File::create_new(path)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn is_locked(path: &Path) -> bool {
    LockFile::lock(path).is_err()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = RootOnly::new(tempfile::tempdir()?);
    let [first, second] = ["first.lock", "second.lock"].map(|name| directory.path().join(name));

    let plain = LockFile::lock(&first)?;
    if let Arrival::Live(_) = snapshot()? {
        drop(plain);
        match revert()? {}
    }
    println!("without RootOnly it is locked: {}", is_locked(&first));

    let kept = RootOnly::new(LockFile::lock(&second)?);
    if let Arrival::Live(_) = snapshot()? {
        drop(kept);
        match revert()? {}
    }
    println!("with RootOnly it is locked: {}", is_locked(&second));

    drop(kept);
    println!("at the end it is locked: {}", is_locked(&second));
    Ok(())
}
