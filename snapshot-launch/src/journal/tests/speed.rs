//! What the undo log costs. It prints, and doesn't judge: run it in release.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::program::Program;
use crate::journal::records::Want;
use crate::journal::stat::Stat;
use crate::journal::sys;
use std::os::fd::AsFd;

#[test]
#[ignore = "prints figures"]
fn figures() {
    let limit = nix::sys::resource::Resource::RLIMIT_NOFILE;
    let (_, hard) = nix::sys::resource::getrlimit(limit).expect("it is known");
    nix::sys::resource::setrlimit(limit, hard, hard).expect("it can be raised");
    for count in [10, 10_000] {
        touch_and_revert(count);
    }
    big_file();
}

/// Processor time of this thread: other processes don't disturb it, and a disk doesn't show.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("it is there");
    now.into()
}

fn touch_and_revert(count: usize) {
    let mut program = Program::new();
    let paths: Vec<_> = (0..count)
        .map(|number| program.path(&format!("f{number}")))
        .collect();
    for path in &paths {
        std::fs::write(path, [1; 4096]).expect("it can be written");
    }
    let id = snapshot_core::terms::SnapshotId::new(1);
    program.levels.begin(id);
    let warm = program.path("warm");
    program.create(&warm, b"").expect("it can be made");
    let mut touched = Duration::ZERO;
    for path in &paths {
        let pin = std::fs::File::open(path).expect("it is there");
        let begin = cpu();
        let stat = Stat::of_fd(pin.as_fd()).expect("it is open");
        drop(
            program
                .levels
                .keep_content(pin.as_fd(), &stat, Want::All)
                .expect("it can be kept"),
        );
        touched += cpu() - begin;
    }
    let touched = touched / u32::try_from(count).expect("it is small");
    for path in &paths {
        std::fs::write(path, [2; 4096]).expect("it can be written");
    }
    let begin = cpu();
    let outcome = program.levels.revert_to(id, true, false);
    println!(
        "{count} files of 4 KiB: first touch {touched:?}, revert {:?}",
        cpu() - begin
    );
    assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
    let begin = cpu();
    for path in &paths {
        program.unlink(path).expect("it can go");
    }
    let unlinked = (cpu() - begin) / u32::try_from(count).expect("it is small");
    let begin = cpu();
    let outcome = program.levels.revert_to(id, true, false);
    println!(
        "{count} files: unlink {unlinked:?} with all, revert {:?}",
        cpu() - begin
    );
    assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
}

fn big_file() {
    let size = 1 << 30;
    let mut program = Program::new();
    let path = program.path("big");
    let bytes = vec![1_u8; size];
    std::fs::write(&path, &bytes).expect("it can be written");
    let id = snapshot_core::terms::SnapshotId::new(1);
    program.levels.begin(id);
    let begin = cpu();
    let pin =
        sys::pin_directory(&program.root()).and_then(|dir| sys::pin(dir.as_fd(), "big".as_ref()));
    let pin = pin.expect("it is there");
    let stat = Stat::of_fd(pin.as_fd()).expect("it is there");
    drop(
        program
            .levels
            .keep_content(pin.as_fd(), &stat, Want::All)
            .expect("it can be kept"),
    );
    println!("1 GiB: kept in {:?}", cpu() - begin);
    for (what, part) in [
        ("one page of it changed", 4096),
        ("half of it changed", size),
    ] {
        drop(
            program
                .levels
                .keep_content(pin.as_fd(), &stat, Want::All)
                .expect("it can be kept"),
        );
        program
            .write(&path, 4096, &vec![2; part - part / 2])
            .expect("it can be written");
        let begin = cpu();
        let outcome = program.levels.revert_to(id, true, false);
        println!("1 GiB, {what}: revert {:?}", cpu() - begin);
        assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
    }
}
