//! The events file: every event, every field, its type, and their order.

use snapshot_tests::{Event, Launch, Signal, deadline};

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(Event::name).collect()
}

#[test]
fn started_names_the_session_and_its_processes() {
    let mut session = Launch::commander().flag("--name").flag("mine").piped();
    let started = session.next("started");
    assert_eq!(
        started.fields(),
        [
            "event",
            "files",
            "launcher_pid",
            "live_pid",
            "session",
            "tier"
        ]
    );
    assert_eq!(started.text("session"), "mine");
    assert_eq!(started.pid("launcher_pid"), session.pid());
    let pid = session.ask("pid").parse().expect("a process id");
    assert_eq!(started.pid("live_pid"), session.outside(pid));
    assert!(matches!(started.text("tier"), "full" | "ids-differ"));
    assert_eq!(started.text("files"), "all");
}

#[test]
fn taken_says_what_it_cost_and_what_will_not_come_back() {
    let mut session = Launch::commander().piped();
    session.ask("fill 30");
    let taken = session.take();
    assert_eq!(
        taken.fields(),
        [
            "depth",
            "event",
            "id",
            "label",
            "latency_us",
            "not_rolled_back",
            "rss_bytes",
            "threads",
            "trigger"
        ]
    );
    assert_eq!(taken.number("threads"), 1);
    let resident = taken.number("rss_bytes");
    assert!(resident > 30 << 20 && resident < 100 << 20, "{taken}");
    let latency = taken.number("latency_us");
    assert!(latency > 0 && latency < 5_000_000, "{taken}");
    for item in taken.list("not_rolled_back") {
        assert_eq!(item.fields(), ["kind", "what", "why"]);
        for field in item.fields() {
            assert!(!item.text(field).is_empty(), "{item}");
        }
    }
}

#[test]
fn an_open_file_for_writing_is_named_only_where_files_stay() {
    for (flags, expected) in [(&[][..], false), (&["--no-files"][..], true)] {
        let mut launch = Launch::program("sh");
        for flag in flags {
            launch = launch.flag(flag);
        }
        let mut session = launch
            .args(["-c", "exec 7>written; echo ready; read line"])
            .piped();
        session.next_line("ready", |line| line == "ready");
        let taken = session.take();
        let named = taken.list("not_rolled_back");
        let is_named = named
            .iter()
            .any(|item| item.text("what").contains("written"));
        assert_eq!(is_named, expected, "{taken}");
    }
}

#[test]
fn ended_and_reverted_tell_a_crash() {
    let mut session = Launch::commander().piped();
    session.take();
    session.send("segv");
    let ended = session.next("ended");
    assert_eq!(
        ended.fields(),
        ["code", "crash", "event", "how", "id_reverted_to", "signal"]
    );
    assert_eq!(ended.text("how"), "signal");
    assert_eq!(ended.number("signal"), 11);
    assert!(ended.is_null("code"));
    if let Some(crash) = ended.0["crash"].as_object() {
        let names: Vec<&str> = crash.keys().map(String::as_str).collect();
        assert_eq!(names, ["backtrace", "fault_address", "thread"]);
    } else {
        assert!(ended.is_null("crash"));
    }
    let reverted = session.next("reverted");
    assert_eq!(
        reverted.fields(),
        [
            "children_ended",
            "children_kept",
            "depth",
            "event",
            "id",
            "kept",
            "latency_us",
            "live_pid",
            "same_ids"
        ]
    );
    assert!(!reverted.flag("kept"));
    let pid: i32 = session.ask("pid").parse().expect("a process id");
    assert_eq!(reverted.pid("live_pid"), session.outside(pid));
    assert!(reverted.flag("same_ids"));
    let latency = reverted.number("latency_us");
    assert!(latency > 0 && latency < 5_000_000, "{reverted}");
}

#[test]
fn refused_has_a_reason_and_a_way_on() {
    let mut session = Launch::commander().piped();
    session.ask("hinder");
    session.signal_live(Signal::SIGUSR1);
    let refused = session.next("refused");
    assert_eq!(
        refused.fields(),
        ["event", "help", "kind", "trigger", "why"]
    );
    for field in ["help", "kind", "why"] {
        assert!(!refused.text(field).is_empty(), "{refused}");
    }
    assert_eq!(refused.text("trigger"), "signal");
}

#[test]
fn committed_dropped_and_finished() {
    let mut session = Launch::commander().piped();
    for _ in 0..3 {
        session.take();
    }
    assert!(session.command("drop", &["2"]).success());
    let dropped = session.next("dropped");
    assert_eq!(dropped.fields(), ["event", "id"]);
    assert_eq!(dropped.number("id"), 2);
    assert!(session.command("commit", &[]).success());
    let committed = session.next("committed");
    assert_eq!(committed.fields(), ["dropped", "event", "files"]);
    assert_eq!(committed.0["dropped"], serde_json::json!([1, 3]));
    assert_eq!(committed.number("files"), 0);
    session.send("exit 4");
    let finished = session.next("finished");
    assert_eq!(finished.fields(), ["code", "event", "signal"]);
    assert_eq!(finished.number("code"), 4);
    assert!(finished.is_null("signal"));
    session.wait_gone();
}

#[test]
fn they_come_in_order_and_finished_is_the_last() {
    let mut session = Launch::commander().piped();
    session.take();
    session.take();
    session.send("abort");
    session.next("reverted");
    session.ask("ping");
    session.send("exit 1");
    session.next("reverted");
    session.send("exit 0");
    assert!(session.wait_gone().success());
    let events = session.events();
    assert_eq!(
        names(&events),
        [
            "started", "taken", "taken", "ended", "reverted", "ended", "reverted", "finished"
        ]
    );
    let to: Vec<i64> = events
        .iter()
        .filter(|event| event.name() == "ended")
        .map(|event| event.number("id_reverted_to"))
        .collect();
    assert_eq!(to, [2, 1]);
}

#[test]
fn each_is_written_as_it_happens() {
    // Into a pipe: a buffered writer would keep them until the end.
    let place = snapshot_tests::Place::new();
    let fifo = place.work().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("the place is ours");
    let script = "cat < \"$1\" & exec \"$0\" --events \"$1\" -- sleep 1000";
    let mut session = Launch::bare("sh")
        .args(["-c", script])
        .arg(&snapshot_tests::binaries::tools().snapshot_launch)
        .arg(&fifo)
        .place(&place)
        .piped();
    let line = session.next_line("an event", |line| line.contains("started"));
    assert_eq!(Event::parse(&line).pid("launcher_pid"), session.pid());
    session.signal(Signal::SIGTERM);
    session.next_line("the last event", |line| line.contains("finished"));
    session.wait_gone();
}

#[test]
fn a_file_of_an_earlier_session_is_replaced_or_continued_but_readable() {
    let place = snapshot_tests::Place::new();
    let file = place.path("again.jsonl");
    for _ in 0..2 {
        let mut command =
            std::process::Command::new(&snapshot_tests::binaries::tools().snapshot_launch);
        command.arg("--events").arg(&file).args(["--", "true"]);
        place.furnish(&mut command);
        assert!(deadline::run(&mut command).success());
    }
    let text = std::fs::read_to_string(&file).expect("it was written");
    let events: Vec<Event> = text.lines().map(Event::parse).collect();
    assert_eq!(events.last().map(Event::name), Some("finished"));
    assert_eq!(events.first().map(Event::name), Some("started"));
}
