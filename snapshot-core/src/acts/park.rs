//! Park: bring every thread to a known point before the copy is made.
//!
//! Each thread but the caller gets signal 33. For that time its handler is ours;
//! [`crate::threads::parked`] says what the thread does there. The list of threads is read
//! again until as many have come as the process has. The list alone says neither that a thread
//! has ended nor that there is no other: the kernel cuts it short when a thread ends while it is
//! read. A thread that does not come in time is named, and all go on as if nothing had happened.
//!
//! Context: AS-SAFE. Called by [`crate::acts::take`] and [`crate::library::alone`], before
//! [`crate::acts::split`].
#![expect(unsafe_code, reason = "writes into slots of its own")]

use crate::threads::unparked::{not_signalled, unparked};
use core::sync::atomic::{AtomicBool, Ordering};

use crate::kernel::{
    proc_text,
    procfs::{self, TaskFile},
};
use crate::sys::{self, Errno};
use crate::terms::{Doing, InterruptedCall, Obstacle, Step};
pub(crate) use crate::threads::parked::release;
use crate::threads::{
    layout, parked,
    slots::{self, ARRIVING, CALLED, FREE, GONE, PARKED, Slot, WORKER, Walk, ZOMBIE},
    takeover, withdrawn,
};

/// The limit of one attempt: long enough for a thread that starts another program by vfork, and
/// short enough for the program, which stands still meanwhile.
const ATTEMPT_NS: u64 = 300_000_000;
const ATTEMPTS: u32 = 3;
/// The limit where threads only wait for a processor of a busy machine, or for the journal.
const LONGEST_NS: u64 = 3_000_000_000;
/// The pause between attempts: a call that can't be interrupted may end in it.
const RETRY_PAUSE_NS: u64 = 30_000_000;
/// After this time a thread that has not come is looked at more closely.
const LOOK_CLOSER_NS: u64 = 2_000_000;

/// Whether a signal could not be queued. Only the message needs it; only the parking thread
/// reads it.
static NO_ROOM: AtomicBool = AtomicBool::new(false);

/// What has been parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parked {
    /// The program's threads, the caller among them.
    pub(crate) threads: u32,
    /// Threads of the kernel's own, which are left alone.
    pub(crate) workers: u32,
}

/// Parks every thread but the calling one.
///
/// # Errors
/// [`Obstacle::Unparked`] with the first thread that did not come. Then nothing is parked.
pub(crate) fn park() -> Result<Parked, Obstacle> {
    let failed = |errno: Errno| Obstacle::Failed(Step::Park, errno.0);
    let tasks = procfs::open_tasks().map_err(failed)?;
    let mut attempts = 0;
    let outcome = loop {
        attempts += 1;
        let outcome = attempt(tasks);
        match outcome {
            Err(obstacle) => {
                parked::release();
                let again = matches!(obstacle, Obstacle::Unparked(_)) && attempts < ATTEMPTS;
                if !again {
                    break Err(obstacle);
                }
                sys::pause_ns(RETRY_PAUSE_NS);
            }
            parked => break parked,
        }
    };
    sys::close(tasks);
    outcome
}

fn attempt(tasks: i32) -> Result<Parked, Obstacle> {
    let own = sys::gettid();
    let longest_ns = sys::now_ns() + LONGEST_NS;
    // Slots can be used again only when no thread is still leaving with one.
    while parked::are_leaving() {
        if sys::now_ns() >= longest_ns {
            return Err(unparked(tasks, slowest_to_leave(own)));
        }
        sys::pause_ns(20_000);
    }
    let mut deadline_ns = sys::now_ns() + ATTEMPT_NS;
    NO_ROOM.store(false, Ordering::Relaxed);
    slots::clear();
    parked::expect_arrivals();
    let mut look_closer_ns = sys::now_ns() + LOOK_CLOSER_NS;
    let mut scan = 0;
    loop {
        scan += 1;
        let called = call_everybody(tasks, own, scan)?;
        forget_ended(scan);
        let underway = count(CALLED) + count(ARRIVING);
        let missing = underway + count(FREE);
        let parked = count(PARKED);
        if called == 0 && missing == 0 {
            let threads = parked + 1;
            let workers = count(WORKER);
            let all = procfs::count_tasks(tasks)
                .map_err(|errno| Obstacle::Failed(Step::Park, errno.0))?;
            if threads + workers + count(ZOMBIE) == all {
                return Ok(Parked { threads, workers });
            }
        }
        let now = sys::now_ns();
        if now >= deadline_ns && now < longest_ns && all_are_on_their_way(tasks) {
            deadline_ns = now + ATTEMPT_NS;
        }
        if now >= deadline_ns {
            let missing = slots::in_state(CALLED).chain(slots::in_state(FREE)).next();
            return Err(match missing {
                Some(slot) if slot.is(FREE) && NO_ROOM.load(Ordering::Relaxed) => {
                    not_signalled(tasks, slot.tid.load(Ordering::Relaxed))
                }
                Some(slot) => unparked(tasks, slot.tid.load(Ordering::Relaxed)),
                // New threads have appeared faster than they could be called.
                None => Obstacle::Failed(Step::Park, libc::EAGAIN),
            });
        }
        if now >= look_closer_ns {
            look_closer(tasks);
            look_closer_ns = now + 10 * LOOK_CLOSER_NS;
        }
        parked::wait_for(parked + underway, scan);
    }
}

/// Forgets threads that the last scan has not seen, if they have ended.
fn forget_ended(scan: u32) {
    let has_ended = |slot: &&Slot| {
        let is_seen = slot.scan.load(Ordering::Relaxed) == scan;
        !is_seen && !sys::has_thread(slot.tid.load(Ordering::Relaxed))
    };
    for slot in slots::all().filter(has_ended) {
        let called = slot
            .state
            .compare_exchange(CALLED, GONE, Ordering::AcqRel, Ordering::Acquire);
        match called {
            // The signal ended with the thread.
            Ok(_) => takeover::forget_one(),
            // One that was seen as a zombie may only have been on its way out.
            Err(FREE | ZOMBIE | WORKER) => slot.state.store(GONE, Ordering::Release),
            Err(_) => {}
        }
    }
}

fn count(state: u32) -> u32 {
    u32::try_from(slots::in_state(state).count()).unwrap_or(u32::MAX)
}

/// Sends the signal to every thread on the list that has not got it; returns their number.
fn call_everybody(tasks: i32, own: i32, scan: u32) -> Result<u32, Obstacle> {
    let mut walk = Walk::begin();
    let mut called = 0;
    let mut outcome = Ok(());
    let listed = procfs::for_each_number_in(tasks, |tid| {
        if tid == own || outcome.is_err() {
            return;
        }
        let Some(slot) = walk.find_or_add(tid) else {
            outcome = Err(Obstacle::TooManyThreads(slots::MOST));
            return;
        };
        slot.scan.store(scan, Ordering::Relaxed);
        // The number belongs to a new thread by now.
        if slot.is(GONE) {
            slot.state.store(FREE, Ordering::Relaxed);
        }
        if slot.is(FREE) {
            match call(tasks, slot, tid) {
                Ok(true) => called += 1,
                Ok(false) => {}
                Err(obstacle) => outcome = Err(obstacle),
            }
        }
    });
    outcome?;
    listed.map_err(|errno| Obstacle::Failed(Step::Park, errno.0))?;
    Ok(called)
}

/// Sends one thread the signal; false if that is impossible now.
fn call(tasks: i32, slot: &'static Slot, tid: i32) -> Result<bool, Obstacle> {
    if let Some(disagreement) = layout::disagreement() {
        return Err(Obstacle::Libc(disagreement));
    }
    takeover::install().map_err(|errno| Obstacle::Failed(Step::Park, errno.0))?;
    // SAFETY: the slot is FREE, so it is ours.
    let known = unsafe { slot.known() };
    known.interrupted_call = InterruptedCall::of(tasks, tid);
    known.elapsed_ns = None;
    parked::expect_release(slot);
    slot.state.store(CALLED, Ordering::Release);
    match takeover::send(tid, slot.place().addr()) {
        Ok(()) => Ok(true),
        // The thread has ended since the list was read.
        Err(Errno(libc::ESRCH)) => {
            slot.state.store(GONE, Ordering::Release);
            Ok(false)
        }
        // No more signals can be queued just now.
        Err(Errno(libc::EAGAIN)) => {
            NO_ROOM.store(true, Ordering::Relaxed);
            slot.state.store(FREE, Ordering::Release);
            Ok(false)
        }
        Err(errno) => Err(Obstacle::Failed(Step::Park, errno.0)),
    }
}

/// Looks at threads that have not come: some never can, and need not.
fn look_closer(tasks: i32) {
    let mut buffer = [0; 320];
    for slot in slots::in_state(CALLED) {
        let tid = slot.tid.load(Ordering::Relaxed);
        let Some(stat) = procfs::read_task(tasks, tid, TaskFile::Stat, &mut buffer)
            .ok()
            .and_then(proc_text::stat)
        else {
            continue;
        };
        let state = if stat.is_kernel_worker() {
            WORKER
        } else if matches!(stat.state, b'Z' | b'X') {
            ZOMBIE
        } else {
            continue;
        };
        // The thread may have come after all.
        if slot
            .state
            .compare_exchange(CALLED, state, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
        {
            takeover::forget_one();
        }
    }
}

/// Whether all threads that have not come only wait for a processor, or for the journal.
fn all_are_on_their_way(tasks: i32) -> bool {
    let mut buffer = [0; 320];
    let mut missing = slots::in_state(CALLED).chain(slots::in_state(FREE));
    missing.all(|slot| {
        let tid = slot.tid.load(Ordering::Relaxed);
        procfs::read_task(tasks, tid, TaskFile::Stat, &mut buffer)
            .ok()
            .and_then(proc_text::stat)
            .is_none_or(|stat| {
                stat.state == b'R' || stat.state == b'D' && may_wait_for_journal(tasks, tid)
            })
    })
}

/// Whether this thread may wait for the journal's answer. If the journal has received the
/// question, no signal wakes the thread before the answer, and it parks right after it. The
/// journal answers during a take too, but it may have a large file to keep first.
fn may_wait_for_journal(tasks: i32, tid: i32) -> bool {
    let mut buffer = [0; 320];
    let doing = procfs::read_task(tasks, tid, TaskFile::Syscall, &mut buffer)
        .ok()
        .and_then(proc_text::doing);
    matches!(doing, Some(Doing::Call(call)) if withdrawn::is_asked(&call))
}

fn slowest_to_leave(own: i32) -> i32 {
    slots::in_state(PARKED)
        .next()
        .map_or(own, |slot| slot.tid.load(Ordering::Relaxed))
}
