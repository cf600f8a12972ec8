//! `annals workers`: the workers of a store, how far they are, and what waits.

use annals::WorkerInfo;
use serde::Serialize;

use super::args::StoreArg;
use super::fail::{Done, Failure};
use super::grid::{Cell, Column, Grid};
use super::out::{Format, Out};
use super::paint::Style;
use super::{open, text};

/// Show the workers of a store: how far they are, what waits, what is parked
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
}

#[derive(Serialize)]
struct Row {
    worker: String,
    running: bool,
    checkpoint: u64,
    lag: u64,
    in_flight: u64,
    held: u64,
    waiting: Vec<Waiting>,
    parked: u64,
    error: Option<String>,
    decisions: Vec<Decision>,
}

#[derive(Serialize)]
struct Waiting {
    position: u64,
    due: String,
    attempts: u32,
    error: Option<String>,
    step: Option<String>,
}

#[derive(Serialize)]
struct Decision {
    position: u64,
    verb: &'static str,
    by: String,
    reason: String,
    at: String,
}

impl From<&WorkerInfo> for Row {
    fn from(worker: &WorkerInfo) -> Row {
        let waiting = worker.waiting.iter().map(|event| Waiting {
            position: event.position.get(),
            due: event.due.to_string(),
            attempts: event.attempts,
            error: event.error.clone(),
            step: event.step.clone(),
        });
        let decisions = worker.decisions.iter().map(|decision| Decision {
            position: decision.position.get(),
            verb: if decision.skipped { "skip" } else { "retry" },
            by: decision.by.to_string(),
            reason: decision.reason.clone(),
            at: decision.at.to_string(),
        });
        Row {
            worker: worker.name.clone(),
            running: worker.running,
            checkpoint: worker.checkpoint.get(),
            lag: worker.lag,
            in_flight: worker.in_flight,
            held: worker.held,
            waiting: waiting.collect(),
            parked: worker.parked,
            error: worker.error.clone(),
            decisions: decisions.collect(),
        }
    }
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let store = open::reading(&path)?;
    let workers = store.workers().map_err(|error| Failure::of_store(&error, &path))?;
    if format != Format::Table {
        return out.json_list(&workers.iter().map(Row::from).collect::<Vec<_>>(), format);
    }
    if workers.is_empty() {
        return out.line("no workers yet: a program runs them with `store.worker(..)`");
    }
    let mut grid = Grid::new([
        Column::text("worker").whole(),
        Column::text("runs").whole(),
        Column::number("checkpoint"),
        Column::number("lag"),
        Column::number("in flight").left_out(2),
        Column::number("waiting"),
        Column::text("next").left_out(1),
        Column::number("parked"),
        Column::text("last error").giving_way(),
    ]);
    for worker in &workers {
        let (runs, style) = if worker.running { ("yes", Style::Green) } else { ("no", Style::Dim) };
        let next = worker.waiting.iter().map(|event| event.due).min();
        let parked = if worker.parked > 0 { Style::Red } else { Style::Plain };
        grid.row(
            out,
            [
                Cell::from(worker.name.as_str()),
                Cell::styled(runs, style),
                Cell::from(text::count(worker.checkpoint.get())),
                Cell::from(text::count(worker.lag)),
                Cell::from(text::count(worker.in_flight)),
                Cell::from(text::count(worker.waiting.len() as u64)),
                Cell::from(next.map(text::when).unwrap_or_default()),
                Cell::styled(text::count(worker.parked), parked),
                Cell::from(worker.error.as_deref().unwrap_or_default()),
            ],
        )?;
    }
    grid.settle(out)
}
