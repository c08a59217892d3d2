//! The agent in the program: the program sees no trace of it, and keeps what is its own.

use std::time::Duration;

use snapshot_tests::{Launch, PipedSession, Signal, binaries, deadline, process};

/// Asks the same of a commander with the tool and of one without.
fn compare(questions: &[&str]) {
    let mut plain = Launch::bare(binaries::guest("commander"))
        .env_remove("CARGO_SNAPSHOT_EVENTS")
        .piped();
    let mut session = Launch::commander().piped();
    for question in questions {
        assert_eq!(session.ask(question), plain.ask(question), "{question}");
    }
}

#[test]
fn the_environment_is_the_programs_own() {
    let mut session = Launch::commander().piped();
    for prefix in ["LD_", "CARGO_SNAPSHOT", "SNAPSHOT_AGENT"] {
        assert_eq!(session.ask(&format!("environ {prefix}")), "", "{prefix}");
    }
    // What a look from outside shows is what was there at the start; nothing of it is
    // inherited.
    let child: i32 = session
        .ask("spawn sleep 1000")
        .parse()
        .expect("a process id");
    let child = session.outside(child);
    let environment = std::fs::read(format!("/proc/{child}/environ")).expect("it runs");
    let environment = String::from_utf8_lossy(&environment);
    for name in ["LD_PRELOAD", "CARGO_SNAPSHOT"] {
        assert!(!environment.contains(name), "{environment}");
    }
}

#[test]
fn all_else_in_the_environment_is_there() {
    let mut session = Launch::commander()
        .env("FIRST", "one")
        .env("EMPTY", "")
        .env("WITH_EQUALS", "a=b=c")
        .piped();
    assert_eq!(session.ask("env FIRST"), "one");
    assert_eq!(session.ask("env EMPTY"), "");
    assert_eq!(session.ask("env WITH_EQUALS"), "a=b=c");
    compare(&[
        "environ A",
        "environ C",
        "environ H",
        "environ P",
        "environ T",
        "environ X",
    ]);
}

#[test]
fn descriptors_masks_and_dispositions_are_as_without_the_tool() {
    compare(&[
        "fds",
        "status SigBlk",
        "status SigIgn",
        "status Threads",
        "tty",
    ]);
    for signal in [
        "INT", "USR1", "USR2", "TERM", "CHLD", "PIPE", "WINCH", "TSTP", "SEGV",
    ] {
        compare(&[&format!("action {signal}")]);
    }
}

/// A C program that is the caller of its own choice, preloaded by the user.
const PRELOADED: &str = r#"
#include <stdlib.h>
#include <stdio.h>
__attribute__((constructor)) static void hello(void) {
    const char *list = getenv("LD_PRELOAD");
    printf("preloaded %s\n", list ? list : "-");
    fflush(stdout);
}
"#;

#[test]
fn a_users_own_preload_is_kept() {
    let place = snapshot_tests::Place::new();
    let library = binaries::compile_c(PRELOADED, &["-shared", "-fPIC"], &place.work());
    let library = library
        .to_str()
        .expect("the test's paths are text")
        .to_owned();
    // The launcher must not be the one who is preloaded, so `env` sets it behind it.
    let mut session = Launch::bare("env")
        .arg(format!("LD_PRELOAD={library}"))
        .arg(&binaries::tools().snapshot_launch)
        .arg("--")
        .arg(binaries::guest("commander"))
        .place(&place)
        .piped();
    session.next_line("ready", |line| line.starts_with("ready "));
    assert!(session.stdout().contains("preloaded "), "it is loaded");
    assert_eq!(session.ask("env LD_PRELOAD"), library);
    session.take();
    session.ask("set key after");
    session.send("abort");
    session.next("reverted");
    assert_eq!(session.ask("get key"), "-");
    assert_eq!(session.ask("env LD_PRELOAD"), library);
    session.send("exit 0");
    assert!(session.wait_gone().success());
}

/// A handler that the program installs for SIGUSR1 or SIGINT is kept, reported back and
/// run when the signal is the program's own.
fn own_handlers(session: &mut PipedSession, signal: &str, by: &str) {
    assert_eq!(session.ask(&format!("action {signal}")), "default");
    assert_eq!(session.ask(&format!("handle {signal} {by}")), "default");
    assert_eq!(session.ask(&format!("action {signal}")), "own restart");
    assert_eq!(session.ask(&format!("ignore {signal} {by}")), "own");
    assert!(
        session
            .ask(&format!("action {signal}"))
            .starts_with("ignore")
    );
    assert_eq!(session.ask(&format!("default {signal} {by}")), "ignore");
    assert_eq!(session.ask(&format!("handle {signal} {by}")), "default");
}

#[test]
fn the_programs_handlers_are_reported_back() {
    for by in ["signal", "sigaction"] {
        let mut session = Launch::commander().piped();
        own_handlers(&mut session, "USR1", by);
        own_handlers(&mut session, "INT", by);
        own_handlers(&mut session, "USR2", by);
        // The trigger is the tool's all the same.
        session.take();
        session.send("abort");
        session.next("reverted");
        assert_eq!(session.ask("action USR1"), "own restart");
        assert_eq!(session.ask("action INT"), "own restart");
        session.signal(Signal::SIGINT);
        session.next_line("its handler", |line| line == "own signal 02 001");
    }
}

#[test]
fn an_ignored_interrupt_stays_ignored_at_the_root() {
    let mut session = Launch::commander().piped();
    session.ask("ignore INT sigaction");
    session.signal(Signal::SIGINT);
    session.signal_live(Signal::SIGINT);
    assert_eq!(session.ask("ping"), "pong");
    // With a snapshot it is the tool's.
    session.take();
    session.ask("set key undone");
    session.interrupt();
    assert_eq!(session.ask("get key"), "-");
}

#[test]
fn an_ignored_interrupt_is_inherited() {
    // As `nohup` and a shell's background jobs have it.
    let guest = binaries::guest("commander");
    let mut session = Launch::program("sh")
        .args(["-c", "trap '' INT; exec \"$0\""])
        .arg(guest)
        .piped();
    session.next_line("ready", |line| line.starts_with("ready "));
    assert_eq!(session.ask("action INT"), "ignore");
    session.signal(Signal::SIGINT);
    assert_eq!(session.ask("ping"), "pong");
}

#[test]
fn an_interrupt_that_the_launcher_was_told_to_ignore_is_ignored() {
    let mut session = Launch::bare("sh")
        .args(["-c", "trap '' INT; exec \"$0\" -- \"$1\""])
        .arg(&binaries::tools().snapshot_launch)
        .arg(binaries::guest("commander"))
        .piped();
    session.next_line("ready", |line| line.starts_with("ready "));
    assert_eq!(session.ask("action INT"), "ignore");
    session.signal(Signal::SIGINT);
    assert_eq!(session.ask("ping"), "pong");
    session.send("exit 0");
    assert!(session.wait_gone().success());
}

#[test]
fn children_are_not_followed() {
    let mut session = Launch::commander().piped();
    session.ask("handle USR1 sigaction");
    session.ask("default USR1 sigaction");
    let child = session.ask("spawn sleep 1000");
    let outside = session.outside(child.parse().expect("a process id"));
    process::send(outside, Signal::SIGUSR1);
    let ended = session.ask(&format!("wait {child}"));
    assert!(ended.contains("SIGUSR1"), "{ended}");
    let child: i32 = session
        .ask("spawn sleep 1000")
        .parse()
        .expect("a process id");
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", session.outside(child)));
    let maps = maps.expect("it runs");
    assert!(!maps.contains("memfd"), "the agent is in it: {maps}");
    assert!(session.events_named("taken").is_empty());
}

#[test]
fn a_forked_child_is_not_the_live_process() {
    for signal in [Signal::SIGUSR1, Signal::SIGINT] {
        let mut session = Launch::commander().piped();
        session.take();
        let child = session.ask("fork");
        let outside = session.outside(child.parse().expect("a process id"));
        process::send(outside, signal);
        let ended = session.ask(&format!("wait {child}"));
        assert!(ended.contains(signal.as_str()), "{ended}");
        assert_eq!(session.events_named("taken").len(), 1);
        assert!(session.events_named("reverted").is_empty());
        // The live process is what it was.
        assert_eq!(session.take().number("id"), 2);
    }
}

#[test]
fn a_forked_child_has_the_programs_handlers() {
    let mut session = Launch::commander().piped();
    session.ask("handle USR1 sigaction");
    let child = session.ask("fork");
    let outside = session.outside(child.parse().expect("a process id"));
    process::send(outside, Signal::SIGUSR1);
    session.next_line("the child's handler", |line| line == "own signal 10 001");
    assert!(session.events_named("taken").is_empty());
}

#[test]
fn a_program_that_closes_every_descriptor_is_snapshotted_all_the_same() {
    // As daemons and shells do it.
    let script = "for fd in $(ls /proc/$$/fd); do \
                    case $fd in 0|1|2) ;; *) eval \"exec $fd>&-\" ;; esac; done 2>/dev/null; \
                  echo closed; value=before; while read line; do \
                    case $line in get) echo \"value $value\" ;; *) value=$line ;; esac; done";
    let mut session = Launch::program("bash").args(["-c", script]).piped();
    session.next_line("closed", |line| line == "closed");
    session.take();
    session.send("after");
    session.send("get");
    session.next_line("changed", |line| line == "value after");
    session.interrupt();
    session.send("get");
    session.next_line("back", |line| line == "value before");
}

#[test]
fn the_program_that_is_executed_in_its_place_is_followed() {
    // `exec` keeps the process; python's shim and `cargo` work like this.
    let guest = binaries::guest("commander");
    let mut session = Launch::program("sh")
        .args(["-c", "exec env -u NOTHING sh -c 'exec \"$0\"' \"$0\""])
        .arg(guest)
        .piped();
    session.next_line("ready", |line| line.starts_with("ready "));
    assert_eq!(session.ask("environ LD_"), "");
    session.ask("set key before");
    session.take();
    session.ask("set key after");
    session.send("abort");
    session.next("reverted");
    assert_eq!(session.ask("get key"), "before");
}

#[test]
fn what_is_executed_may_be_static_and_then_takes_are_refused() {
    let place = snapshot_tests::Place::new();
    let source = "#include <stdio.h>\n#include <unistd.h>\nint main(void) { puts(\"static\"); \
                  fflush(stdout); for (;;) pause(); }\n";
    let program = binaries::compile_c(source, &["-static"], &place.work());
    let mut session = Launch::program("sh")
        .args(["-c", "exec \"$0\""])
        .arg(program)
        .place(&place)
        .piped();
    session.next_line("it runs", |line| line == "static");
    let output = session.command("take", &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    session.next("refused");
    let live = session.live_pid();
    // Refused in time, and the program is untouched.
    assert!(process::is_alive(live));
    deadline::pace(Duration::from_millis(50));
    assert!(process::is_alive(live));
}
