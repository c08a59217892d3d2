//! Figures that no revert takes back: memory comes back, shared memory and files too, but a file
//! that was given from outside stays as the branch left it. This one is the program's stdin.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// Numbers by their places; all are 0 at first.
pub struct Figures(File);

const BYTES: usize = size_of::<u64>();

impl Figures {
    /// Those in the file that [`crate::itself::run`] gives.
    pub fn given() -> Self {
        let stdin = std::io::stdin().as_fd().try_clone_to_owned();
        Self(stdin.expect("there is room for a descriptor").into())
    }

    fn offset(index: usize) -> u64 {
        u64::try_from(index * BYTES).expect("a few")
    }

    pub fn set(&self, index: usize, value: u64) {
        self.0
            .write_all_at(&value.to_ne_bytes(), Self::offset(index))
            .expect("there is room");
    }

    pub fn get(&self, index: usize) -> u64 {
        let mut bytes = [0; BYTES];
        // A figure that was never set lies behind the file's end.
        match self.0.read_exact_at(&mut bytes, Self::offset(index)) {
            Ok(()) => u64::from_ne_bytes(bytes),
            Err(_) => 0,
        }
    }
}
