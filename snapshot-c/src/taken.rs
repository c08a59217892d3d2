//! What is known of a snapshot: its label, and what the program has said about it.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "exports a function to C")]

use std::ffi::{c_char, c_int};

use snapshot_core::{SnapshotError, Taken};

use crate::border::{Growing, Out, fill_text, guarded};
use crate::error::{Failure, SNAPSHOT_TEXT_BYTES};

/// What is known of a snapshot.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct snapshot_taken {
    /// Set it to `sizeof(struct snapshot_taken)` before the call.
    pub size: u32,
    /// The snapshot's number.
    pub id: u32,
    /// The label that the program gave it; "" if none, or if it was taken from outside.
    pub label: [c_char; SNAPSHOT_TEXT_BYTES],
    /// What the program was about to do; "" if it did not say.
    pub context: [c_char; SNAPSHOT_TEXT_BYTES],
}

// SAFETY: it is `repr(C)`; the sizes of its fields leave no padding; the size is the first.
unsafe impl Growing for snapshot_taken {
    const FIRST_BYTES: u32 = 520;

    fn set_size(&mut self, bytes: u32) {
        self.size = bytes;
    }
}

impl From<&Taken> for snapshot_taken {
    fn from(taken: &Taken) -> Self {
        let mut described = Self {
            size: 0,
            id: taken.id.number(),
            label: [0; SNAPSHOT_TEXT_BYTES],
            context: [0; SNAPSHOT_TEXT_BYTES],
        };
        fill_text(
            &mut described.label,
            taken.label.as_deref().unwrap_or_default(),
        );
        let context = taken.context.as_deref().unwrap_or_default();
        fill_text(&mut described.context, context);
        described
    }
}

/// Says what is known of a snapshot. Returns 0 or an error.
///
/// # Safety
/// `taken` must be a structure with its size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn snapshot_describe(id: u32, taken: *mut snapshot_taken) -> c_int {
    guarded(|| {
        if taken.is_null() {
            return Err(Failure::argument("`taken` is null"));
        }
        // SAFETY: by this function's own condition.
        let out = unsafe { Out::at(taken) }?;
        let all = snapshot_core::list()?;
        let known = all.iter().find(|known| known.id.number() == id);
        out.fill(known.ok_or(SnapshotError::NoSuchSnapshot)?.into());
        Ok(0)
    })
}
