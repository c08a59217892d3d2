//! The first library's own demo: wait, break into the debugger, step into the wrong function, exit, and
//! be back at the debugger's prompt.

use snapshot_tests::terminal::CTRL_C;
use snapshot_tests::{TerminalSession, binaries};

use super::interpreter;

struct Debugger {
    session: TerminalSession,
    prompt: &'static str,
    asked: u32,
}

impl Debugger {
    /// At its prompt, in the program that waited.
    fn begin(module: &str, prompt: &'static str, under_launcher: bool) -> Option<Self> {
        let python = interpreter::with_module(module)?;
        let launch = interpreter::launch(python, under_launcher);
        let place = snapshot_tests::Place::new();
        let mut session = launch
            .place(&place)
            .env("HOME", place.work())
            .env("IPYTHONDIR", place.work().join("ipython"))
            // The far side does not answer where its cursor is.
            .env("PROMPT_TOOLKIT_NO_CPR", "1")
            .arg(binaries::source("python/demo.py"))
            .arg(module)
            .life_seconds(120)
            .terminal();
        session.next_line("it waits", |line| line == "waiting");
        session.type_in(CTRL_C);
        session.wait_for_text(prompt);
        Some(Self {
            session,
            prompt,
            asked: 0,
        })
    }

    /// Types a line and waits for the next prompt behind what it prints.
    fn ask(&mut self, expression: &str) -> String {
        self.asked += 1;
        self.session.ask_python(self.asked, expression, self.prompt)
    }

    fn wait_for_prompt_after(&mut self, text: &str) {
        self.session.wait_for_python_after(text, self.prompt);
    }

    fn wait_for_line(&mut self, text: &str) {
        self.session.next_line(text, |line| line.contains(text));
    }

    fn type_line(&mut self, line: &str) {
        self.session.type_in(&format!("{line}\r"));
    }
}

fn demo(module: &str, prompt: &'static str, under_launcher: bool) {
    let Some(mut debugger) = Debugger::begin(module, prompt, under_launcher) else {
        return;
    };
    // What the launcher says, or the package alone.
    let (taken, back) = match under_launcher {
        true => ("#1 taken in", "reverted to #1"),
        false => ("snapshot #1 taken", "back at snapshot #1"),
    };
    debugger.type_line("import snapshot, os");
    assert_eq!(debugger.ask("numbers"), "[1, 2, 3]");
    debugger.type_line("in_branch = snapshot.snapshot()");
    debugger.wait_for_line(taken);
    assert_eq!(debugger.ask("in_branch, snapshot.depth()"), "True 1");
    // Into the wrong function, and out of it.
    debugger.type_line("s");
    debugger.session.wait_for_text("--Call--");
    debugger.wait_for_prompt_after("--Call--");
    debugger.type_line("r");
    debugger.session.wait_for_text("--Return--");
    debugger.wait_for_prompt_after("--Return--");
    assert_eq!(debugger.ask("numbers"), "[]");
    // Where the prompt reads keys itself, and for a program alone, it is the debugger's own.
    let reads_keys = module == "ipdb";
    if reads_keys || !under_launcher {
        debugger.session.type_in("half a line");
        debugger.session.wait_for_text("half a line");
        debugger.session.type_in(CTRL_C);
        if !reads_keys {
            debugger.session.wait_for_text("--KeyboardInterrupt--");
            debugger.wait_for_prompt_after("--KeyboardInterrupt--");
        }
        let depth = "numbers, __import__('snapshot').depth()";
        assert_eq!(debugger.ask(depth), "[] 1");
    }
    debugger.type_line("q");
    debugger.wait_for_line(back);
    // The take has returned for the second time.
    debugger.asked += 10;
    let state = "in_branch, numbers, snapshot.depth()";
    assert_eq!(debugger.ask(state), "False [1, 2, 3] 0");
    debugger.type_line("c");
    debugger
        .session
        .next_line("it goes on", |line| line.contains("results wrong 0"));
    assert!(debugger.session.wait_gone().success());
    debugger.session.assert_sane();
}

#[test]
fn the_demo_in_pdb_alone() {
    demo("pdb", "(Pdb)", false);
}

#[test]
fn the_demo_in_pdb_under_the_launcher() {
    demo("pdb", "(Pdb)", true);
}

#[test]
fn the_demo_in_ipdb_alone() {
    demo("ipdb", "ipdb>", false);
}

#[test]
fn the_demo_in_ipdb_under_the_launcher() {
    demo("ipdb", "ipdb>", true);
}
