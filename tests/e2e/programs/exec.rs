//! A program that execs another, by any of C's functions, stays in the session. If the exec
//! fails, nothing changes.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use snapshot_tests::{Launch, PipedSession, Place, Seed, Signal, binaries};

/// Answers each line with `ok ...`, or execs: the line names the way and the program.
const EXEC: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
extern char **environ;
static char key[512] = "-";
static int word(char *line) { // a byte at a time, so that the next program has the rest
    int length = 0;
    while (length < 400 && read(0, line + length, 1) == 1 && line[length] != '\n') length++;
    line[length] = 0;
    return length;
}
static void trace(void) {
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    int blocked = 0, open = 0, variables = 0;
    for (int n = 1; n < 65; n++) blocked += sigismember(&mask, n) == 1;
    for (int fd = 0; fd < 1000; fd++) open += fcntl(fd, F_GETFD) >= 0;
    while (environ[variables]) variables++;
    const char *preload = getenv("LD_PRELOAD"), *agent = getenv("CARGO_SNAPSHOT_AGENT");
    printf("ok %s %s %d blocked %d open %d variables\n", preload ? preload : "-",
           agent ? agent : "-", blocked, open, variables);
}
static int become(const char *how, char *path) {
    char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    char *zero = base, *end = 0;
    char *all[] = {zero, "1", "2", "3", "4", "5", "6", "7", 0};
    int count = 0;
    while (environ[count]) count++;
    char **more = calloc(count + 2, sizeof *more);
    memcpy(more, environ, count * sizeof *environ);
    more[count] = "TOLD=yes";
    if (!strcmp(how, "execve")) return execve(path, all, more);
    if (!strcmp(how, "execv")) return execv(path, all);
    if (!strcmp(how, "execvp")) return execvp(base, all);
    if (!strcmp(how, "execvpe")) return execvpe(base, all, more);
    if (!strcmp(how, "execl")) return execl(path, zero, "1", "2", "3", "4", "5", "6", "7", end);
    if (!strcmp(how, "execlp")) return execlp(base, zero, "1", "2", "3", "4", "5", "6", "7", end);
    if (!strcmp(how, "execle"))
        return execle(path, zero, "1", "2", "3", "4", "5", "6", "7", end, more);
    if (!strcmp(how, "execl1")) return execl(path, zero, end);
    if (!strcmp(how, "execle4")) return execle(path, zero, "1", "2", "3", end, more);
    if (!strcmp(how, "execle5")) return execle(path, zero, "1", "2", "3", "4", end, more);
    if (!strcmp(how, "execveat")) return execveat(AT_FDCWD, path, all, more, 0);
    if (!strcmp(how, "syscall")) return syscall(SYS_execve, path, all, more);
    if (!strcmp(how, "raw")) {
        long call = SYS_execve;
        __asm__ volatile("syscall" : "+a"(call) : "D"(path), "S"(all), "d"(more)
                         : "rcx", "r11", "memory");
        errno = -call;
        return -1;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (!strcmp(how, "syscallat")) {
        long answer = syscall(SYS_execveat, fd, fd < 0 ? path : "", all, more, AT_EMPTY_PATH);
        return answer == -1 ? -1 : -2;
    }
    if (!strcmp(how, "execveat fd")) return execveat(fd, "", all, more, AT_EMPTY_PATH);
    int answer = fexecve(fd, all, more), error = errno;
    close(fd);
    errno = error;
    return answer;
}
int main(void) {
    char how[512], path[512];
    printf("ready %d\n", getpid());
    fflush(stdout);
    while (word(how)) {
        if (!strcmp(how, "get")) printf("ok %s\n", key);
        else if (!strcmp(how, "set")) { word(key); puts("ok"); }
        else if (!strcmp(how, "trace")) trace();
        else {
            word(path);
            errno = 0;
            int answer = become(how, path);
            printf("ok %s failed with %d: %s\n", how, answer, strerror(errno));
        }
        fflush(stdout);
    }
    return 0;
}
"#;

/// Each way to exec, whether it hands on an environment of its own, and how many
/// arguments it gives. The variadic ones end in a register and on the stack.
const WAYS: [(&str, bool, usize); 15] = [
    ("execve", true, 8),
    ("execv", false, 8),
    ("execvp", false, 8),
    ("execvpe", true, 8),
    ("fexecve", true, 8),
    ("execl", false, 8),
    ("execlp", false, 8),
    ("execle", true, 8),
    ("execl1", false, 1),
    ("execle4", true, 4),
    ("execle5", true, 5),
    ("execveat", true, 8),
    ("execveat fd", true, 8),
    ("syscall", true, 8),
    ("syscallat", true, 8),
];

/// What a program can see of the way it was started.
const TRACES: [&str; 6] = [
    "environ LD_",
    "environ CARGO_SNAPSHOT_AGENT",
    "fds",
    "status SigBlk",
    "status SigPnd",
    "status SigIgn",
];

fn traces(session: &mut PipedSession) -> Vec<String> {
    TRACES.iter().map(|trace| session.ask(trace)).collect()
}

fn compile(place: &Place) -> PathBuf {
    binaries::compile_c(EXEC, &["-Wno-nonnull"], place.root())
}

/// The program, with the guests on its PATH.
fn launch(place: &Arc<Place>, program: &Path) -> Launch {
    let guests = binaries::guest("commander");
    let guests = guests.parent().expect("a guest lies in a directory");
    let path = std::env::var("PATH").unwrap_or_default();
    Launch::program(program)
        .place(place)
        .env("PATH", format!("{}:{path}", guests.display()))
}

fn become_commander(session: &mut PipedSession, how: &str) -> String {
    let commander = binaries::guest("commander");
    session.send(&format!("{how}\n{}", commander.display()));
    session.next_line("the next program", |line| line.starts_with("ready "))
}

/// Sets a value in the first program.
fn set(session: &mut PipedSession, value: &str) {
    session.send("set");
    session.ask(value);
}

#[test]
fn it_is_followed_whichever_way_it_is_called() {
    let place = Place::new();
    let program = compile(&place);
    let expected = traces(&mut Launch::bare(binaries::guest("commander")).piped());
    for (how, tells, count) in WAYS {
        let mut session = launch(&place, &program).piped();
        let ready = session.next_line("ready", |line| line.starts_with("ready "));
        assert_eq!(
            become_commander(&mut session, how),
            ready,
            "{how}: the pid stays"
        );
        assert_eq!(traces(&mut session), expected, "{how}");
        let told = if tells { "yes" } else { "-" };
        assert_eq!(session.ask("env TOLD"), told, "{how}");
        let given = fs::read(format!("/proc/{}/cmdline", session.live_pid()));
        let given = String::from_utf8(given.expect("it lives")).expect("text");
        let given: Vec<&str> = given.trim_end_matches('\0').split('\0').collect();
        let all = ["commander", "1", "2", "3", "4", "5", "6", "7"];
        assert_eq!(given, all[..count], "{how}");

        session.ask("set key kept");
        session.take();
        session.ask("set key lost");
        session.interrupt();
        assert_eq!(session.ask("get key"), "kept", "{how}");
        assert_eq!(session.ask("handle INT sigaction"), "default", "{how}");
        session.ask("raise INT");
        assert_eq!(session.ask("seen INT"), "1", "{how}");
    }
}

#[test]
fn a_snapshot_from_before_it_brings_the_first_program_back() {
    let place = Place::new();
    let program = compile(&place);
    let mut session = launch(&place, &program).piped();
    set(&mut session, "first");
    for (how, ..) in &WAYS[..5] {
        session.take();
        become_commander(&mut session, how);
        // A snapshot in each program, and all the way back.
        session.ask("set key value");
        session.take();
        session.send("abort");
        session.next("reverted");
        assert_eq!(session.ask("get key"), "value", "{how}");
        session.send("abort");
        session.next("reverted");
        assert_eq!(session.ask("get"), "first", "{how}");
    }
    session.take();
    set(&mut session, "lost");
    session.interrupt();
    assert_eq!(session.ask("get"), "first");
}

#[test]
fn a_failing_one_leaves_the_program_as_it_was() {
    let place = Place::new();
    let program = compile(&place);
    let mut bare = Launch::bare(&program).piped();
    let mut session = launch(&place, &program).piped();
    let before = session.ask("trace");
    assert!(before.starts_with("- - 0 blocked 3 open"), "{before}");
    assert!(bare.ask("trace").starts_with("- - 0 blocked 3 open"));
    for (how, ..) in WAYS {
        let missing = format!("{how}\n/nowhere/at-all");
        let told = session.ask(&missing);
        assert_eq!(told, bare.ask(&missing), "{how} says the same");
        assert!(told.contains("failed with -1: "), "{told}");
        assert_eq!(session.ask("trace"), before, "{how}");
        // A request reaches it as before.
        set(&mut session, how);
        session.take();
        set(&mut session, "lost");
        session.signal_live(Signal::SIGKILL);
        session.next("reverted");
        assert_eq!(session.ask("get"), how);
    }
    // And so does an interrupt.
    session.signal_live(Signal::SIGINT);
    assert_eq!(session.wait_gone().signal(), Some(Signal::SIGINT as i32));
}

#[test]
fn a_request_in_the_middle_of_it_is_kept() {
    let place = Place::new();
    let program = compile(&place);
    let mut seed = Seed::new();
    for round in 0..25 {
        let mut session = launch(&place, &program).piped();
        session.next_line("ready", |line| line.starts_with("ready "));
        session.send(&format!(
            "execv\n{}",
            binaries::guest("commander").display()
        ));
        seed.idle(Duration::from_millis(3));
        session.signal_live(Signal::SIGUSR1);
        session.next("taken");
        session.next_line("the next program", |line| line.starts_with("ready "));
        assert_eq!(session.ask("ping"), "pong", "round {round}");
        assert_eq!(session.events_named("taken").len(), 1, "round {round}");
    }
}

/// A library that says, in `commander`, that it was loaded.
const OWN_PRELOAD: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>
__attribute__((constructor)) static void hello(void) {
    if (strcmp(program_invocation_short_name, "commander") == 0)
        write(1, "own preload\n", 12);
}
"#;

#[test]
fn a_users_own_preload_goes_along() {
    let place = Place::new();
    let program = compile(&place);
    let directory = place.path("preload");
    fs::create_dir(&directory).expect("the place is ours");
    let own = binaries::compile_c(
        OWN_PRELOAD,
        &["-shared", "-fPIC", "-Wno-unused-result"],
        &directory,
    );
    let mut session = launch(&place, &program).env("LD_PRELOAD", &own).piped();
    become_commander(&mut session, "execv");
    assert_eq!(Path::new(&session.ask("env LD_PRELOAD")), own);
    session.take();
    session.interrupt();
    assert_eq!(Path::new(&session.ask("env LD_PRELOAD")), own);
    assert_eq!(
        session.stdout().matches("own preload\n").count(),
        1,
        "loaded once"
    );
}

/// A call that goes around libc is seen by nobody: the agent is gone, and nothing that is asked
/// of the session ends the program.
#[test]
fn one_that_nobody_sees_is_refused_and_lives() {
    let place = Place::new();
    let program = compile(&place);
    for isolate in ["auto", "never"] {
        let mut session = launch(&place, &program)
            .flag("--isolate")
            .flag(isolate)
            .piped();
        session.next_line("ready", |line| line.starts_with("ready "));
        set(&mut session, "kept");
        session.take();
        become_commander(&mut session, "raw");
        for handles in [false, true] {
            if handles {
                session.ask("handle USR1 sigaction");
            }
            session.signal(Signal::SIGUSR1);
            let refused = session.next("refused");
            assert_eq!(refused.text("kind"), "no-agent");
            let warning = format!("`kill -USR1 {}` would end it", session.live_pid());
            let warns = refused.text("help").contains(&warning);
            assert_eq!(warns, !handles, "{refused}");
            assert!(!session.command("take", &[]).success());
            session.next("refused");
            assert_eq!(session.ask("ping"), "pong");
            assert_eq!(session.ask("seen USR1"), "0");
        }
        // What was taken before is there.
        session.revert();
        assert_eq!(session.ask("get"), "kept");
        session.take();
    }
}
