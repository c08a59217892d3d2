//! What runs before `main`, in a program that this library is linked into.
//!
//! Context: IN-PROCESS, with one thread.
#![expect(unsafe_code, reason = "asks libc where the program begins")]

use super::copies::{host::host_if_asked, place::file_of};
use crate::objects::note_inherited;

/// As the program's constructors do.
#[used]
#[unsafe(link_section = ".init_array")]
static ENTRY: extern "C" fn() = enter;

extern "C" fn enter() {
    if is_of_the_program() {
        // A take then need not look for others who have these files: whoever has started the program has.
        note_inherited();
        host_if_asked();
    }
}

/// Whether this library is in the program's own file. A shared one may be loaded much later, when the program
/// has opened files itself.
fn is_of_the_program() -> bool {
    // SAFETY: asks.
    let begin = unsafe { libc::getauxval(libc::AT_ENTRY) };
    let begin = std::ptr::without_provenance(usize::try_from(begin).unwrap_or(0));
    file_of(begin).is_some_and(|file| file_of(enter as *const ()) == Some(file))
}
