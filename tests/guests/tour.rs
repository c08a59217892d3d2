//! Guest: a journey to try the tool on. It travels from city to city, two steps a second, and
//! keeps the whole journey on the heap; after a revert it goes on from where the snapshot was.
//!
//! `tour [--steps N] [--crash-at N] [--every MS]`

use std::io::{IsTerminal, Write};
use std::time::Duration;

/// The cities, with coordinates for their distances.
const CITIES: [(&str, f64, f64); 16] = [
    ("Lisbon", 38.72, -9.14),
    ("Seville", 37.39, -5.98),
    ("Marseille", 43.30, 5.37),
    ("Genoa", 44.41, 8.93),
    ("Bern", 46.95, 7.45),
    ("Prague", 50.08, 14.44),
    ("Gdansk", 54.35, 18.65),
    ("Riga", 56.95, 24.11),
    ("Turku", 60.45, 22.27),
    ("Uppsala", 59.86, 17.64),
    ("Bergen", 60.39, 5.32),
    ("Leith", 55.98, -3.17),
    ("Galway", 53.27, -9.05),
    ("Nantes", 47.22, -1.55),
    ("Ghent", 51.05, 3.72),
    ("Trieste", 45.65, 13.78),
];

/// One leg of the journey.
struct Leg {
    to: usize,
    kilometres: f64,
}

struct Settings {
    steps: u64,
    crash_at: u64,
    every: Duration,
}

fn main() {
    let settings = settings();
    greet();
    let mut journey: Vec<Leg> = Vec::new();
    let mut here = 0;
    for step in 1..=settings.steps {
        if step == settings.crash_at {
            say(format_args!("  A storm! The journey ends in a crash."));
            std::process::abort();
        }
        let to = next_city(here, step);
        journey.push(Leg {
            to,
            kilometres: distance(here, to),
        });
        let total: f64 = journey.iter().map(|leg| leg.kilometres).sum();
        let leg = journey.last().expect("one was just added");
        say(format_args!(
            "  step {step:>3}   {:>9} -> {:<9}  {:>5.0} km   {total:>7.0} km in all",
            CITIES[here].0, CITIES[leg.to].0, leg.kilometres,
        ));
        here = to;
        std::thread::sleep(settings.every);
    }
    say(format_args!("  The journey is over in {}.", CITIES[here].0));
}

fn greet() {
    let pid = std::process::id();
    say(format_args!(
        "  A journey through Europe, as process {pid}.\n"
    ));
    say(format_args!(
        "  Take a snapshot:  kill -USR1 {pid}     in a second terminal"
    ));
    if std::io::stdin().is_terminal() {
        say(format_args!(
            "                    or Ctrl+] and then s    in this one"
        ));
    }
    say(format_args!(
        "  Then press Ctrl+C, or kill it: the journey goes on from the snapshot.\n"
    ));
}

/// Prints one line; the journey ends if the reader is gone.
fn say(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

fn settings() -> Settings {
    let mut settings = Settings {
        steps: u64::MAX,
        crash_at: 0,
        every: Duration::from_millis(500),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().and_then(|text| text.parse().ok());
        match (name.as_str(), value) {
            ("--steps", Some(number)) => settings.steps = number,
            ("--crash-at", Some(number)) => settings.crash_at = number,
            ("--every", Some(number)) => settings.every = Duration::from_millis(number),
            _ => {
                eprintln!("usage: tour [--steps N] [--crash-at N] [--every MS]");
                std::process::exit(2);
            }
        }
    }
    settings
}

/// Another city, always the same one for the same step, so that the journey can be repeated.
fn next_city(here: usize, step: u64) -> usize {
    let mixed = step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let hop = usize::try_from(mixed).unwrap_or(0) % (CITIES.len() - 1);
    (here + 1 + hop) % CITIES.len()
}

/// Kilometres between two cities, along the surface.
fn distance(from: usize, to: usize) -> f64 {
    let radians = |degrees: f64| degrees.to_radians();
    let ((_, lat1, lon1), (_, lat2, lon2)) = (CITIES[from], CITIES[to]);
    let (lat1, lon1, lat2, lon2) = (radians(lat1), radians(lon1), radians(lat2), radians(lon2));
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let chord = half(lat2 - lat1) + lat1.cos() * lat2.cos() * half(lon2 - lon1);
    2.0 * 6371.0 * chord.sqrt().asin()
}
