//! Asking the live process for a snapshot: by the trigger signal, with the request's
//! number in it. And keeping what people have asked it for when it is ended before it
//! could answer.
#![expect(unsafe_code, reason = "queues a signal")]

use nix::libc;
use snapshot_core::sys::now_ns;
use snapshot_core::threads::glimpse::Glimpse;
use snapshot_core::wire::{Ask, FromAgent, REQUEST_MAGIC};

use super::links::{AgentLink, Heard};
use super::reaping::waits_to_be_reaped;
use super::state::{Supervisor, Wanted};
use super::taking::PATIENCE_NS;

/// The live process has been signalled, and has not called yet.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(super) number: u32,
    pub(super) wanted: Wanted,
    pub(super) deadline_ns: u64,
    /// What the program's first thread was doing just before it was last signalled.
    pub(super) glimpse: Glimpse,
}

impl Asked {
    /// What was wanted, to be asked again.
    pub(crate) fn into_wanted(self) -> Wanted {
        self.wanted
    }
}

impl Supervisor {
    /// Asks the live process for a snapshot, as soon as it can be asked.
    pub(crate) fn want_take(&mut self, wanted: Wanted) {
        if !self.is_running() || self.asked.is_some() || !self.live.has_agent {
            self.waiting.push_back(wanted);
            return;
        }
        let number = self.next_number();
        self.asked = Some(Asked {
            number,
            wanted,
            deadline_ns: now_ns() + PATIENCE_NS,
            glimpse: Glimpse::default(),
        });
        self.signal_request();
    }

    /// Signals the live process for what has been asked of it, if anything has. To be
    /// done again after every take: the kernel merges two pending signals of one number,
    /// and the one that was just answered may have been a person's. A signal too many is
    /// denied by its number.
    pub(super) fn signal_request(&mut self) {
        let Some(number) = self.asked.as_ref().map(|asked| asked.number) else {
            return;
        };
        let value = REQUEST_MAGIC | u64::from(number);
        // One that has just ended is asked again when it has been revived.
        let status = self.live_status();
        if status.field("State:").starts_with(['Z', 'X']) && !has_other_threads(self.live.pid) {
            return;
        }
        // Without a handler the signal would end the program that it is to save: it has
        // become another one without our knowing.
        if status.has_trigger_in("SigCgt:") {
            // The kernel gives it to the first thread, if that one doesn't block it.
            if let Some(asked) = &mut self.asked {
                asked.glimpse = Glimpse::from_outside(self.live.pid, self.live.pid);
            }
            queue_signal(self.live.pid, self.config.trigger, value);
        } else {
            self.live.has_agent = false;
            if let Some(asked) = &mut self.asked {
                asked.deadline_ns = 0;
            }
        }
    }

    /// A trigger arrived at a process that is not the live one: it is wanted there. One
    /// that was sent to a whole group counts as often as it arrived: two requests, even
    /// of one sender, are two snapshots.
    pub(crate) fn trigger_arrived(&mut self, asked_ns: u64) {
        self.want_take(Wanted::by_signal(asked_ns));
    }

    fn live_status(&self) -> Status {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.live.pid));
        Status {
            text: text.unwrap_or_default(),
            trigger: self.config.trigger,
        }
    }

    /// Whether the trigger waits in the live process.
    fn trigger_is_pending(&self) -> bool {
        let status = self.live_status();
        status.has_trigger_in("ShdPnd:") || status.has_trigger_in("SigPnd:")
    }

    /// A trigger that the live process was sent and has not seen before its end is a
    /// request to what comes after it. To be called before it is reaped: then it can't
    /// see it any more, and the kernel still knows.
    pub(crate) fn keep_pending_trigger(&mut self) {
        if self.live.is_alive
            && self.asked.is_none()
            && self.live.has_agent
            && !self.live.trigger_is_kept
            && waits_to_be_reaped(self.live.pid)
            && self.trigger_is_pending()
        {
            self.want_after_revert(now_ns());
        }
    }

    /// The live process has called, and is being ended: if it was about to take what a
    /// signal has asked for, that request is not lost.
    pub(crate) fn salvage(&mut self, link: &AgentLink) {
        if let Heard::Message(FromAgent::Begin {
            ask: Ask::Signal,
            at_ns,
            ..
        }) = link.hear()
        {
            self.want_after_revert(at_ns);
        }
    }

    fn want_after_revert(&mut self, asked_ns: u64) {
        self.waiting.push_back(Wanted::by_signal(asked_ns));
    }

    /// Why the live process has not answered.
    pub(super) fn why_silent(&self) -> (&'static str, String, &'static str) {
        if !self.live.has_agent {
            return (
                "no-agent",
                "the agent is not in the program: it has become one that is static or set-uid, or its loader refused"
                    .to_owned(),
                "launch that program itself to see why",
            );
        }
        let status = self.live_status();
        let trigger = crate::signals::name_of(self.config.trigger);
        if every_thread_blocks(self.live.pid, self.config.trigger) {
            return (
                "blocked",
                format!("the program has {trigger} blocked in every thread"),
                "choose another trigger with --signal",
            );
        }
        match status.field("State:").chars().next() {
            Some('T' | 't') => (
                "stopped",
                "the program is stopped".to_owned(),
                "let it go on: `kill -CONT`, or detach the debugger",
            ),
            Some('D') => (
                "stuck",
                "the program waits inside the kernel and can't be interrupted".to_owned(),
                "try again when the device or the file system answers",
            ),
            _ => (
                "silent",
                format!("the program did not answer {trigger}"),
                "try again",
            ),
        }
    }
}

/// One reading of the live process's `/proc/PID/status`.
struct Status {
    text: String,
    trigger: i32,
}

impl Status {
    /// A field's value; empty where it is not to be had.
    fn field(&self, name: &str) -> &str {
        self.text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map_or("", str::trim)
    }

    /// Whether the trigger is in one of the signal sets.
    fn has_trigger_in(&self, set: &str) -> bool {
        let set = u64::from_str_radix(self.field(set), 16).unwrap_or(0);
        set & (1 << (self.trigger - 1)) != 0
    }
}

/// Every thread of a process, by its `status`.
fn statuses(pid: i32) -> impl Iterator<Item = String> {
    std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok())
}

/// Whether a process whose first thread has ended goes on with others.
fn has_other_threads(pid: i32) -> bool {
    statuses(pid).any(|text| {
        let status = Status { text, trigger: 0 };
        !status.field("State:").starts_with(['Z', 'X'])
    })
}

fn every_thread_blocks(pid: i32, trigger: i32) -> bool {
    statuses(pid).all(|text| Status { text, trigger }.has_trigger_in("SigBlk:"))
}

/// Sends a signal that carries a value.
pub(crate) fn queue_signal(pid: i32, signal: i32, value: u64) {
    let value = libc::sigval {
        sival_ptr: std::ptr::without_provenance_mut(usize::try_from(value).unwrap_or(0)),
    };
    // SAFETY: plain numbers; the value is never used as a pointer.
    unsafe { libc::sigqueue(pid, signal, value) };
}
