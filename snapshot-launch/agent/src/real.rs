//! libc's own functions, behind the agent's functions of the same name.
//!
//! The agent is loaded before libc, so the program calls the agent's functions. They find
//! libc's by `dlsym(RTLD_NEXT)`, once each, and call them.
//!
//! Context: AS-SAFE once the address is known. The first look-up takes the loader's lock, so
//! what a signal handler may call is looked up when the agent begins.

use core::ffi::{CStr, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// A function of libc, looked up once.
pub(crate) struct Real {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
}

impl Real {
    pub(crate) const fn new(name: &'static CStr) -> Self {
        Self {
            name,
            found: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Its address, or null if libc has no such function.
    pub(crate) fn address(&self) -> *mut c_void {
        // Relaxed: the address is all there is to read, and every thread finds the same one.
        let found = self.found.load(Ordering::Relaxed);
        if !found.is_null() {
            return found;
        }
        // SAFETY: the name is a C string.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        self.found.store(found, Ordering::Relaxed);
        found
    }
}

/// Calls libc's function of that name and type, which returns an `int`. Fails with ENOSYS if
/// libc has none.
macro_rules! real {
    ($real:ident: fn($($type:ty),*), $($argument:expr),*) => {
        // SAFETY: a null address is `None`; any other is libc's function of this type.
        match unsafe {
            core::mem::transmute::<
                *mut core::ffi::c_void,
                Option<unsafe extern "C" fn($($type),*) -> core::ffi::c_int>,
            >(
                $real.address(),
            )
        } {
            // SAFETY: the arguments are the program's own, or live locals.
            Some(real) => unsafe { real($($argument),*) },
            None => {
                $crate::errno::set(libc::ENOSYS);
                -1
            }
        }
    };
}
pub(crate) use real;
