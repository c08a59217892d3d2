//! `mlockall`, which also locks what `malloc` keeps for later. The settings for huge pages let
//! `malloc` take 64 MB at once; a program that locks all its memory doesn't use that, and its
//! limit may be smaller. So unused memory goes back first, and more comes in small pieces.
//!
//! Context: as libc's own; not AS-SAFE, as its `malloc` is not.

use core::ffi::c_int;

use crate::real::{Real, real};
use crate::session;

static MLOCKALL: Real = Real::new(c"mlockall");
static MALLOPT: Real = Real::new(c"mallopt");
static MALLOC_TRIM: Real = Real::new(c"malloc_trim");

/// From `malloc.h`: how much `malloc` takes beyond its need, and the default.
const M_TOP_PAD: c_int = -2;
const TOP_PAD: c_int = 128 << 10;

/// mlockall(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlockall(flags: c_int) -> c_int {
    if session::asks_for_huge_pages() {
        real!(MALLOPT: fn(c_int, c_int), M_TOP_PAD, TOP_PAD);
        real!(MALLOC_TRIM: fn(usize), 0);
    }
    real!(MLOCKALL: fn(c_int), flags)
}
