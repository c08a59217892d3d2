//! Builds the agent, so that `cargo install` alone gives a working tool: a library that
//! is preloaded into programs can't be installed by cargo, but it can be carried inside
//! the launcher.
//!
//! It is a cargo build of its own, with a target directory of its own: the agent needs
//! `panic = "abort"`, no std and none of the flags that the launcher is built with
//! (sanitizers, coverage, another linker's relocations).

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    let manifest =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it for build scripts"));
    let agent = manifest.join("agent");
    let engine = manifest.join("../snapshot-core");
    for watched in [
        agent.join("src"),
        agent.join("Cargo.toml"),
        agent.join("Cargo.lock"),
        engine.join("src"),
        engine.join("Cargo.toml"),
    ] {
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    let target = env::var("TARGET").expect("cargo sets it for build scripts");
    let target_directory = out.join("agent");
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .args([
            "build",
            "--lib",
            "--release",
            "--locked",
            "--target",
            &target,
        ])
        .arg("--manifest-path")
        .arg(agent.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_directory);
    // What the outer build was told is not for this one, its package's names least of all.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let kept = matches!(&*text, "CARGO" | "CARGO_HOME" | "CARGO_MAKEFLAGS")
            || text.starts_with("CARGO_NET_")
            || text.starts_with("CARGO_HTTP_")
            || text.starts_with("CARGO_REGISTRIES_")
            || text.starts_with("CARGO_REGISTRY_")
            || text.starts_with("CARGO_SOURCE_");
        let outer =
            text.starts_with("CARGO") || text.contains("RUSTFLAGS") || text.contains("RUSTC_");
        if outer && !kept {
            build.env_remove(&name);
        }
    }
    let status = build
        .status()
        .expect("cargo is there, since it runs this script");
    assert!(status.success(), "the agent did not build");
    println!(
        "cargo::rustc-env=SNAPSHOT_AGENT={}",
        target_directory
            .join(target)
            .join("release/libsnapshot_agent.so")
            .display()
    );
}
