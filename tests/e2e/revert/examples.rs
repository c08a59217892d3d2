//! The library's examples, one a function: each runs to its end, alone and under the launcher, and prints
//! what its header says.

use snapshot_tests::{Launch, examples};

/// Has no end of its own; `terminal` types into it.
const AT_A_PROMPT: &str = "prompt";

#[test]
fn each_example_prints_what_its_header_says() {
    let mut count = 0;
    for (source, program) in examples::in_rust() {
        if source.file_stem().is_some_and(|name| name == AT_A_PROMPT) {
            continue;
        }
        for launch in [Launch::program(program), Launch::bare(program)] {
            examples::keeps_its_promise(source, launch);
        }
        count += 1;
    }
    assert!(count >= 20, "there are {count} examples");
}
