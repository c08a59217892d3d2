//! Ends and stops of children, as the supervisor reaps them: the table of children and SIGCHLD
//! tell the program.

use nix::libc;
use snapshot_core::process::children::{Index, State, Usage};
use snapshot_core::sys::SignalInfo;

use super::tracked::Children;
use crate::processes::child::Child;

impl Children {
    /// The supervisor has reaped a process. If it was the program's, `live` hears of its end.
    pub(crate) fn ended(&self, pid: i32, status: i32, usage: &Usage, live: Option<&Child>) {
        let table = self.table;
        if let Some(index) = table.find_alive(pid) {
            // Before `end`: the agent may answer a wait right after.
            let is_adopted = table.is_adopted(index);
            table.set_usage(index, usage);
            table.end(index, status);
            if is_adopted {
                self.tell_of_end(index, live);
            }
            table.wake(index);
        }
    }

    /// A child of the supervisor has stopped, or goes on. If it was the program's, `live` hears
    /// of that.
    pub(crate) fn has_news(&self, pid: i32, status: i32, live: Option<&Child>) {
        let table = self.table;
        let Some(index) = table.find_alive(pid) else {
            return;
        };
        if table.is_adopted(index) {
            table.set_news(index, Some(status));
            self.tell_news(index, live);
            table.wake(index);
        } else if libc::WIFSTOPPED(status) {
            // The branch is dead, and the next one has not adopted the child yet.
            table.note_stop(index, libc::WSTOPSIG(status));
        }
    }

    /// Sends the live process the SIGCHLD of a stop, if it wants one.
    pub(super) fn tell_news(&self, index: Index, live: Option<&Child>) {
        let table = self.table;
        if let Some(live) = live
            && !table.hides_stops()
            && let Some(status) = table.news(index)
            && table.are_news_to_be_told(index)
        {
            self.send(live, index, status);
        }
    }

    /// Sends the live process the SIGCHLD of an ended adopted child, if the agent has not sent
    /// it.
    pub(super) fn tell_of_end(&self, index: Index, live: Option<&Child>) {
        if let Some(live) = live
            && let State::Ended(status) = self.table.state(index)
            && self.table.is_to_be_told(index)
        {
            self.send(live, index, status);
        }
    }

    /// Only the kernel may send the code of an exit (`si_code` CLD_EXITED). So the code says
    /// that a process queued the signal; every other field is what the kernel would send.
    fn send(&self, live: &Child, index: Index, status: i32) {
        let child = self.table.child(index);
        let info = SignalInfo::of_child(child.pid, child.user, status, false);
        let _ = live.queue(&info);
    }
}
