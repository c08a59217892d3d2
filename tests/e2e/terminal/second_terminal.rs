//! The second terminal: `cargo snapshot sessions|take|list|revert|commit|drop`, and who
//! may use it.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use snapshot_tests::deadline::Output;
use snapshot_tests::{Event, Launch, PipedSession, Place, binaries, deadline, outside, process};

fn json(output: &Output) -> Event {
    assert!(output.success(), "{output:?}");
    Event::parse(output.stdout.trim())
}

/// A refusal: status 1, with what, cause and help on stderr, and nothing on stdout.
fn assert_refused(output: &Output) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(output.stdout, "");
    for part in ["error: ", "\n  cause: ", "\n  help:  "] {
        assert!(output.stderr.contains(part), "{part:?} in {output:?}");
    }
}

fn started() -> PipedSession {
    let mut session = Launch::commander().piped();
    session.next("started");
    session
}

#[test]
fn sessions_are_listed() {
    let mut one = Launch::commander().flag("--name").flag("first").piped();
    let place = one.place().clone();
    let mut two = Launch::commander().place(&place).piped();
    one.take();
    let (live, launcher) = (one.live_pid(), one.launcher_pid());
    two.next("started");

    let output = place.cargo_snapshot(&["sessions", "--json"]);
    assert!(output.success(), "{output:?}");
    let all: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    let sessions: Vec<Event> = all
        .as_array()
        .expect("an array")
        .iter()
        .map(|session| Event(session.clone()))
        .collect();
    assert_eq!(sessions.len(), 2);
    let first = sessions
        .iter()
        .find(|session| session.text("session") == "first")
        .expect("it has this name");
    assert_eq!(first.pid("launcher_pid"), launcher);
    assert_eq!(first.pid("live_pid"), live);
    assert_eq!(first.number("depth"), 1);
    let second = sessions
        .iter()
        .find(|session| session.text("session") == "commander")
        .expect("it has its program's name");
    assert_eq!(second.number("depth"), 0);

    let plain = place.cargo_snapshot(&["sessions"]);
    assert!(plain.success(), "{plain:?}");
    assert!(plain.stdout.contains("first") && plain.stdout.contains(&launcher.to_string()));
}

#[test]
fn without_a_session_there_is_a_reason() {
    let place = Place::new();
    let output = place.cargo_snapshot(&["sessions", "--json"]);
    assert!(output.success(), "{output:?}");
    assert_eq!(output.stdout.trim(), "[]");
    for verb in [
        &["take"][..],
        &["list"],
        &["revert"],
        &["commit"],
        &["drop", "1"],
        &["take", "-s", "nobody"],
        &["take", "-s", "1"],
    ] {
        assert_refused(&place.cargo_snapshot(verb));
    }
}

#[test]
fn with_a_single_session_it_may_be_left_out() {
    let mut session = started();
    let place = session.place().clone();
    assert_eq!(
        json(&place.cargo_snapshot(&["take", "--json"])).name(),
        "taken"
    );
    assert_eq!(
        json(&place.cargo_snapshot(&["list", "--json"])).number("depth"),
        1
    );
    assert!(place.cargo_snapshot(&["revert"]).success());
    assert_eq!(session.ask("ping"), "pong");
}

#[test]
fn with_several_sessions_an_error_lists_them() {
    let mut one = Launch::commander().flag("--name").flag("first").piped();
    let place = one.place().clone();
    let mut two = Launch::commander()
        .flag("--name")
        .flag("second")
        .place(&place)
        .piped();
    one.next("started");
    two.next("started");
    for verb in ["take", "list", "revert", "commit"] {
        let output = place.cargo_snapshot(&[verb]);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
        for part in ["first", "second"] {
            assert!(output.stderr.contains(part), "{part} in {output:?}");
        }
    }
    // By name or by the launcher's pid, one is meant.
    assert!(place.cargo_snapshot(&["take", "-s", "second"]).success());
    two.next("taken");
    let launcher = one.launcher_pid().to_string();
    assert!(place.cargo_snapshot(&["take", "-s", &launcher]).success());
    one.next("taken");
    assert_eq!(one.list().number("depth"), 1);
    assert_eq!(two.list().number("depth"), 1);
}

#[test]
fn two_sessions_of_one_name_need_the_pid() {
    let mut one = started();
    let place = one.place().clone();
    let mut two = Launch::commander().place(&place).piped();
    two.next("started");
    let output = place.cargo_snapshot(&["take", "-s", "commander"]);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
    for launcher in [one.launcher_pid(), two.launcher_pid()] {
        assert!(output.stderr.contains(&launcher.to_string()), "{output:?}");
    }
}

#[test]
fn take_has_a_label() {
    let mut session = started();
    let taken = json(&session.command("take", &["-m", "before the merge", "--json"]));
    assert_eq!(taken, session.next("taken"));
    assert_eq!(taken.text("label"), "before the merge");
    assert_eq!(taken.text("trigger"), "command");
    assert_eq!(taken.number("id"), 1);
    let list = session.list();
    assert_eq!(list.0["snapshots"][0]["label"], "before the merge");
    assert_eq!(list.0["snapshots"][0]["trigger"], "command");
    let plain = session.command("list", &[]);
    assert!(plain.stdout.contains("before the merge"), "{plain:?}");
}

#[test]
fn a_label_may_be_any_text() {
    let mut session = started();
    for label in ["naïve 雪 🎿", "quote \" and \\ back", ""] {
        let taken = json(&session.command("take", &["-m", label, "--json"]));
        let told = session.next("taken");
        assert_eq!(taken, told);
        assert_eq!(taken.0["label"].as_str().unwrap_or(""), label);
    }
}

#[test]
fn the_list_is_the_timeline() {
    let mut session = started();
    let empty = session.list();
    assert_eq!(empty.number("depth"), 0);
    assert_eq!(empty.0["snapshots"], serde_json::json!([]));
    for _ in 0..3 {
        session.take();
    }
    let list = session.list();
    assert_eq!(list.text("session"), "commander");
    assert_eq!(list.number("depth"), 3);
    assert_eq!(list.pid("live_pid"), session.live_pid());
    let snapshots = list.0["snapshots"].as_array().expect("an array");
    let ids: Vec<i64> = snapshots.iter().filter_map(|s| s["id"].as_i64()).collect();
    assert_eq!(ids, [1, 2, 3]);
    for snapshot in snapshots {
        let snapshot = Event(snapshot.clone());
        assert!(snapshot.is_null("label"));
        assert_eq!(snapshot.text("trigger"), "signal");
        assert!(snapshot.number("taken_us_ago") >= 0);
        let frozen = process::Process::look(snapshot.pid("frozen_pid")).expect("it is there");
        let name = format!("#{} ", snapshot.number("id"));
        assert!(frozen.name.starts_with(&name), "{frozen:?}");
    }
    let plain = session.command("list", &[]);
    assert!(plain.success());
    for part in ["#1", "#2", "#3"] {
        assert!(plain.stdout.contains(part), "{part} in {plain:?}");
    }
}

#[test]
fn revert_goes_to_the_newest_or_to_a_number() {
    let mut session = started();
    for level in 1..=4 {
        session.ask(&format!("set level {level}"));
        session.take();
    }
    session.ask("set level undone");
    let reverted = json(&session.command("revert", &["--json"]));
    assert_eq!(reverted, session.next("reverted"));
    assert_eq!(reverted.number("id"), 4);
    assert_eq!(session.ask("get level"), "4");

    let gone = [session.frozen_pid(2), session.frozen_pid(3)];
    let reverted = json(&session.command("revert", &["2", "--json"]));
    assert_eq!(reverted.number("id"), 2);
    assert_eq!(reverted.number("depth"), 1);
    assert_eq!(session.ask("get level"), "2");
    // What was newer is gone; #2 itself is the live process now.
    assert!(!process::is_alive(gone[1]));
    assert_eq!(session.live_pid(), reverted.pid("live_pid"));
    assert_eq!(session.list().number("depth"), 1);
}

#[test]
fn keep_leaves_the_snapshot_for_another_try() {
    let mut session = started();
    session.ask("set key before");
    session.take();
    for _ in 0..5 {
        session.ask("set key after");
        let reverted = json(&session.command("revert", &["--keep", "--json"]));
        assert!(reverted.flag("kept"));
        assert_eq!(reverted.number("id"), 1);
        assert_eq!(reverted.number("depth"), 1);
        assert_eq!(session.ask("get key"), "before");
        assert_eq!(session.list().number("depth"), 1);
    }
    let reverted = json(&session.command("revert", &["--json"]));
    assert!(!reverted.flag("kept"));
    assert_eq!(reverted.number("depth"), 0);
    assert_eq!(session.ask("get key"), "before");
}

#[test]
fn keep_an_older_one() {
    let mut session = started();
    for level in 1..=3 {
        session.ask(&format!("set level {level}"));
        session.take();
    }
    let reverted = json(&session.command("revert", &["1", "--keep", "--json"]));
    assert_eq!(reverted.number("id"), 1);
    assert_eq!(reverted.number("depth"), 1);
    assert_eq!(session.ask("get level"), "1");
    session.send("abort");
    assert_eq!(
        session
            .next_event("a crash's revert", |event| {
                event.name() == "reverted" && !event.flag("kept")
            })
            .number("id"),
        1
    );
    assert_eq!(session.ask("get level"), "1");
}

#[test]
fn commit_makes_the_branch_the_truth() {
    let mut session = started();
    let pid = session.ask("pid");
    for _ in 0..3 {
        session.take();
    }
    session.ask("set key kept");
    let frozen: Vec<i32> = (1..=3).map(|id| session.frozen_pid(id)).collect();
    let committed = json(&session.command("commit", &["--json"]));
    assert_eq!(committed, session.next("committed"));
    assert_eq!(committed.0["dropped"], serde_json::json!([1, 2, 3]));
    assert_eq!(session.ask("get key"), "kept");
    assert_eq!(session.ask("pid"), pid, "the live process isn't touched");
    session.wait_until("the copies are gone", || {
        frozen.iter().all(|&pid| !process::is_alive(pid))
    });
    assert_eq!(session.list().number("depth"), 0);
    session.send("exit 9");
    assert_eq!(session.wait_gone().code(), Some(9));
}

#[test]
fn drop_forgets_one() {
    let mut session = started();
    for level in 1..=3 {
        session.ask(&format!("set level {level}"));
        session.take();
    }
    let frozen = session.frozen_pid(2);
    let dropped = json(&session.command("drop", &["2", "--json"]));
    assert_eq!(dropped, session.next("dropped"));
    assert_eq!(dropped.number("id"), 2);
    session.wait_until("the copy is gone", || !process::is_alive(frozen));
    assert_eq!(session.list().number("depth"), 2);
    assert_refused(&session.command("drop", &["2"]));
    assert_refused(&session.command("revert", &["2"]));
    // The newest goes as well, and the next older one serves.
    assert!(session.command("drop", &["3"]).success());
    session.send("abort");
    assert_eq!(session.next("reverted").number("id"), 1);
    assert_eq!(session.ask("get level"), "1");
}

#[test]
fn what_cannot_be_is_refused_and_the_program_goes_on() {
    let mut session = started();
    assert_refused(&session.command("revert", &[]));
    assert_refused(&session.command("revert", &["1"]));
    assert_refused(&session.command("drop", &["1"]));
    assert_refused(&session.command("commit", &[]));
    session.take();
    assert_refused(&session.command("revert", &["7"]));
    assert_refused(&session.command("drop", &["7"]));
    assert_eq!(session.ask("ping"), "pong");
    assert_eq!(session.list().number("depth"), 1);
}

#[test]
fn a_wrong_command_line_is_status_2() {
    let place = Place::new();
    for arguments in [
        &["take", "--unknown"][..],
        &["drop"],
        &["drop", "x"],
        &["revert", "x"],
        &["undo"],
        &[],
    ] {
        let output = place.cargo_snapshot(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {output:?}");
    }
}

#[test]
fn commands_at_the_same_time_all_get_their_answer() {
    let mut session = started();
    let launcher = session.launcher_pid().to_string();
    let place = session.place().clone();
    let taken: Vec<Event> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| place.cargo_snapshot(&["take", "-s", &launcher, "--json"])))
            .collect();
        threads
            .into_iter()
            .map(|thread| json(&thread.join().expect("it does not panic")))
            .collect()
    });
    let mut ids: Vec<i64> = taken.iter().map(|taken| taken.number("id")).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6]);
    assert_eq!(session.list().number("depth"), 6);
}

#[test]
fn the_socket_is_where_the_contract_says_and_only_for_its_owner() {
    let mut session = started();
    let launcher = session.launcher_pid();
    let directory = session.place().runtime().join("cargo-snapshot");
    let mode = |path| {
        std::fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
    };
    assert_eq!(mode(directory.clone()) & 0o777, 0o700);
    assert!(directory.join(format!("{launcher}.sock")).exists());
}

#[test]
fn without_a_runtime_directory_the_temp_directory_serves() {
    let mut session = Launch::commander().env_remove("XDG_RUNTIME_DIR").piped();
    let launcher = session.launcher_pid().to_string();
    let place = session.place().clone();
    let mut command = place.second_terminal(&["take", "-s", &launcher]);
    let output = deadline::run(command.env_remove("XDG_RUNTIME_DIR"));
    assert!(output.success(), "{output:?}");
    session.next("taken");
}

#[test]
fn another_user_is_refused() {
    if !outside::as_root() {
        return;
    }
    let mut session = started();
    let place = session.place().clone();
    let socket = place
        .runtime()
        .join(format!("cargo-snapshot/{}.sock", session.launcher_pid()));
    let knock = place.root().join("knock");
    std::fs::copy(binaries::guest("knock"), &knock).expect("the place is ours");
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .expect("the place is ours");
    };
    open(place.root(), 0o755);
    open(&place.runtime(), 0o755);
    let ask = |user: Option<u32>| {
        let mut command = Command::new(&knock);
        command
            .arg(&socket)
            .arg(r#"{"command":"list"}"#)
            .current_dir("/");
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        deadline::run(&mut command).stdout
    };
    // Its owner gets in: the test would see the difference.
    assert!(ask(None).contains("snapshots"), "{}", ask(None));
    // Another user doesn't even reach it,
    let nobody = Some(65534);
    assert!(ask(nobody).starts_with("no entry: "), "{}", ask(nobody));
    // and gets no answer if the doors are left open.
    open(&place.runtime().join("cargo-snapshot"), 0o755);
    open(&socket, 0o777);
    let answer = ask(nobody);
    assert!(answer.starts_with("connected"), "{answer}");
    assert!(!answer.contains("snapshots"), "{answer}");
    assert_eq!(session.ask("ping"), "pong");
    open(&place.runtime().join("cargo-snapshot"), 0o700);
}

#[test]
fn a_dead_sessions_socket_is_not_a_session() {
    let place = Place::new();
    let directory = place.runtime().join("cargo-snapshot");
    std::fs::create_dir(&directory).expect("the place is ours");
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700))
        .expect("the place is ours");
    let socket = directory.join("99999999.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("the name is free"));
    let output = place.cargo_snapshot(&["sessions", "--json"]);
    assert_eq!(output.stdout.trim(), "[]", "{output:?}");
    assert_refused(&place.cargo_snapshot(&["take"]));
    // Whether it was cleared away is the tool's affair.
    let _ = std::fs::remove_file(socket);
}
