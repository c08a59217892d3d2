//! The rows: each a figure, what it is compared with, and its target.

use std::fmt;

use crate::deep::{Deep, LEVELS};
use crate::guest::Guest;
use crate::session::{Session, knows_huge_pages};
use crate::spread::Spread;

/// Megabytes of the large rows.
const LARGE: usize = 4096;
/// Megabytes that others on the machine are left with.
const MARGIN: usize = 1024;

/// What takes and reverts of one program cost, by its threads and its memory. The program
/// writes to all its memory before every fork and take, and after every take.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub threads: usize,
    pub megabytes: usize,
    pub fork: Spread,
    pub take: Spread,
    /// Kill and wait for a child that has made all its memory its own.
    pub kill: Spread,
    /// By the second terminal's request.
    pub revert: Spread,
    /// By `kill -9`, seen from outside.
    pub revert_by_kill: Spread,
}

impl Cost {
    fn of(threads: usize, megabytes: usize) -> Self {
        let mut session = Session::start(Guest {
            threads,
            megabytes,
            small_pages: true,
            shared_out: false,
            files: 0,
        });
        let rounds = match megabytes {
            0..500 => 21,
            500..2000 => 7,
            _ => 5,
        };
        let [mut fork, mut take, mut kill, mut revert, mut by_kill] = [const { Vec::new() }; 5];
        // All in turn, so that a noisy moment of the machine meets all. The first round is
        // for the caches.
        for round in 0..=rounds {
            session.touch(1);
            let one_fork = session.raw_fork().0;
            session.touch(1);
            let one_take = session.take();
            session.touch(1);
            let one_revert = session.revert(None, false);
            session.touch(1);
            let one_kill = session.raw_kill_of_dirtied();
            session.touch(1);
            let other_take = session.take();
            session.touch(1);
            let one_by_kill = session.revert_by_kill();
            if round > 0 {
                fork.push(one_fork);
                take.extend([one_take, other_take]);
                kill.push(one_kill);
                revert.push(one_revert);
                by_kill.push(one_by_kill);
            }
        }
        Self {
            threads,
            megabytes,
            fork: Spread::of(fork),
            take: Spread::of(take),
            kill: Spread::of(kill),
            revert: Spread::of(revert),
            revert_by_kill: Spread::of(by_kill),
        }
    }
}

/// Ten takes of a large heap.
struct Series {
    /// The first raw fork of the same heap, with small pages: it has to take the right to
    /// write from every page, as the first take has, and costs more than those after it.
    fork: Spread,
    first: Spread,
    tenth: Spread,
    /// Where the tenth has just been taken, in the same process.
    fork_after: Spread,
}

impl Series {
    fn of(shared_out: bool) -> Self {
        let [mut fork, mut first, mut tenth, mut fork_after] = [const { Vec::new() }; 4];
        // A program has one first take, and one first fork.
        for _ in 0..5 {
            let mut small = Session::start(Guest {
                threads: 8,
                megabytes: LARGE,
                small_pages: true,
                shared_out,
                files: 0,
            });
            fork.push(small.raw_fork().0);
            drop(small);
            let mut session = Session::start(Guest {
                threads: 8,
                megabytes: LARGE,
                small_pages: false,
                shared_out,
                files: 0,
            });
            first.push(session.take());
            let mut last = 0;
            for _ in 2..=10 {
                session.touch(100);
                last = session.take();
            }
            tenth.push(last);
            session.touch(100);
            fork_after.push(session.raw_fork().0);
        }
        Self {
            fork: Spread::of(fork),
            first: Spread::of(first),
            tenth: Spread::of(tenth),
            fork_after: Spread::of(fork_after),
        }
    }
}

struct Row {
    name: String,
    figure: String,
    yardstick: String,
    /// Ratio or difference, beside the target.
    relation: String,
    target: &'static str,
    met: Option<bool>,
}

/// Everything that was measured.
#[derive(Default)]
pub struct Table {
    pub by_memory: Vec<Cost>,
    pub by_threads: Vec<Cost>,
    rows: Vec<Row>,
}

impl Table {
    pub fn measure(&mut self) {
        for megabytes in [10, 100, 1024, LARGE] {
            // The program, and the child or the snapshot that has nothing in common with it.
            if self.has_room(&format!("1 thread, {megabytes} MB"), 2 * megabytes) {
                progress(&format!("1 thread, {megabytes} MB"));
                self.by_memory.push(Cost::of(1, megabytes));
            }
        }
        self.by_threads.extend(self.by_memory.first().copied());
        for threads in [8, 64, 512] {
            progress(&format!("{threads} threads, 10 MB"));
            self.by_threads.push(Cost::of(threads, 10));
        }
        if let Some(&small) = self.by_memory.first() {
            self.small_rows(small);
        }
        if self.has_room("8 threads, 4 GB", 2 * LARGE) {
            progress("8 threads, 4 GB, small pages");
            let large = Cost::of(8, LARGE);
            self.large_rows(large);
            for shared_out in [false, true] {
                progress("8 threads, 4 GB, huge pages: ten takes, five times");
                self.series_rows(&Series::of(shared_out), shared_out);
            }
        }
        if self.has_room("1,000 snapshots", 2048) {
            progress("1,000 snapshots");
            self.deep_row(&Deep::measure());
        }
    }

    fn small_rows(&mut self, small: Cost) {
        self.difference(
            "take, 1 thread, 10 MB",
            small.take,
            small.fork,
            "raw fork + 0.4 ms",
            0.4,
        );
        for (how, revert) in [
            ("cargo snapshot revert", small.revert),
            ("kill -9", small.revert_by_kill),
        ] {
            self.rows.push(Row {
                name: format!("revert, 1 thread, 10 MB, all dirtied, by {how}"),
                figure: revert.to_string(),
                yardstick: format!("{} raw kill + wait", small.kill),
                relation: format!("{:+.2} ms", revert.middle() - small.kill.middle()),
                target: "1 ms",
                met: Some(revert.middle() <= 1.0),
            });
        }
    }

    fn large_rows(&mut self, large: Cost) {
        self.ratio(
            "take, 8 threads, 4 GB, huge pages never",
            large.take,
            ("raw fork", large.fork),
            Some(("1.05 x", 1.05)),
        );
        for (how, revert) in [
            ("cargo snapshot revert", large.revert),
            ("kill -9", large.revert_by_kill),
        ] {
            self.ratio(
                &format!("revert, 8 threads, 4 GB, all dirtied, by {how}"),
                revert,
                ("raw kill + wait", large.kill),
                Some(("1/50", 1.0 / 50.0)),
            );
        }
    }

    fn series_rows(&mut self, series: &Series, shared_out: bool) {
        let heap = if shared_out {
            "each thread's share its own"
        } else {
            "all the first thread's"
        };
        let known = if knows_huge_pages() {
            "huge pages auto"
        } else {
            "no --huge-pages here yet"
        };
        self.ratio(
            &format!("first take, 8 threads, 4 GB heap, {heap}, {known}"),
            series.first,
            ("first raw fork, 4K pages", series.fork),
            Some(("1/15", 1.0 / 15.0)),
        );
        self.ratio(
            &format!("tenth take, 1 % of the pages touched between, {heap}"),
            series.tenth,
            ("raw fork then", series.fork_after),
            None,
        );
    }

    fn deep_row(&mut self, deep: &Deep) {
        self.rows.push(Row {
            name: format!("{LEVELS} snapshots of 10 MB, 1 % touched between: memory a level"),
            figure: deep.memory(),
            yardstick: "10 MB whole".to_owned(),
            relation: String::new(),
            target: "stated",
            met: Some(deep.all_done),
        });
        for (name, values, linear) in deep.by_depth() {
            self.rows.push(Row {
                name: name.to_owned(),
                figure: values,
                yardstick: String::new(),
                relation: String::new(),
                target: "O(depth)",
                met: linear,
            });
        }
    }

    fn difference(
        &mut self,
        name: &str,
        figure: Spread,
        yardstick: Spread,
        target: &'static str,
        at_most_ms: f64,
    ) {
        let beyond = figure.middle() - yardstick.middle();
        self.rows.push(Row {
            name: name.to_owned(),
            figure: figure.to_string(),
            yardstick: format!("{yardstick} raw fork"),
            relation: format!("{beyond:+.2} ms"),
            target,
            met: Some(beyond <= at_most_ms),
        });
    }

    fn ratio(
        &mut self,
        name: &str,
        figure: Spread,
        (what, yardstick): (&str, Spread),
        target: Option<(&'static str, f64)>,
    ) {
        let ratio = figure.per(yardstick);
        self.rows.push(Row {
            name: name.to_owned(),
            figure: figure.to_string(),
            yardstick: format!("{yardstick} {what}"),
            relation: if ratio < 0.5 {
                format!("1/{:.1}", 1.0 / ratio)
            } else {
                format!("{ratio:.2} x")
            },
            target: target.map_or("as low as can be", |(text, _)| text),
            met: target.map(|(_, at_most)| ratio <= at_most),
        });
    }

    /// Whether so many megabytes are free; says so where they are not.
    fn has_room(&mut self, what: &str, megabytes: usize) -> bool {
        let needed = megabytes + MARGIN;
        let free = free_megabytes();
        if free >= needed {
            return true;
        }
        self.rows.push(Row {
            name: what.to_owned(),
            figure: format!("not shown: needs {needed} MB, {free} MB are free"),
            yardstick: String::new(),
            relation: String::new(),
            target: "",
            met: None,
        });
        false
    }

    /// One object a row, and one a point of the plots.
    pub fn json(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            serde_json::json!({
                "row": row.name, "figure": row.figure, "yardstick": row.yardstick,
                "relation": row.relation, "target": row.target, "met": row.met,
            })
        });
        let points = self.by_memory.iter().chain(&self.by_threads).map(|cost| {
            serde_json::json!({
                "threads": cost.threads, "megabytes": cost.megabytes,
                "fork_ns": cost.fork.middle_ns, "take_ns": cost.take.middle_ns,
                "kill_ns": cost.kill.middle_ns, "revert_ns": cost.revert.middle_ns,
                "revert_by_kill_ns": cost.revert_by_kill.middle_ns,
            })
        });
        rows.chain(points)
            .map(|object| format!("{object}\n"))
            .collect()
    }
}

/// A table that Markdown shows as one, and a person reads in a terminal.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["", "figure", "beside", "is", "target", "met"].map(str::to_owned);
        let body = self.rows.iter().map(|row| {
            let met = match row.met {
                Some(true) => "yes",
                Some(false) => "no",
                None => "",
            };
            [
                row.name.clone(),
                row.figure.clone(),
                row.yardstick.clone(),
                row.relation.clone(),
                row.target.to_owned(),
                met.to_owned(),
            ]
        });
        let lines: Vec<[String; 6]> = std::iter::once(head).chain(body).collect();
        let widths: [usize; 6] = std::array::from_fn(|column| {
            let cells = lines.iter().map(|line| line[column].chars().count());
            cells.max().unwrap_or(0)
        });
        for (number, line) in lines.iter().enumerate() {
            for (cell, width) in line.iter().zip(widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if number == 0 {
                for width in widths {
                    write!(f, "|{:-<1$}", "", width + 2)?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// On stderr: the table may go into a file.
fn progress(what: &str) {
    eprintln!("measuring: {what}");
}

fn free_megabytes() -> usize {
    let text = std::fs::read_to_string("/proc/meminfo").expect("/proc is mounted");
    let kilobytes = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<usize>().ok());
    kilobytes.expect("the kernel tells in this form") / 1024
}
