//! What cargo prints, for the unit tests of this room: the `cargo metadata` of a workspace `/w`,
//! and the JSON messages of a build in it.

use std::ffi::OsString;

use cargo_metadata::Message;
use serde_json::{Value, json};

use super::{
    artifact::{self, Built},
    config_env::ConfigVariable,
    project::Project,
    surroundings::Surroundings,
    target::{Kind, TargetChoice},
};

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
pub fn project() -> Project {
    workspace(vec![package(
        "a",
        None,
        vec![target("bin", "one"), target("bin", "two")],
    )])
}

/// A `compiler-artifact` message.
pub fn artifact(package: &str, kind: &str, name: &str, executable: Option<&str>) -> Value {
    json!({
        "reason": "compiler-artifact",
        "package_id": format!("path+file:///w/{package}#1.2.3-rc.1"),
        "manifest_path": format!("/w/{package}/Cargo.toml"),
        "target": {
            "kind": [kind], "crate_types": ["bin"], "name": name,
            "src_path": "/w/a/src/main.rs", "edition": "2024"
        },
        "profile": {
            "opt_level": "0", "debuginfo": 2, "debug_assertions": true,
            "overflow_checks": true, "test": kind == "test"
        },
        "features": [],
        "filenames": [executable.unwrap_or("/w/target/debug/libd.so")],
        "executable": executable,
        "fresh": false
    })
}

/// A `build-script-executed` message.
fn script(package: &str, paths: &[&str]) -> Value {
    json!({
        "reason": "build-script-executed",
        "package_id": format!("path+file:///w/{package}#1.2.3-rc.1"),
        "linked_libs": [], "linked_paths": paths, "cfgs": [],
        "env": [["FROM_SCRIPT", package]],
        "out_dir": format!("/w/target/debug/build/{package}-1/out")
    })
}

/// The messages as `cargo_metadata` reads them.
pub fn messages(values: &[Value]) -> Vec<Message> {
    let lines: Vec<_> = values.iter().map(Value::to_string).collect();
    Message::parse_stream(lines.join("\n").as_bytes())
        .collect::<Result<_, _>>()
        .expect("this is what cargo prints")
}

/// A target that a person chose.
pub fn choice(kind: Kind, name: &str) -> TargetChoice {
    TargetChoice {
        kind,
        name: name.to_owned(),
    }
}

/// The build of the binary `one` of package `a`, which links to `d`.
pub fn built() -> Built {
    let messages = messages(&[
        script("d", &["native=/w/target/debug/build/d-1/out", "/usr/lib"]),
        script("a", &["native=/w/target/debug/build/a-1/out"]),
        artifact("d", "dylib", "d", None),
        artifact("a", "bin", "one", Some("/w/target/debug/one")),
        json!({"reason": "build-finished", "success": true}),
    ]);
    artifact::pick(messages, &choice(Kind::Bin, "one")).expect("one candidate")
}

/// Surroundings with this loader path and two configured variables.
pub fn surroundings(loader_path: Option<&str>) -> Surroundings {
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
