//! `annals archive`: the data of old segments goes elsewhere, or comes back.

use std::path::PathBuf;

use annals::{Archived, Timestamp};
use serde::Serialize;

use super::args::{self, StoreArg};
use super::fail::{Code, Done, Failure};
use super::out::{Format, Out};
use super::{open, text};

/// Move the data of old sealed segments into files of another directory, or bring it back
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Segments whose last event was recorded before this time
    #[arg(long, value_name = "TIME", value_parser = args::time, allow_hyphen_values = true, required_unless_present = "back")]
    before: Option<Timestamp>,
    /// The directory that takes their files
    #[arg(long, value_name = "DIR", required_unless_present = "back")]
    to: Option<PathBuf>,
    /// Bring back what this directory holds
    #[arg(long, value_name = "DIR", conflicts_with_all = ["before", "to"])]
    back: Option<PathBuf>,
}

#[derive(Serialize)]
struct Answer {
    segments: u64,
    events: u64,
    moved_bytes: u64,
    stub_bytes: u64,
    seconds: f64,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    // Reading first: what is not there is not made.
    open::reading(&path)?;
    let store = open::writing_as_it_is(&path)?;
    let failed = |error: annals::Error| Failure::of_store(&error, &path);
    let (done, verb) = match (&args.back, args.before, &args.to) {
        (Some(dir), _, _) => (store.unarchive(dir).map_err(failed)?, "brought back"),
        (None, Some(before), Some(dir)) => (store.archive(before, dir).map_err(failed)?, "archived"),
        _ => return Err(Failure::new(Code::Usage, "--before TIME and --to DIR, or --back DIR".to_owned())),
    };
    open::close(&store, &path)?;
    shown(&done, verb, format, out)
}

fn shown(done: &Archived, verb: &str, format: Format, out: &mut Out) -> Done {
    if format != Format::Table {
        let answer = Answer {
            segments: done.segments,
            events: done.events,
            moved_bytes: done.moved_bytes,
            stub_bytes: done.stub_bytes,
            seconds: done.took.as_secs_f64(),
        };
        return out.json(&answer, format);
    }
    if done.segments == 0 {
        return out.line("no segment that fits");
    }
    out.line(format_args!(
        "{verb} {} with {}: files of {}, stubs of {}, in {}",
        text::counted(done.segments, "segment"),
        text::counted(done.events, "event"),
        text::bytes(done.moved_bytes),
        text::bytes(done.stub_bytes),
        text::span(done.took)
    ))
}
