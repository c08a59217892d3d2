//! A test that runs in a process of its own: as another user, or with other limits.

use std::process::Command;

/// Runs a test of this executable by its full name. Panics if it fails.
pub(super) fn in_another_process(test: &str, set_up: impl FnOnce(&mut Command)) {
    let exe = std::env::current_exe().expect("it has a path");
    let mut command = Command::new(exe);
    command
        .args(["--exact", "--include-ignored", "--nocapture", test])
        .current_dir("/");
    set_up(&mut command);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            eprintln!("skipped: the other user may not run this executable");
            return;
        }
        Err(error) => panic!("{test}: {error}"),
    };
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ran = said(&output.stdout).contains("1 passed");
    assert!(
        output.status.success() && ran,
        "{}\n{}",
        said(&output.stdout),
        said(&output.stderr)
    );
}
