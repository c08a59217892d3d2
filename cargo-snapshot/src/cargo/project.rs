//! The project as `cargo metadata` describes it.
//!
//! `commands::run` reads it once, before anything is built.

use std::collections::BTreeMap;
use std::path::Path;

use cargo_metadata::camino::Utf8Path;
use cargo_metadata::{Metadata, Package, PackageId};
use serde::Deserialize;
use snapshot_launch::problem::{Problem, exit};

use super::{flags::CargoFlags, toolchain::Toolchain};

/// The workspace of the current directory, or of `--manifest-path`.
#[derive(Debug)]
pub struct Project {
    metadata: Metadata,
    rust_versions: BTreeMap<PackageId, String>,
}

/// The `rust-version` of each package as the manifest has it. `Metadata` makes `1.88.0` of `1.88`.
#[derive(Deserialize)]
struct AsWritten {
    packages: Vec<PackageAsWritten>,
}

#[derive(Deserialize)]
struct PackageAsWritten {
    id: PackageId,
    rust_version: Option<String>,
}

impl Project {
    /// Asks cargo.
    ///
    /// # Errors
    /// Cargo's own message, if it can't read the project.
    pub fn read(toolchain: &Toolchain, flags: &CargoFlags) -> Result<Self, Problem> {
        let output = toolchain
            .cargo()
            .args(flags.metadata_args())
            .output()
            .map_err(|error| toolchain.not_started(&error))?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            return Err(cannot_read(&own_message(&message)));
        }
        Self::parse(&output.stdout).map_err(|error| {
            cannot_read(&format!(
                "the output of `cargo metadata` makes no sense: {error}"
            ))
        })
    }

    /// Reads what `cargo metadata` printed.
    pub fn parse(json: &[u8]) -> serde_json::Result<Self> {
        let as_written: AsWritten = serde_json::from_slice(json)?;
        Ok(Self {
            metadata: serde_json::from_slice(json)?,
            rust_versions: as_written
                .packages
                .into_iter()
                .filter_map(|package| Some((package.id, package.rust_version?)))
                .collect(),
        })
    }

    /// A package of the workspace.
    pub fn package(&self, id: &PackageId) -> Option<&Package> {
        self.metadata
            .packages
            .iter()
            .find(|package| package.id == *id)
    }

    /// A package's `rust-version` as the manifest has it.
    pub fn rust_version(&self, id: &PackageId) -> Option<&str> {
        self.rust_versions.get(id).map(String::as_str)
    }

    /// The directories that cargo builds into.
    pub fn build_directories(&self) -> impl Iterator<Item = &Path> {
        [
            Some(&self.metadata.target_directory),
            self.metadata.build_directory.as_ref(),
        ]
        .into_iter()
        .flatten()
        .map(|directory| directory.as_std_path())
    }

    /// The packages of the workspace.
    pub fn packages(&self) -> Vec<&Package> {
        self.metadata.workspace_packages()
    }

    /// The packages that cargo takes where `-p` names none.
    pub fn default_packages(&self) -> Vec<&Package> {
        if self.metadata.workspace_default_members.is_available() {
            self.metadata.workspace_default_packages()
        } else {
            self.packages()
        }
    }

    /// The directory of the workspace.
    pub fn root(&self) -> &Utf8Path {
        &self.metadata.workspace_root
    }
}

fn cannot_read(cause: &str) -> Problem {
    Problem::new(exit::METADATA, "cannot read the project").cause(cause)
}

/// What cargo said, indented to stand under `cause:`.
fn own_message(stderr: &str) -> String {
    let message = stderr.trim();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let lines: Vec<_> = message.lines().collect();
    lines.join("\n         ").replace("         \n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::samples;

    #[test]
    fn rust_versions_stay_as_they_are_written() {
        let project = samples::project();
        let package = project.packages()[0];
        assert_eq!(project.rust_version(&package.id), Some("1.88"));
    }

    #[test]
    fn what_cargo_said_is_passed_on() {
        assert_eq!(
            own_message("error: failed to parse manifest\n\nCaused by:\n  no\n"),
            "failed to parse manifest\n\n         Caused by:\n           no"
        );
    }
}
