//! A launched session, with any stdin and stdout: its processes, its events, its end, and the
//! check for leaks.

use std::fmt::Write as _;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::deadline::{self, Output};
use crate::events::{Event, Events};
use crate::leaks;
use crate::place::Place;
use crate::prepared::Prepared;
use crate::process::{self, Process};
use crate::transcript::Transcript;

/// How many events a failed test shows, the last ones: a long test has tens of thousands.
const LAST_EVENTS: usize = 1000;

/// How many lines of an output it shows, the last ones too.
const LAST_LINES: usize = 1000;

/// How many of them the failure itself shows.
const LAST_WORDS: usize = 8;

/// A running or ended session. Drop ends it, and fails the test if anything of it is left.
#[derive(Debug)]
pub struct Session {
    child: Child,
    status: Option<ExitStatus>,
    tool: bool,
    mark: String,
    place: Arc<Place>,
    events: Events,
    transcripts: Vec<(&'static str, Arc<Transcript>)>,
}

impl Session {
    pub(crate) fn start(prepared: Prepared) -> (Self, Option<std::process::ChildStdin>) {
        let mut command = prepared.command;
        deadline::note_test();
        let mut child = deadline::spawn_for(&mut command, prepared.life_seconds);
        let stdin = child.stdin.take();
        let session = Self {
            child,
            status: None,
            tool: prepared.tool,
            mark: prepared.mark,
            place: prepared.place,
            events: prepared.events,
            transcripts: Vec::new(),
        };
        (session, stdin)
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn hear(&mut self, name: &'static str, transcript: &Arc<Transcript>) {
        self.transcripts.push((name, Arc::clone(transcript)));
    }

    /// The launched process: the launcher, or the program of a bare launch.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id fits")
    }

    /// Its place.
    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// The mark that all its processes carry.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// The outer number of a process that the program knows by `inner`: it runs in its own
    /// namespace, unless that was refused.
    pub fn outside(&mut self, inner: i32) -> i32 {
        let live = self.live_pid();
        let found = process::outside(live, inner);
        found.unwrap_or_else(|| self.fail(&format!("no process is {inner} to the program")))
    }

    /// Everything that has happened so far.
    pub fn events(&mut self) -> Vec<Event> {
        self.events.all().to_vec()
    }

    /// The events so far without the first `count`.
    pub fn events_after(&mut self, count: usize) -> Vec<Event> {
        self.events.all()[count..].to_vec()
    }

    /// The events with one name so far.
    pub fn events_named(&mut self, name: &str) -> Vec<Event> {
        let mut events = self.events();
        events.retain(|event| event.name() == name);
        events
    }

    /// Waits for the next event that `wanted` accepts, after the last one waited for.
    pub fn next_event(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        match deadline::wait(|| self.events.find_next(&wanted)) {
            Some(event) => event,
            None => self.fail(&format!("no event came: {what}")),
        }
    }

    /// Waits for the next event of this name.
    pub fn next(&mut self, name: &str) -> Event {
        self.next_event(name, |event| event.name() == name)
    }

    /// Waits until `count` events of this name have happened in all.
    pub fn wait_for_count(&mut self, name: &str, count: usize) -> Vec<Event> {
        match deadline::wait(|| {
            let events = self.events_named(name);
            (events.len() >= count).then_some(events)
        }) {
            Some(events) => events,
            None => self.fail(&format!("{count} times `{name}` did not happen")),
        }
    }

    /// Waits for a condition, and fails with the session's account if it doesn't come.
    pub fn wait_until(&mut self, what: &str, mut condition: impl FnMut() -> bool) {
        if deadline::wait(|| condition().then_some(())).is_none() {
            self.fail(&format!("never: {what}"));
        }
    }

    /// The launcher, by the events.
    pub fn launcher_pid(&mut self) -> i32 {
        self.wait_for_count("started", 1)[0].pid("launcher_pid")
    }

    /// The live process now, by the events.
    pub fn live_pid(&mut self) -> i32 {
        self.wait_for_count("started", 1);
        let events = self.events();
        let last = events
            .iter()
            .rfind(|event| matches!(event.name(), "started" | "reverted"));
        last.expect("it has started").pid("live_pid")
    }

    /// Its number for the program itself.
    pub fn own_pid(&mut self) -> i32 {
        let live = self.live_pid();
        match process::inside(live) {
            Some(pid) => pid,
            None => self.fail("the live process is gone"),
        }
    }

    /// The supervisor.
    pub fn supervisor_pid(&mut self) -> i32 {
        let launcher = self.launcher_pid();
        let found = deadline::wait(|| {
            let all = Process::all();
            // In its own namespaces it is a child of their first process.
            let init = all
                .iter()
                .find(|process| process.parent == launcher && process.name == "snap-init")
                .map_or(launcher, |init| init.pid);
            all.into_iter()
                .find(|process| process.parent == init && process.name == "snap-supervisor")
        });
        match found {
            Some(process) => process.pid,
            None => self.fail("there is no supervisor"),
        }
    }

    /// The timeline, as the second terminal prints it in JSON.
    pub fn list(&mut self) -> Event {
        let output = self.command("list", &["--json"]);
        if !output.success() {
            self.fail(&format!("list failed: {output:?}"));
        }
        Event::parse(output.stdout.trim())
    }

    /// The frozen copy of one snapshot.
    pub fn frozen_pid(&mut self, id: i64) -> i32 {
        let list = self.list();
        let snapshots = list.list("snapshots");
        match snapshots
            .iter()
            .find(|snapshot| snapshot.number("id") == id)
        {
            Some(snapshot) => snapshot.pid("frozen_pid"),
            None => self.fail(&format!("#{id} is not in {list}")),
        }
    }

    /// Runs `cargo snapshot VERB -s THIS ARGUMENTS` in a second terminal.
    pub fn command(&mut self, verb: &str, arguments: &[&str]) -> Output {
        let launcher = self.launcher_pid().to_string();
        let mut all = vec![verb, "-s", &launcher];
        all.extend(arguments);
        self.place.cargo_snapshot(&all)
    }

    /// Sends a signal to the launched process.
    pub fn signal(&mut self, signal: Signal) {
        // The status check reaps; after that the id may belong to another process.
        if self.exit_status().is_none() {
            process::send(self.pid(), signal);
        }
    }

    /// Sends a signal to the live process.
    pub fn signal_live(&mut self, signal: Signal) {
        let live = self.live_pid();
        process::send(live, signal);
    }

    /// Takes a snapshot by SIGUSR1 to the live process.
    pub fn take(&mut self) -> Event {
        self.events.skip_all();
        self.signal_live(Signal::SIGUSR1);
        self.next_taken()
    }

    /// Takes a snapshot by SIGUSR1 to the launched process. Sent straight to a program that gets
    /// that signal from its own processes, one may merge with another that still waits there.
    pub fn take_through_launcher(&mut self) -> Event {
        self.events.skip_all();
        self.signal(Signal::SIGUSR1);
        self.next_taken()
    }

    /// Waits for the outcome of the next requested snapshot: `taken` or `refused`.
    pub fn next_answer(&mut self) -> Event {
        let is_answer = |event: &Event| matches!(event.name(), "taken" | "refused");
        self.next_event("taken or refused", is_answer)
    }

    /// Waits for the next `taken`; a refusal instead fails the test at once.
    pub fn next_taken(&mut self) -> Event {
        let event = self.next_answer();
        if event.name() == "refused" {
            self.fail(&format!("instead of a snapshot: {event}"));
        }
        event
    }

    /// Reverts by a command, which never counts as part of a burst.
    pub fn revert(&mut self) -> Event {
        self.events.skip_all();
        let output = self.command("revert", &[]);
        if !output.success() {
            self.fail(&format!("revert failed: {output:?}"));
        }
        self.next("reverted")
    }

    /// Commits by a command.
    pub fn commit(&mut self) -> Event {
        self.events.skip_all();
        let output = self.command("commit", &[]);
        if !output.success() {
            self.fail(&format!("commit failed: {output:?}"));
        }
        self.next("committed")
    }

    /// Reverts by SIGINT to the launcher.
    pub fn interrupt(&mut self) -> Event {
        self.events.skip_all();
        let launcher = self.launcher_pid();
        process::send(launcher, Signal::SIGINT);
        self.next("reverted")
    }

    /// Its status, if it has ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self
                .child
                .try_wait()
                .expect("the child is ours to wait for");
        }
        self.status
    }

    /// Waits for its end.
    pub fn wait_exit(&mut self) -> ExitStatus {
        match deadline::wait(|| self.exit_status()) {
            Some(status) => status,
            None => self.fail("it did not end"),
        }
    }

    /// Waits for its end, and then for the promised second; then nothing of it may be left.
    pub fn wait_gone(&mut self) -> ExitStatus {
        let status = self.wait_exit();
        if let Err(left) = self.check_leaks() {
            self.fail(&format!("left behind:\n{left}"));
        }
        status
    }

    fn check_leaks(&mut self) -> Result<(), String> {
        let launcher = self
            .events_named("started")
            .first()
            .map_or(self.pid(), |started| started.pid("launcher_pid"));
        leaks::check(&self.mark, launcher, &self.place.runtime())
    }

    /// Fails the test, with the last lines of its outputs; the session's drop then prints its
    /// account, which may be so long that a log has no room for all of it.
    pub fn fail(&mut self, what: &str) -> ! {
        let state = match self.exit_status() {
            Some(status) => format!("it has ended: {status}"),
            None => "it still runs".to_owned(),
        };
        panic!("{what}\n({state})\n{}", self.last_lines(LAST_WORDS));
    }

    /// All that is known of it, for a person who reads a failure.
    fn account(&mut self) -> String {
        let mut account = String::new();
        let events = self.events.all();
        for event in &events[events.len().saturating_sub(LAST_EVENTS)..] {
            let _ = writeln!(account, "event  {event}");
        }
        for process in leaks::processes(&self.mark) {
            let _ = writeln!(account, "alive  {process:?}");
        }
        account + &self.last_lines(LAST_LINES)
    }

    /// The last lines of its outputs, up to so many of each.
    fn last_lines(&self, most: usize) -> String {
        let mut last = String::new();
        for (name, transcript) in &self.transcripts {
            let text = transcript.text();
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(most)..] {
                let _ = writeln!(last, "{name} {}", line.escape_debug());
            }
        }
        last
    }

    /// Ends the session of a bare program through its launcher.
    fn end_session_within(&mut self) {
        let Some(started) = self.events_named("started").first().cloned() else {
            return;
        };
        let launcher = started.pid("launcher_pid");
        if Process::look(launcher).is_some_and(|process| process.name == "snapshot-launch") {
            process::send(launcher, Signal::SIGTERM);
            let gone = || (!process::is_alive(launcher)).then_some(());
            let _ = deadline::wait_for(Duration::from_secs(10), gone);
        }
    }

    /// Ends it, if it has not ended. A bare program may be a shell, which ignores SIGTERM.
    fn end(&mut self) {
        if self.exit_status().is_some() {
            return;
        }
        if self.tool {
            self.signal(Signal::SIGTERM);
        } else {
            self.end_session_within();
            leaks::end(&self.mark);
        }
        if deadline::wait_for(Duration::from_secs(10), || self.exit_status()).is_none() {
            self.fail("SIGTERM did not end it");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        deadline::forget_test();
        let failed = std::thread::panicking();
        if !failed {
            self.end();
            if let Err(left) = self.check_leaks() {
                eprintln!("{}", self.account());
                panic!("left behind:\n{left}");
            }
            return;
        }
        eprintln!("{}", self.account());
        leaks::end(&self.mark);
        // It is dead now, or can't be ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
