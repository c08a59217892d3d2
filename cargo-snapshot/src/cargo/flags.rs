//! The flags of `cargo run` and `cargo test` that `cargo snapshot run` takes too, and how
//! cargo gets them.
//!
//! Cargo gets them unchanged. So it builds what `cargo run` would have built, and finds it fresh
//! the next time. Used by `commands::run`, `project`, `target_choice`, `artifact` and
//! `surroundings`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::target::{Kind, TargetChoice};

/// What is built, and how.
#[derive(Debug, Clone, Default, Args)]
pub struct CargoFlags {
    /// Package with the target to run
    #[arg(short, long, value_name = "SPEC", help_heading = "Package selection")]
    pub package: Option<String>,

    /// Run the specified binary
    #[arg(
        long,
        value_name = "NAME",
        group = "target_choice",
        help_heading = "Target selection"
    )]
    pub bin: Option<String>,

    /// Run the specified example
    #[arg(
        long,
        value_name = "NAME",
        group = "target_choice",
        help_heading = "Target selection"
    )]
    pub example: Option<String>,

    /// Run the specified test target
    #[arg(
        long,
        value_name = "NAME",
        group = "target_choice",
        help_heading = "Target selection"
    )]
    pub test: Option<String>,

    /// Run the specified bench target
    #[arg(
        long,
        value_name = "NAME",
        group = "target_choice",
        help_heading = "Target selection"
    )]
    pub bench: Option<String>,

    /// Space or comma separated list of features to activate
    #[arg(
        short = 'F',
        long,
        value_name = "FEATURES",
        help_heading = "Feature selection"
    )]
    pub features: Vec<String>,

    /// Activate all available features
    #[arg(long, help_heading = "Feature selection")]
    pub all_features: bool,

    /// Do not activate the `default` feature
    #[arg(long, help_heading = "Feature selection")]
    pub no_default_features: bool,

    /// Build in release mode, with optimizations
    #[arg(
        short,
        long,
        conflicts_with = "profile",
        help_heading = "Compilation options"
    )]
    pub release: bool,

    /// Build with the specified profile [default: dev]
    #[arg(
        long,
        value_name = "PROFILE-NAME",
        help_heading = "Compilation options"
    )]
    pub profile: Option<String>,

    /// Build for the target triple
    #[arg(long, value_name = "TRIPLE", help_heading = "Compilation options")]
    pub target: Option<String>,

    /// Directory for all generated artifacts
    #[arg(long, value_name = "DIRECTORY", help_heading = "Compilation options")]
    pub target_dir: Option<PathBuf>,

    /// Number of parallel jobs, defaults to # of CPUs
    #[arg(
        short,
        long,
        value_name = "N",
        allow_hyphen_values = true,
        help_heading = "Compilation options"
    )]
    pub jobs: Option<String>,

    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH", help_heading = "Manifest options")]
    pub manifest_path: Option<PathBuf>,

    /// Assert that `Cargo.lock` will remain unchanged
    #[arg(long, help_heading = "Manifest options")]
    pub locked: bool,

    /// Run without accessing the network
    #[arg(long, help_heading = "Manifest options")]
    pub offline: bool,

    /// Equivalent to specifying both --locked and --offline
    #[arg(long, help_heading = "Manifest options")]
    pub frozen: bool,

    /// Use verbose output of cargo (-vv very verbose/build.rs output)
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,

    /// Do not print cargo log messages
    #[arg(short, long)]
    pub quiet: bool,
}

impl CargoFlags {
    /// The target that the flags name, if they name one. They exclude each other.
    pub fn target_choice(&self) -> Option<TargetChoice> {
        [
            (Kind::Bin, &self.bin),
            (Kind::Example, &self.example),
            (Kind::Test, &self.test),
            (Kind::Bench, &self.bench),
        ]
        .into_iter()
        .find_map(|(kind, name)| name.clone().map(|name| TargetChoice { kind, name }))
    }

    /// The arguments of the `cargo metadata` that describes the project.
    pub fn metadata_args(&self) -> Vec<OsString> {
        let mut args = Vec::new();
        push(&mut args, ["metadata", "--format-version=1", "--no-deps"]);
        self.push_manifest_options(&mut args);
        args
    }

    /// The arguments of the `cargo build` that builds `choice` and says in JSON where it is.
    pub fn build_args(&self, choice: &TargetChoice) -> Vec<OsString> {
        let mut args = Vec::new();
        push(
            &mut args,
            ["build", "--message-format=json-render-diagnostics"],
        );
        push(&mut args, [choice.kind.flag(), &choice.name]);
        if let Some(package) = &self.package {
            push(&mut args, ["--package", package]);
        }
        for features in &self.features {
            push(&mut args, ["--features", features]);
        }
        push_if(&mut args, self.all_features, "--all-features");
        push_if(&mut args, self.no_default_features, "--no-default-features");
        push_if(&mut args, self.release, "--release");
        if let Some(profile) = &self.profile {
            push(&mut args, ["--profile", profile]);
        }
        if let Some(target) = &self.target {
            push(&mut args, ["--target", target]);
        }
        if let Some(target_dir) = &self.target_dir {
            args.extend(["--target-dir".into(), target_dir.into()]);
        }
        if let Some(jobs) = &self.jobs {
            // One word, since the number may be negative.
            args.push(format!("--jobs={jobs}").into());
        }
        self.push_manifest_options(&mut args);
        for _ in 0..self.verbose {
            push(&mut args, ["--verbose"]);
        }
        push_if(&mut args, self.quiet, "--quiet");
        args
    }

    fn push_manifest_options(&self, args: &mut Vec<OsString>) {
        if let Some(manifest_path) = &self.manifest_path {
            args.extend(["--manifest-path".into(), manifest_path.into()]);
        }
        push_if(args, self.locked, "--locked");
        push_if(args, self.offline, "--offline");
        push_if(args, self.frozen, "--frozen");
    }
}

fn push<const N: usize>(args: &mut Vec<OsString>, words: [&str; N]) {
    args.extend(words.map(OsString::from));
}

fn push_if(args: &mut Vec<OsString>, wanted: bool, word: &str) {
    if wanted {
        args.push(word.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct OnlyCargoFlags {
        #[command(flatten)]
        flags: CargoFlags,
    }

    fn flags(words: &str) -> CargoFlags {
        OnlyCargoFlags::parse_from(std::iter::once("x").chain(words.split_whitespace())).flags
    }

    fn build(words: &str) -> String {
        let flags = flags(words);
        let choice = flags.target_choice().unwrap_or(TargetChoice {
            kind: Kind::Bin,
            name: "chosen".to_owned(),
        });
        flags
            .build_args(&choice)
            .iter()
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    const BUILD: &str = "build --message-format=json-render-diagnostics";

    #[test]
    fn without_flags_only_the_chosen_binary_is_built() {
        assert_eq!(build(""), format!("{BUILD} --bin chosen"));
    }

    #[test]
    fn every_flag_is_handed_on() {
        assert_eq!(
            build(
                "-p pkg --example ex -F a,b --features c --all-features --no-default-features \
                 --profile bench --target t --target-dir d -j -1 --manifest-path m \
                 --locked --offline --frozen -vv"
            ),
            format!(
                "{BUILD} --example ex --package pkg --features a,b --features c \
                 --all-features --no-default-features --profile bench --target t \
                 --target-dir d --jobs=-1 --manifest-path m --locked --offline --frozen \
                 --verbose --verbose"
            )
        );
        assert_eq!(
            build("-r -q --bin b"),
            format!("{BUILD} --bin b --release --quiet")
        );
        assert_eq!(build("--test t"), format!("{BUILD} --test t"));
        assert_eq!(build("--bench b"), format!("{BUILD} --bench b"));
    }

    #[test]
    fn metadata_needs_only_what_says_where_the_project_is() {
        let args = flags("-p a --release --manifest-path m --frozen -v").metadata_args();
        assert_eq!(
            args,
            [
                "metadata",
                "--format-version=1",
                "--no-deps",
                "--manifest-path",
                "m",
                "--frozen"
            ]
        );
    }
}
