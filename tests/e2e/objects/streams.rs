//! Inherited streams: output goes on where it is, whatever its descriptor by now, and a take
//! names it. And files that show the program itself: after a revert they show the revived
//! program.

use snapshot_tests::{Launch, PipedSession, Place, binaries};

/// The guest under the tool, started by a shell that gives both a log as number 7.
fn with_log() -> PipedSession {
    let place = Place::new();
    let guest = binaries::guest_in_c("streams", &place.work());
    Launch::bare("sh")
        .place(&place)
        .args(["-c", "exec \"$0\" -- \"$1\" 7>log"])
        .arg(&binaries::tools().snapshot_launch)
        .arg(guest)
        .piped()
}

fn text(session: &PipedSession, name: &str) -> String {
    std::fs::read_to_string(session.place().work().join(name)).expect("the guest has made it")
}

fn log_goes_on(mut session: PipedSession) {
    session.ask("own");
    session.ask("say one");
    session.ask("note one");
    let taken = session.take();
    let named = taken.list("not_rolled_back");
    let log = named
        .iter()
        .find(|item| item.text("what").ends_with("/log"));
    let log = log.unwrap_or_else(|| panic!("the log is not named: {taken}"));
    assert!(log.text("why").contains("outside"), "{log}");
    session.ask("say two");
    session.ask("note two");
    session.revert();
    session.ask("say three");
    session.ask("note 3");
    assert_eq!(text(&session, "log"), "one\ntwo\nthree\n");
    assert_eq!(text(&session, "own"), "one\n3\n");
}

#[test]
fn a_log_goes_on_where_it_is_whatever_its_number() {
    let mut session = with_log();
    session.ask("move");
    log_goes_on(session);
}

#[test]
fn a_log_goes_on_across_an_exec() {
    let mut session = with_log();
    session.ask("move");
    session.ask("exec");
    log_goes_on(session);
}

#[test]
fn pipes_are_named_at_every_number() {
    let mut session = Launch::guest_in_c("streams").piped();
    let taken = session.take();
    let named = taken.list("not_rolled_back");
    for (number, what) in [(0, "comes from"), (1, "goes"), (2, "goes")] {
        let is_it = |what: &str| what.starts_with(&format!("fd {number}: pipe:"));
        let item = named.iter().find(|item| is_it(item.text("what")));
        let item = item.unwrap_or_else(|| panic!("{number} is not named: {taken}"));
        assert!(item.text("why").contains(what), "{item}");
    }
}

#[test]
fn files_that_show_the_program_show_the_one_that_is_back() {
    for isolation in ["auto", "never"] {
        let mut session = Launch::guest_in_c("streams")
            .flag("--isolate")
            .flag(isolation)
            .piped();
        session.ask("proc");
        session.ask("look");
        session.take();
        session.ask("look");
        for _ in 0..3 {
            let output = session.command("revert", &["--keep"]);
            assert!(output.success(), "{output:?}");
            session.ask("look");
        }
        let told = session.stderr();
        assert!(!told.contains("not put back"), "{told}");
    }
}
