//! Which target is run: the kinds there are, and the rules of `cargo run` for finding the
//! one that is meant.
//!
//! Pure: `project` calls it with the packages among which cargo would look.

use std::fmt;

use cargo_metadata::{CrateType, Package, Target, TargetKind};
use snapshot_launch::problem::{Problem, exit};

/// A kind of target that can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `--bin`
    Bin,
    /// `--example`
    Example,
    /// `--test`
    Test,
    /// `--bench`
    Bench,
}

impl Kind {
    /// The flag that chooses one.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Bin => "--bin",
            Self::Example => "--example",
            Self::Test => "--test",
            Self::Bench => "--bench",
        }
    }

    /// The kind of a target, if it is of a kind that can be chosen.
    pub fn of(target: &Target) -> Option<Self> {
        target.kind.iter().find_map(|kind| match kind {
            TargetKind::Bin => Some(Self::Bin),
            TargetKind::Example => Some(Self::Example),
            TargetKind::Test => Some(Self::Test),
            TargetKind::Bench => Some(Self::Bench),
            _ => None,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.flag().trim_start_matches('-'))
    }
}

/// One target by its name, which may still be in several packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetChoice {
    /// What it is.
    pub kind: Kind,
    /// Its name in the manifest.
    pub name: String,
}

impl TargetChoice {
    /// Whether this is the target that was chosen.
    pub fn is(&self, target: &Target) -> bool {
        Kind::of(target) == Some(self.kind) && target.name == self.name
    }
}

/// The target that is meant where none is named, by the rules of `cargo run`.
///
/// # Errors
/// A usage error where there is no binary, or more than one and no default.
pub fn unnamed(packages: &[&Package]) -> Result<TargetChoice, Problem> {
    let chosen = |name: &str| TargetChoice {
        kind: Kind::Bin,
        name: name.to_owned(),
    };
    let defaults: Vec<_> = packages
        .iter()
        .filter_map(|package| package.default_run.as_deref())
        .collect();
    if let [default] = defaults[..] {
        return Ok(chosen(default));
    }
    let bins: Vec<_> = packages
        .iter()
        .flat_map(|package| &package.targets)
        .filter(|target| target.is_bin())
        .map(|target| target.name.as_str())
        .collect();
    match bins[..] {
        [bin] => Ok(chosen(bin)),
        [] => {
            let problem = Problem::new(
                exit::USAGE,
                "a bin target must be available for `cargo snapshot run`",
            );
            let examples = of_kind(packages, Kind::Example);
            Err(if examples.is_empty() {
                problem.help("run any other program with `cargo snapshot exec PROGRAM`")
            } else {
                problem.help(format!("use `--example` to run one of: {examples}"))
            })
        }
        [..] => Err(
            Problem::new(exit::USAGE, "cannot determine which binary to run")
                .cause(format!("available binaries: {}", names(bins.into_iter())))
                .help("use `--bin` to name one, or the `default-run` manifest key"),
        ),
    }
}

/// The target that was named.
///
/// # Errors
/// A usage error where there is no such one, or it can't be executed.
pub fn named(packages: &[&Package], choice: TargetChoice) -> Result<TargetChoice, Problem> {
    let mut found = packages
        .iter()
        .flat_map(|package| &package.targets)
        .filter(|target| choice.is(target))
        .peekable();
    if found.peek().is_none() {
        let available = of_kind(packages, choice.kind);
        let problem = Problem::new(
            exit::USAGE,
            format!("no {} target is called `{}`", choice.kind, choice.name),
        );
        return Err(if available.is_empty() {
            problem.cause(format!("there is no {} target here", choice.kind))
        } else {
            problem.help(format!("available {} targets: {available}", choice.kind))
        });
    }
    if found.any(is_executable) {
        Ok(choice)
    } else {
        Err(Problem::new(
            exit::USAGE,
            format!("{} target `{}` can't be executed", choice.kind, choice.name),
        )
        .cause("it is a library"))
    }
}

fn is_executable(target: &Target) -> bool {
    target.crate_types.is_empty() || target.crate_types.contains(&CrateType::Bin)
}

/// The names of the targets of one kind.
fn of_kind(packages: &[&Package], kind: Kind) -> String {
    names(
        packages
            .iter()
            .flat_map(|package| &package.targets)
            .filter(|target| Kind::of(target) == Some(kind) && is_executable(target))
            .map(|target| target.name.as_str()),
    )
}

/// Names in a row, sorted, each once.
pub fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo_flags::CargoFlags;
    use crate::project::Project;
    use crate::project::tests::{package, sample, target, workspace};
    use serde_json::json;

    fn flags(package: Option<&str>) -> CargoFlags {
        CargoFlags {
            package: package.map(str::to_owned),
            ..CargoFlags::default()
        }
    }

    fn chosen(project: &Project, package: Option<&str>) -> Result<String, Problem> {
        project.choose(&flags(package)).map(|choice| {
            assert_eq!(choice.kind, Kind::Bin);
            choice.name
        })
    }

    #[test]
    fn a_single_binary_needs_no_name() {
        let targets = vec![
            target("lib", "a"),
            target("bin", "one"),
            target("example", "ex"),
        ];
        let project = workspace(vec![
            package("a", None, targets),
            package("b", None, vec![target("lib", "b")]),
        ]);
        assert_eq!(chosen(&project, None).as_deref(), Ok("one"));
    }

    #[test]
    fn several_binaries_are_listed() {
        let problem = chosen(&sample(), None).expect_err("two");
        assert_eq!(problem.code, exit::USAGE);
        assert_eq!(
            problem.cause.as_deref(),
            Some("available binaries: one, two")
        );
    }

    #[test]
    fn default_run_decides() {
        let bins = vec![target("bin", "one"), target("bin", "two")];
        let project = workspace(vec![package("a", Some("two"), bins.clone())]);
        assert_eq!(chosen(&project, None).as_deref(), Ok("two"));
        // One default among the packages wins, as in `cargo run`; two don't.
        let other = package("b", None, vec![target("bin", "three")]);
        let project = workspace(vec![package("a", Some("two"), bins.clone()), other]);
        assert_eq!(chosen(&project, None).as_deref(), Ok("two"));
        assert_eq!(chosen(&project, Some("b")).as_deref(), Ok("three"));
        let other = package("b", Some("three"), vec![target("bin", "three")]);
        let project = workspace(vec![package("a", Some("two"), bins), other]);
        assert_eq!(chosen(&project, None).expect_err("two").code, exit::USAGE);
    }

    #[test]
    fn no_binary_at_all() {
        let project = workspace(vec![package("a", None, vec![target("example", "ex")])]);
        let problem = chosen(&project, None).expect_err("none");
        assert_eq!(problem.code, exit::USAGE);
        assert!(problem.what.starts_with("a bin target must be available"));
        assert_eq!(
            problem.help.as_deref(),
            Some("use `--example` to run one of: ex")
        );
    }

    #[test]
    fn a_named_target_must_be_there() {
        let project = sample();
        let mut flags = flags(None);
        flags.bin = Some("two".to_owned());
        assert_eq!(
            project.choose(&flags).map(|choice| choice.name).as_deref(),
            Ok("two")
        );
        flags.bin = Some("twoo".to_owned());
        let problem = project.choose(&flags).expect_err("not there");
        assert_eq!(problem.code, exit::USAGE);
        assert_eq!(
            problem.help.as_deref(),
            Some("available bin targets: one, two")
        );
        flags.bin = None;
        flags.example = Some("one".to_owned());
        let problem = project.choose(&flags).expect_err("not an example");
        assert_eq!(
            problem.cause.as_deref(),
            Some("there is no example target here")
        );
    }

    #[test]
    fn an_example_that_is_a_library_can_not_run() {
        let mut library = target("example", "lib");
        library["crate_types"] = json!(["lib"]);
        let project = workspace(vec![package("a", None, vec![library])]);
        let mut flags = flags(None);
        flags.example = Some("lib".to_owned());
        let problem = project.choose(&flags).expect_err("a library");
        assert_eq!(problem.cause.as_deref(), Some("it is a library"));
    }
}
