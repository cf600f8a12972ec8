//! The figures of one axis, as a table of Markdown and as a chart.

use std::fs;
use std::path::Path;

use super::chart::{self, Line};

/// What a column holds, and so how it is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Drawn as the microseconds that one takes.
    PerSecond,
    Milliseconds,
    Microseconds,
    /// Not drawn.
    Other,
}

use Unit::{Microseconds, Milliseconds, Other, PerSecond};

/// What is measured of every store that is opened: see `measure`.
pub(crate) const OPENED: [(&str, Unit); 8] = [
    ("opening, ms", Milliseconds),
    ("opening for writing, ms", Milliseconds),
    ("ten newest of a subject, us", Microseconds),
    ("version of a new subject, us", Microseconds),
    ("one event, us", Microseconds),
    ("1,000 of a window, us", Microseconds),
    ("memory, MiB", Other),
    ("with lookups, MiB", Other),
];

pub(crate) struct Table {
    title: &'static str,
    columns: Vec<(&'static str, Unit)>,
    rows: Vec<Vec<f64>>,
}

impl Table {
    /// The first column is the axis.
    pub(crate) fn new(title: &'static str, columns: &[(&'static str, Unit)]) -> Table {
        eprintln!("{title} ..");
        Table { title, columns: columns.to_vec(), rows: Vec::new() }
    }

    /// A figure for each column; what is not a number is a dash.
    pub(crate) fn add(&mut self, row: Vec<f64>) {
        assert_eq!(row.len(), self.columns.len(), "a figure for each column");
        self.rows.push(row);
    }

    /// Prints it, in parts that are not too wide to be read.
    pub(crate) fn print(&self) {
        println!("\n### {}", self.title);
        let further: Vec<usize> = (1..self.columns.len()).collect();
        for part in further.chunks(further.len().div_ceil(2).clamp(5, 8)) {
            let columns = || std::iter::once(0).chain(part.iter().copied());
            let names: Vec<&str> = columns().map(|at| self.columns[at].0).collect();
            println!("\n| {} |\n|{}", names.join(" | "), "---|".repeat(names.len()));
            for row in &self.rows {
                println!("| {} |", columns().map(|at| shown(row[at])).collect::<Vec<_>>().join(" | "));
            }
        }
    }

    /// Writes the chart: everything that is time, as microseconds.
    pub(crate) fn draw(&self, directory: &Path, name: &str) {
        let lines: Vec<Line> = (1..self.columns.len())
            .filter_map(|at| {
                let (name, unit) = self.columns[at];
                let micros = |value: f64| match unit {
                    PerSecond => 1e6 / value,
                    Milliseconds => value * 1e3,
                    Microseconds | Other => value,
                };
                let points = self.rows.iter().map(|row| (row[0], micros(row[at])));
                let points: Vec<_> = points.filter(|point| point.0 > 0.0 && point.1.is_finite()).collect();
                let name = name.split_once("/s").map_or(name, |(what, _)| what);
                let name = name.rsplit_once(", ").map_or(name, |(what, _)| what).to_owned();
                (unit != Other && points.len() > 1).then_some(Line { name, points })
            })
            .collect();
        let svg = chart::lines(self.title, self.columns[0].0, "microseconds", &lines);
        fs::create_dir_all(directory).unwrap();
        fs::write(directory.join(name), svg).unwrap();
    }
}

fn shown(value: f64) -> String {
    match value {
        value if !value.is_finite() => "–".to_owned(),
        value if value >= 1_000.0 || value.fract() == 0.0 => grouped(value),
        value if value < 10.0 => format!("{value:.2}"),
        value => format!("{value:.1}"),
    }
}

/// A whole number in groups of three.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
