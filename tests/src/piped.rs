//! A session with pipes: input and output, a line at a time.
#![expect(unsafe_code, reason = "makes the child a session leader before exec")]

use std::io::Write;
use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Stdio};
use std::sync::Arc;

use crate::deadline;
use crate::prepared::Prepared;
use crate::session::Session;
use crate::transcript::{Reader, Transcript};

/// A session whose stdin, stdout and stderr are pipes, and that has no terminal.
#[derive(Debug)]
pub struct PipedSession {
    session: Session,
    stdin: Option<ChildStdin>,
    // Below the session, which is dropped first and may still write.
    stdout: Reader,
    stderr: Reader,
    looked_at: usize,
}

impl PipedSession {
    pub(crate) fn start(mut prepared: Prepared) -> Self {
        prepared
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A session of its own: without the terminal of the person who runs the tests, and
        // without signals to the tests' group. SAFETY: the closure makes one system call, so it
        // may run in a child forked from a process with threads.
        unsafe { prepared.command.pre_exec(lead_session) };
        let (mut session, stdin) = Session::start(prepared);
        let child = session.child();
        let stdout = child.stdout.take().expect("stdout is a pipe");
        let stderr = child.stderr.take().expect("stderr is a pipe");
        let stdout = Transcript::of(stdout.into(), |_| {});
        let stderr = Transcript::of(stderr.into(), |_| {});
        session.hear("stdout", &stdout.transcript());
        session.hear("stderr", &stderr.transcript());
        Self {
            session,
            stdin,
            stdout,
            stderr,
            looked_at: 0,
        }
    }

    /// Writes a line to its stdin.
    ///
    /// # Panics
    /// When stdin is closed, at either end.
    pub fn send(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        if let Err(error) = stdin.write_all(format!("{line}\n").as_bytes()) {
            self.fail(&format!("cannot send {line:?}: {error}"));
        }
    }

    /// Closes its stdin.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Its stdout so far, which still grows.
    pub fn stdout_so_far(&self) -> Arc<Transcript> {
        self.stdout.transcript()
    }

    /// Waits for the next line of stdout that `wanted` accepts, after the last one
    /// waited for.
    pub fn next_line(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let stdout = self.stdout.transcript();
        let from = self.looked_at;
        match deadline::wait(|| stdout.find(from, &wanted)) {
            Some((line, next)) => {
                self.looked_at = next;
                line
            }
            None => self.fail(&format!("no line came: {what}")),
        }
    }

    /// The next line of stdout that `wanted` accepts, if it is there already.
    pub fn line_if_there(&mut self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let (line, next) = self.stdout.transcript().find(self.looked_at, wanted)?;
        self.looked_at = next;
        Some(line)
    }

    /// Gives `commander` a command and returns its answer; an `err` fails the test.
    pub fn ask(&mut self, command: &str) -> String {
        self.send(command);
        let answer = self.next_line(command, |line| {
            line == "ok" || line.starts_with("ok ") || line.starts_with("err ")
        });
        if answer.starts_with("err ") {
            self.fail(&format!("{command}: {answer}"));
        }
        answer[2..].trim().to_owned()
    }

    /// Everything on stdout so far; all of it, once the session has ended.
    pub fn stdout(&mut self) -> String {
        if self.exit_status().is_some() {
            self.stdout.wait_for_end();
        }
        self.stdout.transcript().text()
    }

    /// Everything on stderr so far; all of it, once the session has ended.
    pub fn stderr(&mut self) -> String {
        if self.exit_status().is_some() {
            self.stderr.wait_for_end();
        }
        self.stderr.transcript().text()
    }

    /// Waits until stderr contains this text.
    pub fn wait_until_stderr(&mut self, text: &str) {
        let stderr = self.stderr.transcript();
        self.wait_until(text, || stderr.text().contains(text));
    }

    /// Waits for its end and for the end of its output; returns status, stdout, stderr.
    pub fn finish(mut self) -> deadline::Output {
        self.stdin = None;
        let status = self.wait_gone();
        self.stdout.wait_for_end();
        self.stderr.wait_for_end();
        deadline::Output {
            status,
            stdout: self.stdout.transcript().text(),
            stderr: self.stderr.transcript().text(),
        }
    }
}

impl Deref for PipedSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for PipedSession {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

fn lead_session() -> std::io::Result<()> {
    nix::unistd::setsid()?;
    Ok(())
}
