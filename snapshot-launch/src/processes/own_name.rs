//! The name of this process.

use std::ffi::CString;

use nix::sys::prctl;

/// Names the calling process for `ps`.
pub(crate) fn name_process(name: &str) {
    if let Ok(name) = CString::new(name) {
        let _ = prctl::set_name(&name);
    }
}
