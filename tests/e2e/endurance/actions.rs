//! The actions on a watched session: those of users, failures, and both at once.

use std::process::{Child, Stdio};
use std::time::Duration;

use snapshot_tests::{Seed, Signal, deadline, process};

use crate::census::Role;
use crate::log;
use crate::shortage::{FewDescriptors, FewProcesses, end_shortage_of};
use crate::watched::Watched;

/// How many snapshots lie on each other at most.
const DEPTH: usize = 7;

/// So many that a kill of one or two never ends the session.
const SAFE_DEPTH: usize = 4;

/// Something that is asked for.
#[derive(Debug)]
enum Request {
    /// A signal to a process.
    Signal(i32, Signal),
    /// A line to the guest.
    Say(&'static str),
    /// A command in a second terminal.
    Command(Vec<String>),
}

impl Request {
    fn command(words: &[&str]) -> Self {
        Self::Command(words.iter().map(|&word| word.to_owned()).collect())
    }
}

/// One action, and then everything must be right.
pub fn act(watched: &mut Watched, seed: &mut Seed, frozen: &[i32]) -> Vec<i32> {
    let depth = watched.model.depth();
    end_shortage_of(watched.model.live);
    watched.was_calm = std::mem::replace(&mut watched.is_calm, true);
    match seed.below(100) {
        0..33 if depth < DEPTH => take(watched, seed, frozen),
        0..56 if depth > 0 => end_branch(watched, seed),
        56..60 if depth > 0 => forget(watched, seed),
        60..80 if depth >= SAFE_DEPTH => race(watched, seed, frozen),
        80..88 if depth > 0 => bereave(watched, seed, frozen),
        88..92 if depth >= SAFE_DEPTH => burst(watched, seed, frozen),
        92..96 if depth < DEPTH => take_in_a_shortage(watched, seed, frozen),
        96..98 => disturb(watched, seed),
        98.. => breathe(watched),
        _ if depth < DEPTH => take(watched, seed, frozen),
        _ => end_branch(watched, seed),
    }
    watched.verify()
}

fn take_request(watched: &Watched, seed: &mut Seed, frozen: &[i32]) -> Request {
    let launcher = watched.pid(Role::Launcher).expect("it is there");
    match seed.below(10) {
        0 => Request::command(&["take"]),
        1 => Request::command(&["take", "-m", "a label"]),
        2..4 => Request::Signal(launcher, Signal::SIGUSR1),
        4..6 if !frozen.is_empty() => Request::Signal(*seed.pick(frozen), Signal::SIGUSR1),
        _ => Request::Signal(watched.model.live, Signal::SIGUSR1),
    }
}

/// What ends the branch, and leaves so many snapshots at least.
fn end_request(watched: &mut Watched, seed: &mut Seed, least: usize) -> Request {
    let live = watched.model.live;
    let ids = watched.model.ids();
    let id = seed.pick(&ids[least..]).to_string();
    match seed.below(12) {
        0 => Request::command(&["revert"]),
        1 | 2 => Request::command(&["revert", "--keep"]),
        3 => Request::command(&["revert", &id]),
        4 => Request::command(&["revert", &id, "--keep"]),
        5 if watched.may_press() => Request::Signal(live, Signal::SIGINT),
        6 if watched.may_press() => {
            let launcher = watched.pid(Role::Launcher).expect("it is there");
            Request::Signal(launcher, Signal::SIGINT)
        }
        7 => Request::Say("exit 3"),
        8 => Request::Say("crash"),
        9 => Request::Say("abort"),
        10 => Request::Signal(live, Signal::SIGTERM),
        _ => Request::Signal(live, Signal::SIGKILL),
    }
}

fn forget_request(watched: &Watched, seed: &mut Seed) -> Request {
    let ids = watched.model.ids();
    match seed.below(4) {
        0 => Request::command(&["commit"]),
        _ => Request::command(&["drop", &seed.pick(&ids).to_string()]),
    }
}

/// Asks, and gives the second terminal, if one was needed.
fn ask(watched: &mut Watched, request: &Request) -> Option<Child> {
    match request {
        Request::Signal(pid, signal) => process::send(*pid, *signal),
        Request::Say(line) => watched.session.send(line),
        Request::Command(words) => {
            let launcher = watched.session.pid().to_string();
            let mut all = vec![words[0].as_str(), "-s", &launcher];
            all.extend(words[1..].iter().map(String::as_str));
            let mut command = watched.session.place().second_terminal(&all);
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            return Some(deadline::spawn(&mut command));
        }
    }
    None
}

/// The second terminal has ended well, or has said why not. True where it did.
fn conclude(watched: &mut Watched, terminal: Option<Child>) -> bool {
    let Some(terminal) = terminal else {
        return true;
    };
    let output = terminal.wait_with_output().expect("it is ours to wait for");
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => true,
        Some(1) if said.contains("error: ") && said.contains("cause: ") => false,
        _ => watched
            .session
            .fail(&format!("a command failed: {output:?}")),
    }
}

fn take(watched: &mut Watched, seed: &mut Seed, frozen: &[i32]) {
    let request = take_request(watched, seed, frozen);
    log::act("take", &format!("{request:?}"));
    let marks = watched.model.marks();
    let terminal = ask(watched, &request);
    let taken = watched.expect(&["taken", "refused"]);
    if taken.name() == "refused" {
        watched
            .session
            .fail(&format!("a calm take is refused: {taken}"));
    }
    if watched.was_calm {
        watched.model.newest_knows(marks);
    }
    conclude(watched, terminal);
}

fn end_branch(watched: &mut Watched, seed: &mut Seed) {
    let request = end_request(watched, seed, 0);
    log::act("revert", &format!("{request:?}"));
    let terminal = ask(watched, &request);
    watched.expect(&["reverted"]);
    conclude(watched, terminal);
}

fn forget(watched: &mut Watched, seed: &mut Seed) {
    let request = forget_request(watched, seed);
    log::act("forget", &format!("{request:?}"));
    let terminal = ask(watched, &request);
    watched.expect(&["committed", "dropped"]);
    conclude(watched, terminal);
}

/// Who helps the program, and is not it.
fn keepers(watched: &Watched) -> Vec<i32> {
    let supervisor = watched.pid(Role::Supervisor);
    let mut all = process::Process::all();
    all.retain(|one| Some(one.parent) == supervisor && one.name == "snap-keeper");
    all.iter().map(|one| one.pid).collect()
}

/// A copy or a keeper is killed while nothing happens.
fn bereave(watched: &mut Watched, seed: &mut Seed, frozen: &[i32]) {
    let keepers = keepers(watched);
    if let Some(&keeper) = keepers.first()
        && seed.below(2) == 0
    {
        log::act("kill a keeper", &keeper.to_string());
        process::send(keeper, Signal::SIGKILL);
        return;
    }
    let victim = *seed.pick(frozen);
    log::act("kill a copy", &victim.to_string());
    process::send(victim, Signal::SIGKILL);
    watched.expect(&["dropped"]);
}

/// Something is asked for, and a moment later something goes wrong.
fn race(watched: &mut Watched, seed: &mut Seed, frozen: &[i32]) {
    watched.is_calm = false;
    let request = match seed.below(10) {
        0..4 => take_request(watched, seed, frozen),
        4..9 => end_request(watched, seed, SAFE_DEPTH - 1),
        _ => Request::command(&["drop", &watched.model.ids()[0].to_string()]),
    };
    let is_command = matches!(request, Request::Command(_));
    let what = seed.below(8);
    let terminal = ask(watched, &request);
    // A second terminal needs a while to be there.
    seed.idle(Duration::from_millis(if is_command { 25 } else { 6 }));
    let newest = *frozen.last().expect("it is deep enough");
    let live = watched.model.live;
    let done = match what {
        0 | 1 => {
            watched.signal_live(Signal::SIGKILL);
            "and kill live"
        }
        2 | 3 => {
            process::send(newest, Signal::SIGKILL);
            "and kill the newest copy"
        }
        4 => {
            process::send(*seed.pick(frozen), Signal::SIGKILL);
            "and kill a copy"
        }
        5 => {
            for keeper in keepers(watched) {
                process::send(keeper, Signal::SIGKILL);
            }
            "and kill keepers"
        }
        6 => {
            stop(watched, seed, live);
            "and stop live"
        }
        _ => {
            let other = end_request(watched, seed, SAFE_DEPTH - 1);
            let terminal = ask(watched, &other);
            conclude(watched, terminal);
            "and end the branch"
        }
    };
    log::act(done, &format!("{request:?}"));
    conclude(watched, terminal);
}

/// The program, and with it the whole session, is stopped for a moment.
fn stop(watched: &Watched, seed: &mut Seed, live: i32) {
    process::send(live, Signal::SIGSTOP);
    seed.idle(Duration::from_millis(30));
    // The number may be a revived one's by now; and the launcher stops with the program.
    for _ in 0..2 {
        process::send(live, Signal::SIGCONT);
        process::send(watched.session.pid(), Signal::SIGCONT);
        seed.idle(Duration::from_millis(4));
    }
}

/// Several requests at once, of whatever kind but those that forget.
fn burst(watched: &mut Watched, seed: &mut Seed, frozen: &[i32]) {
    watched.is_calm = false;
    let mut terminals = Vec::new();
    let mut ends = 0;
    for _ in 0..2 + seed.below(4) {
        let request = if seed.below(3) == 0 && ends < 2 {
            ends += 1;
            end_request(watched, seed, SAFE_DEPTH - 1)
        } else {
            take_request(watched, seed, frozen)
        };
        log::act("burst", &format!("{request:?}"));
        terminals.push(ask(watched, &request));
        seed.idle(Duration::from_millis(2));
    }
    for terminal in terminals {
        conclude(watched, terminal);
    }
}

/// A take that may be refused for want of something, but then with its reason.
fn take_in_a_shortage(watched: &mut Watched, seed: &mut Seed, frozen: &[i32]) {
    watched.is_calm = false;
    let request = take_request(watched, seed, frozen);
    let supervisor = watched.pid(Role::Supervisor).expect("it is there");
    let live = watched.model.live;
    let more = seed.below(24);
    let kind = seed.below(3);
    let more = match kind {
        0 => more,
        // The supervisor takes no snapshot that would use up its last ones, which a revert needs.
        1 => 4 + more,
        _ => more / 4,
    };
    let shortage: Box<dyn std::any::Any> = match kind {
        0 => Box::new(FewDescriptors::leave(live, more)),
        1 => Box::new(FewDescriptors::leave(supervisor, more)),
        _ => Box::new(FewProcesses::leave(&[supervisor, live], more)),
    };
    let of = [
        "descriptors of live",
        "descriptors of the supervisor",
        "processes",
    ];
    let of = of[usize::from(kind > 0) + usize::from(kind > 1)];
    log::act("shortage", &format!("{of}, {more} more: {request:?}"));
    let terminal = ask(watched, &request);
    watched.expect(&["taken", "refused"]);
    let also_reverts = watched.model.depth() > 0 && seed.below(2) == 0;
    if also_reverts {
        watched.signal_live(Signal::SIGKILL);
        seed.idle(Duration::from_millis(300));
    }
    // A copy that finds no room waits until there is some.
    drop(shortage);
    if also_reverts {
        watched.expect(&["reverted"]);
    }
    conclude(watched, terminal);
}

/// Signals that are the program's own.
fn disturb(watched: &mut Watched, seed: &mut Seed) {
    for _ in 0..1 + seed.below(20) {
        let signal = *seed.pick(&[Signal::SIGUSR2, Signal::SIGWINCH, Signal::SIGURG]);
        log::act("signal", &format!("{signal}"));
        watched.signal_live(signal);
        seed.idle(Duration::from_millis(1));
    }
}

/// Every worker gets on from now.
fn breathe(watched: &mut Watched) {
    log::act("alive", "");
    watched.session.ask("alive");
}
