//! Deep timelines: what a thousand snapshots ask of the session itself. The guest is as small as
//! possible: its memory is not under test.

use snapshot_tests::{Event, Launch, PipedSession, binaries, process};

/// A commander in a session that may have so many descriptors, at first and at the most.
fn limited(soft: u32, hard: u32) -> PipedSession {
    let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$@\"");
    Launch::bare("bash")
        .args(["-c", &script, "bash"])
        .arg(&binaries::tools().snapshot_launch)
        .arg("--")
        .arg(binaries::guest("commander"))
        .piped()
}

#[test]
fn a_thousand_snapshots_under_a_low_limit_on_descriptors() {
    let mut session = limited(256, 4096);
    session.ask("set at 0");
    // By the place: to ask for the session's pid would read all events each time.
    let place = session.place().clone();
    for depth in 1..=1000 {
        let taken = place.cargo_snapshot(&["take"]);
        assert!(taken.success(), "at depth {depth}: {taken:?}");
        session.ask(&format!("set at {depth}"));
    }
    let list = session.list();
    assert_eq!(list.number("depth"), 1000);
    assert_eq!(list.list("snapshots").len(), 1000);
    for (id, at) in [("1000", "999"), ("500", "499"), ("1", "0")] {
        let reverted = session.command("revert", &[id, "--keep"]);
        assert!(reverted.success(), "to #{id}: {reverted:?}");
        assert_eq!(session.ask("get at"), at);
        assert_eq!(session.list().number("depth").to_string(), id);
    }
}

#[test]
fn the_program_keeps_its_own_limit_on_descriptors() {
    for (soft, hard) in [(200, 400), (300, 4096)] {
        let mut session = limited(soft, hard);
        let live = session.live_pid();
        session.take();
        session.revert();
        for pid in [live, session.live_pid()] {
            let Ok(limits) = std::fs::read_to_string(format!("/proc/{pid}/limits")) else {
                // The first one has ended with its branch.
                continue;
            };
            let limit = limits
                .lines()
                .find_map(|line| line.strip_prefix("Max open files"))
                .expect("the kernel names it so");
            let numbers: Vec<&str> = limit.split_whitespace().take(2).collect();
            assert_eq!(numbers, [soft.to_string(), hard.to_string()]);
        }
    }
}

#[test]
fn where_no_descriptor_is_left_a_take_is_refused_and_a_revert_is_whole() {
    let mut session = limited(64, 64);
    let spawn = |session: &mut PipedSession| -> i32 {
        let pid = session.ask("spawn sleep 1000");
        session.outside(pid.parse().expect("the child's pid"))
    };
    let older = spawn(&mut session);
    let mut depth = 0;
    let refused = loop {
        let output = session.command("take", &["--json"]);
        if !output.success() {
            break output;
        }
        depth += 1;
        // To see this, files are opened.
        let taken = Event::parse(output.stdout.trim());
        let lost = taken.list("not_rolled_back");
        let has_child = lost.iter().any(|item| item.text("kind") == "child");
        assert!(has_child, "at depth {depth}: {taken}");
        assert!(depth < 64, "a snapshot needs a descriptor");
    };
    assert!(depth > 12, "only {depth} snapshots");
    assert!(refused.stderr.contains("no descriptor left"), "{refused:?}");
    let leftover = spawn(&mut session);
    let output = session.command("revert", &["--keep", "--json"]);
    let reverted = Event::parse(output.stdout.trim());
    assert_eq!(reverted.0["kept"], true, "{reverted}");
    session.wait_until("what the branch has started ends with it", || {
        !process::is_alive(leftover)
    });
    assert!(process::is_alive(older), "it was there at the snapshot");
    assert_eq!(session.ask("ping"), "pong");
    session.revert();
    assert!(
        session.command("take", &[]).success(),
        "there is room again"
    );
}

#[test]
fn a_list_of_any_size_is_answered() {
    let mut session = Launch::commander().piped();
    session.next("started");
    // More than two megabytes: more than any socket takes at once.
    let label = "x".repeat(60_000);
    let place = session.place().clone();
    for _ in 0..40 {
        let taken = place.cargo_snapshot(&["take", "-m", &label]);
        assert!(taken.success(), "{}", taken.stderr);
    }
    let list = session.list();
    let snapshots = list.list("snapshots");
    assert_eq!(snapshots.len(), 40);
    assert!(
        snapshots
            .iter()
            .all(|snapshot| snapshot.text("label") == label)
    );
}
