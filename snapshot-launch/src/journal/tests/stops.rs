//! Reverts that are stopped at every step, and finished by the next process.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::chance::{Chance, seed};
use super::program::Program;
use super::random::act;
use crate::journal::undo::{Stopped, after, recover};

/// Runs something that may be stopped. Returns what it gave, if it came to its end.
fn until_stop<T>(steps: Option<u64>, run: impl FnOnce() -> T) -> Option<T> {
    after(steps);
    let result = catch_unwind(AssertUnwindSafe(run));
    after(None);
    match result {
        Ok(value) => Some(value),
        Err(panic) if panic.is::<Stopped>() => None,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Reverts in as many pieces as the stops make of it. Returns how often it was stopped.
pub(super) fn revert_in_pieces(
    program: &mut Program,
    chance: &mut Chance,
    mut next: impl FnMut(&mut Chance) -> u64,
) -> usize {
    let target = chance.pick(&program.taken).expect("there is one").0;
    let branch = program.tree();
    let tree = program.before_revert(target, false);
    let stop = next(chance);
    let levels = &mut program.levels;
    let reverted = until_stop(Some(stop), || levels.revert_to(target, false, false));
    let is_done = reverted.is_some();
    if let Some(outcome) = reverted {
        assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
        assert_eq!(outcome.outsiders, Vec::<String>::new());
        program.must_be(&tree);
    }
    let stops = if is_done {
        0
    } else {
        program.forget_journal();
        1 + finish(program, chance, next, &tree, &branch)
    };
    program.forget_journal();
    for store in program.stores() {
        // What the branch has closed lies there too.
        let _ = std::process::Command::new("chmod")
            .args(["-R", "u+rwx"])
            .arg(&store)
            .output();
        std::fs::remove_dir_all(store).expect("it can be removed");
    }
    stops
}

/// Returns how often the finishers were stopped.
fn finish(
    program: &Program,
    chance: &mut Chance,
    mut next: impl FnMut(&mut Chance) -> u64,
    tree: &super::tree::Tree,
    branch: &super::tree::Tree,
) -> usize {
    for round in 0.. {
        let Some(store) = program
            .stores()
            .into_iter()
            .find(|store| store.join("plan").exists())
        else {
            // It was stopped before it had begun, or after it was done.
            let now = program.tree();
            let is_either = tree.difference(&now).is_empty()
                || (round == 0 && branch.difference(&now).is_empty());
            assert!(is_either, "{:?}", tree.difference(&now));
            return round;
        };
        let stop = (round < 20).then(|| next(chance));
        if let Some(outcome) = until_stop(stop, || recover(&store)) {
            let outcome = outcome.expect("there is a plan");
            assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
            program.must_be(tree);
            assert!(!store.exists());
            return round;
        }
    }
    unreachable!("the last rounds have no stop");
}

fn lives(count: u64, rounds: usize) {
    let first = seed();
    for seed in first..first + count {
        eprintln!("SEED={seed}");
        let mut chance = Chance::new(seed);
        let mut program = Program::new();
        for _ in 0..rounds {
            // What is held open and has no name can't be found by another process.
            for _ in 0..40 {
                act(&mut program, &mut chance);
            }
            program.held.clear();
            for _ in 0..=chance.below(3) {
                program.take();
                for _ in 0..chance.below(40) {
                    act(&mut program, &mut chance);
                }
            }
            program.let_go_of_held();
            revert_in_pieces(&mut program, &mut chance, |chance| chance.below(60) as u64);
        }
    }
}

#[test]
fn a_revert_that_is_stopped_is_finished() {
    lives(6, 30);
}

#[test]
#[ignore = "takes minutes"]
fn many_reverts_that_are_stopped_are_finished() {
    lives(300, 60);
}

/// Stops at each step, and lets the next process finish.
#[test]
fn old_objects_in_closed_directories_are_found_again() {
    for stop in 0..40 {
        let mut program = Program::new();
        let [old, file, top] = ["old", "file", "top"].map(|name| program.path(name));
        let (new, below) = (top.join("new"), top.join("new/below"));
        let made = program.make_directory(&old);
        made.and_then(|()| program.create(&old.join("a"), b"a"))
            .and_then(|()| program.create(&file, b"file"))
            .and_then(|()| program.make_directory(&top))
            .expect("it can be made");
        program.take();
        let made = program.make_directory(&new);
        made.and_then(|()| program.make_directory(&below))
            .and_then(|()| program.rename(&old, &below.join("old")))
            .and_then(|()| program.rename(&file, &below.join("file")))
            .and_then(|()| program.set_mode(&below, 0o500))
            .and_then(|()| program.set_mode(&new, 0o400))
            .and_then(|()| program.set_mode(&top, 0))
            .expect("the program can do it");
        let mut stops = [stop].into_iter();
        revert_in_pieces(&mut program, &mut Chance::new(1), |_| {
            stops.next().unwrap_or(u64::MAX)
        });
    }
}
