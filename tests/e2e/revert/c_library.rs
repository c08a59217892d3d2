//! The library for C and C++: its examples and a guest, under the launcher and alone, with the shared
//! library and the static one; and its installation.

use std::path::{Path, PathBuf};
use std::process::Command;

use snapshot_tests::deadline::{self, Output};
use snapshot_tests::{CLibrary, Launch, Linked, Place, binaries, outside};

const FORMS: [Linked; 2] = [Linked::Shared, Linked::Static];

fn example(name: &str) -> PathBuf {
    binaries::workspace().join("snapshot-c/examples").join(name)
}

/// Compiles a program both ways, runs each as `launch` says, and compares what it says.
fn runs(source: &Path, words: &[&str], launches: &[fn(&Path) -> Launch], expected: &[&str]) {
    let place = Place::new();
    let library = CLibrary::install(&place);
    for linked in FORMS {
        let program = library.compile(source, linked, &place.work());
        for launch in launches {
            let launch = launch(&program);
            let is_session = launch.has_tool();
            let output = launch.args(words).place(&place).piped().finish();
            let seen: Vec<&str> = output.stdout.lines().collect();
            assert_eq!(
                seen, expected,
                "{linked:?}, under the launcher: {is_session}\n{output:?}"
            );
            assert!(output.success(), "{output:?}");
        }
    }
}

fn in_a_session(program: &Path) -> Launch {
    Launch::program(program)
}

fn alone(program: &Path) -> Launch {
    Launch::bare(program)
}

/// The same under the launcher and alone.
fn everywhere(source: &Path, words: &[&str], expected: &[&str]) {
    runs(source, words, &[in_a_session, alone], expected);
}

/// Plays a scene of the guest.
fn scene(name: &str, expected: &[&str]) {
    everywhere(&binaries::source("c_library.c"), &[name], expected);
}

#[test]
fn the_example_in_c_undoes_what_fails() {
    everywhere(
        &example("attempt.c"),
        &[],
        &[
            "transfer 30: committed. accounts 70 and 30",
            "transfer 300: undone: there is not enough money. accounts 70 and 30",
            "crash: undone: its branch was killed by SIGABRT. accounts 70 and 30",
            "hang: undone: it took too long. accounts 70 and 30",
            "by hand: back in snapshot 5. accounts 70 and 30",
        ],
    );
}

#[test]
fn the_example_in_cpp_undoes_what_throws() {
    everywhere(
        &example("attempt.cpp"),
        &[],
        &[
            "good rows: a=1 b=2",
            "undone: row z is negative",
            "bad rows: a=1 b=2",
            "bad rows in a scope: a=1 b=2",
            "good rows in a scope: a=1 b=4",
            "depth 0",
        ],
    );
}

#[test]
fn a_report_says_how_the_branch_has_ended() {
    scene(
        "ends",
        &[
            "live 1 ended 0 in snapshot 1",
            "revert: id 1 ended 3 number 0 memory 1 size 1 late 0",
            "live 2 ended 0 in snapshot 1",
            "exit: id 2 ended 1 number 3 memory 1 size 1 late 0",
            "live 3 ended 0 in snapshot 1",
            "abort: id 3 ended 2 number 6 memory 1 size 1 late 0",
            "live 4 ended 0 in snapshot 1",
            "overflow: id 4 ended 2 number 11 memory 1 size 1 late 0",
        ],
    );
}

#[test]
fn snapshots_are_listed_described_dropped_and_committed() {
    scene(
        "levels",
        &[
            "0: depth 0",
            "3: 1 2 3 depth 3",
            "describe 0: #1 'first' ''",
            "describe 0: #2 'second' '4 commits'",
            "describe 0: #3 '' ''",
            "back in the third, memory 1",
            "drop 0",
            "1: 1 depth 1",
            "0: depth 0",
            "commit 0",
        ],
    );
}

#[test]
fn misuse_is_an_error_with_a_text() {
    scene(
        "misuse",
        &[
            "revert: -1: there is no such snapshot",
            "revert to 0: -1: there is no such snapshot",
            "revert to 9: -1: there is no such snapshot",
            "drop 0: -1: there is no such snapshot",
            "drop 9: -1: there is no such snapshot",
            "describe nowhere: -10: `taken` is null",
            "list nowhere: -10: `ids` is null",
            "count: 0",
            "no size: -10: the structure's `size` is 0, not its sizeof",
            "a wrong size: -10: the structure's `size` is 12, not its sizeof",
            "no function: -10: the function is null",
            "no hook: -10 -10 -10",
            "remove: 0",
            "texts: the launcher refused the snapshot; no error; an unknown error",
            "wide: id 1 rest 0",
            "split took time: 1",
            "in a child: 42",
            "depth 0",
        ],
    );
}

#[test]
fn hooks_run_in_order_and_can_be_removed() {
    scene(
        "hooks",
        &[
            "numbers 1",
            "before, in a hook: -4",
            "after, registered last, memory 1",
            "after, registered first, memory 1",
            "remove 0 0",
            "after, registered first, memory 1",
            "end",
        ],
    );
}

#[test]
fn what_waits_for_a_commit_is_done_then_or_never() {
    scene(
        "commits",
        &[
            "done: at once",
            "waits 0",
            "depth 0",
            "waits 0",
            "done: after the commit",
            "commit 0",
        ],
    );
}

#[test]
fn an_outcome_says_why_the_attempt_was_undone() {
    let long = "x".repeat(30);
    scene(
        "attempts",
        &[
            "0: cause 0 error 0 ended 0 number 0 memory 4 depth 0  (0) 1",
            "0: cause 0 error 0 ended 0 number 0 memory 5 depth 0  (0) 1",
            "1: cause 1 error 12 ended 3 number 0 memory 5 depth 0 it failed with 12 (17) 1",
            "1: cause 1 error -12 ended 3 number 0 memory 5 depth 0 it failed with -12 (18) 1",
            "1: cause 1 error -7 ended 3 number 0 memory 5 depth 0 2 accounts are empty (20) 1",
            &format!("1: cause 1 error -7 ended 3 number 0 memory 5 depth 0 {long} (255) 1"),
            "3: cause 3 error 0 ended 1 number 6 memory 5 depth 0 its branch exited with status  (31) 1",
            "3: cause 3 error 0 ended 2 number 11 memory 5 depth 0 its branch was killed by SIGSE (32) 1",
            "1: cause 1 error 8 ended 3 number 0 memory 20 depth 1 it failed with 8 (16) 1",
            "1: cause 1 error 1 ended 3 number 0 memory 5 depth 0 it failed with 1 (16) 1",
            "-1: cause 1 error 13 ended 0 number 0 memory 9 depth 0 it failed with 13 (17) 0",
        ],
    );
}

#[test]
fn any_thread_may_call() {
    scene(
        "thread",
        &[
            "1: cause 1 error 3 ended 3 number 0 memory 1 depth 0 it failed with 3 (16) 1",
            "3: cause 3 error 0 ended 2 number 11 memory 1 depth 0 its branch was killed by SIGSE (32) 1",
            "0: cause 0 error 0 ended 0 number 0 memory 5 depth 0  (0) 1",
            "here: memory 5 ''",
        ],
    );
}

#[test]
fn inputs_are_tried_in_copies() {
    runs(
        &binaries::source("c_library.c"),
        &["tries"],
        &[alone],
        &[
            "tried 6 ''",
            "0: ended 1 number 0",
            "1: ended 1 number 3",
            "2: ended 2 number 6",
            "3: ended 2 number 11",
            "4: ended 1 number 5",
            "5: ended 1 number 0",
            "no ends: 2",
            "none: 0",
            "no function: -10",
            "memory 1 depth 0",
        ],
    );
}

#[test]
fn a_session_copies_the_program_itself() {
    runs(
        &binaries::source("c_library.c"),
        &["tries"],
        &[in_a_session],
        &[
            "tried -12 'in a session it is the launcher that copies the program; start it without one'",
            "no ends: -12",
            "none: -12",
            "no function: -10",
            "memory 1 depth 0",
        ],
    );
}

#[test]
fn without_a_fuzzer_the_input_is_on_stdin() {
    scene(
        "inputs",
        &[
            "1: ''",
            "inputs 0",
            "no function: -10",
            "no mark: -10",
            "another mark: -10 `mark` is not SNAPSHOT_AFL_MARK",
        ],
    );
}

#[test]
fn exceptions_and_guards_in_cpp_undo() {
    let long = "x".repeat(40);
    everywhere(
        &binaries::source("c_library.cpp"),
        &[],
        &[
            "nothing: 0 '' alive 0",
            "exception: 1 'told to throw' alive 0",
            "number: 1 'an exception that is no std::exception' alive 0",
            &format!("long: 1 '{long}' alive 0"),
            "crash: 3 'its branch was killed by SIGABRT' alive 0",
            "deadline: 2 'it took too long' alive 0",
            "moved: 1 '4' alive 0",
            "owned 4",
            "past C: 3 signal 6",
            "left: memory 1",
            "crash: signal 6",
            "kept: memory 2 depth 1",
            "outer: memory 1 depth 0",
            "committed before: memory 7",
            "-1 there is no such snapshot",
        ],
    );
}

#[test]
fn what_is_loaded_at_run_time_stays_when_it_is_closed() {
    let place = Place::new();
    let library = CLibrary::install(&place);
    let source = binaries::source("c_library_loaded.c");
    let include = format!("-I{}", library.headers().display());
    let options = [include.as_str(), "-Wall", "-Werror", "-ldl"];
    let program = binaries::compile("cc", &source, &options, &place.work());
    for launch in [Launch::program(&program), Launch::bare(&program)] {
        let output = launch.arg(library.shared()).place(&place).piped().finish();
        let seen: Vec<&str> = output.stdout.lines().collect();
        let expected = [
            "closed 0, stays 1",
            "handlers 0",
            "hook 0",
            "after: memory 1",
        ];
        assert_eq!(seen, expected, "{output:?}");
        assert!(output.success(), "{output:?}");
    }
}

#[test]
fn two_branches_draw_the_same_unless_reverts_reseed() {
    scene(
        "secrets",
        &[
            "reverts 0: 0",
            "reseed 0, as before: 0",
            "the same: 1",
            "reseeds 0",
            "the same: 0",
            "reseeds 0",
            "the same: 1",
            "reverts 0: 6",
            "nowhere: -10",
        ],
    );
}

#[test]
fn a_branch_has_a_deadline() {
    scene(
        "deadlines",
        &[
            "numbers 1",
            "it took too long, memory 1",
            "begin 0",
            "end 0, again 0",
            "nowhere: -10",
            "memory 3",
        ],
    );
}

#[test]
fn the_header_is_c99_and_cpp11_without_a_warning() {
    let place = Place::new();
    let library = CLibrary::install(&place);
    for (name, text) in [
        (
            "alone.c",
            "#include <snapshot.h>\nint main(void) { return 0; }\n",
        ),
        ("alone.cpp", "#include <snapshot.hpp>\nint main() {}\n"),
    ] {
        let source = place.path(name);
        std::fs::write(&source, text).expect("the place is ours");
        library.compile(&source, Linked::Shared, &place.work());
    }
}

fn said(output: &Output) -> Vec<&str> {
    assert!(output.success(), "{output:?}");
    output.stdout.split_whitespace().collect()
}

#[test]
fn pkg_config_says_how_to_compile_and_link() {
    if outside::find("pkg-config").is_none() {
        return;
    }
    let place = Place::new();
    let library = CLibrary::install(&place);
    let ask = |word: &str| {
        let mut command = Command::new("pkg-config");
        command.args([word, "snapshot"]);
        deadline::run(command.env("PKG_CONFIG_PATH", library.pkg_config_directory()))
    };
    let prefix = place.path("prefix");
    let prefix = prefix.display();
    assert_eq!(said(&ask("--modversion")), [env!("CARGO_PKG_VERSION")]);
    assert_eq!(said(&ask("--cflags")), [format!("-I{prefix}/include")]);
    let libraries = [format!("-L{prefix}/lib"), "-lsnapshot".to_owned()];
    assert_eq!(said(&ask("--libs")), libraries);
}

#[test]
fn what_is_installed_is_uninstalled() {
    let place = Place::new();
    CLibrary::install(&place);
    let package = binaries::workspace().join("snapshot-c");
    let mut make = CLibrary::make();
    make.arg("-C").arg(package).arg("uninstall");
    let output = deadline::run(make.env("PREFIX", place.path("prefix")));
    assert!(output.success(), "{output:?}");
    for directory in ["include", "lib/pkgconfig"] {
        let left = std::fs::read_dir(place.path("prefix").join(directory));
        assert_eq!(left.expect("directories stay").count(), 0, "{directory}");
    }
    let left = std::fs::read_dir(place.path("prefix/lib")).expect("directories stay");
    assert_eq!(left.count(), 1, "the directory for pkg-config");
}

/// The blocks of commands in the README, run as they stand.
#[test]
fn the_commands_of_the_readme_work() {
    if outside::find("pkg-config").is_none() {
        return;
    }
    let package = binaries::workspace().join("snapshot-c");
    let readme = std::fs::read_to_string(package.join("README.md")).expect("it is there");
    let blocks = readme.split("```sh\n").skip(1);
    let commands = blocks.filter_map(|block| block.split("```").next());
    let place = Place::new();
    std::os::unix::fs::symlink(&package, place.work().join("snapshot-c")).expect("it is ours");
    let mut shell = Command::new("sh");
    shell
        .args(["-e", "-c", &commands.collect::<String>()])
        .current_dir(place.work())
        .env("HOME", place.root());
    // Cargo looks for its own things below HOME, unless they are named.
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    for (name, directory) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        if std::env::var_os(name).is_none() {
            shell.env(name, home.join(directory));
        }
    }
    CLibrary::set_build(&mut shell);
    let output = deadline::run(&mut shell);
    assert!(output.success(), "{output:?}");
    let undone = output.stdout.matches("transfer 300: undone").count();
    assert_eq!(
        undone, 2,
        "the shared library and the static one: {output:?}"
    );
}
