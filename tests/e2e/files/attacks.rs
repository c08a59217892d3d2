//! Whoever performs a program's calls for it must never do what the program itself could not do.
//! The guest `file_attacks` tries, first without the tool and then in a session with a snapshot.
//! Both times it gets the same answers, and what it may not change stays.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use snapshot_tests::{Ending, Launch, PipedSession, Place, Tree, binaries, outside};

/// A directory with what the guest attacks.
fn furnish(place: &Place) {
    let work = place.work();
    // Another user must be able to get there.
    set_mode(place.root(), 0o755);
    set_mode(&work, 0o755);
    fs::write(work.join("secret"), "secret").expect("it is ours");
    set_mode(&work.join("secret"), 0o600);
    fs::create_dir(work.join("closed")).expect("it is ours");
    fs::write(work.join("closed/kept"), "kept").expect("it is ours");
    fs::create_dir(work.join("own")).expect("it is ours");
    set_mode(&work.join("own"), 0o777);
    fs::write(work.join("own/file"), "own").expect("it is ours");
    set_mode(&work.join("own/file"), 0o666);
    std::os::unix::fs::chown(work.join("own/file"), Some(65_534), Some(65_534)).expect("root may");
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// The guest in a place of its own, under the tool or not.
fn guest(launch: impl FnOnce(&Path) -> Launch) -> PipedSession {
    let place = Place::new();
    let program = binaries::guest_in_c("file_attacks", &place.work());
    let set_uid = place.work().join("setuid");
    fs::copy(&program, &set_uid).expect("it is ours");
    std::os::unix::fs::chown(&set_uid, Some(65_534), Some(65_534)).expect("root may");
    set_mode(&set_uid, 0o4755);
    furnish(&place);
    let mut session = launch(&program).place(&place).piped();
    session.next_line("ready", |line| line == "ready");
    session
}

/// What the attack answers; afterwards what is not the attacker's is unchanged.
fn attack(session: &mut PipedSession, name: &str) -> String {
    let answer = session.ask(name);
    let work = session.place().work();
    let secret = fs::read_to_string(work.join("secret")).expect("it is there");
    assert_eq!(secret, "secret", "{name}: {answer}");
    let metadata = fs::metadata(work.join("secret")).expect("it is there");
    assert_eq!(metadata.mode() & 0o7777, 0o600, "{name}: {answer}");
    let mut closed: Vec<_> = fs::read_dir(work.join("closed"))
        .expect("it is there")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    closed.sort();
    assert_eq!(closed, ["kept"], "{name}: {answer}");
    answer
}

/// The same answers with a snapshot as without the tool; then all of it comes back.
fn fails_as_without_the_tool(name: &str, isolate: &str) -> Option<String> {
    if !outside::as_root() {
        return None;
    }
    let expected = attack(&mut guest(|program| Launch::bare(program)), name);
    let launch = |program: &Path| Launch::program(program).flag("--isolate").flag(isolate);
    let mut session = guest(launch);
    let then = Tree::of(&session.place().work());
    session.take();
    let found = attack(&mut session, name);
    assert_eq!(found, expected, "{name}");
    session.end_branch(Ending::Kill);
    let differences = then.differences(&Tree::of(&session.place().work()));
    assert!(differences.is_empty(), "{name}: {differences:#?}");
    // From the same files again, it gets the same answers again.
    assert_eq!(
        attack(&mut session, name),
        expected,
        "{name} after the revert"
    );
    Some(expected)
}

macro_rules! attacks {
    ($($name:ident: $attack:literal, $expected:expr;)+) => {
        $(
            #[test]
            fn $name() {
                for isolate in ["auto", "never"] {
                    if let Some(answer) = fails_as_without_the_tool($attack, isolate) {
                        for expected in $expected {
                            assert!(answer.contains(expected), "{expected}: {answer}");
                        }
                    }
                }
            }
        )+
    };
}

attacks! {
    a_user_without_rights_changes_nothing_of_root: "dropped",
        ["write=EACCES", "chmod=EPERM", "own=ok", "owner=nobody"];
    a_thread_without_rights_changes_nothing_of_root: "dropped-in-a-thread",
        ["write=EACCES", "unlink=EACCES"];
    a_user_of_files_alone_changes_nothing_of_root: "dropped-for-files",
        ["write=EACCES", "unlink=EACCES"];
    root_without_capabilities_is_no_root: "without-capabilities", ["write=EACCES"];
    a_path_that_changes_while_it_is_read_opens_nothing_wrong: "raced-path",
        ["opened=some", "wrong=none"];
    a_link_that_changes_while_it_is_followed_opens_nothing_wrong: "raced-link",
        ["opened=some", "wrong=none"];
    links_in_proc_are_the_callers_own: "through-proc",
        ["fd-of-secret=EACCES", "fd-of-own=ok", "mem-is=after!", "comm-is=renamed",
         "stdout-is=hello"];
    a_root_of_its_own_holds: "in-a-root", ["create=ok", "passwd=ENOENT", "find-up=ok"];
    root_of_a_user_namespace_is_nobody_outside: "in-a-user-namespace", ["uid=root",
        "write=EACCES"];
    mounts_of_its_own_are_written_to: "in-mounts",
        ["create=ok", "across=EXDEV", "read-only=EROFS", "underneath=ENOENT"];
    a_landlock_domain_holds: "in-a-domain", ["write=EACCES", "own=ok"];
    limits_are_the_callers: "within-limits",
        ["lowest=yes", "too-long=EFBIG", "too-many=EMFILE"];
    what_is_made_gets_the_makers_mode_and_owner: "what-it-makes",
        ["bad-path=EFAULT", "file=100640/1234", "sticky-unlink=EPERM"];
    a_set_uid_program_has_no_more_rights: "by-a-set-uid-program", ["write=EACCES"];
}
