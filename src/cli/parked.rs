//! `annals parked`: the events that workers have given up until somebody decides about them.

use annals::Parked;
use serde::Serialize;

use super::args::StoreArg;
use super::fail::{Done, Failure, shell_word};
use super::grid::{Cell, Column, Grid};
use super::out::{Format, Out};
use super::paint::Style;
use super::{open, text};

/// Show the events that workers have parked, and what waits behind them
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// The worker; all of them if not given
    #[arg(value_name = "WORKER")]
    worker: Option<String>,
}

#[derive(Serialize)]
struct Row<'a> {
    worker: &'a str,
    position: u64,
    key: &'a str,
    attempts: u32,
    error: Option<&'a str>,
    since: String,
    behind: Option<u64>,
}

impl<'a> From<&'a Parked> for Row<'a> {
    fn from(parked: &'a Parked) -> Row<'a> {
        Row {
            worker: &parked.worker,
            position: parked.position.get(),
            key: &parked.key,
            attempts: parked.attempts,
            error: Some(parked.error.as_str()).filter(|error| !error.is_empty()),
            since: parked.since.to_string(),
            behind: parked.behind.map(|behind| behind.get()),
        }
    }
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let store = open::reading(&path)?;
    let parked = store.parked(args.worker.as_deref()).map_err(|error| Failure::of_store(&error, &path))?;
    if format != Format::Table {
        return out.json_list(&parked.iter().map(Row::from).collect::<Vec<_>>(), format);
    }
    let Some(first) = parked.iter().find(|parked| parked.behind.is_none()) else {
        return out.line("nothing is parked");
    };
    let mut grid = Grid::new([
        Column::text("worker").whole(),
        Column::number("position"),
        Column::text("key").giving_way(),
        Column::number("attempts").left_out(2),
        Column::text("since").left_out(1),
        Column::text("error").giving_way(),
    ]);
    for parked in &parked {
        let error = match parked.behind {
            Some(behind) => Cell::styled(format!("waits behind {}", text::count(behind.get())), Style::Dim),
            None => Cell::styled(&parked.error, Style::Red),
        };
        grid.row(
            out,
            [
                Cell::from(parked.worker.as_str()),
                Cell::from(text::count(parked.position.get())),
                Cell::from(parked.key.as_str()),
                Cell::from(text::count(u64::from(parked.attempts))),
                Cell::from(text::when(parked.since)),
                error,
            ],
        )?;
    }
    grid.settle(out)?;
    let (store, worker, position) = (shell_word(&path), &first.worker, first.position);
    out.line(out.paint.dim(&format!("`annals retry {store} {worker} {position} --actor .. --reason ..`, or skip")))
}
