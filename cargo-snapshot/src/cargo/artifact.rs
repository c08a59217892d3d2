//! From a chosen target to exactly one executable: `cargo build`, and what its JSON messages say.
//!
//! Cargo keeps its stderr, so progress and compile errors look as always. `commands::run` builds
//! after `target_choice` has settled the target.

use std::io::BufReader;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use cargo_metadata::{Artifact, BuildScript, Message, PackageId};
use snapshot_launch::problem::{Problem, exit};

use super::{flags::CargoFlags, target::TargetChoice, toolchain::Toolchain};

/// The executable, and what cargo's messages say about its surroundings.
#[derive(Debug)]
pub struct Built {
    /// Its path.
    pub executable: PathBuf,
    /// The package it belongs to.
    pub package: PackageId,
    /// What the build scripts said, in the order in which they ran.
    pub scripts: Vec<BuildScript>,
    /// The directories of shared libraries that the executable may need.
    pub loader_directories: Vec<PathBuf>,
}

/// Builds the target.
///
/// # Errors
/// If cargo doesn't start, the build fails, or it gives no executable or several.
pub fn build(
    toolchain: &Toolchain,
    flags: &CargoFlags,
    choice: &TargetChoice,
) -> Result<Built, Problem> {
    let mut child = toolchain
        .cargo()
        .args(flags.build_args(choice))
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| toolchain.not_started(&error))?;
    let mut messages = Vec::new();
    let mut unreadable = None;
    if let Some(stdout) = child.stdout.take() {
        for message in Message::parse_stream(BufReader::new(stdout)) {
            match message {
                Ok(message) => messages.push(message),
                Err(error) => {
                    unreadable = Some(error);
                    break;
                }
            }
        }
    }
    let status = child.wait().map_err(|error| failed().cause(error))?;
    if !status.success() {
        return Err(why_failed(status));
    }
    if let Some(error) = unreadable {
        return Err(failed().cause(format!("cargo's messages can't be read: {error}")));
    }
    pick(messages, choice)
}

fn failed() -> Problem {
    Problem::new(exit::BUILD, "the build failed")
}

/// Cargo itself says why, unless a signal killed it.
fn why_failed(status: ExitStatus) -> Problem {
    match status.signal() {
        None => failed(),
        Some(signal) => failed().cause(format!(
            "cargo was killed by {}",
            snapshot_launch::signals::name_of(signal)
        )),
    }
}

/// The one executable of the chosen target among the messages.
pub fn pick(messages: Vec<Message>, choice: &TargetChoice) -> Result<Built, Problem> {
    let mut candidates = Vec::new();
    let mut scripts = Vec::new();
    let mut loader_directories = Vec::new();
    for message in messages {
        match message {
            Message::BuildScriptExecuted(script) => scripts.push(script),
            Message::CompilerArtifact(artifact) => {
                loader_directories.extend(shared_libraries(&artifact));
                if choice.is(&artifact.target)
                    && let Some(executable) = artifact.executable
                {
                    candidates.push((executable.into_std_path_buf(), artifact.package_id));
                }
            }
            _ => {}
        }
    }
    loader_directories.sort();
    loader_directories.dedup();
    if candidates.len() > 1 {
        return Err(several(choice, &candidates));
    }
    let Some((executable, package)) = candidates.pop() else {
        return Err(Problem::new(
            exit::USAGE,
            format!(
                "{} target `{}` gave no executable",
                choice.kind, choice.name
            ),
        )
        .cause("cargo built it, and named no file that can be run"));
    };
    Ok(Built {
        executable,
        package,
        scripts,
        loader_directories,
    })
}

/// The directories of the shared libraries among an artifact's files.
fn shared_libraries(artifact: &Artifact) -> impl Iterator<Item = PathBuf> {
    artifact
        .filenames
        .iter()
        .filter(|file| file.extension() == Some("so"))
        .filter_map(|file| file.parent())
        .map(|directory| directory.as_std_path().to_owned())
}

fn several(choice: &TargetChoice, candidates: &[(PathBuf, PackageId)]) -> Problem {
    let list: Vec<_> = candidates
        .iter()
        .map(|(executable, package)| format!("{} ({})", executable.display(), package.repr))
        .collect();
    Problem::new(
        exit::USAGE,
        format!(
            "several {} targets are called `{}`",
            choice.kind, choice.name
        ),
    )
    .cause(list.join("\n         "))
    .help("name the package with `-p`")
}

impl Built {
    /// The output directory of the profile, where libraries lie beside binaries.
    pub fn root(&self) -> &Path {
        let directory = self.executable.parent().unwrap_or(Path::new(""));
        if directory.ends_with("deps") || directory.ends_with("examples") {
            directory.parent().unwrap_or(directory)
        } else {
            directory
        }
    }

    /// What the build script of the executable's own package said.
    pub fn own_script(&self) -> Option<&BuildScript> {
        // If it ran for the host and for the target, the target's run is the later one.
        self.scripts
            .iter()
            .rfind(|script| script.package_id == self.package)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::samples::{self, artifact, choice, messages};
    use crate::cargo::target::Kind;

    #[test]
    fn the_chosen_one_is_picked() {
        let built = samples::built();
        assert_eq!(built.executable, Path::new("/w/target/debug/one"));
        assert_eq!(built.package.repr, "path+file:///w/a#1.2.3-rc.1");
        assert_eq!(built.loader_directories, [Path::new("/w/target/debug")]);
        let script = built.own_script().expect("it has one");
        assert_eq!(script.env, [("FROM_SCRIPT".to_owned(), "a".to_owned())]);
    }

    #[test]
    fn the_binaries_that_a_test_needs_are_no_candidates() {
        let messages = messages(&[
            artifact("a", "bin", "t", Some("/w/target/debug/t")),
            artifact("a", "test", "t", Some("/w/target/debug/deps/t-0123")),
        ]);
        let built = pick(messages, &choice(Kind::Test, "t")).expect("one test");
        assert_eq!(built.executable, Path::new("/w/target/debug/deps/t-0123"));
        assert_eq!(built.root(), Path::new("/w/target/debug"));
    }

    #[test]
    fn several_are_listed() {
        let messages = messages(&[
            artifact("a", "bin", "x", Some("/w/target/debug/x")),
            artifact("b", "bin", "x", Some("/w/target/debug/x")),
        ]);
        let problem = pick(messages, &choice(Kind::Bin, "x")).expect_err("two");
        assert_eq!(problem.code, exit::USAGE);
        let cause = problem.cause.expect("the list");
        assert!(
            cause.contains("/w/a#") && cause.contains("/w/b#"),
            "{cause}"
        );
    }

    #[test]
    fn none_is_a_usage_error() {
        let messages = messages(&[artifact("a", "bin", "x", None)]);
        let problem = pick(messages, &choice(Kind::Bin, "x")).expect_err("none");
        assert_eq!(problem.code, exit::USAGE);
    }

    #[test]
    fn the_root_is_above_examples_and_tests() {
        let mut built = samples::built();
        for executable in [
            "/w/target/debug/one",
            "/w/target/debug/examples/ex",
            "/w/target/debug/deps/t-0123",
        ] {
            built.executable = executable.into();
            assert_eq!(built.root(), Path::new("/w/target/debug"), "{executable}");
        }
    }

    #[test]
    fn a_failed_build_says_little() {
        assert_eq!(
            why_failed(ExitStatus::from_raw(101 << 8)).to_string(),
            "error: the build failed"
        );
        assert_eq!(
            why_failed(ExitStatus::from_raw(9)).cause.as_deref(),
            Some("cargo was killed by SIGKILL")
        );
    }
}
