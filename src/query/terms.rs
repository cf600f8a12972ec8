//! The terms of an item of a query, hashed once, and the segments that lookup tiers rule out by them.

use std::ops::Range;

use crate::actor::ActorKind;
use crate::format::term::{Dimension, TermHasher};
use crate::log::shared::{Log, Segments};
use crate::log::tiers::Tier;
use crate::query::plan::Bounded;
use crate::query::{Item, TypePattern};
use crate::segment::Segment;

const KINDS: [ActorKind; 5] =
    [ActorKind::User, ActorKind::Agent, ActorKind::External, ActorKind::System, ActorKind::Unknown];

/// A constraint that an index can answer: any of these hashes of one dimension.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) dimension: Dimension,
    pub(crate) hashes: Vec<u64>,
    /// The texts, for subjects, which the index in memory knows by their text.
    pub(crate) texts: Vec<String>,
}

/// The indexable constraints of an item.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    groups: Vec<Group>,
    /// There are patterns of types that only the names in a segment can resolve.
    has_patterns: bool,
    /// One of the constraints admits nothing.
    nothing: bool,
}

impl Terms {
    pub(crate) fn of(hasher: TermHasher, item: &Item) -> Terms {
        let mut terms = Terms::default();
        let text = |dimension: Dimension, values: &[String]| -> Vec<u64> {
            values.iter().map(|value| hasher.hash(dimension, value.as_bytes())).collect()
        };
        if let Some(subjects) = &item.subjects {
            terms.push(Dimension::Subject, text(Dimension::Subject, subjects), subjects.clone());
        }
        if let Some(kinds) = &item.kinds {
            terms.push(Dimension::Kind, text(Dimension::Kind, kinds), Vec::new());
        }
        if let Some(patterns) = &item.types {
            let literals = patterns
                .iter()
                .map(|pattern| pattern.literal().map(|name| hasher.hash(Dimension::Type, name.as_bytes())));
            match literals.collect() {
                Some(hashes) => terms.push(Dimension::Type, hashes, Vec::new()),
                None => terms.has_patterns = true,
            }
        }
        for tag in &item.tags {
            terms.push(Dimension::Tag, vec![hasher.hash(Dimension::Tag, tag.as_bytes())], Vec::new());
        }
        if let Some(actors) = &item.actors {
            let of_kind = |id: &str, kind: &ActorKind| hasher.actor(*kind, id);
            let hashes = actors.iter().flat_map(|(kind, id)| match kind {
                Some(kind) => vec![of_kind(id, kind)],
                None => KINDS.iter().map(|kind| of_kind(id, kind)).collect(),
            });
            terms.push(Dimension::Actor, hashes.collect(), Vec::new());
        }
        for (dimension, list) in [
            (Dimension::OnBehalfOf, &item.on_behalf_of),
            (Dimension::Source, &item.sources),
            (Dimension::Correlation, &item.correlations),
        ] {
            if let Some(values) = list {
                terms.push(dimension, text(dimension, values), Vec::new());
            }
        }
        if let Some(causes) = &item.causes {
            let hash = |cause: u64| hasher.hash(Dimension::Causation, &cause.to_le_bytes());
            terms.push(Dimension::Causation, causes.iter().map(|cause| hash(cause.get())).collect(), Vec::new());
        }
        terms
    }

    fn push(&mut self, dimension: Dimension, hashes: Vec<u64>, texts: Vec<String>) {
        self.nothing |= hashes.is_empty();
        self.groups.push(Group { dimension, hashes, texts });
    }

    /// Whether patterns of types have to be resolved by the names in a segment.
    pub(crate) fn has_patterns(&self) -> bool {
        self.has_patterns
    }

    /// All constraints, with those on types that `names` resolves, if there are any names; `None`: nothing can match.
    pub(crate) fn resolved<'a, 'n>(
        &'a self,
        patterns: Option<&[TypePattern]>,
        names: Option<impl Iterator<Item = (&'n str, u64)>>,
    ) -> Option<Vec<std::borrow::Cow<'a, Group>>> {
        use std::borrow::Cow;
        if self.nothing {
            return None;
        }
        let mut groups: Vec<Cow<'a, Group>> = self.groups.iter().map(Cow::Borrowed).collect();
        if let (true, Some(patterns), Some(names)) = (self.has_patterns, patterns, names) {
            let matching = names.filter(|(name, _)| patterns.iter().any(|pattern| pattern.matches(name)));
            let hashes: Vec<u64> = matching.map(|(_, hash)| hash).collect();
            if hashes.is_empty() {
                return None;
            }
            groups.push(Cow::Owned(Group { dimension: Dimension::Type, hashes, texts: Vec::new() }));
        }
        Some(groups)
    }
}

/// What a run of lookup tiers leaves of the segments that it covers.
#[derive(Debug)]
pub(crate) struct Left {
    range: Range<usize>,
    /// The places in the list of those that may hold a match, ascending; `None`: all.
    places: Option<Vec<usize>>,
}

impl Left {
    /// What the run that covers a place leaves; `None` if nothing covers it.
    pub(crate) fn at(log: &Log, segments: &Segments, place: usize, items: &[Bounded]) -> Option<Left> {
        let tier = segments.1.covering(place)?;
        let range = tier.range();
        let mut places = match by_items(log, tier, items) {
            Some(numbers) => numbers.into_iter().map(|number| range.start + usize::from(number)).collect::<Vec<_>>(),
            None => return Some(Left { range, places: None }),
        };
        // A file that is missing before the run is met when its first segment is.
        let before = range.start.checked_sub(1).and_then(|before| segments.0.get(before));
        let expected = before.map_or(crate::position::Position::new(1), Segment::next);
        if tier.file.first() != expected && places.first() != Some(&range.start) {
            places.insert(0, range.start);
        }
        Some(Left { range, places: Some(places) })
    }

    pub(crate) fn covers(&self, place: usize) -> bool {
        self.range.contains(&place)
    }

    /// The first place at or behind `place` that is left, or the first one behind the run.
    pub(crate) fn from(&self, place: usize) -> usize {
        match &self.places {
            None => place,
            Some(places) => {
                places.get(places.partition_point(|known| *known < place)).copied().unwrap_or(self.range.end)
            }
        }
    }

    /// The last place at or before `place` that is left, or the last one before the run, if there is one.
    pub(crate) fn back_from(&self, place: usize) -> Option<usize> {
        match &self.places {
            None => Some(place),
            Some(places) => {
                let before = places.partition_point(|known| *known <= place).checked_sub(1);
                before.and_then(|index| places.get(index).copied()).or_else(|| self.range.start.checked_sub(1))
            }
        }
    }
}

/// The numbers of the segments of a run in which any item may match, ascending; `None`: any of them.
fn by_items(log: &Log, tier: &Tier, items: &[Bounded]) -> Option<Vec<u16>> {
    let run = &tier.file;
    let mut all: Vec<u16> = Vec::new();
    for bounded in items {
        let (first, last) = (run.first().get(), run.last().get());
        if bounded.positions.start > last || bounded.positions.end <= first || bounded.terms.nothing {
            continue;
        }
        let mut left: Option<Vec<u16>> = None;
        for group in &bounded.terms.groups {
            let mut found = Vec::new();
            for hash in &group.hashes {
                if let Err(bad) = run.find(*hash, &mut found) {
                    log.distrust_tier_for(run, &bad);
                    return None;
                }
            }
            if group.hashes.len() > 1 {
                found.sort_unstable();
                found.dedup();
            }
            left = Some(match left {
                None => found,
                Some(mut known) => {
                    known.retain(|number| found.binary_search(number).is_ok());
                    known
                }
            });
            if left.as_ref().is_some_and(Vec::is_empty) {
                break;
            }
        }
        all.append(&mut left?);
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}
