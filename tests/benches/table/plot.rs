//! The plots, as SVG of plain strings: both axes logarithmic, one line a cost, dashed for
//! the raw system calls. Readable on a light page and on a dark one.

use std::fmt::Write as _;

use crate::rows::Cost;
use crate::spread::Spread;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 420.0;
/// The area of the lines.
const LEFT: f64 = 78.0;
const RIGHT: f64 = 590.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 356.0;

/// Media queries for those who look at it in a browser; where they aren't understood the
/// colours do on either ground.
const STYLE: &str = "\
text { font: 13px system-ui, 'DejaVu Sans', sans-serif; fill: #6e7781 }
.title { font-size: 15px; font-weight: 600 }
.grid { stroke: #8c959f; stroke-opacity: .3; stroke-width: 1 }
.axis { stroke: #8c959f; stroke-width: 1 }
.line { fill: none; stroke-width: 2.2; stroke-linejoin: round }
.bar { stroke-width: 1.2 }
.raw { stroke-dasharray: 7 5 }
.a { stroke: #2f81f7 } circle.a { fill: #2f81f7 }
.b { stroke: #d1661b } circle.b { fill: #d1661b }
@media (prefers-color-scheme: dark) { text { fill: #adbac7 } }
@media (prefers-color-scheme: light) { text { fill: #424a53 } }
";

struct Line {
    name: &'static str,
    /// Its colour, and whether it is dashed.
    class: &'static str,
    of: fn(&Cost) -> Spread,
}

const LINES: [Line; 4] = [
    Line {
        name: "raw kill + wait, all dirtied",
        class: "b raw",
        of: |cost| cost.kill,
    },
    Line {
        name: "revert, all dirtied",
        class: "b",
        of: |cost| cost.revert,
    },
    Line {
        name: "take",
        class: "a",
        of: |cost| cost.take,
    },
    Line {
        name: "raw fork()",
        class: "a raw",
        of: |cost| cost.fork,
    },
];

/// The names of the files, and what goes into them.
pub fn both(by_memory: &[Cost], by_threads: &[Cost]) -> [(&'static str, String); 2] {
    let memory = |cost: &Cost| {
        let label = match cost.megabytes {
            megabytes @ 0..1000 => format!("{megabytes} MB"),
            megabytes => format!("{} GB", megabytes / 1024),
        };
        (number(cost.megabytes), label)
    };
    let threads = |cost: &Cost| (number(cost.threads), cost.threads.to_string());
    [
        (
            "take-by-memory.svg",
            draw(
                "Take and revert by memory (1 thread, 4K pages)",
                "resident memory",
                by_memory,
                &memory,
            ),
        ),
        (
            "take-by-threads.svg",
            draw(
                "Take and revert by threads (10 MB)",
                "threads",
                by_threads,
                &threads,
            ),
        ),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "a place in a drawing")]
fn number(count: usize) -> f64 {
    count as f64
}

/// Where a value lies on an axis that begins and ends with these.
fn place(value: f64, (least, most): (f64, f64), (from, to): (f64, f64)) -> f64 {
    from + (value / least).ln() / (most / least).ln() * (to - from)
}

fn draw(title: &str, along: &str, costs: &[Cost], mark: &dyn Fn(&Cost) -> (f64, String)) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n\
         <style>\n{STYLE}</style>\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"26\">{title}</text>\n"
    );
    let (Some(first), Some(last)) = (costs.first(), costs.last()) else {
        return svg + "</svg>\n";
    };
    let across = (mark(first).0, mark(last).0);
    let all = || {
        costs
            .iter()
            .flat_map(|cost| LINES.iter().map(|line| (line.of)(cost).ms()))
    };
    let least = all().map(|ms| ms[0]).fold(f64::MAX, f64::min);
    let most = all().map(|ms| ms[2]).fold(0.0, f64::max);
    let up = (
        10_f64.powf(least.log10().floor()),
        10_f64.powf(most.log10().ceil()),
    );
    // A little room at the sides, so that no point lies on the frame.
    let x = |value| place(value, across, (LEFT + 24.0, RIGHT - 24.0));
    let y = |ms| place(ms, up, (BOTTOM, TOP));

    let mut decade = up.0;
    while decade <= up.1 * 1.001 {
        let (at, digits) = (y(decade), if decade < 0.99 { 2 } else { 0 });
        let label = format!("{decade:.digits$}");
        let label = if digits > 0 {
            label.trim_end_matches('0')
        } else {
            &label
        };
        // Writing to a string doesn't fail.
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\n\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label} ms</text>\n",
            LEFT - 8.0,
            at + 4.0,
        );
        decade *= 10.0;
    }
    for cost in costs {
        let (value, label) = mark(cost);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>\n\
             <text x=\"{0:.1}\" y=\"{1}\" text-anchor=\"middle\">{label}</text>\n",
            x(value),
            BOTTOM + 20.0,
        );
    }
    let _ = write!(
        svg,
        "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{LEFT}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>\n\
         <line class=\"axis\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\"/>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{along}</text>\n",
        (LEFT + RIGHT) / 2.0,
        BOTTOM + 44.0,
    );

    for (index, line) in LINES.iter().enumerate() {
        let class = line.class;
        let points: Vec<(f64, [f64; 3])> = costs
            .iter()
            .map(|cost| (x(mark(cost).0), (line.of)(cost).ms()))
            .collect();
        let path: Vec<String> = points
            .iter()
            .map(|(x, ms)| format!("{x:.1},{:.1}", y(ms[1])))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline class=\"line {class}\" points=\"{}\"/>",
            path.join(" ")
        );
        let colour = class.split(' ').next().unwrap_or(class);
        for (x, [low, middle, high]) in points {
            let _ = write!(
                svg,
                "<line class=\"bar {colour}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\n\
                 <circle class=\"{colour}\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3\"/>\n",
                y(low),
                y(high),
                y(middle),
            );
        }
        let at = TOP + 20.0 + number(index) * 24.0;
        let _ = write!(
            svg,
            "<line class=\"line {class}\" x1=\"{}\" x2=\"{}\" y1=\"{at}\" y2=\"{at}\"/>\n\
             <text x=\"{}\" y=\"{}\" style=\"font-size:12px\">{}</text>\n",
            RIGHT + 14.0,
            RIGHT + 46.0,
            RIGHT + 52.0,
            at + 4.0,
            line.name,
        );
    }
    svg + "</svg>\n"
}
