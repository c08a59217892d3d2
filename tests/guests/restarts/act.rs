//! One thread's part in the guest: the call that it makes, and what ends that call.

use crate::note::Note;
use crate::outcome::Outcome;

/// The caller's objects.
pub struct Given {
    pub semaphores: i32,
    pub empty_queue: i32,
    pub full_queue: i32,
}

/// One thread's part: the call, and what ends it if no time limit does.
pub struct Act {
    pub call: Box<dyn FnOnce(&Note) -> Outcome + Send>,
    pub release: Option<Box<dyn FnOnce()>>,
}

/// A call that ends by itself.
pub fn limited(call: impl FnOnce(&Note) -> Outcome + Send + 'static) -> Act {
    Act {
        call: Box::new(call),
        release: None,
    }
}

/// A call that ends when something happens.
pub fn endless(
    call: impl FnOnce(&Note) -> Outcome + Send + 'static,
    release: impl FnOnce() + 'static,
) -> Act {
    Act {
        call: Box::new(call),
        release: Some(Box::new(release)),
    }
}
