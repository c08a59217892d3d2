//! The pytest plugin: what a test does to a warm fixture is seen by no other test.

use snapshot_tests::binaries;

use super::interpreter;

#[test]
fn nothing_leaks_from_a_warm_test_to_the_next() {
    let Some(python) = interpreter::with_module("pytest") else {
        return;
    };
    for under_launcher in [true, false] {
        let output = interpreter::launch(&python, under_launcher)
            .args(["-m", "pytest", "-p", "snapshot.pytest_plugin"])
            .args(["-p", "no:cacheprovider", "--color=no", "-v", "-rA"])
            .arg(binaries::source("python/warm_tests.py"))
            .piped()
            .finish();
        let says = |words: &str| assert!(output.stdout.contains(words), "{words}: {output:?}");
        says("4 failed, 23 passed, 1 skipped, 1 xfailed");
        says("::test_private[19] PASSED");
        for failed in ["fails", "crashes", "exits", "leaves"] {
            says(&format!("::test_that_{failed} FAILED"));
        }
        says("assert [] == [1]");
        says("printed in the branch");
        says("the test's branch was killed by SIGABRT");
        says("the test's branch exited with status 7");
        says("SKIPPED");
        says("because it may");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
}
