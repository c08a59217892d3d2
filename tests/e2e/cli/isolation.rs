//! The namespaces of a session and their purpose: the program keeps its ids over a revert. As
//! root, as an ordinary user, and on a machine that refuses namespaces.

use std::process::Command;

use snapshot_tests::{
    Ending, Event, Isolation, Launch, PipedSession, Place, Seed, Signal, deadline, outside, process,
};

const ENDINGS: [Ending; 4] = [
    Ending::Interrupt,
    Ending::Kill,
    Ending::Command,
    Ending::Dies("abort", Signal::SIGABRT),
];

/// Who launches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Whoever runs the tests: root, in CI.
    Tester,
    User(Isolation),
}

const USER: Who = Who::User(Isolation::Allowed);
/// An ordinary user where user namespaces are switched off.
const USER_WITHOUT: Who = Who::User(Isolation::NoUserNamespaces);

fn commander(who: Who, isolate: &str) -> PipedSession {
    let launch = Launch::commander().flag("--isolate").flag(isolate);
    match who {
        Who::Tester => launch,
        Who::User(isolation) => launch.as_user(isolation),
    }
    .piped()
}

/// Takes a snapshot, lets `change` happen, and comes back. Returns the event `reverted`.
fn come_back(
    session: &mut PipedSession,
    ending: Ending,
    change: impl FnOnce(&mut PipedSession),
) -> Event {
    session.branch(ending, change);
    let reverted = session.events_named("reverted").pop();
    reverted.expect("it has come back")
}

fn tier(session: &mut PipedSession) -> String {
    session.wait_for_count("started", 1)[0]
        .text("tier")
        .to_owned()
}

/// What a program knows of itself and must not see changed.
fn identity(session: &mut PipedSession) -> Vec<String> {
    [
        "pid",
        "parent",
        "group",
        "session",
        "users",
        "groups",
        "directory",
        "link /proc/self",
        "link /proc/thread-self",
        "status Pid",
        "status PPid",
        "status Uid",
        "status Gid",
        "status CapEff",
    ]
    .map(|question| format!("{question}: {}", session.ask(question)))
    .to_vec()
}

/// The threads, as the program numbers them.
fn threads(session: &mut PipedSession) -> Vec<Option<i32>> {
    let live = session.live_pid();
    let mut threads: Vec<Option<i32>> = process::thread_ids(live)
        .into_iter()
        .map(process::inside)
        .collect();
    threads.sort_unstable();
    threads
}

#[test]
fn the_revived_program_is_who_it_was() {
    for who in [Who::Tester, USER] {
        let mut session = commander(who, "auto");
        assert_eq!(tier(&mut session), "full", "{who:?}");
        session.wait_until_stderr("[snapshot] in namespaces of its own: ");
        session.ask("thread");
        let before = (identity(&mut session), threads(&mut session));
        assert_eq!(before.1.len(), 2, "{who:?}");
        for ending in ENDINGS {
            let reverted = come_back(&mut session, ending, |session| {
                // Threads of the branch that are not to come back.
                session.ask("thread");
            });
            assert!(reverted.flag("same_ids"), "{who:?} {reverted}");
            assert_eq!(
                (identity(&mut session), threads(&mut session)),
                before,
                "{who:?} {ending:?}"
            );
        }
    }
}

#[test]
fn an_ordinary_user_stays_one() {
    let mut session = commander(USER, "auto");
    let mut bare = commander(USER, "never");
    for question in ["users", "status NoNewPrivs", "status Seccomp"] {
        assert_eq!(session.ask(question), bare.ask(question), "{question}");
    }
    // The right to choose ids, and no other, in no set.
    let one = format!("{:016x}", 1_u64 << 40);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(session.ask(&format!("status {set}")), one, "{set}");
    }
    // Groups beside the own one have no name in a user namespace, but are there.
    let count = |answer: String| answer.matches("Gid(").count();
    assert_eq!(count(session.ask("groups")), count(bare.ask("groups")));
    // What others own is nobody's, and what is its own is its own.
    if nix::unistd::geteuid().is_root() {
        assert_eq!(bare.ask("owner /"), "0");
        assert_eq!(session.ask("owner /"), "65534");
    }
    let own = bare.ask("owner .");
    assert_eq!(session.ask("owner ."), own);
    // So is what it starts.
    let child: i32 = session.ask("spawn sleep 1000").parse().expect("a pid");
    let child = session.outside(child);
    let live = session.live_pid();
    assert_eq!(process::status(child, "Uid"), process::status(live, "Uid"));
}

#[test]
fn root_keeps_its_rights() {
    if !outside::as_root() {
        return;
    }
    let mut session = commander(Who::Tester, "auto");
    let mut bare = commander(Who::Tester, "never");
    for question in [
        "users",
        "groups",
        "status CapEff",
        "status CapBnd",
        "status CapAmb",
        "owner /",
    ] {
        assert_eq!(session.ask(question), bare.ask(question), "{question}");
    }
}

#[test]
fn without_user_namespaces_one_line_says_so() {
    let mut session = commander(USER_WITHOUT, "auto");
    assert_eq!(tier(&mut session), "ids-differ");
    session.wait_until_stderr("[snapshot] no namespaces (user namespaces can't be made: ");
    session.ask("thread");
    for ending in ENDINGS {
        let pid = session.ask("pid");
        let reverted = come_back(&mut session, ending, |_| {});
        assert!(!reverted.flag("same_ids"), "{reverted}");
        assert_ne!(session.ask("pid"), pid);
    }
    assert_eq!(session.stderr().matches("no namespaces").count(), 1);
}

/// As in most containers.
#[test]
fn with_a_part_of_proc_hidden_one_line_says_so() {
    if !outside::as_root() {
        return;
    }
    let who = Who::User(Isolation::MaskedProc);
    let mut session = commander(who, "auto");
    assert_eq!(tier(&mut session), "ids-differ");
    session.wait_until_stderr("[snapshot] no namespaces (/proc can't be mounted: ");
    let reverted = come_back(&mut session, Ending::Kill, |_| {});
    assert!(!reverted.flag("same_ids"), "{reverted}");
    assert_eq!(commander(who, "always").wait_gone().code(), Some(96));
}

#[test]
fn always_fails_where_they_cannot_be_had() {
    let mut session = commander(USER_WITHOUT, "always");
    let status = session.wait_gone();
    assert_eq!(status.code(), Some(96));
    let stderr = session.stderr();
    for part in [
        "error: cannot isolate the session (--isolate always)",
        "\n  cause: user namespaces can't be made: ",
        "\n  help:  raise /proc/sys/user/max_user_namespaces",
    ] {
        assert!(stderr.contains(part), "{part:?} in {stderr}");
    }
    assert_eq!(session.stdout(), "", "the program never ran");
}

#[test]
fn always_and_never_do_as_they_say() {
    for who in [Who::Tester, USER] {
        for (isolate, expected) in [("always", "full"), ("never", "ids-differ")] {
            let mut session = commander(who, isolate);
            assert_eq!(tier(&mut session), expected, "{who:?}");
            let reverted = come_back(&mut session, Ending::Kill, |_| {});
            assert_eq!(reverted.flag("same_ids"), expected == "full", "{who:?}");
        }
    }
}

/// Signals from outside mean the same as without a namespace, whoever gets them there.
#[test]
fn signals_from_outside_are_understood() {
    let mut seed = Seed::new();
    for who in [Who::Tester, USER, USER_WITHOUT] {
        let mut session = commander(who, "auto");
        for round in 1..=6 {
            let frozen = (round > 1).then(|| session.frozen_pid(1));
            let targets = [
                session.launcher_pid(),
                session.supervisor_pid(),
                session.live_pid(),
            ];
            let target = *seed.pick(&targets);
            process::send(frozen.unwrap_or(target), Signal::SIGUSR1);
            assert_eq!(session.next("taken").number("depth"), round, "{who:?}");
        }
        for depth in (0..6).rev() {
            let targets = [session.launcher_pid(), session.live_pid()];
            deadline::pace(std::time::Duration::from_millis(120));
            process::send(*seed.pick(&targets), Signal::SIGINT);
            let reverted: Event = session.next("reverted");
            assert_eq!(reverted.number("depth"), depth, "{who:?}");
        }
        // At depth 0 it is the program's own, exactly once.
        session.ask("handle INT sigaction");
        deadline::pace(std::time::Duration::from_millis(120));
        process::send(session.live_pid(), Signal::SIGINT);
        session.next_line("its own", |line| line.starts_with("own signal 02 "));
        deadline::pace(std::time::Duration::from_millis(120));
        process::send(session.launcher_pid(), Signal::SIGINT);
        session.next_line("its own", |line| line.starts_with("own signal 02 "));
        assert_eq!(session.ask("seen INT"), "2", "{who:?}");
    }
}

#[test]
fn who_leads_a_group_or_a_session_leads_it_again() {
    for who in [Who::Tester, USER] {
        for what in ["group", "session"] {
            let mut session = commander(who, "auto");
            session.ask(&format!("lead {what}"));
            let before = identity(&mut session);
            assert_eq!(session.ask(what), session.ask("pid"));
            for ending in ENDINGS {
                let reverted = come_back(&mut session, ending, |_| {});
                assert!(reverted.flag("same_ids"), "{who:?} {what} {reverted}");
                assert_eq!(identity(&mut session), before, "{who:?} {what}");
            }
        }
    }
}

#[test]
fn who_gives_the_right_up_gets_new_ids_and_hears_of_it() {
    for who in [Who::Tester, USER] {
        let mut session = commander(who, "auto");
        session.ask("thread");
        session.take();
        session.ask("drop-rights");
        // What the branch has given up the snapshot still has.
        let reverted = session.revert();
        assert!(reverted.flag("same_ids"), "{who:?} {reverted}");

        session.ask("drop-rights");
        let pid = session.ask("pid");
        for ending in ENDINGS {
            let reverted = come_back(&mut session, ending, |_| {});
            assert!(!reverted.flag("same_ids"), "{who:?} {reverted}");
            assert_ne!(session.ask("pid"), pid);
        }
        session.wait_until_stderr("the program has new ids: the program has given up the right");
        session.ask("join");
    }
}

#[test]
fn a_number_that_is_taken_is_replaced_and_named() {
    for who in [Who::Tester, USER] {
        let mut session = commander(who, "auto");
        session.ask("lead group");
        // It stays in the program's group, whose number is the program's own.
        let child: i32 = session.ask("spawn sleep 1000").parse().expect("a pid");
        let pid = session.ask("pid");
        let reverted = come_back(&mut session, Ending::Command, |_| {});
        assert!(!reverted.flag("same_ids"), "{who:?}");
        assert_ne!(session.ask("pid"), pid);
        session.wait_until_stderr("the program has new ids: its number is still that of");
        // Where the child is gone, the older snapshot's number can be had again.
        session.take();
        process::send(session.outside(child), Signal::SIGKILL);
    }
}

#[test]
fn set_user_ids_reach_every_thread_of_the_revived_program() {
    let mut session = commander(Who::Tester, "auto");
    session.ask("thread");
    for ending in ENDINGS {
        come_back(&mut session, ending, |session| {
            session.ask("setuid");
        });
        session.ask("setuid");
    }
    session.ask("join");
}

#[test]
fn a_debugger_from_outside_sees_it() {
    let Some(gdb) = outside::find("gdb") else {
        return;
    };
    for who in [Who::Tester, USER] {
        let place = Place::new();
        let mut session = match who {
            Who::User(isolation) => Launch::commander().as_user(isolation),
            Who::Tester => Launch::commander(),
        }
        .place(&place)
        .piped();
        come_back(&mut session, Ending::Kill, |_| {});
        let live = session.live_pid().to_string();
        let output = deadline::run(
            Command::new(&gdb)
                .args(["--batch", "-nx", "-p", &live])
                .args(["-ex", "set sysroot /", "-ex", "bt"]),
        );
        assert!(output.stdout.contains("commander"), "{who:?} {output:?}");
        assert!(output.stdout.contains("main"), "{who:?} {output:?}");
        assert_eq!(session.ask("ping"), "pong");
    }
}

#[test]
fn the_second_terminal_of_the_same_user_works() {
    let mut session = commander(USER, "auto");
    session.take();
    let place = std::sync::Arc::clone(session.place());
    assert!(session.command("list", &[]).success());
    // And for what the program itself starts, inside.
    let copy = place.path("programs").join("cargo-snapshot");
    let child = session.ask(&format!("spawn {} snapshot take", copy.display()));
    assert_eq!(session.next("taken").number("depth"), 2);
    session.ask(&format!("wait {child}"));
}

/// The doctor's own words, by whoever launches.
fn doctor(who: Who, arguments: &[&str], status: i32) -> Event {
    let place = Place::new();
    let output = match who {
        Who::Tester => place.cargo_snapshot(&[&["doctor", "--json"], arguments].concat()),
        Who::User(isolation) => {
            place.cargo_snapshot_as_user(&[&["doctor", "--json"], arguments].concat(), isolation)
        }
    };
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    Event::parse(output.stdout.trim())
}

#[test]
fn the_doctor_says_what_a_session_would() {
    for who in [Who::Tester, USER, USER_WITHOUT] {
        let told = doctor(who, &[], 0);
        assert_eq!(told.text("tier"), tier(&mut commander(who, "auto")));
        assert_eq!(told.is_null("why"), who != USER_WITHOUT, "{told}");
        let warns = told.to_string().contains("sudo");
        assert_eq!(warns, who == USER || !outside::as_root(), "{told}");
    }
    let told = doctor(Who::Tester, &["no-such-program-anywhere"], 1);
    assert!(told.0["program"]["path"].is_null(), "{told}");
    assert!(told.0["program"]["cause"].is_string(), "{told}");
}
