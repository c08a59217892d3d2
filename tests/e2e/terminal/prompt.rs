//! The example `prompt`: a line editor in Rust that holds values over snapshots, alone and in a session.

use snapshot_tests::terminal::CTRL_C;
use snapshot_tests::{Launch, TerminalSession, deadline, examples};

const UP: &str = "\x1b[A";

/// How the editor ends the drawing of a prompt with nothing typed: it puts the cursor behind `0> `.
const DRAWN: &str = "\r\x1b[3C";

struct Prompt {
    session: TerminalSession,
    /// How many prompts were waited for.
    seen: usize,
}

impl Prompt {
    /// Types a line when the prompt of this depth is there, and waits for what it prints.
    fn ask(&mut self, depth: u32, line: &str, answer: &str) {
        self.wait_for_prompt(depth);
        self.session.type_in(&format!("{line}\r"));
        self.session.next_line(answer, |line| line == answer);
    }

    /// Waits for the next prompt. What is typed before it would be read by the terminal, not by the editor.
    fn wait_for_prompt(&mut self, depth: u32) {
        self.seen += 1;
        let seen = self.seen;
        let drawn = format!("{depth}> {DRAWN}");
        let is_there = |session: &TerminalSession| {
            let bytes = session.bytes();
            let text = String::from_utf8_lossy(&bytes);
            let last = text.rfind(DRAWN).unwrap_or_default() + DRAWN.len();
            text.matches(DRAWN).count() == seen && text[..last].ends_with(&drawn)
        };
        if deadline::wait(|| is_there(&self.session).then_some(())).is_none() {
            self.session
                .fail(&format!("prompt {seen}, at depth {depth}"));
        }
    }

    /// Waits for the program's last line. The launcher's may come behind it at any time.
    fn wait_for_last_line(&mut self, wanted: &str) {
        self.session.wait_for_screen(wanted, |screen| {
            let lines = screen.lines().map(str::trim_end);
            let mut of_program = lines.filter(|line| !line.starts_with("[snapshot]"));
            of_program.rfind(|line| !line.is_empty()) == Some(wanted)
        });
    }

    fn tell(&mut self, depth: u32, line: &str) {
        self.wait_for_prompt(depth);
        self.session.type_in(&format!("{line}\r"));
    }
}

fn goes_back(launch: Launch) {
    let mut prompt = Prompt {
        session: launch.terminal(),
        seen: 0,
    };
    prompt.tell(0, "set x one");
    prompt.ask(0, "snapshot", "#1 is there");
    prompt.tell(1, "set x two");
    prompt.tell(1, "set y three");
    prompt.ask(1, "show", "y = three");
    prompt.ask(1, "undo", "back at #1: the branch was given up");
    prompt.ask(0, "show", "x = one");
    // Its history went back as well: the two newest lines are these.
    prompt.wait_for_prompt(0);
    prompt.session.type_in(&format!("{UP}{UP}"));
    prompt.wait_for_last_line("0> snapshot");
    prompt.session.type_in("\r");
    prompt.session.next_line("#2", |line| line == "#2 is there");
    prompt.tell(1, "set x two");
    // It is the editor's, which reads keys itself.
    prompt.wait_for_prompt(1);
    prompt.session.type_in("half a line");
    prompt.session.wait_for_text("half a line");
    prompt.session.type_in(CTRL_C);
    prompt.ask(1, "show", "x = two");
    prompt.ask(1, "crash", "back at #2: the branch was killed by SIGABRT");
    prompt.ask(0, "show", "x = one");
    prompt.ask(0, "snapshot", "#3 is there");
    prompt.ask(1, "quit", "back at #3: the branch exited with status 0");
    prompt.ask(0, "snapshot", "#4 is there");
    prompt.tell(1, "set x kept");
    prompt.tell(1, "commit");
    prompt.ask(0, "undo", "error: there is no such snapshot");
    prompt.ask(0, "show", "x = kept");
    prompt.wait_for_prompt(0);
    prompt.session.type_in("quit\r");
    assert!(prompt.session.wait_gone().success());
    prompt.session.assert_sane();
}

#[test]
fn a_line_editor_goes_back_alone() {
    goes_back(Launch::bare(examples::program("prompt")));
}

#[test]
fn a_line_editor_goes_back_in_a_session() {
    goes_back(Launch::program(examples::program("prompt")));
}
