//! What the kernel keeps for a thread or process and does not copy: the program has it after a
//! take and after a revert. If the tool can't restore it, it refuses the take.

use snapshot_tests::outside::has_ring;
use snapshot_tests::{Event, Launch, PipedSession, Signal, process};

/// What `drain` answers when every signal that `queue` has sent waits once.
const EACH_ONCE: &str = "main own:-1:71 plain:0:0 shared:-1:61 shared:-1:62 worker own:-1:72";

/// What `drain` answers when none waits.
const NONE: &str = "main worker";

fn possessions() -> PipedSession {
    Launch::guest_in_c("possessions").piped()
}

#[test]
fn a_threads_attributes() {
    let mut session = Launch::guest_in_c("attributes").piped();
    session.ask("advance");
    let before = session.ask("attributes");
    // They are what the guest wants them to be, or equality would say little.
    for part in [
        "name=batch",
        "nice=5",
        "policy=3",
        "slack=123456",
        "+16384/0",
    ] {
        assert!(before.contains(part), "{part} in {before}");
    }
    for _ in 0..3 {
        session.take();
        assert_eq!(session.ask("attributes"), before, "after a take");
        session.revert();
        session.ask("advance");
        assert_eq!(session.ask("attributes"), before, "after a revert");
    }
}

#[test]
fn timers_and_locked_memory_and_settings() {
    let mut session = possessions();
    session.ask("tick");
    let before = session.ask("state");
    for part in [
        "umask=027",
        "deathsig=28",
        "subreaper=1",
        "locked=64 kB/1",
        "unshared=1/1",
    ] {
        assert!(before.contains(part), "{part} in {before}");
    }
    for _ in 0..3 {
        session.take();
        assert_eq!(session.ask("state"), before, "after a take");
        session.ask("tick");
        session.revert();
        assert_eq!(session.ask("state"), before, "after a revert");
        session.ask("tick");
    }
}

#[test]
fn signals_that_wait() {
    let mut session = possessions();
    session.ask("queue");
    let before = session.ask("state");
    session.take();
    session.take();
    // The live process has them still, and once each.
    assert_eq!(session.ask("state"), before, "after a take");
    assert_eq!(session.ask("drain"), EACH_ONCE, "in the live process");
    assert_eq!(session.ask("drain"), NONE);
    for _ in 0..2 {
        session.revert();
        assert_eq!(session.ask("state"), before, "after a revert");
        assert_eq!(session.ask("drain"), EACH_ONCE, "in the revived process");
        assert_eq!(session.ask("drain"), NONE);
    }
    session.ask("tick");
}

#[test]
fn signals_that_came_later_do_not_wait() {
    let mut session = possessions();
    session.take();
    session.ask("queue");
    session.revert();
    assert_eq!(session.ask("drain"), NONE);
    // A copy that is frozen now hears of those that come next.
    session.take();
    let frozen = session.frozen_pid(2);
    process::send(frozen, Signal::SIGUSR2);
    session.revert();
    session.ask("tick");
}

#[test]
fn memory_that_is_locked_as_a_whole() {
    let mut session = possessions();
    let locked = session.ask("lockall");
    if locked != "locked" {
        eprintln!("skipped: this user may not lock all memory: {locked}");
        return;
    }
    assert_eq!(session.ask("future"), "11");
    // What `malloc` keeps for later is not had for that.
    let status = std::fs::read_to_string(format!("/proc/{}/status", session.live_pid()));
    let status = status.expect("it lives");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|text| text.trim().strip_suffix(" kB"));
    let resident: u64 = resident.and_then(|text| text.parse().ok()).expect("a size");
    assert!(resident < 32 << 10, "{resident} kB are resident");
    session.take();
    assert_eq!(session.ask("future"), "11", "after a take");
    session.revert();
    assert_eq!(session.ask("future"), "11", "after a revert");
    session.ask("tick");
}

/// Asks for a snapshot that must be refused.
fn refused(session: &mut PipedSession) -> Event {
    session.signal_live(Signal::SIGUSR1);
    let answer = session.next_answer();
    assert_eq!(answer.name(), "refused", "{answer}");
    for field in ["why", "help"] {
        assert!(!answer.text(field).is_empty(), "{answer}");
    }
    answer
}

#[test]
fn an_aio_context_refuses() {
    let mut session = Launch::guest_in_c("rings").piped();
    if !has_ring(&mut session, "aio") {
        return;
    }
    assert_eq!(refused(&mut session).text("kind"), "aio");
    session.ask("ping");
    session.ask("end");
    session.take();
}

#[test]
fn an_io_uring_refuses() {
    let mut session = Launch::guest_in_c("rings").piped();
    if !has_ring(&mut session, "uring") {
        return;
    }
    assert_eq!(refused(&mut session).text("kind"), "io-uring");
    session.ask("ping");
    session.ask("end");
    session.take();
}

#[test]
fn an_io_uring_is_allowed_where_it_is_said() {
    let mut session = Launch::guest_in_c("rings")
        .flag("--allow")
        .flag("io-uring")
        .piped();
    if !has_ring(&mut session, "uring") {
        return;
    }
    let taken = session.take();
    let named = taken.list("not_rolled_back");
    let is_named = named.iter().any(|one| one.text("kind") == "io-uring");
    assert!(is_named, "{taken}");
    session.revert();
    session.ask("ping");
}

#[test]
fn handlers_of_page_faults_refuse_unless_it_is_said() {
    let mut session = Launch::guest_in_c("rings").piped();
    if !has_ring(&mut session, "faults") {
        return;
    }
    let refused = refused(&mut session);
    assert_eq!(refused.text("kind"), "userfaultfd");
    assert!(refused.text("help").contains("--allow userfaultfd"));
    session.ask("end");
    session.take();

    let mut session = Launch::guest_in_c("rings")
        .flag("--allow=userfaultfd,gpu")
        .piped();
    session.ask("faults");
    let taken = session.take();
    let named = taken.list("not_rolled_back");
    let is_named = named.iter().any(|one| one.text("kind") == "userfaultfd");
    assert!(is_named, "{taken}");
    session.revert();
    session.ask("ping");
}

#[test]
fn a_virtual_machine_refuses() {
    if std::fs::File::open("/dev/kvm").is_err() {
        eprintln!("skipped: there is no /dev/kvm that may be opened");
        return;
    }
    let mut session = Launch::program("sh")
        .args([
            "-c",
            "exec 7</dev/kvm; echo ready; read line; exec 7<&-; echo closed; read line",
        ])
        .piped();
    session.next_line("ready", |line| line == "ready");
    let refused = refused(&mut session);
    assert_eq!(refused.text("kind"), "kvm");
    assert!(refused.text("why").contains("fd 7: /dev/kvm"), "{refused}");
    session.send("");
    session.next_line("closed", |line| line == "closed");
    session.take();
}

#[test]
fn the_guests_are_right_without_the_tool() {
    let launch = |name| Launch::bare_guest_in_c(name).piped();
    let mut session = launch("possessions");
    session.ask("tick");
    session.ask("queue");
    assert_eq!(session.ask("drain"), EACH_ONCE);
    assert_eq!(session.ask("drain"), NONE);
    let before = session.ask("state");
    session.ask("tick");
    assert_eq!(session.ask("state"), before);

    let mut session = launch("attributes");
    let before = session.ask("attributes");
    session.ask("advance");
    assert_eq!(session.ask("attributes"), before);

    let mut session = launch("rings");
    for kind in ["aio", "uring", "faults"] {
        if has_ring(&mut session, kind) {
            assert_eq!(session.ask("end"), "");
        }
    }
}
