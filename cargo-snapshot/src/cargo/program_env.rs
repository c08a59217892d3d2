//! What `cargo run` gives to the program: variables, the working directory, arguments. So a
//! program under `cargo snapshot run` sees no difference.
//!
//! The source is the cargo book, "Environment variables Cargo sets for crates". Pure: it works on
//! what `project`, `artifact` and `surroundings` found. Called by `commands::run`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use cargo_metadata::Package;

use super::{
    artifact::Built,
    loader_path,
    project::Project,
    surroundings::{LIBRARY_PATH, Surroundings},
    target::Kind,
};

/// The variables that the program gets in addition to the environment of this process.
pub fn variables(
    project: &Project,
    built: &Built,
    kind: Kind,
    surroundings: &Surroundings,
) -> Vec<(OsString, OsString)> {
    let mut variables: BTreeMap<OsString, OsString> = BTreeMap::new();
    let mut set = |name: &str, value: &OsStr| {
        variables.insert(name.into(), value.into());
    };
    if let Some(path) = loader_path::search_path(project, built, surroundings) {
        set(LIBRARY_PATH, &path);
    }
    if let Some(script) = built.own_script() {
        set("OUT_DIR", script.out_dir.as_os_str());
        for (name, value) in &script.env {
            set(name, value.as_ref());
        }
    }
    set("CARGO", surroundings.cargo.as_os_str());
    if let Some(package) = project.package(&built.package) {
        for (name, value) in package_variables(package, project.rust_version(&package.id)) {
            set(name, value.as_ref());
        }
        if matches!(kind, Kind::Test | Kind::Bench) {
            for bin in package.targets.iter().filter(|target| target.is_bin()) {
                let name = format!("CARGO_BIN_EXE_{}", bin.name);
                set(&name, built.root().join(&bin.name).as_os_str());
            }
        }
    }
    for (name, variable) in &surroundings.configured {
        // The configuration never overrides what cargo itself sets.
        variables
            .entry(name.into())
            .or_insert_with(|| OsString::from(&variable.value));
    }
    variables.into_iter().collect()
}

/// What the manifest says, under the names that `env!` reads.
fn package_variables(package: &Package, rust_version: Option<&str>) -> Vec<(&'static str, String)> {
    let version = &package.version;
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let manifest = &package.manifest_path;
    vec![
        (
            "CARGO_MANIFEST_DIR",
            manifest.parent().unwrap_or(manifest).to_string(),
        ),
        ("CARGO_MANIFEST_PATH", manifest.to_string()),
        ("CARGO_PKG_AUTHORS", package.authors.join(":")),
        (
            "CARGO_PKG_DESCRIPTION",
            text(package.description.as_deref()),
        ),
        ("CARGO_PKG_HOMEPAGE", text(package.homepage.as_deref())),
        ("CARGO_PKG_LICENSE", text(package.license.as_deref())),
        (
            "CARGO_PKG_LICENSE_FILE",
            text(package.license_file.as_ref().map(|file| file.as_str())),
        ),
        ("CARGO_PKG_NAME", package.name.to_string()),
        (
            "CARGO_PKG_README",
            text(package.readme.as_ref().map(|file| file.as_str())),
        ),
        ("CARGO_PKG_REPOSITORY", text(package.repository.as_deref())),
        ("CARGO_PKG_RUST_VERSION", text(rust_version)),
        ("CARGO_PKG_VERSION", version.to_string()),
        ("CARGO_PKG_VERSION_MAJOR", version.major.to_string()),
        ("CARGO_PKG_VERSION_MINOR", version.minor.to_string()),
        ("CARGO_PKG_VERSION_PATCH", version.patch.to_string()),
        ("CARGO_PKG_VERSION_PRE", version.pre.to_string()),
    ]
}

/// The program's working directory; `None` for that of this process. Tests and benches run in
/// the root of their package.
pub fn directory(project: &Project, built: &Built, kind: Kind) -> Option<PathBuf> {
    match kind {
        Kind::Bin | Kind::Example => None,
        Kind::Test | Kind::Bench => {
            let package = project.package(&built.package)?;
            Some(package.manifest_path.parent()?.as_std_path().to_owned())
        }
    }
}

/// The executable by the name that `cargo run` gives it; the program sees it as its first argument.
/// It is relative if it lies under the current directory, and never a bare name.
pub fn program(built: &Built, kind: Kind, current: Option<&Path>) -> PathBuf {
    let executable = &built.executable;
    let relative = match (kind, current) {
        (Kind::Bin | Kind::Example, Some(current)) => executable.strip_prefix(current).ok(),
        // Tests and benches start in another directory.
        _ => None,
    };
    match relative {
        None => executable.clone(),
        Some(name) if name.components().count() == 1 => Path::new(".").join(name),
        Some(relative) => relative.to_owned(),
    }
}

/// The program's arguments: those of the command line, and `--bench` for a bench. Without it a
/// bench runs as a test.
pub fn arguments(mut given: Vec<OsString>, kind: Kind) -> Vec<OsString> {
    if kind == Kind::Bench {
        given.push("--bench".into());
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::samples;

    fn value(kind: Kind, name: &str) -> Option<String> {
        let project = samples::project();
        let built = samples::built();
        variables(&project, &built, kind, &samples::surroundings(None))
            .into_iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.into_string().expect("the sample is text"))
    }

    #[test]
    fn the_manifest_is_told() {
        for (name, expected) in [
            ("CARGO", "/opt/bin/cargo"),
            ("CARGO_MANIFEST_DIR", "/w/a"),
            ("CARGO_MANIFEST_PATH", "/w/a/Cargo.toml"),
            ("CARGO_PKG_AUTHORS", "A <a@x>:B"),
            ("CARGO_PKG_HOMEPAGE", ""),
            ("CARGO_PKG_NAME", "a"),
            ("CARGO_PKG_RUST_VERSION", "1.88"),
            ("CARGO_PKG_VERSION", "1.2.3-rc.1"),
            ("CARGO_PKG_VERSION_PRE", "rc.1"),
            ("FROM_SCRIPT", "a"),
            ("OUT_DIR", "/w/target/debug/build/a-1/out"),
            ("FROM_CONFIG", "yes"),
        ] {
            assert_eq!(value(Kind::Bin, name).as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn tests_find_the_binaries_of_their_package() {
        assert_eq!(value(Kind::Bin, "CARGO_BIN_EXE_two"), None);
        assert_eq!(
            value(Kind::Test, "CARGO_BIN_EXE_two").as_deref(),
            Some("/w/target/debug/two")
        );
    }

    #[test]
    fn tests_and_benches_run_in_their_package() {
        let project = samples::project();
        let built = samples::built();
        for kind in [Kind::Bin, Kind::Example] {
            assert_eq!(directory(&project, &built, kind), None);
        }
        for kind in [Kind::Test, Kind::Bench] {
            assert_eq!(directory(&project, &built, kind), Some("/w/a".into()));
        }
    }

    #[test]
    fn the_program_has_the_name_that_cargo_gives_it() {
        let built = samples::built();
        let name = |kind, current: &str| program(&built, kind, Some(Path::new(current)));
        assert_eq!(name(Kind::Bin, "/w"), Path::new("target/debug/one"));
        assert_eq!(
            name(Kind::Bin, "/w/target/debug").as_os_str(),
            OsStr::new("./one")
        );
        assert_eq!(name(Kind::Bin, "/v"), Path::new("/w/target/debug/one"));
        assert_eq!(name(Kind::Test, "/w"), Path::new("/w/target/debug/one"));
        assert_eq!(program(&built, Kind::Bin, None), built.executable);
    }

    #[test]
    fn a_bench_is_told_that_it_is_one() {
        assert_eq!(arguments(vec!["x".into()], Kind::Bench), ["x", "--bench"]);
        assert_eq!(arguments(vec!["x".into()], Kind::Test), ["x"]);
    }
}
