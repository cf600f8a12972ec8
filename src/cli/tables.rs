//! `annals tables`: the catalogue of a store, and adding to it.

use annals::{Action, Actor, Catalog, Command, Reply, Store, Table};
use clap::Subcommand;
use serde::Serialize;

use super::args::{StoreArg, actor, person};
use super::door::Absent;
use super::fail::{Done, Failure};
use super::grid::{Cell, Column, Grid};
use super::out::{Format, Out};
use super::paint::Style;
use super::{door, open, request, text};

/// Show the tables of a store: the nine that every store has, and its own; or add one
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Show the event types that the tables generate instead
    #[arg(long)]
    types: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Add(AddArgs),
}

/// Add a table, or change what one adopts, indexes and is ruled by
#[derive(Debug, clap::Args)]
struct AddArgs {
    /// The table's name, such as notes
    #[arg(value_name = "NAME")]
    name: String,
    /// The kind of subject that its rows are; the name without its last s if not given
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Event types that exist already, and what each does to a row: note.created=create,note.deleted=delete
    #[arg(long, value_name = "TYPE=ACTION,..", value_delimiter = ',', value_parser = adoption)]
    adopt: Vec<(String, Action)>,
    /// Who owns rows of which no event says whose they are
    #[arg(long, value_name = "USER")]
    owner: Option<String>,
    /// A field by which rows are looked for; may be given several times
    #[arg(long, value_name = "FIELD")]
    index: Vec<String>,
    /// The rules that requests are held against
    #[arg(long, value_name = "NAME")]
    rules: Option<String>,
    /// The user who adds it; ANNALS_ACTOR stands in for it, else who is logged in
    #[arg(long, value_name = "ACTOR", value_parser = actor)]
    actor: Option<Actor>,
}

fn adoption(text: &str) -> Result<(String, Action), String> {
    let parts = text.rsplit_once('=').map(|(event_type, action)| (event_type, Action::parse(action)));
    match parts {
        Some((event_type, Some(action))) if !event_type.is_empty() => Ok((event_type.to_owned(), action)),
        _ => Err("give TYPE=create, TYPE=update or TYPE=delete".to_owned()),
    }
}

#[derive(Serialize)]
struct Row<'a> {
    table: &'a str,
    kind: &'a str,
    core: bool,
    adopts: Vec<Adopted<'a>>,
    owner: Option<&'a str>,
    indexes: Vec<&'a str>,
    rules: Option<&'a str>,
}

#[derive(Serialize)]
struct Adopted<'a> {
    #[serde(rename = "type")]
    event_type: &'a str,
    action: Action,
}

#[derive(Serialize)]
struct TypeRow {
    #[serde(rename = "type")]
    name: String,
}

#[derive(Serialize)]
struct Added<'a> {
    table: &'a str,
    position: u64,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    if let Some(Verb::Add(asked)) = &args.verb {
        // Everything that can be wrong with it is found before a store is made for it.
        let by = person(asked.actor.as_ref())?;
        let catalog = door::catalog(&path, Absent::Make)?;
        let table = asked.table(&catalog);
        let failed = |error| Failure::of_store(&error, &path);
        catalog.with(table.clone()).map_err(failed)?;
        let command = Command::AddTable { table: table.clone(), by: by.clone() };
        let own = |store: &Store| {
            let position = store.add_table(table.clone(), by).map_err(failed)?;
            Ok(Reply::Done { position })
        };
        let reply = door::run_with(&path, open::durability(&path, true)?, &command, own)?;
        let Reply::Done { position } = reply else { return Err(request::strange()) };
        if format != Format::Table {
            return out.json(&Added { table: table.name(), position: position.get() }, format);
        }
        let adopted: Vec<String> = table.adopts().map(|(name, action)| format!("{name} as {action}")).collect();
        let adopts = if adopted.is_empty() { String::new() } else { format!(", takes {}", adopted.join(", ")) };
        let rules = table.rules().map(|name| format!(", ruled by {name}")).unwrap_or_default();
        return out.line(text::clean(&format!(
            "table {} of kind {}{adopts}{rules}, position {position}",
            table.name(),
            table.kind()
        )));
    }
    let store = open::reading(&path)?;
    let catalog = store.catalog().map_err(|error| Failure::of_store(&error, &path))?;
    if args.types { types(&catalog, format, out) } else { list(&catalog, format, out) }
}

impl AddArgs {
    /// The table as it is asked for; of one that is there the kind stays what it is if no other is given.
    fn table(&self, catalog: &Catalog) -> Table {
        let mut table = Table::new(&self.name);
        let known = catalog.table(&self.name).map(Table::kind);
        if let Some(kind) = self.kind.as_deref().or(known) {
            table = table.with_kind(kind);
        }
        for (event_type, action) in &self.adopt {
            table = table.adopting(event_type, *action);
        }
        if let Some(owner) = &self.owner {
            table = table.with_owner(owner);
        }
        for field in &self.index {
            table = table.indexing(field);
        }
        match &self.rules {
            Some(rules) => table.with_rules(rules),
            None => table,
        }
    }
}

fn types(catalog: &Catalog, format: Format, out: &mut Out) -> Done {
    let rows: Vec<TypeRow> = catalog.event_types().map(|name| TypeRow { name }).collect();
    if format != Format::Table {
        return out.json_list(&rows, format);
    }
    for row in &rows {
        out.line(&row.name)?;
    }
    let decisions = catalog.decision_types().count() as u64;
    out.line(out.paint.dim(&format!(
        "{}, and {} of decisions",
        text::counted(rows.len() as u64, "type"),
        text::count(decisions)
    )))
}

fn list(catalog: &Catalog, format: Format, out: &mut Out) -> Done {
    let own = catalog.own_tables().len();
    let core = catalog.tables().len() - own;
    let rows: Vec<Row<'_>> = catalog
        .tables()
        .iter()
        .enumerate()
        .map(|(at, table)| Row {
            table: table.name(),
            kind: table.kind(),
            core: at < core,
            adopts: table.adopts().map(|(event_type, action)| Adopted { event_type, action }).collect(),
            owner: table.owner(),
            indexes: table.indexes().collect(),
            rules: table.rules(),
        })
        .collect();
    if format != Format::Table {
        return out.json_list(&rows, format);
    }
    let mut grid = Grid::new([
        Column::text("table").whole(),
        Column::text("kind").whole(),
        Column::text("from").whole(),
        Column::text("adopts").giving_way(),
        Column::text("indexes").left_out(2),
        Column::text("rules").left_out(2),
        Column::text("owner").left_out(1),
    ]);
    for row in &rows {
        let adopts: Vec<String> =
            row.adopts.iter().map(|adopted| format!("{}={}", adopted.event_type, adopted.action)).collect();
        let style = if row.core { Style::Dim } else { Style::Plain };
        grid.row(
            out,
            [
                Cell::styled(row.table, style),
                Cell::styled(row.kind, style),
                Cell::styled(if row.core { "core" } else { "own" }, style),
                Cell::from(adopts.join(", ")),
                Cell::from(row.indexes.join(", ")),
                Cell::from(row.rules.unwrap_or_default()),
                Cell::from(row.owner.unwrap_or_default()),
            ],
        )?;
    }
    grid.settle(out)?;
    out.line(out.paint.dim(&format!("{core} core tables, {own} own")))
}
