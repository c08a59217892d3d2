//! The tests kill sessions at any moment: then nothing of the session may remain.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use snapshot_tests::{Launch, PipedSession, Seed, Signal, deadline, process};

use crate::census::Role;
use crate::log;
use crate::watched::tool_of;

/// Launches one, makes it busy, kills one of its processes, and sees that nothing is left.
pub fn doom(seed: &mut Seed) {
    let isolate = *seed.pick(&["auto", "never"]);
    let mut session = Launch::guest("endurance")
        .flag("--isolate")
        .flag(isolate)
        .piped();
    session.next_line("it begins", |line| line.starts_with("ready "));
    for _ in 0..seed.below(4) {
        session.take();
    }
    let mut tool = tool_of(&mut session);
    // Another one takes its place, and the session goes on.
    tool.retain(|(role, _)| *role != Role::Journal);
    let role = tool[usize::try_from(seed.below(4)).expect("a few") % tool.len()];
    trouble(&mut session, seed);
    log::act("doom", &format!("{role:?} of {isolate}"));
    match role {
        (Role::Anchor, pid) => lose_anchor(&mut session, pid),
        (Role::Launcher, pid) => {
            let signal = *seed.pick(&[Signal::SIGKILL, Signal::SIGTERM, Signal::SIGHUP]);
            process::send(pid, signal);
            let status = session.wait_gone();
            assert_eq!(status.signal(), Some(signal as i32), "{status}");
        }
        (_, pid) => {
            process::send(pid, Signal::SIGKILL);
            let status = session.wait_gone();
            let said = session.stderr();
            assert_eq!(status.code(), Some(97), "{said}");
            assert!(said.contains("error: "), "{said}");
        }
    }
}

/// Takes, reverts and crashes, and nobody waits for what comes of them.
fn trouble(session: &mut PipedSession, seed: &mut Seed) {
    let (live, launcher) = (session.live_pid(), session.launcher_pid());
    for _ in 0..seed.below(4) {
        let (pid, signal) = *seed.pick(&[
            (live, Signal::SIGUSR1),
            (launcher, Signal::SIGUSR1),
            (launcher, Signal::SIGINT),
        ]);
        process::send(pid, signal);
        seed.idle(Duration::from_millis(4));
    }
}

/// Without the anchor the session is whole, but for what it guards against.
fn lose_anchor(session: &mut PipedSession, anchor: i32) {
    process::send(anchor, Signal::SIGKILL);
    // Who reads the question may be a branch that is just ending.
    let mut answer = None;
    for _ in 0..8 {
        session.send("alive");
        let heard = || session.line_if_there(|line| line == "ok");
        answer = answer.or(deadline::wait_for(Duration::from_secs(4), heard));
        if answer.is_some() {
            break;
        }
    }
    assert!(answer.is_some(), "the program does not go on");
    session.signal(Signal::SIGTERM);
    let status = session.wait_gone();
    assert_eq!(status.signal(), Some(libc::SIGTERM), "{status}");
}
