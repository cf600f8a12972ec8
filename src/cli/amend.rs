//! `annals amend`: something else takes the place of a request.

use annals::{Command, Outcome, OutcomeFields, Position, RequestId};
use serde::Serialize;

use super::answer::{self, Answer, Reason};
use super::args::needed_actor;
use super::data::Data;
use super::fail::Done;
use super::out::{Format, Out};
use super::{door, outcome};

/// Ask for something else in the place of a request: who made it withdraws it, a user who is asked rejects it
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Args {
    #[command(flatten)]
    answer: Answer,
    /// What takes its place: a JSON object, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: Data,
    #[command(flatten)]
    reason: Reason,
}

#[derive(Serialize)]
struct Told<'a> {
    request: RequestId,
    position: Position,
    #[serde(flatten)]
    outcome: OutcomeFields<'a>,
    successor: Option<Successor<'a>>,
}

#[derive(Serialize)]
struct Successor<'a> {
    request: RequestId,
    subject: &'a str,
    position: Position,
    #[serde(flatten)]
    outcome: OutcomeFields<'a>,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.answer.store.path()?;
    let by = needed_actor(args.answer.actor.as_ref(), "an amendment")?;
    let data = args.data.object()?;
    let request = args.answer.request;
    let command = Command::Amend { request, by, data, reason: args.reason.text() };
    let answered = answer::send(&path, &command)?;
    let Some(made) = &answered.successor else { return answer::tell("amended", &answered, format, out) };
    if format == Format::Table {
        answer::tell("amended", &answered, format, out)?;
        return outcome::tell(&path, made, Outcome::Pending, None, format, out);
    }
    let entry = outcome::entry(&door::view(&path)?, made.request, &path)?;
    let successor = Successor {
        request: made.request,
        subject: &made.subject,
        position: entry.request.position,
        outcome: entry.outcome.fields(),
    };
    let told =
        Told { request, position: answered.position, outcome: answered.outcome.fields(), successor: Some(successor) };
    out.json(&told, format)?;
    outcome::end(&entry.outcome)
}
