//! `annals explain`: how a request was decided, and on what authority.

use annals::{Decision, Explanation, Phase, RequestId};

use super::args::{StoreArg, request_id};
use super::fail::{Done, Failure};
use super::out::{Format, Out};
use super::{door, outcome, text};

/// Explain how a request was decided: by whom, and by which rule, grant or role that was in force then
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// The number of the request
    #[arg(value_name = "REQUEST", value_parser = request_id)]
    request: RequestId,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let explained = door::view(&path)?.explain(args.request).map_err(|error| Failure::of_flow(&error, &path))?;
    if format != Format::Table {
        return out.json(&explained, format);
    }
    let what = explained.event_type.trim_end_matches("requested").trim_end_matches('.');
    let title = format!("request {}: {what} of {}, by {}", explained.request, explained.subject, explained.actor);
    out.line(out.paint.bold(&text::clean(&title)))?;
    out.line(outcome::words(&explained.outcome, out.paint))?;
    if explained.decisions.is_empty() {
        out.line("")?;
        return out.line("Nobody has decided about it yet.");
    }
    for decision in &explained.decisions {
        out.line("")?;
        let when = format!("{} UTC, position {}", text::when(decision.at), decision.position);
        out.line(format_args!("{}  {}", out.paint.cyan(decision.phase.as_str()), out.paint.dim(&when)))?;
        paragraph(out, &told(&explained, decision))?;
        if decision.agrees == Some(false) {
            let otherwise = "Judged again by what was in force then, it would be decided otherwise.";
            out.line(format_args!("  {}", out.paint.yellow(otherwise)))?;
        }
    }
    Ok(())
}

fn paragraph(out: &mut Out, told: &str) -> Done {
    let room = out.width.map_or(usize::MAX, |width| width.saturating_sub(2).max(16));
    text::wrap(&text::clean(told), room).into_iter().try_for_each(|line| out.line(format!("  {}", line.trim_end())))
}

/// A decision in a few sentences: who, on what authority, what was in force.
fn told(explained: &Explanation, decision: &Decision) -> String {
    let mut sentences = vec![decided(decision)];
    sentences.extend(grant(decision));
    if matches!(decision.phase, Phase::Asked | Phase::Approved | Phase::Rejected) {
        sentences.extend(facts(explained, decision));
        sentences.push(match (&decision.policy_code, decision.policy) {
            (Some(code), _) => format!("The policy in force was code: {code}."),
            (None, Some(position)) => format!("The rules in force were those set at position {position}."),
            (None, None) => "No rules were set.".to_owned(),
        });
        if decision.agrees == Some(true) {
            sentences.push("Judged again by what was in force then, it comes out the same.".to_owned());
        }
    }
    sentences.join(" ")
}

/// Who decided what, and why.
fn decided(decision: &Decision) -> String {
    let rule = decision.rule.as_deref().filter(|rule| !rule.starts_with("grant/"));
    let reason = decision.reason.as_str();
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let by_person = decision.by.starts_with("user:");
    match (decision.phase, rule) {
        (Phase::Asked, Some(rule)) => format!("The rule {rule} left it to a person{because}."),
        (Phase::Asked, None) => format!("It was left to a person{because}."),
        (Phase::Approved, Some(rule)) if by_person => {
            let may = format!("The rule {rule} lets them make this change themselves.");
            format!("{} approved it{because}. {may}", decision.by)
        }
        (Phase::Approved, Some(rule)) => format!("The rule {rule} approved it."),
        (Phase::Approved, None) if by_person => format!("{} approved it{because}.", decision.by),
        (Phase::Approved, None) => format!("It was approved{because}."),
        (Phase::Rejected, _) if by_person => format!("{} rejected it{because}.", decision.by),
        (Phase::Rejected, Some(rule)) => format!("The rule {rule} rejected it{because}."),
        (Phase::Withdrawn, _) => format!("{} took it back{because}.", decision.by),
        (Phase::Expired, _) => format!("The clock ended it{because}."),
        (Phase::Failed, _) => format!("It could not be done{because}."),
        (Phase::Stale, _) => format!("What it was decided on has changed{because}."),
        (phase, _) => format!("{phase} by {}{because}.", decision.by),
    }
}

fn grant(decision: &Decision) -> Option<String> {
    let given = decision.grant.as_ref()?;
    let grant = &given.grant;
    let uses = grant.uses_max().map(|uses| format!(", {}", text::counted(uses, "use"))).unwrap_or_default();
    let until = grant.runs_out().map(|time| format!(", until {} UTC", text::when(time))).unwrap_or_default();
    Some(format!(
        "It stands on grant {}, by which {} lets agent:{} do {} to {}{uses}{until}.",
        given.id,
        given.by,
        grant.agent(),
        grant.action_pattern(),
        grant.subject_pattern()
    ))
}

/// Whose the subject was, where it belonged, and what the one who counts was there.
fn facts(explained: &Explanation, decision: &Decision) -> Option<String> {
    let subject = &explained.subject;
    let is_new = explained.event_type.ends_with(".create.requested");
    let whose = match &decision.owner {
        _ if is_new => format!("{subject} was new"),
        Some(owner) => format!("{subject} was {owner}'s"),
        None => format!("{subject} was nobody's"),
    };
    let who = if decision.by.starts_with("user:") { &decision.by } else { &explained.actor };
    match (&decision.workspace, decision.role) {
        (Some(workspace), Some(role)) => {
            Some(format!("{whose}, in workspace {workspace}, where {who} had the role {role}."))
        }
        (Some(workspace), None) => Some(format!("{whose}, in workspace {workspace}, where {who} had no role.")),
        (None, _) if is_new => None,
        (None, _) => Some(format!("{whose} and in no workspace.")),
    }
}
