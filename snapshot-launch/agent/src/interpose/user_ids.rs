//! The functions by which a program becomes another user.
//!
//! libc makes every thread change, and signals each by its cached id. In a revived copy those
//! ids may be stale, and some threads would silently keep their rights. There the functions
//! refuse, and change nothing.
//!
//! Context: IN-PROCESS.

use core::ffi::c_int;

use libc::{gid_t, uid_t};
use snapshot_core::threads::stale;

use crate::errno;
use crate::real::{Real, real};

/// Whether libc could not reach some other thread.
fn must_refuse() -> bool {
    stale::any_of_others()
}

macro_rules! user_function {
    ($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*), $c_name:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As libc's.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> c_int {
            static REAL: Real = Real::new($c_name);
            if must_refuse() {
                errno::set(libc::EAGAIN);
                return -1;
            }
            real!(REAL: fn($($type),*), $($argument),*)
        }
    };
}

user_function!(
    /// setuid(2)
    setuid(user: uid_t), c"setuid"
);
user_function!(
    /// seteuid(2)
    seteuid(user: uid_t), c"seteuid"
);
user_function!(
    /// setreuid(2)
    setreuid(real: uid_t, effective: uid_t), c"setreuid"
);
user_function!(
    /// setresuid(2)
    setresuid(real: uid_t, effective: uid_t, saved: uid_t), c"setresuid"
);
user_function!(
    /// setgid(2)
    setgid(group: gid_t), c"setgid"
);
user_function!(
    /// setegid(2)
    setegid(group: gid_t), c"setegid"
);
user_function!(
    /// setregid(2)
    setregid(real: gid_t, effective: gid_t), c"setregid"
);
user_function!(
    /// setresgid(2)
    setresgid(real: gid_t, effective: gid_t, saved: gid_t), c"setresgid"
);
user_function!(
    /// setgroups(2)
    setgroups(count: usize, groups: *const gid_t), c"setgroups"
);
