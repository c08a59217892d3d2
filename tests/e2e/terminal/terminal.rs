//! In a terminal: the program sees a terminal, the keys work, and afterwards the terminal is
//! always as before.

use std::os::unix::process::ExitStatusExt;

use snapshot_tests::binaries;
use snapshot_tests::terminal::{CTRL_C, CTRL_Z, PREFIX};
use snapshot_tests::{Launch, Signal, TerminalSession, deadline, process};

#[test]
fn the_program_sees_a_terminal_of_the_same_size() {
    let mut session = Launch::commander().terminal();
    assert_eq!(session.ask("tty"), "sane");
    assert_eq!(session.ask("size"), "24 100");
    assert_eq!(session.ask("foreground"), "mine");
}

#[test]
fn the_programs_terminal_follows_the_window() {
    let mut session = Launch::commander().terminal();
    session.ask("handle WINCH sigaction");
    for (count, (rows, columns)) in [(50, 132), (10, 40)].into_iter().enumerate() {
        session.resize(rows, columns);
        let line = format!("own signal 28 00{}", count + 1);
        session.next_line(&line, |found| found == line);
        assert_eq!(session.ask("size"), format!("{rows} {columns}"));
    }
    // A revived program sees the window as it is, not as it was.
    session.take();
    session.resize(33, 99);
    session.next_line("the signal", |line| line == "own signal 28 003");
    session.type_in(CTRL_C);
    session.next("reverted");
    assert_eq!(session.ask("size"), "33 99");
}

#[test]
fn keys_take_list_and_revert() {
    let mut session = Launch::commander().terminal();
    session.ask("set key one");
    session.command_key("s");
    assert_eq!(session.next("taken").text("trigger"), "key");
    session.wait_for_text("[snapshot] #1 taken in ");
    session.ask("set key two");
    session.command_key("s");
    assert_eq!(session.next("taken").number("depth"), 2);
    session.wait_for_text("[snapshot] #2 taken in ");

    session.command_key("l");
    session.wait_for_screen("a list of both", |screen| {
        let after = screen
            .rsplit_once("#2 taken")
            .map_or("", |(_, after)| after);
        after.contains("#1") && after.contains("#2")
    });

    session.ask("set key three");
    session.command_key("r");
    let ended = session.next("ended");
    assert_eq!(ended.text("how"), "revert");
    assert_eq!(session.next("reverted").number("id"), 2);
    session.wait_for_text("[snapshot] reverted to #2 in ");
    assert_eq!(session.ask("get key"), "two");
}

#[test]
fn a_key_reverts_and_keeps() {
    let mut session = Launch::commander().terminal();
    session.ask("set key one");
    session.command_key("s");
    session.next("taken");
    for _ in 0..3 {
        session.ask("set key two");
        session.command_key("R");
        let reverted = session.next("reverted");
        assert!(reverted.flag("kept"));
        assert_eq!(reverted.number("depth"), 1);
        assert_eq!(session.ask("get key"), "one");
    }
}

#[test]
fn a_key_commits() {
    let mut session = Launch::commander().terminal();
    session.command_key("s");
    session.next("taken");
    session.ask("set key kept");
    session.command_key("c");
    assert_eq!(
        session.next("committed").0["dropped"],
        serde_json::json!([1])
    );
    assert_eq!(session.ask("get key"), "kept");
    // At depth 0 now: an interrupt is the program's own.
    session.type_in(CTRL_C);
    assert_eq!(session.wait_gone().signal(), Some(libc::SIGINT));
}

#[test]
fn a_key_quits() {
    let mut session = Launch::commander().terminal();
    session.command_key("s");
    session.next("taken");
    session.command_key("q");
    session.next("finished");
    session.wait_gone();
    session.assert_sane();
}

#[test]
fn the_prefix_twice_is_the_key_itself() {
    let mut session = Launch::guest("keys").terminal();
    session.wait_for_text("raw now");
    session.type_in(&format!("{PREFIX}{PREFIX}"));
    session.wait_for_text("key 1d");
    session.type_in("Q");
    assert!(session.wait_gone().success());
}

#[test]
fn another_key_can_be_the_prefix() {
    let mut session = Launch::guest("keys").flag("--key").flag("C-a").terminal();
    session.wait_for_text("raw now");
    session.type_in(PREFIX);
    session.wait_for_text("key 1d");
    session.type_in("\x01s");
    session.next("taken");
    session.type_in("\x01\x01");
    session.wait_for_text("key 01");
    session.type_in("Q");
}

#[test]
fn a_raw_program_gets_every_byte() {
    let mut session = Launch::guest("keys").terminal();
    session.wait_for_text("raw now");
    for byte in 0..=255 {
        // The prefix, and the keys that end the guest.
        if [0x1d, b'Q', b'X'].contains(&byte) {
            continue;
        }
        session.type_bytes(&[byte]);
        let line = format!("key {byte:02x}");
        session.next_line(&line, |found| found == line);
    }
    assert!(session.events_named("ended").is_empty());
    session.type_in("Q");
    assert!(session.wait_gone().success());
    session.assert_sane();
}

#[test]
fn the_programs_output_passes_unchanged() {
    let output = r"printf '\033[31mred\033[0m\033]0;title\007 tab\there\n\200\377 end\n'; stty -a";
    let script = format!("read go; {output}; echo the end");
    let mut plain = Launch::bare("sh").args(["-c", &script]).terminal();
    plain.type_in("\n");
    plain.next_line("the end", |line| line == "the end");
    let expected = plain.bytes();

    let mut session = Launch::program("sh").args(["-c", &script]).terminal();
    // What the tool says comes in order: after this line it has nothing more to say.
    session.command_key("s");
    session.next_line("taken", |line| line.contains("#1 taken"));
    session.type_in("\n");
    let whole = deadline::wait(|| {
        session
            .bytes()
            .windows(expected.len())
            .any(|window| window == expected)
            .then_some(())
    });
    if whole.is_none() {
        let expected = String::from_utf8_lossy(&expected).into_owned();
        session.fail(&format!("without the tool it is\n{expected:?}"));
    }
}

#[test]
fn colour_is_for_those_who_want_it() {
    for (name, value, colour) in [("NO_COLOR", "1", false), ("NOTHING", "", true)] {
        let mut session = Launch::commander().env(name, value).terminal();
        session.command_key("s");
        let line = session.next_line("taken", |line| line.contains("#1 taken"));
        assert_eq!(line.contains('\x1b'), colour, "{line:?}");
    }
}

#[test]
fn a_long_paste_arrives_whole() {
    let mut session = Launch::guest("keys").terminal();
    session.wait_for_text("raw now");
    let pasted = "abcdefghij".repeat(500);
    session.type_in(&pasted);
    for key in pasted.bytes() {
        let line = format!("key {key:02x}");
        assert_eq!(
            session.next_line(&line, |found| found.starts_with("key ")),
            line
        );
    }
    session.type_in("Q");
    assert!(session.wait_gone().success());
}

/// A program that has made its terminal raw, with a snapshot of that.
fn raw_program() -> TerminalSession {
    let mut session = Launch::guest("keys").terminal();
    session.wait_for_text("raw now");
    session
}

#[test]
fn the_terminal_is_sane_after_an_exit() {
    for code in [0, 3] {
        let mut session = Launch::commander().terminal();
        session.ask("raw");
        session.type_in(&format!("exit {code}\n"));
        assert_eq!(session.wait_gone().code(), Some(code));
        session.assert_sane();
    }
}

#[test]
fn the_terminal_is_sane_after_a_crash() {
    let mut session = raw_program();
    session.type_in("X");
    assert_eq!(session.wait_gone().signal(), Some(libc::SIGABRT));
    session.assert_sane();
}

#[test]
fn the_terminal_is_sane_after_quitting() {
    let mut session = raw_program();
    session.command_key("s");
    session.next("taken");
    session.command_key("q");
    session.wait_gone();
    session.assert_sane();
}

#[test]
fn the_terminal_is_sane_after_signals_to_the_launcher() {
    for signal in [
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGKILL,
    ] {
        let mut session = raw_program();
        session.command_key("s");
        session.next("taken");
        session.signal(signal);
        assert_eq!(session.wait_gone().signal(), Some(signal as i32));
        session.assert_sane();
    }
}

#[test]
fn the_terminal_is_sane_after_the_supervisors_death() {
    let mut session = raw_program();
    session.command_key("s");
    session.next("taken");
    let supervisor = session.supervisor_pid();
    process::send(supervisor, Signal::SIGKILL);
    assert_eq!(session.wait_gone().code(), Some(97));
    session.assert_sane();
}

#[test]
fn a_hangup_of_the_terminal_ends_the_session() {
    // As when the window is closed: the kernel hangs up on the session's leader.
    let mut session = Launch::commander().terminal();
    session.take();
    session.signal(Signal::SIGHUP);
    assert_eq!(session.wait_gone().signal(), Some(libc::SIGHUP));
}

#[test]
fn a_snapshot_brings_the_programs_settings_back() {
    let mut session = Launch::commander().terminal();
    assert_eq!(session.ask("tty"), "sane");
    session.command_key("s");
    session.next("taken");
    session.ask("raw");
    assert_eq!(session.ask("tty"), "raw");
    session.command_key("r");
    session.next("reverted");
    assert_eq!(session.ask("tty"), "sane");
}

#[test]
fn without_a_terminal_the_program_has_none() {
    let mut session = Launch::commander().piped();
    assert_eq!(session.ask("tty"), "none");
}

#[test]
fn with_pty_never_the_terminal_is_the_programs_own() {
    let mut session = Launch::commander().flag("--pty").flag("never").terminal();
    assert_eq!(session.ask("tty"), "sane");
    session.ask("set key before");
    session.take();
    session.ask("set key after");
    session.ask("raw");
    session.type_in("abort\n");
    session.next("reverted");
    assert_eq!(session.ask("tty"), "sane");
    assert_eq!(session.ask("get key"), "before");
    // A press is the terminal's signal to everybody, and means one thing.
    session.type_in(CTRL_C);
    assert_eq!(session.wait_gone().signal(), Some(libc::SIGINT));
    session.assert_sane();
}

/// An interactive shell in a terminal, and the tool started in it by hand.
fn under_a_shell(flags: &str) -> TerminalSession {
    let mut session = Launch::bare("bash")
        .args(["--norc", "--noprofile", "-i"])
        .env("PS1", "shell> ")
        .terminal();
    session.wait_for_text("shell> ");
    let launcher = binaries::tools().snapshot_launch.display();
    let guest = binaries::guest("commander");
    let line = format!("{launcher} {flags} -- {}\n", guest.display());
    session.type_in(&line);
    session.next_line("ready", |line| line.contains("ready "));
    session
}

#[test]
fn ctrl_z_stops_the_whole_session_and_fg_resumes_it() {
    for flags in ["", "--pty never"] {
        let mut session = under_a_shell(flags);
        session.ask("set key before");
        session.take();
        session.ask("set key after");
        for _ in 0..2 {
            let live = session.live_pid();
            session.type_in(CTRL_Z);
            session.next_line("the shell's word", |line| line.contains("Stopped"));
            session.wait_until("the program is stopped", || {
                process::Process::look(live).is_some_and(|process| process.state == 'T')
            });
            session.assert_sane_for_a_shell();
            session.type_in("fg\n");
            assert_eq!(session.ask("ping"), "pong", "{flags}");
        }
        session.type_in(CTRL_C);
        session.next("reverted");
        assert_eq!(session.ask("get key"), "before", "{flags}");
        let launcher = session.launcher_pid();
        session.type_in("exit 5\n");
        session.wait_until("the launcher's end", || !process::is_alive(launcher));
        session.assert_shell_works(5);
    }
}

#[test]
fn a_job_that_is_started_in_the_background_comes_to_the_front() {
    let mut session = Launch::bare("bash")
        .args(["--norc", "--noprofile", "-i"])
        .env("PS1", "shell> ")
        .terminal();
    session.wait_for_text("shell> ");
    let launcher = binaries::tools().snapshot_launch.display();
    let guest = binaries::guest("commander");
    let line = format!("{launcher} --pty never -- {} &\n", guest.display());
    session.type_in(&line);
    session.next("started");
    let live = session.live_pid();
    // It reads, and stops for that.
    session.wait_until("the program is stopped", || {
        process::Process::look(live).is_some_and(|process| process.state == 'T')
    });
    session.type_in("\n");
    session.next_line("the shell's word", |line| line.contains("Stopped"));
    session.type_in("fg\n");
    assert_eq!(session.ask("ping"), "pong");
    assert_eq!(session.ask("foreground"), "mine");
    session.type_in("exit 5\n");
    session.assert_shell_works(5);
}

/// All of a pipeline belong in front together.
#[test]
fn in_a_pipeline_the_others_have_the_terminal_as_well() {
    let mut session = Launch::bare("bash")
        .args(["--norc", "--noprofile", "-i"])
        .env("PS1", "shell> ")
        .terminal();
    session.wait_for_text("shell> ");
    let launcher = binaries::tools().snapshot_launch.display();
    let guest = binaries::guest("counter");
    // The reader asks the terminal itself.
    let reader = "(read -r key < /dev/tty; echo \"key $key\"; cat)";
    let line = format!("{launcher} -- {} 100000 | {reader}\n", guest.display());
    session.type_in(&line);
    session.next("started");
    session.type_in("x\n");
    session.next_line("the reader's", |line| line == "key x");
    session.take();
    session.next_line("the program's", |line| line.starts_with("count "));
    session.signal_live(Signal::SIGINT);
    session.next("reverted");
    session.next_line("the program's", |line| line.starts_with("count "));
    session.type_in(CTRL_C);
    session.type_in("echo sta''tus\n");
    session.next_line("the shell's", |line| line.ends_with("status"));
    session.type_in("exit\n");
    session.wait_gone();
}

#[test]
fn a_shell_goes_on_after_the_launchers_violent_end() {
    for flags in ["", "--pty never"] {
        let mut session = under_a_shell(flags);
        session.ask("raw");
        session.take();
        let launcher = session.launcher_pid();
        process::send(launcher, Signal::SIGKILL);
        session.next_line("the shell's word", |line| line.ends_with("Killed"));
        session.assert_shell_works(137);
    }
}

/// What a person at the shell's prompt expects.
trait Shell {
    fn assert_sane_for_a_shell(&mut self);
    fn assert_shell_works(&mut self, last_status: i32);
}

impl Shell for TerminalSession {
    /// The shell's own line editor keeps the terminal raw at its prompt, but asks a
    /// program it starts. The quotes tell the answer from its echo.
    fn assert_sane_for_a_shell(&mut self) {
        self.type_in("stty -a | grep -o ' icanon'; echo as''ked\n");
        let line = self.next_line("the settings", |line| {
            line.ends_with(" icanon") || line.ends_with("asked")
        });
        assert!(line.ends_with(" icanon"), "the terminal is left raw");
        self.next_line("the end of the question", |line| line.ends_with("asked"));
    }

    fn assert_shell_works(&mut self, last_status: i32) {
        self.type_in("echo sta''tus $?\n");
        let answer = self.next_line("the status", |line| line.contains("status "));
        assert!(
            answer.ends_with(&format!("status {last_status}")),
            "{answer}"
        );
        self.assert_sane_for_a_shell();
        self.type_in("exit\n");
        assert!(self.wait_gone().success());
    }
}
