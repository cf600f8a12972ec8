//! What was measured, as a table or as JSON.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::sample::{Latencies, median};
use super::workload::DATA_BYTES;
use crate::cli::fail::Done;
use crate::cli::grid::{Cell, Column, Grid};
use crate::cli::out::{Format, Out};
use crate::cli::paint::Style;
use crate::cli::text;

/// A sync that is faster than this reaches no disk.
const SYNC_TIME_MIN: Duration = Duration::from_micros(10);

/// The best that could be had, measured in the same run.
#[derive(Debug, Serialize)]
pub(super) struct Limit {
    pub(super) name: &'static str,
    pub(super) value: f64,
}

/// One figure.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    /// The median of the runs.
    pub(super) value: f64,
    pub(super) runs: Vec<f64>,
    #[serde(rename = "p50_seconds", serialize_with = "seconds")]
    pub(super) p50: Option<Duration>,
    #[serde(rename = "p99_seconds", serialize_with = "seconds")]
    pub(super) p99: Option<Duration>,
    pub(super) limit: Option<Limit>,
    /// What it should stay below, in the same unit.
    pub(super) aim: Option<f64>,
    pub(super) note: Option<String>,
}

fn seconds<S: serde::Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(serializer)
}

impl Row {
    pub(super) fn new(section: &'static str, name: &'static str, unit: &'static str, value: f64) -> Row {
        Row { section, name, unit, value, runs: vec![value], p50: None, p99: None, limit: None, aim: None, note: None }
    }

    /// A figure that is nothing but a time.
    pub(super) fn time(section: &'static str, name: &'static str, latencies: &mut Latencies) -> Row {
        let (p50, p99) = (latencies.percentile(50), latencies.percentile(99));
        let value = median(p50.iter().map(Duration::as_secs_f64).collect());
        Row { p50, p99: p99.filter(|_| latencies.count() >= 100), ..Row::new(section, name, "seconds", value) }
    }

    pub(super) fn aiming(self, below: f64) -> Row {
        Row { aim: Some(below), ..self }
    }

    pub(super) fn noting(self, note: impl Into<String>) -> Row {
        Row { note: Some(note.into()), ..self }
    }
}

/// All figures, and what they stand on.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: &'static str,
    system: String,
    cores: usize,
    directory: String,
    event_data_bytes: usize,
    /// Bytes of an event that was appended alone, frame included.
    #[serde(rename = "event_stored_bytes")]
    pub(super) stored_bytes: f64,
    /// Events of the stores that were read, opened and searched for their slowest append.
    pub(super) events: u64,
    pub(super) seconds: f64,
    rows: Vec<Row>,
}

impl Report {
    pub(super) fn new(directory: &Path) -> Report {
        let directory = std::fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
        Report {
            version: env!("CARGO_PKG_VERSION"),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            directory: directory.display().to_string(),
            event_data_bytes: DATA_BYTES,
            stored_bytes: 0.0,
            events: 0,
            seconds: 0.0,
            rows: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(super) fn print(&self, format: Format, out: &mut Out) -> Done {
        match format {
            Format::Json | Format::Prometheus => out.json(self, format),
            Format::Jsonl => out.json_list(&self.rows, format),
            Format::Table => self.table(out),
        }
    }

    fn table(&self, out: &mut Out) -> Done {
        out.line(format_args!(
            "{} {} on {}, {}, in {}",
            out.paint.bold("annals"),
            self.version,
            self.system,
            text::counted(self.cores as u64, "core"),
            text::clean(&self.directory)
        ))?;
        out.line(out.paint.dim(&format!(
            "events of {} bytes of JSON ({:.0} stored when appended alone), 10,000 subjects, 54 types; medians of runs",
            self.event_data_bytes, self.stored_bytes
        )))?;
        out.line("")?;
        self.section("append", "Append", out)?;
        self.section("read", &format!("Read, of {}", text::counted(self.events, "event")), out)?;
        self.section("flow", "Requests", out)?;
        self.aims(out)?;
        out.line("")?;
        if cfg!(debug_assertions) {
            out.line(out.paint.yellow("This is a debug build: build with --release for figures that mean something."))?;
        }
        if self.syncs_reach_no_disk() {
            let hint = "A sync costs next to nothing here, so this is no disk (tmpfs?): --dir names another place.";
            out.line(out.paint.yellow(hint))?;
        }
        out.line(out.paint.dim(&format!("took {}", text::span(Duration::from_secs_f64(self.seconds)))))
    }

    fn section(&self, section: &str, title: &str, out: &mut Out) -> Done {
        if !self.rows.iter().any(|row| row.section == section) {
            return Ok(());
        }
        out.line(out.paint.bold(title))?;
        let mut grid = Grid::new([
            Column::text("what").giving_way(),
            Column::number("events/s").styled(Style::Green),
            Column::number("p50"),
            Column::number("p99"),
            Column::text("beside it").whole().left_out(1).styled(Style::Dim),
        ]);
        for row in self.rows.iter().filter(|row| row.section == section) {
            let rate = if row.unit == "events/s" { text::count(row.value as u64) } else { String::new() };
            let time = |time: Option<Duration>| time.map(text::span).unwrap_or_default();
            grid.row(out, [row.name.to_owned(), rate, time(row.p50), time(row.p99), beside(row)].map(Cell::from))?;
        }
        grid.settle(out)?;
        out.line("")
    }

    /// Figures that have an aim, or none but themselves.
    fn aims(&self, out: &mut Out) -> Done {
        out.line(out.paint.bold(&format!("Held against aims, logs of {}", text::counted(self.events, "event"))))?;
        let mut grid = Grid::new([
            Column::text("what").giving_way(),
            Column::number("measured"),
            Column::number("aim"),
            Column::text("beside it").whole().left_out(1).styled(Style::Dim),
        ]);
        for row in self.rows.iter().filter(|row| row.section == "aims") {
            let style = match row.aim {
                Some(aim) if row.value < aim => Style::Green,
                Some(_) if row.value >= 0.0 => Style::Yellow,
                _ => Style::Plain,
            };
            let measured = Cell::styled(figure(row.value, row.unit), style);
            let aim = row.aim.map(|aim| format!("< {}", figure(aim, row.unit))).unwrap_or_default();
            grid.row(out, [row.name.into(), measured, aim.into(), besides(row).into()])?;
        }
        grid.settle(out)
    }

    fn syncs_reach_no_disk(&self) -> bool {
        self.rows.iter().any(|row| row.name.starts_with("bare") && row.p50.is_some_and(|time| time < SYNC_TIME_MIN))
    }
}

/// The limit, and how much of it was reached.
fn beside(row: &Row) -> String {
    match (&row.limit, &row.note) {
        (Some(limit), _) => {
            let part = 100.0 * row.value / limit.value.max(1e-9);
            format!("{} {}: {part:.0} %", limit.name, text::count(limit.value as u64))
        }
        (None, Some(note)) => note.clone(),
        (None, None) => String::new(),
    }
}

/// The slower ones, where the figure is one of many times, and what else there is to say.
fn besides(row: &Row) -> String {
    let slower = row.p99.map(|time| format!("p99 {}", text::span(time)));
    slower.into_iter().chain(row.note.clone()).collect::<Vec<_>>().join("; ")
}

/// A value in its unit; what could not be measured is a dash.
fn figure(value: f64, unit: &str) -> String {
    match unit {
        _ if value.is_nan() => "–".to_owned(),
        "seconds" => text::span(Duration::from_secs_f64(value.max(0.0))),
        "bytes" => text::bytes(value as u64),
        "percent" => format!("{value:.1} %"),
        "times" => format!("{value:.2} times"),
        _ => text::count(value as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_its_unit_and_what_is_not_known_is_a_dash() {
        assert_eq!(figure(0.0123, "seconds"), "12.3 ms");
        assert_eq!(figure(1.5 * 1024.0 * 1024.0, "bytes"), "1.5 MiB");
        assert_eq!(figure(-0.44, "percent"), "-0.4 %");
        assert_eq!(figure(1.254, "times"), "1.25 times");
        assert_eq!(figure(38.7, "bytes each"), "38");
        assert_eq!(figure(f64::NAN, "bytes"), "–");
    }

    #[test]
    fn the_slower_ones_stand_before_the_note() {
        let row = Row::new("aims", "a", "seconds", 1.0);
        assert_eq!(besides(&row), "");
        let row = Row { p99: Some(Duration::from_micros(7)), ..row }.noting("so it is");
        assert_eq!(besides(&row), "p99 7.00 us; so it is");
    }
}
