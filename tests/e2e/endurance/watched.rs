//! A session that the test watches for the whole run. After every action its events must make
//! sense, its list must agree with them, and the guest must remember the right number.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use snapshot_tests::process::{self, Process};
use snapshot_tests::{Event, Launch, PipedSession, Signal, deadline};

use crate::census::{Count, Role};
use crate::latency::Latencies;
use crate::model::{Model, is_broken};

/// How long something may take on a busy machine before it counts as stuck.
const STUCK: Duration = Duration::from_secs(30);

/// How long after something has happened it is said at the latest.
const LATE: Duration = Duration::from_secs(5);

pub struct Watched {
    pub session: PipedSession,
    pub model: Model,
    /// The tool's processes, which stay the same.
    pub tool: Vec<(Role, i32)>,
    pub latencies: Latencies,
    /// When the last SIGINT went out that a burst could be counted to.
    pub pressed: Option<Instant>,
    begin: Instant,
    /// How many events the model has taken in.
    read: usize,
    /// The last number that the guest was told.
    mark: u64,
    /// Nothing that would slow a take or revert is being done.
    pub is_calm: bool,
    /// Neither was before: then nothing comes late.
    pub was_calm: bool,
    first: BTreeMap<i32, Count>,
}

impl Watched {
    pub fn launch(isolate: &str, life: Duration) -> Self {
        let seconds = u32::try_from(life.as_secs()).expect("a run is shorter than ages");
        let mut session = Launch::guest("endurance")
            .flag("--isolate")
            .flag(isolate)
            .life_seconds(seconds + 600)
            .piped();
        session.next_line("it begins", |line| line.starts_with("ready "));
        let started = session.next("started");
        let model = Model::new(started.pid("live_pid"), started.text("tier") == "full");
        let tool = tool_of(&mut session);
        Self {
            session,
            model,
            tool,
            latencies: Latencies::default(),
            pressed: None,
            begin: Instant::now(),
            read: 0,
            mark: 0,
            is_calm: true,
            was_calm: true,
            first: BTreeMap::new(),
        }
    }

    pub fn pid(&self, role: Role) -> Option<i32> {
        let found = self.tool.iter().find(|(other, _)| *other == role);
        found.map(|&(_, pid)| pid)
    }

    /// Takes in what has happened, and says how much that was.
    pub fn hear(&mut self) -> Vec<Event> {
        let events = self.session.events_after(self.read);
        self.read += events.len();
        for event in &events {
            if let Err(why) = self.model.happen(event) {
                if is_broken(event) {
                    // The reader of its stderr may be behind.
                    self.session.wait_until_stderr("broken: ");
                }
                let ids = self.model.ids();
                self.session.fail(&format!("{why}: {event}, with {ids:?}"));
            }
            crate::log::note(&format!("    {}: {}", event.name(), self.model));
            self.measure(event);
        }
        if self.model.finished {
            // With all that the program has said.
            self.session.wait_exit();
            self.session.stderr();
            self.session.fail("the session has ended");
        }
        events
    }

    fn measure(&mut self, event: &Event) {
        let latency = match event.name() {
            "taken" => &mut self.latencies.takes,
            "reverted" => &mut self.latencies.reverts,
            _ => return,
        };
        if self.is_calm {
            let micros = u32::try_from(event.number("latency_us")).unwrap_or(u32::MAX);
            latency.note(self.begin.elapsed(), micros.into());
        }
    }

    /// Waits for an event of one of these names.
    pub fn expect(&mut self, names: &[&str]) -> Event {
        let begin = Instant::now();
        loop {
            let events = self.hear();
            if let Some(event) = events.iter().find(|event| names.contains(&event.name())) {
                return event.clone();
            }
            if begin.elapsed() > STUCK {
                self.session
                    .fail(&format!("none of {names:?} has happened"));
            }
            deadline::pace(Duration::from_millis(1));
        }
    }

    /// The frozen copies by the list, once that agrees with the events.
    pub fn settle(&mut self) -> Vec<i32> {
        let begin = Instant::now();
        loop {
            let list = self.session.list();
            let is_new = !self.hear().is_empty();
            let snapshots = list.list("snapshots");
            let ids: Vec<i64> = snapshots.iter().map(|one| one.number("id")).collect();
            let agree = ids == self.model.ids()
                && list.pid("live_pid") == self.model.live
                && !self.model.is_between()
                && !has_pending_signals(self.model.live);
            if agree && !is_new {
                return snapshots.iter().map(|one| one.pid("frozen_pid")).collect();
            }
            if begin.elapsed() > STUCK {
                let ids = self.model.ids();
                self.session
                    .fail(&format!("by the events there are {ids:?}, but {list}"));
            }
        }
    }

    /// The guest lives, all of it gets on, and it remembers what it should.
    pub fn verify(&mut self) -> Vec<i32> {
        let begin = Instant::now();
        loop {
            let frozen = self.settle();
            self.mark += 1;
            let mark = self.mark;
            self.model.told(mark);
            self.session.send(&format!("mark {mark}"));
            let former = self.answer(mark);
            let is_quiet = self.hear().is_empty();
            if let Some(former) = former {
                crate::log::note(&format!("    told {mark}, it remembers {former}"));
                let is_right = self.is_right(former, mark);
                // Another one may have answered, who has not been told of yet: live had just died.
                let mut is_live = || self.session.list().pid("live_pid") == self.model.live;
                if is_quiet && is_right && is_live() {
                    self.model.knows(mark, former);
                    return frozen;
                }
            }
            if begin.elapsed() > STUCK {
                self.session.fail("it never comes to rest");
            }
        }
    }

    /// Whether that may be remembered by what was known then; fails if it may not by what
    /// becomes known after a while either.
    fn is_right(&mut self, former: u64, mark: u64) -> bool {
        if self.model.may_have_known(former, mark) {
            return true;
        }
        let begin = Instant::now();
        while !self.model.may_have_known(former, mark) {
            self.hear();
            if begin.elapsed() > LATE {
                let marks = self.model.marks();
                let failed = format!("told {mark} it remembers {former}, and not one of {marks:?}");
                self.session.fail(&failed);
            }
            deadline::pace(Duration::from_millis(1));
        }
        false
    }

    /// What it remembered before it was told `mark`; none, if who was told is gone.
    fn answer(&mut self, mark: u64) -> Option<u64> {
        let begin = Instant::now();
        let head = format!("mark {mark} ");
        let wanted = |line: &str| line.starts_with(&head);
        loop {
            if let Some(line) = self.session.line_if_there(wanted) {
                return line[head.len()..].parse().ok();
            }
            let events = self.session.events_after(self.read);
            if events.iter().any(|event| event.name() == "reverted") {
                return None;
            }
            if self.session.exit_status().is_some() {
                self.session.fail("the session has ended");
            }
            if begin.elapsed() > STUCK {
                self.session.fail(&format!("no answer to mark {mark}"));
            }
            deadline::pace(Duration::from_micros(300));
        }
    }

    /// Goes to where there is no snapshot, and compares what each process has with what it
    /// had in the first minute.
    pub fn count(&mut self, is_first: bool) {
        let committed = self.session.command("commit", &[]);
        if !committed.success() && self.model.depth() > 0 {
            self.session.fail(&format!("no commit: {committed:?}"));
        }
        self.verify();
        self.see_children();
        let live = (Role::Live, self.model.live);
        for (role, pid) in self.tool.clone().into_iter().chain([live]) {
            self.count_one(role, pid, is_first);
        }
    }

    fn count_one(&mut self, role: Role, pid: i32, is_first: bool) {
        // The program has another number after a revert where it can't choose it.
        let key = if role == Role::Live { 0 } else { pid };
        let Some(now) = Count::look(pid) else {
            self.session.fail(&format!("the {role:?} is gone"));
        };
        if is_first {
            let first = self.first.get(&key).map_or(now, |first| first.or_more(now));
            self.first.insert(key, first);
            return;
        }
        let first = self.first[&key];
        let is_within = || Count::look(pid).is_some_and(|now| now.is_within(first, role));
        // What comes and goes may just be there.
        if deadline::wait(|| is_within().then_some(())).is_none() {
            self.session
                .fail(&format!("the {role:?} has {now}, and had {first}"));
        }
        println!("{role:?}: {now}, at first {first}");
    }

    /// Without a snapshot the supervisor has three children, and the session no other process.
    fn see_children(&mut self) {
        let supervisor = self.pid(Role::Supervisor).expect("it is there");
        let live = self.model.live;
        let own = [Role::Anchor, Role::Journal].map(|role| self.pid(role).expect("it is there"));
        let mut seen = Vec::new();
        let only_three = deadline::wait(|| {
            seen = Process::all();
            seen.retain(|process| process.parent == supervisor);
            let is_known = |process: &Process| process.pid == live || own.contains(&process.pid);
            (seen.len() == 3 && seen.iter().all(is_known)).then_some(())
        });
        if only_three.is_none() {
            self.session
                .fail(&format!("the supervisor has children too many: {seen:?}"));
        }
    }

    /// Sends a signal that reverts, unless it would belong to the press before it.
    pub fn may_press(&mut self) -> bool {
        const BETWEEN: Duration = Duration::from_millis(250);
        let rested = self
            .pressed
            .is_none_or(|pressed| pressed.elapsed() > BETWEEN);
        if rested {
            self.pressed = Some(Instant::now());
        }
        rested
    }

    pub fn signal_live(&self, signal: Signal) {
        process::send(self.model.live, signal);
    }
}

/// The tool's processes of a session.
pub fn tool_of(session: &mut PipedSession) -> Vec<(Role, i32)> {
    let launcher = session.launcher_pid();
    let supervisor = session.supervisor_pid();
    let mut tool = vec![(Role::Launcher, launcher), (Role::Supervisor, supervisor)];
    let parent = Process::look(supervisor).map_or(launcher, |process| process.parent);
    if parent != launcher {
        tool.push((Role::Init, parent));
    }
    for (role, name) in [
        (Role::Anchor, "snap-anchor"),
        (Role::Journal, "snap-journal"),
    ] {
        let found = deadline::wait(|| {
            let all = Process::all();
            let mut named = all
                .iter()
                .filter(|process| process.parent == supervisor && process.name == name);
            named.next().map(|process| process.pid)
        });
        match found {
            Some(pid) => tool.push((role, pid)),
            None => session.fail(&format!("there is no {name}")),
        }
    }
    tool
}

/// Whether a process still has to take a signal, for which a thread of it must get a processor.
fn has_pending_signals(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let pending = status
        .lines()
        .filter_map(|line| line.strip_prefix("ShdPnd:"));
    pending
        .filter_map(|set| u64::from_str_radix(set.trim(), 16).ok())
        .any(|set| set != 0)
}
