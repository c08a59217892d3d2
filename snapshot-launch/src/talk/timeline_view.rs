//! A session's timeline for a person: the session, then its snapshots as a tree, with the live
//! process at the tip.
//!
//! It exists once, so that the `l` key and `cargo snapshot list` show the same. It is pure: the
//! callers ask the session, and know the width of their terminal. Other lines use its forms of
//! a time, a size and a label too.

use std::fmt::Write as _;
use std::time::Duration;

use crate::talk::{
    control::{Listing, SnapshotInfo},
    counted::counted,
    facts::SnapshotFacts,
};

/// The indentation of a level, in columns.
const STEP: usize = 3;

/// The deepest indentation, even in a wide terminal or a file: otherwise the length of the
/// whole would grow with the square of the depth.
const DEEPEST: usize = 96;

/// The tree of one session, each line ended by a newline.
///
/// ```text
/// tour  launcher 4121  live 4123  depth 2
/// └─ #1 "before merge"  12 s ago  10.2 MB  taken in 0.9 ms
///    └─ #2  3 s ago  10.4 MB  taken in 1.1 ms
///       └─ live
/// ```
///
/// Snapshots that lie ahead of the live process follow it.
///
/// No line is longer than `width` columns: labels are shortened first, then the rest is cut. A
/// timeline deeper than a third of the width, or than 32 levels, is not indented further. For a
/// file or a pipe, pass `usize::MAX`.
///
/// # Limits
/// A column is counted for each character; wide characters in a label take more.
pub fn render(listing: &Listing, width: usize) -> String {
    let mut text = String::new();
    let head = format!(
        "{}  launcher {}  live {}  depth {}",
        printable(&listing.session),
        listing.launcher_pid,
        listing.live_pid,
        listing.depth
    );
    push_line(&mut text, &head, width);
    let (ahead, under): (Vec<_>, Vec<_>) = listing.snapshots.iter().partition(|of| of.ahead);
    let push_snapshot = |text: &mut String, level, snapshot| {
        let branch = branch(level, width);
        let room = width.saturating_sub(branch.chars().count());
        push_line(text, &(branch + &describe(snapshot, room)), width);
    };
    let tip = under.len();
    for (level, snapshot) in under.into_iter().enumerate() {
        push_snapshot(&mut text, level, snapshot);
    }
    push_line(&mut text, &(branch(tip, width) + "live"), width);
    for (level, snapshot) in ahead.into_iter().enumerate() {
        push_snapshot(&mut text, tip + 1 + level, snapshot);
    }
    text
}

/// The indentation and the branch of an entry.
fn branch(level: usize, width: usize) -> String {
    let deepest = (width / 3).clamp(STEP, DEEPEST);
    let columns = level.saturating_mul(STEP).min(deepest / STEP * STEP);
    format!("{:columns$}└─ ", "")
}

/// One snapshot in one line of at most `room` columns, if a shorter label makes that possible.
fn describe(snapshot: &SnapshotInfo, room: usize) -> String {
    let SnapshotFacts {
        id,
        label,
        latency_us,
        threads,
        rss_bytes,
        ..
    } = &snapshot.facts;
    let id = format!("#{id}");
    let place = if snapshot.ahead { "  ahead" } else { "" };
    let mut facts = format!(
        "{place}  {}  {}",
        age(Duration::from_micros(snapshot.taken_us_ago)),
        bytes(*rss_bytes)
    );
    if *threads > 1 {
        // Writing to a string doesn't fail.
        let _ = write!(facts, "  {threads} threads");
    }
    if let Some(files @ 1..) = snapshot.files {
        let kept = snapshot.files_bytes.unwrap_or(0);
        let files = counted(usize::try_from(files).unwrap_or(usize::MAX), "file");
        let _ = match kept {
            0 => write!(facts, "  {files}"),
            kept => write!(facts, "  {files} ({})", bytes(kept)),
        };
    }
    let cost = duration(Duration::from_micros(*latency_us));
    let _ = write!(facts, "  taken in {cost}");
    let label = match label {
        None => String::new(),
        Some(label) => {
            // A blank and two quotes are added.
            let taken = id.chars().count() + facts.chars().count() + 3;
            let label = shortened(&printable(label), room.saturating_sub(taken).max(8));
            format!(" \"{label}\"")
        }
    };
    id + &label + &facts
}

fn push_line(text: &mut String, line: &str, width: usize) {
    text.push_str(&shortened(line, width.max(1)));
    text.push('\n');
}

/// `text` if it fits into `columns`, else its beginning and an ellipsis.
fn shortened(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(columns.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// A label or a name that is safe to print: escapes what would steer the terminal.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The same for JSON: escapes what JSON itself leaves, which can only be in strings.
pub fn printable_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        match u32::from(character) {
            control @ 0x7f..=0x9f => shown += &format!("\\u{control:04x}"),
            _ => shown.push(character),
        }
    }
    shown
}

/// How long ago something was: `just now`, `12 s ago`, `2 h 5 min ago`.
pub fn age(time: Duration) -> String {
    match time.as_secs() {
        0 => "just now".to_owned(),
        seconds => format!("{} ago", whole(seconds)),
    }
}

/// A duration in the digits that matter: `85 µs`, `0.9 ms`, `1.2 s`, `2 min 5 s`.
pub fn duration(time: Duration) -> String {
    // Each bound is where the form before it would round up to one more digit.
    match time.as_micros() {
        micros @ 0..100 => format!("{micros} µs"),
        100..99_950 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        99_950..999_500 => format!("{:.0} ms", time.as_secs_f64() * 1e3),
        999_500..9_950_000 => format!("{:.1} s", time.as_secs_f64()),
        _ => whole(time.saturating_add(Duration::from_millis(500)).as_secs()),
    }
}

/// Whole seconds in the largest unit that fits, and the next unit if it matters.
fn whole(seconds: u64) -> String {
    let (large, large_name, small, small_name) = match seconds {
        0..60 => return format!("{seconds} s"),
        60..3600 => (60, "min", 1, "s"),
        3600..86_400 => (3600, "h", 60, "min"),
        _ => (86_400, "d", 3600, "h"),
    };
    match seconds % large / small {
        0 => format!("{} {large_name}", seconds / large),
        rest => format!("{} {large_name} {rest} {small_name}", seconds / large),
    }
}

/// A size in powers of a thousand: `980 kB`, `10.2 MB`, `1.3 GB`.
pub fn bytes(count: u64) -> String {
    let (unit, name) = match count {
        0..1_000 => return format!("{count} B"),
        1_000..999_500 => return format!("{} kB", (count + 500) / 1_000),
        999_500..999_950_000 => (100_000, "MB"),
        999_950_000..999_950_000_000 => (100_000_000, "GB"),
        _ => (100_000_000_000, "TB"),
    };
    // Tenths of the unit, rounded; in integers, so that large sizes stay exact.
    let tenths = count / unit + u64::from(count % unit * 2 >= unit);
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::talk::event::Trigger;

    fn snapshot(id: u32, label: Option<&str>, taken_us_ago: u64) -> SnapshotInfo {
        SnapshotInfo {
            facts: SnapshotFacts {
                id,
                label: label.map(str::to_owned),
                trigger: Trigger::Signal,
                latency_us: 900,
                threads: 1,
                rss_bytes: 10_200_000,
            },
            frozen_pid: 4200,
            taken_us_ago,
            files: None,
            files_bytes: None,
            ahead: false,
        }
    }

    fn listing(snapshots: Vec<SnapshotInfo>) -> Listing {
        Listing {
            session: "tour".to_owned(),
            launcher_pid: 4121,
            live_pid: 4123,
            depth: u32::try_from(snapshots.len()).expect("a test has few snapshots"),
            snapshots,
        }
    }

    #[test]
    fn a_tree_of_two() {
        let listing = listing(vec![
            snapshot(1, Some("before merge"), 12_300_000),
            snapshot(2, None, 3_000_000),
        ]);
        assert_eq!(
            render(&listing, usize::MAX),
            "tour  launcher 4121  live 4123  depth 2\n\
             └─ #1 \"before merge\"  12 s ago  10.2 MB  taken in 0.9 ms\n   \
             └─ #2  3 s ago  10.2 MB  taken in 0.9 ms\n      \
             └─ live\n"
        );
    }

    #[test]
    fn what_lies_ahead_follows_the_live_process() {
        let mut later = snapshot(2, None, 3_000_000);
        later.ahead = true;
        let listing = Listing {
            depth: 1,
            ..listing(vec![snapshot(1, None, 12_300_000), later])
        };
        assert_eq!(
            render(&listing, usize::MAX),
            "tour  launcher 4121  live 4123  depth 1\n\
             └─ #1  12 s ago  10.2 MB  taken in 0.9 ms\n   \
             └─ live\n      \
             └─ #2  ahead  3 s ago  10.2 MB  taken in 0.9 ms\n"
        );
    }

    #[test]
    fn no_snapshot_is_a_tree_too() {
        assert_eq!(
            render(&listing(Vec::new()), 80),
            "tour  launcher 4121  live 4123  depth 0\n└─ live\n"
        );
    }

    #[test]
    fn threads_are_said_where_there_are_several() {
        let mut several = snapshot(1, None, 0);
        several.facts.threads = 8;
        let text = render(&listing(vec![several]), 80);
        assert!(text.contains("10.2 MB  8 threads  taken"), "{text}");
    }

    #[test]
    fn a_long_label_gives_way_to_the_facts() {
        let long = "x".repeat(300);
        let text = render(&listing(vec![snapshot(1, Some(&long), 3_000_000)]), 60);
        let line = text.lines().nth(1).expect("a head and a snapshot");
        assert_eq!(line.chars().count(), 60);
        assert!(line.ends_with("taken in 0.9 ms"), "{line}");
        assert!(line.contains("x…\""), "{line}");
    }

    #[test]
    fn no_line_is_wider_than_asked() {
        let many = (1..=200)
            .map(|id| snapshot(id, Some("a label"), 5))
            .collect();
        let listing = listing(many);
        for width in [0, 1, 2, 3, 10, 20, 40, 80, 200] {
            for line in render(&listing, width).lines() {
                assert!(line.chars().count() <= width.max(1), "{width}: {line}");
            }
        }
    }

    #[test]
    fn a_deep_timeline_keeps_its_facts() {
        let many = (1..=1000).map(|id| snapshot(id, None, 5)).collect();
        let text = render(&listing(many), 80);
        assert_eq!(text.lines().count(), 1002);
        let deepest = text.lines().nth(1000).expect("a thousand snapshots");
        assert!(
            deepest.ends_with("#1000  just now  10.2 MB  taken in 0.9 ms"),
            "{deepest}"
        );
    }

    #[test]
    fn the_whole_grows_with_the_depth_and_no_faster() {
        let length = |depth| {
            let many = (1..=depth).map(|id| snapshot(id, None, 5)).collect();
            render(&listing(many), usize::MAX).len()
        };
        let a_level = length(1000) / 1000;
        assert!(a_level < 200, "{a_level} bytes a level");
    }

    #[test]
    fn a_label_can_not_steer_the_terminal() {
        assert_eq!(
            printable("a\x1b[31mb\r\n\u{9b}2J"),
            "a\\u{1b}[31mb\\r\\n\\u{9b}2J"
        );
        assert_eq!(
            printable_json("{\"a\u{9b}2J\":\"\u{7f}ü\"}"),
            "{\"a\\u009b2J\":\"\\u007fü\"}"
        );
        assert_eq!(
            printable("vor dem Zusammenführen ✓"),
            "vor dem Zusammenführen ✓"
        );
    }

    #[test]
    fn durations() {
        for (micros, expected) in [
            (0, "0 µs"),
            (85, "85 µs"),
            (100, "0.1 ms"),
            (900, "0.9 ms"),
            (1_149, "1.1 ms"),
            (99_949, "99.9 ms"),
            (99_950, "100 ms"),
            (999_499, "999 ms"),
            (999_500, "1.0 s"),
            (3_000_000, "3.0 s"),
            (9_949_999, "9.9 s"),
            (9_950_000, "10 s"),
            (12_300_000, "12 s"),
            (59_500_000, "1 min"),
            (60_000_000, "1 min"),
            (61_000_000, "1 min 1 s"),
            (3_599_000_000, "59 min 59 s"),
            (3_600_000_000, "1 h"),
            (7_500_000_000, "2 h 5 min"),
            (86_400_000_000, "1 d"),
            (97_200_000_000, "1 d 3 h"),
        ] {
            assert_eq!(
                duration(Duration::from_micros(micros)),
                expected,
                "{micros}"
            );
        }
    }

    #[test]
    fn ages() {
        for (millis, expected) in [
            (0, "just now"),
            (999, "just now"),
            (1_000, "1 s ago"),
            (59_999, "59 s ago"),
            (7_500_000, "2 h 5 min ago"),
        ] {
            assert_eq!(age(Duration::from_millis(millis)), expected, "{millis}");
        }
    }

    #[test]
    fn sizes() {
        for (count, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1 kB"),
            (980_400, "980 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (10_249_999, "10.2 MB"),
            (10_250_000, "10.3 MB"),
            (999_949_999, "999.9 MB"),
            (999_950_000, "1.0 GB"),
            (1_300_000_000, "1.3 GB"),
            (999_950_000_000, "1.0 TB"),
            (u64::MAX, "18446744.1 TB"),
        ] {
            assert_eq!(bytes(count), expected, "{count}");
        }
    }
}
