//! Programs that register their own area for restartable sequences. The kernel does not show
//! where it lies, and the program would go on with a wrong processor number. So the tool refuses
//! takes and says why.

use snapshot_tests::{Launch, Signal};

#[test]
fn a_take_is_refused_with_the_reason() {
    let mut session = Launch::guest("own_rseq")
        .env("GLIBC_TUNABLES", "glibc.pthread.rseq=0")
        .piped();
    session.next_line("it has its own", |line| line == "registered");
    session.signal_live(Signal::SIGUSR1);
    let refused = session.next("refused");
    assert!(
        refused.text("why").contains("restartable sequences"),
        "{refused}"
    );
}

#[test]
fn without_one_it_is_taken() {
    let mut session = Launch::guest("own_rseq").piped();
    // libc has one.
    session.next_line("it is up", |line| line == "EINVAL");
    session.take();
    session.revert();
}

#[test]
fn without_any_it_is_taken() {
    let mut session = Launch::guest("transfers")
        .env("GLIBC_TUNABLES", "glibc.pthread.rseq=0")
        .piped();
    session.ask("hold write-pipe");
    session.take();
    session.revert();
    session.ask("let");
}
