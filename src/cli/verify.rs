//! `annals verify`: a full check that changes nothing.

use std::ops::ControlFlow;
use std::path::Path;

use annals::{Corruption, Verification};
use serde::Serialize;

use super::args::StoreArg;
use super::fail::{Code, Done, Failure, shell_word};
use super::grid::pairs;
use super::out::{Format, Out};
use super::restore::hex;
use super::{open, progress, text};

/// Places of damage that are shown to a person; `--format json` has them all.
const DAMAGE_SHOWN: usize = 20;

/// Check every byte of the log, and change nothing
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
}

#[derive(Serialize)]
struct Answer {
    good: bool,
    events: u64,
    bytes: u64,
    files: u64,
    root: Option<String>,
    torn: Option<String>,
    damage: Vec<Place>,
    derived: Vec<Derived>,
    seconds: f64,
}

/// A damaged place, as `verify` and `repair` show it to a program.
#[derive(Serialize)]
pub(crate) struct Place {
    file: String,
    offset: u64,
    first_position: Option<u64>,
    last_position: Option<u64>,
    expected: String,
    found: String,
}

#[derive(Serialize)]
struct Derived {
    file: String,
    reason: String,
}

impl From<&Corruption> for Place {
    fn from(corruption: &Corruption) -> Place {
        Place {
            file: corruption.file.display().to_string(),
            offset: corruption.offset,
            first_position: corruption.positions.as_ref().map(|range| range.start().get()),
            last_position: corruption.positions.as_ref().map(|range| range.end().get()),
            expected: corruption.expected.clone(),
            found: corruption.found.clone(),
        }
    }
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let store = open::reading(&path)?;
    let bar = progress::bytes("verifying", 0);
    let verified = store.verify(|progress| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
        bar.set_message(text::counted(progress.events, "event"));
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    let found = verified.map_err(|error| Failure::of_store(&error, &path))?;
    let shown = match format {
        Format::Table => table(&found, &path, out),
        _ => out.json(&answer(&found), format),
    }
    .and_then(|()| out.flush());
    // Damage is the outcome whether or not anybody read about it.
    if found.is_good() {
        return shown;
    }
    let places = text::counted(found.damage.len() as u64, "damaged place");
    Err(Failure::new(Code::Corruption, format!("{places}, {}", path.display())).hinting(format!(
        "nothing was changed; `annals export {0}` saves what is good, `annals repair {0}` says what a repair would lose",
        shell_word(&path)
    )))
}

fn answer(found: &Verification) -> Answer {
    Answer {
        good: found.is_good(),
        events: found.events,
        bytes: found.bytes,
        files: found.files,
        root: found.root.as_ref().map(hex),
        torn: found.torn.clone(),
        damage: found.damage.iter().map(Place::from).collect(),
        derived: found
            .derived
            .iter()
            .map(|(file, reason)| Derived { file: file.display().to_string(), reason: reason.clone() })
            .collect(),
        seconds: found.took.as_secs_f64(),
    }
}

fn table(found: &Verification, path: &Path, out: &mut Out) -> Done {
    let verdict = match (found.is_good(), &found.torn) {
        (false, _) => out.paint.red("damaged"),
        (true, Some(_)) => out.paint.yellow("good, with a torn tail"),
        (true, None) => out.paint.green("good"),
    };
    out.line(format_args!("{} is {verdict}", out.paint.bold(&text::clean(&path.display().to_string()))))?;
    let rate = text::bytes(text::per_second(found.bytes, found.took));
    let mut lines = vec![
        ("events", format!("{} whole, each read and checked", text::count(found.events))),
        (
            "read",
            format!(
                "{} in {}, {} ({rate} a second)",
                text::bytes(found.bytes),
                text::counted(found.files, "file"),
                text::span(found.took)
            ),
        ),
    ];
    if let Some(torn) = &found.torn {
        lines.push(("torn tail", format!("{torn}; the next writer cuts it and keeps the bytes")));
    }
    for (file, reason) in &found.derived {
        lines.push(("derived", format!("{}: {reason}; it is made again when needed", file.display())));
    }
    if let Some(root) = &found.root {
        lines.push(("root", format!("{} of positions 1 to {}", hex(root), text::count(found.events))));
    }
    pairs(out, lines)?;
    damage(&found.damage, out)
}

/// Damaged places, one a line with what should have stood there below it.
pub(crate) fn damage(damage: &[Corruption], out: &mut Out) -> Done {
    for corruption in damage.iter().take(DAMAGE_SHOWN) {
        let positions = match &corruption.positions {
            Some(range) if range.start() == range.end() => format!(", position {}", text::count(range.start().get())),
            Some(range) => {
                format!(", positions {} to {}", text::count(range.start().get()), text::count(range.end().get()))
            }
            None => String::new(),
        };
        let file = corruption.file.display().to_string();
        let place = format!("{} at byte {}{positions}", text::clean(&file), text::count(corruption.offset));
        out.line(format_args!("{} {place}", out.paint.red("✗")))?;
        let detail = format!("  expected {}, found {}", corruption.expected, corruption.found);
        out.line(out.paint.dim(&text::clean(&detail)))?;
    }
    match damage.len().saturating_sub(DAMAGE_SHOWN) {
        0 => Ok(()),
        more => {
            out.line(format_args!("  and {} (--format json has them all)", text::counted(more as u64, "more place")))
        }
    }
}
