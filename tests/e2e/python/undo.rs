//! `%load_ext snapshot` in IPython's terminal, alone and under the launcher.

use std::fs;
use std::process::Command;

use snapshot_tests::{deadline, outside};

use super::ipython::Prompt;

/// Runs a cell, and waits for the next prompt: what is typed before it is part of the snapshot.
fn run(prompt: &mut Prompt, number: u32, line: &str) {
    prompt.type_line(line);
    prompt
        .session
        .wait_for_text(&format!("In [{}]:", number + 1));
}

fn cells_are_undone(under_launcher: bool) {
    let Some(mut prompt) = Prompt::new(under_launcher) else {
        return;
    };
    run(&mut prompt, 1, "%load_ext snapshot");
    run(&mut prompt, 2, "import random; x = 1; random.seed(3)");
    run(&mut prompt, 3, "x = 2; drawn = random.random()");
    run(&mut prompt, 4, "%undo 3");
    prompt.wait_for_line("back before cell 3");
    assert_eq!(prompt.ask("x, 'drawn' in globals(), len(In)"), "1 False 6");
    run(&mut prompt, 6, "%snapshot good");
    prompt.wait_for_line("snapshot 'good' taken");
    run(&mut prompt, 7, "x = 3");
    run(&mut prompt, 8, "import os; os.abort()");
    prompt.wait_for_line("was killed by SIGABRT: back before it");
    assert_eq!(prompt.ask("x"), "3");
    run(&mut prompt, 10, "%undo good");
    prompt.wait_for_line("back at 'good'");
    assert_eq!(prompt.ask("x"), "1");
    run(&mut prompt, 12, "%redo");
    prompt.wait_for_line("there is no redo in a terminal");
    run(&mut prompt, 13, "%undo 99");
    prompt.wait_for_line("there is no cell 99 to undo");
    run(&mut prompt, 14, "%snapshots --budget 1G");
    prompt.wait_for_line("snapshots may hold 1.0G");
    prompt.assert_quiet();
    // No cell undoes it.
    prompt.type_line("exit()");
    assert!(prompt.session.wait_gone().success());
    prompt.assert_quiet();
    prompt.session.assert_sane();
    let history = prompt.home().join("ipython/profile_default/history.sqlite");
    assert!(fs::metadata(&history).is_ok_and(|file| file.len() > 0));
    if let Some(sqlite) = outside::find("sqlite3") {
        let question = "PRAGMA integrity_check; SELECT count(DISTINCT session) FROM history;";
        let mut command = Command::new(sqlite);
        command.arg("-batch").arg(&history).arg(question);
        let seen = deadline::run(&mut command);
        assert_eq!(seen.stdout, "ok\n1\n", "{seen:?}");
    }
}

#[test]
fn ipythons_cells_are_undone_alone() {
    cells_are_undone(false);
}

#[test]
fn ipythons_cells_are_undone_under_the_launcher() {
    cells_are_undone(true);
}

/// A program alone can have 32 snapshots.
#[test]
fn ipython_alone_goes_on_after_many_cells() {
    let Some(mut prompt) = Prompt::new(false) else {
        return;
    };
    prompt.type_line("%load_ext snapshot");
    for count in 0..35 {
        assert_eq!(prompt.ask(&count.to_string()), count.to_string());
    }
    prompt.type_line("%undo 3");
    prompt.wait_for_line("to stay within the limits");
    prompt.type_line("exit()");
    assert!(prompt.session.wait_gone().success());
}
