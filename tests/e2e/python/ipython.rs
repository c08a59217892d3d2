//! IPython at its prompt, alone and under the launcher: a branch that is left by `exit()` breaks
//! nothing of the session that comes back.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use snapshot_tests::terminal::CTRL_C;
use snapshot_tests::{Place, TerminalSession, deadline, outside};

use super::interpreter;

const ROUNDS: u32 = 3;

/// IPython at its prompt.
pub struct Prompt {
    pub session: TerminalSession,
    home: PathBuf,
    asked: u32,
}

impl Prompt {
    /// `None` where there is no IPython.
    pub fn new(under_launcher: bool) -> Option<Self> {
        let program = outside::find("ipython3")?;
        let place = Place::new();
        let home = place.work();
        let mut session = interpreter::launch(program, under_launcher)
            .place(&place)
            .args(["--no-banner", "--no-confirm-exit", "--colors=NoColor"])
            .env("HOME", &home)
            .env("IPYTHONDIR", home.join("ipython"))
            .env("EDITOR", "true")
            // The far side does not answer where its cursor is.
            .env("PROMPT_TOOLKIT_NO_CPR", "1")
            .life_seconds(300)
            .terminal();
        session.wait_for_text("In [1]:");
        Some(Self {
            session,
            home,
            asked: 0,
        })
    }

    /// Where it keeps its files.
    pub fn home(&self) -> &std::path::Path {
        &self.home
    }

    /// Types a line and Enter.
    pub fn type_line(&mut self, line: &str) {
        self.session.type_in(&format!("{line}\r"));
    }

    /// What it prints for an expression. It has run all lines before then.
    pub fn ask(&mut self, expression: &str) -> String {
        self.asked += 1;
        self.session.ask_python(self.asked, expression, "\nIn [")
    }

    /// Waits for what the launcher says, or the package alone.
    pub fn wait_for_line(&mut self, text: &str) {
        self.session.next_line(text, |line| line.contains(text));
    }

    /// Nothing on the screen tells of trouble.
    pub fn assert_quiet(&mut self) {
        let bytes = self.session.bytes();
        let all = String::from_utf8_lossy(&bytes);
        for word in [
            "Traceback",
            "locked",
            "not unique",
            "not exist",
            "Error",
            "Warning",
        ] {
            if all.contains(word) {
                self.session.fail(&format!("`{word}` is on the screen"));
            }
        }
    }
}

fn comes_back_to_its_prompt(under_launcher: bool) {
    let Some(mut prompt) = Prompt::new(under_launcher) else {
        return;
    };
    prompt.type_line("import snapshot, os; total = 0; edited = get_ipython().mktempfile('edited')");
    for round in 0..ROUNDS {
        prompt.type_line("total += 1");
        let (taken, back) = match under_launcher {
            true => ("taken in", "reverted to"),
            false => ("taken", "back at snapshot"),
        };
        prompt.type_line("in_branch = snapshot.snapshot()");
        prompt.wait_for_line(taken);
        assert_eq!(prompt.ask("in_branch"), "True");
        prompt.type_line("total = 'branch'");
        // The prompt reads keys itself: there is nothing to revert by this one.
        prompt.session.type_in("half a line");
        prompt.session.wait_for_text("half a line");
        prompt.session.type_in(CTRL_C);
        assert_eq!(prompt.ask("total, snapshot.depth()"), "branch 1");
        prompt.type_line("exit()");
        prompt.wait_for_line(back);
        let count = round + 1;
        assert_eq!(
            prompt.ask("in_branch, total, open(edited).read(), snapshot.depth()"),
            format!("False {count} edited 0"),
        );
        // It writes its history down, where each line has its own number.
        prompt.ask("get_ipython().history_manager.writeout_cache()");
        let lines = prompt.ask("sum('total += 1' == line for line in In)");
        assert_eq!(lines, count.to_string());
        prompt.assert_quiet();
        deadline::renew();
    }
    prompt.type_line("exit()");
    assert!(prompt.session.wait_gone().success());
    prompt.assert_quiet();
    prompt.session.assert_sane();
    let history = prompt.home.join("ipython/profile_default/history.sqlite");
    assert!(fs::metadata(&history).is_ok_and(|file| file.len() > 0));
    if let Some(sqlite) = outside::find("sqlite3") {
        let question = "PRAGMA integrity_check; \
            SELECT count(*) FROM history WHERE session = 1 AND source = 'total += 1';";
        let mut command = Command::new(sqlite);
        command.arg("-batch").arg(&history).arg(question);
        let seen = deadline::run(&mut command);
        assert_eq!(seen.stdout, format!("ok\n{ROUNDS}\n"), "{seen:?}");
    }
}

#[test]
fn ipython_comes_back_to_its_prompt_alone() {
    comes_back_to_its_prompt(false);
}

#[test]
fn ipython_comes_back_to_its_prompt_under_the_launcher() {
    comes_back_to_its_prompt(true);
}
