//! Cases that a careless undo gets wrong.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

use super::own_process::in_another_process;
use super::program::{Program, ino};
use snapshot_core::terms::SnapshotId;

use crate::journal::coverage::{Coverage, Loss};
use crate::journal::leftovers::tidy_up;
use crate::journal::levels::Levels;
use crate::journal::records::Want;
use crate::journal::stat::Stat;
use crate::journal::sys;

/// A program with these files, each with its own name as content, and directories (`x/`).
fn with(files: &[&str]) -> Program {
    let mut program = Program::new();
    for file in files {
        let path = program.path(file);
        match file.strip_suffix('/') {
            Some(_) => program.make_directory(&path),
            None => program.create(&path, file.as_bytes()),
        }
        .expect("it can be made");
    }
    program
}

/// Takes, lets the program act, reverts, compares.
fn comes_back(files: &[&str], act: impl FnOnce(&mut Program) -> std::io::Result<()>) {
    let mut program = with(files);
    let id = program.take();
    act(&mut program).expect("the program can do it");
    program.revert(id, false);
    assert_eq!(
        program.tree().wrong_link_counts(),
        Vec::<std::path::PathBuf>::new()
    );
}

#[test]
fn an_open_file_comes_back_by_the_name_it_was_opened_by() {
    let mut program = with(&["a"]);
    let (a, moved) = (program.path("a"), program.path("moved"));
    let open = File::open(&a).expect("it is there");
    let id = program.take();
    program.rename(&a, &moved).expect("it can move");
    for number in 0..9 {
        let link = program.path(&format!("link{number}"));
        program.link(&moved, &link).expect("it can be linked");
    }
    program.revert(id, false);
    assert_eq!(sys::path_of(open.as_fd()), a);
}

#[test]
fn a_removed_directory_that_is_open_keeps_its_mode() {
    let mut program = with(&["directory/"]);
    let path = program.path("directory");
    let open = File::open(&path).expect("it is there");
    let id = program.take();
    program.set_mode(&path, 0o644).expect("it is ours");
    program.remove_directory(&path).expect("it can go");
    program.drop_level(id);
    program.sweep();
    let mode = open.metadata().expect("it is open").mode();
    assert_eq!(mode & 0o7777, 0o644);
}

#[test]
fn an_open_file_that_the_program_has_removed_is_nobody_elses() {
    let mut program = with(&["file"]);
    let path = program.path("file");
    let first = program.take();
    program.hold(&path).expect("it is there");
    program.unlink(&path).expect("it can go");
    let second = program.take();
    let third = program.take();
    program.revert(third, false);
    program.write_held(0, 0, b"new").expect("it is open");
    // The last link to it is the first snapshot's.
    program.drop_level(first);
    program.sweep();
    program.revert(second, false);
}

/// A database does so with a table that it removes.
#[test]
fn a_guarded_file_that_is_cut_by_its_path_is_nobody_elses() {
    let mut program = with(&[]);
    let path = program.path("file");
    let old = vec![7; 300_000];
    program.create(&path, &old).expect("it can be made");
    let id = program.take();
    let look = || {
        let pin = File::open(&path).expect("it is there");
        let stat = Stat::of_fd(pin.as_fd()).expect("it is there");
        (pin, stat)
    };
    let levels = &mut program.levels;
    let (pin, stat) = look();
    let kept = [
        levels.guard(pin.as_fd(), &stat),
        levels.keep_range(pin.as_fd(), &stat, (0, 100), None),
    ];
    for kept in kept {
        assert_eq!(kept.ok(), Some(Coverage::Covered));
    }
    let file = File::options().write(true).open(&path);
    let file = file.expect("it is there");
    file.write_all_at(&[8; 100], 0).expect("there is room");
    drop(file);
    levels.seal();
    let (pin, stat) = look();
    let kept = levels.keep_range(pin.as_fd(), &stat, (0, u64::MAX), None);
    assert_eq!(kept.ok(), Some(Coverage::Covered));
    nix::unistd::truncate(&path, 0).expect("it is there");
    program.revert(id, false);
    assert_eq!(fs::read(&path).expect("it is there"), old);
}

#[test]
fn a_file_loses_all_its_names() {
    let mut program = with(&["a"]);
    let (a, b) = (program.path("a"), program.path("b"));
    program.link(&a, &b).expect("it can be linked");
    let id = program.take();
    program.unlink(&a).expect("it can go");
    program.unlink(&b).expect("it can go");
    program.create(&a, b"another").expect("it can be made");
    program.revert(id, false);
    assert_eq!(ino(&a), ino(&b));
    assert_eq!(
        program.tree().wrong_link_counts(),
        Vec::<std::path::PathBuf>::new()
    );
}

#[test]
fn names_go_round_in_a_circle() {
    comes_back(&["a", "b", "c"], |program| {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| program.path(name));
        for (from, to) in [(&a, &d), (&b, &a), (&c, &b), (&d, &c)] {
            program.rename(from, to)?;
        }
        program.write(&b, 0, b"changed")
    });
}

#[test]
fn a_directory_moves_and_what_is_in_it_changes() {
    comes_back(&["old/", "old/a", "old/b"], |program| {
        let [old, new] = ["old", "new"].map(|name| program.path(name));
        program.unlink(&old.join("a"))?;
        program.rename(&old, &new)?;
        program.write(&new.join("b"), 1, b"changed")?;
        program.create(&new.join("c"), b"c")?;
        program.make_directory(&old)?;
        program.create(&old.join("b"), b"another b")
    });
}

#[test]
fn a_directory_is_removed_and_made_anew() {
    comes_back(&["dir/", "dir/a"], |program| {
        let [dir, a] = ["dir", "dir/a"].map(|name| program.path(name));
        program.unlink(&a)?;
        program.remove_directory(&dir)?;
        program.make_directory(&dir)?;
        program.create(&a, b"another")
    });
}

#[test]
fn a_directory_comes_to_lie_below_its_child() {
    comes_back(&["top/", "top/dir/", "top/dir/a", "file"], |program| {
        let [top, dir, new] = ["top", "top/dir", "new"].map(|name| program.path(name));
        program.make_directory(&new)?;
        program.rename(&dir, &new.join("dir"))?;
        program.rename(&top, &new.join("dir/top"))?;
        program.rename(&program.path("file"), &new.join("dir/top/file"))
    });
}

#[test]
fn old_objects_lie_in_new_directories_that_are_closed() {
    comes_back(&["dir/", "dir/a", "file"], |program| {
        let [dir, file, new] = ["dir", "file", "new"].map(|name| program.path(name));
        program.make_directory(&new)?;
        program.make_directory(&new.join("below"))?;
        program.rename(&dir, &new.join("below/dir"))?;
        program.rename(&file, &new.join("below/file"))?;
        program.set_mode(&new.join("below"), 0)?;
        program.set_mode(&new, 0o400)
    });
}

#[test]
fn attributes_change_where_they_can_be_written_and_not_read() {
    let mut program = with(&["file", "dir/"]);
    let paths = ["file", "dir"].map(|name| program.path(name));
    for (path, mode) in paths.iter().zip([0o200, 0o300]) {
        let set = program.set_xattr(path, "user.one", Some(b"old"));
        set.and_then(|()| program.set_mode(path, mode))
            .expect("it can be set");
    }
    let id = program.take();
    for path in &paths {
        for name in ["user.one", "user.two"] {
            program
                .set_xattr(path, name, Some(b"new"))
                .expect("it can be set");
        }
    }
    program.revert(id, false);
}

#[test]
fn what_is_new_is_put_aside_though_it_is_closed() {
    let mut program = with(&["file"]);
    let [file, moved, new] = ["file", "moved", "new"].map(|name| program.path(name));
    let id = program.take();
    let made = program.make_directory(&new);
    made.and_then(|()| program.set_mode(&new, 0))
        .and_then(|()| program.rename(&file, &moved))
        .expect("the program can do it");
    // Nobody tells the journal, and so it can't be brought back; nor does it look for others.
    fs::remove_file(&moved).expect("it can go");
    program.levels.goes_blind();
    let outcome = program.levels.revert_to(id, false, false);
    let problems: Vec<_> = outcome
        .problems
        .iter()
        .map(|problem| &problem.what)
        .collect();
    assert_eq!(problems.len(), 2, "{:?}", outcome.problems);
    assert!(problems[0].contains("bring it back"), "{problems:?}");
    let aside = &outcome.problems[1].path;
    let mode = fs::metadata(aside).expect("it is there").mode();
    assert_eq!(mode & 0o7777, 0, "{}", aside.display());
    // Else the test could not remove it.
    fs::set_permissions(aside, PermissionsExt::from_mode(0o700)).expect("it is our own");
}

/// For root nothing is closed.
#[test]
fn closed_objects_of_an_ordinary_user_come_back() {
    for test in [
        "old_objects_lie_in_new_directories_that_are_closed",
        "attributes_change_where_they_can_be_written_and_not_read",
        "what_is_new_is_put_aside_though_it_is_closed",
    ] {
        in_another_process(&format!("journal::tests::corners::{test}"), |command| {
            if nix::unistd::geteuid().is_root() {
                command.uid(65534).gid(65534).env("TMPDIR", "/tmp");
            }
        });
    }
}

#[test]
fn a_directory_that_is_not_empty_is_not_removed() {
    let mut program = with(&["dir/", "dir/a"]);
    program.take();
    let removed = program.remove_directory(&program.path("dir"));
    assert_eq!(
        removed.expect_err("it isn't empty").raw_os_error(),
        Some(nix::libc::ENOTEMPTY)
    );
    assert!(program.path("dir/a").exists());
}

#[test]
fn holes_stay_holes_and_a_hole_that_was_filled_is_one_again() {
    let mut program = with(&["sparse"]);
    let path = program.path("sparse");
    for at in [1 << 20, 5 << 20] {
        program
            .write(&path, at, &[7; 4096])
            .expect("it can be written");
    }
    let blocks = || fs::metadata(&path).expect("it is there").blocks();
    let before = blocks();
    let id = program.take();
    program
        .write(&path, 2 << 20, &[8; 1 << 20])
        .expect("it can be written");
    program
        .write(&path, 5 << 20, &[9; 100])
        .expect("it can be written");
    program.revert(id, true);
    assert!(
        blocks() <= before + 16,
        "{} blocks, and {before} before",
        blocks()
    );
    program.set_length(&path, 10).expect("it can be cut");
    program.revert(id, false);
    assert!(
        blocks() <= before + 16,
        "{} blocks, and {before} before",
        blocks()
    );
}

#[test]
fn what_is_only_appended_to_costs_nothing() {
    let mut program = with(&["log"]);
    let path = program.path("log");
    let id = program.take();
    program.append(&path, b"more").expect("it can be written");
    assert_eq!(bytes_of(&program, id), 0);
    program.write(&path, 1, b"x").expect("it can be written");
    assert_eq!(bytes_of(&program, id), 3, "the old bytes alone");
    program.revert(id, false);
}

#[test]
fn a_level_that_was_abandoned_leaves_its_records_to_the_one_below() {
    let mut program = with(&["a", "b"]);
    let id = program.take();
    program
        .write(&program.path("a"), 0, b"1")
        .expect("it can be written");
    program.take();
    program
        .write(&program.path("a"), 0, b"2")
        .expect("it can be written");
    program.unlink(&program.path("b")).expect("it can go");
    program.levels.abandon_newest();
    assert_eq!(program.levels.depth(), 1);
    program.revert(id, false);
}

#[test]
fn without_links_files_come_back_as_copies() {
    let mut program = with(&["a", "dir/", "dir/b"]);
    let fifo = program.path("dir/fifo");
    let link = program.path("dir/link");
    program.make_fifo(&fifo).expect("it can be made");
    program
        .make_symlink("to".as_ref(), &link)
        .expect("it can be made");
    program
        .levels
        .begin(snapshot_core::terms::SnapshotId::new(9));
    sys::links::refuse(true);
    for name in ["a", "dir/b", "dir/fifo", "dir/link"] {
        let path = program.path(name);
        let dir = sys::pin_directory(path.parent().expect("it has one")).expect("it is there");
        let name = path.file_name().expect("it has one");
        let dir_stat = Stat::of_fd(dir.as_fd()).expect("it is there");
        let stat = Stat::of(dir.as_fd(), name)
            .expect("it is there")
            .expect("it is there");
        let touched = program
            .levels
            .touch_entry(dir.as_fd(), &dir_stat, name, Some(&stat));
        assert_eq!(touched.expect("it can be kept"), Coverage::Covered);
        let kept = program
            .levels
            .keep_link(dir.as_fd(), name, &stat)
            .expect("it can be kept");
        assert!(matches!(kept, Coverage::Not(lost) if matches!(lost.loss, Loss::Identity { .. })));
        fs::remove_file(&path).expect("it can go");
    }
    let outcome = program
        .levels
        .revert_to(snapshot_core::terms::SnapshotId::new(9), false, false);
    sys::links::refuse(false);
    assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
    assert_eq!(
        fs::read(program.path("dir/b")).expect("it is back"),
        b"dir/b"
    );
    assert_eq!(fs::read_link(link).expect("it is back"), Path::new("to"));
    assert!(fs::symlink_metadata(fifo).is_ok());
}

#[test]
fn a_store_comes_and_goes_without_a_trace_in_its_directory() {
    let place = tempfile::tempdir().expect("a directory can be made");
    let file = place.path().join("file");
    fs::write(&file, "old").expect("it can be written");
    let times = || {
        fs::metadata(place.path())
            .map(|data| (data.mtime(), data.mtime_nsec()))
            .ok()
    };
    let before = times();
    let mut levels = Levels::new("trace", vec![place.path().to_owned()]);
    levels.begin(snapshot_core::terms::SnapshotId::new(1));
    let pin = File::open(&file).expect("it is there");
    let stat = Stat::of_fd(pin.as_fd()).expect("it is there");
    let kept = levels
        .keep_content(pin.as_fd(), &stat, Want::All)
        .expect("it can be kept");
    assert_eq!(kept, Coverage::Covered);
    let names = || fs::read_dir(place.path()).expect("it is there").count();
    assert_eq!((names(), times()), (2, before));
    assert_eq!(levels.end(), Vec::<std::path::PathBuf>::new());
    assert_eq!((names(), times()), (1, before));
}

#[test]
fn another_filesystem_gets_a_store_of_its_own() {
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        return;
    };
    let stays = std::env::temp_dir();
    let tag = format!("elsewhere-{}", std::process::id());
    let mut levels = Levels::new(&tag, vec![stays]);
    let id = snapshot_core::terms::SnapshotId::new(1);
    levels.begin(id);
    let file = elsewhere.path().join("file");
    fs::write(&file, "old").expect("it can be written");
    let before = ino(&file);
    let dir = sys::pin_directory(elsewhere.path()).expect("it is there");
    let dir_stat = Stat::of_fd(dir.as_fd()).expect("it is there");
    let stat = Stat::of(dir.as_fd(), "file".as_ref())
        .expect("it is there")
        .expect("it is there");
    for kept in [
        levels.touch_entry(dir.as_fd(), &dir_stat, "file".as_ref(), Some(&stat)),
        levels.keep_link(dir.as_fd(), "file".as_ref(), &stat),
    ] {
        assert_eq!(kept.expect("it can be kept"), Coverage::Covered);
    }
    fs::remove_file(&file).expect("it can go");
    let outcome = levels.revert_to(id, false, false);
    assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
    assert_eq!(ino(&file), before);
    assert_eq!(levels.end(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn stores_of_a_dead_session_are_swept_and_those_of_a_live_one_are_not() {
    let mut program = with(&["a", "dir/", "dir/b"]);
    program.take();
    program
        .write(&program.path("a"), 0, b"x")
        .expect("it can be written");
    program.unlink(&program.path("dir/b")).expect("it can go");
    program
        .remove_directory(&program.path("dir"))
        .expect("it can go");
    let tree = program.tree();
    let stores = program.stores();
    let place = [stores[0].parent().expect("it has one").to_owned()];
    assert_eq!(tidy_up(&[], &place), Vec::<String>::new());
    assert!(stores[0].exists());
    program.forget_journal();
    assert_eq!(tidy_up(&[], &place), Vec::<String>::new());
    assert!(!stores[0].exists());
    program.must_be(&tree);
}

#[test]
fn without_descriptors_links_hold_the_files() {
    in_another_process("journal::tests::corners::with_few_descriptors", |command| {
        command.env("FEW_DESCRIPTORS", "1");
    });
}

#[test]
#[ignore = "sets a limit of its process"]
fn with_few_descriptors() {
    if std::env::var_os("FEW_DESCRIPTORS").is_none() {
        return;
    }
    let names: Vec<String> = (0..300).map(|number| format!("f{number}")).collect();
    let mut program = with(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let id = program.take();
    let limit = nix::sys::resource::Resource::RLIMIT_NOFILE;
    // Most of these are reserved for the journal's own work.
    nix::sys::resource::setrlimit(limit, 260, 260).expect("it can be lowered");
    for (number, name) in names.iter().enumerate() {
        let path = program.path(name);
        // The program itself needs some.
        let done = match number % 3 {
            0 => program.unlink(&path),
            1 if number < 60 => program.write(&path, 0, b"changed"),
            _ => program.rename(&path, &program.path(&format!("r{number}"))),
        };
        if let Err(error) = done {
            assert_eq!(error.raw_os_error(), Some(nix::libc::EMFILE), "{error}");
        }
    }
    program.revert(id, false);
}

#[test]
fn a_full_disk_is_the_callers_error_and_leaves_no_record() {
    let script = "mount -t tmpfs -o size=1m full /mnt && exec \"$0\" \"$@\"";
    let exe = std::env::current_exe().expect("it has a path");
    let test = "journal::tests::corners::on_a_small_disk";
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(exe)
        .args(["--exact", "--include-ignored", "--nocapture", test])
        .env("SMALL_DISK", "/mnt")
        .output();
    match output {
        Ok(output) if String::from_utf8_lossy(&output.stdout).contains("running 1 test") => {
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        _ => eprintln!("skipped: nothing can be mounted here"),
    }
}

#[test]
#[ignore = "needs a small filesystem"]
fn on_a_small_disk() {
    let Some(disk) = std::env::var_os("SMALL_DISK") else {
        return;
    };
    let mut program = Program::within(Path::new(&disk));
    let big = program.path("big");
    program.create(&big, &[1; 600_000]).expect("it fits");
    program
        .create(&program.path("small"), &[2; 3000])
        .expect("it fits");
    let id = program.take();
    for _ in 0..2 {
        let error = program
            .write(&big, 0, b"x")
            .expect_err("a copy doesn't fit");
        assert_eq!(error.raw_os_error(), Some(nix::libc::ENOSPC));
    }
    assert_eq!(bytes_of(&program, id), 0);
    program
        .write(&program.path("small"), 0, b"x")
        .expect("a copy fits");
    let mut byte = [0];
    File::open(&big)
        .and_then(|file| file.read_exact_at(&mut byte, 0))
        .expect("it can be read");
    assert_eq!(byte, [1]);
    program.revert(id, false);
}

/// What a level's pre-images take.
fn bytes_of(program: &Program, id: SnapshotId) -> u64 {
    let counts = program.levels.counts();
    let of = counts.iter().find(|of| of.id == id.number());
    of.map_or(0, |of| of.bytes)
}
