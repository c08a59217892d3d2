//! The project as `cargo metadata` describes it, and which of its targets is meant.
//!
//! The target is settled before anything is built, by the rules of `cargo run`: so only
//! that target is built, and a choice that can't be made costs no build. Called by
//! `commands::run`.

use std::collections::BTreeMap;

use cargo_metadata::{Metadata, Package, PackageId};
use serde::Deserialize;
use snapshot_launch::problem::{Problem, exit};

use crate::cargo_flags::CargoFlags;
use crate::cargo_program::CargoProgram;
use crate::package_spec;
use crate::target_choice::{self, TargetChoice};

/// The workspace around the current directory.
#[derive(Debug)]
pub struct Project {
    metadata: Metadata,
    rust_versions: BTreeMap<PackageId, String>,
}

/// The `rust-version` of each package as it is written: `Metadata` holds `1.88` as `1.88.0`.
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
    /// Cargo's own message where it can't read the project.
    pub fn read(cargo: &CargoProgram, flags: &CargoFlags) -> Result<Self, Problem> {
        let output = cargo
            .command()
            .args(flags.metadata_args())
            .output()
            .map_err(|error| cargo.not_started(&error))?;
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

    fn parse(json: &[u8]) -> serde_json::Result<Self> {
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

    /// A package's `rust-version` as it is written.
    pub fn rust_version(&self, id: &PackageId) -> Option<&str> {
        self.rust_versions.get(id).map(String::as_str)
    }

    /// The directories that cargo builds into.
    pub fn build_directories(&self) -> impl Iterator<Item = &std::path::Path> {
        [
            Some(&self.metadata.target_directory),
            self.metadata.build_directory.as_ref(),
        ]
        .into_iter()
        .flatten()
        .map(|directory| directory.as_std_path())
    }

    /// The target that the flags mean.
    ///
    /// # Errors
    /// A usage error where none is meant, or more than one.
    pub fn choose(&self, flags: &CargoFlags) -> Result<TargetChoice, Problem> {
        let packages = self.selected(flags.package.as_deref())?;
        match flags.target_choice() {
            Some(choice) => target_choice::named(&packages, choice),
            None => target_choice::unnamed(&packages),
        }
    }

    /// The packages among which cargo looks: the one of `-p`, else the default members.
    fn selected(&self, spec: Option<&str>) -> Result<Vec<&Package>, Problem> {
        let Some(spec) = spec else {
            let members = &self.metadata.workspace_default_members;
            return Ok(if members.is_available() {
                self.metadata.workspace_default_packages()
            } else {
                self.metadata.workspace_packages()
            });
        };
        let packages: Vec<_> = self
            .metadata
            .workspace_packages()
            .into_iter()
            .filter(|package| package_spec::is_meant_by(package, spec))
            .collect();
        if packages.is_empty() {
            let members = self.metadata.workspace_packages();
            let names = target_choice::names(members.iter().map(|package| package.name.as_str()));
            return Err(Problem::new(
                exit::USAGE,
                format!(
                    "no package `{spec}` in the workspace `{}`",
                    self.metadata.workspace_root
                ),
            )
            .help(format!("available packages: {names}")));
        }
        Ok(packages)
    }
}

fn cannot_read(cause: &str) -> Problem {
    Problem::new(exit::METADATA, "cannot read the project").cause(cause)
}

/// What cargo said, set in so that it stands under `cause:`.
fn own_message(stderr: &str) -> String {
    let message = stderr.trim();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let lines: Vec<_> = message.lines().collect();
    lines.join("\n         ").replace("         \n", "\n")
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A target as `cargo metadata` prints it.
    pub fn target(kind: &str, name: &str) -> Value {
        json!({
            "kind": [kind], "crate_types": ["bin"], "name": name, "src_path": "/w/x.rs",
            "edition": "2024"
        })
    }

    /// A package as `cargo metadata` prints it.
    pub fn package(name: &str, default_run: Option<&str>, targets: Vec<Value>) -> Value {
        json!({
            "name": name, "version": "1.2.3-rc.1", "id": format!("path+file:///w/{name}#1.2.3-rc.1"),
            "license": "MIT", "license_file": null, "description": "what it is", "source": null,
            "dependencies": [], "targets": targets, "features": {},
            "manifest_path": format!("/w/{name}/Cargo.toml"), "metadata": null, "publish": null,
            "authors": ["A <a@x>", "B"], "categories": [], "keywords": [], "readme": "README.md",
            "repository": null, "homepage": null, "documentation": null, "edition": "2024",
            "links": null, "default_run": default_run, "rust_version": "1.88"
        })
    }

    /// A project with these packages, each a default member.
    pub fn workspace(packages: Vec<Value>) -> Project {
        let ids: Vec<_> = packages
            .iter()
            .map(|package| package["id"].clone())
            .collect();
        let metadata = json!({
            "packages": packages, "workspace_members": ids, "workspace_default_members": ids,
            "resolve": null, "target_directory": "/w/target", "build_directory": "/w/target",
            "version": 1, "workspace_root": "/w", "metadata": null
        });
        Project::parse(metadata.to_string().as_bytes()).expect("this is what cargo prints")
    }

    /// A project with one package `a` that has the binaries `one` and `two`.
    pub fn sample() -> Project {
        workspace(vec![package(
            "a",
            None,
            vec![target("bin", "one"), target("bin", "two")],
        )])
    }

    #[test]
    fn an_unknown_package_is_a_usage_error() {
        let project = sample();
        assert!(project.selected(Some("a@1.2")).is_ok());
        let problem = project.selected(Some("b")).expect_err("not there");
        assert_eq!(problem.code, exit::USAGE);
        assert_eq!(problem.help.as_deref(), Some("available packages: a"));
    }

    #[test]
    fn rust_versions_stay_as_they_are_written() {
        let project = sample();
        let package = project.selected(Some("a")).expect("it is there")[0];
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
