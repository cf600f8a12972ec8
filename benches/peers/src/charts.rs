//! Which charts there are, and what stands in each.

use std::fs;
use std::path::Path;

use crate::figures::{Better, Figure, Results};
use crate::svg::{Bar, Group, bars};
use crate::table::{OURS, number};

/// A chart: its file, its title, the work, and the cases it shows.
struct Chart {
    file: &'static str,
    title: &'static str,
    work: &'static str,
    cases: &'static [&'static str],
}

const CHARTS: &[Chart] = &[
    Chart {
        file: "append",
        title: "Appending without forced sync",
        work: "append",
        cases: &["unforced, batch 1", "unforced, batch 100", "unforced, batch 1,000"],
    },
    Chart {
        file: "durable",
        title: "Appending durably",
        work: "durable",
        cases: &["1 thread, batch 1", "8 threads, batch 1", "8 threads, batch 100", "1,000 in flight"],
    },
    Chart { file: "replay", title: "Replay of all events", work: "read", cases: &["replay of all"] },
    Chart { file: "subject", title: "A subject's events", work: "read", cases: &["one subject of 10,000"] },
    Chart { file: "queries", title: "Queries", work: "read", cases: &["one type of 54", "1 % of the time"] },
    Chart {
        file: "conditions",
        title: "Conditional appends of one event, unforced",
        work: "condition",
        cases: &["expected version, accepted", "nothing since, accepted", "expected version, refused"],
    },
    Chart { file: "fanout", title: "Fan-out", work: "fanout", cases: &["8 subscribers, full speed"] },
    Chart {
        file: "latency",
        title: "From append to delivery",
        work: "fanout",
        cases: &["1,000 events/s: p50 to delivery", "1,000 events/s: p99 to delivery"],
    },
    Chart { file: "size", title: "On disk per event", work: "fill", cases: &["bytes on disk per event"] },
    Chart { file: "open", title: "Opening and one subject", work: "open", cases: &["opening and one subject"] },
    Chart {
        file: "memory",
        title: "Memory of its own",
        work: "open",
        cases: &["memory of its own, opened", "memory of its own, replayed"],
    },
    Chart {
        file: "slowest",
        title: "Slow appends",
        work: "fill",
        cases: &[
            "append of 100: p99.9",
            "append of 100: slowest",
            "append of 1,000: p99.9",
            "append of 1,000: slowest",
        ],
    },
    Chart { file: "cpu", title: "Processor time", work: "fill", cases: &["processor time per million"] },
    Chart {
        file: "amplification",
        title: "Write amplification",
        work: "fill",
        cases: &["bytes written / bytes given"],
    },
];

/// Writes those of which there are figures; file name and title of each.
pub(crate) fn draw(results: &Results, directory: &Path) -> Result<Vec<String>, String> {
    fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut drawn = Vec::new();
    for chart in CHARTS {
        if let Some(svg) = one(results, chart.work, chart.title, chart.cases) {
            save(directory, chart.file, &svg)?;
            drawn.push(chart.file.to_owned());
        }
    }
    let logs = results.cases("size");
    if let Some(svg) = one(results, "size", "Real logs on disk", &logs) {
        save(directory, "logs", &svg)?;
        drawn.push("logs".to_owned());
    }
    Ok(drawn)
}

fn save(directory: &Path, file: &str, svg: &str) -> Result<(), String> {
    let path = directory.join(format!("{file}.svg"));
    fs::write(&path, svg).map_err(|error| format!("{}: {error}", path.display()))
}

fn one(results: &Results, work: &str, title: &str, cases: &[&str]) -> Option<String> {
    let mut better = Better::Higher;
    let mut units: Vec<&str> = Vec::new();
    let mut groups = Vec::new();
    for case in cases {
        let row = results.row(work, case);
        let Some(first) = row.first() else { continue };
        better = first.better;
        if !units.contains(&first.unit.as_str()) {
            units.push(&first.unit);
        }
        let mut bars: Vec<Bar> = row.iter().filter_map(|figure| bar(figure)).collect();
        bars.sort_by(|one, other| match better {
            Better::Higher => other.value.total_cmp(&one.value),
            Better::Lower => one.value.total_cmp(&other.value),
        });
        if !bars.is_empty() {
            groups.push(Group { name: (*case).to_owned(), bars });
        }
    }
    let way = if better == Better::Higher { "more is better" } else { "less is better" };
    (!groups.is_empty()).then(|| bars(title, &format!("{} ({way})", units.join(", ")), &groups))
}

fn bar(figure: &Figure) -> Option<Bar> {
    let value = figure.median()?;
    Some(Bar {
        name: figure.peer.clone(),
        value,
        label: format!("{} {}", number(value), figure.unit),
        ours: figure.peer.starts_with(OURS),
    })
}
