//! QUERY: the flags that say which events, the same for every verb that reads many.

use std::path::Path;

use annals::{ActorKind, Query, Reader, Timestamp};
use clap::Args;

use super::args::{Place, actor, time};
use super::fail::Done;

/// Which events; without any flag, all.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Query (a flag given twice means either; --tag means both)")]
pub(crate) struct QueryArgs {
    /// Events of this subject
    #[arg(long, value_name = "KIND/ID")]
    subject: Vec<String>,
    /// Events whose subject is of this kind
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Events of this type; `*` stands for one part, a last `**` for one or more
    #[arg(long = "type", value_name = "PATTERN")]
    types: Vec<String>,
    /// Events with this tag
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Events of this actor: user:alice, agent:scribe, or a bare name of any kind
    #[arg(long, value_name = "ACTOR", value_parser = actor)]
    actor: Vec<annals::Actor>,
    /// Events done for this user
    #[arg(long, value_name = "USER")]
    on_behalf_of: Vec<String>,
    /// Events from this source
    #[arg(long, value_name = "SOURCE")]
    source: Vec<String>,
    /// Events of this correlation
    #[arg(long, value_name = "ID")]
    correlation: Vec<String>,
    /// Events that the event at P caused; P is a position or id:ID
    #[arg(long, value_name = "P")]
    caused_by: Vec<Place>,
    /// Events after P, which is excluded
    #[arg(long, value_name = "P")]
    pub(crate) after: Option<Place>,
    /// Events before P, which is excluded
    #[arg(long, value_name = "P")]
    before: Option<Place>,
    /// Recorded at TIME or later: 2026-11-01T14:00:00Z, 2026-11-01, -2h, `yesterday 14:00`
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    pub(crate) since: Option<Timestamp>,
    /// Recorded before TIME
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    until: Option<Timestamp>,
    /// Occurred at TIME or later, as its producer says
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    occurred_since: Option<Timestamp>,
    /// Occurred before TIME
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    occurred_until: Option<Timestamp>,
}

impl QueryArgs {
    /// The query of these flags; ids are looked up in the store.
    pub(crate) fn query(&self, reader: &Reader, store: &Path) -> Done<Query> {
        let mut query = Query::all();
        // An empty list would match nothing, and a flag that was not given is no list.
        if !self.subject.is_empty() {
            query = query.subjects(self.subject.iter());
        }
        if !self.kind.is_empty() {
            query = query.kinds(self.kind.iter());
        }
        if !self.types.is_empty() {
            query = query.types(self.types.iter());
        }
        query = self.tag.iter().fold(query, |query, tag| query.tag(tag));
        query = self.actor.iter().fold(query, |query, actor| match actor.kind() {
            ActorKind::Unknown => query.actor_id(actor.id()),
            _ => query.actor(actor.clone()),
        });
        query = self.on_behalf_of.iter().fold(query, |query, user| query.on_behalf_of(user));
        query = self.source.iter().fold(query, |query, source| query.source(source));
        query = self.correlation.iter().fold(query, |query, correlation| query.correlation(correlation));
        for cause in &self.caused_by {
            query = query.caused_by(cause.position(reader, store)?);
        }
        if let Some(after) = &self.after {
            query = query.after(after.position(reader, store)?);
        }
        if let Some(before) = &self.before {
            query = query.before(before.position(reader, store)?);
        }
        query = self.since.iter().fold(query, |query, time| query.since(*time));
        query = self.until.iter().fold(query, |query, time| query.until(*time));
        query = self.occurred_since.iter().fold(query, |query, time| query.occurred_since(*time));
        Ok(self.occurred_until.iter().fold(query, |query, time| query.occurred_until(*time)))
    }
}
