//! `annals trace`: a request's whole life on one screen, from what led to it to what it caused.

use std::collections::BTreeMap;
use std::time::Duration;

use annals::{Event, OutcomeFields, Phase, Position, RequestId, StaleBecause, Timestamp, Trace};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::args::{StoreArg, request_id};
use super::fail::{Code, Done, Failure};
use super::grid::{Cell, Column, Grid};
use super::out::{Format, Out};
use super::paint::Style;
use super::{door, outcome, text};

/// Show a request's whole life: what led to it, who decided, and what it caused
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// The number of the request
    #[arg(value_name = "REQUEST", value_parser = request_id)]
    request: RequestId,
}

#[derive(Serialize)]
struct Told<'a> {
    request: RequestId,
    #[serde(flatten)]
    outcome: OutcomeFields<'a>,
    /// As `annals log --format jsonl` shows them.
    events: Vec<Box<RawValue>>,
    /// More was caused than is shown.
    cut: bool,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let trace = door::view(&path)?.trace(args.request).map_err(|error| Failure::of_flow(&error, &path))?;
    match format {
        Format::Table => table(&trace, out),
        Format::Jsonl => trace.events.iter().try_for_each(|event| out.line(event.to_json())),
        _ => {
            let events = trace.events.iter().map(|event| RawValue::from_string(event.to_json()));
            let events = events.collect::<Result<_, _>>();
            let events = events.map_err(|error| Failure::new(Code::Failure, error.to_string()))?;
            let outcome = trace.outcome.fields();
            out.json(&Told { request: trace.request, outcome, events, cut: trace.is_cut }, format)
        }
    }
}

fn table(trace: &Trace, out: &mut Out) -> Done {
    let Some(requested) = trace.events.iter().find(|event| event.position() == trace.request) else { return Ok(()) };
    let what = requested.event_type().trim_end_matches("requested").trim_end_matches('.');
    let title = format!("request {}: {what} of {}", trace.request, requested.subject());
    out.line(out.paint.bold(&text::clean(&title)))?;
    out.line(outcome::words(&trace.outcome, out.paint))?;
    out.line("")?;
    let mut grid = Grid::new([
        Column::number("time").styled(Style::Dim),
        Column::number("position").left_out(2),
        Column::text("what").whole(),
        Column::text("who"),
        Column::text("why").giving_way(),
    ]);
    let mut depths: BTreeMap<Position, usize> = BTreeMap::new();
    for event in &trace.events {
        let depth = event.causation().and_then(|cause| depths.get(&cause)).map_or(0, |depth| depth + 1);
        depths.insert(event.position(), depth);
        let name = event.event_type().strip_prefix(what).and_then(|rest| rest.strip_prefix('.'));
        let phase = name.filter(|_| event.subject() == requested.subject()).and_then(Phase::parse);
        let name = phase.map_or(event.event_type(), |phase| phase.as_str());
        let cells = [
            Cell::from(since(requested.recorded_at(), event.recorded_at())),
            Cell::from(event.position().to_string()),
            Cell::styled(format!("{}{name}", "  ".repeat(depth)), style(phase)),
            Cell::from(who(event)),
            Cell::from(why(phase, event)),
        ];
        grid.row(out, cells)?;
    }
    grid.settle(out)?;
    if trace.is_cut {
        out.line(out.paint.dim("… more was caused than is shown"))?;
    }
    Ok(())
}

/// How long after the request, or before it.
fn since(requested: Timestamp, time: Timestamp) -> String {
    let nanos = i128::from(time.as_nanos()) - i128::from(requested.as_nanos());
    let length = Duration::from_nanos(u64::try_from(nanos.unsigned_abs()).unwrap_or(u64::MAX));
    let length = if length.as_secs() < 60 { text::span(length) } else { text::roughly(length) };
    match nanos {
        0 => "0".to_owned(),
        1.. => format!("+{length}"),
        _ => format!("-{length}"),
    }
}

fn who(event: &Event) -> String {
    let actor = event.actor().map(|actor| actor.to_string()).unwrap_or_default();
    match event.on_behalf_of() {
        Some(user) => format!("{actor} for {user}"),
        None => actor,
    }
}

fn style(phase: Option<Phase>) -> Style {
    match phase {
        Some(Phase::Validated | Phase::Approved) => Style::Green,
        Some(Phase::Rejected | Phase::Failed) => Style::Red,
        Some(Phase::Asked) => Style::Yellow,
        Some(Phase::Expired | Phase::Withdrawn | Phase::Stale) => Style::Cyan,
        Some(Phase::Requested) | None => Style::Plain,
    }
}

/// What an event of the flow says in reason of itself.
fn why(phase: Option<Phase>, event: &Event) -> String {
    let data: Value = event.json().unwrap_or_default();
    let text = |name: &str| data.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let rule =
        text("rule").map(|rule| if rule.starts_with("grant/") { rule.to_owned() } else { format!("rule {rule}") });
    match phase {
        Some(Phase::Asked) => text("because").unwrap_or_default().to_owned(),
        Some(Phase::Stale) => {
            let because = data.get("because").cloned().unwrap_or_default();
            let because = serde_json::from_value::<StaleBecause>(because).map(|because| because.to_string());
            because.unwrap_or_default()
        }
        Some(Phase::Expired) => {
            format!("nobody answered before {}", text("answer_by").unwrap_or_default())
        }
        Some(Phase::Requested | Phase::Validated) => String::new(),
        Some(_) => match (text("reason"), rule) {
            (Some(reason), Some(rule)) => format!("{reason} ({rule})"),
            (Some(reason), None) => reason.to_owned(),
            (None, rule) => rule.unwrap_or_default(),
        },
        None => text("url").or(text("reason")).unwrap_or_default().to_owned(),
    }
}
