//! Fuzz: cargo's configuration, and what a person calls a package. What is set is said in the
//! file; and who is meant is meant by name, by version and by URL.
#![no_main]

#[path = "../../../cargo-snapshot/src/cargo/config_env.rs"]
mod config_env;
#[path = "../../../cargo-snapshot/src/cargo/package_spec.rs"]
mod package_spec;

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use cargo_metadata::Package;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// A directory of this process's own in memory, with a place for the configuration.
fn directory() -> &'static PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let directory = PathBuf::from(format!("/dev/shm/snapshot-fuzz-{}", std::process::id()));
        fs::create_dir_all(directory.join(".cargo")).expect("there is memory");
        directory
    })
}

fuzz_target!(|bytes: &[u8]| {
    if let Some((b'=', spec)) = bytes.split_first().map(|(first, rest)| (*first, rest)) {
        package(&String::from_utf8_lossy(spec));
        return;
    }
    let file = directory().join(".cargo/config.toml");
    fs::write(&file, bytes).expect("there is memory");
    let text = String::from_utf8_lossy(bytes);
    let table = text.parse::<toml::Table>().unwrap_or_default();
    for (name, variable) in config_env::read(directory(), None) {
        let entry = &table["env"][name.as_str()];
        let said = entry.as_str().or_else(|| entry.get("value")?.as_str());
        let said = said.expect("it is set by somebody");
        assert!(
            variable.value.ends_with(said) || said.starts_with('/'),
            "{entry:?}"
        );
    }
    let _ = fs::remove_file(&file);
});

fn package(spec: &str) {
    for (id, version) in [
        ("path+file:///home/a/tour#0.1.2", "0.1.2"),
        (
            "registry+https://github.com/rust-lang/crates.io-index#tour@1.0.0-rc.1",
            "1.0.0-rc.1",
        ),
    ] {
        let package: Package = serde_json::from_value(json!({
            "name": "tour", "version": version, "id": id, "dependencies": [], "targets": [],
            "features": {}, "manifest_path": "/home/a/tour/Cargo.toml",
        }))
        .expect("a package");
        for fine in ["tour", id] {
            assert!(package_spec::is_meant_by(&package, fine));
        }
        assert!(package_spec::is_meant_by(
            &package,
            &format!("tour@{version}")
        ));
        if package_spec::is_meant_by(&package, spec) {
            // Its name, or its URL; and its version, as far as one is said.
            let is_named = spec.starts_with("tour") || spec.contains("://");
            assert!(is_named, "{spec} means {id}");
            if let Some((_, said)) = spec.rsplit_once('@') {
                assert!(version.starts_with(said), "{spec} means {id}");
            }
        }
    }
}
