//! The functions that ask the kernel about a thread by its id.
//!
//! libc caches the id of each thread. In a revived copy that id is stale for the threads of the
//! snapshot. For those the functions here use the thread's present id; for all others they call
//! libc's.
//!
//! The cached id itself stays, since it owns the mutexes that were held at the snapshot; see
//! [`snapshot_core::threads::stale`].
//!
//! Context: AS-SAFE, as far as libc's own are.

use core::ffi::{c_char, c_int, c_void};
use core::mem;
use snapshot_core::kernel::thread_names;

use libc::{clockid_t, cpu_set_t, pthread_attr_t, pthread_mutexattr_t, pthread_t, sched_param};
use snapshot_core::sys::{self, Errno, SignalInfo, SignalSet};
use snapshot_core::threads::{mutexes, stale};

use crate::real::Real;

/// The real id of a thread whose cached one is stale.
fn real_tid(thread: pthread_t) -> Option<c_int> {
    stale::real_tid(usize::try_from(thread).ok()?)
}

/// The result of these functions: 0, or the error's number.
fn answer(outcome: sys::Result<()>) -> c_int {
    match outcome {
        Ok(()) => 0,
        Err(Errno(errno)) => errno,
    }
}

/// Defines a function that answers for threads with a stale id by `$stale`, and calls
/// libc's for all others.
macro_rules! thread_function {
    (
        $(#[$doc:meta])*
        $name:ident($thread:ident $(, $argument:ident: $type:ty)*), $c_name:literal,
        |$tid:ident| $stale:expr
    ) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As libc's.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($thread: pthread_t $(, $argument: $type)*) -> c_int {
            if let Some($tid) = real_tid($thread) {
                return $stale;
            }
            static REAL: Real = Real::new($c_name);
            // SAFETY: a null address is `None`; any other is libc's function of this type.
            let real = unsafe {
                mem::transmute::<
                    *mut c_void,
                    Option<unsafe extern "C" fn(pthread_t $(, $type)*) -> c_int>,
                >(REAL.address())
            };
            match real {
                // SAFETY: the caller's promise.
                Some(real) => unsafe { real($thread $(, $argument)*) },
                None => libc::ENOSYS,
            }
        }
    };
}

/// Whether it is one of libc's own two signals: a program can't send them.
fn is_of_libc(signal: c_int) -> bool {
    !SignalSet::only(signal)
        .without(SignalSet::PROGRAM)
        .is_empty()
}

thread_function!(
    /// pthread_kill(3)
    pthread_kill(thread, signal: c_int), c"pthread_kill",
    |tid| if is_of_libc(signal) {
        libc::EINVAL
    } else {
        answer(sys::tgkill(sys::getpid(), tid, signal))
    }
);

thread_function!(
    /// pthread_sigqueue(3)
    pthread_sigqueue(thread, signal: c_int, value: libc::sigval), c"pthread_sigqueue",
    |tid| if is_of_libc(signal) {
        libc::EINVAL
    } else {
        let value = value.sival_ptr.addr() as u64;
        answer(sys::queue_to_thread(tid, &SignalInfo::queued(signal, value)))
    }
);

thread_function!(
    /// pthread_getcpuclockid(3)
    pthread_getcpuclockid(thread, clock: *mut clockid_t), c"pthread_getcpuclockid",
    |tid| {
        // The id's complement above three bits that mean a thread's processor time. SAFETY: the
        // caller's promise.
        unsafe { clock.write((!tid << 3) | 0b110) };
        0
    }
);

thread_function!(
    /// pthread_setaffinity_np(3)
    pthread_setaffinity_np(thread, size: usize, set: *const cpu_set_t),
    c"pthread_setaffinity_np",
    // SAFETY: the caller's promise.
    |tid| answer(unsafe { sys::set_affinity_of(tid, size, set.cast()) })
);

thread_function!(
    /// pthread_getaffinity_np(3)
    pthread_getaffinity_np(thread, size: usize, set: *mut cpu_set_t),
    c"pthread_getaffinity_np",
    // SAFETY: the caller's promise.
    |tid| answer(unsafe { sys::affinity_of(tid, size, set.cast()) })
);

thread_function!(
    /// pthread_setschedparam(3)
    pthread_setschedparam(thread, policy: c_int, parameter: *const sched_param),
    c"pthread_setschedparam",
    // SAFETY: the caller's promise.
    |tid| answer(unsafe { sys::set_policy_of(tid, policy, parameter.cast()) })
);

thread_function!(
    /// pthread_setschedprio(3)
    pthread_setschedprio(thread, priority: c_int), c"pthread_setschedprio",
    |tid| answer(sys::set_priority_of(tid, priority))
);

thread_function!(
    /// pthread_getschedparam(3)
    pthread_getschedparam(thread, policy: *mut c_int, parameter: *mut sched_param),
    c"pthread_getschedparam",
    |tid| match sys::policy_of(tid) {
        Ok((now, priority)) => {
            // SAFETY: the caller's promise.
            unsafe { policy.write(now) };
            // SAFETY: as above; the structure has this one field.
            unsafe { (*parameter).sched_priority = priority };
            0
        }
        Err(Errno(errno)) => errno,
    }
);

/// The longest name of a thread, with its NUL.
const NAME_BYTES: usize = 16;

thread_function!(
    /// pthread_setname_np(3)
    pthread_setname_np(thread, name: *const c_char), c"pthread_setname_np",
    |tid| {
        // SAFETY: the caller's promise.
        let name = unsafe { core::ffi::CStr::from_ptr(name) }.to_bytes();
        if name.len() >= NAME_BYTES {
            libc::ERANGE
        } else {
            answer(thread_names::set_name_of(tid, name))
        }
    }
);

thread_function!(
    /// pthread_getname_np(3)
    pthread_getname_np(thread, buffer: *mut c_char, length: usize), c"pthread_getname_np",
    |tid| {
        let mut name = [0; NAME_BYTES];
        if length < NAME_BYTES {
            libc::ERANGE
        } else {
            let read = thread_names::name_of(tid, &mut name);
            // SAFETY: the caller's buffer has room for it, as checked.
            unsafe { core::ptr::copy_nonoverlapping(name.as_ptr(), buffer.cast(), NAME_BYTES) };
            answer(read)
        }
    }
);

type Cancel = unsafe extern "C" fn(pthread_t) -> c_int;

/// pthread_cancel(3): libc marks the thread, and signals it by its cached id.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_cancel(thread: pthread_t) -> c_int {
    static REAL: Real = Real::new(c"pthread_cancel");
    /// glibc's SIGCANCEL.
    const SIGNAL: c_int = 32;
    // SAFETY: a null address is `None`; any other is libc's function.
    let real = unsafe { mem::transmute::<*mut c_void, Option<Cancel>>(REAL.address()) };
    let Some(real) = real else {
        return libc::ENOSYS;
    };
    // Before it is marked: it may end right after.
    let tid = real_tid(thread);
    // SAFETY: the caller's promise.
    let outcome = unsafe { real(thread) };
    match tid {
        Some(tid) => {
            // A thread that has ended needs no signal.
            let _ = sys::tgkill(sys::getpid(), tid, SIGNAL);
            0
        }
        None => outcome,
    }
}

type Attributes = unsafe extern "C" fn(pthread_t, *mut pthread_attr_t) -> c_int;

/// pthread_getattr_np(3): libc's own asks the kernel, by the cached id, for the thread's
/// processors, and fails if there is no such thread. By then it has filled in all the rest, so
/// this adds the processors. If libc has filled in nothing, the failure stands.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_getattr_np(
    thread: pthread_t,
    attributes: *mut pthread_attr_t,
) -> c_int {
    static REAL: Real = Real::new(c"pthread_getattr_np");
    // SAFETY: a null address is `None`; any other is libc's function.
    let real = unsafe { mem::transmute::<*mut c_void, Option<Attributes>>(REAL.address()) };
    let Some(real) = real else {
        return libc::ENOSYS;
    };
    // SAFETY: the caller's promise.
    let outcome = unsafe { real(thread, attributes) };
    match real_tid(thread) {
        Some(tid) if outcome == libc::ESRCH && has_stack(attributes) => {
            add_processors(tid, attributes)
        }
        _ => outcome,
    }
}

/// Whether a thread's attributes name its stack.
fn has_stack(attributes: *const pthread_attr_t) -> bool {
    let mut start = core::ptr::null_mut();
    let mut length = 0;
    // SAFETY: the attributes were initialised by libc; two locals are written.
    let got = unsafe { libc::pthread_attr_getstack(attributes, &raw mut start, &raw mut length) };
    got == 0 && !start.is_null() && length != 0
}

unsafe extern "C" {
    fn pthread_attr_setaffinity_np(
        attributes: *mut pthread_attr_t,
        size: usize,
        set: *const cpu_set_t,
    ) -> c_int;
}

fn add_processors(tid: c_int, attributes: *mut pthread_attr_t) -> c_int {
    // SAFETY: all-zero is a valid set.
    let mut set: cpu_set_t = unsafe { mem::zeroed() };
    let size = mem::size_of::<cpu_set_t>();
    // SAFETY: a live local of that size.
    if let Err(Errno(errno)) = unsafe { sys::affinity_of(tid, size, (&raw mut set).cast()) } {
        return errno;
    }
    // SAFETY: the attributes were initialised by libc, the set is a live local.
    unsafe { pthread_attr_setaffinity_np(attributes, size, &raw const set) }
}

type SetProtocol = unsafe extern "C" fn(*mut pthread_mutexattr_t, c_int) -> c_int;

/// pthread_mutexattr_setprotocol(3): records that the program makes mutexes with priority
/// inheritance. The kernel knows the owner of such a mutex by its id.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_mutexattr_setprotocol(
    attributes: *mut pthread_mutexattr_t,
    protocol: c_int,
) -> c_int {
    static REAL: Real = Real::new(c"pthread_mutexattr_setprotocol");
    if protocol == libc::PTHREAD_PRIO_INHERIT {
        mutexes::note_priority_inheritance();
    }
    // SAFETY: a null address is `None`; any other is libc's function.
    match unsafe { mem::transmute::<*mut c_void, Option<SetProtocol>>(REAL.address()) } {
        // SAFETY: the caller's promise.
        Some(real) => unsafe { real(attributes, protocol) },
        None => libc::ENOSYS,
    }
}
