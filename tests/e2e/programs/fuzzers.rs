//! AFL++ drives a program by our fork server: coverage, crashes and hangs arrive, and each run finds the
//! program as it was set up, with threads, a set of events, a timer and a file's offset.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use snapshot_tests::deadline::Output;
use snapshot_tests::{CLibrary, Launch, Linked, Place, binaries, deadline, outside};

/// How long a tool may take. It ends long before; the kernel ends it a little later.
const PATIENCE: Duration = Duration::from_secs(110);

/// afl-fuzz without a screen and a processor of its own, on a machine as it is, until the first crash.
const VARIABLES: [(&str, &str); 5] = [
    ("AFL_NO_UI", "1"),
    ("AFL_NO_AFFINITY", "1"),
    ("AFL_SKIP_CPUFREQ", "1"),
    ("AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES", "1"),
    ("AFL_BENCH_UNTIL_CRASH", "1"),
];

/// How `cargo afl` has code compiled.
const COVERAGE: [&str; 3] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=3",
    "-Cllvm-args=-sanitizer-coverage-trace-pc-guard",
];

/// How the library is compiled.
enum Built {
    AsIs,
    ForAfl,
}

/// The guest `fuzzed`, built for AFL++.
struct Target {
    place: Arc<Place>,
    program: PathBuf,
}

impl Target {
    /// None where AFL++ is absent.
    fn build(linked: Linked) -> Option<Self> {
        outside::find("afl-fuzz")?;
        let place = Place::new();
        let library = CLibrary::install(&place);
        let source = binaries::source("fuzzed.c");
        let options = ["-std=gnu99"];
        let program =
            library.compile_by("afl-clang-fast", &options, &source, linked, &place.work());
        Some(Self { place, program })
    }

    /// The guest `fuzzed` in Rust, compiled as `cargo afl` does it; the library, too, or as it is.
    fn build_in_rust(library: Built) -> Option<Self> {
        let tool = outside::find("afl-fuzz")?;
        let runtime = tool.with_file_name("../lib/afl/afl-compiler-rt.o");
        let place = Place::new();
        let what = ["--lib", "-p", "snapshot-core"];
        let built = match library {
            Built::AsIs => binaries::cargo_build(&what),
            // With a target the flags are not for build scripts, which have no runtime.
            Built::ForAfl => binaries::cargo_build_with(
                &[&what[..], &["--target", "x86_64-unknown-linux-gnu"]].concat(),
                &place.work().join("target"),
                &COVERAGE.join(" "),
            ),
        };
        let files = built.into_iter().flat_map(|artifact| artifact.filenames);
        let libraries: Vec<_> = files
            .filter(|file| file.extension() == Some("rlib"))
            .collect();
        let library = libraries
            .iter()
            .find(|file| {
                file.file_name()
                    .is_some_and(|name| name.contains("snapshot_core"))
            })
            .expect("cargo has built it");
        let search: Vec<String> = libraries
            .iter()
            .filter_map(|file| Some(format!("-Ldependency={}", file.parent()?)))
            .collect();
        let program = place.work().join("fuzzed");
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
        rustc
            .args(["--edition", "2024", "-Copt-level=1"])
            .args(COVERAGE)
            .arg(format!("-Clink-arg={}", runtime.display()))
            .arg(format!("--extern=snapshot_core={library}"))
            .args(search)
            .arg("-o")
            .arg(&program)
            .arg(binaries::source("fuzzed.rs"));
        let output = deadline::run(&mut rustc);
        assert!(output.success(), "{output:?}");
        Some(Self { place, program })
    }

    /// A directory with these inputs, each named by its number.
    fn inputs(&self, inputs: &[&str]) -> PathBuf {
        let directory = self.place.work().join("in");
        fs::create_dir(&directory).expect("the place is ours");
        for (number, input) in inputs.iter().enumerate() {
            fs::write(directory.join(number.to_string()), input).expect("the place is ours");
        }
        directory
    }

    /// Where the tool puts what it finds.
    fn found(&self) -> PathBuf {
        self.place.work().join("out")
    }

    /// Runs a tool of AFL++ on it to its end.
    fn run(&self, tool: &str, flags: &[&str], inputs: &Path, words: &[&str]) -> Output {
        let mut launch = Launch::bare(tool);
        for (name, value) in VARIABLES {
            launch = launch.env(name, value);
        }
        let mut session = launch
            .args(flags)
            .arg("-i")
            .arg(inputs)
            .arg("-o")
            .arg(self.found())
            .arg("--")
            .arg(&self.program)
            .args(words)
            .place(&self.place)
            .piped();
        // Hundreds of runs take their time on a busy machine.
        let ended = deadline::wait_for(PATIENCE, || session.exit_status());
        assert!(ended.is_some(), "it does not end");
        session.finish()
    }

    /// Makes room for other inputs.
    fn forget(&self) {
        for directory in [self.place.work().join("in"), self.found()] {
            fs::remove_dir_all(directory).expect("the place is ours");
        }
    }

    /// Runs each input once, and says what became of them.
    fn show(&self, inputs: &[&str], words: &[&str]) -> Output {
        let inputs = self.inputs(inputs);
        self.run("afl-showmap", &["-e", "-t", "2000"], &inputs, words)
    }
}

/// How many runs were killed for their time, and how many have crashed.
fn failures(output: &Output) -> (usize, usize) {
    let said = |what| output.stdout.matches(what).count();
    (said("Program timed off"), said("killed by signal 6"))
}

/// The files of a directory with their contents; AFL++'s own notes left out.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).expect("the tool has made it");
    entries
        .map(|entry| entry.expect("it can be listed"))
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).expect("it is readable"))
        })
        .filter(|(name, _)| name != "README.txt")
        .collect()
}

/// Has afl-fuzz look for the bug, which these words in an input show.
fn finds_the_bug(target: &Target, seed: &str, words: &[&str], is_bug: impl Fn(&[u8]) -> bool) {
    // One bit is between a seed and the bug. Each bit is tried (-D), one input after the other (-Z).
    let inputs = target.inputs(&["hello", seed]);
    let flags = ["-D", "-Z", "-t", "2000", "-V", "100"];
    let output = target.run("afl-fuzz", &flags, &inputs, words);
    assert!(output.success(), "{output:?}");
    for sign in [
        "Deferred forkserver",
        "SHARED MEMORY FUZZING",
        "Target map size",
    ] {
        assert!(output.stdout.contains(sign), "{sign}: {output:?}");
    }
    let crashes = contents(&target.found().join("default/crashes"));
    // A check that fails would be a crash as well.
    let are_the_bug = crashes
        .iter()
        .all(|(name, input)| name.contains("sig:06") && is_bug(input));
    assert!(
        !crashes.is_empty() && are_the_bug,
        "{crashes:?}\n{output:?}"
    );
    let stats = fs::read_to_string(target.found().join("default/fuzzer_stats"));
    let stats = stats.expect("afl-fuzz has written it");
    assert!(stats.contains("shmem_testcase deferred"), "{stats}");
}

fn finds_the_bug_in_c(linked: Linked) {
    if let Some(target) = Target::build(linked) {
        let words = ["ours", "2", "64", "ft"];
        finds_the_bug(&target, "BUF", &words, |input| input.starts_with(b"BUG"));
    }
}

#[test]
fn afl_fuzz_finds_a_bug_that_a_worker_thread_has() {
    finds_the_bug_in_c(Linked::Shared);
}

#[test]
fn the_static_library_is_recognised_as_well() {
    finds_the_bug_in_c(Linked::Static);
}

#[test]
fn a_program_in_rust_is_recognised_and_its_panics_are_crashes() {
    if let Some(target) = Target::build_in_rust(Built::AsIs) {
        // `<` and `=` differ in one bit.
        finds_the_bug(&target, "a=b<", &[], |input| {
            input.iter().filter(|&&byte| byte == b'=').count() > 1
        });
    }
}

/// `cargo afl` compiles all crates, this library too. What it covers between two runs would change from run
/// to run, and afl-fuzz would trust no input.
#[test]
fn the_librarys_own_work_covers_nothing() {
    let Some(target) = Target::build_in_rust(Built::ForAfl) else {
        return;
    };
    let inputs = target.inputs(&["hello", "a=b"]);
    let flags = ["-t", "2000", "-V", "3"];
    let output = target.run("afl-fuzz", &flags, &inputs, &["alone"]);
    assert!(output.success(), "{output:?}");
    let stats = fs::read_to_string(target.found().join("default/fuzzer_stats"));
    let stats = stats.expect("afl-fuzz has written it");
    let stability = stats.lines().find(|line| line.starts_with("stability"));
    assert!(
        stability.is_some_and(|line| line.ends_with(" 100.00%")),
        "{stats}"
    );
}

/// afl-fuzz takes any program with the text for one that starts its own fork server.
#[test]
fn other_programs_are_not_recognised() {
    let text = b"##SIG_AFL_DEFER_FORKSRV##\0";
    let place = Place::new();
    let library = CLibrary::install(&place);
    let example = binaries::workspace().join("snapshot-c/examples/attempt.c");
    let in_c = library.compile(&example, Linked::Static, &place.work());
    for program in [binaries::guest("attempts"), in_c] {
        let bytes = fs::read(&program).expect("it is built");
        assert!(
            !bytes.windows(text.len()).any(|part| part == text),
            "{program:?}"
        );
    }
}

/// The commands of the section on fuzzing, run as they stand.
#[test]
fn the_commands_of_the_docs_find_a_bug() {
    if outside::find("afl-fuzz").is_none() || outside::find("pkg-config").is_none() {
        return;
    }
    let docs = binaries::workspace().join("docs/library.md");
    let docs = fs::read_to_string(docs).expect("it is there");
    let section = docs.split_once("## Fuzzing").expect("it has one").1;
    let commands = section.split("```").nth(1).expect("it has commands");
    let commands = commands.strip_prefix("sh\n").expect("for a shell");
    let place = Place::new();
    let library = CLibrary::install(&place);
    let package = binaries::workspace().join("snapshot-c");
    std::os::unix::fs::symlink(package, place.work().join("snapshot-c")).expect("it is ours");
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", commands]);
    place.furnish(&mut shell);
    shell
        .envs(VARIABLES)
        .env("PKG_CONFIG_PATH", library.pkg_config_directory())
        .env("LD_LIBRARY_PATH", place.path("prefix/lib"));
    let output = deadline::run(&mut shell);
    assert!(output.success(), "{output:?}");
    let crashes = contents(&place.work().join("found/default/crashes"));
    assert!(!crashes.is_empty(), "{output:?}");
}

/// Every run covers what it would cover alone: after a hang that was killed, and after a crash.
#[test]
fn each_run_has_its_own_coverage_and_its_own_end() {
    let Some(target) = Target::build(Linked::Shared) else {
        return;
    };
    // Threads that wait for each other take one way or the other; a single one is the same each time.
    let inputs = ["hello", "HA", "hello", "BUG", "hello", "Bother"];
    let output = target.show(&inputs, &["ours", "0", "1", "ft"]);
    assert_eq!(failures(&output), (1, 1), "{output:?}");
    let covered = contents(&target.found());
    let names: Vec<&str> = covered.keys().map(String::as_str).collect();
    assert_eq!(names, ["0", "1", "2", "3", "4", "5"], "{output:?}");
    let same: Vec<&str> = names
        .iter()
        .copied()
        .filter(|&name| covered.get(name) == covered.get("0"))
        .collect();
    assert_eq!(same, ["0", "2", "4"], "{covered:?}");
    assert!(covered.values().all(|map| !map.is_empty()), "{covered:?}");
}

/// What is set up before the fork server starts: ours keeps it for every run, AFL++'s own does not.
#[track_caller]
fn is_lost_by_afl(workers: &str, kept: &str, lost: (usize, usize)) {
    let Some(target) = Target::build(Linked::Shared) else {
        return;
    };
    for (server, expected) in [("ours", (0, 0)), ("afl", lost)] {
        let output = target.show(&["hello"; 3], &[server, workers, "1", kept]);
        assert_eq!(failures(&output), expected, "{server}: {output:?}");
        target.forget();
    }
}

#[test]
fn threads_are_there_for_each_run() {
    // A fork has one thread, so nobody takes the input.
    is_lost_by_afl("2", "", (3, 0));
}

#[test]
fn timers_run_in_each_run() {
    is_lost_by_afl("0", "t", (0, 3));
}

#[test]
fn offsets_of_files_are_the_same_for_each_run() {
    // The first run moves it for all.
    is_lost_by_afl("0", "f", (0, 2));
}
