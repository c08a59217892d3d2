//! Small fixed programs with a revert that is cut at each of its steps, and finished by the next
//! process. That one is cut at each of its steps as well.

use std::io;
use std::path::PathBuf;

use super::chance::Chance;
use super::program::Program;
use super::stops::revert_in_pieces;

/// Reverts a program's only snapshot in pieces. Returns how often that was stopped.
fn revert(stops: &[u64], live: &impl Fn(&mut Program) -> io::Result<()>) -> usize {
    let mut program = Program::new();
    live(&mut program).expect("the program can do it");
    program.let_go_of_held();
    let mut stops_left = stops.iter().copied();
    let stopped = revert_in_pieces(&mut program, &mut Chance::new(1), |_| {
        stops_left.next().unwrap_or(u64::MAX)
    });
    let wrong = program.tree().wrong_link_counts();
    assert_eq!(wrong, Vec::<PathBuf>::new(), "{stops:?}");
    stopped
}

/// Stops a revert at each of its steps, and the process that finishes it at each of its own.
fn cut_twice(live: impl Fn(&mut Program) -> io::Result<()>) {
    for first in 0.. {
        for second in 0.. {
            eprintln!("stops: {first}, {second}");
            match revert(&[first, second], &live) {
                0 => return,
                1 => break,
                _ => {}
            }
        }
    }
}

#[test]
fn a_file_is_found_that_had_a_second_name_in_the_branch() {
    cut_twice(|program| {
        let [file, second] = ["file", "second"].map(|name| program.path(name));
        program.create(&file, b"old")?;
        program.take();
        program.link(&file, &second)?;
        program.write(&second, 0, b"new")?;
        program.unlink(&second)
    });
}

#[test]
fn a_file_is_found_that_was_opened_by_a_name_that_is_gone() {
    cut_twice(|program| {
        let [file, second] = ["file", "second"].map(|name| program.path(name));
        program.create(&file, b"old")?;
        program.link(&file, &second)?;
        program.hold(&second)?;
        program.unlink(&second)?;
        program.take();
        program.write_held(0, 0, b"new")
    });
}

/// The newer revert moves nothing: the file has its old name already. But that is another link.
#[test]
fn a_file_is_found_that_a_newer_branch_has_linked_anew() {
    cut_twice(|program| {
        let [file, second] = ["file", "second"].map(|name| program.path(name));
        program.create(&file, b"old")?;
        program.take();
        program.write(&file, 0, b"new")?;
        let newer = program.take();
        program.rename(&file, &second)?;
        program.link(&second, &file)?;
        program.unlink(&second)?;
        program.revert(newer, false);
        Ok(())
    });
}

/// An ordinary user's program has closed the way to them. The plan can't name the directories on it
/// before they are open.
#[test]
fn objects_in_closed_directories_are_found_twice() {
    cut_twice(|program| {
        let [old, file, top] = ["old", "file", "top"].map(|name| program.path(name));
        let (new, below) = (top.join("new"), top.join("new/below"));
        program.make_directory(&old)?;
        program.create(&old.join("a"), b"a")?;
        program.create(&file, b"file")?;
        program.make_directory(&top)?;
        program.take();
        program.make_directory(&new)?;
        program.make_directory(&below)?;
        program.rename(&old, &below.join("old"))?;
        program.rename(&file, &below.join("file"))?;
        program.set_mode(&below, 0o500)?;
        program.set_mode(&new, 0o400)?;
        program.set_mode(&top, 0)
    });
}

/// It was closed before the snapshot, and no record has its mode.
#[test]
fn a_directory_is_closed_again_by_whoever_comes_last() {
    cut_twice(|program| {
        let top = program.path("top");
        program.make_directory(&top)?;
        program.create(&top.join("file"), b"old")?;
        program.hold(&top.join("file"))?;
        program.set_mode(&top, 0)?;
        program.take();
        program.write_held(0, 0, b"new")
    });
}
