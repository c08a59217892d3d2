//! Where AFL++'s compiler counts what a run has covered. If this library is compiled by it, too, its own work
//! between two runs must not count: it differs from run to run.
//!
//! Context: AS-SAFE, but for [`begin`].
#![expect(unsafe_code, reason = "reads and writes variables of the program's")]

use core::sync::atomic::{AtomicPtr, Ordering};

use crate::arch;
use crate::process::own_memory::keep_out;
use crate::sys;

/// Where the library's own work counts; null if that is the same place.
static ASIDE: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
/// Where the program's work counts.
static COUNTED: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
/// The runtime's own map is as long where it says nothing of a size.
const LEAST: usize = 65_536;

/// The runtime's variable. `None` in a program without it.
fn place() -> Option<&'static AtomicPtr<u8>> {
    // SAFETY: the runtime has a pointer under this name, which only the program's thread uses.
    unsafe { arch::afl_area().cast::<AtomicPtr<u8>>().as_ref() }
}

/// From now on until [`show`], nothing counts. `bytes` is the size of the map.
pub(crate) fn begin(bytes: usize) {
    let Some(place) = place() else { return };
    let bytes = bytes.max(LEAST);
    // Shared: it is no part of the program's memory, and no copy's alone.
    let Some(aside) = sys::map_memory(bytes, true) else {
        return;
    };
    keep_out(aside.as_ptr().addr());
    COUNTED.store(place.load(Ordering::Relaxed), Ordering::Relaxed);
    ASIDE.store(aside.as_ptr(), Ordering::Relaxed);
    hide();
}

/// What runs now is the program.
pub(crate) fn show() {
    point_to(&COUNTED);
}

/// What runs now is the library.
pub(crate) fn hide() {
    point_to(&ASIDE);
}

fn point_to(map: &AtomicPtr<u8>) {
    let map = map.load(Ordering::Relaxed);
    if let Some(place) = place().filter(|_| !map.is_null()) {
        place.store(map, Ordering::Relaxed);
    }
}
