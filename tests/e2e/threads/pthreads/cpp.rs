//! The threads of the C++ library, which uses POSIX threads.

use snapshot_tests::{Ending, Launch, Place, Signal, binaries, outside};

use super::guest::expect;

#[test]
fn cpp_threads() {
    let Some(compiler) = outside::find("g++") else {
        return;
    };
    let place = Place::new();
    let file = binaries::source("threads.cpp");
    let options = ["-std=c++20", "-O1", "-pthread"];
    let program = binaries::compile(compiler, &file, &options, &place.work());
    let mut session = Launch::program(program).place(&place).piped();
    session.next_line("ready", |line| line == "ready");
    for (round, ending) in [
        Ending::Dies("terminate", Signal::SIGABRT),
        Ending::Interrupt,
        Ending::Kill,
        Ending::Command,
        Ending::Dies("terminate", Signal::SIGABRT),
    ]
    .into_iter()
    .enumerate()
    {
        session.ask(&format!("set key before-{round}"));
        // A thread waits for what it is to throw, which differs in the branches.
        session.ask("begin");
        session.branch(ending, |session| {
            session.ask("set key after");
            expect(
                session,
                [
                    ("get key", "after"),
                    ("open branch", "caught branch"),
                    ("workers", ""),
                ],
            );
        });
        assert_eq!(session.ask("get key"), format!("before-{round}"));
        expect(
            &mut session,
            [
                ("open revived", "caught revived"),
                ("throw deep", "caught deep"),
                ("workers", ""),
                ("destroyed", "0"),
            ],
        );
    }
    // Each worker's thread-local object is destroyed once.
    assert_eq!(session.end_by_itself(6), "4 key=before-4");
}
