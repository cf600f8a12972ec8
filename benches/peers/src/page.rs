//! The page: every figure with its spread, where annals is not first, and what it costs. All of it comes from the
//! figures; nobody edits it.

use std::fmt::Write;

use crate::figures::{Better, FLOOR, Figure, Results, best};
use crate::table::{OURS, cell, number};
use crate::told::{REASONS, TOLD};

pub(crate) fn write(results: &Results, charts: &[String]) -> String {
    let mut page = String::new();
    page.push_str("# annals and its peers\n\n");
    page.push_str(
        "This page is made by `scripts/peers` from the figures of one run, in which all peers did the same work with the \
         same bytes, in turn. Nobody edits it. The program is in `benches/peers`, one file for each peer and each kind of work.\n\n",
    );
    machine(results, &mut page);
    parts(results, &mut page);
    not_first(results, &mut page);
    costs(results, &mut page);
    for work in results.works() {
        section(results, work, charts, &mut page);
    }
    page
}

fn machine(results: &Results, page: &mut String) {
    let machine = &results.machine;
    let _ = writeln!(page, "| | |\n|---|---|");
    let cpu = format!("{}, {} cores", machine.cpu, machine.cores);
    for (name, value) in [
        ("date", machine.date.as_str()),
        ("processor", &cpu),
        ("memory", &format!("{} MiB", number(machine.memory_mib as f64))),
        ("kernel", &format!("Linux {}", machine.kernel)),
        ("file system", &machine.file_system),
        ("compiler", &machine.rustc),
        ("load at the start", &machine.load),
        ("command", &format!("`{}`", machine.command)),
        (
            "amount",
            &format!(
                "{} events in filled stores; {} rounds in turn, of {} s for each append",
                number(machine.events as f64),
                machine.rounds,
                machine.seconds
            ),
        ),
    ] {
        let _ = writeln!(page, "| {name} | {value} |");
    }
    page.push_str(
        "\nA figure is the median of the rounds; behind it, small, their range. **Bold** is the best of a column, but for the bare loop, which is the floor. A dash is what a \
         peer cannot do, or did not manage; why is below the table. Each measurement is a process of its own. The event: 240 \
         bytes of JSON, one of 10,000 subjects, one of 54 types, an actor, a time. Most of its data is a run of one letter: peers \
         that compress what they write look better on disk here than on the real logs.\n",
    );
    for absent in &machine.absent {
        let _ = writeln!(page, "\n**Not measured: {absent}.**");
    }
}

fn parts(results: &Results, page: &mut String) {
    page.push_str("\n## Peers\n\n| peer | unforced | durable | checks on reading | layout |\n|---|---|---|---|---|\n");
    for part in &results.peers {
        let _ = writeln!(
            page,
            "| {} {} | {} | {} | {} | {} |",
            part.name,
            part.version,
            part.written.as_deref().unwrap_or("–"),
            part.durable.as_deref().unwrap_or("–"),
            part.checks,
            part.layout
        );
    }
    page.push_str(
        "\nKey-value stores hold an event store as a user would build it: position to record, and keys from subject, type and \
         time to positions, all in one transaction. One lock orders appends, since positions must come in the order of commits, so \
         a group commit of their own has nothing to group. Their condition is held under that lock.\n",
    );
}

fn not_first(results: &Results, page: &mut String) {
    page.push_str("\n## Where we are not first\n\n");
    let indexed = |name: &str| results.peers.iter().any(|part| part.name == name && part.indexed);
    let mut rows = String::new();
    let (mut all, mut behind, mut behind_indexed) = (0, 0, 0);
    for work in results.works() {
        for case in results.cases(work) {
            let row = results.row(work, case);
            let ours = row.iter().copied().find(|figure| figure.peer == OURS);
            let rivals: Vec<&Figure> = row.iter().copied().filter(|figure| figure.peer != FLOOR).collect();
            let stores: Vec<&Figure> = rivals.iter().copied().filter(|figure| indexed(&figure.peer)).collect();
            let (Some(ours), Some(winner)) = (ours, best(&rivals)) else { continue };
            let Some(value) = ours.median() else { continue };
            all += 1;
            let lead =
                |winner: &Figure| winner.median().filter(|lead| !winner.peer.starts_with(OURS) && *lead != value);
            let told =
                |winner: &Figure, lead: f64| format!("{}: {}, {}", winner.peer, number(lead), times(ours, value, lead));
            let store = best(&stores).and_then(|winner| Some(told(winner, lead(winner)?)));
            behind_indexed += usize::from(store.is_some());
            if let Some(first) = lead(winner) {
                behind += 1;
                let _ = writeln!(
                    rows,
                    "| {work}: {case} | {} {} | {} | {} |",
                    number(value),
                    ours.unit,
                    told(winner, first),
                    store.unwrap_or("annals".to_owned())
                );
            }
        }
    }
    let _ = writeln!(
        page,
        "Of {all} rows with at least two peers that have a number, annals is first in {}, and in {} among those that keep an \
         index. *By* is how many times better the other is. The bare loop is the floor and no peer: it has no index, no group \
         commit and no repair.\n",
        all - behind,
        all - behind_indexed
    );
    if behind > 0 {
        let _ = writeln!(page, "| case | annals | first, by | first with an index, by |\n|---|---|---|---|\n{rows}");
        for (_, reason) in REASONS.iter().filter(|(case, _)| rows.contains(case)) {
            let _ = writeln!(page, "- {reason}");
        }
    }
}

fn times(ours: &Figure, value: f64, lead: f64) -> String {
    let ratio = match ours.better {
        Better::Higher => lead / value,
        Better::Lower => value / lead,
    };
    if ratio.is_finite() { format!("{} times", number(ratio)) } else { "–".to_owned() }
}

fn costs(results: &Results, page: &mut String) {
    let find = |work: &str, case: &str| {
        let row = results.row(work, case);
        row.iter().find(|figure| figure.peer == OURS).and_then(|figure| figure.median())
    };
    let rows = [
        ("fill", "processor time per million", "seconds of processor time for a million events"),
        ("fill", "memory of its own, at most", "MiB of memory of its own, at most, while appending"),
        ("fill", "bytes written / bytes given", "times the bytes given are written"),
        ("fill", "bytes on disk per event", "bytes on disk for an event, raw"),
        ("open", "memory of its own, opened", "MiB of memory of its own, opened"),
    ];
    let known: Vec<_> = rows.iter().filter_map(|(work, case, text)| Some((find(work, case)?, text))).collect();
    if known.is_empty() {
        return;
    }
    page.push_str("\n## What annals costs\n\n");
    for (value, text) in known {
        let _ = writeln!(page, "- {} {text}", number(value));
    }
}

fn section(results: &Results, work: &str, charts: &[String], page: &mut String) {
    let name = work.split(',').next().unwrap_or(work);
    let told = TOLD.iter().find(|(known, ..)| *known == name);
    let suffix = work.strip_prefix(name).unwrap_or_default();
    let _ = writeln!(page, "\n## {}{suffix}\n", told.map_or(work, |(_, title, _)| title));
    if let Some((_, _, text)) = told {
        let _ = writeln!(page, "{text}\n");
    }
    let has = |figure: &&Figure| figure.work == work && (figure.median().is_some() || figure.verdict.is_some());
    let peers: Vec<&str> = results
        .peers
        .iter()
        .map(|part| part.name.as_str())
        .filter(|name| results.figures.iter().filter(has).any(|figure| figure.peer == *name))
        .collect();
    let cases = results.cases(work);
    // Peers are rows: there are more of them than of cases.
    for chunk in cases.chunks(4) {
        table(results, work, chunk, &peers, page);
    }
    notes(results, work, page);
    for chart in charts_of(work) {
        if charts.iter().any(|drawn| drawn == chart) {
            let _ = writeln!(page, "\n![{work}: {chart}](charts/{chart}.svg)");
        }
    }
}

fn charts_of(work: &str) -> &'static [&'static str] {
    match work {
        "append" => &["append"],
        "durable" => &["durable"],
        "fanout" => &["fanout", "latency"],
        "fill" => &["size", "slowest", "cpu", "amplification"],
        "read" => &["replay", "subject", "queries"],
        "open" => &["open", "memory"],
        "condition" => &["conditions"],
        "size" => &["logs"],
        _ => &[],
    }
}

fn table(results: &Results, work: &str, cases: &[&str], peers: &[&str], page: &mut String) {
    let rows: Vec<Vec<&Figure>> = cases.iter().map(|case| results.row(work, case)).collect();
    page.push_str("| |");
    for (case, row) in cases.iter().zip(&rows) {
        let unit = row.first().map_or("", |figure| figure.unit.as_str());
        let comma = if unit.is_empty() { "" } else { ", " };
        let _ = write!(page, " {case}{comma}{unit} |");
    }
    let _ = writeln!(page, "\n|---|{}", "---|".repeat(cases.len()));
    for peer in peers {
        let _ = write!(page, "| {peer} |");
        for row in &rows {
            let winner = best(row).map(|figure| figure.peer.as_str());
            let held = |name: &str| row.iter().find(|figure| figure.peer == name).and_then(|figure| figure.median());
            let figure = row.iter().find(|figure| figure.peer == *peer);
            let text = figure.map_or("–".to_owned(), |figure| spread(figure, winner == Some(*peer)));
            let ratios = ratios(figure.and_then(|figure| figure.median()), held(OURS), held(FLOOR), peer);
            let _ = write!(page, " {text}{ratios} |");
        }
        page.push('\n');
    }
    page.push('\n');
}

/// The median with its range.
fn spread(figure: &Figure, first: bool) -> String {
    if figure.median().is_none() && figure.verdict.is_none() {
        return "–".to_owned();
    }
    let bold = if first { "**" } else { "" };
    let mut text = format!("{bold}{}{bold}", cell(figure));
    if let Some((low, high)) = figure.range().filter(|(low, high)| low < high) {
        let _ = write!(text, " <sub>{} to {}</sub>", number(low), number(high));
    }
    text
}

/// What part of annals' figure and of the floor's this is.
fn ratios(value: Option<f64>, ours: Option<f64>, floor: Option<f64>, peer: &str) -> String {
    let Some(value) = value else { return String::new() };
    let of = |held: Option<f64>, own: &str, name: &str| {
        let held = held.filter(|held| peer != own && *held > 0.0)?;
        Some(format!("{} of {name}", number(value / held)))
    };
    let told: Vec<String> = [of(ours, OURS, "annals"), of(floor, FLOOR, "bare")].into_iter().flatten().collect();
    if told.is_empty() { String::new() } else { format!("<br><sub>{}</sub>", told.join(", ")) }
}

/// Why there are dashes, and what verdicts stand on; the same reason once, with all it holds for.
fn notes(results: &Results, work: &str, page: &mut String) {
    let mut reasons: Vec<(&str, Vec<&str>, Vec<&str>)> = Vec::new();
    for figure in results.figures.iter().filter(|figure| figure.work == work) {
        let Some(note) = figure.note.as_deref() else { continue };
        let at = reasons.iter().position(|(reason, ..)| *reason == note);
        let at = at.unwrap_or_else(|| {
            reasons.push((note, Vec::new(), Vec::new()));
            reasons.len() - 1
        });
        let Some((_, peers, cases)) = reasons.get_mut(at) else { continue };
        if !peers.contains(&figure.peer.as_str()) {
            peers.push(&figure.peer);
        }
        if !cases.contains(&figure.case.as_str()) {
            cases.push(&figure.case);
        }
    }
    for (reason, peers, cases) in &reasons {
        let which =
            if cases.len() == results.cases(work).len() { String::new() } else { format!(" ({})", cases.join("; ")) };
        let _ = writeln!(page, "- {}{which}: {}", peers.join(", "), reason.replace('|', "/").replace('\n', " "));
    }
}
