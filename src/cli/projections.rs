//! `annals projections`: the tables in SQLite, how far they are, and whether they are right.

use std::ops::ControlFlow;
use std::path::Path;

use annals::{Position, Store, TableCheck};
use clap::Subcommand;
use serde::Serialize;

use super::args::StoreArg;
use super::fail::{Code, Done, Failure};
use super::grid::{Cell, Column, Grid};
use super::interrupt;
use super::out::{Format, Out};
use super::paint::Style;
use super::{open, progress, text};

/// Show the tables in SQLite and how far they are, make them anew, or hold them against the log
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make tables anew from the first event, beside the ones that serve
    Rebuild {
        /// The table
        #[arg(value_name = "NAME", required_unless_present = "all")]
        names: Vec<String>,
        /// All of them
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
    /// Compare tables with ones made anew, which are thrown away again
    Check {
        /// The tables; all if none are given
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
}

#[derive(Serialize)]
struct Row<'a> {
    table: &'a str,
    position: u64,
    lag: u64,
    rows: u64,
    skipped: u64,
    outdated: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    only_kept: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    only_fresh: Option<u64>,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let store = open::reading(&path)?;
    let failed = |error: annals::Error| Failure::of_store(&error, &path);
    match &args.verb {
        None => {
            let tables = store.tables().map_err(failed)?;
            if tables.is_empty() && format == Format::Table {
                return out.line("no tables yet: `annals sql` makes them when they are first asked for");
            }
            list(&tables, store.reader().durable(), format, out)
        }
        Some(Verb::Rebuild { names, all }) => {
            let names = (!all).then_some(names.as_slice());
            let done = watched(&store, &path, "rebuilding", |tell| store.rebuild_tables(names, tell))?;
            list(&done, store.reader().durable(), format, out)
        }
        Some(Verb::Check { names }) => {
            let names = (!names.is_empty()).then_some(names.as_slice());
            let done = watched(&store, &path, "checking", |tell| store.check_tables(names, tell))?;
            list(&done, store.reader().durable(), format, out)?;
            let wrong = done.iter().filter(|table| table.differences.is_some_and(|found| found != (0, 0))).count();
            if wrong == 0 {
                return Ok(());
            }
            let what = text::counted(wrong as u64, "table");
            Err(Failure::new(Code::Corruption, format!("{what} differ from the log, {}", path.display()))
                .hinting(format!("`annals projections {} rebuild --all` makes them anew", path.display())))
        }
    }
}

/// Runs long work with a bar, until Ctrl-C.
fn watched(
    store: &Store,
    path: &Path,
    verb: &'static str,
    work: impl FnOnce(&mut dyn FnMut(Position, Position) -> ControlFlow<()>) -> annals::Result<Option<Vec<TableCheck>>>,
) -> Done<Vec<TableCheck>> {
    interrupt::listen();
    let bar = progress::events(verb, store.reader().durable().get());
    let done = work(&mut |at, _| {
        bar.set_position(at.get());
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    match done.map_err(|error| Failure::of_store(&error, path))? {
        Some(done) => Ok(done),
        None => Err(Failure::Quiet(Code::Interrupted)),
    }
}

fn list(tables: &[TableCheck], durable: Position, format: Format, out: &mut Out) -> Done {
    let rows: Vec<Row<'_>> = tables
        .iter()
        .map(|table| Row {
            table: &table.name,
            position: table.position.get(),
            lag: durable.get().saturating_sub(table.position.get()),
            rows: table.rows,
            skipped: table.skipped,
            outdated: table.outdated.as_deref(),
            only_kept: table.differences.map(|(kept, _)| kept),
            only_fresh: table.differences.map(|(_, fresh)| fresh),
        })
        .collect();
    if format != Format::Table {
        return out.json_list(&rows, format);
    }
    let mut grid = Grid::new([
        Column::text("table").whole(),
        Column::number("position"),
        Column::number("lag"),
        Column::number("rows"),
        Column::number("skipped").left_out(1),
        Column::text("state").giving_way(),
    ]);
    for (row, table) in rows.iter().zip(tables) {
        let (state, style) = match (table.differences, &table.outdated) {
            (Some((0, 0)), _) => ("equals the log".to_owned(), Style::Green),
            (Some((kept, fresh)), _) => {
                (format!("{} only here, {} missing", text::counted(kept, "row"), text::count(fresh)), Style::Red)
            }
            (None, Some(why)) => (format!("to be made anew: {why}"), Style::Plain),
            (None, None) if row.lag == 0 => ("up to date".to_owned(), Style::Green),
            (None, None) => ("behind".to_owned(), Style::Plain),
        };
        grid.row(
            out,
            [
                Cell::from(row.table),
                Cell::from(text::count(row.position)),
                Cell::from(text::count(row.lag)),
                Cell::from(text::count(row.rows)),
                Cell::from(text::count(row.skipped)),
                Cell::styled(state, style),
            ],
        )?;
    }
    grid.settle(out)
}
