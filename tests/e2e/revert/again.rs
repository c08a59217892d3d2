//! Copies that go back by themselves, and make the next run.

use std::fs;

use snapshot_tests::seed::Seed;
use snapshot_tests::{Launch, binaries};

/// Whether the kernel shows a program's system calls here: no filter is before it.
fn can_go_back() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("it is there");
    status.lines().any(|line| line == "Seccomp:\t0")
}

/// Each run compares all memory with what the first run of its process has found, and then changes it: it
/// writes, allocates, recurses, exits, panics, crashes, or does what makes its process an ordinary copy.
fn all_find_memory_as_it_was(count: u64) {
    let seed = Seed::new().number();
    let output = Launch::bare(binaries::guest("again"))
        .args([count.to_string(), seed.to_string()])
        .piped()
        .finish();
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
    let processes = output.stdout.lines().find_map(|line| {
        let rest = line.strip_prefix(&format!("{count} runs by "))?;
        rest.strip_suffix(" processes")?.parse::<u64>().ok()
    });
    let processes = processes.unwrap_or_else(|| panic!("{}", output.stdout));
    // A tenth of the runs ends its process, and some processes are left out after that.
    assert!(processes < count / 3 || !can_go_back(), "{}", output.stdout);
}

#[test]
fn a_run_finds_memory_as_the_first_one_did() {
    all_find_memory_as_it_was(1000);
}

#[test]
#[ignore = "takes minutes"]
fn many_runs_find_memory_as_the_first_one_did() {
    for _ in 0..10 {
        all_find_memory_as_it_was(3000);
    }
}
