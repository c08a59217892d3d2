//! How Rust, Python and bash wait for children.

use snapshot_tests::{Launch, PipedSession, Signal, binaries, outside};

/// Two languages' own ways to have children.
fn waits_by_itself(mut session: PipedSession, alive: &str) {
    session.ask("start");
    session.ask("start");
    session.take();
    session.ask("end 1 4");
    assert_eq!(session.ask("wait 1"), "4");
    session.revert();
    assert_eq!(session.ask("wait 1"), "4");
    assert_eq!(session.ask("poll 0"), alive);
    session.ask("start");
    session.take();
    session.ask("end 0 3");
    assert_eq!(session.ask("wait 0"), "3");
    session.ask("end 2 5");
    assert_eq!(session.ask("wait 2"), "5");
    session.revert();
    assert_eq!(session.ask("wait 0"), "3");
    assert_eq!(session.ask("wait 2"), "5");
}

#[test]
fn children_of_rusts_standard_library() {
    waits_by_itself(Launch::guest("children_in_rust").piped(), "running");
}

#[test]
fn children_of_pythons_subprocess() {
    let Some(python) = outside::find("python3") else {
        return;
    };
    let program = Launch::program(python).arg(binaries::source("children_in_python.py"));
    waits_by_itself(program.piped(), "None");
}

#[test]
fn children_of_pythons_asyncio() {
    let Some(python) = outside::find("python3") else {
        return;
    };
    let program = Launch::program(python).arg(binaries::source("children_in_python.py"));
    let mut session = program.piped();
    session.ask("asyncio");
    session.take();
    // What it has done to its event loop would stay done: it is of the kernel.
    for _ in 0..2 {
        session.command("revert", &["--keep"]);
        session.next("reverted");
    }
    session.send("");
    session.next_line("both have ended", |line| line == "ok 3 4");
}

#[test]
fn jobs_of_bash() {
    let Some(bash) = outside::find("bash") else {
        return;
    };
    let mut session = Launch::program(bash).arg("--norc").piped();
    let pipe = session.place().work().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("the place is ours");
    let pipe = pipe.display();
    session.send(&format!("(read status <{pipe}; exit $status) & job=$!"));
    session.send("(exit 5) & wait $!; echo \"waited $?\"");
    session.next_line("ready", |line| line == "waited 5");
    session.take();
    session.send(&format!("echo 3 >{pipe}; wait $job; echo \"waited $?\""));
    session.next_line("the dead branch", |line| line == "waited 3");
    session.revert();
    session.send("wait $job; echo \"again $?\"");
    session.next_line("the next one", |line| line == "again 3");
    // One that ends in the life that has adopted it, in the middle of bash's own wait.
    session.send(&format!(
        "(read status <{pipe}; exit $status) & job=$!; echo started"
    ));
    session.next_line("another", |line| line == "started");
    session.take();
    session.revert();
    session.send(&format!(
        "(sleep 0.05; echo 4 >{pipe}) & wait $job; echo \"last $?\""
    ));
    session.next_line("the last", |line| line == "last 4");
    session.signal_live(Signal::SIGKILL);
}
