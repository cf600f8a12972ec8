//! What the verbs that answer a request have in common.

use std::path::Path;

use annals::{Actor, Answered, Command, OutcomeFields, Reply, RequestId};
use serde::Serialize;

use super::args::{StoreArg, actor, request_id};
use super::door::{self, Absent};
use super::fail::Done;
use super::out::{Format, Out};
use super::{outcome, request, text};

/// Which request, and who answers it.
#[derive(Debug, clap::Args)]
pub(crate) struct Answer {
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// The number of the request
    #[arg(value_name = "REQUEST", value_parser = request_id)]
    pub(crate) request: RequestId,
    /// Who does it, such as user:alice; ANNALS_ACTOR stands in for it
    #[arg(long, value_name = "ACTOR", value_parser = actor)]
    pub(crate) actor: Option<Actor>,
}

/// Why they do.
#[derive(Debug, clap::Args)]
pub(crate) struct Reason {
    /// Why; it stands in the log
    #[arg(long = "reason", value_name = "TEXT")]
    given: Option<String>,
}

impl Reason {
    pub(crate) fn text(&self) -> String {
        self.given.as_ref().map(|reason| text::clean(reason.trim()).into_owned()).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Told<'a> {
    request: RequestId,
    position: annals::Position,
    #[serde(flatten)]
    outcome: OutcomeFields<'a>,
}

/// Has a request answered.
pub(crate) fn send(path: &Path, command: &Command) -> Done<Answered> {
    match door::run(path, Absent::Refuse, command)? {
        Reply::Answered { answered } => Ok(answered),
        _ => Err(request::strange()),
    }
}

/// Says what an answer led to: `done` is what was done.
pub(crate) fn tell(done: &str, answered: &Answered, format: Format, out: &mut Out) -> Done {
    let (request, position, outcome) = (answered.request, answered.position, &answered.outcome);
    if format != Format::Table {
        return out.json(&Told { request, position, outcome: outcome.fields() }, format);
    }
    let words = match outcome.is_final() {
        true => outcome::words(outcome, out.paint),
        false => format!("{}, the application is to carry it out", out.paint.yellow(done)),
    };
    out.line(format_args!("request {request}: {words}"))
}
