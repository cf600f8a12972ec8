//! `annals verify`: a full check that changes nothing.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use annals::{Against, Corruption, Head, Progress, Verification};
use clap::ValueHint;
use serde::Serialize;

use super::args::StoreArg;
use super::fail::{Code, Done, Failure, note, shell_word};
use super::grid::pairs;
use super::out::{Format, Out};
use super::restore::hex;
use super::{head, open, progress, text};

/// Places of damage that are shown to a person; `--format json` has them all.
const DAMAGE_SHOWN: usize = 20;

/// Check every byte of the log, and change nothing
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Print the head and nothing else: one line that names the whole history, to be kept elsewhere
    #[arg(long)]
    head: bool,
    /// Prove that the first events are still those of a head printed earlier; - is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    against: Option<PathBuf>,
}

#[derive(Serialize)]
struct Answer {
    good: bool,
    events: u64,
    bytes: u64,
    files: u64,
    root: Option<String>,
    head: Option<String>,
    /// Whether the first events are those of the head that was given.
    same_as_head: Option<bool>,
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
    let against = args.against.as_deref().map(head::read).transpose()?;
    let store = open::reading(&path)?;
    let bar = progress::bytes("verifying", 0);
    let step = |progress: Progress| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
        bar.set_message(text::counted(progress.events, "event"));
        ControlFlow::Continue(())
    };
    let verified = match &against {
        Some(head) => store.verify_against(head, step),
        None => store.verify(step),
    };
    bar.finish_and_clear();
    let found = verified.map_err(|error| Failure::of_store(&error, &path))?;
    let held = against
        .as_ref()
        .zip(found.against.as_ref())
        .map_or(Ok(()), |(head, against)| against.result(head).map_err(|error| Failure::of_store(&error, &path)));
    let shown = match format {
        // Another history is no head to keep, and damage has none.
        Format::Table if args.head && found.is_good() => {
            held?;
            return one_line(&found, against.as_ref(), &path, out);
        }
        Format::Table => table(&found, against.as_ref(), &path, out),
        _ => out.json(&answer(&found), format),
    }
    .and_then(|()| out.flush());
    // Damage is the outcome whether or not anybody read about it.
    if found.is_good() {
        return held.and(shown);
    }
    let places = text::counted(found.damage.len() as u64, "damaged place");
    Err(Failure::new(Code::Corruption, format!("{places}, {}", path.display())).hinting(format!(
        "nothing was changed; `annals export {0}` saves what is good, `annals repair {0}` says what a repair would lose",
        shell_word(&path)
    )))
}

/// The head alone, so that it can go to a file; what else was proven goes to standard error.
fn one_line(found: &Verification, against: Option<&Head>, path: &Path, out: &mut Out) -> Done {
    let Some(head) = &found.head else {
        return Err(Failure::new(Code::Failure, format!("the log has no head, {}", path.display())));
    };
    if let Some(head) = against {
        note(same(head));
    }
    out.line(head)
}

fn same(head: &Head) -> String {
    match head.size {
        0 => "the log is the one that the head names".to_owned(),
        1 => "the first event is the one that the head names".to_owned(),
        many => format!("the first {} events are those that the head names", text::count(many)),
    }
}

fn answer(found: &Verification) -> Answer {
    Answer {
        good: found.is_good(),
        events: found.events,
        bytes: found.bytes,
        files: found.files,
        root: found.root.as_ref().map(hex),
        head: found.head.as_ref().map(ToString::to_string),
        same_as_head: found.against.map(|against| against == Against::Same),
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

fn table(found: &Verification, against: Option<&Head>, path: &Path, out: &mut Out) -> Done {
    let verdict = match (found.is_good(), &found.torn) {
        _ if found.against.is_some_and(|against| against != Against::Same) => {
            out.paint.red("whole, and not the history that the head names")
        }
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
    if let (Some(head), Some(Against::Same)) = (against, &found.against) {
        lines.push(("against", same(head)));
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
