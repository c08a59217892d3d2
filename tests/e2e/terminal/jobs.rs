//! Job control of a reverted shell: its jobs are the supervisor's children then, and the shell
//! can still stop, continue and end them.

use std::fs;

use snapshot_tests::{Launch, TerminalSession, outside, process::Process, terminal::CTRL_Z};

/// A shell, how it is started, and what it says of a job that has been stopped.
struct Shell {
    name: &'static str,
    arguments: &'static [&'static str],
    stopped: &'static str,
}

const BASH: Shell = Shell {
    name: "bash",
    arguments: &["--norc", "--noprofile", "--noediting", "-i"],
    stopped: "Stopped",
};

const ZSH: Shell = Shell {
    name: "zsh",
    arguments: &["-f", "-i", "+o", "zle", "+o", "promptsp"],
    stopped: "suspended",
};

const DASH: Shell = Shell {
    name: "dash",
    arguments: &["-i"],
    stopped: "Stopped",
};

/// What the job is, told from all others on this machine by its session.
const JOB: &str = "sleep 1234";

struct Job<'a> {
    session: TerminalSession,
    shell: &'a Shell,
    asked: u32,
}

impl Job<'_> {
    fn type_line(&mut self, line: &str) {
        self.session.type_in(&format!("{line}\n"));
    }

    /// The shell reads commands: it answers.
    fn is_there(&mut self) {
        self.asked += 1;
        let asked = self.asked;
        // What it prints is not what has been typed.
        self.type_line(&format!("echo here-'{asked}'-"));
        let answer = format!("here-{asked}-");
        self.session
            .next_line("the shell answers", |line| line.contains(&answer));
    }

    /// The processes of the job: those of the session with this program.
    fn processes(&mut self) -> Vec<Fields> {
        let mark = self.session.mark().to_owned();
        Process::all()
            .into_iter()
            .filter(|process| process.name == "sleep")
            .filter(|process| {
                fs::read(format!("/proc/{}/environ", process.pid)).is_ok_and(|environment| {
                    environment
                        .windows(mark.len())
                        .any(|window| window == mark.as_bytes())
                })
            })
            .filter_map(|process| Fields::of(process.pid))
            .collect()
    }

    fn wait_until(&mut self, what: &str, wanted: impl Fn(&Fields) -> bool) {
        let found = snapshot_tests::deadline::wait(|| {
            let all = self.processes();
            (!all.is_empty() && all.iter().all(&wanted)).then_some(())
        });
        if found.is_none() {
            let (all, screen) = (self.processes(), self.session.screen());
            self.session
                .fail(&format!("never: {what}: {all:?}\n{screen}"));
        }
    }

    fn in_front(&mut self) {
        self.wait_until("it is in front", |job| {
            job.group == job.in_front && job.state != "T"
        });
    }

    /// Ctrl+Z; and the shell has its prompt again.
    fn stop(&mut self) {
        self.in_front();
        self.session.type_in(CTRL_Z);
        self.is_told_of_stop();
    }

    fn is_told_of_stop(&mut self) {
        let stopped = self.shell.stopped;
        self.session
            .next_line("it is stopped", |line| line.contains(stopped));
        self.wait_until("it is stopped", |job| job.state == "T");
        self.is_there();
    }

    fn take(&mut self) {
        self.session.take();
    }

    fn revert(&mut self) {
        self.session.revert();
    }

    /// All that a person does with a job that runs in the background.
    fn work(&mut self) {
        self.type_line("fg");
        self.stop();
        self.type_line("bg");
        self.wait_until("it goes on", |job| {
            job.state != "T" && job.group != job.in_front
        });
        self.is_there();
        self.type_line("fg %1");
        self.stop();
        self.type_line("kill %1; fg");
        self.ends();
    }

    /// It has been ended, and the shell knows.
    fn ends(&mut self) {
        self.is_there();
        let gone = snapshot_tests::deadline::wait(|| self.processes().is_empty().then_some(()));
        assert!(gone.is_some(), "it is still there");
        self.type_line("jobs; echo all-'jobs'-");
        self.session
            .next_line("jobs", |line| line.contains("all-jobs-"));
    }
}

/// What `/proc/PID/stat` says.
#[derive(Debug)]
struct Fields {
    state: String,
    group: String,
    in_front: String,
}

impl Fields {
    fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<String> = fields.split_whitespace().map(str::to_owned).collect();
        Some(Self {
            state: fields.first()?.clone(),
            group: fields.get(2)?.clone(),
            in_front: fields.get(5)?.clone(),
        })
    }
}

/// None where the shell is absent.
fn begin(shell: &Shell) -> Option<Job<'_>> {
    let path = outside::find(shell.name)?;
    let session = Launch::program(path)
        .args(shell.arguments)
        .env("PS1", "inner> ")
        .terminal();
    let mut job = Job {
        session,
        shell,
        asked: 0,
    };
    job.is_there();
    Some(job)
}

fn one_in_the_background(shell: &Shell) {
    let Some(mut job) = begin(shell) else {
        return;
    };
    job.type_line(&format!("{JOB} &"));
    job.is_there();
    job.take();
    job.revert();
    job.is_there();
    job.work();
    job.type_line("exit 0");
    job.session.wait_gone();
}

/// It was stopped already, and has been sent on by the branch that is dead.
fn one_that_was_stopped(shell: &Shell) {
    let Some(mut job) = begin(shell) else {
        return;
    };
    job.type_line(JOB);
    job.stop();
    job.take();
    job.type_line("bg");
    job.wait_until("it goes on", |job| job.state != "T");
    job.is_there();
    job.revert();
    job.is_there();
    job.work();
    job.type_line("exit 0");
    job.session.wait_gone();
}

/// The shell waits for it at the snapshot; the branch stops it, or the next one does.
fn one_in_front(shell: &Shell) {
    for stopped_by_branch in [true, false] {
        let Some(mut job) = begin(shell) else {
            return;
        };
        job.type_line(JOB);
        job.in_front();
        job.take();
        if stopped_by_branch {
            job.stop();
            job.revert();
            job.is_told_of_stop();
        } else {
            job.revert();
            job.stop();
        }
        // And once more, in a life that has adopted it.
        job.take();
        job.type_line("fg");
        job.in_front();
        job.revert();
        job.is_there();
        job.work();
        job.type_line("exit 0");
        job.session.wait_gone();
    }
}

/// A pipeline is a job of several processes.
fn pipeline(shell: &Shell) {
    let Some(mut job) = begin(shell) else {
        return;
    };
    job.type_line(&format!("{JOB} | {JOB} &"));
    job.is_there();
    job.take();
    job.revert();
    job.is_there();
    job.work();
    job.type_line("exit 0");
    job.session.wait_gone();
}

macro_rules! shells {
    ($($name:ident: $shell:expr,)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn in_the_background() {
                one_in_the_background(&$shell);
            }

            #[test]
            fn that_was_stopped() {
                one_that_was_stopped(&$shell);
            }

            #[test]
            fn in_front() {
                one_in_front(&$shell);
            }

            #[test]
            fn of_several_processes() {
                pipeline(&$shell);
            }
        })*
    };
}

shells! {
    bash: BASH,
    zsh: ZSH,
    dash: DASH,
}
