//! `annals segments`: the files of the log, one a row.

use annals::{Form, Position, SegmentInfo, Timestamp};
use serde::Serialize;

use super::args::StoreArg;
use super::fail::Done;
use super::grid::{Cell, Column, Grid};
use super::out::{Format, Out};
use super::paint::Style;
use super::restore::hex;
use super::{open, text};

/// Show the files of the log
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
}

#[derive(Serialize)]
struct Row {
    file: String,
    form: String,
    durability: &'static str,
    epoch: u64,
    first: Position,
    last: Position,
    events: u64,
    first_recorded: Option<Timestamp>,
    last_recorded: Option<Timestamp>,
    used_bytes: u64,
    raw_bytes: u64,
    file_bytes: u64,
    index_bytes: u64,
    dictionary_bytes: u64,
    /// Root of the tree over all events up to the last of a sealed segment.
    root: Option<String>,
}

impl From<&SegmentInfo> for Row {
    fn from(info: &SegmentInfo) -> Row {
        Row {
            file: info.file.display().to_string(),
            form: info.form.to_string(),
            durability: if info.synced { "synced" } else { "written" },
            epoch: info.epoch,
            first: info.first,
            last: info.last,
            events: (info.last.get() + 1).saturating_sub(info.first.get()),
            first_recorded: info.recorded.map(|(first, _)| first),
            last_recorded: info.recorded.map(|(_, last)| last),
            used_bytes: info.used_bytes,
            raw_bytes: info.raw_bytes,
            file_bytes: info.file_bytes,
            index_bytes: info.index_bytes,
            dictionary_bytes: info.dictionary_bytes,
            root: info.root.as_ref().map(hex),
        }
    }
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let store = open::reading(&path)?;
    let segments = store.segments();
    let rows: Vec<Row> = segments.iter().map(Row::from).collect();
    if format != Format::Table {
        return out.json_list(&rows, format);
    }
    let mut grid = Grid::new([
        Column::text("file").whole().left_out(2).styled(Style::Dim),
        Column::text("form").whole(),
        Column::text("mode").whole().left_out(3),
        Column::number("first"),
        Column::number("last"),
        Column::number("events"),
        Column::number("raw").left_out(5),
        Column::number("stored"),
        Column::number("saved").left_out(6),
        Column::number("index").left_out(2),
        Column::number("dictionary").left_out(2),
        Column::text("root").whole().left_out(1).styled(Style::Dim),
        Column::text("recorded from (UTC)").whole().left_out(1).styled(Style::Dim),
    ]);
    for (row, info) in rows.iter().zip(&segments) {
        let is_empty = row.events == 0;
        let position = |position: Position| if is_empty { "-".to_owned() } else { text::count(position.get()) };
        let form = if info.form == Form::Active { Style::Green } else { Style::Plain };
        grid.row(
            out,
            [
                Cell::from(file_name(info)),
                Cell::styled(&row.form, form),
                Cell::from(row.durability),
                Cell::from(position(row.first)),
                Cell::from(position(row.last)),
                Cell::from(text::count(row.events)),
                Cell::from(text::bytes(row.raw_bytes)),
                Cell::from(text::bytes(row.file_bytes)),
                Cell::from(saved(info)),
                Cell::from(size(row.index_bytes)),
                Cell::from(size(row.dictionary_bytes)),
                Cell::from(row.root.as_ref().map(|root| root[..12].to_owned()).unwrap_or_default()),
                Cell::from(row.first_recorded.map(text::when).unwrap_or_default()),
            ],
        )?;
    }
    grid.settle(out)?;
    let used: u64 = rows.iter().map(|row| row.used_bytes).sum();
    let events: u64 = rows.iter().map(|row| row.events).sum();
    out.line(out.paint.dim(&format!(
        "{}, {} in {}",
        text::counted(rows.len() as u64, "segment"),
        text::counted(events, "event"),
        text::bytes(used)
    )))
}

fn size(bytes: u64) -> String {
    if bytes == 0 { "-".to_owned() } else { text::bytes(bytes) }
}

/// What sealing saved, of the frames that the segment was before.
fn saved(info: &SegmentInfo) -> String {
    let sealed = matches!(info.form, Form::Sealed | Form::Archived) && info.raw_bytes > 0;
    if !sealed {
        return "-".to_owned();
    }
    format!("{:.1} %", 100.0 - 100.0 * info.file_bytes as f64 / info.raw_bytes as f64)
}

/// The file without its directory and the zeros that pad its name: the first position says as much.
fn file_name(info: &SegmentInfo) -> String {
    info.file.file_name().unwrap_or(info.file.as_os_str()).to_string_lossy().into_owned()
}
