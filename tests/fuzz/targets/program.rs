//! Fuzz: the program to launch. Whatever the file is, it is a program that can be launched, or
//! refused with its reason and the next step.
#![no_main]

#[expect(dead_code, reason = "the launcher uses more of it")]
#[path = "../../../snapshot-launch/src/program.rs"]
mod program;
#[expect(dead_code, reason = "the launcher uses more of it")]
#[path = "../../../snapshot-launch/src/shortage.rs"]
mod shortage;
/// Where the launcher has its problems.
mod talk {
    pub(crate) use snapshot_launch::problem;
}

use std::fs;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = PathBuf::from(format!(
        "/dev/shm/snapshot-fuzz-program-{}",
        std::process::id()
    ));
    fs::write(&path, bytes).expect("there is memory");
    let outcome = program::check_executable(&path, "name");
    let _ = fs::remove_file(&path);
    match outcome {
        Ok(()) => assert!(bytes.starts_with(b"\x7fELF") || bytes.starts_with(b"#!")),
        Err(problem) => {
            let said = problem.to_string();
            assert!(
                said.contains("cause: ") && said.contains("help: "),
                "{said}"
            );
        }
    }
});
