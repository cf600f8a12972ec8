//! `annals seal`: what is raw becomes sealed, now.

use serde::Serialize;

use super::args::StoreArg;
use super::fail::{Done, Failure};
use super::out::{Format, Out};
use super::{open, text};

/// Pack all raw segments, the one that takes appends too; a running application does it by itself
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
}

#[derive(Serialize)]
struct Answer {
    segments: u64,
    events: u64,
    raw_bytes: u64,
    stored_bytes: u64,
    seconds: f64,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    // Reading first: what is not there is not made.
    open::reading(&path)?;
    let store = open::writing_as_it_is(&path)?;
    let done = store.seal().map_err(|error| Failure::of_store(&error, &path))?;
    open::close(&store, &path)?;
    if format != Format::Table {
        let answer = Answer {
            segments: done.segments,
            events: done.events,
            raw_bytes: done.raw_bytes,
            stored_bytes: done.stored_bytes,
            seconds: done.took.as_secs_f64(),
        };
        return out.json(&answer, format);
    }
    if done.segments == 0 {
        return out.line("nothing to seal");
    }
    out.line(format_args!(
        "sealed {} with {}: {} -> {}, {:.1} % saved, in {}",
        text::counted(done.segments, "segment"),
        text::counted(done.events, "event"),
        text::bytes(done.raw_bytes),
        text::bytes(done.stored_bytes),
        100.0 - 100.0 * done.stored_bytes as f64 / done.raw_bytes.max(1) as f64,
        text::span(done.took)
    ))
}
