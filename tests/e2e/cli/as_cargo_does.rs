//! `cargo snapshot run` builds what `cargo run` builds, and gives the program the same
//! environment. Each test compares the two.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use snapshot_tests::deadline::{self, Output};
use snapshot_tests::{Launch, Place, binaries};

/// Prints who it is and how it was built and called.
const TELL: &str = r#"
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!("{} {arguments:?}", env!("CARGO_BIN_NAME"));
    println!("debug {}", cfg!(debug_assertions));
    println!("features {} {}", cfg!(feature = "loud"), cfg!(feature = "quiet"));
    println!("from {}", std::env::current_exe().unwrap().display());
}
"#;

/// Files of a project, by their paths in it.
type Files<'a> = &'a [(&'a str, &'a str)];

/// Writes a project into the place's work directory.
fn project(place: &Place, name: &str, files: Files) -> PathBuf {
    let root = place.work().join(name);
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("it is in the project")).expect("ours");
        fs::write(path, text).expect("the place is ours");
    }
    root
}

/// A package with one binary of this source.
fn single(place: &Place, name: &str, main: &str) -> PathBuf {
    let manifest = format!("[package]\nname = \"{name}\"\nedition = \"2021\"\n");
    project(
        place,
        name,
        &[("Cargo.toml", &manifest), ("src/main.rs", main)],
    )
}

/// A package with something of every kind.
fn many(place: &Place) -> PathBuf {
    let manifest = r#"
[package]
name = "many"
edition = "2021"
[features]
default = ["quiet"]
quiet = []
loud = []
[[bench]]
name = "speed"
harness = false
[profile.careful]
inherits = "dev"
debug-assertions = false
"#;
    let example = r#"fn main() { println!("example {:?}", std::env::args().nth(1)); }"#;
    let bench =
        r#"fn main() { println!("bench {:?}", std::env::args().skip(1).collect::<Vec<_>>()); }"#;
    let test = r#"
#[test] fn first() { println!("first says so"); }
#[test] fn second() { println!("second says so"); }
"#;
    project(
        place,
        "many",
        &[
            ("Cargo.toml", manifest),
            ("src/bin/one.rs", TELL),
            ("src/bin/two.rs", TELL),
            ("examples/sample.rs", example),
            ("tests/whole.rs", test),
            ("benches/speed.rs", bench),
        ],
    )
}

/// `cargo snapshot run FLAGS`, to be started.
fn run(place: &Arc<Place>, directory: &Path, flags: &[&str]) -> Launch {
    let mut all = vec!["run", "--offline"];
    all.extend(flags);
    Launch::cargo_snapshot(&all)
        .place(place)
        .directory(directory)
}

/// Runs it to its end.
fn finish(launch: Launch) -> Output {
    let mut session = launch.piped();
    session.close_stdin();
    session.finish()
}

/// Plain `cargo ARGUMENTS`.
fn cargo(place: &Place, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binaries::cargo());
    place.furnish(&mut command);
    command.args(arguments).current_dir(directory);
    command
}

/// Asserts that it succeeded and printed these lines, whatever else.
fn says(output: &Output, lines: &[&str]) {
    assert!(output.success(), "{output:?}");
    for line in lines {
        assert!(
            output.stdout.lines().any(|found| found == *line),
            "no {line:?} in {output:?}"
        );
    }
}

#[test]
fn several_binaries_are_listed_and_nothing_is_built() {
    let place = Place::new();
    let root = many(&place);
    let output = finish(run(&place, &root, &[]));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stderr.contains("one, two"), "{output:?}");
    assert!(output.stderr.contains("--bin"), "{output:?}");
    assert_eq!(output.stdout, "");
    let output = finish(run(&place, &root, &["--bin", "three"]));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        output.stderr.contains("three") && output.stderr.contains("one, two"),
        "{output:?}"
    );
    let output = finish(run(&place, &root, &["--example", "none"]));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stderr.contains("sample"), "{output:?}");
    assert!(
        !root.join("target").exists(),
        "a choice that can't be made costs no build"
    );
}

#[test]
fn profiles_and_features_reach_the_build() {
    let place = Place::new();
    let root = many(&place);
    let one = |flags: &[&str]| {
        let mut all = vec!["--bin", "one"];
        all.extend(flags);
        finish(run(&place, &root, &all))
    };
    says(&one(&[]), &["debug true", "features false true"]);
    says(
        &one(&["--release"]),
        &["debug false", "features false true"],
    );
    says(&one(&["--profile", "careful"]), &["debug false"]);
    says(&one(&["--features", "loud"]), &["features true true"]);
    says(
        &one(&["-F", "loud", "--no-default-features"]),
        &["features true false"],
    );
    says(&one(&["--no-default-features"]), &["features false false"]);
    says(&one(&["--all-features"]), &["features true true"]);
    says(&one(&["-j", "1", "--locked"]), &["debug true"]);
    let triple = "x86_64-unknown-linux-gnu";
    let output = one(&["--target", triple]);
    says(&output, &["debug true"]);
    assert!(
        output.stdout.contains(&format!("/{triple}/debug/one")),
        "{output:?}"
    );
}

#[test]
fn manifest_path_and_target_dir_are_followed() {
    let place = Place::new();
    let root = single(&place, "apart", TELL);
    let manifest = root.join("Cargo.toml");
    let target = place.path("elsewhere");
    let flags = [
        "--manifest-path",
        manifest.to_str().expect("a plain path"),
        "--target-dir",
        target.to_str().expect("a plain path"),
    ];
    let output = finish(run(&place, &place.work(), &flags));
    let from = format!("from {}", target.join("debug/apart").display());
    says(&output, &["apart []", &from]);
    assert!(!root.join("target").exists());
}

#[test]
fn arguments_reach_the_program_as_they_are() {
    let place = Place::new();
    let root = single(&place, "args", TELL);
    let odd = ["--bin", "-p", "a b", "", "--", "--events", "'\"$HOME\\"];
    let output = finish(run(&place, &root, &[]).args(odd));
    says(&output, &[&format!("args {odd:?}")]);
    let direct = finish(Launch::program(root.join("target/debug/args")).args(odd));
    says(&direct, &[&format!("args {odd:?}")]);
}

#[test]
fn the_program_finds_what_cargo_run_would_give_it() {
    let place = Place::new();
    let source = r#"
fn main() {
    let mut all: Vec<_> = std::env::vars().filter(|(name, _)| {
        name == "LD_LIBRARY_PATH" || name == "OUT_DIR" || name == "TOLD"
            || name.starts_with("CARGO") && !name.starts_with("CARGO_SNAPSHOT")
    }).collect();
    all.sort();
    for (name, value) in all { println!("{name}={value}"); }
    println!("in {}", std::env::current_dir().unwrap().display());
    println!("as {}", std::env::args().next().unwrap());
}
"#;
    let manifest = r#"
[package]
name = "surroundings"
version = "1.2.3-rc.1"
edition = "2021"
authors = ["A <a@example.org>", "B"]
description = "what it is"
rust-version = "1.60"
"#;
    let build = r#"fn main() { println!("cargo:rustc-env=TOLD=yes"); }"#;
    let files = [
        ("Cargo.toml", manifest),
        ("src/main.rs", source),
        ("build.rs", build),
        ("below/keep", ""),
    ];
    let root = project(&place, "surroundings", &files);
    for directory in [root.clone(), root.join("below")] {
        let plain = deadline::run(&mut cargo(&place, &directory, &["run", "--offline", "-q"]));
        assert!(plain.success(), "{plain:?}");
        let output = finish(run(&place, &directory, &[]));
        assert!(output.success(), "{output:?}");
        assert_eq!(output.stdout, plain.stdout);
        assert!(
            plain.stdout.contains("CARGO_PKG_VERSION_PRE=rc.1"),
            "{plain:?}"
        );
    }
}

#[test]
fn what_is_fresh_is_not_built_again() {
    let place = Place::new();
    let root = single(&place, "fresh", TELL);
    let build = deadline::run(&mut cargo(&place, &root, &["build", "--offline"]));
    assert!(build.success(), "{build:?}");
    let output = finish(run(&place, &root, &[]));
    says(&output, &["fresh []"]);
    assert!(!output.stderr.contains("Compiling"), "{output:?}");
    assert!(output.stderr.contains("Finished"), "{output:?}");
    let output = finish(run(&place, &root, &["-q"]));
    says(&output, &["fresh []"]);
    assert!(!output.stderr.contains("Finished"), "{output:?}");
    fs::write(
        root.join("src/main.rs"),
        TELL.replace("debug {}", "changed {}"),
    )
    .expect("ours");
    let output = finish(run(&place, &root, &["-v"]));
    says(&output, &["changed true"]);
    assert!(output.stderr.contains("Running `"), "{output:?}");
    // And the other way round.
    let build = deadline::run(&mut cargo(&place, &root, &["build", "--offline"]));
    assert!(!build.stderr.contains("Compiling"), "{build:?}");
}

/// What cargo said, without what it waited for.
fn said(output: &Output) -> String {
    let lines = output.stderr.lines();
    let said: Vec<&str> = lines
        .filter(|line| !line.trim_start().starts_with("Blocking waiting"))
        .collect();
    said.join("\n")
}

#[test]
fn compile_errors_appear_as_cargo_prints_them() {
    let place = Place::new();
    let root = single(
        &place,
        "broken",
        "fn main() { let unused = 1; println!(\"{}\", nothing); }\n",
    );
    let plain = deadline::run(&mut cargo(&place, &root, &["build", "--offline"]));
    assert_eq!(plain.status.code(), Some(101), "{plain:?}");
    let output = finish(run(&place, &root, &[]));
    assert_eq!(output.status.code(), Some(101), "{output:?}");
    assert_eq!(output.stdout, "");
    assert!(
        said(&output).starts_with(&said(&plain)),
        "{output:?}\nand not\n{plain:?}"
    );
    assert!(output.stderr.contains("error[E0425]"), "{output:?}");

    // Warnings stand before the program's output, and don't stop it.
    fs::write(
        root.join("src/main.rs"),
        "fn main() { let unused = 1; println!(\"ran\"); }\n",
    )
    .expect("ours");
    let output = finish(run(&place, &root, &[]));
    says(&output, &["ran"]);
    assert!(
        output.stderr.contains("warning: unused variable"),
        "{output:?}"
    );
}
