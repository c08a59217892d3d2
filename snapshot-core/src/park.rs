//! Park: bring every thread to a known point before the copy is made.
//!
//! A process with one thread is parked as soon as that thread is here. With more, the
//! take is refused: a copy has only the thread that made it, and one that silently lost
//! the others would be a lie.
//!
//! Context: AS-SAFE. Called by [`crate::take`] and [`crate::classic`], before
//! [`crate::split`].

use crate::procfs;
use crate::wire::{Obstacle, Step};

/// Checks that the calling thread is the only one.
///
/// # Errors
/// [`Obstacle::Threads`] with their number where it isn't.
pub(crate) fn park() -> Result<(), Obstacle> {
    let mut threads = 0_u32;
    procfs::for_each_number(c"/proc/self/task", |_| threads += 1)
        .map_err(|errno| Obstacle::Failed(Step::Park, errno.0))?;
    if threads == 1 {
        Ok(())
    } else {
        Err(Obstacle::Threads(threads))
    }
}
