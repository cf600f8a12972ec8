//! `annals receipt`: the proof of one event, for whoever has a head and no store.

use std::path::PathBuf;

use clap::ValueHint;

use super::args::{Place, StoreArg};
use super::fail::{Done, Failure};
use super::out::{Format, Out};
use super::{head, open};

/// Print the proof that one event is in the history, to be checked without the store
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// A position such as 17, or id:ID
    #[arg(value_name = "POSITION|id:ID")]
    place: Place,
    /// Prove it for a head printed earlier by `verify --head`, not for that of now; - is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    head: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let head = args.head.as_deref().map(head::read).transpose()?;
    let store = open::reading(&path)?;
    let position = args.place.existing(&store.reader(), &path)?;
    let receipt = store.receipt(position, head.as_ref()).map_err(|error| {
        let failure = Failure::of_store(&error, &path);
        match error.kind() {
            annals::ErrorKind::NotFound => failure.hinting("the head is older than the event; take a later one"),
            _ => failure,
        }
    })?;
    out.json(&receipt, format)
}
