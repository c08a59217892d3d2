//! `cargo snapshot run` and `exec`, and the launcher as a cargo runner: they find the right
//! program, pass its arguments, and end as it ends.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use snapshot_tests::deadline::Output;
use snapshot_tests::{Launch, Place, Signal, binaries, deadline};

/// A binary that says who it is and what it was given, and ends as its argument says.
const MAIN: &str = r#"
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let executable = std::env::current_exe().unwrap();
    println!("{} {:?} {}", NAME, arguments, executable.display());
    println!("debug {} loud {}", cfg!(debug_assertions), cfg!(feature = "loud"));
    match arguments.first().map(String::as_str) {
        Some("exit") => std::process::exit(arguments[1].parse().unwrap()),
        Some("abort") => std::process::abort(),
        Some("read") => {
            let mut memory = Vec::new();
            for line in std::io::stdin().lines() {
                let line = line.unwrap();
                if line == "crash" {
                    std::process::abort();
                }
                memory.push(line);
                println!("{memory:?}");
            }
        }
        _ => {}
    }
}
"#;

/// Writes a file, unless it is there already: then cargo need not build it again. Whole
/// or not at all, since another test process may be at the same.
fn write(path: &Path, text: &str) {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    let directory = path.parent().expect("a file lies in a directory");
    std::fs::create_dir_all(directory).expect("the directory is ours");
    let mut file = tempfile::NamedTempFile::new_in(directory).expect("the directory is ours");
    std::io::Write::write_all(&mut file, text.as_bytes()).expect("the file is ours");
    file.persist(path).expect("the directory is ours");
}

fn source(name: &str) -> String {
    format!("const NAME: &str = {name:?};\n{MAIN}")
}

/// Several packages of several targets, in cargo's directory for what tests make, and
/// so built once.
struct Projects {
    root: PathBuf,
}

impl Projects {
    fn get() -> &'static Self {
        static PROJECTS: OnceLock<Projects> = OnceLock::new();
        PROJECTS.get_or_init(|| {
            let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects");
            let projects = Self { root };
            projects.fill();
            projects
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn package(&self, name: &str, extra: &str, binaries: &[&str]) {
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{extra}\n\
             [features]\nloud = []\n[workspace]\n"
        );
        write(&self.path(&format!("{name}/Cargo.toml")), &manifest);
        self.binaries(name, binaries);
    }

    fn binaries(&self, name: &str, binaries: &[&str]) {
        for binary in binaries {
            let file = format!("{name}/src/bin/{binary}.rs");
            write(&self.path(&file), &source(binary));
        }
    }

    fn fill(&self) {
        self.package("single", "", &["single"]);
        self.package("several", "", &["one", "two"]);
        self.package("chosen", "default-run = \"second\"", &["first", "second"]);
        self.package("broken", "", &[]);
        write(
            &self.path("broken/src/main.rs"),
            "fn main() { let number: u32 = \"text\"; }\n",
        );
        self.package("rich", "", &["rich"]);
        write(&self.path("rich/examples/shown.rs"), &source("shown"));
        write(
            &self.path("rich/tests/tested.rs"),
            "#[test]\nfn it_works() { println!(\"tested\"); }\n",
        );
        self.package("library-only", "", &[]);
        write(&self.path("library-only/src/lib.rs"), "");

        write(
            &self.path("workspace/Cargo.toml"),
            "[workspace]\nresolver = \"2\"\nmembers = [\"left\", \"right\"]\n",
        );
        for member in ["left", "right"] {
            self.binaries(&format!("workspace/{member}"), &[member]);
            let manifest = format!(
                "[package]\nname = \"{member}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"
            );
            write(
                &self.path(&format!("workspace/{member}/Cargo.toml")),
                &manifest,
            );
        }
    }
}

/// A launch of `cargo snapshot run FLAGS` in a project.
fn run(project: &str, flags: &[&str]) -> Launch {
    let mut arguments = vec!["run", "--offline"];
    arguments.extend(flags);
    Launch::cargo_snapshot(&arguments).directory(&Projects::get().path(project))
}

/// The first line: name, arguments, executable.
fn first_line(output: &Output) -> &str {
    output
        .stdout
        .lines()
        .next()
        .unwrap_or_else(|| panic!("nothing ran: {output:?}"))
}

fn assert_ran(output: &Output, name: &str) {
    assert!(output.success(), "{output:?}");
    assert!(
        first_line(output).starts_with(&format!("{name} [")),
        "{output:?}"
    );
}

#[test]
fn the_only_binary_is_built_and_run_with_its_arguments() {
    let output = run("single", &[])
        .args(["one", "--two", "-3", "--", "four words and a $sign"])
        .piped()
        .finish();
    assert_ran(&output, "single");
    let arguments = r#"single ["one", "--two", "-3", "--", "four words and a $sign"] "#;
    assert!(first_line(&output).starts_with(arguments), "{output:?}");
    assert!(output.stdout.contains("debug true loud false"));
    assert!(first_line(&output).ends_with("/debug/single"), "{output:?}");
}

#[test]
fn several_candidates_are_listed() {
    let mut session = run("several", &[]).piped();
    assert_eq!(session.wait_gone().code(), Some(2));
    let stderr = session.stderr();
    assert!(stderr.contains("one") && stderr.contains("two"), "{stderr}");
    assert_eq!(session.stdout(), "");
}

#[test]
fn bin_chooses_one() {
    for name in ["one", "two"] {
        let output = run("several", &["--bin", name]).piped().finish();
        assert_ran(&output, name);
    }
}

#[test]
fn default_run_is_honoured() {
    assert_ran(&run("chosen", &[]).piped().finish(), "second");
    assert_ran(
        &run("chosen", &["--bin", "first"]).piped().finish(),
        "first",
    );
}

#[test]
fn an_example_and_a_test_can_be_run() {
    let output = run("rich", &["--example", "shown"])
        .arg("x")
        .piped()
        .finish();
    assert_ran(&output, "shown");
    assert!(
        first_line(&output).contains("/examples/shown"),
        "{output:?}"
    );
    let output = run("rich", &["--test", "tested"])
        .arg("--nocapture")
        .piped()
        .finish();
    assert!(output.success(), "{output:?}");
    assert!(output.stdout.contains("tested"), "{output:?}");
    assert!(
        output.stdout.contains("test result: ok. 1 passed"),
        "{output:?}"
    );
}

#[test]
fn profile_features_and_target_directory() {
    let target = Projects::get().path("elsewhere");
    let target = target.to_str().expect("the test's paths are text");
    let output = run(
        "single",
        &["--release", "-F", "loud", "--target-dir", target],
    )
    .piped()
    .finish();
    assert_ran(&output, "single");
    assert!(
        output.stdout.contains("debug false loud true"),
        "{output:?}"
    );
    let executable = format!("{target}/release/single");
    assert!(first_line(&output).ends_with(&executable), "{output:?}");
    let output = run("single", &["--profile", "release", "--all-features"])
        .piped()
        .finish();
    assert!(
        output.stdout.contains("debug false loud true"),
        "{output:?}"
    );
}

#[test]
fn a_manifest_path_and_a_package() {
    let manifest = Projects::get().path("single/Cargo.toml");
    let manifest = manifest.to_str().expect("the test's paths are text");
    let output = Launch::cargo_snapshot(&["run", "--offline", "--manifest-path", manifest])
        .piped()
        .finish();
    assert_ran(&output, "single");

    for member in ["left", "right"] {
        assert_ran(&run("workspace", &["-p", member]).piped().finish(), member);
        let directory = format!("workspace/{member}");
        assert_ran(&run(&directory, &[]).piped().finish(), member);
    }
    let mut session = run("workspace", &[]).piped();
    assert_eq!(session.wait_gone().code(), Some(2));
    let stderr = session.stderr();
    assert!(
        stderr.contains("left") && stderr.contains("right"),
        "{stderr}"
    );
}

#[test]
fn a_target_triple() {
    let host = host();
    let output = run("single", &["--target", &host]).piped().finish();
    assert_ran(&output, "single");
    let executable = format!("/{host}/debug/single");
    assert!(first_line(&output).ends_with(&executable), "{output:?}");
}

fn host() -> String {
    let output = deadline::run(Command::new("rustc").arg("-vV"));
    output
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("rustc knows its host")
        .to_owned()
}

#[test]
fn a_failed_build_looks_like_cargos() {
    let mut session = run("broken", &[]).piped();
    assert_eq!(session.wait_gone().code(), Some(101));
    let stderr = session.stderr();
    assert!(
        stderr.contains("error[E0308]: mismatched types"),
        "{stderr}"
    );
    assert!(stderr.contains("--> src/main.rs:1:31"), "{stderr}");
    assert!(stderr.contains("could not compile `broken`"), "{stderr}");
    assert_eq!(session.stdout(), "");
}

#[test]
fn a_binary_that_is_not_there_is_named() {
    let mut session = run("single", &["--bin", "nothing"]).piped();
    // A wrong command line, or what cargo makes of it.
    let code = session.wait_gone().code();
    assert!(matches!(code, Some(2 | 101)), "{code:?}");
    let stderr = session.stderr();
    assert!(stderr.contains("`nothing`"), "{stderr}");
}

#[test]
fn without_a_project_metadata_fails() {
    let mut session = Launch::cargo_snapshot(&["run"]).piped();
    assert_eq!(session.wait_gone().code(), Some(102));
    let stderr = session.stderr();
    assert!(stderr.contains("Cargo.toml"), "{stderr}");
}

#[test]
fn a_package_without_a_binary_is_said_to_have_none() {
    let mut session = run("library-only", &[]).piped();
    let code = session.wait_gone().code();
    assert!(matches!(code, Some(2 | 101)), "{code:?}");
    let stderr = session.stderr();
    assert!(stderr.contains("error"), "{stderr}");
}

#[test]
fn an_unknown_flag_is_status_2() {
    let mut session = run("single", &["--unknown"]).piped();
    assert_eq!(session.wait_gone().code(), Some(2));
    let stderr = session.stderr();
    assert!(stderr.contains("--unknown"), "{stderr}");
}

#[test]
fn the_programs_end_is_passed_on() {
    for code in [0, 3, 101] {
        let mut session = run("single", &[]).args(["exit", &code.to_string()]).piped();
        assert_eq!(session.wait_gone().code(), Some(code));
    }
    let mut session = run("single", &[]).arg("abort").piped();
    assert_eq!(session.wait_gone().signal(), Some(libc::SIGABRT));
}

#[test]
fn a_snapshot_brings_it_back() {
    let mut session = run("single", &["--name", "mine"]).arg("read").piped();
    session.send("one");
    session.next_line("one", |line| line == r#"["one"]"#);
    assert_eq!(session.next("started").text("session"), "mine");
    session.take();
    session.send("two");
    session.next_line("two", |line| line == r#"["one", "two"]"#);
    session.send("crash");
    session.next("reverted");
    session.send("three");
    session.next_line("back", |line| line == r#"["one", "three"]"#);
}

#[test]
fn exec_runs_any_program() {
    let output = Launch::cargo_snapshot(&["exec"])
        .args(["sh", "-c", "echo \"got $1\"; exit 4", "sh", "an argument"])
        .piped()
        .finish();
    assert_eq!(output.stdout, "got an argument\n", "{output:?}");
    assert_eq!(output.status.code(), Some(4));

    let mut session = Launch::cargo_snapshot(&["exec"])
        .arg(binaries::guest("commander"))
        .piped();
    session.ask("set key before");
    session.take();
    session.ask("set key after");
    session.interrupt();
    assert_eq!(session.ask("get key"), "before");
}

#[test]
fn exec_needs_no_project() {
    let output = Launch::cargo_snapshot(&["exec"])
        .arg("true")
        .piped()
        .finish();
    assert!(output.success(), "{output:?}");
}

/// `cargo run` in a project, with the launcher as the runner of this machine's target.
fn by_runner() -> Launch {
    let triple = host().to_uppercase().replace('-', "_");
    Launch::bare(binaries::cargo())
        .args(["run", "--quiet", "--offline", "--"])
        .env(
            &format!("CARGO_TARGET_{triple}_RUNNER"),
            &binaries::tools().snapshot_launch,
        )
        .directory(&Projects::get().path("single"))
}

#[test]
fn as_a_runner_it_passes_arguments_and_status_on() {
    let output = by_runner()
        .args(["exit", "7", "--flag", "two words"])
        .piped()
        .finish();
    let arguments = r#"single ["exit", "7", "--flag", "two words"] "#;
    assert!(first_line(&output).starts_with(arguments), "{output:?}");
    assert_eq!(output.status.code(), Some(7), "{output:?}");
}

#[test]
fn as_a_runner_it_takes_and_reverts() {
    let mut session = by_runner().arg("read").piped();
    session.send("one");
    session.next_line("one", |line| line == r#"["one"]"#);
    session.take();
    session.send("two");
    session.next_line("two", |line| line == r#"["one", "two"]"#);
    session.interrupt();
    session.send("three");
    session.next_line("back", |line| line == r#"["one", "three"]"#);
    session.close_stdin();
    assert!(session.wait_gone().success());
}

#[test]
fn as_a_runner_it_runs_tests() {
    let triple = host().to_uppercase().replace('-', "_");
    let output = Launch::bare(binaries::cargo())
        .args(["test", "--quiet", "--offline", "--test", "tested"])
        .env(
            &format!("CARGO_TARGET_{triple}_RUNNER"),
            &binaries::tools().snapshot_launch,
        )
        .directory(&Projects::get().path("rich"))
        .piped()
        .finish();
    assert!(output.success(), "{output:?}");
    assert!(
        output.stdout.contains("test result: ok. 1 passed"),
        "{output:?}"
    );
}

#[test]
fn cargo_itself_finds_the_subcommand() {
    let place: Arc<Place> = Place::new();
    let directory = binaries::tools()
        .cargo_snapshot
        .parent()
        .expect("a binary lies in a directory");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(
        std::iter::once(directory.to_owned()).chain(std::env::split_paths(&path)),
    )
    .expect("no colon in a path");
    let mut command = Command::new(binaries::cargo());
    place.furnish(&mut command);
    command.env("PATH", &path);
    let output = deadline::run(command.args(["snapshot", "exec", "echo", "hello"]));
    assert_eq!(output.stdout, "hello\n", "{output:?}");
    assert!(output.success(), "{output:?}");

    let mut command = Command::new(binaries::cargo());
    place.furnish(&mut command);
    command.env("PATH", &path);
    let output = deadline::run(command.args(["snapshot", "--help"]));
    assert!(output.success(), "{output:?}");
    for verb in [
        "run", "exec", "sessions", "take", "list", "revert", "commit", "drop",
    ] {
        assert!(output.stdout.contains(verb), "{verb} in {output:?}");
    }
}

#[test]
fn an_interrupt_during_the_build_ends_it() {
    let projects = Projects::get();
    let slow = projects.path("slow");
    projects.package("slow", "", &["slow"]);
    write(
        &slow.join("build.rs"),
        "fn main() {\n    std::fs::write(std::env::var(\"BUILDING\").unwrap(), \"\").unwrap();\n    \
         std::thread::sleep(std::time::Duration::from_secs(1000));\n}\n",
    );
    let place = Place::new();
    let building = place.work().join("building");
    let mut session = run("slow", &[])
        .env("BUILDING", &building)
        .place(&place)
        .terminal();
    session.wait_until("it builds", || building.exists());
    session.type_in("\x03");
    let status = session.wait_gone();
    assert!(!status.success(), "{status}");
    assert!(
        matches!(status.code(), Some(101 | 130)) || status.signal() == Some(Signal::SIGINT as i32),
        "{status}"
    );
}
