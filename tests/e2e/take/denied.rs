//! `--deny`: to the program the kernel seems to lack the denied feature. If the tool can't do
//! that, it launches nothing.
#![expect(
    unsafe_code,
    reason = "forbids filters to a launcher, between fork and exec"
)]

use std::os::unix::process::CommandExt;
use std::process::Command;

use snapshot_tests::{Isolation, Launch, PipedSession, Place, binaries, deadline, outside};

/// Whether this kernel makes rings at all.
fn has_rings() -> bool {
    let mut bare = Launch::bare_guest_in_c("rings").piped();
    outside::has_ring(&mut bare, "uring")
}

/// There is no ring, and so nothing that would refuse a take.
fn has_none_and_comes_back(mut session: PipedSession) {
    assert_eq!(session.ask("uring"), "ENOSYS");
    session.take();
    assert_eq!(session.ask("uring"), "ENOSYS");
    session.revert();
    assert_eq!(session.ask("uring"), "ENOSYS", "a revived program");
    session.take();
}

#[test]
fn a_program_has_no_rings_whoever_it_is() {
    if !has_rings() {
        return;
    }
    let launch = || Launch::guest_in_c("rings").flag("--deny=io-uring");
    has_none_and_comes_back(launch().piped());
    has_none_and_comes_back(launch().flag("--isolate=never").piped());
    for isolation in [Isolation::Allowed, Isolation::NoUserNamespaces] {
        has_none_and_comes_back(launch().as_user(isolation).piped());
    }
}

#[test]
fn nor_has_what_it_starts() {
    if !has_rings() {
        return;
    }
    let place = Place::new();
    let rings = binaries::guest_in_c("rings", &place.work());
    let mut session = Launch::program("sh")
        .args(["-c", "\"$0\"; true"])
        .arg(&rings)
        .env("CARGO_SNAPSHOT_DENY", "io-uring")
        .place(&place)
        .piped();
    assert_eq!(session.ask("uring"), "ENOSYS");
}

#[test]
fn without_it_a_refusal_names_it() {
    if !has_rings() {
        return;
    }
    let mut session = Launch::guest_in_c("rings").piped();
    session.ask("uring");
    let output = session.command("take", &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    for part in ["io_uring", "--deny io-uring", "--allow io-uring"] {
        assert!(output.stderr.contains(part), "{part:?} in {output:?}");
    }
    assert_eq!(session.next("refused").text("kind"), "io-uring");
    session.ask("end");
    session.take();
}

#[test]
fn set_uid_programs_are_given_up_only_where_they_must_be() {
    let ask = |launch: Launch| {
        launch
            .flag("--deny=io-uring")
            .piped()
            .ask("status NoNewPrivs")
    };
    let as_user = |isolation| Launch::commander().as_user(isolation);
    assert_eq!(ask(as_user(Isolation::Allowed)), "0");
    assert_eq!(ask(as_user(Isolation::NoUserNamespaces)), "1");
    if nix::unistd::geteuid().is_root() {
        assert_eq!(ask(Launch::commander().flag("--isolate=never")), "0");
    }
}

#[test]
fn a_launcher_that_may_not_filter_launches_nothing() {
    let place = Place::new();
    let mut command = Command::new(&binaries::tools().snapshot_launch);
    command.args(["--deny", "io-uring", "--", "echo", "never"]);
    place.furnish(&mut command);
    // SAFETY: the closure makes system calls only, on memory that is there already.
    unsafe { command.pre_exec(forbid_filters) };
    let output = deadline::run(&mut command);
    assert_eq!(output.status.code(), Some(96), "{output:?}");
    assert_eq!(output.stdout, "", "{output:?}");
    for part in [
        "error: cannot launch `echo`",
        "\n  cause: ",
        "--deny",
        "\n  help:  ",
        "seccomp",
    ] {
        assert!(output.stderr.contains(part), "{part:?} in {output:?}");
    }
}

/// As a container's profile may: seccomp(2) itself is filtered, with EPERM.
fn forbid_filters() -> std::io::Result<()> {
    let number = u32::try_from(libc::SYS_seccomp).expect("numbers of calls are small");
    let step = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let mut steps = [
        step(0x20, 0, 0),
        step(0x15, 1, number),
        step(
            0x06,
            0,
            libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs(),
        ),
        step(0x06, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: takes numbers.
    let given_up = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: the kernel reads as many steps as there are.
    let set = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    if given_up < 0 || set < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

#[test]
fn what_is_not_known_is_a_usage_error() {
    let place = Place::new();
    let mut command = Command::new(&binaries::tools().snapshot_launch);
    command.args(["--deny", "zap", "--", "echo"]);
    place.furnish(&mut command);
    let output = deadline::run(&mut command);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stderr.contains("io-uring"), "{output:?}");
}
