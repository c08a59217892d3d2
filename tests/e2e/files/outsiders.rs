//! What others have changed since a take is not overwritten in silence: it stays and is named, or
//! by force it is kept beside.

use std::fs;
use std::path::{Path, PathBuf};

use snapshot_tests::{Ending, Launch, PipedSession};

struct Shell {
    session: PipedSession,
    work: PathBuf,
}

impl Shell {
    /// In whose branch the program has changed files.
    fn with_branch() -> Self {
        let session = Launch::program("/bin/sh").piped();
        let work = session.place().work();
        let mut shell = Self { session, work };
        shell.does("echo then >written; echo then >saved; echo then >removed; echo then >own");
        shell.session.take();
        shell.does("echo branch >written; echo branch >saved; rm removed; echo branch >own");
        shell.does("mkdir made; echo branch >made/own");
        shell
    }

    fn does(&mut self, script: &str) {
        self.session.send(&format!("{script}; echo ok"));
        self.session.next_line(script, |line| line == "ok");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.work.join(name)).unwrap_or_else(|_| "missing".to_owned())
    }

    /// Others write to a file, save one as editors do, make one, and put one into a directory of
    /// the branch.
    fn meddle(&self) {
        let path = |name: &str| self.work.join(name);
        fs::write(path("written"), "outside").expect("it is ours");
        fs::write(path("saved~"), "outside").expect("it is ours");
        fs::rename(path("saved~"), path("saved")).expect("it is ours");
        fs::write(path("removed"), "outside").expect("it is ours");
        fs::write(path("made/theirs"), "outside").expect("it is ours");
        fs::write(path("untouched"), "outside").expect("it is ours");
    }
}

/// Until the journal has seen that the program's descriptor is closed.
fn settle(shell: &mut Shell) {
    // It answers one after the other, and looks at the ends of descriptors before.
    for _ in 0..3 {
        shell.does("echo >settled; rm settled");
    }
}

#[test]
fn it_stays_and_is_named() {
    let mut shell = Shell::with_branch();
    settle(&mut shell);
    shell.meddle();
    shell.session.end_branch(Ending::Kill);
    for name in ["written", "saved", "removed", "made/theirs", "untouched"] {
        assert_eq!(
            shell.read(name),
            "outside",
            "{name}: {}",
            shell.session.stderr()
        );
    }
    assert_eq!(shell.read("own"), "then\n");
    for name in ["written", "saved", "removed"] {
        let name = format!("{name}.before-1");
        assert_eq!(shell.read(&name), "then\n", "{name}");
    }
    for name in ["written", "saved", "removed", "made"] {
        let text = format!("work/{name} stays as it is: somebody else has");
        shell.session.wait_until_stderr(&text);
    }
    let said = shell.session.stderr();
    assert_eq!(said.matches("stays as it is").count(), 4, "{said}");
}

#[test]
fn by_force_it_is_kept_beside() {
    let mut shell = Shell::with_branch();
    settle(&mut shell);
    shell.meddle();
    let output = shell.session.command("revert", &["--force"]);
    assert!(output.success(), "{output:?}");
    for name in ["written", "saved", "removed", "own"] {
        assert_eq!(shell.read(name), "then\n", "{name}");
    }
    for name in ["written", "saved", "removed", "made"] {
        let name = match name {
            "made" => "made.outside-1/theirs".to_owned(),
            name => format!("{name}.outside-1"),
        };
        assert_eq!(shell.read(&name), "outside", "{name}");
    }
    assert!(!Path::new(&shell.work.join("made")).exists());
    shell.session.wait_until_stderr("work/written.outside-1");
}

#[test]
fn what_the_program_did_itself_is_nobody_elses() {
    let mut shell = Shell::with_branch();
    shell.does(
        "ln own made/linked; mv own made/moved; mv made/moved moved; ln written again; touch -d @0 written
         cp -p saved copy; mv copy saved; mkdir made/in; mv made/in in; (echo child >in/child); cat moved >>saved
         exec 7>>written; echo late >&7; mkfifo fifo; ln -s x link; mv link written2; truncate -s 1 written",
    );
    shell.session.end_branch(Ending::Kill);
    for name in ["written", "saved", "removed", "own"] {
        assert_eq!(shell.read(name), "then\n", "{name}");
    }
    let said = shell.session.stderr();
    assert!(!said.contains("somebody else"), "{said}");
}
