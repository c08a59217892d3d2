//! The children across takes and reverts: a take records them, a revert gives them to the
//! revived process.

use std::collections::{HashMap, HashSet};
use std::io;

use snapshot_core::process::children::{CAPACITY, Index, State};
use snapshot_core::terms::Ended;

use super::{
    tracked::{Children, Standing},
    words::{name_ended, name_kept},
};
use crate::processes::{family::Process, kin::Child};
use crate::refusal::{Refusal, obstacles::unseen};
use crate::supervisor::aspects::aspect::{Aspect, Resumed, Standstill};

/// The program's processes at one moment.
pub(crate) struct Family {
    /// Its own children, and adopted ones not waited for.
    children: Vec<Index>,
    /// The state of those that were stopped.
    standings: HashMap<Index, Standing>,
    /// All that it had started: a revert leaves them alone.
    pub(crate) processes: HashSet<Process>,
}

impl Aspect for Children {
    type Kept = Family;

    fn take(&mut self, still: &mut Standstill<'_>, earlier: &[&Family]) -> Result<Family, Refusal> {
        let own = std::mem::take(&mut still.children);
        let children = self
            .record(&own, still, earlier)
            .map_err(|error| unseen(&error))?;
        still.not_rolled_back.extend(
            self.known_of(&children)
                .map(|known| Child::look(known.process.pid, known.outer_pid, still.pid).named()),
        );
        Ok(Family {
            standings: self.standings(&children),
            children,
            processes: still.started.clone(),
        })
    }

    fn revert(&mut self, kept: &Family, _ended: Ended) {
        self.lose_missing(&kept.children);
        for &index in &kept.children {
            let then = kept.standings.get(&index).copied().unwrap_or_default();
            let news = self.news_of(index, then);
            self.table.set_news(index, news);
        }
        let table = self.table;
        let to_adopt = |index: &Index| table.state(*index) != State::Lost;
        table.adopt(kept.children.iter().copied().filter(to_adopt));
        self.reverted.clone_from(&kept.children);
    }

    /// Sends the program the SIGCHLDs of children that changed while it woke.
    fn resumed(&mut self, _kept: &Family, news: &mut Resumed<'_>) {
        for &index in &self.reverted {
            self.tell_of_end(index, news.live);
            if self.table.is_adopted(index) {
                self.tell_news(index, news.live);
            }
        }
        let (kept, ended) = self.account();
        let notes = [
            name_kept(&kept, news.target),
            name_ended(&ended, news.target),
        ];
        news.notes.extend(notes.into_iter().flatten());
        news.children_kept = kept;
        news.children_ended = ended;
    }
}

impl Children {
    /// Enters the live process's children by birth (`own`). Returns the indices of those and of
    /// the adopted ones.
    ///
    /// # Errors
    /// One of them can't be seen.
    fn record(
        &mut self,
        own: &[i32],
        still: &mut Standstill<'_>,
        earlier: &[&Family],
    ) -> io::Result<Vec<Index>> {
        let named = earlier
            .iter()
            .flat_map(|family| family.children.iter().copied())
            .collect();
        self.forget_all_but(&named);
        let mut indices: Vec<Index> = self.table.adopted().collect();
        let adopted = indices.len();
        for &pid in own {
            indices.extend(self.enter(pid, still.outside)?);
        }
        // The program stands still and reaps none, so the table is full.
        if indices.len() - adopted < own.len() {
            still.notes.push(format!(
                "the program and its snapshots have more than {CAPACITY} children: after a revert it can't wait for the rest of them"
            ));
        }
        Ok(indices)
    }
}
