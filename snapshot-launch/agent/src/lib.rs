//! The agent: the library that is loaded into the program so that it can be snapshotted.
//!
//! # Theory of operation
//! The launcher preloads the agent from memory. Its constructor takes every trace of that out
//! of the environment, installs the handlers for the trigger signal and SIGINT, and says
//! hello to the supervisor. Then the program's `main` runs, and the agent does nothing until a
//! signal or a call of the program comes. It costs nothing between takes: no thread, no
//! descriptor, nothing on a hot path.
//!
//! # Limits
//! It sees the program's calls to libc. A direct system call goes around it; each file says
//! what is lost then.
//!
//! # Rooms
//! A room names what is below it, never above:
//!
//! - [`interpose`]: the functions that stand before libc's;
//! - [`requests`]: the signal handlers, the library's calls, and the takes that both lead to;
//! - [`children`]: the program's children after a revert;
//! - [`signals`]: what the program wants on our signals, what the kernel has, and who sent one;
//! - [`session`]: what the agent knows, the environment message, speaking with the supervisor;
//! - [`real`] and [`errno`]: libc's own functions, and how they fail.
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

mod children;
mod errno;
mod interpose;
mod real;
mod requests;
mod session;
mod signals;

use snapshot_core::kernel::reserve;
use snapshot_core::terms::{OwnUse, comes_back::FileContents};
use snapshot_core::threads::layout;
use snapshot_core::wire::{FromCaller, ToCaller, link::Link};
use snapshot_core::{objects, sys};

use crate::children::reaping;
use crate::interpose::{closes, syscall, writes};
use crate::requests::{answering, handlers};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here panics on purpose. If it does, an abort is the clear end: the supervisor
    // reports it and goes back to a snapshot.
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
    let Some(message) = session::take_message() else {
        // Another program than the launcher has loaded the agent.
        return;
    };
    sys::close(message.preload_fd);
    reserve::begin();
    match message.inherited() {
        // After an exec more is open, and that is the program's own.
        Some(inherited) => {
            for &one in inherited {
                objects::note_one_inherited(one);
            }
        }
        None => objects::note_inherited(),
    }
    objects::begin_to_mark();
    closes::begin();
    writes::begin();
    layout::discover();
    syscall::tell_return_address();
    session::begin(&message);
    let welcome = Link::connect(session::name()).and_then(|link| {
        handlers::begin();
        let answer = link.say(FromCaller::Hello).and_then(|()| link.hear());
        link.close();
        answer
    });
    let mut takes_at_start = false;
    if let Ok((
        ToCaller::Welcome {
            take_at_start,
            no_files,
            journal,
            reseed,
        },
        table,
    )) = welcome
    {
        if no_files {
            objects::set_file_contents(FileContents::Left);
        } else if journal {
            objects::set_file_contents(FileContents::Kept);
        }
        session::set_reseed(reseed);
        if let Some(table) = table {
            reaping::begin(table);
        }
        takes_at_start = take_at_start;
    }
    sys::set_mask(message.mask);
    if message.mask.meets(session::trigger_set()) {
        session::report_use(OwnUse::Blocks);
    }
    if takes_at_start {
        answering::take_at_start();
    }
}
