//! What went wrong with the first snapshot.py, each a test. They run alone: that is where the package
//! does what it did, by a process that waits for its child.

use std::time::Duration;

use snapshot_tests::terminal::{CTRL_C, CTRL_Z};
use snapshot_tests::{Launch, Seed, TerminalSession, binaries, deadline, outside};

use super::interpreter;

fn scene(scene: &str) -> Option<Launch> {
    let python = outside::find("python3")?;
    let launch = interpreter::launch(python, false);
    Some(
        launch
            .arg(binaries::source("python/defects.py"))
            .arg(scene)
            .life_seconds(120),
    )
}

fn in_terminal(name: &str) -> Option<TerminalSession> {
    Some(scene(name)?.terminal())
}

fn line(session: &mut TerminalSession, begin: &str) -> String {
    session.next_line(begin, |line| line.starts_with(begin))
}

/// There was a moment between the fork and the handler.
#[test]
fn no_moment_is_left_in_which_an_interrupt_kills_the_original() {
    let Some(mut session) = in_terminal("storm") else {
        return;
    };
    let mut seed = Seed::new();
    line(&mut session, "ready");
    let mut pids = Vec::new();
    for number in 0..30 {
        let begin = format!("round {number} ");
        let said = deadline::wait(|| {
            session.type_in(CTRL_C);
            seed.idle(Duration::from_millis(3));
            session.line_if_there(|line| line.starts_with(&begin))
        });
        let said = said.unwrap_or_else(|| session.fail(&begin));
        let (_, words) = said.split_once(&begin).unwrap_or_default();
        let (pid, how) = words.split_once(' ').unwrap_or_default();
        assert_eq!(how, "exited with status 130", "{said}");
        pids.push(pid.to_owned());
    }
    line(&mut session, "done");
    pids.dedup();
    assert_eq!(pids, [session.pid().to_string()]);
    assert!(session.wait_gone().success());
}

/// The original passed on what the terminal had sent to the branch already.
#[test]
fn an_interrupt_is_heard_once() {
    let Some(mut session) = in_terminal("doubled") else {
        return;
    };
    line(&mut session, "ready");
    for count in 1..=10 {
        session.type_in(CTRL_C);
        // After its echo, `^C`.
        session.next_line("the interrupt", |line| {
            line.ends_with(&format!("seen {count}"))
        });
    }
    session.type_in("\r");
    line(&mut session, "count 10");
    line(&mut session, "count in the original 0");
    assert!(session.wait_gone().success());
}

/// Only SIGINT was kept from the original.
#[test]
fn no_signal_to_the_group_kills_the_original() {
    let Some(mut session) = in_terminal("signals") else {
        return;
    };
    for name in ["SIGTERM", "SIGHUP", "SIGQUIT", "SIGINT"] {
        let said = line(&mut session, name);
        assert_eq!(said, format!("{name} was killed by {name}"));
    }
    assert!(session.wait_gone().success());
}

#[test]
fn a_branch_stops_and_goes_on_with_its_shell() {
    let (Some(python), Some(bash)) = (outside::find("python3"), outside::find("bash")) else {
        return;
    };
    let mut session = interpreter::launch(bash, false)
        .args(["--norc", "--noprofile", "-i"])
        .env("PS1", "prompt> ")
        .terminal();
    session.wait_for_text("prompt>");
    let program = binaries::source("python/defects.py");
    session.type_in(&format!(
        "{} {} stopped\r",
        python.display(),
        program.display()
    ));
    line(&mut session, "in the branch");
    session.type_in(CTRL_Z);
    session.wait_for_text("Stopped");
    session.type_in("fg\r");
    // From here on the terminal is the program's again.
    line(&mut session, "goes on");
    session.type_in("on\r");
    line(&mut session, "told on");
    line(&mut session, "back");
    session.type_in("exit\r");
    session.wait_gone();
    session.assert_sane();
}

/// The outermost was killed first, and the original went on while deeper ones lived.
#[test]
fn a_revert_over_several_levels_leaves_none_between() {
    let Some(launch) = scene("deep") else {
        return;
    };
    let output = launch.piped().finish();
    assert_eq!(output.stdout, "depth 0 same True children \n", "{output:?}");
}

/// The branch left through the original's exit handlers.
#[test]
fn a_branch_that_exits_removes_nothing_of_the_originals() {
    let Some(launch) = scene("cleanup") else {
        return;
    };
    let output = launch.piped().finish();
    let said = "the branch's handler\nback True True\nthe program's own handler\n";
    assert_eq!(output.stdout, said, "{output:?}");
}

/// The terminal stayed as the branch had left it.
#[test]
fn the_terminal_comes_back() {
    let Some(mut session) = in_terminal("settings") else {
        return;
    };
    line(&mut session, "same settings True");
    line(&mut session, "in front True");
    assert!(session.wait_gone().success());
    session.assert_sane();
}

/// Only the branch knew the list.
#[test]
fn each_process_knows_the_snapshots_under_it() {
    let Some(launch) = scene("listed") else {
        return;
    };
    let output = launch.piped().finish();
    let said = "[]\n[(1, 'one'), (2, 'two')]\n[(1, 'one')]\n[]\n";
    assert_eq!(output.stdout, said, "{output:?}");
}
