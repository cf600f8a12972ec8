//! The table on the terminal: a block of columns at a time, so that it can be read at 100 columns. annals comes first in
//! each block, `*` marks the best of a row, and a dash is what a peer cannot do.

use std::fmt::Write;

use crate::figures::{Figure, Results, best};

const WIDTH: usize = 100;
/// The column of cases.
const CASE_WIDTH: usize = 34;
/// A column of a peer.
const COLUMN_WIDTH: usize = 13;
/// Columns of peers in a block.
const COLUMNS: usize = (WIDTH - CASE_WIDTH) / COLUMN_WIDTH;
/// Whose figure the others are held against.
pub(crate) const OURS: &str = "annals";

pub(crate) fn draw(results: &Results) -> String {
    let mut text = String::new();
    let machine = &results.machine;
    let _ = writeln!(text, "\n{}: {}, {} cores, {} MiB", machine.date, machine.cpu, machine.cores, machine.memory_mib);
    let _ =
        writeln!(text, "Linux {}, {}, {}, load {}", machine.kernel, machine.file_system, machine.rustc, machine.load);
    let _ = writeln!(
        text,
        "{} events in filled stores, {} rounds, {} s an append; medians",
        number(machine.events as f64),
        machine.rounds,
        machine.seconds
    );
    for part in &results.peers {
        let version = if part.version.is_empty() { String::new() } else { format!(" {}", part.version) };
        let _ = writeln!(text, "\n{}{version}", part.name);
        for (what, setup) in [("unforced", &part.written), ("durable", &part.durable)] {
            setting(what, setup.as_deref().unwrap_or("-"), &mut text);
        }
        setting("checks", &part.checks, &mut text);
    }
    for work in results.works() {
        block(results, work, &mut text);
    }
    for absent in &machine.absent {
        let _ = writeln!(text, "\n{}", wrap(&format!("!!! SKIPPED: {absent}"), WIDTH).join("\n"));
    }
    let _ = writeln!(
        text,
        "\n*: best of the row, but for the bare loop, which is the floor.  -: cannot do it, or failed (--json tells)."
    );
    text
}

fn block(results: &Results, work: &str, text: &mut String) {
    let taking_part =
        |name: &str| results.figures.iter().any(|figure| figure.work == work && figure.peer == name && told(figure));
    let others: Vec<&str> =
        results.peers.iter().map(|part| part.name.as_str()).filter(|name| *name != OURS && taking_part(name)).collect();
    let mut chunks: Vec<&[&str]> = others.chunks(COLUMNS - 1).collect();
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    for chunk in chunks {
        let columns: Vec<&str> = std::iter::once(OURS).chain(chunk.iter().copied()).collect();
        let _ = write!(text, "\n{work:CASE_WIDTH$}");
        for name in &columns {
            let _ = write!(text, "{name:>COLUMN_WIDTH$}");
        }
        text.push('\n');
        for case in results.cases(work) {
            let row = results.row(work, case);
            let unit = row.first().map_or("", |figure| figure.unit.as_str());
            let label = if unit.is_empty() { case.to_owned() } else { format!("{case}, {unit}") };
            let winner = best(&row).map(|figure| figure.peer.as_str());
            let mut lines = wrap(&label, CASE_WIDTH - 1).into_iter();
            let _ = write!(text, "{:CASE_WIDTH$}", lines.next().unwrap_or_default());
            for name in &columns {
                let figure = row.iter().find(|figure| figure.peer == *name);
                let mut cell = figure.map_or("-".to_owned(), |figure| cell(figure));
                if winner == Some(*name) {
                    cell.push('*');
                }
                let _ = write!(text, " {:>width$}", clip(&cell), width = COLUMN_WIDTH - 1);
            }
            text.push('\n');
            for line in lines {
                let _ = writeln!(text, "  {line}");
            }
        }
    }
}

/// How a peer was set up, below its name.
fn setting(what: &str, setup: &str, text: &mut String) {
    let indent = " ".repeat(14);
    let lines = wrap(setup, WIDTH - indent.len());
    let _ = writeln!(text, "    {what:9} {}", lines.join(&format!("\n{indent}")));
}

fn clip(cell: &str) -> String {
    cell.chars().take(COLUMN_WIDTH - 1).collect()
}

fn told(figure: &Figure) -> bool {
    figure.median().is_some() || figure.verdict.is_some()
}

/// The label of a row in lines of this width at most.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// What stands in a cell: the median, a verdict, or a dash.
pub(crate) fn cell(figure: &Figure) -> String {
    match (figure.median(), &figure.verdict) {
        (Some(median), _) => number(median),
        (None, Some(verdict)) => verdict.clone(),
        (None, None) => "-".to_owned(),
    }
}

/// Three digits that count, and thousands apart.
pub(crate) fn number(value: f64) -> String {
    let magnitude = value.abs();
    let places = match magnitude {
        m if m >= 100.0 || m == 0.0 => 0,
        m if m >= 10.0 => 1,
        m if m >= 1.0 => 2,
        _ => 3,
    };
    let plain = format!("{value:.places$}");
    let (whole, rest) = plain.split_once('.').map_or((plain.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) && digit.is_ascii_digit() && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match rest {
        Some(rest) => format!("{grouped}.{rest}"),
        None => grouped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number(1_234_567.8), "1,234,568");
        assert_eq!(number(999.6), "1,000");
        assert_eq!(number(12.34), "12.3");
        assert_eq!(number(1.234), "1.23");
        assert_eq!(number(0.0123), "0.012");
        assert_eq!(number(0.0), "0");
        assert_eq!(number(-1_234.0), "-1,234");
    }

    #[test]
    fn labels_wrap() {
        assert_eq!(wrap("a bb ccc", 4), ["a bb", "ccc"]);
        assert_eq!(wrap("long", 2), ["long"]);
    }
}
