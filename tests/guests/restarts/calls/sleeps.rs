//! Calls that let time pass.

use std::ptr::null_mut;

use nix::errno::Errno;

use crate::act::{Act, Given, limited};
use crate::outcome::{Outcome, call};
use crate::time::{LIMIT, LIMIT_SPEC, deadline};

pub fn nanosleep(_: &Given) -> Act {
    limited(|note| {
        note.begin();
        call!(libc::nanosleep(&raw const LIMIT_SPEC, null_mut()))
    })
}

pub fn nanosleep_remainder(_: &Given) -> Act {
    limited(|note| {
        // The time and the remainder in one place, as most programs have it.
        let mut time = LIMIT_SPEC;
        let place = &raw mut time;
        note.begin();
        call!(libc::nanosleep(place, place))
    })
}

pub fn clock_nanosleep(_: &Given) -> Act {
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

pub fn clock_nanosleep_absolute(_: &Given) -> Act {
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

pub fn usleep(_: &Given) -> Act {
    limited(|note| {
        note.begin();
        call!(libc::usleep(2_000_000))
    })
}

pub fn sleep(_: &Given) -> Act {
    limited(|note| {
        note.begin();
        // It returns the seconds that are left after an interruption.
        match call!(libc::sleep(2)) {
            Outcome(Ok(0)) => Outcome(Ok(0)),
            _ => Outcome(Err(Errno::EINTR)),
        }
    })
}

pub fn std_sleep(_: &Given) -> Act {
    limited(|note| {
        note.begin();
        std::thread::sleep(LIMIT);
        Outcome(Ok(0))
    })
}
