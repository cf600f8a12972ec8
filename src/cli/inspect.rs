//! `annals inspect`: what stands in one file of a store, byte by byte as the format says.

use std::path::PathBuf;

use annals::InspectOptions;

use super::fail::{Code, Done, Failure};
use super::out::{Format, Out};
use super::text;

/// Decode one file of a store: segment, raw or sealed, index, ANCHOR, LIVE
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file of a store, or the store for a list of them
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Show every frame or block of a segment, not the first and the last ones alone
    #[arg(long)]
    all_frames: bool,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let inspection = InspectOptions::new()
        .all_frames(args.all_frames)
        .inspect(&args.file)
        .map_err(|error| Failure::of_store(&error, &args.file))?;
    match format {
        Format::Table => inspection.to_string().lines().try_for_each(|line| out.line(text::clean(line))),
        _ => out.json(&inspection, format),
    }?;
    out.flush()?;
    if inspection.is_good() {
        return Ok(());
    }
    let file = args.file.display();
    match inspection.problems.len() as u64 + inspection.more_problems {
        0 => Err(Failure::new(Code::NotFound, format!("no file of a store, {file}"))),
        problems => Err(Failure::new(Code::Corruption, format!("{}, {file}", text::counted(problems, "problem")))
            .hinting("a segment that is being written may end in an unfinished frame; `annals verify` judges a store")),
    }
}
