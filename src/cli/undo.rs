//! `annals undo`: the inverse of a change, as a request like any other.

use annals::{Command, Reply};

use super::answer::Answer;
use super::args::needed_actor;
use super::door::{self, Absent};
use super::fail::Done;
use super::out::{Format, Out};
use super::{outcome, request};

/// Request the inverse of a change that was made: of an update, only of the fields that it set
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Args {
    #[command(flatten)]
    answer: Answer,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.answer.store.path()?;
    let by = needed_actor(args.answer.actor.as_ref(), "undoing")?;
    let command = Command::Undo { request: args.answer.request, by };
    match door::run(&path, Absent::Refuse, &command)? {
        Reply::Made { ticketed, outcome } => outcome::tell(&path, &ticketed, outcome, None, format, out),
        _ => Err(request::strange()),
    }
}
