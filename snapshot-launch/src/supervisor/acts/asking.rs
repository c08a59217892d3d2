//! Asks the live process for a snapshot, by a signal that no program blocks and that carries
//! the request's number. Keeps requests if the process ends before it can answer.
//!
//! If libc has installed its own handler behind the agent's back, that ignores the signal. So
//! if the signal was delivered and nobody has called, the supervisor sends the trigger, but
//! only if a thread lets it through: none may stay pending for the program to find.

use crate::processes::ends::waits_to_be_reaped;
use crate::refusal::Refusal;
use crate::supervisor::under_way::asked::{Asked, Status, Trouble};
use nix::errno::Errno;
use nix::libc;
use nix::unistd::getuid;
use snapshot_core::sys::{SignalInfo, now_ns};
use snapshot_core::terms::{Ask, InterruptedCall, OwnUse, REQUEST_MAGIC, REQUEST_SIGNAL};
use snapshot_core::wire::{Caller, FromCaller};

use crate::processes::{family::of_thread, files, thread_list::tids_of};
use crate::shortage;
use crate::supervisor::{
    links::{AgentLink, Heard},
    refusal::apart,
    state::Supervisor,
    under_way::{taking::PATIENCE_NS, wanted::Wanted},
};
use crate::talk::event::{Moments, Trigger};

/// How long a delivered signal may go unanswered before it counts as lost.
const LOST_NS: u64 = 20_000_000;

/// How many requests may wait.
const MOST_WAITING: usize = 1024;

impl Supervisor {
    /// Asks the live process for a snapshot, as soon as it can be asked.
    pub(crate) fn want_take(&mut self, wanted: Wanted) {
        if !self.is_running() || self.asked.is_some() || !self.live.has_agent() {
            self.keep(wanted);
            return;
        }
        let number = self.next_number();
        let moments = Moments {
            asked: wanted.asked_ns,
            heard: now_ns(),
            ..Moments::default()
        };
        self.asked = Some(Asked {
            number,
            wanted,
            moments,
            deadline_ns: moments.heard + PATIENCE_NS,
            look_ns: u64::MAX,
            by_trigger: false,
            interrupted_call: InterruptedCall::default(),
            trouble: None,
        });
        self.signal_request();
    }

    /// Signals the live process for the open request, if any. Called again after every take,
    /// since the signal may have been lost. A signal too many is denied by its number.
    pub(crate) fn signal_request(&mut self) {
        if self.asked.is_none() {
            return;
        }
        let Some(status) = self.status_if_it_runs() else {
            return;
        };
        // Later there may be room: others take signals, or close descriptors.
        let trouble = status.trouble();
        if trouble.is_some() {
            self.note_trouble(trouble);
            self.look_again_later();
            return;
        }
        // The calls that a snapshot needs might end the program.
        if self.why_not(&status.text).is_some() {
            if let Some(asked) = &mut self.asked {
                asked.deadline_ns = 0;
            }
            return;
        }
        let trigger = self.config.trigger;
        if !self.has_own_use
            && status.blocks_by_itself(trigger)
            && every_thread(self.live.pid(), |of| of.blocks_by_itself(trigger))
        {
            self.note_own_use(OwnUse::Blocks);
        }
        // Without a handler the signal would end the program.
        if !status.has(REQUEST_SIGNAL, "SigCgt:") {
            self.signal_by_trigger(&status);
        } else if status.has(REQUEST_SIGNAL, "ShdPnd:") {
            self.look_again_later();
        } else {
            self.signal_live_by(REQUEST_SIGNAL);
            self.look_again_later();
        }
    }

    /// `None` if it has just ended: the revived one will be asked again.
    fn status_if_it_runs(&self) -> Option<Status> {
        let status = self.live_status();
        let has_ended =
            status.field("State:").starts_with(['Z', 'X']) && !has_other_threads(self.live.pid());
        (!has_ended).then_some(status)
    }

    fn look_again_later(&mut self) {
        if let Some(asked) = &mut self.asked {
            asked.look_ns = now_ns() + LOST_NS;
        }
    }

    fn note_trouble(&mut self, trouble: Option<Trouble>) {
        if let Some(asked) = &mut self.asked {
            asked.trouble = trouble;
        }
    }

    /// The kernel gives it to the first thread, if that doesn't block it.
    fn signal_live_by(&mut self, signal: i32) {
        if let Some(asked) = &mut self.asked {
            asked.interrupted_call =
                InterruptedCall::from_outside(self.live.pid(), self.live.pid());
            let value = REQUEST_MAGIC | u64::from(asked.number);
            asked.moments.signalled = now_ns();
            let is_full = self.queue_to_live(signal, value) == Err(Errno::EAGAIN);
            if let Some(asked) = &mut self.asked {
                asked.trouble = is_full.then_some(Trouble::NoRoom);
            }
        }
    }

    /// Sends the live process a signal that carries a value.
    pub(crate) fn queue_to_live(&self, signal: i32, value: u64) -> nix::Result<()> {
        let info = SignalInfo::queued(signal, value).by_user(getuid().as_raw());
        self.live.queue(&info)
    }

    /// Sends the trigger in place of the request's signal. The agent must be in the program,
    /// and a thread must let it through.
    fn signal_by_trigger(&mut self, status: &Status) {
        let trigger = self.config.trigger;
        if !has_agent(self.live.pid()) {
            // It made an exec that nobody reported.
            self.live.has_lost_agent();
            if let Some(asked) = &mut self.asked {
                asked.deadline_ns = 0;
            }
        } else if status.has(trigger, "SigCgt:") && !every_thread_blocks(self.live.pid(), trigger) {
            if let Some(asked) = &mut self.asked {
                asked.by_trigger = true;
            }
            self.signal_live_by(trigger);
        }
        if let Some(asked) = &mut self.asked {
            asked.look_ns = u64::MAX;
        }
    }

    /// Sees whether the signal was delivered and lost.
    pub(crate) fn check_asked(&mut self, now: u64) {
        if !self.is_running() || self.asked.as_ref().is_none_or(|asked| now < asked.look_ns) {
            return;
        }
        let Some(status) = self.status_if_it_runs() else {
            return;
        };
        let had_trouble = self
            .asked
            .as_ref()
            .is_some_and(|asked| asked.trouble.is_some());
        if had_trouble || status.trouble().is_some() {
            self.signal_request();
        } else if status.has(REQUEST_SIGNAL, "ShdPnd:") {
            self.look_again_later();
        } else {
            self.signal_by_trigger(&status);
        }
    }

    /// A trigger meant for the live process arrived at another one. One sent to a whole group
    /// counts as often as it arrived: two requests, even of one sender, are two snapshots.
    pub(crate) fn trigger_arrived(&mut self, asked_ns: u64) {
        self.want_take(Wanted::by_signal(asked_ns));
    }

    fn live_status(&self) -> Status {
        match files::text(format!("/proc/{}/status", self.live.pid())) {
            Ok(text) => Status { text, errno: None },
            Err(error) => Status {
                text: String::new(),
                errno: error.raw_os_error(),
            },
        }
    }

    /// Whether the trigger waits in the live process.
    fn trigger_is_pending(&self) -> bool {
        let status = self.live_status();
        let trigger = self.config.trigger;
        status.has(trigger, "ShdPnd:") || status.has(trigger, "SigPnd:")
    }

    /// Keeps a trigger that the live process did not see before its end: it is a request to the
    /// next one. Call this before the process is reaped, while the kernel still shows it.
    pub(crate) fn keep_pending_trigger(&mut self) {
        if self.live.is_alive()
            && self.asked.as_ref().is_none_or(|asked| !asked.by_trigger)
            && self.live.has_agent()
            // It may be the program's own.
            && !self.has_own_use
            && !self.live.trigger_is_kept()
            && waits_to_be_reaped(self.live.pid())
            && self.trigger_is_pending()
        {
            self.want_after_revert(now_ns());
        }
    }

    /// The live process has called, and is being ended. If it called to take a snapshot for a
    /// signal, keeps that request.
    pub(crate) fn salvage(&mut self, link: &AgentLink<Caller>) {
        if let Heard::Message(FromCaller::Begin {
            ask: Ask::Signal,
            at_ns,
            ..
        }) = link.hear()
        {
            self.want_after_revert(self.possible_time(at_ns));
        }
    }

    fn want_after_revert(&mut self, asked_ns: u64) {
        self.keep(Wanted::by_signal(asked_ns));
    }

    /// Keeps a request for a snapshot until the program can be asked.
    fn keep(&mut self, wanted: Wanted) {
        if self.waiting.len() < MOST_WAITING {
            self.waiting.push_back(wanted);
            return;
        }
        let refusal = Refusal::new(
            "busy",
            format!("{MOST_WAITING} requests wait already"),
            "wait until they have been served",
        );
        self.refuse_take(wanted.token, wanted.trigger, refusal);
    }

    /// Says once what the program does with the trigger itself.
    pub(crate) fn note_own_use(&mut self, own: OwnUse) {
        if !self.has_own_use {
            self.has_own_use = true;
            let signal = crate::talk::signals::name_of(self.config.trigger);
            self.note(crate::talk::own_use::words(&signal, own));
        }
    }

    /// Help if the agent is gone: above all, what not to do.
    fn help_without_agent(&self) -> String {
        let help = "launch that program itself to see why";
        let trigger = self.config.trigger;
        let status = self.live_status();
        let is_harmless = trigger == libc::SIGURG
            || ["SigCgt:", "SigIgn:"]
                .iter()
                .any(|set| status.has(trigger, set))
            || every_thread_blocks(self.live.pid(), trigger);
        if is_harmless {
            return help.to_owned();
        }
        let name = crate::talk::signals::name_of(trigger);
        let name = name.trim_start_matches("SIG");
        let (live, launcher) = (self.live.outer_pid(), self.config.launcher_pid);
        format!(
            "{help}; `kill -{name} {live}` would end it now, `kill -{name} {launcher}` does not"
        )
    }

    /// Why the live process must not be asked, by its `/proc/PID/status`.
    fn why_not(&self, status: &str) -> Option<Refusal> {
        let pid = self.live.pid();
        let filters = self.live.filters().forbid(status);
        filters
            .map(|forbidden| Refusal::new("seccomp", forbidden.why, forbidden.help))
            .or_else(|| self.live.emulator().map(apart::under))
            .or_else(|| self.home.is_left(pid))
    }

    /// The live process can't call after a request for a snapshot, ours or a person's trigger.
    pub(crate) fn refuse_mute(&mut self, request: u32, errno: i32) {
        let is_it = |asked: &mut Asked| asked.number & 0xff_ffff == request;
        let (token, trigger) = match self.asked.take_if(is_it) {
            Some(asked) => (asked.wanted.token, asked.wanted.trigger),
            // It was signalled more than once, and has been refused.
            None if request != 0 => return,
            None if std::mem::take(&mut self.start_snapshot_due) => (None, Trigger::Start),
            None => (None, Trigger::Signal),
        };
        let error = std::io::Error::from_raw_os_error(errno);
        let why = format!("the program can't call the session: {error}");
        let help = shortage::help(errno)
            .unwrap_or("a policy of the machine's, or of the program's, may forbid it");
        self.refuse_take(token, trigger, Refusal::failed(why, help));
    }

    /// Why the live process has not answered.
    pub(crate) fn why_silent(&self) -> Refusal {
        let status = self.live_status();
        let trouble = self.asked.as_ref().and_then(|asked| asked.trouble);
        if let Some(trouble) = trouble.or_else(|| status.trouble()) {
            return trouble.explain(&status);
        }
        if let Some(refusal) = self.why_not(&status.text) {
            return refusal;
        }
        if !self.live.has_agent() {
            if let Some(emulator) = apart::emulator_in(self.live.pid()) {
                return apart::under(emulator);
            }
            if has_agent(self.live.pid()) {
                return Refusal::new(
                    "no-agent",
                    "the agent is in the program, but could not reach the session as that began: the program had no descriptor left for it, or a policy forbids the connection",
                    "raise the program's limit on descriptors, `ulimit -n`, and start it again",
                );
            }
            return Refusal::new(
                "no-agent",
                "the agent is not in the program: it has become one that is static or set-uid, or its loader refused, or it has become it by a system call that goes around libc",
                self.help_without_agent(),
            );
        }
        if every_thread_blocks(self.live.pid(), REQUEST_SIGNAL) {
            return Refusal::new(
                "blocked",
                "the program blocks every signal in every thread, those too that libc needs itself",
                "it does so by calls that go around libc: take at a moment when it doesn't",
            );
        }
        match status.field("State:").chars().next() {
            Some('T' | 't') => Refusal::new(
                "stopped",
                "the program is stopped",
                "let it go on: `kill -CONT`, or detach the debugger",
            ),
            Some('D') => Refusal::new(
                "stuck",
                "the program waits inside the kernel and can't be interrupted",
                "try again when the device or the file system answers",
            ),
            _ => Refusal::new("silent", "the program did not answer", "try again"),
        }
    }
}

/// The status of each thread of a process.
fn statuses(pid: i32) -> impl Iterator<Item = Status> {
    tids_of(pid)
        .into_iter()
        .flatten()
        .filter_map(|thread| files::text(of_thread(thread, "status")).ok())
        .map(|text| Status { text, errno: None })
}

/// Whether a process whose first thread has ended goes on with others.
fn has_other_threads(pid: i32) -> bool {
    statuses(pid).any(|status| !status.field("State:").starts_with(['Z', 'X']))
}

fn every_thread_blocks(pid: i32, signal: i32) -> bool {
    every_thread(pid, |status| status.has(signal, "SigBlk:"))
}

/// Whether this holds for every thread. If none can be seen, nothing is known.
fn every_thread(pid: i32, holds: impl Fn(&Status) -> bool) -> bool {
    let mut statuses = statuses(pid).peekable();
    statuses.peek().is_some() && statuses.all(|status| holds(&status))
}

/// Whether the agent is in a process: its memory file is mapped there.
fn has_agent(pid: i32) -> bool {
    files::bytes(format!("/proc/{pid}/maps")).is_ok_and(|maps| {
        let name = crate::embed::NAME.to_bytes();
        maps.split(|&byte| byte == b'\n')
            .any(|line| line.windows(name.len()).any(|part| part == name))
    })
}
