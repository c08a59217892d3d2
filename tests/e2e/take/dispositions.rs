//! Signal dispositions and masks: those that the program sets, inherits or passes on are the same
//! as without the tool, for each of C's functions.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use snapshot_tests::{Launch, Place, Signal, binaries, deadline, process};

/// Longer than any of the tool's own delays. What one process sends to two of the
/// session within a moment counts as one signal.
const SETTLED: Duration = Duration::from_millis(300);

/// Each check that fails prints a line. `bsd_signal` is gone from the headers.
const CHECKS: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
extern sighandler_t bsd_signal(int, sighandler_t);
static volatile sig_atomic_t ran, sender, blocked_in_handler;
static void plain(int signal) { (void)signal; ran++; }
static void full(int signal, siginfo_t *info, void *context) {
    (void)signal; (void)context;
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    blocked_in_handler = sigismember(&mask, SIGHUP) && sigismember(&mask, signal)
        && !sigismember(&mask, SIGQUIT);
    sender = info->si_pid;
    ran++;
}
#define CHECK(what) do { if (!(what)) printf("wrong for %d: %s\n", n, #what); } while (0)
int main(void) {
    int signals[] = { SIGINT, SIGUSR1, SIGUSR2 };
    for (int i = 0; i < 3; i++) {
        int n = signals[i];
        struct sigaction new, old;
        sigset_t mask, one;
        sigemptyset(&one);
        sigaddset(&one, n);
        memset(&new, 0, sizeof new);
        new.sa_sigaction = full;
        new.sa_flags = SA_SIGINFO | SA_NOCLDSTOP;
        sigaddset(&new.sa_mask, SIGHUP);
        CHECK(sigaction(n, &new, &old) == 0);
        CHECK(old.sa_handler == SIG_DFL);
        ran = sender = 0;
        raise(n);
        CHECK(ran == 1);
        CHECK(sender == getpid());
        CHECK(blocked_in_handler);
        sigprocmask(SIG_BLOCK, NULL, &mask);
        CHECK(!sigismember(&mask, SIGHUP) && !sigismember(&mask, n));

        CHECK(sigaction(n, NULL, &old) == 0);
        CHECK(old.sa_sigaction == full);
        CHECK((old.sa_flags & (SA_SIGINFO | SA_NOCLDSTOP)) == (SA_SIGINFO | SA_NOCLDSTOP));
        CHECK((old.sa_flags & (SA_RESTART | SA_NODEFER)) == 0);
        CHECK((old.sa_flags & SA_RESETHAND) == 0);
        CHECK(sigismember(&old.sa_mask, SIGHUP) == 1);
        CHECK(sigismember(&old.sa_mask, SIGQUIT) == 0);

        new.sa_handler = plain;
        new.sa_flags = SA_RESETHAND;
        sigemptyset(&new.sa_mask);
        CHECK(sigaction(n, &new, NULL) == 0);
        ran = 0;
        raise(n);
        CHECK(ran == 1);
        CHECK(sigaction(n, NULL, &old) == 0);
        CHECK(old.sa_handler == SIG_DFL);

        CHECK(signal(n, plain) == SIG_DFL);
        CHECK(sigaction(n, NULL, &old) == 0);
        CHECK(old.sa_flags & SA_RESTART);
        CHECK(siginterrupt(n, 1) == 0);
        CHECK(sigaction(n, NULL, &old) == 0);
        CHECK(!(old.sa_flags & SA_RESTART));
        CHECK(siginterrupt(n, 0) == 0);
        CHECK(bsd_signal(n, SIG_IGN) == plain);
        ran = 0;
        raise(n);
        CHECK(ran == 0);
        CHECK(ssignal(n, plain) == SIG_IGN);
        raise(n);
        raise(n);
        CHECK(ran == 2);
        CHECK(sysv_signal(n, plain) == plain);
        ran = 0;
        raise(n);
        CHECK(ran == 1);
        CHECK(signal(n, SIG_DFL) == SIG_DFL);
        CHECK(sigignore(n) == 0);
        CHECK(signal(n, SIG_DFL) == SIG_IGN);

        // Blocked, it waits, and is the program's own in the end.
        signal(n, plain);
        sigprocmask(SIG_BLOCK, &one, NULL);
        ran = 0;
        raise(n);
        CHECK(ran == 0);
        sigpending(&mask);
        CHECK(sigismember(&mask, n));
        sigprocmask(SIG_UNBLOCK, &one, NULL);
        CHECK(ran == 1);
    }
    struct sigaction any;
    int n = 0;
    CHECK(sigaction(SIGKILL, NULL, &any) == 0);
    CHECK(signal(SIGKILL, plain) == SIG_ERR && errno == EINVAL);
    CHECK(signal(1000, plain) == SIG_ERR && errno == EINVAL);
    CHECK(sigaction(-1, NULL, &any) == -1 && errno == EINVAL);
    puts("checked");
    return 0;
}
"#;

#[test]
fn every_way_to_set_a_handler_does_what_libc_does() {
    let place = Place::new();
    let options = ["-Wno-deprecated-declarations"];
    let program = binaries::compile_c(CHECKS, &options, place.root());
    let bare = Launch::bare(&program).piped().finish();
    assert_eq!(bare.stdout, "checked\n", "libc itself");
    let output = Launch::program(&program).piped().finish();
    assert_eq!(output.stdout, "checked\n");
    assert!(output.success());
}

/// The functions of System V, which libc serves without a call of its own `sigaction`.
const SIGSET: &str = r#"
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static volatile sig_atomic_t ran;
static void plain(int signal) { (void)signal; ran++; }
int main(int argc, char **argv) {
    int n = argc > 1 && !strcmp(argv[1], "INT") ? SIGINT : SIGUSR1;
    int was = sigset(n, plain) == SIG_DFL;
    int held = sigset(n, SIG_HOLD) == plain;
    raise(n);
    int waits = ran == 0;
    int waited = sigset(n, plain) == SIG_HOLD && ran == 1;
    printf("%d %d %d %d\n", was, held, waits, waited);
    fflush(stdout);
    char byte;
    while (read(0, &byte, 1) == 1) {
        printf("ran %d\n", (int)ran);
        fflush(stdout);
    }
    return 0;
}
"#;

#[test]
fn sigset_is_kept_and_reported_as_well() {
    let place = Place::new();
    let options = ["-Wno-deprecated-declarations"];
    let program = binaries::compile_c(SIGSET, &options, place.root());
    for signal in ["USR1", "INT"] {
        let mut session = Launch::program(&program).arg(signal).piped();
        let line = session.next_line("four answers", |_| true);
        assert_eq!(
            line, "1 1 1 1",
            "{signal}: was default, held, waits, waited"
        );
        // From outside it is the tool's.
        session.take();
        session.interrupt();
        session.send("");
        session.next_line("its own ran once", |line| line == "ran 1");
    }
}

#[test]
fn an_inherited_mask_is_kept() {
    let blocked = ["--block-signal=USR1", "--block-signal=WINCH"];
    let commander = binaries::guest("commander");
    let mut bare = Launch::bare("env").args(blocked).arg(&commander).piped();
    let expected = bare.ask("status SigBlk");
    assert_ne!(expected, "0000000000000000", "env has blocked two");

    let mut session = Launch::bare("env")
        .args(blocked)
        .arg(&binaries::tools().snapshot_launch)
        .arg("--")
        .arg(&commander)
        .piped();
    assert_eq!(session.ask("status SigBlk"), expected);
    // The trigger is blocked, so a request waits; and then it is answered.
    session.signal_live(Signal::SIGUSR1);
    session.ask("unblock USR1");
    session.next("taken");
    let after = session.ask("status SigBlk");
    assert_ne!(after, expected);
    session.interrupt();
    // It comes back into the call that let the request in, which is answered again.
    session.next_line("unblocked", |line| line.starts_with("ok"));
    assert_eq!(session.ask("status SigBlk"), after);
    session.send("exit 0");
    assert!(session.wait_gone().success());
}

#[test]
fn an_inherited_ignore_is_reported_and_holds() {
    let mut session = Launch::bare("env")
        .args(["--ignore-signal=INT", "--ignore-signal=USR1"])
        .arg(&binaries::tools().snapshot_launch)
        .arg("--")
        .arg(binaries::guest("commander"))
        .piped();
    assert_eq!(session.ask("action INT"), "ignore");
    assert_eq!(session.ask("action USR1"), "ignore");
    // At depth 0 the program ignores it, as it would without the tool.
    let live = session.live_pid();
    process::send(live, Signal::SIGINT);
    session.wait_until("it is delivered", || {
        !process::is_pending(live, Signal::SIGINT)
    });
    assert_eq!(session.ask("ping"), "pong");
    deadline::pace(SETTLED);
    // The tool's own meaning of both signals is as always.
    session.ask("set key kept");
    session.take();
    session.ask("set key lost");
    session.interrupt();
    assert_eq!(session.ask("get key"), "kept");
    assert_eq!(session.ask("action INT"), "ignore");
    // And a program may change its mind.
    assert_eq!(session.ask("handle INT signal"), "ignore");
    session.ask("raise INT");
    assert_eq!(session.ask("seen INT"), "1");
    session.send("exit 0");
    assert!(session.wait_gone().success());
}

#[test]
fn the_programs_own_interrupt_handler_runs_once_for_each_at_depth_0() {
    for to_launcher in [false, true] {
        let mut session = Launch::commander().piped();
        session.ask("handle INT sigaction");
        let target = if to_launcher {
            session.launcher_pid()
        } else {
            session.live_pid()
        };
        for count in 1..=20 {
            process::send(target, Signal::SIGINT);
            session.next_line("the handler", |line| line.starts_with("own signal 02"));
            assert_eq!(session.ask("seen INT"), count.to_string());
        }
        deadline::pace(SETTLED);
        assert_eq!(session.ask("seen INT"), "20", "none came late");
        // What is not handled ends the program, as itself.
        session.ask("default INT sigaction");
        process::send(target, Signal::SIGINT);
        assert_eq!(session.wait_gone().signal(), Some(Signal::SIGINT as i32));
    }
}

#[test]
fn what_a_branch_sets_is_undone() {
    let mut session = Launch::commander().piped();
    session.ask("handle INT sigaction");
    session.ask("handle USR1 sigaction");
    // From outside it is a request, and not the program's own signal.
    session.take();
    assert_eq!(session.ask("seen USR1"), "0");
    session.ask("default INT signal");
    session.ask("ignore USR1 signal");
    session.ask("block WINCH");
    session.interrupt();
    assert_eq!(session.ask("action INT"), "own restart");
    assert_eq!(session.ask("action USR1"), "own restart");
    assert_eq!(session.ask("status SigBlk"), "0000000000000000");
    assert_eq!(
        session.ask("seen INT"),
        "0",
        "the revert was no signal to it"
    );
    session.ask("raise USR1");
    assert_eq!(session.ask("seen USR1"), "1");
}

#[test]
fn a_spawned_child_has_neither_agent_nor_handlers() {
    let mut session = Launch::commander().piped();
    session.take();
    let child: i32 = session.ask("spawn sleep 1000").parse().expect("a pid");
    let child = session.outside(child);
    for field in ["SigBlk", "SigCgt", "SigIgn"] {
        let mask = process::status(child, field).expect("it lives");
        let mask = u64::from_str_radix(&mask, 16).expect("a mask");
        let ours = 1_u64 << (Signal::SIGUSR1 as i32 - 1) | 1 << (Signal::SIGINT as i32 - 1);
        assert_eq!(mask & ours, 0, "{field} of the child");
    }
    for signal in [Signal::SIGUSR1, Signal::SIGINT] {
        let child: i32 = session.ask("spawn sleep 1000").parse().expect("a pid");
        process::send(session.outside(child), signal);
        let ended = session.ask(&format!("wait {child}"));
        assert!(ended.contains(signal.as_str()), "{ended}");
    }
    assert_eq!(session.events_named("taken").len(), 1);
    assert!(session.events_named("reverted").is_empty());
}
