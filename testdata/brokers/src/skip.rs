//! Tests that find nothing to do on a release.

use std::io::Write as _;

use crate::Release;

/// Says that a test, or what `why` names of it, is left out on this release: `skipped: NAME on Kafka RELEASE: WHY`, a line on
/// standard error.
///
/// libtest cannot skip at run time and counts such a test as passed, so it has to be said elsewhere: `testdata/test` counts
/// these lines. They do not go through `eprintln!`, whose text libtest withholds for tests that pass.
pub fn skipped(test: &str, release: &Release, why: &str) {
    // One write, so that no other test's line comes between. Where nobody can be told, nobody is.
    let _ = std::io::stderr().write_all(format!("skipped: {test} on Kafka {release}: {why}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Set for the test that is run by the other one.
    const INNER: &str = "OTTLA_TEST_OF_SKIPS";

    #[test]
    fn one_that_skips() {
        if std::env::var_os(INNER).is_some() {
            skipped("one_that_skips", &"2.3.1".parse().unwrap(), "there is nothing in it");
        }
    }

    #[test]
    fn a_skip_is_seen_although_its_test_passes_and_nobody_asked_for_its_output() {
        let mut inner = Command::new(std::env::current_exe().unwrap());
        let done = inner.args(["--exact", "skip::tests::one_that_skips"]).env(INNER, "1").output().unwrap();
        assert!(String::from_utf8_lossy(&done.stdout).contains("1 passed"), "{done:?}");
        let told = String::from_utf8_lossy(&done.stderr);
        assert_eq!(told, "skipped: one_that_skips on Kafka 2.3.1: there is nothing in it\n");
    }
}
