//! What the program wants to happen on the signals that the agent serves: kept for it,
//! reported back to it, and done when the signal is its own.
//!
//! The functions at the end stand before libc's of the same name. For every other signal
//! they hand on to libc. In a child that the program has forked they do too: there the
//! signals are the child's own.
//!
//! Context: AS-SAFE.

use core::ffi::{CStr, c_int, c_void};
use core::hint;
use core::mem;
use core::ptr;
use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

use libc::{sighandler_t, siginfo_t, ucontext_t};
use snapshot_core::restart_interrupted_call;
use snapshot_core::sys::{self, SignalSet};
use snapshot_core::terms::{OwnUse, REQUEST_SIGNAL};
use snapshot_core::threads::takeover;

use crate::{adopted, errno, filters, handlers, session};

/// One signal's disposition as the program has set it.
#[derive(Clone, Copy)]
pub(crate) struct Disposition {
    pub(crate) handler: usize,
    pub(crate) flags: c_int,
    pub(crate) mask: u64,
}

impl Disposition {
    const DEFAULT: Self = Self {
        handler: libc::SIG_DFL,
        flags: 0,
        mask: 0,
    };

    /// Whether there is code of the program to run.
    pub(crate) fn is_handler(self) -> bool {
        self.handler != libc::SIG_DFL && self.handler != libc::SIG_IGN
    }

    fn from_libc(action: &libc::sigaction) -> Self {
        Self {
            handler: action.sa_sigaction,
            flags: action.sa_flags,
            // SAFETY: a `sigset_t` begins with the kernel's set of 64 bits.
            mask: unsafe { (&raw const action.sa_mask).cast::<u64>().read() },
        }
    }

    fn to_libc(self) -> libc::sigaction {
        // SAFETY: all-zero is a valid `struct sigaction`.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        action.sa_sigaction = self.handler;
        action.sa_flags = self.flags;
        // SAFETY: as above, for writing.
        unsafe { (&raw mut action.sa_mask).cast::<u64>().write(self.mask) };
        action
    }
}

/// One signal's disposition, for any thread to read while another writes it.
struct Slot {
    /// Odd while it is being written.
    version: AtomicU32,
    handler: AtomicUsize,
    flags: AtomicI32,
    mask: AtomicU64,
}

/// How often a reader looks again. A writer can have been left behind for good: in a child
/// that another thread has forked meanwhile. Then what is there must do.
const LOOKS: u32 = 1000;

impl Slot {
    const fn new() -> Self {
        Self {
            version: AtomicU32::new(0),
            handler: AtomicUsize::new(libc::SIG_DFL),
            flags: AtomicI32::new(0),
            mask: AtomicU64::new(0),
        }
    }

    fn read(&self) -> Disposition {
        for _ in 0..LOOKS {
            // Acquire: what is read below is no older than this version.
            let before = self.version.load(Ordering::Acquire);
            let read = self.read_now();
            // The loads above are not moved behind the one below.
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && before == self.version.load(Ordering::Relaxed) {
                return read;
            }
            hint::spin_loop();
        }
        self.read_now()
    }

    fn read_now(&self) -> Disposition {
        Disposition {
            handler: self.handler.load(Ordering::Relaxed),
            flags: self.flags.load(Ordering::Relaxed),
            mask: self.mask.load(Ordering::Relaxed),
        }
    }

    /// One thread writes at a time, by `WRITING`.
    fn write(&self, new: Disposition) {
        self.version.fetch_add(1, Ordering::AcqRel);
        self.handler.store(new.handler, Ordering::Relaxed);
        self.flags.store(new.flags, Ordering::Relaxed);
        self.mask.store(new.mask, Ordering::Relaxed);
        self.version.fetch_add(1, Ordering::Release);
    }
}

static TRIGGER: Slot = Slot::new();
static INTERRUPT: Slot = Slot::new();

/// The signal by which requests come, and threads are parked. A program can't block it.
pub(crate) const REQUESTS: SignalSet = SignalSet::only(REQUEST_SIGNAL);

/// Set while a thread exchanges a disposition, slot and kernel together.
static WRITING: AtomicBool = AtomicBool::new(false);

/// Does something with the dispositions to itself.
fn alone<T>(change: impl FnOnce() -> T) -> T {
    let open = sys::block(SignalSet::PROGRAM);
    let mut looks = 0;
    // Acquire and release: the former holder's writes are seen.
    while WRITING.swap(true, Ordering::Acquire) && looks < LOOKS {
        looks += 1;
        sys::yield_now();
    }
    let answer = change();
    WRITING.store(false, Ordering::Release);
    sys::set_mask(open);
    answer
}

static BEGUN: AtomicBool = AtomicBool::new(false);

fn slot(signal: c_int) -> Option<&'static Slot> {
    if signal == libc::SIGINT {
        Some(&INTERRUPT)
    } else if signal == session::trigger() {
        Some(&TRIGGER)
    } else {
        None
    }
}

/// What the program wants on one of our signals.
pub(crate) fn wanted(signal: c_int) -> Disposition {
    slot(signal).map_or(Disposition::DEFAULT, Slot::read)
}

/// Whether the agent stands between the program and this signal.
fn is_ours(signal: c_int) -> bool {
    BEGUN.load(Ordering::Acquire) && slot(signal).is_some()
}

/// Installs our handlers and keeps what was there.
pub(crate) fn begin() {
    for signal in [session::trigger(), libc::SIGINT] {
        let inherited = kernel_disposition(signal);
        if let Some(slot) = slot(signal) {
            slot.write(inherited);
        }
        install(signal, inherited);
    }
    // Where a filter forbids it the supervisor finds the trigger alone.
    let _ = takeover::keep(handlers::on_request);
    BEGUN.store(true, Ordering::Release);
    // A child that the program forks has its own dispositions again. Failing that it has
    // our handlers, which see that it isn't the live process and do the same.
    // SAFETY: the function given is AS-SAFE.
    unsafe { libc::pthread_atfork(None, None, Some(in_forked_child)) };
}

/// What the program ignores stays ignored in the program that it is about to become; a
/// handler of ours would be reset to the default.
pub(crate) fn before_exec() {
    for signal in [session::trigger(), libc::SIGINT] {
        if wanted(signal).handler == libc::SIG_IGN {
            set_real(signal, &wanted(signal).to_libc());
        }
    }
}

/// It did not become another program after all.
pub(crate) fn after_failed_exec() {
    for signal in [session::trigger(), libc::SIGINT] {
        install(signal, wanted(signal));
    }
}

/// Whether the program has a handler for one of our signals that interrupts calls which
/// the kernel would start again otherwise.
pub(crate) fn interrupt_calls() -> bool {
    [session::trigger(), libc::SIGINT]
        .map(wanted)
        .iter()
        .any(|wanted| wanted.is_handler() && wanted.flags & libc::SA_RESTART == 0)
}

/// Puts the program's own dispositions into the kernel: our handlers could do nothing. A
/// trigger that it has none for is ignored, since it must not end the program.
pub(crate) fn step_aside() {
    for signal in [session::trigger(), libc::SIGINT] {
        set_real(signal, &without_us(signal, wanted(signal)).to_libc());
    }
}

fn without_us(signal: c_int, wanted: Disposition) -> Disposition {
    if signal == session::trigger() && !wanted.is_handler() {
        Disposition {
            handler: libc::SIG_IGN,
            ..wanted
        }
    } else {
        wanted
    }
}

extern "C" fn in_forked_child() {
    takeover::leave();
    for signal in [session::trigger(), libc::SIGINT] {
        set_real(signal, &wanted(signal).to_libc());
    }
}

/// Sets the kernel's action for one of our signals: our handler, behaving towards the
/// rest of the program as its own disposition would.
fn install(signal: c_int, wanted: Disposition) {
    if filters::forbid_snapshots() {
        set_real(signal, &without_us(signal, wanted).to_libc());
        return;
    }
    let ours = if signal == libc::SIGINT {
        let inherited = libc::SA_RESTART | libc::SA_ONSTACK;
        Disposition {
            handler: handlers::on_interrupt as *const () as usize,
            flags: libc::SA_SIGINFO
                | if wanted.is_handler() {
                    wanted.flags & inherited
                } else {
                    libc::SA_RESTART
                },
            // Until it is known whose the signal is; `run_own` sets the program's mask.
            mask: SignalSet::ALL.0,
        }
    } else {
        let handler = handlers::on_trigger as *const () as usize;
        if wanted.is_handler() {
            // Our handler blocks everything itself: as it is entered the mask is the one that
            // the program's own handler is to have. But a snapshot must not be taken before:
            // when that is gone back to, the signal would ask for one once more.
            let inherited = libc::SA_RESTART | libc::SA_ONSTACK | libc::SA_NODEFER;
            Disposition {
                handler,
                flags: libc::SA_SIGINFO | wanted.flags & inherited,
                mask: SignalSet(wanted.mask).with(REQUESTS).0,
            }
        } else {
            Disposition {
                handler,
                // Programs with tiny stacks of their own making count on handlers to run on
                // the alternate one. That has room for one frame, if for that: the signal
                // itself, and the one by which threads are parked, are opened once the take
                // has a stack of its own.
                flags: libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK,
                mask: SignalSet::ALL.0,
            }
        }
    };
    set_real(signal, &ours.to_libc());
}

/// The mask that the program's handler is to have, of a signal that has interrupted `context`.
///
/// # Safety
/// `context` must be the third argument of the running handler.
unsafe fn mask_for(signal: c_int, context: *mut ucontext_t) -> SignalSet {
    let wanted = wanted(signal);
    // SAFETY: the context is the running handler's.
    let before = unsafe { &raw const (*context).uc_sigmask };
    // SAFETY: a `sigset_t` begins with the kernel's set of 64 bits.
    let before = unsafe { before.cast::<u64>().read() };
    let mask = SignalSet(before).with(SignalSet(wanted.mask));
    if wanted.flags & libc::SA_NODEFER == 0 {
        mask.with(SignalSet::only(signal))
    } else {
        mask
    }
}

/// [`run_own`], where the handler was entered with a mask of ours.
///
/// # Safety
/// As there.
pub(crate) unsafe fn run_own_after(signal: c_int, info: *mut siginfo_t, context: *mut ucontext_t) {
    // SAFETY: the caller's promise.
    let mask = unsafe { mask_for(signal, context) };
    // SAFETY: the caller's promise.
    unsafe { run_own(signal, info, context, mask) };
}

/// Does what the program wants on a signal that is its own. `mask` is what a handler of the
/// program's runs with.
///
/// # Safety
/// To be called from the handler of `signal` with the handler's own arguments.
pub(crate) unsafe fn run_own(
    signal: c_int,
    info: *mut siginfo_t,
    context: *mut ucontext_t,
    mask: SignalSet,
) {
    let wanted = wanted(signal);
    match wanted.handler {
        libc::SIG_IGN => {
            // SAFETY: the caller's promise.
            unsafe { restart_interrupted_call(signal, context) };
        }
        libc::SIG_DFL => {
            set_real(signal, &Disposition::DEFAULT.to_libc());
            let _ = sys::tgkill(sys::getpid(), sys::gettid(), signal);
            // The default action of both our signals ends the process here.
            sys::unblock(SignalSet::only(signal));
            // It was another trigger, whose default is to do nothing.
            if session::is_live() {
                install(signal, wanted);
            }
        }
        handler => {
            if wanted.flags & libc::SA_RESETHAND != 0 {
                if session::is_live() {
                    exchange(signal, Some(Disposition::DEFAULT));
                } else if let Some(slot) = slot(signal) {
                    slot.write(Disposition::DEFAULT);
                }
            }
            sys::set_mask(mask);
            // SAFETY: the program registered a handler there. One with a single argument
            // finds it where the first of three is.
            let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                unsafe { mem::transmute(handler) };
            handler(signal, info, context.cast());
        }
    }
}

/// A function of libc behind ours of the same name, looked up once.
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

    /// Its address, or null where libc has no such function.
    pub(crate) fn address(&self) -> *mut c_void {
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

/// Calls libc's function of that name and type, or fails where there is none.
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

type Sigaction = unsafe extern "C" fn(c_int, *const libc::sigaction, *mut libc::sigaction) -> c_int;

static REAL_SIGACTION: Real = Real::new(c"sigaction");

fn real_sigaction() -> Option<Sigaction> {
    let address = REAL_SIGACTION.address();
    // SAFETY: a null address is `None`; any other is libc's function of this type.
    unsafe { mem::transmute::<*mut c_void, Option<Sigaction>>(address) }
}

fn set_real(signal: c_int, action: &libc::sigaction) {
    if let Some(real) = real_sigaction() {
        // SAFETY: a live structure in, nothing out; the handlers set are AS-SAFE or the
        // program's own.
        unsafe { real(signal, action, ptr::null_mut()) };
    }
}

/// What the kernel has: only asked for before our handler is there.
fn kernel_disposition(signal: c_int) -> Disposition {
    // SAFETY: all-zero is a valid `struct sigaction`.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    if let Some(real) = real_sigaction() {
        // SAFETY: nothing in, a live structure out.
        unsafe { real(signal, ptr::null(), &raw mut action) };
    }
    Disposition::from_libc(&action)
}

/// Exchanges the program's disposition of one of our signals.
fn exchange(signal: c_int, new: Option<Disposition>) -> Disposition {
    alone(|| {
        let old = wanted(signal);
        if let Some(new) = new
            && let Some(slot) = slot(signal)
        {
            slot.write(new);
            install(signal, new);
        }
        old
    })
}

/// sigaction(3) of the program.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigaction(
    signal: c_int,
    new: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> c_int {
    if is_ours(signal) && session::is_live() {
        // SAFETY: null, or valid by the caller's promise.
        let new = unsafe { new.as_ref() }.map(Disposition::from_libc);
        let before = exchange(signal, new);
        if signal == session::trigger() && new.is_some_and(Disposition::is_handler) {
            handlers::tell_of_use(OwnUse::Handles);
        }
        if !old.is_null() {
            // SAFETY: valid by the caller's promise.
            unsafe { old.write(before.to_libc()) };
        }
        return 0;
    }
    let Some(real) = real_sigaction() else {
        errno::set(libc::ENOSYS);
        return -1;
    };
    // SAFETY: the caller's promise.
    let answer = unsafe { real(signal, new, old) };
    note_of_children(signal);
    if answer == 0 && is_ours(signal) && !old.is_null() {
        // A child made without fork's hooks still has our handler: its own disposition
        // is the one the program had.
        // SAFETY: libc has written it.
        let handler = unsafe { (*old).sa_sigaction };
        let ours = [
            handlers::on_trigger as *const () as usize,
            handlers::on_interrupt as *const () as usize,
        ];
        if ours.contains(&handler) {
            // SAFETY: valid by the caller's promise.
            unsafe { old.write(wanted(signal).to_libc()) };
        }
    }
    answer
}

/// What the program wants of its children's signal has changed, maybe.
fn note_of_children(signal: c_int) {
    if signal == libc::SIGCHLD {
        adopted::note_disposition();
    }
}

/// The common ground of the `signal` family: a handler with these flags and mask.
fn simple(signal: c_int, handler: sighandler_t, flags: c_int, mask: u64) -> sighandler_t {
    let new = Disposition {
        handler,
        flags,
        mask,
    }
    .to_libc();
    // SAFETY: all-zero is a valid `struct sigaction`.
    let mut old: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: live structures; the handler is the program's.
    if unsafe { sigaction(signal, &raw const new, &raw mut old) } == 0 {
        old.sa_sigaction
    } else {
        libc::SIG_ERR
    }
}

type Signal = unsafe extern "C" fn(c_int, sighandler_t) -> sighandler_t;

/// Defines a function that serves our signals by `simple` and hands on all others.
macro_rules! signal_function {
    ($(#[$doc:meta])* $name:ident, $c_name:literal, $flags:expr) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As libc's.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(signal: c_int, handler: sighandler_t) -> sighandler_t {
            static REAL: Real = Real::new($c_name);
            if is_ours(signal) {
                return simple(signal, handler, $flags, 0);
            }
            // SAFETY: a null address is `None`; any other is libc's function.
            let real = unsafe { mem::transmute::<*mut c_void, Option<Signal>>(REAL.address()) };
            match real {
                Some(real) => {
                    // SAFETY: the caller's promise.
                    let before = unsafe { real(signal, handler) };
                    note_of_children(signal);
                    before
                }
                None => {
                    errno::set(libc::ENOSYS);
                    libc::SIG_ERR
                }
            }
        }
    };
}

signal_function!(
    /// signal(3): restarts, and stays installed.
    signal, c"signal", libc::SA_RESTART
);
signal_function!(
    /// bsd_signal(3), the same.
    bsd_signal, c"bsd_signal", libc::SA_RESTART
);
signal_function!(
    /// ssignal(3), the same.
    ssignal, c"ssignal", libc::SA_RESTART
);
signal_function!(
    /// sysv_signal(3): once, interrupting, open to itself.
    sysv_signal, c"sysv_signal", libc::SA_RESETHAND | libc::SA_NODEFER
);
signal_function!(
    /// What `signal` is with strict standard macros.
    __sysv_signal, c"__sysv_signal", libc::SA_RESETHAND | libc::SA_NODEFER
);

/// What `sigset` calls "add it to the mask".
const SIG_HOLD: sighandler_t = 2;

/// sigset(3): a disposition, or SIG_HOLD to block the signal.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigset(signal: c_int, handler: sighandler_t) -> sighandler_t {
    static REAL: Real = Real::new(c"sigset");
    if !is_ours(signal) {
        // SAFETY: a null address is `None`; any other is libc's function.
        let real = unsafe { mem::transmute::<*mut c_void, Option<Signal>>(REAL.address()) };
        return match real {
            // SAFETY: the caller's promise.
            Some(real) => unsafe { real(signal, handler) },
            None => {
                errno::set(libc::ENOSYS);
                libc::SIG_ERR
            }
        };
    }
    let this = SignalSet::only(signal);
    let (old, mask) = if handler == SIG_HOLD {
        (wanted(signal).handler, sys::block(this))
    } else {
        (simple(signal, handler, 0, 0), sys::unblock(this))
    };
    if old != libc::SIG_ERR && mask.meets(this) {
        SIG_HOLD
    } else {
        old
    }
}

/// siginterrupt(3): whether the signal's handler interrupts calls.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siginterrupt(signal: c_int, interrupts: c_int) -> c_int {
    // SAFETY: all-zero is a valid `struct sigaction`.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: nothing in, a live structure out.
    if unsafe { sigaction(signal, ptr::null(), &raw mut action) } != 0 {
        return -1;
    }
    if interrupts == 0 {
        action.sa_flags |= libc::SA_RESTART;
    } else {
        action.sa_flags &= !libc::SA_RESTART;
    }
    // SAFETY: a live structure in, nothing out.
    unsafe { sigaction(signal, &raw const action, ptr::null_mut()) }
}

/// sigignore(3)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigignore(signal: c_int) -> c_int {
    if simple(signal, libc::SIG_IGN, 0, 0) == libc::SIG_ERR {
        -1
    } else {
        0
    }
}
