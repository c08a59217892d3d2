//! Refusals: each names kind, reason and help, has the right status, and does no harm.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use snapshot_tests::deadline::Output;
use snapshot_tests::{Event, Launch, Place, Signal, binaries, deadline, outside, process};

/// The session can't be set up.
const SETUP: i32 = 96;
/// The command line can't be understood.
const USAGE: i32 = 2;

/// Runs `snapshot-launch ARGUMENTS` to its end.
fn launch(place: &Place, arguments: &[&str]) -> Output {
    let mut command = std::process::Command::new(&binaries::tools().snapshot_launch);
    command.args(arguments);
    place.furnish(&mut command);
    deadline::run(&mut command)
}

/// Refused before anything ran: the status, three lines on stderr, none on stdout.
fn assert_refused(output: &Output, status: i32, named: &str) {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    assert_eq!(output.stdout, "", "{output:?}");
    for part in ["error: ", "\n  cause: ", "\n  help:  ", named] {
        assert!(output.stderr.contains(part), "{part:?} in {output:?}");
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the test's paths are text")
}

fn script(place: &Place, text: &str) -> PathBuf {
    let script = place.work().join("script");
    std::fs::write(&script, text).expect("the place is ours");
    set_mode(&script, 0o755);
    script
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .expect("the place is ours");
}

#[test]
fn no_such_program() {
    let place = Place::new();
    for program in ["no-such-program-anywhere", "./missing", "/nowhere/at/all"] {
        assert_refused(&launch(&place, &[program]), SETUP, program);
        assert_refused(
            &launch(&place, &["--", program, "argument"]),
            SETUP,
            program,
        );
    }
}

#[test]
fn a_program_that_cannot_be_executed() {
    let place = Place::new();
    let file = script(&place, "#!/bin/sh\necho never\n");
    set_mode(&file, 0o644);
    assert_refused(&launch(&place, &[path(&file)]), SETUP, "script");
    assert_refused(&launch(&place, &[path(&place.work())]), SETUP, "work");
}

#[test]
fn a_static_executable() {
    let place = Place::new();
    let source = "#include <stdio.h>\nint main(void) { puts(\"never\"); return 0; }\n";
    let program = binaries::compile_c(source, &["-static"], &place.work());
    let output = launch(&place, &[path(&program)]);
    assert_refused(&output, SETUP, "static");
}

#[test]
fn a_static_pie_executable() {
    // It has a dynamic section, but nobody loads an agent into it.
    let place = Place::new();
    let source = "#include <stdio.h>\nint main(void) { puts(\"never\"); return 0; }\n";
    let program = binaries::compile_c(source, &["-static-pie"], &place.work());
    assert_refused(&launch(&place, &[path(&program)]), SETUP, "static");
}

#[test]
fn a_setuid_executable() {
    let place = Place::new();
    let program = place.work().join("raised");
    std::fs::copy(binaries::guest("commander"), &program).expect("the place is ours");
    for mode in [0o4755, 0o2755] {
        set_mode(&program, mode);
        let output = launch(&place, &[path(&program)]);
        assert_refused(&output, SETUP, "raised");
    }
    // Without the bits it is a program like any other.
    set_mode(&program, 0o755);
    assert!(launch(&place, &[path(&program)]).success());
}

#[test]
fn a_setuid_executable_of_another_user() {
    if !outside::as_root() {
        return;
    }
    let place = Place::new();
    let program = place.work().join("raised");
    std::fs::copy(binaries::guest("commander"), &program).expect("the place is ours");
    std::os::unix::fs::chown(&program, Some(65534), Some(65534)).expect("root may");
    set_mode(&program, 0o4755);
    assert_refused(&launch(&place, &[path(&program)]), SETUP, "raised");
}

#[test]
fn a_script_without_its_interpreter() {
    let place = Place::new();
    for first_line in [
        "#!/no/such/interpreter",
        "#!/no/such/interpreter -x",
        "#!",
        "#! ",
    ] {
        let script = script(&place, &format!("{first_line}\necho never\n"));
        assert_refused(&launch(&place, &[path(&script)]), SETUP, "script");
    }
}

#[test]
fn a_script_that_names_no_interpreter() {
    let place = Place::new();
    let script = script(&place, "echo never\n");
    assert_refused(&launch(&place, &[path(&script)]), SETUP, "script");
}

#[test]
fn a_script_whose_interpreter_is_static() {
    let place = Place::new();
    let source = "#include <stdio.h>\nint main(void) { puts(\"never\"); return 0; }\n";
    let program = binaries::compile_c(source, &["-static"], &place.work());
    let script = script(&place, &format!("#!{}\n", path(&program)));
    assert_refused(&launch(&place, &[path(&script)]), SETUP, "static");
}

#[test]
fn a_file_that_is_no_program() {
    let place = Place::new();
    for text in [
        "",
        "\x7fELF",
        "\x7fELF and then something else entirely, for a while",
        "MZ",
    ] {
        let file = script(&place, text);
        assert_refused(&launch(&place, &[path(&file)]), SETUP, "script");
    }
}

#[test]
fn an_unknown_signal() {
    let place = Place::new();
    let program = binaries::guest("commander");
    for name in ["USR9", "nonsense", "KILL", "STOP", "INT", "SEGV", ""] {
        let output = launch(&place, &["--signal", name, "--", path(&program)]);
        assert_eq!(output.status.code(), Some(USAGE), "{name} {output:?}");
        assert!(output.stderr.contains("--signal"), "{output:?}");
        assert_eq!(output.stdout, "");
    }
}

#[test]
fn a_wrong_command_line() {
    let place = Place::new();
    for arguments in [
        &[][..],
        &["--unknown", "true"],
        &["--key", "x", "true"],
        &["--pty", "sometimes", "true"],
        &["--every", "0s", "true"],
        &["--events"],
    ] {
        let output = launch(&place, arguments);
        assert_eq!(
            output.status.code(),
            Some(USAGE),
            "{arguments:?} {output:?}"
        );
        assert_eq!(output.stdout, "");
    }
}

#[test]
fn an_events_file_that_cannot_be_written() {
    let place = Place::new();
    let program = binaries::guest("commander");
    for file in ["/nowhere/at/all/events", path(&place.work())] {
        let output = launch(&place, &["--events", file, "--", path(&program)]);
        assert_refused(&output, SETUP, "events");
    }
}

#[test]
fn a_context_that_no_copy_can_have_and_the_program_goes_on() {
    let mut session = Launch::commander().piped();
    session.ask("set key value");
    session.take();
    session.ask("hinder");

    session.signal_live(Signal::SIGUSR1);
    let refused = session.next("refused");
    assert_eq!(refused.text("trigger"), "signal");
    assert_eq!(refused.text("kind"), "aio");
    assert!(!refused.text("why").is_empty());
    assert!(!refused.text("help").is_empty());
    assert_eq!(session.ask("get key"), "value");
    session.wait_until_stderr(refused.text("why"));

    let output = session.command("take", &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    for part in ["error: ", "\n  cause: ", "\n  help:  "] {
        assert!(output.stderr.contains(part), "{part:?} in {output:?}");
    }
    assert_eq!(session.next("refused").text("trigger"), "command");
    assert_eq!(
        session.list().number("depth"),
        1,
        "the one from before is there"
    );

    // When the context is gone, it can be taken; and before that it could be reverted.
    session.ask("unhinder");
    let taken: Event = session.take();
    assert_eq!(taken.number("depth"), 2);
    session.ask("hinder");
    session.send("abort");
    assert_eq!(session.next("reverted").number("depth"), 1);
    assert_eq!(session.ask("get key"), "value");
}

#[test]
fn what_no_copy_can_have_may_be_allowed() {
    let mut session = Launch::commander().flag("--allow").flag("aio").piped();
    session.ask("hinder");
    let taken = session.take();
    let named = taken.list("not_rolled_back");
    let is_named = named.iter().any(|item| item.text("kind") == "aio");
    assert!(is_named, "{taken}");
}

#[test]
fn a_refusal_disturbs_nothing() {
    let mut session = Launch::commander().piped();
    session.ask("hinder");
    let questions = ["pid", "status SigBlk", "fds", "action USR1", "action INT"];
    let before: Vec<String> = questions.iter().map(|q| session.ask(q)).collect();
    session.send("nap 300");
    session.next_line("napping", |line| line == "napping");
    session.signal_live(Signal::SIGUSR1);
    session.next("refused");
    let nap = session.next_line("the nap's end", |line| line.starts_with("ok "));
    assert!(nap.starts_with("ok 0 "), "{nap}");
    let after: Vec<String> = questions.iter().map(|q| session.ask(q)).collect();
    assert_eq!(before, after);
    let live = session.live_pid();
    assert!(process::is_alive(live));
}

#[test]
fn a_revived_program_with_threads_stays_who_it_is() {
    // libc would reach the other threads by ids that they don't have any more.
    let mut session = Launch::commander().flag("--isolate=never").piped();
    session.ask("thread");
    session.ask("setuid");
    session.take();
    session.ask("setuid");
    assert!(session.command("revert", &[]).success());
    session.next("reverted");
    session.send("setuid");
    let answer = session.next_line("an answer", |line| line.starts_with("err "));
    assert!(answer.contains("os error 11"), "EAGAIN: {answer}");
    // With the threads goes the reason.
    session.ask("join");
    session.ask("setuid");
}

/// With any number of free descriptors a take either stands or is refused
/// whole: whatever step runs out of them, the program goes on, with the descriptors that it
/// had.
#[test]
fn a_take_that_runs_out_of_descriptors() {
    let Some(python) = outside::find("python3") else {
        return;
    };
    let mut session = Launch::program(python)
        .arg(binaries::source("scarce.py"))
        .piped();
    let mut refused = 0;
    let before = session.ask("look");
    let open = before.rsplit(' ').next().expect("a number").to_owned();
    for free in 0..12 {
        let held = session.ask(&format!("leave {free}"));
        // Without a single one it can't even call, whoever asks.
        for straight in [false, true] {
            if straight {
                session.signal_live(Signal::SIGUSR1);
            } else {
                session.signal(Signal::SIGUSR1);
            }
            let answer = session.next_answer();
            if answer.name() == "refused" {
                refused += 1;
                assert_eq!(answer.text("kind"), "failed", "{answer}");
                let why = answer.text("why");
                assert!(why.contains("Too many open files"), "{answer}");
            }
        }
        assert_eq!(session.ask("look"), format!("{held} kept {open}"));
    }
    assert!((4..24).contains(&refused), "{refused} of 24 were refused");
    // What was taken on the verge is whole.
    session.revert();
    assert!(session.ask("look").ends_with(&format!(" kept {open}")));
}

/// Its second thread gets the trigger. On a word it can open nothing more, or much again.
const SECOND_THREAD: &str = "
import os, resource, signal, sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
most = resource.getrlimit(resource.RLIMIT_NOFILE)
print('ready', flush=True)
for line in sys.stdin:
    # Nothing is open above 2: the lowest free number is the first one that is too many.
    few = (3, most[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, few if line == 'few\\n' else most)
    print('ok', flush=True)
";

#[test]
fn without_a_descriptor_a_second_thread_says_so_too() {
    let Some(python) = snapshot_tests::outside::find("python3") else {
        return;
    };
    let launch = Launch::program(python).arg("-c").arg(SECOND_THREAD);
    let mut session = launch.piped();
    session.next_line("ready", |line| line == "ready");
    session.ask("few");
    session.signal_live(Signal::SIGUSR1);
    let refused = session.next_answer();
    assert_eq!(refused.name(), "refused", "{refused}");
    assert!(refused.text("help").contains("ulimit -n"), "{refused}");
    session.ask("many");
    assert_eq!(session.take().number("id"), 1);
}
