//! Random programs with random takes, reverts, drops and commits. After each revert the tree is
//! compared with the tree at the take.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use super::chance::{Chance, seed};
use super::own_process::in_another_process;
use super::program::Program;

/// Does something at random. Calls that fail are part of a program's life.
pub(super) fn act(program: &mut Program, chance: &mut Chance) {
    let paths = program.paths();
    let existing = chance.pick(&paths).cloned().unwrap_or_default();
    let fresh = fresh(&paths, chance);
    let length = if chance.percent(10) {
        200_000
    } else {
        chance.below(9000)
    };
    let fill = u8::try_from(chance.below(256)).expect("a byte");
    let bytes = vec![fill; length];
    let end = if chance.percent(5) { 400_000 } else { 6000 };
    let at = chance.below(end) as u64;
    let is_root = existing == program.root();
    // What fails is checked as well: it must have no part in what comes back.
    let what = match chance.below(25) {
        create @ (0..=3 | 14..=15 | 18..=20) if paths.len() > 50 => 8 + create / 2,
        any => any,
    };
    let _ = match what {
        0..=3 => program.create(&fresh, &bytes),
        4..=5 => program.write(&existing, at, &bytes),
        6 => program.append(&existing, &bytes),
        7 => program.set_length(&existing, at),
        8..=9 if !is_root => program.unlink(&existing),
        10..=12 if !is_root => {
            let to = if chance.percent(50) {
                fresh
            } else {
                chance.pick(&paths).cloned().unwrap_or_default()
            };
            if to == program.root() {
                Ok(())
            } else {
                program.rename(&existing, &to)
            }
        }
        13 if !is_root => {
            let other = chance.pick(&paths).cloned().unwrap_or_default();
            if other == program.root() {
                Ok(())
            } else {
                program.exchange(&existing, &other)
            }
        }
        14..=15 => program.make_directory(&fresh),
        16..=17 if !is_root => program.remove_directory(&existing),
        18 if existing.is_file() => program.link(&existing, &fresh),
        19 => program.make_symlink(OsStr::new("somewhere"), &fresh),
        20 => program.make_fifo(&fresh),
        21 => program.set_mode(&existing, mode(chance)),
        22 => program.set_times(&existing, i64::try_from(at).expect("it is small")),
        23 => {
            let value = [fill; 3];
            let name = ["user.one", "user.two"][chance.below(2)];
            program.set_xattr(&existing, name, (fill % 3 > 0).then_some(&value))
        }
        _ => with_open_files(program, chance, &existing, &bytes, at),
    };
}

fn mode(chance: &mut Chance) -> u32 {
    // To an ordinary user most of these close a directory, until he opens it again.
    [
        0o700, 0o755, 0o600, 0o644, 0o4755, 0o1777, 0o400, 0o500, 0o300, 0o000,
    ][chance.below(10)]
}

fn with_open_files(
    program: &mut Program,
    chance: &mut Chance,
    existing: &std::path::Path,
    bytes: &[u8],
    at: u64,
) -> std::io::Result<()> {
    match chance.below(5) {
        0..=1 if program.held.len() < 4 && existing.is_file() => program.hold(existing),
        2 => {
            let index = chance.below(program.held.len());
            drop((!program.held.is_empty()).then(|| program.held.remove(index)));
            Ok(())
        }
        3 if !program.held.is_empty() => {
            program.write_held(chance.below(program.held.len()), at, bytes)
        }
        _ if nix::unistd::geteuid().is_root() => program.set_owner(
            existing,
            u32::try_from(chance.below(3)).expect("it is small"),
        ),
        _ => Ok(()),
    }
}

/// A name in some directory that may be free.
fn fresh(paths: &[PathBuf], chance: &mut Chance) -> PathBuf {
    let directories: Vec<_> = paths
        .iter()
        .filter(|path| path.is_dir() && !path.is_symlink())
        .collect();
    let dir = chance.pick(&directories).expect("the root is there");
    dir.join(["a", "b", "c", "d", "e"][chance.below(5)])
}

/// A life of so many steps.
pub(super) fn live(program: &mut Program, steps: usize, seed: u64) {
    let mut chance = Chance::new(seed);
    for _ in 0..30 {
        act(program, &mut chance);
    }
    for _ in 0..steps {
        let taken: Vec<_> = program.taken.iter().map(|(id, _)| *id).collect();
        let target = chance.pick(&taken).copied();
        match (chance.below(100), target) {
            (0..=3, _) if taken.len() < 5 => drop(program.take()),
            (4..=7, Some(target)) => {
                let keep = chance.percent(50);
                program.revert(target, keep);
            }
            (8, Some(target)) => program.drop_level(target),
            (9, Some(_)) if chance.percent(20) => program.commit(),
            // The journal hears that files were closed.
            (10..=19, _) => program.levels.seal(),
            _ => act(program, &mut chance),
        }
    }
    if let Some((first, _)) = program.taken.first() {
        program.revert(*first, false);
    }
    program.commit();
}

/// Many lives, each with a seed that a failure names.
fn lives(count: u64, steps: usize) {
    let first = seed();
    for seed in first..first + count {
        eprintln!("SEED={seed}");
        let mut program = Program::new();
        live(&mut program, steps, seed);
        let stores = program.stores();
        let levels = std::mem::replace(
            &mut program.levels,
            crate::journal::levels::Levels::new("", vec![]),
        );
        assert_eq!(levels.end(), Vec::<PathBuf>::new());
        assert!(stores.iter().all(|store| !store.exists()), "{stores:?}");
    }
}

#[test]
fn random_programs_come_back() {
    lives(6, 1000);
}

#[test]
#[ignore = "takes minutes"]
fn many_random_programs_come_back() {
    lives(200, 5000);
}

#[test]
fn random_programs_of_an_ordinary_user_come_back() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not root: the test above was one");
        return;
    }
    // Nobody else's temporary directory may be in the way.
    for test in [
        "random::random_programs_come_back",
        "stops::a_revert_that_is_stopped_is_finished",
        "stops::old_objects_in_closed_directories_are_found_again",
        "cut::a_file_is_found_that_had_a_second_name_in_the_branch",
        "cut::a_file_is_found_that_was_opened_by_a_name_that_is_gone",
        "cut::a_file_is_found_that_a_newer_branch_has_linked_anew",
        "cut::objects_in_closed_directories_are_found_twice",
        "cut::a_directory_is_closed_again_by_whoever_comes_last",
    ] {
        in_another_process(&format!("journal::tests::{test}"), |command| {
            command.uid(65534).gid(65534).env("TMPDIR", "/tmp");
        });
    }
}
