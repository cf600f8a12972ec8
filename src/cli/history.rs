//! `annals history`: what became of one subject, event by event, with the fields that each one changed.

use std::collections::BTreeMap;

use annals::{Document, Event, FieldChange, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use super::args::StoreArg;
use super::fail::{Code, Done, Failure};
use super::grid::{Cell, Column, Grid};
use super::out::{Format, Out};
use super::paint::Style;
use super::{open, text};

/// Columns up to which a value is shown beside the one that it replaces.
const SHORT_COLUMNS: usize = 24;
/// Columns of any other value.
const LONG_COLUMNS: usize = 40;
/// Changes that are shown in a row; the rest is counted.
const CHANGES_SHOWN: usize = 4;

/// Show what became of a subject, and who changed which fields
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// The subject, such as note/n-1
    #[arg(value_name = "SUBJECT")]
    subject: String,
}

#[derive(Serialize)]
struct Step<'a> {
    version: u64,
    position: u64,
    #[serde(rename = "type")]
    event_type: &'a str,
    actor: Option<String>,
    time: Timestamp,
    recordedtime: Timestamp,
    changes: &'a [Change],
    /// The event changed nothing because its data is no JSON object.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    passed_over: bool,
}

#[derive(Serialize)]
struct Change {
    /// The names that lead to the field, joined by dots.
    field: String,
    /// `null`: it was not there.
    from: Option<Box<RawValue>>,
    /// `null`: it was removed.
    to: Option<Box<RawValue>>,
}

impl From<FieldChange> for Change {
    fn from(change: FieldChange) -> Change {
        // What a document holds is JSON.
        let raw = |json: Option<String>| json.and_then(|json| RawValue::from_string(json).ok());
        Change { field: change.path, from: raw(change.from), to: raw(change.to) }
    }
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let store = open::reading(&path)?;
    let mut document = Document::new();
    let mut grid = Grid::new([
        Column::number("version"),
        Column::text("when (UTC)").whole().styled(Style::Dim),
        Column::text("who"),
        Column::text("type").left_out(1),
        Column::text("what changed").giving_way(),
    ]);
    let mut count = 0;
    for event in store.reader().history(&args.subject) {
        let event = event.map_err(|error| Failure::of_store(&error, &path))?;
        let mut changes = Vec::new();
        let taken = document.merge_telling(event.data(), |change| changes.push(Change::from(change)));
        let passed_over = taken.is_err();
        count += 1;
        if format == Format::Table {
            let cells = [
                event.version().to_string(),
                text::when(event.occurred_at()),
                event.actor().map(|actor| actor.to_string()).unwrap_or_default(),
                event.event_type().to_owned(),
                if passed_over { why_passed_over(&event).to_owned() } else { told(&changes) },
            ];
            grid.row(out, cells.map(Cell::from))?;
            continue;
        }
        let step = Step {
            version: event.version(),
            position: event.position().get(),
            event_type: event.event_type(),
            actor: event.actor().map(|actor| actor.to_string()),
            time: event.occurred_at(),
            recordedtime: event.recorded_at(),
            changes: &changes,
            passed_over,
        };
        if format == Format::Json {
            out.bytes(if count == 1 { b"[\n" } else { b",\n" })?;
            let line = serde_json::to_string(&step).map_err(|error| Failure::new(Code::Failure, error.to_string()))?;
            out.bytes(line.as_bytes())?;
        } else {
            out.json(&step, format)?;
        }
    }
    if count == 0 {
        return Err(Failure::new(Code::NotFound, format!("no event is about {:?}, {}", args.subject, path.display()))
            .hinting("a subject is kind/id, spelt exactly; `annals log` shows the subjects of events"));
    }
    if format == Format::Json {
        out.bytes(b"\n]\n")?;
    }
    grid.settle(out)
}

/// What is said of an event that has no fields.
fn why_passed_over(event: &Event) -> &'static str {
    if event.data().is_empty() { "(no data)" } else { "(data is no JSON object)" }
}

/// The changes on one line, those first that say most to a person.
fn told(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "nothing".to_owned();
    }
    let mut shown: Vec<(Rank, String)> = changes.iter().map(change).collect();
    shown.sort_by_key(|(rank, _)| *rank);
    let more = shown.len().saturating_sub(CHANGES_SHOWN);
    shown.truncate(CHANGES_SHOWN);
    let mut line = shown.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(", ");
    if more > 0 {
        line.push_str(&format!(" and {more} more"));
    }
    line
}

/// How much a change says: what became of a short value, of a text, of words; last what only machines read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Short,
    Lines,
    Words,
    Rest,
}

fn change(change: &Change) -> (Rank, String) {
    let field = text::clean(&change.field);
    let is_short = |value: &RawValue| text::width(value.get()) <= SHORT_COLUMNS;
    let Some(to) = &change.to else {
        let was = change.from.as_ref().filter(|from| is_short(from));
        let was = was.map(|from| format!(" (was {})", from.get())).unwrap_or_default();
        return (Rank::Short, format!("{field} removed{was}"));
    };
    let new = string(to);
    let old = change.from.as_ref().and_then(|from| string(from));
    if let Some(new) = new.as_ref().filter(|text| text.contains('\n')) {
        let lines = match &old {
            Some(old) => lines_changed(old, new),
            None => format!("= {}", text::counted(new.lines().count() as u64, "line")),
        };
        return (Rank::Lines, format!("{field} {lines}"));
    }
    let is_time = new.as_ref().is_some_and(|text| Timestamp::parse(text).is_ok());
    match &change.from {
        Some(from) if is_short(from) && is_short(to) && !is_time => {
            (Rank::Short, format!("{field} {} → {}", from.get(), to.get()))
        }
        from => {
            let rank = match &new {
                _ if is_time => Rank::Rest,
                _ if is_short(to) => Rank::Short,
                Some(new) if new.contains(' ') => Rank::Words,
                _ => Rank::Rest,
            };
            let sign = if from.is_some() { "→" } else { "=" };
            (rank, format!("{field} {sign} {}", text::fit(to.get(), LONG_COLUMNS)))
        }
    }
}

fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// How many lines came and went, whatever their order: `+3 −1 lines`.
fn lines_changed(old: &str, new: &str) -> String {
    let mut balance: BTreeMap<&str, i64> = BTreeMap::new();
    new.lines().for_each(|line| *balance.entry(line).or_default() += 1);
    old.lines().for_each(|line| *balance.entry(line).or_default() -= 1);
    let added: i64 = balance.values().filter(|count| **count > 0).sum();
    let removed: i64 = balance.values().filter(|count| **count < 0).sum();
    if (added, removed) == (0, 0) { "lines moved".to_owned() } else { format!("+{added} −{} lines", -removed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn shown(from: Option<&str>, to: &str) -> String {
        change(&Change { field: "f".to_owned(), from: from.map(raw), to: (!to.is_empty()).then(|| raw(to)) }).1
    }

    #[test]
    fn what_was_removed_is_said() {
        assert_eq!(shown(Some("17.50"), ""), "f removed (was 17.50)");
        assert_eq!(shown(Some(&format!("\"{}\"", "word ".repeat(20))), ""), "f removed");
    }

    #[test]
    fn short_values_are_shown_and_long_ones_described() {
        assert_eq!(shown(None, "\"Draft\""), "f = \"Draft\"");
        assert_eq!(shown(Some("\"Draft\""), "\"Final\""), "f \"Draft\" → \"Final\"");
        assert_eq!(shown(Some("1.0"), "1.00"), "f 1.0 → 1.00");
        assert_eq!(shown(None, "\"a\\nb\""), "f = 2 lines");
        assert_eq!(shown(Some("\"a\\nb\\nc\""), "\"a\\nB\\nc\\nd\""), "f +2 −1 lines");
        let long = format!("\"{}\"", "word ".repeat(20));
        assert_eq!(shown(Some("null"), &long), format!("f → {}…", &long[..39]));
        assert_eq!(shown(Some("true"), "false"), "f true → false");
    }
}
