//! The snapshot flags: `cargo snapshot run`, `cargo snapshot exec` and `snapshot-launch` share
//! them, so that all three mean the same by the same words.
//!
//! Every flag can also be given as `CARGO_SNAPSHOT_<FLAG>` in the environment; the
//! command line wins.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};

use crate::talk::signals::SignalName;
use crate::terminal::keys::Key;

/// How a session is to behave.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Snapshot options")]
pub struct SnapshotFlags {
    /// The signal that takes a snapshot
    #[arg(
        long,
        value_name = "NAME",
        default_value = "USR1",
        env = "CARGO_SNAPSHOT_SIGNAL"
    )]
    pub signal: SignalName,

    /// The prefix key in a terminal
    #[arg(
        long,
        value_name = "KEY",
        default_value = "C-]",
        env = "CARGO_SNAPSHOT_KEY"
    )]
    pub key: Key,

    /// Own the terminal (auto: where stdin and stdout are terminals)
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        env = "CARGO_SNAPSHOT_PTY"
    )]
    pub pty: When,

    /// Namespaces, so that the program has its ids again after a revert; `always` fails where
    /// they can't be had
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        env = "CARGO_SNAPSHOT_ISOLATE"
    )]
    pub isolate: When,

    /// Roll back only the files in this directory (may be repeated)
    #[arg(
        long,
        value_name = "DIR",
        env = "CARGO_SNAPSHOT_FILES",
        value_delimiter = ':',
        conflicts_with = "no_files"
    )]
    pub files: Vec<PathBuf>,

    /// Roll back no files, not even what is mapped of them
    #[arg(long, env = "CARGO_SNAPSHOT_NO_FILES", value_parser = clap::builder::FalseyValueParser::new())]
    pub no_files: bool,

    /// Tell in each event `taken` where its time went: `moments_ns`
    #[arg(long, hide = true, env = "CARGO_SNAPSHOT_MOMENTS", value_parser = clap::builder::FalseyValueParser::new())]
    pub moments: bool,

    /// What an exit with status 0 means while snapshots exist
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "revert",
        env = "CARGO_SNAPSHOT_ON_EXIT"
    )]
    pub on_exit: OnExit,

    /// What Ctrl+C means while snapshots exist
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "revert",
        env = "CARGO_SNAPSHOT_ON_INTERRUPT"
    )]
    pub on_interrupt: OnInterrupt,

    /// Take a snapshot every DUR (`500ms`, `30s`, `5m`, `1h`)
    #[arg(long, value_name = "DUR", value_parser = parse_duration, env = "CARGO_SNAPSHOT_EVERY")]
    pub every: Option<Duration>,

    /// How many automatic snapshots to keep; the oldest is dropped
    #[arg(long, value_name = "N", default_value = "10", env = "CARGO_SNAPSHOT_KEEP_LAST",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub keep_last: u32,

    /// Take #1 before the program's `main`
    #[arg(long, env = "CARGO_SNAPSHOT_AT_START", value_parser = clap::builder::FalseyValueParser::new())]
    pub at_start: bool,

    /// Wipe memory that asks to be wiped in copies when the program comes back, too: its
    /// random numbers then differ from try to try, where a kept snapshot would give each try
    /// the same ones
    #[arg(long, env = "CARGO_SNAPSHOT_RESEED", value_parser = clap::builder::FalseyValueParser::new())]
    pub reseed: bool,

    /// Ask for huge pages, so that a take of a large heap is fast (auto: where kernel and
    /// glibc have them, and the program has no allocator of its own). Costs up to 2 MB for
    /// each thread that allocates, and freed memory stays with the program for longer
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        env = "CARGO_SNAPSHOT_HUGE_PAGES"
    )]
    pub huge_pages: HugePages,

    /// Go on although KIND can't be rolled back
    #[arg(
        long,
        value_name = "KIND",
        value_delimiter = ',',
        env = "CARGO_SNAPSHOT_ALLOW"
    )]
    pub allow: Vec<AllowKind>,

    /// Have the kernel refuse KIND to the program and all that it starts, so that it does
    /// without. An ordinary user's session without namespaces gives up set-uid programs
    /// for it: `sudo` and the like have no rights then
    #[arg(
        long,
        value_name = "KIND",
        value_delimiter = ',',
        env = "CARGO_SNAPSHOT_DENY"
    )]
    pub deny: Vec<DenyKind>,

    /// Write one JSON object a line to FILE, as it happens
    #[arg(long, value_name = "FILE", env = "CARGO_SNAPSHOT_EVENTS")]
    pub events: Option<PathBuf>,

    /// The session's name [default: the program's]
    #[arg(long, value_name = "NAME", env = "CARGO_SNAPSHOT_NAME")]
    pub name: Option<String>,
}

impl SnapshotFlags {
    /// The defaults, or the values of `CARGO_SNAPSHOT_*`, as for an empty command line.
    pub fn from_environment() -> Self {
        #[derive(Parser)]
        struct Nothing {
            #[command(flatten)]
            flags: SnapshotFlags,
        }
        Nothing::parse_from(["launch"]).flags
    }
}

/// A choice the tool can make by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// As the surroundings suggest.
    Auto,
    /// Always, or fail.
    Always,
    /// Never.
    Never,
}

/// Whether the program's heap is to be in huge pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HugePages {
    /// Where it does something.
    Auto,
    /// Never.
    Never,
}

/// What an exit with status 0 means while snapshots exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnExit {
    /// The program goes on from the newest snapshot.
    Revert,
    /// The snapshots are dropped and the session ends.
    Commit,
}

/// What Ctrl+C means while snapshots exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnInterrupt {
    /// The program goes on from the newest snapshot.
    Revert,
    /// The program gets its own SIGINT.
    Pass,
}

/// Something that makes a take refuse unless it is allowed by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AllowKind {
    /// An io_uring ring: its memory is shared with the kernel.
    IoUring,
    /// A context for asynchronous input and output (`io_setup`).
    Aio,
    /// Page faults that the program handles itself.
    Userfaultfd,
    /// A graphics processor: its memory is its own.
    Gpu,
    /// A virtual machine.
    Kvm,
}

/// Something that the program is not to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DenyKind {
    /// io_uring, as if the kernel had none: runtimes use epoll then.
    IoUring,
}

/// Parses `500ms`, `30s`, `5m`, `1h`; a bare number is seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number
        .parse()
        .map_err(|_| "a duration is a number and a unit, as in `30s`".to_owned())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(format!("unknown unit `{unit}`: use ms, s, m or h")),
    };
    match milliseconds {
        Some(0) => Err("a duration must be longer than nothing".to_owned()),
        Some(milliseconds) => Ok(Duration::from_millis(milliseconds)),
        None => Err("the duration is too long".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3600)));
        for bad in ["", "s", "0s", "5 s", "-1s", "1d", "99999999999999999h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
