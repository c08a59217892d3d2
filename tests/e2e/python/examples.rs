//! The package's example prints what its docstring says, alone and under the launcher.

use snapshot_tests::{binaries, examples, outside};

use super::interpreter;

#[test]
fn the_example_prints_what_its_docstring_says() {
    let Some(python) = outside::find("python3") else {
        return;
    };
    let source = binaries::workspace().join("python/examples/tries.py");
    for under_launcher in [true, false] {
        let launch = interpreter::launch(&python, under_launcher).arg(&source);
        examples::keeps_its_promise(&source, launch);
    }
}
