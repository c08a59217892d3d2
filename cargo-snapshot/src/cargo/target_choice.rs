//! The target that the flags mean, by the rules of `cargo run`.
//!
//! `commands::run` chooses it before anything is built: so only that target is built, and a
//! wrong choice costs no build.

use cargo_metadata::{CrateType, Package, Target};
use snapshot_launch::problem::{Problem, exit};

use super::{
    flags::CargoFlags,
    package_spec,
    project::Project,
    target::{Kind, TargetChoice},
};

/// The target that the flags mean.
///
/// # Errors
/// A usage error, if the flags mean no target or several.
pub fn choose(project: &Project, flags: &CargoFlags) -> Result<TargetChoice, Problem> {
    let packages = selected(project, flags.package.as_deref())?;
    match flags.target_choice() {
        Some(choice) => named(&packages, choice),
        None => unnamed(&packages),
    }
}

/// The packages to search: the one of `-p`, else the default ones.
fn selected<'p>(project: &'p Project, spec: Option<&str>) -> Result<Vec<&'p Package>, Problem> {
    let Some(spec) = spec else {
        return Ok(project.default_packages());
    };
    let members = project.packages();
    let packages: Vec<_> = members
        .iter()
        .copied()
        .filter(|package| package_spec::is_meant_by(package, spec))
        .collect();
    if packages.is_empty() {
        let names = names(members.iter().map(|package| package.name.as_str()));
        return Err(Problem::new(
            exit::USAGE,
            format!("no package `{spec}` in the workspace `{}`", project.root()),
        )
        .help(format!("available packages: {names}")));
    }
    Ok(packages)
}

/// The target if the flags name none: the default one, else the only binary.
///
/// # Errors
/// A usage error, if there is no binary, or several and no default.
fn unnamed(packages: &[&Package]) -> Result<TargetChoice, Problem> {
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

/// The target that the flags name.
///
/// # Errors
/// A usage error, if it doesn't exist or can't be executed.
fn named(packages: &[&Package], choice: TargetChoice) -> Result<TargetChoice, Problem> {
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

/// The names as a sorted list, each once.
fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::samples::{self, package, target, workspace};
    use serde_json::json;

    fn flags(package: Option<&str>) -> CargoFlags {
        CargoFlags {
            package: package.map(str::to_owned),
            ..CargoFlags::default()
        }
    }

    fn chosen(project: &Project, package: Option<&str>) -> Result<String, Problem> {
        choose(project, &flags(package)).map(|choice| {
            assert_eq!(choice.kind, Kind::Bin);
            choice.name
        })
    }

    #[test]
    fn an_unknown_package_is_a_usage_error() {
        let project = samples::project();
        assert!(selected(&project, Some("a@1.2")).is_ok());
        let problem = selected(&project, Some("b")).expect_err("not there");
        assert_eq!(problem.code, exit::USAGE);
        assert_eq!(problem.help.as_deref(), Some("available packages: a"));
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
        let problem = chosen(&samples::project(), None).expect_err("two");
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
        let project = samples::project();
        let mut flags = flags(None);
        flags.bin = Some("two".to_owned());
        assert_eq!(
            choose(&project, &flags)
                .map(|choice| choice.name)
                .as_deref(),
            Ok("two")
        );
        flags.bin = Some("twoo".to_owned());
        let problem = choose(&project, &flags).expect_err("not there");
        assert_eq!(problem.code, exit::USAGE);
        assert_eq!(
            problem.help.as_deref(),
            Some("available bin targets: one, two")
        );
        flags.bin = None;
        flags.example = Some("one".to_owned());
        let problem = choose(&project, &flags).expect_err("not an example");
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
        let problem = choose(&project, &flags).expect_err("a library");
        assert_eq!(problem.cause.as_deref(), Some("it is a library"));
    }
}
