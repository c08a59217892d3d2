//! Which cargo and which rustc are called, and what to say if cargo doesn't start.
//!
//! Cargo sets `CARGO` for its subcommands, so that they call the cargo of the same toolchain. A
//! person who starts `cargo-snapshot` by its own name gets the cargo on the PATH.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use snapshot_launch::problem::{Problem, exit};

/// The toolchain, known by its cargo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain(OsString);

impl Toolchain {
    /// `$CARGO`, else `cargo`.
    pub fn find() -> Self {
        Self::from_variable(std::env::var_os("CARGO"))
    }

    fn from_variable(variable: Option<OsString>) -> Self {
        Self(
            variable
                .filter(|cargo| !cargo.is_empty())
                .unwrap_or_else(|| "cargo".into()),
        )
    }

    /// A command that runs cargo.
    pub fn cargo(&self) -> Command {
        Command::new(&self.0)
    }

    /// The path of cargo, for the `CARGO` of the program.
    pub fn cargo_path(&self) -> PathBuf {
        self.cargo_path_in(std::env::var_os("PATH").as_deref())
    }

    fn cargo_path_in(&self, search: Option<&OsStr>) -> PathBuf {
        let name = Path::new(&self.0);
        if name.components().count() > 1 {
            return name.to_owned();
        }
        search
            .into_iter()
            .flat_map(std::env::split_paths)
            .map(|directory| directory.join(name))
            .find(|candidate| candidate.is_file())
            .unwrap_or_else(|| name.to_owned())
    }

    /// Its rustc: `$RUSTC`, else the one beside cargo, else the one on the PATH.
    pub fn rustc(&self) -> OsString {
        if let Some(rustc) = std::env::var_os("RUSTC").filter(|rustc| !rustc.is_empty()) {
            return rustc;
        }
        let beside = self.cargo_path().with_file_name("rustc");
        if beside.components().count() > 1 && beside.is_file() {
            beside.into()
        } else {
            "rustc".into()
        }
    }

    /// What to say if cargo doesn't start.
    pub fn not_started(&self, error: &io::Error) -> Problem {
        Problem::new(
            exit::SETUP,
            format!("cannot run `{}`", Path::new(&self.0).display()),
        )
        .cause(error)
        .help("install Rust from https://rustup.rs, or set CARGO to the path of cargo")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins() {
        let cargo =
            |variable: Option<&str>| Toolchain::from_variable(variable.map(OsString::from)).0;
        assert_eq!(cargo(Some("/opt/cargo")), "/opt/cargo");
        assert_eq!(cargo(Some("")), "cargo");
        assert_eq!(cargo(None), "cargo");
    }

    #[test]
    fn the_path_is_searched_for_a_bare_name_only() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("cargo");
        std::fs::write(&file, "").expect("a file in it");
        let search = std::env::join_paths([Path::new("/nonexistent"), directory.path()])
            .expect("no colon in a temporary directory");
        assert_eq!(Toolchain("cargo".into()).cargo_path_in(Some(&search)), file);
        assert_eq!(
            Toolchain("/opt/cargo".into()).cargo_path_in(Some(&search)),
            Path::new("/opt/cargo")
        );
        assert_eq!(
            Toolchain("cargo".into()).cargo_path_in(None),
            Path::new("cargo")
        );
    }

    #[test]
    fn a_missing_cargo_is_a_setup_failure_with_help() {
        let error = Toolchain("/nonexistent/cargo".into())
            .cargo()
            .spawn()
            .expect_err("there is no such program");
        let problem = Toolchain("/nonexistent/cargo".into()).not_started(&error);
        assert_eq!(problem.code, exit::SETUP);
        assert_eq!(problem.what, "cannot run `/nonexistent/cargo`");
        assert!(problem.help.is_some());
    }
}
