//! `annals segments`: the files of the log, one a row.

use annals::{Form, Position, SegmentInfo, Timestamp};
use serde::Serialize;

use super::args::StoreArg;
use super::fail::Done;
use super::grid::{Cell, Column, Grid};
use super::out::{Format, Out};
use super::paint::Style;
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
    file_bytes: u64,
    index_bytes: u64,
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
            file_bytes: info.file_bytes,
            index_bytes: info.index_bytes,
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
        Column::number("used"),
        Column::number("file size").left_out(4),
        Column::number("index").left_out(2),
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
                Cell::from(text::bytes(row.used_bytes)),
                Cell::from(text::bytes(row.file_bytes)),
                Cell::from(if row.index_bytes == 0 { "-".to_owned() } else { text::bytes(row.index_bytes) }),
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

/// The file without its directory and the zeros that pad its name: the first position says as much.
fn file_name(info: &SegmentInfo) -> String {
    info.file.file_name().unwrap_or(info.file.as_os_str()).to_string_lossy().into_owned()
}
