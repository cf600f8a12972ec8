//! Random queries, and what they mean: a second, naive reading of the documentation.

use annals::{Actor, ActorKind, Position, Query, Timestamp};

use super::{ACTOR_KINDS, ACTORS, CORRELATIONS, KINDS, PATTERNS, Plain, Rng, SOURCES, SUBJECTS, TAGS, TYPES};

/// One alternative of a query; `None` is no constraint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemSpec {
    pub subjects: Option<Vec<String>>,
    pub kinds: Option<Vec<String>>,
    pub types: Option<Vec<String>>,
    pub tags: Vec<String>,
    pub actors: Option<Vec<(Option<ActorKind>, String)>>,
    pub on_behalf_of: Option<Vec<String>>,
    pub sources: Option<Vec<String>>,
    pub correlations: Option<Vec<String>>,
    pub causes: Option<Vec<u64>>,
    pub after: Option<u64>,
    pub before: Option<u64>,
    pub since: Option<i64>,
    pub until: Option<i64>,
    pub occurred_since: Option<i64>,
    pub occurred_until: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuerySpec {
    /// An event matches any of these.
    pub items: Vec<ItemSpec>,
    pub rev: bool,
    pub limit: Option<u64>,
}

fn list(rng: &mut Rng, from: &[&str], may_be_empty: bool) -> Vec<String> {
    let shortest = usize::from(!may_be_empty || !rng.happens(1));
    (0..shortest + rng.index(2)).map(|_| rng.text(from)).collect()
}

impl ItemSpec {
    /// A random alternative over a log of so many events, recorded between these times in ns.
    pub fn random(rng: &mut Rng, tail: u64, times: (i64, i64)) -> ItemSpec {
        let mut item = ItemSpec::default();
        let time = |rng: &mut Rng| {
            let span = times.1.saturating_sub(times.0).clamp(1, i64::MAX - 400) as u64;
            match rng.below(20) {
                0 => i64::MIN,
                1 => i64::MAX,
                _ => (times.0 - 100).saturating_add(rng.below(span + 200) as i64),
            }
        };
        let position = |rng: &mut Rng| match rng.below(24) {
            0 => 0,
            1 => u64::MAX,
            _ => rng.below(tail + 3),
        };
        for _ in 0..1 + rng.below(3) {
            match rng.below(15) {
                0 | 1 => item.subjects = Some(list(rng, SUBJECTS, true)),
                2 => item.kinds = Some(list(rng, KINDS, true)),
                3 | 4 => item.types = Some(list(rng, PATTERNS, true)),
                5 => item.tags = (0..1 + rng.below(3)).map(|_| rng.text(TAGS)).collect(),
                6 => {
                    let actor = |rng: &mut Rng| (rng.happens(10).then(|| *rng.pick(ACTOR_KINDS)), rng.text(ACTORS));
                    item.actors = Some((0..1 + rng.below(2)).map(|_| actor(rng)).collect());
                }
                7 => item.on_behalf_of = Some(list(rng, ACTORS, false)),
                8 => item.sources = Some(list(rng, SOURCES, false)),
                9 => item.correlations = Some(list(rng, CORRELATIONS, false)),
                10 => item.causes = Some((0..1 + rng.below(2)).map(|_| rng.below(22)).collect()),
                11 => item.after = Some(position(rng)),
                12 => item.before = Some(position(rng)),
                13 => {
                    item.since = rng.happens(10).then(|| time(rng));
                    item.until = rng.happens(10).then(|| time(rng));
                }
                _ => {
                    item.occurred_since = rng.happens(10).then(|| time(rng));
                    item.occurred_until = rng.happens(10).then(|| time(rng));
                }
            }
        }
        item
    }

    fn query(&self) -> Query {
        let mut query = Query::all();
        // One by one and all together are the same; an empty list has to be given as one.
        query = match self.subjects.as_deref() {
            None => query,
            Some([subject]) => query.subject(subject),
            Some(subjects) => query.subjects(subjects),
        };
        query = match self.kinds.as_deref() {
            None => query,
            Some([kind]) => query.kind(kind),
            Some(kinds) => query.kinds(kinds),
        };
        if let Some(patterns) = &self.types {
            query = query.types(patterns);
        }
        for tag in &self.tags {
            query = query.tag(tag);
        }
        for (kind, id) in self.actors.iter().flatten() {
            query = match kind {
                Some(kind) => query.actor(Actor::new(*kind, id)),
                None => query.actor_id(id),
            };
        }
        for user in self.on_behalf_of.iter().flatten() {
            query = query.on_behalf_of(user);
        }
        for source in self.sources.iter().flatten() {
            query = query.source(source);
        }
        for correlation in self.correlations.iter().flatten() {
            query = query.correlation(correlation);
        }
        for cause in self.causes.iter().flatten() {
            query = query.caused_by(*cause);
        }
        let time = Timestamp::from_nanos;
        query = self.after.map_or(query.clone(), |after| query.after(after));
        query = self.before.map_or(query.clone(), |before| query.before(Position::new(before)));
        query = self.since.map_or(query.clone(), |since| query.since(time(since)));
        query = self.until.map_or(query.clone(), |until| query.until(time(until)));
        query = self.occurred_since.map_or(query.clone(), |since| query.occurred_since(time(since)));
        self.occurred_until.map_or(query.clone(), |until| query.occurred_until(time(until)))
    }

    pub fn matches(&self, event: &Plain) -> bool {
        fn is_in<T>(list: &Option<Vec<T>>, test: impl Fn(&T) -> bool) -> bool {
            match list {
                None => true,
                Some(values) => values.iter().any(test),
            }
        }
        let kind = event.subject.split('/').next().unwrap_or_default();
        is_in(&self.subjects, |subject| *subject == event.subject)
            && is_in(&self.kinds, |wanted| wanted == kind)
            && is_in(&self.types, |pattern| type_matches(pattern, &event.event_type))
            && self.tags.iter().all(|tag| event.tags.contains(tag))
            && is_in(&self.actors, |(kind, id)| {
                event.actor.as_ref().is_some_and(|actor| actor.1 == *id && kind.is_none_or(|kind| kind == actor.0))
            })
            && is_in(&self.on_behalf_of, |user| event.on_behalf_of.as_ref() == Some(user))
            && is_in(&self.sources, |source| event.source.as_ref() == Some(source))
            && is_in(&self.correlations, |correlation| event.correlation.as_ref() == Some(correlation))
            && is_in(&self.causes, |cause| event.causation == Some(*cause))
            && self.after.is_none_or(|after| event.position > after)
            && self.before.is_none_or(|before| event.position < before)
            && self.since.is_none_or(|since| event.recorded_at >= since)
            && self.until.is_none_or(|until| event.recorded_at < until)
            && self.occurred_since.is_none_or(|since| event.occurred_at >= since)
            && self.occurred_until.is_none_or(|until| event.occurred_at < until)
    }
}

/// `*` is one part, a last `**` one or more, `\*` a star.
fn type_matches(pattern: &str, event_type: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('.').collect();
    let parts: Vec<&str> = event_type.split('.').collect();
    let is_part = |wanted: &str, part: &str| wanted == "*" || wanted.replace("\\*", "*") == part;
    match pattern.split_last() {
        Some((&"**", before)) => {
            parts.len() > before.len() && before.iter().zip(&parts).all(|(wanted, part)| is_part(wanted, part))
        }
        _ => pattern.len() == parts.len() && pattern.iter().zip(&parts).all(|(wanted, part)| is_part(wanted, part)),
    }
}

impl QuerySpec {
    pub fn all() -> QuerySpec {
        QuerySpec { items: vec![ItemSpec::default()], rev: false, limit: None }
    }

    pub fn random(rng: &mut Rng, tail: u64, times: (i64, i64)) -> QuerySpec {
        let count = if rng.happens(11) { 1 } else { 2 + rng.below(2) };
        QuerySpec {
            items: (0..count).map(|_| ItemSpec::random(rng, tail, times)).collect(),
            rev: rng.happens(6),
            limit: rng.happens(5).then(|| rng.below(12)),
        }
    }

    pub fn query(&self) -> Query {
        let query = self.items.iter().map(ItemSpec::query).reduce(Query::or).unwrap_or_else(Query::all);
        let query = if self.rev { query.rev() } else { query };
        self.limit.map_or(query.clone(), |limit| query.limit(limit))
    }

    pub fn matches(&self, event: &Plain) -> bool {
        self.items.iter().any(|item| item.matches(event))
    }

    /// What the query gives out of all that can be seen, in its order.
    pub fn answer<'a>(&self, visible: &[&'a Plain]) -> Vec<&'a Plain> {
        let mut found: Vec<&Plain> = visible.iter().copied().filter(|event| self.matches(event)).collect();
        if self.rev {
            found.reverse();
        }
        found.truncate(self.limit.map_or(usize::MAX, |limit| limit as usize));
        found
    }
}

/// Each dimension alone, with each value there is, and each pattern.
pub fn each_dimension() -> Vec<QuerySpec> {
    let mut items: Vec<ItemSpec> = Vec::new();
    let one = |value: &str| Some(vec![value.to_owned()]);
    let item = ItemSpec::default;
    items.extend(SUBJECTS.iter().chain(&["note/none"]).map(|value| ItemSpec { subjects: one(value), ..item() }));
    items.extend(KINDS.iter().map(|value| ItemSpec { kinds: one(value), ..item() }));
    items.extend(PATTERNS.iter().chain(TYPES).map(|value| ItemSpec { types: one(value), ..item() }));
    items.extend(TAGS.iter().map(|value| ItemSpec { tags: vec![(*value).to_owned()], ..item() }));
    items.extend(ACTORS.iter().map(|value| ItemSpec { on_behalf_of: one(value), ..item() }));
    items.extend(SOURCES.iter().map(|value| ItemSpec { sources: one(value), ..item() }));
    items.extend(CORRELATIONS.iter().map(|value| ItemSpec { correlations: one(value), ..item() }));
    items.extend((1..4).map(|cause| ItemSpec { causes: Some(vec![cause]), ..item() }));
    for id in ACTORS {
        let actor = |kind| ItemSpec { actors: Some(vec![(kind, (*id).to_owned())]), ..item() };
        items.push(actor(None));
        items.extend(ACTOR_KINDS.iter().map(|kind| actor(Some(*kind))));
    }
    for empty in [
        ItemSpec { subjects: Some(vec![]), ..item() },
        ItemSpec { kinds: Some(vec![]), ..item() },
        ItemSpec { types: Some(vec![]), ..item() },
    ] {
        items.push(empty);
    }
    items.into_iter().map(|item| QuerySpec { items: vec![item], rev: false, limit: None }).collect()
}
