//! The seven defects of the earlier design, where a parent froze, its child ran, and signal
//! handlers in both decided. Each test would fail there.

use std::time::Duration;

use snapshot_tests::terminal::{CTRL_C, CTRL_Z};
use snapshot_tests::{Launch, Seed, Signal, deadline, process};

/// Longer than what the tool takes for one mash of keys.
const BETWEEN_PRESSES: Duration = Duration::from_millis(250);

/// Between the fork and the moment the frozen side guarded itself, an interrupt killed
/// the original. So interrupt at every moment from the request on.
#[test]
fn defect_1_an_interrupt_right_after_the_fork_kills_no_snapshot() {
    let mut seed = Seed::new();
    // The terminal's own signal, which reaches every process of the group.
    let mut session = Launch::commander().flag("--pty").flag("never").terminal();
    session.ask("handle INT sigaction");
    session.ask("set key value");
    session.take();
    for round in 1..=25 {
        let launcher = session.launcher_pid();
        process::send(launcher, Signal::SIGUSR1);
        seed.idle(Duration::from_millis(3));
        session.type_in(CTRL_C);
        session.wait_for_count("taken", round + 1);
        session.wait_for_count("reverted", round);
        deadline::pace(BETWEEN_PRESSES);
        assert_eq!(session.ask("get key"), "value", "round {round}");
        assert_eq!(session.ask("seen INT"), "0", "round {round}");
        let frozen: Vec<i64> = session.list().0["snapshots"]
            .as_array()
            .expect("an array")
            .iter()
            .filter_map(|snapshot| snapshot["frozen_pid"].as_i64())
            .collect();
        assert_eq!(frozen.len(), 1, "round {round}");
        for pid in frozen {
            let pid = i32::try_from(pid).expect("a process id fits");
            assert!(process::is_alive(pid), "round {round}");
        }
    }
    assert!(session.events_named("dropped").is_empty());
}

/// The terminal signals the whole group, and the frozen side forwarded as well: the
/// program had every SIGINT twice.
#[test]
fn defect_2_a_press_at_the_root_arrives_once() {
    for pty in ["never", "always"] {
        let mut session = Launch::commander().flag("--pty").flag(pty).terminal();
        session.ask("handle INT sigaction");
        // Also after there was a snapshot.
        session.take();
        assert!(session.command("commit", &[]).success());
        for count in 1..=5 {
            session.type_in(CTRL_C);
            let line = format!("own signal 02 00{count}");
            session.next_line(&line, |found| found.ends_with(&line));
            deadline::pace(BETWEEN_PRESSES);
            assert_eq!(session.ask("seen INT"), count.to_string(), "{pty}");
        }
    }
}

/// Only SIGINT was guarded: TERM, HUP, QUIT and TSTP ended or stopped what was frozen.
#[test]
fn defect_3_term_hup_quit_and_tstp_leave_the_snapshots() {
    let signals = [
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGTSTP,
    ];
    let mut session = Launch::commander().piped();
    for signal in ["TERM", "HUP", "QUIT", "TSTP"] {
        session.ask(&format!("ignore {signal} sigaction"));
    }
    session.ask("set key value");
    for _ in 0..2 {
        session.take();
    }
    // To the copies, and to the live process, which ignores them.
    let mut targets = vec![session.frozen_pid(1), session.frozen_pid(2)];
    targets.push(session.live_pid());
    for signal in signals {
        for &pid in &targets {
            process::send(pid, signal);
        }
    }
    assert_eq!(session.ask("get key"), "value");
    for pid in targets {
        let process = process::Process::look(pid).expect("it is there");
        assert_ne!(process.state, 'T', "{process:?}");
        assert_ne!(process.state, 'Z', "{process:?}");
    }
    // And they still serve.
    for depth in [1, 0] {
        session.ask("set key undone");
        session.send("abort");
        assert_eq!(session.next("reverted").number("depth"), depth);
        assert_eq!(session.ask("get key"), "value");
    }
}

/// The same from the keyboard: Ctrl+\ ends one branch and no more.
#[test]
fn defect_3_ctrl_backslash_costs_one_branch() {
    for pty in ["never", "always"] {
        let mut session = Launch::commander().flag("--pty").flag(pty).terminal();
        session.ask("set key value");
        session.take();
        session.ask("set key undone");
        let live = session.live_pid();
        if pty == "never" {
            // The launcher is in the group as well, and to it QUIT means the end.
            process::send(live, Signal::SIGQUIT);
        } else {
            session.type_in("\x1c");
        }
        assert_eq!(session.next("reverted").number("id"), 1);
        assert_eq!(session.ask("get key"), "value");
    }
}

/// And Ctrl+Z in a terminal without a shell has nobody who would resume it: the kernel
/// stops nothing then, and so does the tool.
#[test]
fn defect_3_ctrl_z_without_a_shell_strands_nothing() {
    let mut session = Launch::commander().terminal();
    session.ask("set key value");
    session.take();
    session.type_in(CTRL_Z);
    assert_eq!(session.ask("get key"), "value");
    session.type_in(CTRL_C);
    assert_eq!(session.next("reverted").number("id"), 1);
    assert_eq!(session.ask("get key"), "value");
}

/// A revert killed the outermost first: the root resumed while deeper children lived,
/// and for a moment two of them wrote.
#[test]
fn defect_4_a_revert_far_back_ends_everything_newer_first() {
    // With new ids each branch can be told by what it prints.
    let mut session = Launch::guest("counter")
        .flag("--isolate=never")
        .arg("1000000")
        .arg("1")
        .piped();
    for round in 0..8 {
        let first = session.take().number("id");
        for _ in 0..4 {
            session.take();
        }
        let live = session.live_pid();
        let newer: Vec<i32> = (first + 1..=first + 4)
            .map(|id| session.frozen_pid(id))
            .collect();
        assert!(session.command("revert", &[&first.to_string()]).success());
        let reverted = session.next("reverted");
        assert_eq!(reverted.number("id"), first);
        let revived = reverted.pid("live_pid");
        for pid in newer.iter().chain([&live]) {
            assert!(!process::is_alive(*pid), "round {round}");
        }
        // The first line of the revived one: after it no other writes.
        let mine = format!(" {revived}");
        session.next_line("the revived one counts", |line| line.ends_with(&mine));
        for _ in 0..20 {
            let line = session.next_line("any", |_| true);
            assert!(
                line.ends_with(&mine),
                "round {round}: {line} is not by {revived}"
            );
        }
    }
}

/// The child left through atexit: temp files that the snapshot still needed were
/// deleted, and IPython said that its file does not exist.
#[test]
fn defect_5_a_reverted_branch_runs_no_exit_handlers() {
    let mut session = Launch::commander().piped();
    let file = session.place().work().join("needed");
    let file = file.to_str().expect("the test's paths are text").to_owned();
    session.ask(&format!("atexit {file}"));
    for round in 0..4 {
        session.take();
        match round {
            0 => process::send(session.live_pid(), Signal::SIGINT),
            1 => assert!(session.command("revert", &[]).success()),
            2 => session.send("_exit 1"),
            _ => session.send("abort"),
        }
        session.next("reverted");
        assert_eq!(
            session.ask(&format!("exists {file}")),
            "true",
            "round {round}"
        );
        deadline::pace(BETWEEN_PRESSES);
    }
    // The program's own end is another matter.
    session.send("exit 0");
    assert!(session.wait_gone().success());
    assert!(!std::path::Path::new(&file).exists());
}

/// Neither the terminal's settings nor its foreground group came back.
#[test]
fn defect_6_settings_and_foreground_group_come_back() {
    for pty in ["never", "always"] {
        let mut session = Launch::commander().flag("--pty").flag(pty).terminal();
        session.take();
        session.ask("raw");
        session.type_in("abort\n");
        session.next("reverted");
        assert_eq!(session.ask("tty"), "sane", "{pty}");

        session.take();
        let group: i32 = session.ask("lend-terminal").parse().expect("a process id");
        let group = session.outside(group);
        let live = session.live_pid();
        process::send(live, Signal::SIGKILL);
        session.next("reverted");
        assert_eq!(session.ask("foreground"), "mine", "{pty}");
        // The group that had it was the dead branch's, and ends with the session.
        drop(session);
        assert!(!process::is_alive(group), "{pty}");
    }
}

/// Only the descendants of a snapshot knew that it was there.
#[test]
fn defect_7_everybody_knows_the_list() {
    let mut session = Launch::commander().piped();
    for _ in 0..4 {
        session.take();
    }
    session.send("abort");
    session.next("reverted");
    // From outside, after the branch that took them is dead.
    let ids = |list: &snapshot_tests::Event| -> Vec<i64> {
        list.0["snapshots"]
            .as_array()
            .expect("an array")
            .iter()
            .filter_map(|snapshot| snapshot["id"].as_i64())
            .collect()
    };
    assert_eq!(ids(&session.list()), [1, 2, 3]);
    // And a process that was frozen before them continues with the right number.
    assert!(session.command("revert", &["1"]).success());
    session.next_event("the first", |event| {
        event.name() == "reverted" && event.number("id") == 1
    });
    assert_eq!(ids(&session.list()), Vec::<i64>::new());
    assert_eq!(session.take().number("id"), 5);
    assert_eq!(ids(&session.list()), [5]);
}
