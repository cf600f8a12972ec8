//! `annals requests`: what waits for an answer, and what became of the rest.

use std::path::Path;

use annals::{Action, Actor, ActorKind, Flow, Page, Pending, Phase, RequestEntry, RequestId, Timestamp};

use super::args::{StoreArg, actor, request_id, writing_actor};
use super::door;
use super::fail::{Done, Failure, note, shell_word};
use super::grid::{Cell, Column, Grid};
use super::out::{Format, Out};
use super::{diff, outcome, text};

/// Requests that are read at a time.
const PAGE: usize = 256;
/// Requests that a person is shown, if nothing else is said.
const SHOWN: usize = 20;
/// Lines of a field that are shown in a list.
const LINES_MAX: usize = 24;
/// Columns of the names before what is told.
const NAME_COLUMNS: usize = 8;

/// Show the requests of a store: what waits for an answer as a difference, and what became of the others
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Only those that wait, oldest first
    #[arg(long)]
    pending: bool,
    /// Only those that wait for this user to answer
    #[arg(long = "for", value_name = "USER", value_parser = actor)]
    whom: Option<Actor>,
    /// At most so many: of those that wait the oldest, else the newest; a person is shown 20 if nothing is said
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Only those behind this request
    #[arg(long, value_name = "REQUEST", value_parser = request_id)]
    after: Option<RequestId>,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let flow = door::view(&path)?;
    let limit = args.limit.unwrap_or(if format == Format::Table { SHOWN } else { usize::MAX });
    if args.pending || args.whom.is_some() {
        return pending(args, &flow, &path, limit, format, out);
    }
    let failed = |error| Failure::of_flow(&error, &path);
    if format == Format::Jsonl && args.limit.is_none() {
        // Any number of them, in constant memory.
        let mut after = args.after.unwrap_or_default();
        loop {
            let page = flow.requests(Page::first(PAGE).after(after)).map_err(failed)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.request.request;
            page.iter().try_for_each(|entry| out.json(entry, format))?;
        }
    }
    // One more than is shown tells whether there are more.
    let page = Page::last(limit.saturating_add(1)).after(args.after.unwrap_or_default());
    let mut entries = flow.requests(page).map_err(failed)?;
    let older = entries.len().saturating_sub(limit);
    entries.drain(..older);
    if format != Format::Table {
        return out.json_list(&entries, format);
    }
    if entries.is_empty() {
        return out.line(out.paint.dim("no requests"));
    }
    let (waiting, ended): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| !entry.outcome.is_final());
    table(&ended, out)?;
    for (at, entry) in waiting.iter().enumerate() {
        if at > 0 || !ended.is_empty() {
            out.line("")?;
        }
        block(&entry.request, Some(LINES_MAX), out)?;
        command(&entry.request, &path, None, out)?;
    }
    if older > 0 {
        out.flush()?;
        note("older ones are left out; --limit N shows more, --pending all that wait");
    }
    Ok(())
}

fn pending(args: &Args, flow: &Flow, path: &Path, limit: usize, format: Format, out: &mut Out) -> Done {
    let whom = args.whom.as_ref().map(|actor| match actor.kind() {
        // A name without a kind before it is a user's: nobody else is asked.
        ActorKind::Unknown => Actor::user(actor.id()),
        _ => actor.clone(),
    });
    // One more than is shown tells whether there are more.
    let page = Page::first(limit.saturating_add(1)).after(args.after.unwrap_or_default());
    let found = match &whom {
        Some(actor) => flow.pending_for(actor, page),
        None => flow.pending(page),
    };
    let mut found = found.map_err(|error| Failure::of_flow(&error, path))?;
    let is_cut = found.len() > limit;
    found.truncate(limit);
    if format != Format::Table {
        return out.json_list(&found, format);
    }
    if found.is_empty() {
        let nobody = whom.map_or_else(|| "nothing waits".to_owned(), |actor| format!("nothing waits for {actor}"));
        return out.line(out.paint.dim(&text::clean(&nobody)));
    }
    for (at, request) in found.iter().enumerate() {
        if at > 0 {
            out.line("")?;
        }
        block(request, Some(LINES_MAX), out)?;
        command(request, path, whom.as_ref(), out)?;
    }
    if let Some(last) = found.last().filter(|_| is_cut) {
        out.flush()?;
        note(format_args!("more wait; --after {} shows the next ones, --limit N more at once", last.request));
    }
    Ok(())
}

/// Those that have ended, one a line.
fn table(ended: &[RequestEntry], out: &mut Out) -> Done {
    let mut grid = Grid::new([
        Column::number("request"),
        Column::text("requested (UTC)").whole().left_out(1),
        Column::text("who"),
        Column::text("what"),
        Column::text("subject"),
        Column::text("outcome").giving_way(),
    ]);
    for entry in ended {
        let request = &entry.request;
        let told = entry.outcome.to_string();
        let cells = [
            Cell::from(request.request.to_string()),
            Cell::from(text::when(request.requested_at)),
            Cell::from(who(request)),
            Cell::from(request.action.as_str()),
            Cell::from(request.subject.as_str()),
            Cell::styled(told, outcome::style(&entry.outcome)),
        ];
        grid.row(out, cells)?;
    }
    grid.settle(out)
}

fn who(request: &Pending) -> String {
    match &request.on_behalf_of {
        Some(user) => format!("{} for {user}", request.actor),
        None => request.actor.to_string(),
    }
}

/// All that somebody who answers has to know about a request.
pub(crate) fn block(request: &Pending, lines_max: Option<usize>, out: &mut Out) -> Done {
    let now = Timestamp::now();
    let verb = match request.action {
        Action::Create => "create",
        Action::Update => "change",
        Action::Delete => "delete",
    };
    let title = format!("request {}: {verb} {}", request.request, text::clean(&request.subject));
    out.line(out.paint.bold(&title))?;
    named(out, "who", &format!("{}, {}", who(request), text::from_now(request.requested_at, now)))?;
    if let Some(because) = &request.asked_because {
        named(out, "why", because)?;
    }
    let asked = match request.state {
        Phase::Asked => outcome::whom(request),
        Phase::Approved => "nobody: it is approved, and the application is to carry it out".to_owned(),
        _ => "nobody yet: the application that has the policy is to decide".to_owned(),
    };
    named(out, "asked", &asked)?;
    if let Some(time) = request.answer_by {
        named(out, "expires", &format!("{}, {} UTC", text::from_now(time, now), text::when(time)))?;
    }
    if let Some(time) = request.execute_by {
        named(out, "do by", &format!("{}, {} UTC", text::from_now(time, now), text::when(time)))?;
    }
    diff::print(out, 2, &request.differences, lines_max)
}

/// The exact command that approves a request as it is shown.
fn command(request: &Pending, path: &Path, reader: Option<&Actor>, out: &mut Out) -> Done {
    if request.state != Phase::Asked {
        return Ok(());
    }
    let digest = &request.digest;
    let by = answerer(request, reader);
    let command = format!("annals approve {} {} --actor {by} --seen {digest}", shell_word(path), request.request);
    // Never cut nor broken: it is there to be copied.
    out.line(out.paint.cyan(&text::clean(&command)))
}

/// Who is to answer, as far as it can be told.
fn answerer(request: &Pending, reader: Option<&Actor>) -> String {
    if let Some(reader) = reader {
        return reader.to_string();
    }
    let only = request.whom.iter().find(|whom| whom.starts_with("user:")).cloned();
    let own = || writing_actor(None).ok().flatten().filter(|actor| actor.kind() == ActorKind::User);
    only.or_else(|| own().map(|actor| actor.to_string())).unwrap_or_else(|| "user:NAME".to_owned())
}

/// A name and what is told under it, in as many lines as it takes.
pub(crate) fn named(out: &mut Out, name: &str, told: &str) -> Done {
    let room = out.width.map_or(usize::MAX, |width| width.saturating_sub(NAME_COLUMNS + 3).max(16));
    for (at, line) in text::wrap(&text::clean(told), room).into_iter().enumerate() {
        let name = if at == 0 { name } else { "" };
        let name = out.paint.dim(&format!("{name:NAME_COLUMNS$}"));
        out.line(format_args!("  {name} {}", line.trim_end()))?;
    }
    Ok(())
}
