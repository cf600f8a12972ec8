//! `annals grant`, `annals grants` and `annals revoke`: what agents may do without asking each time.

use std::path::Path;

use annals::{Actor, ActorKind, Command, Deadline, GivenGrant, Grant, GrantId, Position, Reply, Timestamp};
use clap::Subcommand;
use serde::Serialize;

use super::args::{StoreArg, actor, deadline, person};
use super::door::{self, Absent};
use super::fail::{Done, Failure};
use super::grid::{Cell, Column, Grid};
use super::out::{Format, Out};
use super::paint::Style;
use super::{request, text};

/// Let an agent do something without asking each time; revoke or list what was granted
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Add(AddArgs),
    /// Take a grant back; what was approved under it and is not done yet becomes stale
    Revoke {
        /// The number of the grant
        #[arg(value_name = "ID", value_parser = grant_id)]
        id: GrantId,
        /// The user who takes it back; ANNALS_ACTOR stands in for it, else who is logged in
        #[arg(long, value_name = "ACTOR", value_parser = actor)]
        actor: Option<Actor>,
    },
    /// List all grants, oldest first
    List,
}

/// Let an agent do something, as far as you could approve it
#[derive(Debug, clap::Args)]
struct AddArgs {
    /// The agent, such as agent:scribe
    #[arg(value_name = "AGENT", value_parser = agent)]
    agent: String,
    /// What: notes.update, notes.*
    #[arg(long, value_name = "PATTERN")]
    action: String,
    /// To what: note/*, note/n-1
    #[arg(long, value_name = "PATTERN")]
    subject: String,
    /// How often
    #[arg(long, value_name = "N")]
    uses: Option<u64>,
    /// How long: 7d, or a time
    #[arg(long, value_name = "7d|TIME", value_parser = deadline, allow_hyphen_values = true)]
    until: Option<Deadline>,
    /// The user who grants it; ANNALS_ACTOR stands in for it, else who is logged in
    #[arg(long, value_name = "ACTOR", value_parser = actor)]
    actor: Option<Actor>,
}

/// Show what agents may do without asking each time
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    store: StoreArg,
}

/// Take a grant back; what was approved under it and is not done yet becomes stale
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct RevokeArgs {
    #[command(flatten)]
    store: StoreArg,
    /// The number of the grant
    #[arg(value_name = "ID", value_parser = grant_id)]
    id: GrantId,
    /// The user who takes it back; ANNALS_ACTOR stands in for it, else who is logged in
    #[arg(long, value_name = "ACTOR", value_parser = actor)]
    actor: Option<Actor>,
}

fn grant_id(text: &str) -> Result<GrantId, String> {
    match text.parse::<Position>() {
        Ok(position) if position > Position::ORIGIN => Ok(position),
        _ => Err("give the number of a grant, such as 17; `annals grants STORE` lists them".to_owned()),
    }
}

fn agent(text: &str) -> Result<String, String> {
    let actor = actor(text)?;
    match actor.kind() {
        ActorKind::Agent | ActorKind::Unknown => Ok(actor.id().to_owned()),
        kind => Err(format!("{text} is of kind {kind}: grants are for agents, such as agent:scribe")),
    }
}

#[derive(Serialize)]
struct Added<'a> {
    id: GrantId,
    #[serde(flatten)]
    grant: &'a Grant,
    by: String,
}

#[derive(Serialize)]
struct Revoked {
    id: GrantId,
    position: Position,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    given: &'a GivenGrant,
    /// Whether it can be used now.
    live: bool,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    match &args.verb {
        Some(Verb::Add(asked)) => add(asked, &path, format, out),
        Some(Verb::Revoke { id, actor }) => revoke(*id, actor.as_ref(), &path, format, out),
        Some(Verb::List) | None => list(&path, format, out),
    }
}

pub(crate) fn run_list(args: &ListArgs, format: Format, out: &mut Out) -> Done {
    list(&args.store.path()?, format, out)
}

pub(crate) fn run_revoke(args: &RevokeArgs, format: Format, out: &mut Out) -> Done {
    revoke(args.id, args.actor.as_ref(), &args.store.path()?, format, out)
}

fn add(asked: &AddArgs, path: &Path, format: Format, out: &mut Out) -> Done {
    let by = person(asked.actor.as_ref())?;
    let mut grant = Grant::to(&asked.agent).action(&asked.action).subject(&asked.subject);
    if let Some(uses) = asked.uses {
        grant = grant.uses(uses);
    }
    if let Some(until) = asked.until {
        grant = grant.until(moment(until)?);
    }
    let command = Command::Grant { grant: grant.clone(), by: by.clone() };
    let Reply::Done { position: id } = door::run(path, Absent::Make, &command)? else {
        return Err(request::strange());
    };
    if format != Format::Table {
        return out.json(&Added { id, grant: &grant, by: by.id().to_owned() }, format);
    }
    let scope = scope(&grant);
    out.line(text::clean(&format!("grant {id}: agent:{} may do {scope}", grant.agent())))
}

/// The moment of a time to come.
fn moment(deadline: Deadline) -> Done<Timestamp> {
    match deadline {
        Deadline::At(time) => Ok(time),
        Deadline::Within(length) => Timestamp::now()
            .checked_add(length)
            .ok_or_else(|| Failure::usage("--until lies beyond the year 2262").hinting("give a shorter time")),
    }
}

fn scope(grant: &Grant) -> String {
    let uses = grant.uses_max().map(|uses| format!(", {}", text::counted(uses, "time"))).unwrap_or_default();
    let until = grant.runs_out().map(|time| format!(", until {} UTC", text::when(time))).unwrap_or_default();
    format!("{} to {}{uses}{until}", grant.action_pattern(), grant.subject_pattern())
}

fn revoke(id: GrantId, by: Option<&Actor>, path: &Path, format: Format, out: &mut Out) -> Done {
    let by = person(by)?;
    let Reply::Done { position } = door::run(path, Absent::Refuse, &Command::Revoke { grant: id, by })? else {
        return Err(request::strange());
    };
    if format != Format::Table {
        return out.json(&Revoked { id, position }, format);
    }
    out.line(format_args!("grant {id} is revoked, position {position}"))
}

fn list(path: &Path, format: Format, out: &mut Out) -> Done {
    let grants = door::view(path)?.grants().map_err(|error| Failure::of_flow(&error, path))?;
    let now = Timestamp::now();
    if format != Format::Table {
        let rows: Vec<Row<'_>> = grants.iter().map(|given| Row { given, live: given.is_live(now) }).collect();
        return out.json_list(&rows, format);
    }
    if grants.is_empty() {
        return out.line(out.paint.dim("no grants: every request of an agent is asked about"));
    }
    let mut grid = Grid::new([
        Column::number("grant"),
        Column::text("state").whole(),
        Column::text("agent"),
        Column::text("may do"),
        Column::text("to"),
        Column::number("used"),
        Column::text("until (UTC)").whole().left_out(1),
        Column::text("by").left_out(2),
    ]);
    for given in &grants {
        let grant = &given.grant;
        let (state, style) = state(given, now);
        let used = match grant.uses_max() {
            Some(uses) => format!("{} of {}", text::count(given.used), text::count(uses)),
            None => text::count(given.used),
        };
        let cells = [
            Cell::from(given.id.to_string()),
            Cell::styled(state, style),
            Cell::from(grant.agent()),
            Cell::from(grant.action_pattern()),
            Cell::from(grant.subject_pattern()),
            Cell::from(used),
            Cell::from(grant.runs_out().map(text::when).unwrap_or_default()),
            Cell::from(given.by.as_str()),
        ];
        grid.row(out, cells)?;
    }
    grid.settle(out)
}

fn state(given: &GivenGrant, now: Timestamp) -> (&'static str, Style) {
    match () {
        () if given.is_live(now) => ("live", Style::Green),
        () if given.revoked.is_some() => ("revoked", Style::Dim),
        () if given.grant.runs_out().is_some_and(|until| now >= until) => ("over", Style::Dim),
        () => ("used up", Style::Dim),
    }
}
