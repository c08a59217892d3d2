//! The binaries under test, built once a test process, and the guests beside them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use cargo_metadata::{Artifact, Message};

/// The two binaries of the tool.
#[derive(Debug)]
pub struct Tools {
    /// The cargo subcommand.
    pub cargo_snapshot: PathBuf,
    /// The launcher.
    pub snapshot_launch: PathBuf,
}

/// The tool, built by the same cargo, in the same profile and target directory as the
/// running test. Cargo builds no other package's binaries for a test by itself.
///
/// # Panics
/// When the build fails.
pub fn tools() -> &'static Tools {
    static TOOLS: OnceLock<Tools> = OnceLock::new();
    TOOLS.get_or_init(|| {
        crate::deadline::guard_this_process();
        build()
    })
}

/// The program `cargo` that runs the tests.
pub fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// Where cargo puts binaries of the running test's profile.
fn profile_directory() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has an executable");
    let dependencies = test.parent().expect("an executable lies in a directory");
    dependencies
        .parent()
        .expect("cargo puts tests into `deps`")
        .to_owned()
}

fn build() -> Tools {
    let found = cargo_build(&["--bins", "-p", "cargo-snapshot", "-p", "snapshot-launch"]);
    let path_of = |name: &str| {
        let artifact = found.iter().find(|artifact| artifact.target.name == name);
        let path = artifact.and_then(|artifact| artifact.executable.clone());
        path.unwrap_or_else(|| panic!("cargo built no `{name}`"))
            .into_std_path_buf()
    };
    Tools {
        cargo_snapshot: path_of("cargo-snapshot"),
        snapshot_launch: path_of("snapshot-launch"),
    }
}

/// Has the same cargo build something of this workspace, in the same profile and target directory as
/// the running test.
///
/// # Panics
/// When the build fails.
pub fn cargo_build(what: &[&str]) -> Vec<Artifact> {
    built_by(Command::new(cargo()), what, &target_directory())
}

/// The same with flags for the compiler, in a directory for these.
///
/// # Panics
/// When it does not build.
pub fn cargo_build_with(what: &[&str], target: &Path, flags: &str) -> Vec<Artifact> {
    let mut command = Command::new(cargo());
    command.env("RUSTFLAGS", flags);
    built_by(command, what, target)
}

fn built_by(mut command: Command, what: &[&str], target: &Path) -> Vec<Artifact> {
    command
        .args(["build", "--message-format=json-render-diagnostics"])
        .args(what)
        .arg("--manifest-path")
        .arg(workspace().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if is_release() {
        command.arg("--release");
    }
    let output = command.output().expect("cargo runs the tests, so it runs");
    assert!(output.status.success(), "{what:?} does not build");
    Message::parse_stream(output.stdout.as_slice())
        .filter_map(|message| match message.expect("cargo speaks JSON") {
            Message::CompilerArtifact(artifact) => Some(artifact),
            _ => None,
        })
        .collect()
}

/// The project's root.
pub fn workspace() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the tests are a member of the workspace")
}

/// The target directory of the running test.
pub fn target_directory() -> PathBuf {
    let profile = profile_directory();
    let target = profile
        .parent()
        .expect("a profile's directory has a parent");
    target.to_owned()
}

/// Whether the running test is optimised.
pub fn is_release() -> bool {
    profile_directory().ends_with("release")
}

/// A guest program by its name. Cargo builds it before the test.
///
/// # Panics
/// When there is no such guest.
pub fn guest(name: &str) -> PathBuf {
    let path = profile_directory().join(name);
    assert!(path.is_file(), "there is no guest `{name}`");
    path
}

/// The source of a guest that cargo does not build: a script, or a file for [`compile`].
///
/// # Panics
/// When there is no such file.
pub fn source(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("guests")
        .join(name);
    assert!(path.is_file(), "there is no guest `{name}`");
    path
}

/// Compiles a short C program and returns its path. Every machine that builds Rust has a C
/// compiler, since Rust links with it.
///
/// # Panics
/// When it does not compile.
pub fn compile_c(source: &str, options: &[&str], directory: &Path) -> PathBuf {
    let file = directory.join("guest.c");
    std::fs::write(&file, source).expect("the test's own directory is writable");
    compile("cc", &file, options, directory)
}

/// Compiles a file into the program `guest` of that directory, and returns its path.
///
/// # Panics
/// When it does not compile.
pub fn compile(
    compiler: impl AsRef<OsStr>,
    file: &Path,
    options: &[&str],
    directory: &Path,
) -> PathBuf {
    let program = directory.join("guest");
    let output = crate::deadline::run(
        Command::new(compiler)
            .arg("-o")
            .arg(&program)
            .arg(file)
            .args(options),
    );
    assert!(
        output.success(),
        "{} does not compile:\n{}",
        file.display(),
        output.stderr
    );
    program
}

/// Compiles a guest that is written in C, `guests/NAME.c`, and returns its path.
///
/// # Panics
/// When there is no such guest, or it does not compile.
pub fn guest_in_c(name: &str, directory: &Path) -> PathBuf {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    let read = |file: &str| {
        std::fs::read_to_string(guests.join(file))
            .unwrap_or_else(|error| panic!("there is no guest `{file}`: {error}"))
    };
    let source = read("obey.h") + &read(&format!("{name}.c"));
    // A guest of several files includes them.
    let include = format!("-I{}", guests.display());
    let options = ["-D_GNU_SOURCE", "-pthread", "-O1", &include];
    compile_c(&source, &options, directory)
}
