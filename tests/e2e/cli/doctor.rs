//! `cargo snapshot doctor --pid`: what would come back of a process, and what would not.

use std::collections::{BTreeSet, HashMap};
use std::process::{Command, Stdio};

use snapshot_tests::{
    Event, Isolation, Launch, PipedSession, Place, Signal, binaries, deadline, outside, process,
};

/// What the doctor says of a process, as JSON.
fn look(place: &Place, pid: i32) -> Event {
    let output = place.cargo_snapshot(&["doctor", "--json", "--pid", &pid.to_string()]);
    assert!(output.success(), "{output:?}");
    let told = Event::parse(output.stdout.trim());
    let found = Event(told.0["process"].clone());
    assert_eq!(
        found.fields(),
        [
            "children",
            "executable",
            "name",
            "not_rolled_back",
            "pid",
            "refused",
            "rolled_back",
            "rss_bytes",
            "session",
            "threads",
            "trigger",
            "unseen_processes",
            "user"
        ]
    );
    found
}

/// The items of a list, each with these fields.
fn items(found: &Event, list: &str, fields: &[&str]) -> Vec<Event> {
    let items = found.list(list);
    for item in &items {
        assert_eq!(item.fields(), fields, "{item}");
    }
    items
}

const LOST: [&str; 4] = ["fd", "kind", "what", "why"];
const RETURNS: [&str; 3] = ["fd", "kind", "what"];
const REFUSED: [&str; 5] = ["fd", "help", "kind", "what", "why"];

/// Asks the guest to do something, and has the numbers that it tells, by name.
fn numbers(session: &mut PipedSession, command: &str) -> HashMap<String, i64> {
    session
        .ask(command)
        .split_whitespace()
        .map(|pair| {
            let (name, number) = pair.split_once('=').expect("a name and a number");
            (name.to_owned(), number.parse().expect("a number"))
        })
        .collect()
}

/// The items with a descriptor that the guest has told, as `name kind`.
fn named(items: &[Event], numbers: &HashMap<String, i64>) -> Vec<String> {
    let mut names: Vec<String> = items
        .iter()
        .filter_map(|item| {
            let fd = item.0["fd"].as_i64()?;
            let (name, _) = numbers.iter().find(|(_, number)| **number == fd)?;
            Some(format!("{name} {}", item.text("kind")))
        })
        .collect();
    names.sort_unstable();
    names
}

/// What is true of the guest that holds one of each, wherever it runs.
fn assert_all_are_judged(found: &Event, numbers: &HashMap<String, i64>) {
    assert_eq!(
        named(&items(found, "rolled_back", &RETURNS), numbers),
        [
            "datagram socket",
            "device device",
            "directory directory",
            "end socket",
            "epoll epoll",
            "eventfd eventfd",
            "inotify inotify",
            "memfd memfd",
            "other socket",
            "read file",
            "reader pipe",
            "signalfd signalfd",
            "timerfd timerfd",
            "writer pipe",
            "written file",
            "written lock",
        ]
    );
    let lost = items(found, "not_rolled_back", &LOST);
    assert_eq!(
        named(&lost, numbers),
        ["client socket", "listener socket", "pidfd pidfd"]
    );
    let listener = lost
        .iter()
        .find(|item| item.0["fd"] == numbers["listener"])
        .expect("it is lost");
    let what = listener.text("what");
    assert!(what.ends_with(", listening, 1 connection waits"), "{what}");
    assert!(items(found, "refused", &REFUSED).is_empty(), "{found}");
    let client = lost
        .iter()
        .find(|item| item.0["fd"] == numbers["client"])
        .expect("it is lost");
    let what = client.text("what");
    assert!(what.contains("connected to 127.0.0.1:"), "{what}");
    // Memory has no descriptor.
    let memory: Vec<String> = items(found, "rolled_back", &RETURNS)
        .into_iter()
        .filter(|item| item.text("kind") == "shared-memory" && item.is_null("fd"))
        .map(|item| item.text("what").to_owned())
        .collect();
    for name in [" anonymous, ", "/written, ", " /SYSV00000000 "] {
        assert!(memory.iter().any(|what| what.contains(name)), "{memory:?}");
    }
    assert_eq!(memory.len(), 3, "{memory:?}");
}

#[test]
fn every_kind_that_a_process_has() {
    let mut session = Launch::bare_guest_in_c("descriptors").piped();
    let numbers = numbers(&mut session, "hold");
    let place = Place::new();
    let found = look(&place, session.pid());
    assert_all_are_judged(&found, &numbers);
    assert_eq!(found.pid("pid"), session.pid());
    assert_eq!(found.text("name"), "guest");
    assert_eq!(found.number("threads"), 1);
    assert_eq!(found.number("children"), 0);
    assert!(found.number("rss_bytes") > 100_000, "{found}");
    assert!(found.is_null("session"), "{found}");
    assert!(found.0["executable"]["path"].is_string(), "{found}");
    assert!(found.0["executable"]["cause"].is_null(), "{found}");
    session.ask("ping");
}

#[test]
fn what_others_have_too_is_named_with_them() {
    let mut session = Launch::bare_guest_in_c("descriptors").piped();
    let alone = numbers(&mut session, "hold");
    let shared = numbers(&mut session, "share");
    let child = shared["child"];
    let found = look(&Place::new(), session.pid());
    assert_eq!(found.number("children"), 1);
    let lost = items(&found, "not_rolled_back", &LOST);
    assert_eq!(named(&lost, &shared), ["given pipe", "shared eventfd"]);
    for (name, words) in [("given", "the other end in"), ("shared", "also in")] {
        let item = lost
            .iter()
            .find(|item| item.0["fd"] == shared[name])
            .expect("it is lost");
        let expected = format!("{words} {child} (`guest`)");
        assert!(item.text("what").contains(&expected), "{item}");
    }
    assert!(lost.iter().any(|item| item.text("kind") == "child"));
    // The child has a copy of the mapping: it is one memory.
    assert!(lost.iter().any(|item| item.text("kind") == "shared-memory"));
    // What it has closed is the program's alone again.
    let returns = named(&items(&found, "rolled_back", &RETURNS), &alone);
    for name in ["eventfd eventfd", "reader pipe", "end socket"] {
        assert!(returns.iter().any(|one| one == name), "{name}: {returns:?}");
    }
}

#[test]
fn a_program_in_a_session_and_its_snapshots_are_one() {
    for user in [None, Some(Isolation::Allowed)] {
        let launch = Launch::guest_in_c("descriptors");
        let launch = match user {
            None => launch,
            Some(isolation) => launch.as_user(isolation),
        };
        let mut session = launch.flag("--name=held").piped();
        let numbers = numbers(&mut session, "hold");
        let place = std::sync::Arc::clone(session.place());
        let (live, launcher) = (session.live_pid(), session.pid());
        assert_all_are_judged(&look(&place, live), &numbers);
        session.take();
        let found = look(&place, live);
        assert_all_are_judged(&found, &numbers);
        let role = |found: &Event| {
            let session = Event(found.0["session"].clone());
            assert_eq!(session.fields(), ["launcher_pid", "name", "role"]);
            assert_eq!(session.text("name"), "held");
            assert_eq!(session.pid("launcher_pid"), launcher);
            session.text("role").to_owned()
        };
        assert_eq!(role(&found), "program");
        assert_eq!(role(&look(&place, launcher)), "launcher");
        let frozen = session.frozen_pid(1);
        assert_eq!(role(&look(&place, frozen)), "snapshot");
        session.ask("ping");
    }
}

/// Kind, descriptor and reason of each that will not be as it was.
fn reasons(items: &[Event]) -> BTreeSet<(String, Option<i64>, String)> {
    let all = items.iter().map(|item| {
        let number = item.text("what").strip_prefix("fd ");
        let number = number.and_then(|rest| rest.split(':').next()?.parse().ok());
        let [kind, why] = ["kind", "why"].map(|field| item.text(field).to_owned());
        (kind, number, why)
    });
    all.collect()
}

#[test]
fn the_doctor_says_what_a_take_says() {
    let mut session = Launch::guest_in_c("descriptors").piped();
    let place = std::sync::Arc::clone(session.place());
    for commands in [&["hold", "odd"][..], &["share"]] {
        for command in commands {
            numbers(&mut session, command);
        }
        let found = look(&place, session.live_pid());
        assert!(items(&found, "refused", &REFUSED).is_empty(), "{found}");
        let by_doctor = reasons(&items(&found, "not_rolled_back", &LOST));
        let by_take = reasons(&session.take().list("not_rolled_back"));
        let is_seen = |why: &str| {
            let inside = [
                "the snapshot holds its address",
                "events that wait in it are lost",
            ];
            !inside.iter().any(|start| why.starts_with(start))
        };
        let unsaid: Vec<_> = by_take
            .iter()
            .filter(|(_, _, why)| is_seen(why))
            .filter(|item| !by_doctor.contains(item))
            .collect();
        assert!(unsaid.is_empty(), "the doctor lacks {unsaid:?}");
        // A take names a pipe or a pair once, the doctor each of its descriptors.
        let without_number =
            |(kind, _, why): &(String, Option<i64>, String)| (kind.clone(), why.clone());
        let kinds: BTreeSet<_> = by_take.iter().map(without_number).collect();
        let too_much: Vec<_> = by_doctor
            .iter()
            .filter(|item| !kinds.contains(&without_number(item)))
            .collect();
        assert!(too_much.is_empty(), "the take lacks {too_much:?}");
        assert!(by_take.len() > 12, "{by_take:?}");
    }
}

#[test]
fn what_would_refuse_a_take() {
    let mut session = Launch::bare_guest_in_c("rings").piped();
    let place = Place::new();
    for (command, kind, ways) in [
        (
            "uring",
            "io-uring",
            &["--deny io-uring", "--allow io-uring"][..],
        ),
        ("aio", "aio", &["--allow aio"]),
        ("faults", "userfaultfd", &["--allow userfaultfd"]),
    ] {
        if !outside::has_ring(&mut session, command) {
            continue;
        }
        let found = look(&place, session.pid());
        let refused = items(&found, "refused", &REFUSED);
        assert_eq!(refused.len(), 1, "{found}");
        assert_eq!(refused[0].text("kind"), kind);
        for way in ways {
            assert!(refused[0].text("help").contains(way), "{found}");
        }
        session.ask("end");
    }
    assert!(items(&look(&place, session.pid()), "refused", &REFUSED).is_empty());
    // And the whole of it.
    process::send(session.pid(), Signal::SIGSTOP);
    let stopped = deadline::wait(|| {
        let found = look(&place, session.pid());
        let refused = items(&found, "refused", &REFUSED);
        (refused.len() == 1 && refused[0].text("kind") == "stopped").then_some(())
    });
    process::send(session.pid(), Signal::SIGCONT);
    stopped.expect("a stopped process refuses");
}

#[test]
fn a_person_reads_it() {
    let mut session = Launch::bare_guest_in_c("descriptors").piped();
    let numbers = numbers(&mut session, "hold");
    let pid = session.pid();
    let output = Place::new().cargo_snapshot(&["doctor", "--pid", &pid.to_string()]);
    assert!(output.success(), "{output:?}");
    let text = output.stdout;
    for part in [
        "tier: ".to_owned(),
        format!("process {pid} (guest): 1 thread, "),
        "in no session".to_owned(),
        "a take would not be refused\n".to_owned(),
        "not rolled back\n  pipe: fd 0: pipe:[".to_owned(),
        "rolled back\n".to_owned(),
        format!("  epoll: fd {}\n", numbers["epoll"]),
        format!("  pipe: fd {}, {}\n", numbers["reader"], numbers["writer"]),
    ] {
        assert!(text.contains(&part), "{part:?} in {text}");
    }
}

#[test]
fn a_static_program_could_not_be_launched() {
    let place = Place::new();
    let source = "#include <unistd.h>\nint main(void) { pause(); }\n";
    let program = binaries::compile_c(source, &["-static"], &place.work());
    let session = Launch::bare(&program).place(&place).piped();
    let look = || look(&place, session.pid());
    // Until the exec it is another.
    let found = deadline::wait(|| Some(look()).filter(|found| found.text("name") == "guest"));
    let found = found.expect("it runs");
    let cause = found.0["executable"]["cause"].as_str();
    assert!(
        cause.is_some_and(|cause| cause.contains("static")),
        "{found}"
    );
    assert!(found.0["executable"]["path"].is_null(), "{found}");
}

#[test]
fn a_program_is_judged_as_a_launch_would() {
    let place = Place::new();
    let ask = |arguments: &[&str]| place.cargo_snapshot(&[&["doctor"], arguments].concat());
    let program = |name: &str, status: i32| {
        let output = ask(&["--json", name]);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        let told = Event::parse(output.stdout.trim());
        assert!(told.is_null("process"), "{told}");
        let program = Event(told.0["program"].clone());
        assert_eq!(program.fields(), ["cause", "help", "path"]);
        program
    };
    let found = program("sh", 0);
    assert!(found.text("path").ends_with("/sh"), "{found}");
    assert!(found.is_null("cause") && found.is_null("help"), "{found}");
    let output = ask(&["sh"]);
    assert!(output.success(), "{output:?}");
    assert!(output.stdout.contains("/sh: can be launched\n"));

    let source = "int main(void) { return 0; }\n";
    let fixed = binaries::compile_c(source, &["-static"], &place.work());
    let raised = place.work().join("raised");
    std::fs::copy(binaries::guest("commander"), &raised).expect("the place is ours");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o4755);
    std::fs::set_permissions(&raised, mode).expect("the place is ours");
    let script = place.work().join("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").expect("the place is ours");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, mode).expect("the place is ours");
    for (path, cause) in [
        (fixed, "static"),
        (raised, "set-uid"),
        (script, "interpreter"),
    ] {
        let path = path.to_str().expect("the test's paths are text");
        let found = program(path, 1);
        assert!(found.is_null("path"), "{found}");
        assert!(found.text("cause").contains(cause), "{found}");
        assert!(!found.text("help").is_empty(), "{found}");
        let output = ask(&[path]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stdout.starts_with("tier: "), "{output:?}");
        let head = format!("error: cannot launch `{path}`\n  cause: ");
        for part in [head.as_str(), cause, "\n  help:  "] {
            assert!(output.stderr.contains(part), "{part:?} in {output:?}");
        }
    }
}

/// Refused: with status 1, what, cause and help, and nothing on stdout.
fn assert_refused(output: &deadline::Output, parts: &[&str]) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(output.stdout, "", "{output:?}");
    let all = [
        "error: cannot look at process ",
        "\n  cause: ",
        "\n  help:  ",
    ];
    for part in all.iter().chain(parts) {
        assert!(output.stderr.contains(part), "{part:?} in {output:?}");
    }
}

#[test]
fn a_pid_of_nobody() {
    let place = Place::new();
    // The largest that there may be is less.
    let output = place.cargo_snapshot(&["doctor", "--pid", "2147483647"]);
    assert_refused(&output, &["2147483647", "no process of that number"]);

    let mut child = Command::new("true")
        .stdin(Stdio::null())
        .spawn()
        .expect("every system has true");
    let pid = i32::try_from(child.id()).expect("a process id fits");
    // Until it is waited for, it is a zombie.
    deadline::wait(|| (!process::is_alive(pid)).then_some(())).expect("it ends");
    let output = place.cargo_snapshot(&["doctor", "--json", "--pid", &pid.to_string()]);
    child.wait().expect("it has ended");
    assert_refused(&output, &["it has ended"]);
}

#[test]
fn a_process_of_another_user() {
    if !outside::as_root() {
        return;
    }
    let session = Launch::bare("cat").piped();
    let place = Place::new();
    let pid = session.pid().to_string();
    let arguments = ["doctor", "--pid", &pid];
    let output = place.cargo_snapshot_as_user(&arguments, Isolation::Allowed);
    assert_refused(&output, &["it belongs to `root`", "as root"]);
}

#[test]
fn a_program_and_a_process_exclude_each_other() {
    let output = Place::new().cargo_snapshot(&["doctor", "--pid", "1", "sh"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stderr.contains("--pid"), "{output:?}");
}

#[test]
fn the_trigger_that_a_program_uses_itself() {
    let place = Place::new();
    let told = |found: &Event| found.0["trigger"].as_str().unwrap_or("-").to_owned();
    let mut bare = Launch::bare(binaries::guest("commander"))
        .place(&place)
        .piped();
    bare.ask("ping");
    let pid = bare.pid();
    assert_eq!(told(&look(&place, pid)), "-");
    bare.ask("handle USR1 sigaction");
    assert!(told(&look(&place, pid)).starts_with("the program handles SIGUSR1 itself: "));
    bare.ask("block USR1");
    assert!(told(&look(&place, pid)).starts_with("the program blocks SIGUSR1 itself: "));
    let text = place
        .cargo_snapshot(&["doctor", "--pid", &pid.to_string()])
        .stdout;
    assert!(text.contains("--signal NAME"), "{text}");
    // Of the program of a session the agent tells.
    let mut session = Launch::commander().place(&place).piped();
    session.ask("ping");
    assert_eq!(told(&look(&place, session.live_pid())), "-");
}
