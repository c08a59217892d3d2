//! The end of the process in the midst of a revert, for tests: every step that changes
//! something is announced here first.

/// Before a step.
#[cfg(not(test))]
pub(super) fn step() {}

#[cfg(test)]
pub(super) use for_tests::step;
#[cfg(test)]
pub(crate) use for_tests::{Stopped, after};

#[cfg(test)]
mod for_tests {
    use std::cell::Cell;
    use std::panic::resume_unwind;

    thread_local! {
        static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// What a test catches.
    pub(crate) struct Stopped;

    /// Lets this many steps pass and stops at the next. `None`: no stop.
    pub(crate) fn after(steps: Option<u64>) {
        LEFT.set(steps);
    }

    pub(in super::super) fn step() {
        if let Some(left) = LEFT.get() {
            if left == 0 {
                LEFT.set(None);
                resume_unwind(Box::new(Stopped));
            }
            LEFT.set(Some(left - 1));
        }
    }
}
