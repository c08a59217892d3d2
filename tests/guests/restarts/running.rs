//! The table's threads: starts them, waits for them, and reports them.

use std::sync::atomic::Ordering;

use nix::unistd::gettid;

use crate::act::{Act, Given};
use crate::note::Note;
use crate::table::{ROWS, Row};
use crate::time::look;

/// A running row.
pub struct Running {
    pub row: &'static Row,
    pub note: &'static Note,
    pub release: Option<Box<dyn FnOnce()>>,
    pub endless: bool,
}

impl Running {
    pub fn is_over(&self) -> bool {
        self.note.outcome.get().is_some()
    }

    pub fn report(&self) {
        let until = if self.endless { "event" } else { "time" };
        let (got, after) = match self.note.outcome.get() {
            Some(outcome) => {
                let nanoseconds = self.note.ended.load(Ordering::Acquire)
                    - self.note.begun.load(Ordering::Acquire);
                (outcome.text(), nanoseconds / 1_000_000)
            }
            None => ("blocked".into(), 0),
        };
        let Row { name, expected, .. } = self.row;
        println!("row {name} {until} {expected} {got} {after}");
    }
}

/// Looks until all that `wanted` picks have ended; false if one never does.
pub fn wait_for(rows: &[Running], wanted: impl Fn(&Running) -> bool) -> bool {
    look(|| rows.iter().filter(|row| wanted(row)).all(Running::is_over))
}

pub fn start(given: &Given) -> Vec<Running> {
    // Makes all objects, and the children, before the first thread.
    let acts: Vec<(&'static Row, Act)> = ROWS.iter().map(|row| (row, (row.act)(given))).collect();
    acts.into_iter()
        .map(|(row, act)| {
            let note: &'static Note = Box::leak(Box::default());
            let call = act.call;
            std::thread::spawn(move || {
                note.thread.store(gettid().as_raw(), Ordering::Release);
                let outcome = call(note);
                note.end(outcome);
            });
            Running {
                row,
                note,
                endless: act.release.is_some(),
                release: act.release,
            }
        })
        .collect()
}
