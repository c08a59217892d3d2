//! A live branch from its snapshot to its end: the steps that most tests of programs with
//! threads repeat.

use nix::sys::signal::Signal;

use crate::events::Event;
use crate::piped::PipedSession;
use crate::process;

/// How a branch ends.
#[derive(Debug, Clone, Copy)]
pub enum Ending {
    /// Ctrl+C.
    Interrupt,
    /// `kill -9` of the live process.
    Kill,
    /// `cargo snapshot revert`.
    Command,
    /// The program dies of this signal when it reads this line.
    Dies(&'static str, Signal),
    /// The program exits with this status when it reads this line.
    Exits(&'static str, i32),
}

impl PipedSession {
    /// Takes a snapshot, runs `change`, which the revert will undo, ends the branch, and waits
    /// until as many threads run as before, with the same names. Returns the event of the
    /// snapshot.
    ///
    /// # Panics
    /// When `change` does, or when the session breaks its promise.
    pub fn branch(&mut self, ending: Ending, change: impl FnOnce(&mut Self)) -> Event {
        let live = self.live_pid();
        let threads = process::threads(live);
        let taken = self.attempt(ending, change);
        let count = i64::try_from(threads.len()).expect("a process has fewer threads");
        assert_eq!(taken.number("threads"), count, "{threads:?} {taken}");
        let live = self.live_pid();
        let what = format!("the threads {threads:?} are back after {ending:?}");
        self.wait_until(&what, || process::threads(live) == threads);
        taken
    }

    /// The same for programs whose threads come and go: they aren't counted.
    ///
    /// # Panics
    /// When `change` does, or when the session breaks its promise.
    pub fn attempt(&mut self, ending: Ending, change: impl FnOnce(&mut Self)) -> Event {
        let taken = self.take();
        change(self);
        self.end_branch(ending);
        taken
    }

    /// Ends the branch, and waits until the program goes on from the newest snapshot.
    ///
    /// # Panics
    /// When the branch ends in another way.
    pub fn end_branch(&mut self, ending: Ending) {
        let before = self.events_named("reverted").len();
        let (how, signal, code) = match ending {
            Ending::Interrupt => {
                self.interrupt();
                ("interrupt", None, None)
            }
            Ending::Kill => {
                self.signal_live(Signal::SIGKILL);
                ("signal", Some(Signal::SIGKILL), None)
            }
            Ending::Command => {
                let output = self.command("revert", &[]);
                assert!(output.success(), "{output:?}");
                ("revert", None, None)
            }
            Ending::Dies(line, signal) => {
                self.send(line);
                ("signal", Some(signal), None)
            }
            Ending::Exits(line, code) => {
                self.send(line);
                ("exit", None, Some(i64::from(code)))
            }
        };
        self.wait_for_count("reverted", before + 1);
        let ended = self.events_named("ended");
        let ended = ended
            .last()
            .expect("nothing reverts before its branch ended");
        assert_eq!(ended.text("how"), how, "{ended}");
        if let Some(signal) = signal {
            assert_eq!(ended.number("signal"), i64::from(signal as i32), "{ended}");
        }
        if let Some(code) = code {
            assert_eq!(ended.number("code"), code, "{ended}");
        }
    }

    /// Closes stdin, so that the guest ends by itself. Its last line begins with `end`. It must
    /// exit with this status and leave nothing behind. Returns the rest of that line.
    pub fn end_by_itself(&mut self, code: i32) -> String {
        self.close_stdin();
        let end = self.next_line("its last line", |line| line.starts_with("end "));
        assert_eq!(self.wait_gone().code(), Some(code));
        end[4..].to_owned()
    }
}
