//! Temporary files that a branch deletes as it ends, by a destructor, by `atexit` or by a
//! library: after the revert the program still has them.

use std::fs;

use snapshot_tests::{Ending, Launch, PipedSession, Tree, binaries, outside};

/// Takes, has the branch delete its files in this way, and finds them again.
fn has_them_again(session: &mut PipedSession, ending: Ending) {
    let work = session.place().work();
    for _ in 0..3 {
        assert_eq!(session.ask("look"), "all");
        let then = Tree::of(&work);
        session.take();
        session.end_branch(ending);
        assert_eq!(session.ask("look"), "all");
        let differences = then.differences(&Tree::of(&work));
        assert!(differences.is_empty(), "{differences:#?}");
    }
}

#[test]
fn files_of_the_crate_tempfile_are_there_again() {
    let mut session = Launch::guest("temporary_files").piped();
    has_them_again(&mut session, Ending::Exits("drop", 0));
    // Where no snapshot is left, they are deleted for good.
    session.send("drop");
    assert!(session.wait_gone().success());
    let left: Vec<_> = fs::read_dir(session.place().work())
        .expect("the place is ours")
        .flatten()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn files_that_python_deletes_at_exit_are_there_again() {
    let Some(python) = outside::find("python3") else {
        return;
    };
    let guest = binaries::source("temporary_files.py");
    let mut session = Launch::program(python).arg(guest).piped();
    has_them_again(&mut session, Ending::Exits("exit", 4));
    session.send("exit");
    session.wait_gone();
}
