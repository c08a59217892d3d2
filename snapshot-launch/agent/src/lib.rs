//! The agent: what is loaded into the program so that it can be snapshotted.
//!
//! The launcher preloads it from memory. Its constructor takes every trace of that out of
//! the environment, installs the handlers for the trigger signal and SIGINT, and says
//! hello to the supervisor; then the program's `main` runs and the agent sleeps until a
//! signal comes. It costs nothing between takes: no thread, no descriptor, nothing on a
//! hot path.
//!
//! Rooms: [`environment`] (what the launcher left there), [`session`] (what the agent
//! knows), [`dispositions`] (the program's own handlers for our signals), [`handlers`]
//! (ours), [`senders`] (who has sent a signal), [`signal_waits`] (who waits for
//! one), [`exec`] (following the program into another one), [`waits`] and [`adopted`]
//! (children from before a revert), [`watches`] (paths of watched files), [`closes`] (ends
//! that others wait for), [`first_thread`] (libc's handler and ours), [`filters`] (of system
//! calls, which the program sets), [`wiped`] (memory that copies lack), [`locked`] (memory that is
//! never swapped), [`exports`] (what the library calls).
//!
//! Depends on libc alone: no std, no allocation.
#![no_std]
#![deny(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::unwrap_used
)]
#![expect(
    unsafe_code,
    reason = "the agent lives among C functions and signal handlers"
)]

mod adopted;
mod closes;
mod cpu_clocks;
mod dispositions;
mod environment;
mod errno;
mod exec;
mod exports;
mod filters;
mod first_thread;
mod handlers;
mod locked;
mod senders;
mod session;
mod signal_waits;
mod syscall;
mod thread_ids;
mod user_ids;
mod waits;
mod watches;
mod wiped;

use snapshot_core::kernel::reserve;
use snapshot_core::terms::OwnUse;
use snapshot_core::threads::layout;
use snapshot_core::wire::{FromAgent, FromSupervisor, link::Link};
use snapshot_core::{objects, sys};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here panics on purpose. If it happens, a crash is the honest end: the
    // supervisor reports it and goes back to a snapshot.
    let _ = sys::kill(sys::getpid(), libc::SIGABRT);
    sys::exit_group(134)
}

/// Runs before the program's `main`.
#[used]
// SAFETY: `.init_array` holds functions that the loader calls with (argc, argv, envp),
// which a C function without parameters may ignore.
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = construct;

extern "C" fn construct() {
    let Some(letter) = environment::take_letter() else {
        // Loaded by something else than the launcher.
        return;
    };
    sys::close(letter.preload_fd);
    reserve::begin();
    match letter.inherited() {
        // An exec has opened nothing from outside.
        Some(inherited) => {
            for &one in inherited {
                objects::note_one_inherited(one);
            }
        }
        None => objects::note_inherited(),
    }
    objects::begin_to_hold();
    closes::begin();
    layout::discover();
    syscall::tell_return_address();
    session::begin(&letter);
    let welcome = Link::connect(session::name()).and_then(|link| {
        dispositions::begin();
        let answer = link.say(FromAgent::Hello).and_then(|()| link.hear());
        link.close();
        answer
    });
    let mut takes_at_start = false;
    if let Ok((
        FromSupervisor::Welcome {
            take_at_start,
            no_files,
            reseed,
        },
        table,
    )) = welcome
    {
        if no_files {
            objects::leave_files_alone();
        }
        session::set_reseed(reseed);
        if let Some(table) = table {
            waits::begin(table);
        }
        takes_at_start = take_at_start;
    }
    sys::set_mask(letter.mask);
    if letter.mask.meets(session::trigger_set()) {
        handlers::tell_of_use(OwnUse::Blocks);
    }
    if takes_at_start {
        handlers::take_at_start();
    }
}
