//! `annals restore`: a store of its own, made from a backup.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use annals::{ErrorKind, Progress, Restored, Store};
use serde::Serialize;

use super::fail::{Done, Failure};
use super::grid::pairs;
use super::out::{Format, Out};
use super::{progress, text};

/// Make a store from a backup, or from a store that nobody writes to
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The backup
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: PathBuf,
    /// Where the store goes: absent or empty
    #[arg(value_name = "STORE", value_hint = clap::ValueHint::DirPath)]
    store: PathBuf,
}

#[derive(Serialize)]
struct Answer {
    store: String,
    position: u64,
    epoch: u64,
    segments: u64,
    bytes: u64,
    torn: Option<String>,
    root: Option<String>,
    verified: bool,
    seconds: f64,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let done = watched("restoring", |progress| Store::restore_with(&args.dir, &args.store, progress));
    let done = done.map_err(|error| match error.kind() {
        // These speak of the new store, all others of the backup.
        ErrorKind::Conflict | ErrorKind::Invalid | ErrorKind::Full => Failure::of_store(&error, &args.store),
        ErrorKind::NotFound => Failure::of_store(&error, &args.dir).hinting("check the path of the backup"),
        _ => Failure::of_store(&error, &args.dir),
    })?;
    match format {
        Format::Table => table(&done, &args.store, out),
        _ => out.json(&answer(&done, &args.store), format),
    }
}

fn answer(done: &Restored, store: &Path) -> Answer {
    Answer {
        store: store.display().to_string(),
        position: done.position.get(),
        epoch: done.epoch,
        segments: done.segments,
        bytes: done.bytes,
        torn: done.torn.clone(),
        root: done.root.as_ref().map(hex),
        verified: true,
        seconds: done.took.as_secs_f64(),
    }
}

fn table(done: &Restored, store: &Path, out: &mut Out) -> Done {
    out.line(format_args!(
        "{} {} to {} in {}, each read back and checked",
        out.paint.green("restored"),
        text::counted(done.position.get(), "event"),
        text::clean(&store.display().to_string()),
        text::span(done.took)
    ))?;
    let next = text::count(done.position.next().get());
    let mut lines = vec![
        ("copied", format!("{} in {}", text::bytes(done.bytes), text::counted(done.segments, "segment"))),
        ("goes on", format!("at position {next}, under epoch {}", done.epoch)),
    ];
    if let Some(torn) = &done.torn {
        lines.push(("left out", torn.clone()));
    }
    if let Some(root) = &done.root {
        lines.push(("root", hex(root)));
    }
    pairs(out, lines)
}

/// Runs something long with a bar.
pub(crate) fn watched<T>(verb: &'static str, work: impl FnOnce(&mut dyn FnMut(Progress) -> ControlFlow<()>) -> T) -> T {
    let bar = progress::bytes(verb, 0);
    let done = work(&mut |told| {
        bar.set_length(told.total_bytes);
        bar.set_position(told.done_bytes);
        bar.set_message(text::counted(told.events, "event"));
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    done
}

pub(crate) fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
