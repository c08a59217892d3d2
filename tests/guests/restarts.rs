//! Guest: a thread in every blocking call there is. Each notes when its call began, what
//! came back and after how long; the main thread obeys commands on stdin.
//!
//! `restarts SEMAPHORES EMPTY_QUEUE FULL_QUEUE`: the System V objects are the starter's,
//! who removes them, since the kernel never does.
//!
//! `ready` waits until every thread is blocked in its call, `settle` until every call with
//! a time limit has come back, `release` lets the others go, `report` prints a line
//! `row NAME UNTIL EXPECTED GOT MILLISECONDS` for each. `due KIND` blocks one more thread in
//! a call that SIGURG interrupts, says `blocked`, and answers `GOT HANDLED AGAIN`: what came
//! back, how often the handler ran, and how often the guest had to send the signal again.
#![expect(unsafe_code, reason = "blocks in calls as a C program makes them")]

use std::arch::asm;
use std::cell::UnsafeCell;
use std::ffi::CString;
use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, mpsc};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::unistd::{Pid, gettid};

/// The time limit of each call that has one.
const LIMIT: Duration = Duration::from_secs(2);

/// The same, as the kernel reads it.
static LIMIT_SPEC: libc::timespec = libc::timespec {
    tv_sec: 2,
    tv_nsec: 0,
};

/// No time at all.
const NO_TIME: libc::timespec = libc::timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// The limit in milliseconds.
const LIMIT_MS: i32 = 2000;

/// How long `settle` and `release` look, in looks of 5 ms: they count looks and not time,
/// so that a while spent frozen is none.
const LOOKS: u32 = 1600;

/// How a call ended: its value, or its error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcome(Result<i64, Errno>);

impl Outcome {
    /// Of a call that returns -1 and sets `errno`.
    fn of(value: i64) -> Self {
        Self(if value == -1 {
            Err(Errno::last())
        } else {
            Ok(value)
        })
    }

    /// Of a call that returns an error's number: `pthread_*`, `clock_nanosleep`, and the
    /// kernel's own with its sign turned.
    fn of_code(code: i64) -> Self {
        match i32::try_from(code) {
            Ok(0) => Self(Ok(0)),
            Ok(code) => Self(Err(Errno::from_raw(code))),
            Err(_) => Self(Err(Errno::UnknownErrno)),
        }
    }

    /// Of a system call without libc.
    fn of_raw(value: i64) -> Self {
        if value < 0 {
            Self::of_code(-value)
        } else {
            Self(Ok(value))
        }
    }

    fn text(self) -> String {
        match self.0 {
            Ok(value) => value.to_string(),
            Err(error) => format!("{error:?}"),
        }
    }
}

/// Makes one call of libc and notes how it ended.
macro_rules! call {
    ($call:expr) => {{
        // SAFETY: what a row passes is null or an object of its own that lives as long as
        // the call, and has the size that the call's page asks for.
        let value = unsafe { $call };
        Outcome::of(value as i64)
    }};
}

/// An object that the kernel or libc writes to while several threads hold its address.
struct Shared<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: it is only ever used through its address, by calls made to be used so.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::zeroed()))
    }

    const fn pointer(&self) -> *mut T {
        self.0.get().cast()
    }
}

/// What is known of one thread's call.
#[derive(Default)]
struct Note {
    thread: AtomicI32,
    /// Nanoseconds of the monotonic clock; 0 until it has begun.
    begun: AtomicU64,
    ended: AtomicU64,
    outcome: OnceLock<Outcome>,
}

impl Note {
    /// The very next thing is the call.
    fn begin(&self) {
        self.begun.store(now(), Ordering::Release);
    }

    fn end(&self, outcome: Outcome) {
        self.ended.store(now(), Ordering::Release);
        self.outcome.get_or_init(|| outcome);
    }

    /// Whether the thread waits in the kernel, as the kernel says.
    fn is_blocked(&self) -> bool {
        if self.begun.load(Ordering::Acquire) == 0 {
            return false;
        }
        let thread = self.thread.load(Ordering::Acquire);
        fs::read_to_string(format!("/proc/self/task/{thread}/syscall"))
            .is_ok_and(|text| text.starts_with(|first: char| first.is_ascii_digit()))
    }
}

/// Nanoseconds of the monotonic clock.
fn now() -> u64 {
    let time = clock(libc::CLOCK_MONOTONIC);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or(0)
}

fn clock(id: libc::clockid_t) -> libc::timespec {
    let mut time = LIMIT_SPEC;
    // SAFETY: fills a live local.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    time
}

/// The moment at which a call that begins now is to give up.
fn deadline(id: libc::clockid_t) -> libc::timespec {
    let mut time = clock(id);
    time.tv_sec += LIMIT_SPEC.tv_sec;
    time
}

/// One thread's part: the call, and what ends it if no time limit does.
struct Act {
    call: Box<dyn FnOnce(&Note) -> Outcome + Send>,
    release: Option<Box<dyn FnOnce()>>,
}

/// A call that ends by itself.
fn limited(call: impl FnOnce(&Note) -> Outcome + Send + 'static) -> Act {
    Act {
        call: Box::new(call),
        release: None,
    }
}

/// A call that ends when something happens.
fn endless(
    call: impl FnOnce(&Note) -> Outcome + Send + 'static,
    release: impl FnOnce() + 'static,
) -> Act {
    Act {
        call: Box::new(call),
        release: Some(Box::new(release)),
    }
}

/// One row of the table.
struct Row {
    name: &'static str,
    /// What comes back: an error's name, or `+` for any success.
    expected: &'static str,
    act: fn(&Given) -> Act,
}

const fn row(name: &'static str, expected: &'static str, act: fn(&Given) -> Act) -> Row {
    Row {
        name,
        expected,
        act,
    }
}

/// The objects that the starter has made.
struct Given {
    semaphores: i32,
    empty_queue: i32,
    full_queue: i32,
}

/// Every call, and how it must end.
const ROWS: &[Row] = &[
    row("read_pipe", "+", read_pipe),
    row("read_pipe_all_blocked", "+", read_pipe_all_blocked),
    row("read_socket", "+", read_socket),
    row("recv", "+", recv),
    row("recv_timeout", "EAGAIN", recv_timeout),
    row("accept", "+", accept),
    row("poll_2000", "+", poll_2000),
    row("poll_endless", "+", poll_endless),
    row("ppoll", "+", ppoll),
    row("ppoll_mask", "+", ppoll_mask),
    row("select", "+", select),
    row("pselect", "+", pselect),
    row("epoll_wait_2000", "+", epoll_wait_2000),
    row("epoll_wait_endless", "+", epoll_wait_endless),
    row("epoll_pwait", "+", epoll_pwait),
    row("epoll_pwait2", "+", epoll_pwait2),
    row("nanosleep", "+", nanosleep),
    row("nanosleep_remainder", "+", nanosleep_remainder),
    row("clock_nanosleep", "+", clock_nanosleep),
    row("clock_nanosleep_absolute", "+", clock_nanosleep_absolute),
    row("usleep", "+", usleep),
    row("sleep", "+", sleep),
    row("sem_wait", "+", sem_wait),
    row("sem_timedwait", "ETIMEDOUT", sem_timedwait),
    row("cond_timedwait", "ETIMEDOUT", cond_timedwait),
    row("mutex_lock", "+", mutex_lock),
    row("futex_relative", "ETIMEDOUT", futex_relative),
    row("futex_endless", "+", futex_endless),
    row("futex_bitset_absolute", "ETIMEDOUT", futex_bitset_absolute),
    row("std_park_timeout", "+", std_park_timeout),
    row("std_condvar", "ETIMEDOUT", std_condvar),
    row("std_recv_timeout", "ETIMEDOUT", std_recv_timeout),
    row("std_sleep", "+", std_sleep),
    row("raw_poll", "+", raw_poll),
    row("raw_epoll_pwait2", "+", raw_epoll_pwait2),
    row("raw_futex", "ETIMEDOUT", raw_futex),
    row("pause", "EINTR", pause),
    row("sigsuspend", "EINTR", sigsuspend),
    row("sigwaitinfo", "+", sigwaitinfo),
    row("sigtimedwait", "EAGAIN", sigtimedwait),
    row("waitpid", "+", waitpid),
    row("read_eventfd", "+", read_eventfd),
    row("read_timerfd", "+", read_timerfd),
    row("read_inotify", "+", read_inotify),
    row("semop", "+", semop),
    row("semtimedop", "EAGAIN", semtimedop_row),
    row("msgrcv", "+", msgrcv),
    row("msgsnd", "+", msgsnd),
    row("flock", "+", flock),
    row("fcntl_setlkw", "+", fcntl_setlkw),
    row("mq_timedreceive", "ETIMEDOUT", mq_timedreceive),
    // Interruptions by a handler without SA_RESTART that are the program's own.
    row("read_interrupted", "EINTR", read_interrupted),
    row("poll_interrupted", "EINTR", poll_interrupted),
    row("nanosleep_interrupted", "EINTR", nanosleep_interrupted),
    row("futex_interrupted", "EINTR", futex_interrupted),
];

/// A pipe whose ends are never closed.
fn pipe() -> (RawFd, RawFd) {
    let (read, write) = nix::unistd::pipe().expect("there are descriptors left");
    (read.into_raw_fd(), write.into_raw_fd())
}

fn write_byte(fd: RawFd) {
    // SAFETY: reads one byte of a constant.
    let written = unsafe { libc::write(fd, c"x".as_ptr().cast(), 1) };
    assert_eq!(written, 1, "a pipe takes one byte");
}

fn read(note: &Note, fd: RawFd) -> Outcome {
    let mut bytes = [0_u8; 512];
    note.begin();
    call!(libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()))
}

fn read_pipe(_: &Given) -> Act {
    let (near, far) = pipe();
    endless(move |note| read(note, near), move || write_byte(far))
}

fn read_pipe_all_blocked(_: &Given) -> Act {
    let (near, far) = pipe();
    let call = move |note: &Note| {
        SigSet::all().thread_block().expect("any mask is valid");
        read(note, near)
    };
    endless(call, move || write_byte(far))
}

fn sockets() -> (RawFd, RawFd) {
    let (near, far) = UnixStream::pair().expect("there are descriptors left");
    (near.into_raw_fd(), far.into_raw_fd())
}

fn read_socket(_: &Given) -> Act {
    let (near, far) = sockets();
    endless(move |note| read(note, near), move || write_byte(far))
}

fn receive(note: &Note, fd: RawFd) -> Outcome {
    let mut byte = 0_u8;
    note.begin();
    call!(libc::recv(fd, (&raw mut byte).cast(), 1, 0))
}

fn recv(_: &Given) -> Act {
    let (near, far) = sockets();
    endless(move |note| receive(note, near), move || write_byte(far))
}

fn recv_timeout(_: &Given) -> Act {
    let (near, far) = UnixStream::pair().expect("there are descriptors left");
    near.set_read_timeout(Some(LIMIT))
        .expect("a socket has one");
    limited(move |note| {
        let _kept_open = far;
        receive(note, near.as_raw_fd())
    })
}

fn accept(_: &Given) -> Act {
    let path = "listener.sock";
    let listener = UnixListener::bind(path).expect("the directory is writable");
    let fd = listener.into_raw_fd();
    let call = move |note: &Note| {
        note.begin();
        call!(libc::accept(fd, null_mut(), null_mut()))
    };
    endless(call, move || {
        UnixStream::connect(path).expect("somebody accepts");
    })
}

fn poll_2000(_: &Given) -> Act {
    limited(|note| {
        note.begin();
        call!(libc::poll(null_mut(), 0, LIMIT_MS))
    })
}

fn poll_readable(note: &Note, fd: RawFd) -> Outcome {
    let mut wanted = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    note.begin();
    call!(libc::poll(&raw mut wanted, 1, -1))
}

fn poll_endless(_: &Given) -> Act {
    let (near, far) = pipe();
    endless(
        move |note| poll_readable(note, near),
        move || write_byte(far),
    )
}

/// libc's own set of every signal, which leaves out the two that it needs itself.
fn every_signal() -> libc::sigset_t {
    *SigSet::all().as_ref()
}

fn ppoll(_: &Given) -> Act {
    limited(|note| {
        note.begin();
        call!(libc::ppoll(null_mut(), 0, &raw const LIMIT_SPEC, null()))
    })
}

fn ppoll_mask(_: &Given) -> Act {
    limited(|note| {
        let mask = every_signal();
        note.begin();
        call!(libc::ppoll(
            null_mut(),
            0,
            &raw const LIMIT_SPEC,
            &raw const mask
        ))
    })
}

fn select(_: &Given) -> Act {
    limited(|note| {
        let mut limit = libc::timeval {
            tv_sec: 2,
            tv_usec: 0,
        };
        note.begin();
        call!(libc::select(
            0,
            null_mut(),
            null_mut(),
            null_mut(),
            &raw mut limit
        ))
    })
}

fn pselect(_: &Given) -> Act {
    limited(|note| {
        note.begin();
        call!(libc::pselect(
            0,
            null_mut(),
            null_mut(),
            null_mut(),
            &raw const LIMIT_SPEC,
            null()
        ))
    })
}

/// An epoll set, and the descriptor that wakes it.
fn epoll() -> (RawFd, RawFd) {
    // SAFETY: takes a number.
    let set = unsafe { libc::epoll_create1(0) };
    let (near, far) = pipe();
    let mut wanted = libc::epoll_event {
        events: libc::EPOLLIN.cast_unsigned(),
        u64: 0,
    };
    // SAFETY: reads a live local.
    let done = unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, near, &raw mut wanted) };
    assert_eq!(done, 0, "a pipe can be waited for");
    (set, far)
}

fn epoll_wait(note: &Note, set: RawFd, limit: i32) -> Outcome {
    let mut happened = libc::epoll_event { events: 0, u64: 0 };
    note.begin();
    call!(libc::epoll_wait(set, &raw mut happened, 1, limit))
}

fn epoll_wait_2000(_: &Given) -> Act {
    let (set, _) = epoll();
    limited(move |note| epoll_wait(note, set, LIMIT_MS))
}

fn epoll_wait_endless(_: &Given) -> Act {
    let (set, far) = epoll();
    endless(
        move |note| epoll_wait(note, set, -1),
        move || write_byte(far),
    )
}

fn epoll_pwait(_: &Given) -> Act {
    let (set, _) = epoll();
    limited(move |note| {
        let mask = every_signal();
        let mut happened = libc::epoll_event { events: 0, u64: 0 };
        note.begin();
        call!(libc::epoll_pwait(
            set,
            &raw mut happened,
            1,
            LIMIT_MS,
            &raw const mask
        ))
    })
}

fn epoll_pwait2(_: &Given) -> Act {
    let (set, _) = epoll();
    limited(move |note| {
        let mut happened = libc::epoll_event { events: 0, u64: 0 };
        note.begin();
        call!(libc::syscall(
            libc::SYS_epoll_pwait2,
            set,
            &raw mut happened,
            1,
            &raw const LIMIT_SPEC,
            null::<libc::sigset_t>(),
            8_usize
        ))
    })
}

fn nanosleep(_: &Given) -> Act {
    limited(|note| {
        note.begin();
        call!(libc::nanosleep(&raw const LIMIT_SPEC, null_mut()))
    })
}

fn nanosleep_remainder(_: &Given) -> Act {
    limited(|note| {
        // The time and the remainder in one place, as most programs have it.
        let mut time = LIMIT_SPEC;
        let place = &raw mut time;
        note.begin();
        call!(libc::nanosleep(place, place))
    })
}

fn clock_nanosleep(_: &Given) -> Act {
    limited(|note| {
        note.begin();
        let Outcome(code) = call!(libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            0,
            &raw const LIMIT_SPEC,
            null_mut()
        ));
        Outcome::of_code(code.unwrap_or(-1))
    })
}

fn clock_nanosleep_absolute(_: &Given) -> Act {
    limited(|note| {
        let time = deadline(libc::CLOCK_MONOTONIC);
        note.begin();
        let Outcome(code) = call!(libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &raw const time,
            null_mut()
        ));
        Outcome::of_code(code.unwrap_or(-1))
    })
}

fn usleep(_: &Given) -> Act {
    limited(|note| {
        note.begin();
        call!(libc::usleep(2_000_000))
    })
}

fn sleep(_: &Given) -> Act {
    limited(|note| {
        note.begin();
        // It returns the seconds that are left when it was cut short.
        match call!(libc::sleep(2)) {
            Outcome(Ok(0)) => Outcome(Ok(0)),
            _ => Outcome(Err(Errno::EINTR)),
        }
    })
}

fn sem_wait(_: &Given) -> Act {
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

fn sem_timedwait(_: &Given) -> Act {
    static SEMAPHORE: Shared<libc::sem_t> = Shared::new();
    // SAFETY: the semaphore lives as long as the program.
    unsafe { libc::sem_init(SEMAPHORE.pointer(), 0, 0) };
    limited(|note| {
        let time = deadline(libc::CLOCK_REALTIME);
        note.begin();
        call!(libc::sem_timedwait(SEMAPHORE.pointer(), &raw const time))
    })
}

fn cond_timedwait(_: &Given) -> Act {
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

fn mutex_lock(_: &Given) -> Act {
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

fn futex_relative(_: &Given) -> Act {
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
fn futex(note: &Note, word: &AtomicU32) -> Outcome {
    note.begin();
    call!(libc::syscall(
        libc::SYS_futex,
        word.as_ptr(),
        libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
        0,
        null::<libc::timespec>()
    ))
}

fn futex_endless(_: &Given) -> Act {
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

fn futex_bitset_absolute(_: &Given) -> Act {
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

fn std_park_timeout(_: &Given) -> Act {
    limited(|note| {
        note.begin();
        std::thread::park_timeout(LIMIT);
        Outcome(Ok(0))
    })
}

fn std_condvar(_: &Given) -> Act {
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

fn std_recv_timeout(_: &Given) -> Act {
    limited(|note| {
        let (_sender, receiver) = mpsc::channel::<()>();
        note.begin();
        Outcome(match receiver.recv_timeout(LIMIT) {
            Err(mpsc::RecvTimeoutError::Timeout) => Err(Errno::ETIMEDOUT),
            _ => Ok(0),
        })
    })
}

fn std_sleep(_: &Given) -> Act {
    limited(|note| {
        note.begin();
        std::thread::sleep(LIMIT);
        Outcome(Ok(0))
    })
}

/// A system call whose number can't be read from the code before it: only no-operations
/// are there, as in programs that load the register long before.
///
/// # Safety
/// As the call asks.
unsafe fn raw(number: libc::c_long, arguments: [usize; 6]) -> Outcome {
    let value: i64;
    // SAFETY: the arguments are the caller's; the kernel changes these registers only.
    unsafe {
        asm!(
            "nop", "nop", "nop", "nop", "nop", "nop", "nop", "nop", "syscall",
            inlateout("rax") number => value,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    Outcome::of_raw(value)
}

fn raw_poll(_: &Given) -> Act {
    limited(|note| {
        let limit = LIMIT.as_millis().try_into().expect("it fits");
        note.begin();
        // SAFETY: no descriptors are passed.
        unsafe { raw(libc::SYS_poll, [0, 0, limit, 0, 0, 0]) }
    })
}

fn raw_epoll_pwait2(_: &Given) -> Act {
    let (set, _) = epoll();
    limited(move |note| {
        let mut happened = libc::epoll_event { events: 0, u64: 0 };
        let set = usize::try_from(set).expect("it is open");
        let (event, limit) = (&raw mut happened, &raw const LIMIT_SPEC);
        note.begin();
        // SAFETY: room for one event, a time, and no mask.
        unsafe {
            raw(
                libc::SYS_epoll_pwait2,
                [
                    set,
                    event.expose_provenance(),
                    1,
                    limit.expose_provenance(),
                    0,
                    8,
                ],
            )
        }
    })
}

fn raw_futex(_: &Given) -> Act {
    static WORD: AtomicU32 = AtomicU32::new(0);
    limited(|note| {
        let (word, limit) = (WORD.as_ptr(), &raw const LIMIT_SPEC);
        note.begin();
        // SAFETY: the word and the time live as long as the program.
        unsafe {
            raw(
                libc::SYS_futex,
                [
                    word.expose_provenance(),
                    0,
                    0,
                    limit.expose_provenance(),
                    0,
                    0,
                ],
            )
        }
    })
}

/// How often the handler of each signal has run.
static HANDLED: [AtomicU32; 65] = [const { AtomicU32::new(0) }; 65];

extern "C" fn handle(number: i32) {
    if let Some(count) = usize::try_from(number).ok().and_then(|n| HANDLED.get(n)) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn handled(number: i32) -> u32 {
    let index = usize::try_from(number).expect("signals are positive");
    HANDLED[index].load(Ordering::Relaxed)
}

/// Installs a handler that interrupts, and blocks the signal in the calling thread and all
/// that it starts.
fn interrupting(number: i32) {
    // SAFETY: all-zero is a valid `struct sigaction`, without SA_RESTART.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as *const () as libc::sighandler_t;
    // SAFETY: the handler only counts.
    let done = unsafe { libc::sigaction(number, &raw const action, null_mut()) };
    assert_eq!(done, 0, "signal {number} can be handled");
    mask(libc::SIG_BLOCK, number);
}

/// The set of one signal, real-time ones too, which nix has no names for.
fn only(number: i32) -> libc::sigset_t {
    let mut set = *SigSet::empty().as_ref();
    // SAFETY: changes a live local.
    unsafe { libc::sigaddset(&raw mut set, number) };
    set
}

fn mask(how: i32, number: i32) {
    let set = only(number);
    // SAFETY: reads a live local.
    let done = unsafe { libc::pthread_sigmask(how, &raw const set, null_mut()) };
    assert_eq!(done, 0, "signal {number} can be blocked");
}

/// To the process and not to a thread, whose id a revert may change: only the row's own
/// thread lets it through.
fn send(number: i32) {
    let this = Pid::this().as_raw();
    // SAFETY: takes numbers.
    let done = unsafe { libc::kill(this, number) };
    assert_eq!(done, 0, "this process may signal itself");
}

/// A call that ends by the program's own signal.
fn interrupted(number: i32, call: impl FnOnce(&Note) -> Outcome + Send + 'static) -> Act {
    interrupting(number);
    let call = move |note: &Note| {
        mask(libc::SIG_UNBLOCK, number);
        let outcome = call(note);
        if handled(number) == 1 {
            outcome
        } else {
            // Interrupted by something else, or handled twice.
            Outcome(Err(Errno::EPROTO))
        }
    };
    endless(call, move || send(number))
}

fn pause(_: &Given) -> Act {
    interrupted(libc::SIGUSR2, |note| {
        note.begin();
        call!(libc::pause())
    })
}

fn sigsuspend(_: &Given) -> Act {
    let number = libc::SIGRTMIN() + 3;
    interrupting(number);
    let call = move |note: &Note| {
        let mut mask = every_signal();
        // SAFETY: changes a live local.
        unsafe { libc::sigdelset(&raw mut mask, number) };
        note.begin();
        call!(libc::sigsuspend(&raw const mask))
    };
    endless(call, move || send(number))
}

fn sigwaitinfo(_: &Given) -> Act {
    let number = libc::SIGRTMIN() + 4;
    mask(libc::SIG_BLOCK, number);
    let call = move |note: &Note| {
        let set = only(number);
        note.begin();
        call!(libc::sigwaitinfo(&raw const set, null_mut()))
    };
    endless(call, move || send(number))
}

fn sigtimedwait(_: &Given) -> Act {
    let number = libc::SIGRTMIN() + 5;
    mask(libc::SIG_BLOCK, number);
    limited(move |note| {
        let set = only(number);
        note.begin();
        call!(libc::sigtimedwait(
            &raw const set,
            null_mut(),
            &raw const LIMIT_SPEC
        ))
    })
}

/// Forks a child that runs `body` with this descriptor as its only one beyond stdio, and
/// then ends with status 0.
fn child(fd: RawFd, body: impl FnOnce(RawFd)) -> Pid {
    const KEPT: RawFd = 3;
    // SAFETY: no other thread has been started yet.
    match unsafe { nix::unistd::fork() }.expect("there are processes left") {
        nix::unistd::ForkResult::Parent { child } => child,
        nix::unistd::ForkResult::Child => {
            if fd != KEPT {
                // SAFETY: takes numbers.
                unsafe { libc::dup2(fd, KEPT) };
            }
            // SAFETY: takes numbers; nothing below uses them.
            unsafe { libc::close_range(KEPT.cast_unsigned() + 1, u32::MAX, 0) };
            body(KEPT);
            // SAFETY: ends the child without the parent's exit handlers.
            unsafe { libc::_exit(0) }
        }
    }
}

/// Waits for a byte, or for the end of whoever could send one.
fn wait_for_byte(fd: RawFd) {
    let mut byte = 0_u8;
    // SAFETY: fills a live local.
    unsafe { libc::read(fd, (&raw mut byte).cast(), 1) };
}

fn waitpid(_: &Given) -> Act {
    let (near, far) = pipe();
    let pid = child(near, wait_for_byte).as_raw();
    let call = move |note: &Note| {
        let mut status = -1;
        note.begin();
        let outcome = call!(libc::waitpid(pid, &raw mut status, 0));
        if outcome == Outcome(Ok(i64::from(pid))) && status != 0 {
            return Outcome(Err(Errno::EPROTO));
        }
        outcome
    };
    endless(call, move || write_byte(far))
}

fn read_eventfd(_: &Given) -> Act {
    // SAFETY: takes numbers.
    let fd = unsafe { libc::eventfd(0, 0) };
    endless(
        move |note| read(note, fd),
        move || {
            // SAFETY: takes numbers.
            unsafe { libc::eventfd_write(fd, 1) };
        },
    )
}

fn read_timerfd(_: &Given) -> Act {
    // SAFETY: takes numbers.
    let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, 0) };
    endless(
        move |note| read(note, fd),
        move || {
            let soon = libc::itimerspec {
                it_interval: libc::timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                },
                it_value: libc::timespec {
                    tv_sec: 0,
                    tv_nsec: 1,
                },
            };
            // SAFETY: reads a live local.
            unsafe { libc::timerfd_settime(fd, 0, &raw const soon, null_mut()) };
        },
    )
}

fn read_inotify(_: &Given) -> Act {
    fs::create_dir("watched").expect("the directory is writable");
    // SAFETY: takes a number.
    let fd = unsafe { libc::inotify_init1(0) };
    // SAFETY: reads a constant text.
    unsafe { libc::inotify_add_watch(fd, c"watched".as_ptr(), libc::IN_CREATE) };
    endless(
        move |note| read(note, fd),
        || {
            File::create("watched/file").expect("the directory is writable");
        },
    )
}

unsafe extern "C" {
    /// The one call of this table that the crate `libc` lacks; see semop(2).
    fn semtimedop(
        set: i32,
        operations: *mut libc::sembuf,
        count: usize,
        limit: *const libc::timespec,
    ) -> i32;
}

const fn change(number: u16, by: i16) -> libc::sembuf {
    libc::sembuf {
        sem_num: number,
        sem_op: by,
        sem_flg: 0,
    }
}

fn semop(given: &Given) -> Act {
    let set = given.semaphores;
    let call = move |note: &Note| {
        let mut take = change(0, -1);
        note.begin();
        call!(libc::semop(set, &raw mut take, 1))
    };
    endless(call, move || {
        let mut give = change(0, 1);
        // SAFETY: reads a live local.
        unsafe { libc::semop(set, &raw mut give, 1) };
    })
}

fn semtimedop_row(given: &Given) -> Act {
    let set = given.semaphores;
    limited(move |note| {
        let mut take = change(1, -1);
        note.begin();
        call!(semtimedop(set, &raw mut take, 1, &raw const LIMIT_SPEC))
    })
}

/// A message of System V, as long as its text.
#[repr(C)]
struct Message {
    kind: libc::c_long,
    text: [u8; 1024],
}

impl Message {
    const LENGTH: usize = 1024;

    const fn new() -> Self {
        Self {
            kind: 1,
            text: [b'x'; Self::LENGTH],
        }
    }
}

fn queue(queue: i32, message: &Message, flags: i32) -> Outcome {
    // The flags' place in the call is the only thing that differs between callers.
    call!(libc::msgsnd(
        queue,
        (&raw const *message).cast(),
        message.text.len(),
        flags
    ))
}

fn unqueue(queue: i32, flags: i32) -> Outcome {
    let mut message = Message::new();
    call!(libc::msgrcv(
        queue,
        (&raw mut message).cast(),
        message.text.len(),
        message.kind,
        flags
    ))
}

fn msgrcv(given: &Given) -> Act {
    let id = given.empty_queue;
    let call = move |note: &Note| {
        note.begin();
        unqueue(id, 0)
    };
    endless(call, move || {
        queue(id, &Message::new(), 0);
    })
}

fn msgsnd(given: &Given) -> Act {
    let id = given.full_queue;
    while queue(id, &Message::new(), libc::IPC_NOWAIT).0.is_ok() {}
    let call = move |note: &Note| {
        note.begin();
        queue(id, &Message::new(), 0)
    };
    endless(call, move || {
        unqueue(id, libc::IPC_NOWAIT);
    })
}

fn lock_file(path: &str) -> RawFd {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    file.expect("the directory is writable").into_raw_fd()
}

fn flock(_: &Given) -> Act {
    let (holder, waiter) = (lock_file("flock"), lock_file("flock"));
    // SAFETY: takes numbers.
    unsafe { libc::flock(holder, libc::LOCK_EX) };
    let call = move |note: &Note| {
        note.begin();
        call!(libc::flock(waiter, libc::LOCK_EX))
    };
    endless(call, move || {
        // SAFETY: takes numbers.
        unsafe { libc::flock(holder, libc::LOCK_UN) };
    })
}

/// A record lock on the whole file.
fn record_lock(fd: RawFd) -> Outcome {
    let wanted = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).expect("a small number"),
        l_whence: i16::try_from(libc::SEEK_SET).expect("a small number"),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    call!(libc::fcntl(fd, libc::F_SETLKW, &raw const wanted))
}

fn fcntl_setlkw(_: &Given) -> Act {
    // Record locks are a process's, so a child holds it. A branch never does.
    let fd = lock_file("record");
    let (near, far) = pipe();
    child(near, |near| {
        let held = record_lock(lock_file("record"));
        fs::write("held", held.text()).expect("the directory is writable");
        wait_for_byte(near);
    });
    while !fs::read_to_string("held").is_ok_and(|text| text == "0") {
        std::thread::sleep(Duration::from_millis(1));
    }
    let call = move |note: &Note| {
        note.begin();
        record_lock(fd)
    };
    endless(call, move || write_byte(far))
}

fn mq_timedreceive(_: &Given) -> Act {
    let name =
        CString::new(format!("/snapshot-restarts-{}", std::process::id())).expect("no NUL in it");
    // SAFETY: all-zero is a valid `struct mq_attr`.
    let mut wanted: libc::mq_attr = unsafe { std::mem::zeroed() };
    wanted.mq_maxmsg = 1;
    wanted.mq_msgsize = 8;
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
    // SAFETY: reads a text and live attributes.
    let queue = unsafe { libc::mq_open(name.as_ptr(), flags, 0o600, &raw mut wanted) };
    assert!(queue >= 0, "mq_open: {}", Errno::last());
    // The descriptor keeps it; the name would outlive the program.
    // SAFETY: reads a text.
    unsafe { libc::mq_unlink(name.as_ptr()) };
    limited(move |note| {
        let mut message: [libc::c_char; 8] = [0; 8];
        let time = deadline(libc::CLOCK_REALTIME);
        note.begin();
        call!(libc::mq_timedreceive(
            queue,
            message.as_mut_ptr(),
            message.len(),
            null_mut(),
            &raw const time
        ))
    })
}

fn read_interrupted(_: &Given) -> Act {
    let (near, _) = pipe();
    interrupted(libc::SIGRTMIN() + 6, move |note| read(note, near))
}

fn poll_interrupted(_: &Given) -> Act {
    let (near, _) = pipe();
    interrupted(libc::SIGRTMIN() + 7, move |note| poll_readable(note, near))
}

fn nanosleep_interrupted(_: &Given) -> Act {
    interrupted(libc::SIGRTMIN() + 8, |note| {
        let hour = libc::timespec {
            tv_sec: 3600,
            tv_nsec: 0,
        };
        note.begin();
        call!(libc::nanosleep(&raw const hour, null_mut()))
    })
}

fn futex_interrupted(_: &Given) -> Act {
    static WORD: AtomicU32 = AtomicU32::new(0);
    interrupted(libc::SIGRTMIN() + 9, |note| futex(note, &WORD))
}

/// A row whose thread runs.
struct Running {
    row: &'static Row,
    note: &'static Note,
    release: Option<Box<dyn FnOnce()>>,
    endless: bool,
}

impl Running {
    fn is_over(&self) -> bool {
        self.note.outcome.get().is_some()
    }

    fn report(&self) {
        let until = if self.endless { "event" } else { "time" };
        let (got, after) = match self.note.outcome.get() {
            Some(outcome) => {
                let nanoseconds = self.note.ended.load(Ordering::Acquire)
                    - self.note.begun.load(Ordering::Acquire);
                (outcome.text(), nanoseconds / 1_000_000)
            }
            None => ("blocked".into(), 0),
        };
        let Row { name, expected, .. } = self.row;
        println!("row {name} {until} {expected} {got} {after}");
    }
}

/// Looks until all that `wanted` picks are over; false if one never is.
fn wait_for(rows: &[Running], wanted: impl Fn(&Running) -> bool) -> bool {
    look(|| rows.iter().filter(|row| wanted(row)).all(Running::is_over))
}

fn look(mut condition: impl FnMut() -> bool) -> bool {
    for _ in 0..LOOKS {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

fn start(given: &Given) -> Vec<Running> {
    // All objects, and the children, before the first thread.
    let acts: Vec<(&'static Row, Act)> = ROWS.iter().map(|row| (row, (row.act)(given))).collect();
    acts.into_iter()
        .map(|(row, act)| {
            let note: &'static Note = Box::leak(Box::default());
            let call = act.call;
            std::thread::spawn(move || {
                note.thread.store(gettid().as_raw(), Ordering::Release);
                let outcome = call(note);
                note.end(outcome);
            });
            Running {
                row,
                note,
                endless: act.release.is_some(),
                release: act.release,
            }
        })
        .collect()
}

/// The calls that the due signal interrupts. The first four let it through while they wait,
/// and only then, so it can't come too early; for the others it is let through all the time.
fn due_call(kind: &str) -> Option<fn(&Note, libc::sigset_t) -> Outcome> {
    Some(match kind {
        "sigsuspend" => |note, mask| {
            note.begin();
            call!(libc::sigsuspend(&raw const mask))
        },
        "ppoll" => |note, mask| {
            note.begin();
            call!(libc::ppoll(null_mut(), 0, null(), &raw const mask))
        },
        "pselect" => |note, mask| {
            note.begin();
            call!(libc::pselect(
                0,
                null_mut(),
                null_mut(),
                null_mut(),
                null(),
                &raw const mask
            ))
        },
        "epoll_pwait" => |note, mask| {
            let (set, _) = epoll();
            let mut happened = libc::epoll_event { events: 0, u64: 0 };
            note.begin();
            call!(libc::epoll_pwait(
                set,
                &raw mut happened,
                1,
                -1,
                &raw const mask
            ))
        },
        "read" => |note, _| {
            let (near, _) = pipe();
            mask(libc::SIG_UNBLOCK, DUE);
            read(note, near)
        },
        "poll" => |note, _| {
            let (near, _) = pipe();
            mask(libc::SIG_UNBLOCK, DUE);
            poll_readable(note, near)
        },
        "pause" => |note, _| {
            mask(libc::SIG_UNBLOCK, DUE);
            note.begin();
            call!(libc::pause())
        },
        _ => return None,
    })
}

/// The signal that is due, which no other thread lets through.
const DUE: i32 = libc::SIGURG;

/// Waits for the signal in such a call. One that a call has missed is sent again.
fn due(kind: &str) -> Option<String> {
    const LOOKS_UNTIL_AGAIN: u32 = 200;
    let call = due_call(kind)?;
    // One that a call of an earlier round has not waited for is none of this round's.
    let (set, now) = (only(DUE), NO_TIME);
    while call!(libc::sigtimedwait(
        &raw const set,
        null_mut(),
        &raw const now
    ))
    .0
    .is_ok()
    {}
    let before = handled(DUE);
    let note: &'static Note = Box::leak(Box::default());
    let thread = std::thread::spawn(move || {
        note.thread.store(gettid().as_raw(), Ordering::Release);
        let mut mask = every_signal();
        // SAFETY: changes a live local.
        unsafe { libc::sigdelset(&raw mut mask, DUE) };
        let outcome = call(note, mask);
        note.end(outcome);
    });
    if !look(|| note.is_blocked()) {
        return Some("never blocked".into());
    }
    println!("blocked");
    let (mut looks, mut again) = (0, 0);
    let is_over = look(|| {
        looks += 1;
        if looks % LOOKS_UNTIL_AGAIN == 0 {
            again += 1;
            send(DUE);
        }
        note.outcome.get().is_some()
    });
    if !is_over {
        return Some("still blocked".into());
    }
    thread.join().ok()?;
    let times = handled(DUE) - before;
    Some(format!("{} {times} {again}", note.outcome.get()?.text()))
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut id = || -> i32 {
        let text = arguments.next().expect("usage: see the source");
        text.parse().expect("the id of a System V object")
    };
    let given = Given {
        semaphores: id(),
        empty_queue: id(),
        full_queue: id(),
    };
    interrupting(DUE);
    let mut rows = start(&given);
    for line in std::io::stdin().lines() {
        let line = line.expect("stdin is text");
        let words: Vec<&str> = line.split_whitespace().collect();
        match *words {
            ["ready"] if look(|| rows.iter().all(|row| row.note.is_blocked())) => {
                let first = rows
                    .iter()
                    .map(|row| row.note.begun.load(Ordering::Acquire));
                let age = now() - first.min().unwrap_or(0);
                println!("ok {} {}", rows.len(), age / 1_000_000);
            }
            ["settle"] if wait_for(&rows, |row| !row.endless) => println!("ok"),
            ["release"] => {
                for row in &mut rows {
                    if let Some(release) = row.release.take() {
                        release();
                    }
                }
                // Whether all are is in the report.
                wait_for(&rows, |_| true);
                println!("ok");
            }
            ["report"] => {
                rows.iter().for_each(Running::report);
                println!("ok {}", rows.len());
            }
            ["due", kind] => match due(kind) {
                Some(seen) => println!("ok {seen}"),
                None => println!("err {line}"),
            },
            // A report names those that made it wait in vain.
            ["ready" | "settle"] => println!("ok never"),
            _ => println!("err {line}"),
        }
    }
}
