//! What files that come back cost: calls and workloads at several depths beside no tool, takes
//! with open files, and reverts by size, in one run:
//! `cargo bench -p snapshot-tests --bench files`. Behind `--`: `calls`, `work`, `takes`,
//! `reverts`, `guarded`, else all.
//!
//! The bench runs itself as the program in a session. It prints what it measures on stdout, which
//! no revert takes back. `TMPDIR` says on which filesystem the files lie.

#[path = "../measured/itself.rs"]
mod itself;

mod calls;
mod guarded;
mod moments;
mod state;
mod work;

use itself::Part;

fn main() {
    match itself::part() {
        Part::Measured(case) => {
            let words: Vec<&str> = case.split(' ').collect();
            match words.as_slice() {
                ["calls", state] => calls::measure(state),
                ["work", name, state] => work::measure(name, state),
                ["take", files, bytes] => moments::measure_take(files, bytes),
                ["guarded", state] => guarded::measure(state),
                ["revert", files, bytes] => moments::measure_revert(files, bytes),
                _ => panic!("no such case: {case}"),
            }
        }
        Part::Show => {
            let chosen: Vec<String> = std::env::args()
                .skip(1)
                .filter(|argument| !argument.starts_with('-'))
                .collect();
            let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|one| one == name);
            if is_chosen("calls") {
                calls::show();
            }
            if is_chosen("work") {
                work::show();
            }
            if is_chosen("takes") {
                moments::show_takes();
            }
            if is_chosen("reverts") {
                moments::show_reverts();
            }
            if is_chosen("guarded") {
                guarded::show();
            }
        }
    }
}
