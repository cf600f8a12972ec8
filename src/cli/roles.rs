//! `annals roles`: what users are in workspaces.

use std::path::Path;

use annals::{Actor, Command, Position, Reply, Role};
use clap::{Subcommand, ValueEnum};
use serde::Serialize;

use super::args::{StoreArg, actor, person, user};
use super::door::{self, Absent};
use super::fail::{Done, Failure};
use super::grid::{Cell, Column, Grid};
use super::out::{Format, Out};
use super::{request, text};

/// Show what users are in workspaces, or give a user a role
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Set(SetArgs),
    /// List all roles
    List,
}

/// Give a user a role; the first one of a workspace any user may give, the others its owners
#[derive(Debug, clap::Args)]
struct SetArgs {
    /// The user, such as alice
    #[arg(value_name = "USER", value_parser = user)]
    user: String,
    /// owner: changes what is there and gives roles; editor: changes; viewer: sees; none: has no role any more
    #[arg(value_name = "ROLE")]
    role: Given,
    /// The workspace; requests belong to it by the tag workspace:NAME
    #[arg(long, value_name = "NAME")]
    workspace: String,
    /// The user who gives it; ANNALS_ACTOR stands in for it, else who is logged in
    #[arg(long, value_name = "ACTOR", value_parser = actor)]
    actor: Option<Actor>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Given {
    Owner,
    Editor,
    Viewer,
    None,
}

#[derive(Serialize)]
struct Told<'a> {
    user: &'a str,
    workspace: &'a str,
    role: Option<Role>,
    position: Position,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    match &args.verb {
        Some(Verb::Set(asked)) => set(asked, &path, format, out),
        Some(Verb::List) | None => list(&path, format, out),
    }
}

fn set(asked: &SetArgs, path: &Path, format: Format, out: &mut Out) -> Done {
    let by = person(asked.actor.as_ref())?;
    let role = match asked.role {
        Given::Owner => Some(Role::Owner),
        Given::Editor => Some(Role::Editor),
        Given::Viewer => Some(Role::Viewer),
        Given::None => None,
    };
    let (user, workspace) = (asked.user.as_str(), asked.workspace.as_str());
    let command = Command::SetRole { user: user.to_owned(), workspace: workspace.to_owned(), role, by };
    let Reply::Done { position } = door::run(path, Absent::Make, &command)? else { return Err(request::strange()) };
    if format != Format::Table {
        return out.json(&Told { user, workspace, role, position }, format);
    }
    let is = role.map_or_else(|| "has no role any more".to_owned(), |role| format!("is {role}"));
    out.line(text::clean(&format!("{user} {is} in workspace {workspace}, position {position}")))
}

fn list(path: &Path, format: Format, out: &mut Out) -> Done {
    let roles = door::view(path)?.roles().map_err(|error| Failure::of_flow(&error, path))?;
    if format != Format::Table {
        return out.json_list(&roles, format);
    }
    if roles.is_empty() {
        return out.line(out.paint.dim("no roles: everybody changes what is theirs"));
    }
    let mut grid = Grid::new([Column::text("workspace"), Column::text("user"), Column::text("role").whole()]);
    for entry in &roles {
        let cells = [Cell::from(entry.workspace.as_str()), Cell::from(entry.user.as_str())];
        grid.row(out, cells.into_iter().chain([Cell::from(entry.role.as_str())]))?;
    }
    grid.settle(out)
}
