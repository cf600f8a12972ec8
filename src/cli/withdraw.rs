//! `annals withdraw`: who asked no longer wants it.

use annals::Command;

use super::answer::{self, Answer, Reason};
use super::args::needed_actor;
use super::fail::Done;
use super::out::{Format, Out};

/// Take back a request of your own, or your approval of what is not done yet
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
    let by = needed_actor(args.answer.actor.as_ref(), "a withdrawal")?;
    let request = args.answer.request;
    let command = Command::Withdraw { request, by, reason: args.reason.text() };
    let answered = answer::send(&path, &command)?;
    answer::tell("withdrawn", &answered, format, out)
}
