//! `annals demo`: a real history, looked at from several sides. Every scene is led by a command that a reader can copy
//! and shows what that very command answers.

mod answer;
mod killed;
mod scenes;
mod stage;
#[cfg(feature = "sqlite")]
mod tables;

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::fail::{Done, Failure, shell_word};
use super::out::{Format, Out};
use super::{interrupt, open, text};
use stage::Stage;

pub(crate) use killed::{WriterArgs, write_for_ever};

/// The revisions of 58 Python Enhancement Proposals; see examples/data/NOTICE.
const SAMPLE: &[u8] = include_bytes!("../../../examples/data/notes-peps-sample.jsonl.zst");
const SAMPLE_NAME: &str = "notes-peps-sample.jsonl.zst";

/// See it work on a real history, within seconds
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where; made if it is not there, and left there at the end
    #[arg(long, value_name = "D", default_value = "annals-demo", value_hint = clap::ValueHint::DirPath)]
    dir: PathBuf,
}

/// What the scenes are played on.
struct Set {
    /// The embedded sample as a file, so that its import can be repeated by hand.
    sample: PathBuf,
    store: PathBuf,
}

/// The answer to `--format json`.
#[derive(Serialize)]
struct Answer {
    store: String,
    events_before: u64,
    events: u64,
    acknowledged: u64,
    present: u64,
    file_bytes: u64,
    /// The command that answers the request that waits.
    waiting: String,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    interrupt::listen();
    let set = Set { sample: args.dir.join(SAMPLE_NAME), store: args.dir.join("store") };
    prepare(&args.dir, &set)?;
    // Where the store cannot be read, the first scene says why.
    let before = open::reading(&set.store).map_or(0, |store| store.reader().tail().get());

    let mut nowhere = Out::nowhere();
    let stage_out = if format == Format::Table { &mut *out } else { &mut nowhere };
    let mut stage = Stage::new(stage_out);
    opening(&set, before, &mut stage)?;
    scenes::import(&set, &mut stage)?;
    scenes::look_back(&set, &mut stage)?;
    let (acknowledged, present) = killed::scene(&set, &mut stage)?;
    answer::adopt(&set)?;
    answer::scene(&set, &mut stage)?;
    #[cfg(feature = "sqlite")]
    {
        tables::scene(&set, &mut stage)?;
        tables::rebuilt(&set, &mut stage)?;
    }
    let left = answer::left(&set)?;

    let stats = open::reading(&set.store)?.stats();
    if format != Format::Table {
        let answer = Answer {
            store: set.store.display().to_string(),
            events_before: before,
            events: stats.tail.get(),
            acknowledged,
            present,
            file_bytes: stats.file_bytes,
            waiting: left,
        };
        return out.json(&answer, format);
    }
    ending(&set, stats.tail.get(), stats.file_bytes, &left, out)
}

/// Makes the directory and puts the sample there.
fn prepare(dir: &Path, set: &Set) -> Done {
    std::fs::create_dir_all(dir)
        .map_err(|error| Failure::io(format_args!("make the directory {}", dir.display()), &error))?;
    let is_there = std::fs::metadata(&set.sample).is_ok_and(|meta| meta.len() == SAMPLE.len() as u64);
    if is_there {
        return Ok(());
    }
    std::fs::write(&set.sample, SAMPLE)
        .map_err(|error| Failure::io(format_args!("write {}", set.sample.display()), &error))
}

fn opening(set: &Set, before: u64, stage: &mut Stage<'_>) -> Done {
    let store = set.store.display();
    if before == 0 {
        stage.say(format_args!("An event store in one directory: {store}. Every command below can be copied."))
    } else {
        stage.say(format_args!("{store} is there from before, with {}. Going on.", text::counted(before, "event")))
    }
}

fn ending(set: &Set, events: u64, file_bytes: u64, left: &str, out: &mut Out) -> Done {
    let store = shell_word(&set.store);
    out.line("")?;
    out.line(format_args!(
        "The store lies in {}: {} in {}. A request of an agent waits in it; to see it, and to let it through:",
        out.paint.bold(&store),
        text::counted(events, "event"),
        text::bytes(file_bytes)
    ))?;
    for command in [format!("annals requests {store} --for user:alice"), left.to_owned()] {
        out.line(format_args!("   {} {}", out.paint.dim("$"), out.paint.cyan(&command)))?;
    }
    out.line("`annals demo` again goes on from there; remove the directory to begin anew.")
}
