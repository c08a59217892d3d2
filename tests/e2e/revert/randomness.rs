//! Which random generators two branches from one state share, and what the library does about it: the table
//! of docs/library.md.

use std::collections::BTreeMap;

use snapshot_tests::{Launch, binaries};

/// What became of each generator, by its name.
fn verdicts(mode: &str, under_launcher: bool, flags: &[&str]) -> BTreeMap<String, String> {
    let launch = match under_launcher {
        true => flags.iter().fold(Launch::guest("randomness"), Launch::flag),
        false => Launch::bare(binaries::guest("randomness")),
    };
    let output = launch.arg(mode).piped().finish();
    assert!(output.success(), "{output:?}");
    let verdicts = output.stdout.lines().filter_map(|line| {
        let (name, verdict) = line.split_once(' ')?;
        Some((name.to_owned(), verdict.to_owned()))
    });
    verdicts.collect()
}

/// Compares those that drew differently. Generators that this machine does not have are left out.
fn differ(mode: &str, under_launcher: bool, flags: &[&str], expected: &[&str]) {
    let verdicts = verdicts(mode, under_launcher, flags);
    assert_eq!(verdicts.len(), 10, "{verdicts:?}");
    for (name, verdict) in &verdicts {
        if verdict == "none" {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "this machine has no {name}, and in CI nothing may be skipped"
            );
            eprintln!("skipped: this machine has no {name}");
            continue;
        }
        let wanted = match expected.contains(&name.as_str()) {
            true => "differs",
            false => "same",
        };
        assert_eq!(
            verdict, wanted,
            "{name}, {mode}, under the launcher: {under_launcher} {flags:?}: {verdicts:?}"
        );
    }
    for name in expected {
        assert!(verdicts.contains_key(*name), "{name}: {verdicts:?}");
    }
}

#[test]
fn what_is_in_memory_draws_the_same_in_both() {
    differ("plain", true, &[], &["getrandom", "arc4random"]);
    // The branch of a program alone is a child: it is new to those who look for that.
    let look = [
        "getrandom",
        "arc4random",
        "wiped_memory",
        "openssl",
        "openssl_elsewhere",
    ];
    differ("plain", false, &[], &look);
}

#[test]
fn wiped_memory_is_wiped_where_the_session_is_asked_for_it() {
    let wiped = ["getrandom", "arc4random", "wiped_memory"];
    differ("plain", true, &["--reseed"], &wiped);
}

#[test]
fn the_library_reseeds_what_it_can_reach() {
    let reached = [
        "getrandom",
        "arc4random",
        "wiped_memory",
        "random",
        "openssl",
        "openssl_elsewhere",
    ];
    for under_launcher in [true, false] {
        differ("reseeds", under_launcher, &[], &reached);
    }
}

/// A hook runs in the thread that has taken the snapshot; another thread looks for itself.
#[test]
fn a_programs_own_generators_are_seeded_by_its_hook_and_by_the_count_of_reverts() {
    let own = [
        "rand_std_rng",
        "rand_thread_rng",
        "rand_thread_rng_elsewhere",
    ];
    let session = [&["getrandom", "arc4random"][..], &own].concat();
    differ("hooks", true, &[], &session);
    let alone = [
        &[
            "getrandom",
            "arc4random",
            "wiped_memory",
            "openssl",
            "openssl_elsewhere",
        ][..],
        &own,
    ]
    .concat();
    differ("hooks", false, &[], &alone);
}

/// The same for one snapshot that is kept, and reverted to from another terminal.
#[test]
fn a_kept_snapshot_draws_the_same_again() {
    let mut session = Launch::guest("randomness").arg("kept").piped();
    session.next_line("all are seeded", |line| line == "ready");
    session.take();
    let first = session.ask("draw");
    session.command("revert", &["--keep"]);
    session.next("reverted");
    let second = session.ask("draw");
    let same = first
        .split(' ')
        .zip(second.split(' '))
        .map(|(first, second)| first == second);
    let same: Vec<bool> = same.collect();
    assert_eq!(
        same[..3],
        [false, first.contains("none"), true],
        "{first}\n{second}"
    );
    assert!(same[6..].iter().all(|&same| same), "{first}\n{second}");
}
