//! A Python that finds the package in the tree.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use snapshot_tests::c_library::CLibrary;
use snapshot_tests::{Launch, deadline, outside};

/// The first Python that has this module; else says that the test is skipped, or fails it in CI.
pub fn with_module(module: &str) -> Option<PathBuf> {
    let found = outside::find("python3")?;
    let candidates = [found, "/usr/bin/python3".into()];
    let with = candidates.into_iter().find(|python| {
        let import = format!("import {module}");
        python.is_file() && deadline::run(Command::new(python).args(["-c", &import])).success()
    });
    if with.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "no python3 has the module {module}, and in CI nothing may be skipped"
        );
        eprintln!("skipped: no python3 has the module {module}");
    }
    with
}

/// The launch of a program that is Python, under the launcher or alone.
pub fn launch(python: impl AsRef<OsStr>, under_launcher: bool) -> Launch {
    let launch = match under_launcher {
        true => Launch::program(python),
        false => Launch::bare(python),
    };
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = tree.with_file_name("python");
    launch
        .env("PYTHONPATH", package)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHON_COLORS", "0")
        // What is buffered is part of what is tested.
        .env_remove("PYTHONUNBUFFERED")
        .env("SNAPSHOT_LIBRARY", CLibrary::built())
}
