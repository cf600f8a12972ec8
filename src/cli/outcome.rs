//! What became of a request: as an exit code, in words, and as JSON.

use std::path::Path;
use std::time::Duration;

use annals::{Flow, Outcome, OutcomeFields, Page, Pending, Phase, Position, RequestEntry, RequestId, Ticketed};
use serde::Serialize;

use super::door;
use super::fail::{Code, Done, Failure, shell_word};
use super::out::{Format, Out};
use super::paint::{Paint, Style};
use super::text;

/// A request that was made.
#[derive(Serialize)]
struct Made<'a> {
    request: RequestId,
    subject: &'a str,
    /// The newest event of its life.
    position: Position,
    #[serde(flatten)]
    outcome: OutcomeFields<'a>,
    /// Where it waits: `requested`, `asked` or `approved`.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    duplicate: bool,
}

/// The exit code of a request that became this.
pub(crate) fn code(outcome: &Outcome) -> Code {
    match outcome {
        Outcome::Validated { .. } => Code::Ok,
        Outcome::Rejected { .. } => Code::Denied,
        Outcome::Failed { .. } => Code::Failure,
        Outcome::Stale { .. } | Outcome::Withdrawn | Outcome::Expired => Code::Conflict,
        _ => Code::Asked,
    }
}

/// Ends with the exit code of this; everything has been said.
pub(crate) fn end(outcome: &Outcome) -> Done {
    match code(outcome) {
        Code::Ok => Ok(()),
        code => Err(Failure::Quiet(code)),
    }
}

/// How an outcome looks.
pub(crate) fn style(outcome: &Outcome) -> Style {
    match outcome {
        Outcome::Validated { .. } => Style::Green,
        Outcome::Rejected { .. } | Outcome::Failed { .. } => Style::Red,
        Outcome::Pending => Style::Yellow,
        _ => Style::Cyan,
    }
}

/// The outcome in words, its name in its colour.
pub(crate) fn words(outcome: &Outcome, paint: Paint) -> String {
    let text = text::clean(&outcome.to_string()).into_owned();
    let name = outcome.fields().outcome;
    match text.strip_prefix(name) {
        Some(rest) => format!("{}{rest}", paint.style(style(outcome), name)),
        None => text,
    }
}

/// Whom a request is left to, in words.
pub(crate) fn whom(pending: &Pending) -> String {
    let names = pending.whom.iter().map(|whom| match whom.as_str() {
        "users" => "any user who could do it themselves",
        "editors" => "the editors of its workspace",
        name => name,
    });
    text::clean(&names.collect::<Vec<_>>().join(" or ")).into_owned()
}

/// The request of this number, as it stands in a view of the store.
pub(crate) fn entry(flow: &Flow, id: RequestId, path: &Path) -> Done<RequestEntry> {
    let before = Page::first(1).after(Position::new(id.get().saturating_sub(1)));
    let found = flow.requests(before).map_err(|error| Failure::of_flow(&error, path))?;
    found.into_iter().find(|entry| entry.request.request == id).ok_or_else(|| no_such_request(id, path))
}

pub(crate) fn no_such_request(id: RequestId, path: &Path) -> Failure {
    Failure::new(Code::NotFound, format!("no request has the number {id}, {}", path.display()))
        .hinting(format!("`annals requests {}` lists them; a number is the position of its event", shell_word(path)))
}

/// Says what became of a request that was made, once there is an outcome or the patience is at an end; and ends with
/// its exit code.
pub(crate) fn tell(
    path: &Path,
    made: &Ticketed,
    outcome: Outcome,
    wait: Option<Duration>,
    format: Format,
    out: &mut Out,
) -> Done {
    let (mut outcome, mut position) = (outcome, made.position);
    let mut waiting = None;
    if !outcome.is_final() {
        let flow = door::view(path)?;
        if let Some(wait) = wait {
            flow.outcome(made.request, wait).map_err(|error| Failure::of_flow(&error, path))?;
        }
        let entry = entry(&flow, made.request, path)?;
        (outcome, position) = (entry.outcome, entry.request.position);
        waiting = (!outcome.is_final()).then_some(entry.request);
    } else if let Outcome::Validated { position: at } = outcome {
        position = at;
    }
    if format == Format::Table {
        summary(path, made, &outcome, waiting.as_ref(), out)?;
    } else {
        let answer = Made {
            request: made.request,
            subject: &made.subject,
            position,
            outcome: outcome.fields(),
            state: waiting.as_ref().map(|pending| pending.state.as_str()),
            duplicate: made.duplicate,
        };
        out.json(&answer, format)?;
    }
    end(&outcome)
}

fn summary(path: &Path, made: &Ticketed, outcome: &Outcome, waiting: Option<&Pending>, out: &mut Out) -> Done {
    let again = if made.duplicate { " was made before" } else { "" };
    let subject = text::clean(&made.subject);
    let Some(pending) = waiting else {
        let words = words(outcome, out.paint);
        return out.line(format_args!("request {} of {subject}{again}: {words}", made.request));
    };
    let state = out.paint.yellow(pending.state.as_str());
    let who = match pending.state {
        Phase::Asked => format!("{state}, {} is to answer", whom(pending)),
        Phase::Approved => format!("{state}, the application is to carry it out"),
        _ => format!("{state}, the application that has the policy is to decide"),
    };
    out.line(format_args!("request {} of {subject}{again}: {who}", made.request))?;
    if let Some(because) = &pending.asked_because {
        out.line(format_args!("  because {}", text::clean(because)))?;
    }
    if pending.state == Phase::Asked {
        let only = pending.whom.first().filter(|whom| whom.starts_with("user:"));
        let only = only.map(|user| format!(" --for {}", text::clean(user))).unwrap_or_default();
        let command = format!("annals requests {}{only}", shell_word(path));
        out.line(format_args!("  to see and answer it: {}", out.paint.cyan(&command)))?;
    }
    Ok(())
}
