//! `annals reject`: a user rejects a request.

use annals::Command;

use super::answer::{self, Answer, Reason};
use super::args::needed_actor;
use super::fail::Done;
use super::out::{Format, Out};

/// Reject a request
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Args {
    #[command(flatten)]
    answer: Answer,
    #[command(flatten)]
    reason: Reason,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.answer.store.path()?;
    let by = needed_actor(args.answer.actor.as_ref(), "a rejection")?;
    let request = args.answer.request;
    let command = Command::Reject { request, by, reason: args.reason.text() };
    let answered = answer::send(&path, &command)?;
    answer::tell("rejected", &answered, format, out)
}
