//! `annals check`: a receipt held against a head, without a store.

use std::path::PathBuf;

use annals::{Event, Head, Receipt, limits};
use clap::ValueHint;
use serde::Serialize;
use serde_json::value::RawValue;

use super::fail::{Code, Done, Failure};
use super::out::{Format, Out};
use super::{head, text};

/// Check a receipt against a head, without the store
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file that `receipt` printed; - is standard input
    #[arg(value_name = "RECEIPT", value_hint = ValueHint::FilePath)]
    receipt: PathBuf,
    /// The head that you trust, a file that `verify --head` printed; - is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    head: PathBuf,
}

#[derive(Serialize)]
struct Answer {
    good: bool,
    head: String,
    event: Box<RawValue>,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    if head::is_stdin(&args.receipt) && head::is_stdin(&args.head) {
        return Err(Failure::usage("receipt and head cannot both come from standard input"));
    }
    let head = head::read(&args.head)?;
    let bytes = head::bytes(&args.receipt, limits::RECEIPT_BYTES_MAX, "a receipt")?;
    let event = Receipt::from_json(&bytes)
        .and_then(|receipt| receipt.check(&head))
        .map_err(|error| head::of_file(&error, &args.receipt))?;
    match format {
        Format::Table => told(&event, &head, out),
        _ => {
            let shown = RawValue::from_string(event.to_json())
                .map_err(|error| Failure::new(Code::Failure, format!("the event cannot be JSON: {error}")))?;
            out.json(&Answer { good: true, head: head.to_string(), event: shown }, format)
        }
    }
}

/// All that is said here was read from what the root covers.
fn told(event: &Event, head: &Head, out: &mut Out) -> Done {
    let position = text::count(event.position().get());
    let among = text::counted(head.size, "event");
    out.line(format_args!("{}: position {position} of {among} of log {}", out.paint.green("proven"), head.log))?;
    let actor = event.actor().map(|actor| format!(" by {actor}")).unwrap_or_default();
    let line = format!(
        "{} version {}, {}{actor}, recorded {}, {} of data that match their digest",
        event.subject(),
        event.version(),
        event.event_type(),
        event.recorded_at(),
        text::bytes(event.data().len() as u64)
    );
    out.line(text::clean(&line))
}
