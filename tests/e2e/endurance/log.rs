//! The last actions of a run, for the reader of a failure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// How many are shown, with what came of them: some 200 actions.
const LAST: usize = 1000;

static LAST_ACTS: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());
static COUNTS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

/// This is done now.
pub fn act(kind: &'static str, what: &str) {
    note(&format!("{kind}: {what}"));
    let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    *counts.entry(kind).or_default() += 1;
}

/// This came of it.
pub fn note(what: &str) {
    let mut acts = LAST_ACTS.lock().unwrap_or_else(PoisonError::into_inner);
    if acts.len() == LAST {
        acts.pop_front();
    }
    acts.push_back(what.to_owned());
}

/// How often each was done.
pub fn counts() -> String {
    let counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let counts = counts.iter().map(|(kind, count)| format!("{count} {kind}"));
    counts.collect::<Vec<_>>().join(", ")
}

/// Shows the last ones if the test fails while it is held.
pub struct ShownOnFailure;

impl Drop for ShownOnFailure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let acts = LAST_ACTS.lock().unwrap_or_else(PoisonError::into_inner);
            for act in acts.iter() {
                eprintln!("act    {act}");
            }
        }
    }
}
