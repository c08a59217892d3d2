//! What `cargo run` gives to the program it starts, so that a program under
//! `cargo snapshot run` can't tell: variables, the working directory, an argument.
//!
//! The source is the cargo book, "Environment variables Cargo sets for crates" and
//! "Dynamic library paths". Called by `commands::run`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use cargo_metadata::Package;

use crate::artifact::Built;
use crate::cargo_flags::CargoFlags;
use crate::cargo_program::CargoProgram;
use crate::config_env::{self, ConfigVariable};
use crate::project::Project;
use crate::target_choice::Kind;

/// Where the dynamic linker looks first.
const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";

/// What is around this process and matters to the program.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// The cargo that built it.
    cargo: PathBuf,
    /// Where rustc keeps its shared libraries, if it says.
    rustc_libraries: Option<PathBuf>,
    /// The `LD_LIBRARY_PATH` of this process.
    loader_path: Option<OsString>,
    /// The `[env]` of cargo's configuration, without what the environment overrides.
    configured: BTreeMap<String, ConfigVariable>,
}

impl Surroundings {
    /// Looks around.
    pub fn look(cargo: &CargoProgram, flags: &CargoFlags) -> Self {
        let mut configured = match std::env::current_dir() {
            Ok(directory) => config_env::read(&directory, cargo_home().as_deref()),
            Err(_) => BTreeMap::new(),
        };
        configured.retain(|name, variable| variable.force || std::env::var_os(name).is_none());
        Self {
            cargo: cargo.path(),
            rustc_libraries: rustc_libraries(cargo, flags),
            loader_path: std::env::var_os(LIBRARY_PATH),
            configured,
        }
    }
}

fn cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .filter(|home| !home.is_empty())
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")))
}

/// Asks rustc; a program needs the answer only if it links to the standard library as a
/// shared one, so a failure is no error.
fn rustc_libraries(cargo: &CargoProgram, flags: &CargoFlags) -> Option<PathBuf> {
    let mut rustc = std::process::Command::new(cargo.rustc());
    rustc
        .args(["--print", "target-libdir"])
        .stderr(Stdio::null());
    if let Some(target) = &flags.target {
        rustc.args(["--target", target]);
    }
    let output = rustc
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let directory = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(directory.trim_end()))
}

/// The variables that are added to the program's environment.
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
    if let Some(path) = loader_path(project, built, surroundings) {
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
        // What cargo sets itself is never overridden.
        variables
            .entry(name.into())
            .or_insert_with(|| OsString::from(&variable.value));
    }
    variables.into_iter().collect()
}

/// What the manifest says, under the names that `env!` knows.
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

/// The search path for shared libraries: link paths of build scripts inside cargo's own
/// directories, the output directories, rustc's libraries, then what was there before.
fn loader_path(project: &Project, built: &Built, surroundings: &Surroundings) -> Option<OsString> {
    let root = built.root();
    let own: Vec<_> = project.build_directories().chain([root]).collect();
    let mut linked: Vec<PathBuf> = built
        .scripts
        .iter()
        .flat_map(|script| &script.linked_paths)
        .map(|path| bare_link_path(path.as_str()))
        .filter(|path| own.iter().any(|directory| path.starts_with(directory)))
        .map(Path::to_owned)
        .collect();
    linked.sort();
    let mut path = Vec::new();
    let candidates = linked
        .into_iter()
        .chain([root.to_owned(), root.join("deps")])
        .chain(built.loader_directories.iter().cloned())
        .chain(surroundings.rustc_libraries.clone());
    for directory in candidates {
        if !path.contains(&directory) {
            path.push(directory);
        }
    }
    let before: Vec<_> = surroundings
        .loader_path
        .iter()
        .flat_map(std::env::split_paths)
        .collect();
    if before.starts_with(&path) {
        path = before;
    } else {
        path.extend(before);
    }
    // A directory with a colon in its name can't be said in this variable at all.
    std::env::join_paths(path).ok()
}

/// A link path without the kind that may stand before it.
fn bare_link_path(path: &str) -> &Path {
    let bare = match path.split_once('=') {
        Some(("native" | "crate" | "dependency" | "framework" | "all", bare)) => bare,
        _ => path,
    };
    Path::new(bare)
}

/// The program's working directory, where it isn't the one of this process: tests and
/// benches run in their package's root.
pub fn directory(project: &Project, built: &Built, kind: Kind) -> Option<PathBuf> {
    match kind {
        Kind::Bin | Kind::Example => None,
        Kind::Test | Kind::Bench => {
            let package = project.package(&built.package)?;
            Some(package.manifest_path.parent()?.as_std_path().to_owned())
        }
    }
}

/// The executable as `cargo run` names it, which the program sees as its first argument:
/// relative where it lies under the current directory, and never a bare name.
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

/// The program's arguments: those of the command line, and for a bench the word that
/// tells it not to run as a test.
pub fn arguments(mut given: Vec<OsString>, kind: Kind) -> Vec<OsString> {
    if kind == Kind::Bench {
        given.push("--bench".into());
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{artifact, project};

    fn surroundings(loader_path: Option<&str>) -> Surroundings {
        Surroundings {
            cargo: "/opt/bin/cargo".into(),
            rustc_libraries: Some("/opt/lib".into()),
            loader_path: loader_path.map(OsString::from),
            configured: [("FROM_CONFIG", "yes"), ("CARGO_PKG_NAME", "an intruder")]
                .map(|(name, value)| {
                    let value = value.to_owned();
                    (
                        name.to_owned(),
                        ConfigVariable {
                            value,
                            force: false,
                        },
                    )
                })
                .into(),
        }
    }

    fn value(kind: Kind, loader_path: Option<&str>, name: &str) -> Option<String> {
        let project = project::tests::sample();
        let built = artifact::tests::sample();
        variables(&project, &built, kind, &surroundings(loader_path))
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
            assert_eq!(
                value(Kind::Bin, None, name).as_deref(),
                Some(expected),
                "{name}"
            );
        }
    }

    #[test]
    fn tests_find_the_binaries_of_their_package() {
        assert_eq!(value(Kind::Bin, None, "CARGO_BIN_EXE_two"), None);
        assert_eq!(
            value(Kind::Test, None, "CARGO_BIN_EXE_two").as_deref(),
            Some("/w/target/debug/two")
        );
    }

    #[test]
    fn libraries_are_found_where_cargo_put_them() {
        let ours = "/w/target/debug/build/a-1/out:/w/target/debug/build/d-1/out:\
                    /w/target/debug:/w/target/debug/deps:/opt/lib";
        assert_eq!(value(Kind::Bin, None, LIBRARY_PATH).as_deref(), Some(ours));
        assert_eq!(
            value(Kind::Bin, Some("/before"), LIBRARY_PATH).as_deref(),
            Some(format!("{ours}:/before").as_str())
        );
        // Started from a program that cargo started, it doesn't grow.
        let nested = format!("{ours}:/before");
        assert_eq!(
            value(Kind::Bin, Some(&nested), LIBRARY_PATH).as_deref(),
            Some(nested.as_str())
        );
    }

    #[test]
    fn tests_and_benches_run_in_their_package() {
        let project = project::tests::sample();
        let built = artifact::tests::sample();
        for kind in [Kind::Bin, Kind::Example] {
            assert_eq!(directory(&project, &built, kind), None);
        }
        for kind in [Kind::Test, Kind::Bench] {
            assert_eq!(directory(&project, &built, kind), Some("/w/a".into()));
        }
    }

    #[test]
    fn the_program_has_the_name_that_cargo_gives_it() {
        let built = artifact::tests::sample();
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
