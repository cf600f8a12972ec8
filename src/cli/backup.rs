//! `annals backup`: a verified copy of a store, taken while it is in use.

use std::path::{Path, PathBuf};

use annals::{Backup, ErrorKind};
use serde::Serialize;

use super::args::StoreArg;
use super::fail::{Done, Failure, shell_word};
use super::grid::pairs;
use super::out::{Format, Out};
use super::restore::{hex, watched};
use super::{open, text};

/// Copy a store that is in use; again into the same directory, only what is new
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Where the backup goes: absent, empty, or an earlier backup of this store
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: PathBuf,
}

#[derive(Serialize)]
struct Answer {
    dir: String,
    position: u64,
    copied_segments: u64,
    linked_segments: u64,
    kept_segments: u64,
    copied_bytes: u64,
    bytes: u64,
    root: Option<String>,
    verified: bool,
    seconds: f64,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let store = open::reading(&path)?;
    let done = watched("backing up", |progress| store.backup_with(&args.dir, progress));
    let done = done.map_err(|error| match error.kind() {
        // These speak of the directory, all others of the store.
        ErrorKind::Conflict | ErrorKind::Invalid | ErrorKind::Locked | ErrorKind::Full => {
            let hint = (error.kind() == ErrorKind::Full)
                .then_some("the backup is unfinished; make room and run it again, what is there is kept");
            let failure = Failure::of_store(&error, &args.dir);
            hint.map_or(failure, |hint| Failure::of_store(&error, &args.dir).hinting(hint))
        }
        _ => Failure::of_store(&error, &path),
    })?;
    match format {
        Format::Table => table(&done, &path, &args.dir, out),
        _ => out.json(&answer(&done, &args.dir), format),
    }
}

fn answer(done: &Backup, dir: &Path) -> Answer {
    Answer {
        dir: dir.display().to_string(),
        position: done.position.get(),
        copied_segments: done.copied,
        linked_segments: done.linked,
        kept_segments: done.kept,
        copied_bytes: done.copied_bytes,
        bytes: done.bytes,
        root: done.root.as_ref().map(hex),
        verified: true,
        seconds: done.took.as_secs_f64(),
    }
}

fn table(done: &Backup, store: &Path, dir: &Path, out: &mut Out) -> Done {
    let events = text::counted(done.position.get(), "event");
    out.line(format_args!(
        "{} {events} of {} in {}, each read back and checked",
        out.paint.green("backed up"),
        text::clean(&store.display().to_string()),
        text::span(done.took)
    ))?;
    let segments = [(done.copied, "copied"), (done.linked, "linked"), (done.kept, "kept from before")];
    let segments: Vec<String> = segments
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, how)| format!("{} {how}", text::count(*number)))
        .collect();
    let mut lines = vec![
        ("up to", format!("position {}", text::count(done.position.get()))),
        ("segments", segments.join(", ")),
        ("bytes", format!("{} copied, {} in all", text::bytes(done.copied_bytes), text::bytes(done.bytes))),
    ];
    if let Some(root) = &done.root {
        lines.push(("root", hex(root)));
    }
    if done.linked > 0 {
        lines.push(("linked", "shared with the store on this disk; against its loss, copy to another".to_owned()));
    }
    lines.push(("restore", format!("annals restore {} NEW-STORE", shell_word(dir))));
    pairs(out, lines)
}
