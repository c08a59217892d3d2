//! Endurance: for an hour two sessions, one in namespaces and one without, go through all that
//! can happen, at random moments. The guest `endurance` checks itself. Meanwhile the test kills
//! other sessions.
//!
//! After each action the events must make sense (`model`), the list must agree with them, and the
//! guest must live and remember what belongs to that moment (`watched`). Each minute, and at the
//! end, all processes have what they had in the first minute (`census`), and takes and reverts
//! are as fast (`latency`).
//!
//! `SNAPSHOT_ENDURANCE_SECS` sets how long the long run is; `SNAPSHOT_TEST_SEED` repeats one,
//! as far as chance in the kernel allows.

mod actions;
mod census;
mod doomed;
mod latency;
mod log;
mod model;
mod shortage;
mod watched;

use std::time::{Duration, Instant};

use snapshot_tests::{Seed, deadline};

use watched::Watched;

/// Between two counts of what the processes have.
const MINUTE: Duration = Duration::from_secs(60);

/// How many of the counts set the measure: those of the first minute.
const FIRST_COUNTS: u32 = 3;

/// One in so many actions is a session that is ended by force.
const DOOM: u64 = 60;

fn endure(whole: Duration) {
    let _log = log::ShownOnFailure;
    let mut seed = Seed::new();
    let mut both = ["auto", "never"].map(|isolate| {
        let mut watched = Watched::launch(isolate, whole);
        let frozen = watched.verify();
        (watched, frozen)
    });
    // The tool may have been built meanwhile.
    let begin = Instant::now();
    let mut counts = 0;
    while begin.elapsed() < whole {
        deadline::renew();
        let which = usize::from(seed.below(2) == 0);
        let (watched, frozen) = &mut both[which];
        log::act("turn", ["isolated", "not isolated"][which]);
        watched.latencies.fork(begin.elapsed());
        *frozen = actions::act(watched, &mut seed, frozen);
        if seed.below(DOOM) == 0 {
            doomed::doom(&mut seed);
        }
        if begin.elapsed() > count_is_due(counts, whole) {
            counts += 1;
            count(&mut both, counts <= FIRST_COUNTS);
        }
    }
    count(&mut both, false);
    println!("{}", log::counts());
    for (watched, _) in &both {
        let concluded = watched.latencies.conclude(whole);
        assert_eq!(concluded, Ok(()), "on this machine, in this run");
    }
}

/// Three in the first minute, or in the first half of a short run, and then one a minute.
fn count_is_due(counts: u32, whole: Duration) -> Duration {
    let first = MINUTE.min(whole / 2);
    if counts < FIRST_COUNTS {
        return first * (counts + 1) / FIRST_COUNTS;
    }
    first + MINUTE * (counts - FIRST_COUNTS + 1)
}

fn count(both: &mut [(Watched, Vec<i32>); 2], is_first: bool) {
    for (watched, frozen) in both {
        watched.count(is_first);
        frozen.clear();
    }
}

#[test]
fn everything_holds_for_two_minutes() {
    endure(Duration::from_secs(120));
}

#[test]
#[ignore = "takes an hour"]
fn everything_holds_for_an_hour() {
    let seconds = std::env::var("SNAPSHOT_ENDURANCE_SECS").map_or(3600, |text| {
        text.parse().expect("SNAPSHOT_ENDURANCE_SECS is a number")
    });
    endure(Duration::from_secs(seconds));
}
