//! The catalogue: the tables of a store, the event types that they generate, and those that they adopt.
//!
//! A table stands for one kind of subject. It generates a type for each action in each phase,
//! `{table}.{action}.{phase}`; of these only `validated` says what became true. A history that was written without the
//! flow fills a table too, once the table *adopts* its types.
//!
//! The tables of a store are the nine core ones and those that were added, each by an event of the store
//! (`annals.table.added`), so that every process sees the same ones and a reader of the past the old ones.

mod constants;
mod names;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::subject;

pub use constants::types;

/// The type of the event that adds a table, or changes what it adopts and indexes.
pub(crate) const TABLE_ADDED: &str = "annals.table.added";
/// What such an event is about: this kind, and the table's name.
pub(crate) const TABLE_KIND: &str = "annals.table";

/// The metadata by which a `validated` create says whose the row is.
pub(crate) const OWNER: &str = "annals.owner";

/// What may be done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The row comes into being, with a whole object.
    Create,
    /// The row changes, by a JSON merge patch (RFC 7396).
    Update,
    /// The row goes.
    Delete,
}

impl Action {
    /// All of them.
    pub const ALL: [Action; 3] = [Action::Create, Action::Update, Action::Delete];

    /// As it stands in a type.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Update => "update",
            Action::Delete => "delete",
        }
    }

    /// The action of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.as_str() == name)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Somebody wants it.
    Requested,
    /// A person is asked.
    Asked,
    /// It may be done.
    Approved,
    /// It may not.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// Who wanted it no longer does.
    Withdrawn,
    /// It could not be done.
    Failed,
    /// What it was decided on has changed.
    Stale,
    /// It was done; the only phase that changes a row.
    Validated,
}

impl Phase {
    /// All of them.
    pub const ALL: [Phase; 9] = [
        Phase::Requested,
        Phase::Asked,
        Phase::Approved,
        Phase::Rejected,
        Phase::Expired,
        Phase::Withdrawn,
        Phase::Failed,
        Phase::Stale,
        Phase::Validated,
    ];

    /// As it stands in a type.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Requested => "requested",
            Phase::Asked => "asked",
            Phase::Approved => "approved",
            Phase::Rejected => "rejected",
            Phase::Expired => "expired",
            Phase::Withdrawn => "withdrawn",
            Phase::Failed => "failed",
            Phase::Stale => "stale",
            Phase::Validated => "validated",
        }
    }

    /// The phase of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.as_str() == name)
    }

    /// Whether it lies between or beside what is wanted and what was done.
    #[must_use]
    pub const fn is_decision(self) -> bool {
        !matches!(self, Phase::Requested | Phase::Validated)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A table: one kind of subject, as rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    name: String,
    kind: String,
    /// Types that exist already, and what each does to a row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    adopts: Vec<(String, Action)>,
    /// Who owns rows of which no event says whose they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// Top-level fields by which rows are looked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    indexes: Vec<String>,
    /// The rules that requests are held against, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rules: Option<String>,
}

impl Table {
    /// A table for the kind of subject that is called like it without the last `s`; a core table for the kind that it
    /// has.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Table {
        let name = name.into();
        let core = CORE.iter().find(|(core, _)| *core == name).map(|(_, kind)| *kind);
        let kind = core.unwrap_or_else(|| name.strip_suffix('s').unwrap_or(&name)).to_owned();
        Table { name, kind, adopts: Vec::new(), owner: None, indexes: Vec::new(), rules: None }
    }

    /// For this kind of subject.
    #[must_use]
    pub fn with_kind(mut self, kind: impl Into<String>) -> Table {
        self.kind = kind.into();
        self
    }

    /// Events of this type are taken for an action on a row. Never by itself: what was adopted changes rows without
    /// having been requested or approved.
    #[must_use]
    pub fn adopting(mut self, event_type: impl Into<String>, action: Action) -> Table {
        self.adopts.push((event_type.into(), action));
        self
    }

    /// Rows of which no event says whose they are belong to this user.
    #[must_use]
    pub fn with_owner(mut self, user: impl Into<String>) -> Table {
        self.owner = Some(user.into());
        self
    }

    /// Rows are looked for by this top-level field.
    #[must_use]
    pub fn indexing(mut self, field: impl Into<String>) -> Table {
        self.indexes.push(field.into());
        self
    }

    /// Requests are held against the rules of this name.
    #[must_use]
    pub fn with_rules(mut self, name: impl Into<String>) -> Table {
        self.rules = Some(name.into());
        self
    }

    /// The same without rules.
    pub(crate) fn without_rules(mut self) -> Table {
        self.rules = None;
        self
    }

    /// Whether it says nothing but its name and kind, and perhaps its rules.
    pub(crate) fn is_plain(&self) -> bool {
        self.adopts.is_empty() && self.owner.is_none() && self.indexes.is_empty()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kind of subject that its rows are.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The types that it adopted, and what each does.
    pub fn adopts(&self) -> impl ExactSizeIterator<Item = (&str, Action)> {
        self.adopts.iter().map(|(event_type, action)| (event_type.as_str(), *action))
    }

    /// Who owns rows of which no event says whose they are.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// The top-level fields by which rows are looked for.
    pub fn indexes(&self) -> impl ExactSizeIterator<Item = &str> {
        self.indexes.iter().map(String::as_str)
    }

    /// The name of the rules that its requests are held against.
    #[must_use]
    pub fn rules(&self) -> Option<&str> {
        self.rules.as_deref()
    }

    /// The type of an action in a phase.
    #[must_use]
    pub fn event_type(&self, action: Action, phase: Phase) -> String {
        format!("{}.{action}.{phase}", self.name)
    }

    /// The types whose events change its rows: `validated` ones, and those that it adopted.
    pub fn changing_types(&self) -> impl Iterator<Item = String> {
        let own = Action::ALL.into_iter().map(|action| self.event_type(action, Phase::Validated));
        own.chain(self.adopts.iter().map(|(event_type, _)| event_type.clone()))
    }

    /// What an event of this type does to a row of the table; `None` if it does nothing.
    #[must_use]
    pub fn action_of(&self, event_type: &str) -> Option<Action> {
        match parts(event_type) {
            Some((table, action, phase)) if table == self.name => {
                Action::parse(action).filter(|_| phase == Phase::Validated.as_str())
            }
            _ => self.adopts.iter().find(|(adopted, _)| adopted == event_type).map(|(_, action)| *action),
        }
    }
}

/// The tables of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    tables: Vec<Table>,
}

impl Default for Catalog {
    fn default() -> Catalog {
        Catalog::core()
    }
}

/// The one system type that no table generates: a webhook is to be delivered.
pub const WEBHOOK_DELIVER_REQUESTED: &str = "webhooks.deliver.requested";

/// The nine tables that every store has, with the kind of each.
const CORE: [(&str, &str); 9] = [
    ("entities", "entity"),
    ("documents", "document"),
    ("documentVersions", "documentVersion"),
    ("chatThreads", "chatThread"),
    ("conversationMessages", "conversationMessage"),
    ("webhookSubscriptions", "webhookSubscription"),
    ("apiKeys", "apiKey"),
    ("tags", "tag"),
    ("agents", "agent"),
];

impl Catalog {
    /// The nine tables that every store has.
    #[must_use]
    pub fn core() -> Catalog {
        Catalog { tables: CORE.iter().map(|(name, kind)| Table::new(*name).with_kind(*kind)).collect() }
    }

    /// All tables: the core ones first, then the others in the order in which they were added.
    #[must_use]
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The tables that were added to the core ones.
    #[must_use]
    pub fn own_tables(&self) -> &[Table] {
        self.tables.get(CORE.len()..).unwrap_or_default()
    }

    /// The table of a name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// The table whose rows are subjects of this kind.
    #[must_use]
    pub fn table_of_kind(&self, kind: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.kind == kind)
    }

    /// What an event of this type does to the row of its subject, and of which table; `None` if it changes none.
    #[must_use]
    pub fn action_of(&self, event_type: &str, subject: &str) -> Option<(&Table, Action)> {
        let table = self.table_of_kind(subject::kind_of(subject))?;
        Some((table, table.action_of(event_type)?))
    }

    /// The types that users and workers deal with: requested and validated of each action, and the one system type.
    /// 55 for the core tables.
    pub fn event_types(&self) -> impl Iterator<Item = String> {
        let phases = [Phase::Requested, Phase::Validated];
        self.generated(phases).chain(std::iter::once(WEBHOOK_DELIVER_REQUESTED.to_owned()))
    }

    /// The types that tell how a request fared in between: 189 for the core tables.
    pub fn decision_types(&self) -> impl Iterator<Item = String> {
        self.generated(Phase::ALL.into_iter().filter(|phase| phase.is_decision()))
    }

    fn generated(&self, phases: impl IntoIterator<Item = Phase>) -> impl Iterator<Item = String> {
        let phases: Vec<Phase> = phases.into_iter().collect();
        self.tables.iter().flat_map(move |table| {
            let phases = phases.clone();
            Action::ALL
                .into_iter()
                .flat_map(move |action| phases.clone().into_iter().map(move |phase| table.event_type(action, phase)))
        })
    }

    /// Whether a table generates this type, or it is the one system type.
    #[must_use]
    pub fn is_generated(&self, event_type: &str) -> bool {
        event_type == WEBHOOK_DELIVER_REQUESTED
            || parts(event_type).is_some_and(|(table, action, phase)| {
                self.table(table).is_some() && Action::parse(action).is_some() && Phase::parse(phase).is_some()
            })
    }

    /// Tells a table's definition from others.
    pub(crate) fn definition_id(table: &Table) -> u32 {
        // A table always has a text.
        xxhash_rust::xxh3::xxh3_64(&serde_json::to_vec(table).unwrap_or_default()) as u32
    }

    /// The catalogue with a table more; one of the same name is replaced, if its kind is the same.
    ///
    /// # Errors
    /// `Invalid` for names that cannot be, `Conflict` for a name, a kind or an adopted type that another table has;
    /// `Reserved` for core tables and names of SQL.
    pub fn with(mut self, table: Table) -> Result<Catalog> {
        table.check(&self)?;
        match self.tables.iter_mut().find(|known| known.name == table.name) {
            Some(known) => *known = table,
            None => self.tables.push(table),
        }
        Ok(self)
    }
}

impl Table {
    /// Whether the table can be among these.
    fn check(&self, catalog: &Catalog) -> Result<()> {
        let conflict = |text: String| Err(Error::new(ErrorKind::Conflict, text));
        names::check("table", &self.name)?;
        if let Some((name, _)) =
            CORE.iter().find(|(name, _)| name.eq_ignore_ascii_case(&self.name) && *name != self.name)
        {
            let text = format!("{name} is a core table, and SQL does not tell {} from it", self.name);
            return Err(Error::new(ErrorKind::Reserved, text).hinting("choose another name"));
        }
        names::check("kind", &self.kind)?;
        for other in &catalog.tables {
            if other.name == self.name {
                if other.kind != self.kind {
                    return conflict(format!("the table {} is of kind {}, which stays", self.name, other.kind));
                }
                continue;
            }
            // SQL does not tell upper case from lower.
            if other.name.eq_ignore_ascii_case(&self.name) {
                return conflict(format!(
                    "the table {} is there, and SQL does not tell it from {}",
                    other.name, self.name
                ));
            }
            let generated = |adopted: &str| parts(adopted).is_some_and(|(table, ..)| table == self.name);
            if let Some((adopted, _)) = other.adopts.iter().find(|(adopted, _)| generated(adopted)) {
                return conflict(format!(
                    "the table {} has adopted {adopted}, which {} would generate",
                    other.name, self.name
                ));
            }
            if other.kind == self.kind {
                return conflict(format!("the kind {} belongs to the table {}", self.kind, other.name));
            }
        }
        for (at, (event_type, _)) in self.adopts.iter().enumerate() {
            // What no event can have as its type would only be repeated in messages.
            let is_type =
                (1..=limits::TYPE_BYTES_MAX).contains(&event_type.len()) && !event_type.contains(char::is_control);
            if !is_type || event_type.starts_with("annals.") {
                return Err(Error::invalid(format!("{event_type:?} is no type that a table can adopt")));
            }
            if let Some((table, ..)) =
                parts(event_type).filter(|(table, ..)| *table == self.name || catalog.table(table).is_some())
            {
                return conflict(format!("{event_type} is generated by the table {table} and cannot be adopted"));
            }
            if self.adopts[..at].iter().any(|(other, _)| other == event_type) {
                return Err(Error::invalid(format!("{event_type} is adopted twice")));
            }
        }
        for field in &self.indexes {
            if field.is_empty() || field.len() > 255 || field.chars().any(char::is_control) {
                return Err(Error::invalid(format!("{field:?} is no name of a field")));
            }
        }
        Ok(())
    }
}

/// `{table}.{action}.{phase}` in its parts, whether or not they mean anything.
pub(crate) fn parts(event_type: &str) -> Option<(&str, &str, &str)> {
    let (table, rest) = subject::cut(event_type, b'.')?;
    let (action, phase) = subject::cut(rest, b'.')?;
    subject::cut(phase, b'.').is_none().then_some((table, action, phase))
}

#[cfg(test)]
mod tests;
