//! Installed interpreters, shells and clients, unmodified: after a snapshot and a crash or a
//! revert they go on with what they had.

use snapshot_tests::{Launch, PipedSession, binaries, outside};

/// How often each goes back.
const ROUNDS: usize = 5;

fn node(launch: impl FnOnce(Launch) -> Launch) -> Option<PipedSession> {
    let node = outside::find("node")?;
    let guest = binaries::source("node_loop.js");
    let mut session = launch(Launch::program(node).arg(guest)).piped();
    session.next_line("ready", |line| line == "ready");
    Some(session)
}

/// Its event loop, its timers, its worker, its listener and its own pipes all go on.
fn node_goes_back(mut session: PipedSession) {
    let named = session.take().list("not_rolled_back");
    let own = ["eventfd", "epoll", "pipe", "timerfd"];
    for item in &named {
        let is_own = own.contains(&item.text("kind"));
        let is_standard = ["fd 0:", "fd 1:", "fd 2:"]
            .iter()
            .any(|fd| item.text("what").starts_with(fd));
        assert!(
            !is_own || is_standard,
            "node's own is somebody else's: {item}"
        );
    }
    session.revert();
    for round in 1..=ROUNDS {
        session.ask("set before");
        assert_eq!(session.ask("add 1"), round.to_string());
        session.take();
        session.ask("set after");
        session.ask("add 100");
        session.ask("tick");
        assert_eq!(session.ask("echo branch"), "branch");
        if round % 2 == 0 {
            session.send("crash");
            session.next("reverted");
        } else {
            session.revert();
        }
        assert_eq!(session.ask("get"), "before");
        session.ask("tick");
        assert_eq!(session.ask("echo again"), "again");
    }
    session.send("end");
    assert!(session.wait_gone().success());
}

#[test]
fn node_goes_back_with_the_same_ids() {
    if let Some(session) = node(|launch| launch) {
        node_goes_back(session);
    }
}

#[test]
fn node_goes_back_without_namespaces() {
    if let Some(session) = node(|launch| launch.flag("--isolate").flag("never")) {
        node_goes_back(session);
    }
}

/// A shell that reads commands from a pipe: variables, functions, a pipeline, a crash.
fn shell_goes_back(name: &str, arguments: &[&str], set: &str, get: &str) {
    let Some(shell) = outside::find(name) else {
        return;
    };
    let mut session = Launch::program(shell).args(arguments).piped();
    session.send("echo ready");
    session.next_line("ready", |line| line == "ready");
    for round in 1..=ROUNDS {
        session.send(&set.replace("VALUE", &format!("before{round}")));
        session.send(get);
        session.next_line("set", |line| line == format!("value before{round}"));
        session.take();
        session.send(&set.replace("VALUE", "after"));
        session.send(get);
        session.next_line("changed", |line| line == "value after");
        session.send("echo one two | wc -w | tr -d ' '");
        session.next_line("a pipeline", |line| line == "2");
        if round % 2 == 0 {
            session.send("sh -c 'kill -SEGV $PPID'");
            session.next("reverted");
        } else {
            session.revert();
        }
        session.send(get);
        session.next_line("back", |line| line == format!("value before{round}"));
        session.send("echo three | cat | cat");
        session.next_line("a pipeline again", |line| line == "three");
    }
    session.send("exit 7");
    assert_eq!(session.wait_gone().code(), Some(7));
}

#[test]
fn bash_goes_back() {
    shell_goes_back("bash", &["--norc"], "value=VALUE", "echo \"value $value\"");
}

#[test]
fn dash_goes_back() {
    shell_goes_back("dash", &[], "value=VALUE", "echo \"value $value\"");
}

#[test]
fn zsh_goes_back() {
    shell_goes_back("zsh", &["-f"], "value=VALUE", "echo \"value $value\"");
}

/// It reads a pipe to its end before it runs anything, so it has a terminal.
#[test]
fn fish_goes_back() {
    let Some(fish) = outside::find("fish") else {
        return;
    };
    let mut session = Launch::program(fish)
        .args(["--no-config", "--private"])
        .env("TERM", "xterm")
        .terminal();
    for round in 1..=ROUNDS {
        session.type_in(&format!("set value before{round}; echo set=$value\r"));
        session.wait_for_text(&format!("set=before{round}"));
        session.take();
        session.type_in(&format!("set value after; echo now{round}=$value\r"));
        session.wait_for_text(&format!("now{round}=after"));
        if round % 2 == 0 {
            session.type_in("kill -SEGV $fish_pid\r");
            session.next("reverted");
        } else {
            session.revert();
        }
        session.type_in(&format!("echo back{round}=$value | cat\r"));
        session.wait_for_text(&format!("back{round}=before{round}"));
    }
    session.type_in("exit 7\r");
    assert_eq!(session.wait_gone().code(), Some(7));
    // What fish leaves, with or without the tool.
    let runtime = session.place().runtime();
    let _ = std::fs::remove_file(runtime.join("fish_universal_variables.notifier"));
}
