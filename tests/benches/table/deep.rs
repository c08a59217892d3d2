//! A thousand snapshots, one on top of the other: what a level costs in memory, and what
//! happens to takes, lists and reverts with the depth.

use crate::guest::Guest;
use crate::session::{Session, frozen, proc_of};
use crate::spread::Spread;

pub const LEVELS: u32 = 1000;

/// The depths at which times are measured.
const AT: [u32; 4] = [1, 10, 100, LEVELS];

pub struct Deep {
    /// Depth, and what a take and a list cost there.
    there: Vec<(u32, Spread, Spread)>,
    /// Which snapshot it went to, from how deep, and what that cost.
    reverts: Vec<(u32, u32, u64)>,
    /// Kilobytes a level: the copy's share of pages, pages of its own, page tables.
    share: u64,
    own: u64,
    tables: u64,
    /// Every take and revert has done what it should.
    pub all_done: bool,
}

impl Deep {
    pub fn measure() -> Self {
        let mut session = Session::start(Guest {
            threads: 1,
            megabytes: 10,
            small_pages: true,
            shared_out: false,
            files: 0,
        });
        let mut there = Vec::new();
        let mut takes = Vec::new();
        for depth in 1..=LEVELS {
            takes.push(session.take());
            session.touch(100);
            if AT.contains(&depth) {
                let lists = (0..9).map(|_| session.list().1).collect();
                let latest = takes.split_off(takes.len().saturating_sub(9));
                there.push((depth, Spread::of(latest), Spread::of(lists)));
            }
        }
        let listing = session.list().0;
        let copies: Vec<u32> = listing.snapshots.iter().map(frozen).collect();
        let average = |file: &str, fields: &[&str]| {
            let all = copies.iter().map(|&pid| kilobytes(pid, file, fields));
            all.sum::<u64>() / u64::from(LEVELS)
        };
        let mut deep = Self {
            there,
            reverts: Vec::new(),
            share: average("smaps_rollup", &["Pss:"]),
            own: average("smaps_rollup", &["Private_Clean:", "Private_Dirty:"]),
            tables: average("status", &["VmPTE:"]),
            all_done: copies.len() == 1000 && listing.depth == LEVELS,
        };
        let mut depth = LEVELS;
        for id in [LEVELS, LEVELS / 2, 1] {
            let ns = session.revert(Some(id), true);
            deep.reverts.push((id, depth, ns));
            depth = session.list().0.depth;
            deep.all_done &= depth == id;
        }
        deep
    }

    pub fn memory(&self) -> String {
        format!(
            "{} kB of pages ({} kB its own) + {} kB of page tables",
            self.share, self.own, self.tables
        )
    }

    /// What depends on the depth, and whether it grows no faster than the depth.
    pub fn by_depth(&self) -> [(&'static str, String, Option<bool>); 3] {
        let at = |pick: fn(&(u32, Spread, Spread)) -> Spread| {
            let texts: Vec<String> = self
                .there
                .iter()
                .map(|entry| format!("{:.2} at {}", pick(entry).middle(), entry.0))
                .collect();
            texts.join(", ") + " ms"
        };
        // With ten times the depth, ten times the time: a little more is noise.
        let linear = |pick: fn(&(u32, Spread, Spread)) -> Spread| match &self.there[..] {
            [.., before, last] => Some(pick(last).per(pick(before)) <= 12.0),
            _ => None,
        };
        let reverts: Vec<String> = self
            .reverts
            .iter()
            .map(|(id, depth, ns)| format!("{:.1} to #{id} from {depth}", ms(*ns)))
            .collect();
        [
            (
                "take at a depth",
                at(|entry| entry.1),
                linear(|entry| entry.1),
            ),
            (
                "list at a depth",
                at(|entry| entry.2),
                linear(|entry| entry.2),
            ),
            (
                "revert, kept, at a depth",
                reverts.join(", ") + " ms",
                Some(self.all_done),
            ),
        ]
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for a person")]
fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// The sum of some fields of a file that the kernel has about a process.
fn kilobytes(pid: u32, file: &str, fields: &[&str]) -> u64 {
    let text = std::fs::read_to_string(proc_of(pid).join(file)).expect("the copy is there");
    text.lines()
        .filter(|line| fields.iter().any(|field| line.starts_with(field)))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}
