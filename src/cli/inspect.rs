//! `annals inspect`: what stands in one file of a store, byte by byte as the format says.

use std::path::PathBuf;

use super::fail::{Done, Failure};
use super::out::{Format, Out};
use super::text;

/// Decode one file of a store: segment, index, ANCHOR, LIVE
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file of a store
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let inspection = annals::inspect(&args.file).map_err(|error| Failure::of_store(&error, &args.file))?;
    match format {
        Format::Table => inspection.to_string().lines().try_for_each(|line| out.line(text::clean(line))),
        _ => out.json(&inspection, format),
    }
}
