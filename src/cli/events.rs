//! Events on standard output: rows for a person, the JSON shape of export for a program.

use annals::{EventRef, write_event};

use super::fail::Done;
use super::grid::{Cell, Column, Grid};
use super::out::{Format, Out};
use super::paint::Style;
use super::text;

/// Columns of data that are shown where the output is no terminal.
const PREVIEW_COLUMNS: usize = 60;
/// Columns of data that are worked out for a terminal, which then shows as many as fit.
const PREVIEW_COLUMNS_MAX: usize = 200;

/// Prints events as they come, in any of the formats.
pub(crate) struct EventWriter {
    format: Format,
    grid: Grid,
    buffer: Vec<u8>,
    /// Events that were printed.
    pub(crate) count: u64,
}

impl EventWriter {
    pub(crate) fn new(format: Format) -> EventWriter {
        let grid = Grid::new([
            Column::number("position"),
            Column::text("time (UTC)").whole().styled(Style::Dim),
            Column::text("subject").styled(Style::Cyan),
            Column::number("version").left_out(1),
            Column::text("type"),
            Column::text("actor").left_out(2),
            Column::text("data").styled(Style::Dim).giving_way().left_out(3),
        ]);
        EventWriter { format, grid, buffer: Vec::new(), count: 0 }
    }

    pub(crate) fn event(&mut self, event: &EventRef<'_>, out: &mut Out) -> Done {
        self.count += 1;
        if self.format == Format::Table {
            let columns = out.width.map_or(PREVIEW_COLUMNS, |width| width.min(PREVIEW_COLUMNS_MAX));
            let cells = [
                event.position().to_string(),
                text::when(event.occurred_at()),
                event.subject().to_owned(),
                event.version().to_string(),
                event.event_type().to_owned(),
                event.actor().map(|actor| actor.to_string()).unwrap_or_default(),
                text::preview(event.data(), columns),
            ];
            return self.grid.row(out, cells.map(Cell::from));
        }
        self.buffer.clear();
        if self.format == Format::Json {
            self.buffer.extend_from_slice(if self.count == 1 { b"[\n" } else { b",\n" });
        }
        write_event(event, &mut self.buffer);
        if self.format == Format::Jsonl {
            self.buffer.push(b'\n');
        }
        out.bytes(&self.buffer)
    }

    /// Prints what was held back to find the widths of columns.
    pub(crate) fn settle(&mut self, out: &mut Out) -> Done {
        self.grid.settle(out)
    }

    /// Ends the list.
    pub(crate) fn finish(&mut self, out: &mut Out) -> Done {
        self.grid.settle(out)?;
        match self.format {
            Format::Json if self.count == 0 => out.bytes(b"[]\n"),
            Format::Json => out.bytes(b"\n]\n"),
            _ => Ok(()),
        }
    }
}
