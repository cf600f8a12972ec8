//! `annals retry` and `annals skip`: decisions about an event that a worker has parked.

use annals::{Actor, Position};
use serde::Serialize;

use super::args::{StoreArg, actor, writing_actor};
use super::fail::{Done, Failure};
use super::out::{Format, Out};
use super::{open, text};

/// A decision about a parked event
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// The worker
    #[arg(value_name = "WORKER")]
    worker: String,
    /// The event's position
    #[arg(value_name = "POSITION")]
    position: Position,
    /// Who decides, such as user:alice; ANNALS_ACTOR stands in for it
    #[arg(long, value_name = "ACTOR", value_parser = actor)]
    actor: Option<Actor>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Retry,
    Skip,
}

#[derive(Serialize)]
struct Answer<'a> {
    worker: &'a str,
    position: u64,
    verb: &'static str,
    by: String,
    reason: &'a str,
}

pub(crate) fn run(args: &Args, verb: Verb, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let Some(by) = writing_actor(args.actor.as_ref())? else {
        return Err(Failure::usage("a decision needs an actor").hinting("name yourself with --actor user:NAME"));
    };
    if args.reason.trim().is_empty() {
        return Err(Failure::usage("a decision needs a reason").hinting("give one with --reason"));
    }
    let failed = |error: annals::Error| Failure::of_store(&error, &path);
    // Nothing is made where no store is, and what is not there is said at once.
    let parked = open::reading(&path)?.parked(Some(&args.worker)).map_err(failed)?;
    if !parked.iter().any(|parked| parked.position == args.position) {
        let text = format!("the worker {} has no parked event at position {}", args.worker, args.position);
        return Err(Failure::new(super::fail::Code::NotFound, format!("{text}, {}", path.display()))
            .hinting("`annals parked` lists what is parked"));
    }
    let store = open::writing_as_it_is(&path)?;
    let (worker, position, reason) = (args.worker.as_str(), args.position, args.reason.as_str());
    let done = match verb {
        Verb::Retry => store.retry(worker, position, by.clone(), reason),
        Verb::Skip => store.skip(worker, position, by.clone(), reason),
    };
    done.map_err(failed)?;
    open::close(&store, &path)?;
    let name = if verb == Verb::Retry { "retry" } else { "skip" };
    if format != Format::Table {
        let answer = Answer { worker, position: position.get(), verb: name, by: by.to_string(), reason };
        return out.json(&answer, format);
    }
    out.line(text::clean(&match verb {
        Verb::Retry => format!("position {position} is tried again when the worker {worker} runs"),
        Verb::Skip => format!("position {position} is skipped; the worker {worker} goes on behind it"),
    }))
}
