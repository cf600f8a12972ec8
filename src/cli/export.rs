//! `annals export`: events as JSON lines, in order. Of a damaged store, what is good, and what is missing by name.

use std::io::IsTerminal as _;
use std::ops::ControlFlow;
use std::path::Path;

use annals::{Corruption, Query, Reader};
use indicatif::ProgressBar;

use super::args::StoreArg;
use super::events::EventWriter;
use super::fail::{Code, Done, Failure, note, shell_word, warn};
use super::out::{Format, Out};
use super::select::QueryArgs;
use super::{open, progress, text};

/// Events between two steps of the progress bar.
const BAR_STEP_EVENTS: u64 = 4096;

/// Export events as JSON lines, in order; `export | import --keep-recorded` gives the same events
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    #[command(flatten)]
    query: QueryArgs,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let store = open::reading(&path)?;
    let reader = store.reader();
    let query = args.query.query(&reader, &path)?;
    let bar = bar(&reader);
    let mut writer = EventWriter::new(format);
    let damage = scan_good(&reader, &query, &path, &mut writer, out, |event| {
        if event % BAR_STEP_EVENTS == 0 {
            bar.set_position(event);
            bar.set_message(text::counted(event, "event"));
        }
    })?;
    writer.finish(out)?;
    out.flush()?;
    bar.finish_and_clear();
    judge(&damage, &path)
}

/// Prints every event of the query that can be read, and gives what could not.
pub(crate) fn scan_good(
    reader: &Reader,
    query: &Query,
    path: &Path,
    writer: &mut EventWriter,
    out: &mut Out,
    mut each: impl FnMut(u64),
) -> Done<Vec<Corruption>> {
    let mut printed = Ok(());
    let mut damage = Vec::new();
    let scanned = reader.scan_good(
        query,
        |event| {
            printed = writer.event(&event, out);
            each(writer.count);
            if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        },
        |corruption| damage.push(corruption.clone()),
    );
    printed?;
    scanned.map_err(|error| Failure::of_store(&error, path))?;
    Ok(damage)
}

/// Names what is missing; where something is, that is the outcome.
pub(crate) fn judge(damage: &[Corruption], path: &Path) -> Done {
    if damage.is_empty() {
        return Ok(());
    }
    for corruption in damage {
        match &corruption.positions {
            Some(range) if range.start() == range.end() => warn(format_args!("position {} is missing", range.start())),
            Some(range) => warn(format_args!("positions {} to {} are missing", range.start(), range.end())),
            None => warn("what stands behind the damage is missing; how many events, nobody can say"),
        }
        note(corruption);
    }
    let places = text::counted(damage.len() as u64, "damaged place");
    Err(Failure::new(Code::Corruption, format!("{places}: only what is good was written, {}", path.display()))
        .hinting(format!("`annals verify {}` checks everything there is", shell_word(path))))
}

/// A bar only where the events themselves are not shown.
fn bar(reader: &Reader) -> ProgressBar {
    if std::io::stdout().is_terminal() {
        ProgressBar::hidden()
    } else {
        progress::events("exporting", reader.tail().get())
    }
}
