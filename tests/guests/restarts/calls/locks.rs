//! Calls that wait for another thread: semaphores, condition variables, mutexes, futexes, and
//! what Rust's standard library makes of them.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr::null;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, mpsc};

use nix::errno::Errno;

use crate::act::{Act, Given, endless, limited};
use crate::note::Note;
use crate::outcome::{Outcome, call};
use crate::time::{LIMIT, LIMIT_SPEC, deadline};

/// An object that the kernel or libc writes to while several threads hold its address.
struct Shared<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: it is only ever used through its address, by calls made to be used so.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::zeroed()))
    }

    pub const fn pointer(&self) -> *mut T {
        self.0.get().cast()
    }
}

pub fn sem_wait(_: &Given) -> Act {
    static SEMAPHORE: Shared<libc::sem_t> = Shared::new();
    // SAFETY: the semaphore lives as long as the program.
    unsafe { libc::sem_init(SEMAPHORE.pointer(), 0, 0) };
    let call = |note: &Note| {
        note.begin();
        call!(libc::sem_wait(SEMAPHORE.pointer()))
    };
    endless(call, || {
        // SAFETY: it was made above.
        unsafe { libc::sem_post(SEMAPHORE.pointer()) };
    })
}

pub fn sem_timedwait(_: &Given) -> Act {
    static SEMAPHORE: Shared<libc::sem_t> = Shared::new();
    // SAFETY: the semaphore lives as long as the program.
    unsafe { libc::sem_init(SEMAPHORE.pointer(), 0, 0) };
    limited(|note| {
        let time = deadline(libc::CLOCK_REALTIME);
        note.begin();
        call!(libc::sem_timedwait(SEMAPHORE.pointer(), &raw const time))
    })
}

pub fn cond_timedwait(_: &Given) -> Act {
    // Zeroes are what the static initialisers of both are.
    static MUTEX: Shared<libc::pthread_mutex_t> = Shared::new();
    static CONDITION: Shared<libc::pthread_cond_t> = Shared::new();
    limited(|note| {
        // SAFETY: it is initialised, and lives as long as the program.
        unsafe { libc::pthread_mutex_lock(MUTEX.pointer()) };
        let time = deadline(libc::CLOCK_REALTIME);
        note.begin();
        let Outcome(code) = call!(libc::pthread_cond_timedwait(
            CONDITION.pointer(),
            MUTEX.pointer(),
            &raw const time
        ));
        // SAFETY: this thread has locked it.
        unsafe { libc::pthread_mutex_unlock(MUTEX.pointer()) };
        Outcome::of_code(code.unwrap_or(-1))
    })
}

pub fn mutex_lock(_: &Given) -> Act {
    static MUTEX: Shared<libc::pthread_mutex_t> = Shared::new();
    // SAFETY: zeroes are a mutex, and it lives as long as the program.
    unsafe { libc::pthread_mutex_lock(MUTEX.pointer()) };
    let call = |note: &Note| {
        note.begin();
        let Outcome(code) = call!(libc::pthread_mutex_lock(MUTEX.pointer()));
        Outcome::of_code(code.unwrap_or(-1))
    };
    endless(call, || {
        // SAFETY: the thread that releases is the one that has locked it.
        unsafe { libc::pthread_mutex_unlock(MUTEX.pointer()) };
    })
}

pub fn futex_relative(_: &Given) -> Act {
    static WORD: AtomicU32 = AtomicU32::new(0);
    limited(|note| {
        note.begin();
        call!(libc::syscall(
            libc::SYS_futex,
            WORD.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            0,
            &raw const LIMIT_SPEC
        ))
    })
}

/// Waits on a futex without a time limit.
pub fn futex(note: &Note, word: &AtomicU32) -> Outcome {
    note.begin();
    call!(libc::syscall(
        libc::SYS_futex,
        word.as_ptr(),
        libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
        0,
        null::<libc::timespec>()
    ))
}

pub fn futex_endless(_: &Given) -> Act {
    static WORD: AtomicU32 = AtomicU32::new(0);
    endless(
        |note| futex(note, &WORD),
        || {
            WORD.store(1, Ordering::SeqCst);
            // SAFETY: the word lives as long as the program.
            unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    WORD.as_ptr(),
                    libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                    1,
                )
            };
        },
    )
}

pub fn futex_bitset_absolute(_: &Given) -> Act {
    static WORD: AtomicU32 = AtomicU32::new(0);
    limited(|note| {
        let time = deadline(libc::CLOCK_MONOTONIC);
        note.begin();
        call!(libc::syscall(
            libc::SYS_futex,
            WORD.as_ptr(),
            libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG,
            0,
            &raw const time,
            null::<u32>(),
            u32::MAX
        ))
    })
}

pub fn std_park_timeout(_: &Given) -> Act {
    limited(|note| {
        note.begin();
        std::thread::park_timeout(LIMIT);
        Outcome(Ok(0))
    })
}

pub fn std_condvar(_: &Given) -> Act {
    limited(|note| {
        let (mutex, condition) = (Mutex::new(()), Condvar::new());
        let guard = mutex.lock().expect("nobody panics with it");
        note.begin();
        let waited = condition.wait_timeout(guard, LIMIT);
        let (_guard, result) = waited.expect("nobody panics with it");
        Outcome(if result.timed_out() {
            Err(Errno::ETIMEDOUT)
        } else {
            Ok(0)
        })
    })
}

pub fn std_recv_timeout(_: &Given) -> Act {
    limited(|note| {
        let (_sender, receiver) = mpsc::channel::<()>();
        note.begin();
        Outcome(match receiver.recv_timeout(LIMIT) {
            Err(mpsc::RecvTimeoutError::Timeout) => Err(Errno::ETIMEDOUT),
            _ => Ok(0),
        })
    })
}
