//! Every answer of an index against a plain map.

mod damage;
mod space;
mod types;

use std::collections::BTreeMap;
use std::ops::Range;

use proptest::prelude::*;

use super::sort::Posted;
use super::*;
use crate::actor::{Actor, ActorKind};
use crate::event::{Event, NewEvent};
use crate::format::draft::{Draft, DraftFacts, Place};
use crate::format::frame::{self, SegmentFacts};
use crate::format::term::{Dimension, TermHasher};
use crate::format::{PAGE_BYTES, Parsed, Read};
use crate::time::Timestamp;

pub(crate) const FACTS: IdxFacts =
    IdxFacts { log: LogId(*b"the log of tests"), base: Position::new(1_001), salt: 0x5A17_5A17_5A17_5A17 };
pub(crate) const LAST_CHECK: u64 = 0x1A57_C0DE;

const DIMENSIONS: [Dimension; 11] = [
    Dimension::Subject,
    Dimension::Kind,
    Dimension::Type,
    Dimension::Tag,
    Dimension::Actor,
    Dimension::OnBehalfOf,
    Dimension::Source,
    Dimension::Correlation,
    Dimension::Causation,
    Dimension::Id,
    Dimension::Key,
];

/// A batch: its key and its events.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) key: Option<String>,
    pub(crate) events: Vec<NewEvent>,
    pub(crate) recorded_at: i64,
}

/// What an index should answer, in the plainest form.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    places: Vec<(u64, u32)>,
    events: Vec<Event>,
    terms: BTreeMap<(u64, u8), Vec<u32>>,
    types: BTreeMap<(u64, String), u32>,
    end_offset: u64,
}

impl Oracle {
    fn add(&mut self, event: &EventRef<'_>, place: (u64, u32), key: Option<&str>) {
        let hasher = TermHasher::new(FACTS.log);
        let mut terms = vec![(hasher.subject(event.subject()), Dimension::Subject)];
        hasher.terms(event, |dimension, hash| terms.push((hash, dimension)));
        terms.extend(event.given_id().map(|id| (hasher.hash(Dimension::Id, id.as_bytes()), Dimension::Id)));
        terms.extend(key.map(|key| (hasher.hash(Dimension::Key, key.as_bytes()), Dimension::Key)));
        terms.sort();
        terms.dedup();
        for (hash, dimension) in terms {
            self.terms.entry((hash, dimension as u8)).or_default().push(self.places.len() as u32);
        }
        let hash = hasher.hash(Dimension::Type, event.event_type().as_bytes());
        *self.types.entry((hash, event.event_type().to_owned())).or_default() += 1;
        self.places.push(place);
        self.events.push(event.to_owned());
    }

    fn zone(&self, rows: Range<usize>) -> Zone {
        let mut zone = Zone::EMPTY;
        for event in &self.events[rows] {
            zone.min_recorded = zone.min_recorded.min(event.recorded_at().as_nanos());
            zone.max_recorded = zone.max_recorded.max(event.recorded_at().as_nanos());
            zone.min_occurred = zone.min_occurred.min(event.occurred_at().as_nanos());
            zone.max_occurred = zone.max_occurred.max(event.occurred_at().as_nanos());
        }
        zone
    }
}

/// Lays the batches out as the frames of a segment, and indexes them.
pub(crate) fn build(batches: &[Batch]) -> (Vec<u8>, Oracle) {
    let (builder, oracle) = add_all(batches);
    (builder.finish(oracle.end_offset, LAST_CHECK), oracle)
}

fn add_all(batches: &[Batch]) -> (IdxBuilder, Oracle) {
    let mut builder = IdxBuilder::new(FACTS);
    let mut oracle = Oracle { end_offset: frame::FIRST_OFFSET, ..Oracle::default() };
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    for batch in batches {
        let draft_facts = DraftFacts { key: batch.key.as_deref(), ..DraftFacts::default() };
        let mut draft = Draft::new(&batch.events, &draft_facts);
        let place = Place {
            first: Position::new(FACTS.base.get() + oracle.places.len() as u64),
            durable: Position::ORIGIN,
            recorded_at: Timestamp::from_nanos(batch.recorded_at),
            wall: None,
            clock_suspect: false,
            group_seq: 1,
            offset: oracle.end_offset,
        };
        let next = batch.events.iter().map(|event| {
            let version = versions.entry(event.subject().to_owned()).or_default();
            *version += 1;
            *version
        });
        let header = draft.seal(&place, FACTS.salt, &next.collect::<Vec<_>>());
        let frame = draft.view(header, SegmentFacts { log: FACTS.log, epoch: 1, salt: FACTS.salt }).unwrap();
        for index in 0..header.count {
            let (event, key) = (frame.event(index).unwrap(), batch.key.as_deref().filter(|_| index == 0));
            builder.add(&event, oracle.end_offset, index, key);
            oracle.add(&event, (oracle.end_offset, index), key);
        }
        oracle.end_offset += header.frame_bytes();
    }
    (builder, oracle)
}

fn header(file: &[u8]) -> IdxHeader {
    IdxHeader::read(&file[..PAGE_BYTES]).valid().unwrap()
}

/// Asks everything there is to ask and compares. Under damage an error is an answer too, a wrong
/// one never is; returns how many errors there were.
fn compare(view: &IdxView<'_>, oracle: &Oracle) -> usize {
    let mut errors = 0;
    fn same<T: PartialEq + std::fmt::Debug>(errors: &mut usize, answer: Parsed<T>, expected: &T) {
        match answer {
            Ok(answer) => assert_eq!(&answer, expected),
            Err(_) => *errors += 1,
        }
    }
    for (row, place) in (0..).zip(&oracle.places) {
        same(&mut errors, view.place(row), place);
    }
    assert!(view.place(oracle.places.len() as u32).is_err());
    for (&(hash, code), rows) in &oracle.terms {
        same(&mut errors, view.may_contain(hash), &true);
        for dimension in DIMENSIONS {
            let expected = oracle.terms.get(&(hash, dimension as u8));
            match view.find(dimension, hash) {
                Err(_) => errors += 1,
                Ok(None) => assert_eq!(None, expected, "{dimension:?} {hash:016x}"),
                Ok(Some(term)) if dimension as u8 == code => errors += compare_term(view, oracle, &term, rows),
                Ok(Some(_)) => assert!(expected.is_some()),
            }
        }
        // Its neighbours are almost surely absent.
        for near in [hash.wrapping_sub(1), hash.wrapping_add(1)] {
            let expected = oracle.terms.contains_key(&(near, code));
            let dimension = DIMENSIONS[usize::from(code) - 1];
            same(&mut errors, view.find(dimension, near).map(|term| term.is_some()), &expected);
        }
    }
    for extreme in [0, u64::MAX] {
        same(&mut errors, view.find(Dimension::Subject, extreme), &None);
    }
    let rows = oracle.events.len();
    let zones: Vec<_> = (0..rows)
        .step_by(1024)
        .map(|start| (start..rows.min(start + 1024), oracle.zone(start..rows.min(start + 1024))))
        .collect();
    for (index, (rows, zone)) in (0..).zip(&zones) {
        same(&mut errors, view.zone(index), zone);
        let listed = view.zones().nth(index as usize).unwrap();
        same(&mut errors, listed, &(rows.start as u32..rows.end as u32, *zone));
    }
    assert_eq!(view.zones().count(), zones.len());
    assert!(view.zone(zones.len() as u32).is_err());
    assert_eq!(view.header.zone, oracle.zone(0..rows));
    match view.type_names() {
        Err(_) => errors += 1,
        Ok(None) => assert!(oracle.types.len() > TYPES_MAX),
        Ok(Some(names)) => {
            let listed: Vec<_> = names.iter().map(|(name, hash, rows)| ((hash, name.to_owned()), rows)).collect();
            assert_eq!(listed, oracle.types.clone().into_iter().collect::<Vec<_>>());
        }
    }
    errors
}

fn compare_term(view: &IdxView<'_>, oracle: &Oracle, term: &TermEntry, rows: &[u32]) -> usize {
    let last = rows[rows.len() - 1];
    assert_eq!((term.count as usize, term.last_row), (rows.len(), last));
    let version = oracle.events[last as usize].version();
    assert_eq!(term.extra, if term.dimension == Dimension::Subject as u8 { version } else { 0 });
    let mut errors = 0;
    let all = oracle.events.len() as u32;
    for range in
        [0..all, 0..0, 0..u32::MAX, all..all, 0..last, last..all, last + 1..all, rows[0]..last, rows[0] + 1..last + 1]
    {
        let expected: Vec<u32> = rows.iter().copied().filter(|row| range.contains(row)).collect();
        let forward = view.postings(term, range.clone()).and_then(|postings| {
            assert_eq!(postings.len() as usize, expected.len());
            postings.collect::<Parsed<Vec<u32>>>()
        });
        let backward = view.postings(term, range).and_then(|postings| postings.rev().collect::<Parsed<Vec<u32>>>());
        for (answer, reverse) in [(forward, false), (backward, true)] {
            match answer {
                Err(_) => errors += 1,
                Ok(mut found) => {
                    if reverse {
                        found.reverse();
                    }
                    assert_eq!(found, expected);
                }
            }
        }
    }
    errors
}

fn assert_whole(file: &[u8], oracle: &Oracle) {
    let header = header(file);
    assert_eq!(header.file_bytes, file.len() as u64);
    assert_eq!((header.facts, header.rows as usize), (FACTS, oracle.events.len()));
    assert_eq!((header.end_offset, header.last_header_check), (oracle.end_offset, LAST_CHECK));
    let checked = Checked::new(header.file_bytes);
    let view = IdxView::new(file, &header, &checked);
    assert_eq!(compare(&view, oracle), 0, "errors on a whole file");
    view.check_all().unwrap();
}

fn event() -> impl Strategy<Value = NewEvent> {
    let flags = prop::collection::vec(any::<bool>(), 6);
    let tags = prop::collection::vec(0u8..6, 0..4);
    (0u8..12, 0u8..4, 0u8..3, tags, flags, -50i64..50).prop_map(|(subject, kind, which, tags, flags, time)| {
        let mut event = NewEvent::bytes(format!("t.{which}"), format!("kind{kind}/{subject}"), "text/plain", *b"data");
        for tag in tags {
            event = event.tag(format!("tag:{tag}"));
        }
        if flags[0] {
            event = event.id(format!("id-{subject}")).occurred_at(Timestamp::from_nanos(time));
        }
        if flags[1] {
            // The same text in other dimensions, and one actor id of several kinds.
            event = event.actor(Actor {
                kind: ActorKind::from_code(which + 1).unwrap(),
                id: "id-1".into(),
                on_behalf_of: None,
            });
        }
        if flags[2] {
            event = event.source(format!("tag:{which}"));
        }
        if flags[3] {
            event = event.correlation(format!("id-{which}")).on_behalf_of("alice");
        }
        if flags[4] {
            event = event.caused_by(Position::new(u64::from(which) + 1));
        }
        event
    })
}

fn batches(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<Batch>> {
    let batch = (prop::option::of(0u8..4), prop::collection::vec(event(), 1..12), 0i64..40);
    prop::collection::vec(batch, count).prop_map(|batches| {
        let mut clock = 0;
        let batch = |(key, events, elapsed): (Option<u8>, _, i64)| {
            clock += elapsed;
            Batch { key: key.map(|key| format!("id-{key}")), events, recorded_at: clock }
        };
        batches.into_iter().map(batch).collect()
    })
}

/// One segment with some of everything, in few pages.
pub(crate) fn small() -> Vec<Batch> {
    let event = |n: u64| {
        let event = NewEvent::bytes(format!("t.{}", n % 3), format!("note/{}", n % 5), "", *b"x")
            .occurred_at(Timestamp::from_nanos(-(n as i64)))
            .tag("all")
            .tag(format!("only:{n}"));
        if n.is_multiple_of(4) { event.id(format!("id-{n}")).actor(Actor::user("alice")) } else { event }
    };
    (0..24)
        .map(|n| Batch {
            key: (n % 3 == 0).then(|| format!("key-{n}")),
            events: (n * 3..n * 3 + 3).map(event).collect(),
            recorded_at: n as i64,
        })
        .collect()
}

/// `events` events of all different terms, but for those that all share.
pub(crate) fn large(events: u64) -> Vec<Batch> {
    let event = |n: u64| {
        NewEvent::bytes(format!("t.{}", n % 50), format!("note/{}", n / 4), "", *b"x")
            .occurred_at(Timestamp::from_nanos(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) as i64))
            .correlation(format!("c-{}", n / 2))
            .id(format!("id-{n}"))
            .tag("all")
    };
    (0..events.div_ceil(100))
        .map(|n| Batch {
            key: Some(format!("key-{n}")),
            events: (n * 100..events.min(n * 100 + 100)).map(event).collect(),
            recorded_at: n as i64,
        })
        .collect()
}

proptest! {
    #![proptest_config(crate::trials::cases(48))]

    #[test]
    fn it_answers_as_a_plain_map_does(batches in batches(0..60)) {
        let (file, oracle) = build(&batches);
        assert_whole(&file, &oracle);
    }

    /// Any order of steps from both ends leaves what a slice would leave.
    #[test]
    fn postings_are_walked_and_skipped_from_both_ends(
        batches in batches(1..40),
        steps in prop::collection::vec((0u8..4, 0u32..50), 0..40),
        which in any::<prop::sample::Index>(),
    ) {
        let (file, oracle) = build(&batches);
        let (header, checked) = (header(&file), Checked::new(file.len() as u64));
        let view = IdxView::new(&file, &header, &checked);
        let ((hash, code), rows) = oracle.terms.iter().nth(which.index(oracle.terms.len())).unwrap();
        let term = view.find(DIMENSIONS[usize::from(*code) - 1], *hash).unwrap().unwrap();
        let mut naive: std::collections::VecDeque<u32> = rows.iter().copied().collect();
        let mut postings = view.postings(&term, 0..header.rows).unwrap();
        for (step, by) in steps {
            match step {
                0 => prop_assert_eq!(postings.next().transpose().unwrap(), naive.pop_front()),
                1 => prop_assert_eq!(postings.next_back().transpose().unwrap(), naive.pop_back()),
                2 => {
                    let row = naive.front().copied().unwrap_or_default() + by;
                    postings.skip_to(row).unwrap();
                    naive.retain(|known| *known >= row);
                }
                _ => {
                    let row = naive.back().copied().unwrap_or_default().saturating_sub(by);
                    postings.skip_back_below(row).unwrap();
                    naive.retain(|known| *known < row);
                }
            }
            prop_assert_eq!(postings.len() as usize, naive.len());
        }
    }

}

#[test]
fn an_index_of_nothing_is_one_page() {
    let file = IdxBuilder::new(FACTS).finish(frame::FIRST_OFFSET, 0);
    let header = header(&file);
    assert_eq!((header.rows, header.zone, header.last_header_check), (0, Zone::EMPTY, 0));
    let checked = Checked::new(header.file_bytes);
    let view = IdxView::new(&file, &header, &checked);
    view.check_all().unwrap();
    assert!(view.find(Dimension::Type, 7).unwrap().is_none());
    assert_eq!(view.type_names().unwrap().unwrap().iter().len(), 0);
    assert!(view.place(0).is_err() && view.zone(0).is_err());
}

#[test]
fn many_pages_answer_as_few_do() {
    for events in [1_023, 1_024, 1_025, 20_000] {
        let (file, oracle) = build(&large(events));
        assert_whole(&file, &oracle);
    }
}

#[test]
fn a_hash_may_stand_in_all_dimensions_and_across_pages() {
    let (mut builder, mut oracle) = add_all(&large(300));
    let mut add = |hash: u64, dimension: Dimension, rows: &[u32]| {
        for row in rows {
            builder.posted.push(Posted::new(hash, dimension as u8, *row));
        }
        oracle.terms.insert((hash, dimension as u8), rows.to_vec());
    };
    // Runs of equal hashes at both ends of the table, and enough between to fall across pages.
    for hash in (0..60).map(|n| n << 56 | 1).chain([0, u64::MAX]) {
        for dimension in DIMENSIONS {
            add(hash, dimension, if hash % 3 == 0 { &[5] } else { &[3, 100, 299] });
        }
    }
    let file = builder.finish(oracle.end_offset, LAST_CHECK);
    let (header, checked) = (header(&file), Checked::new(file.len() as u64));
    let view = IdxView::new(&file, &header, &checked);
    for (&(hash, code), rows) in &oracle.terms {
        let term = view.find(DIMENSIONS[usize::from(code) - 1], hash).unwrap().unwrap();
        assert_eq!(compare_term(&view, &oracle, &term, rows), 0);
    }
    view.check_all().unwrap();
}

#[test]
fn hashes_that_are_not_evenly_spread_are_found_too() {
    let mut builder = IdxBuilder::new(FACTS);
    let (first, _) = add_all(&large(1));
    builder.frames.clone_from(&first.frames);
    (builder.indices, builder.versions) = (vec![0], vec![1]);
    let hashes: Vec<u64> =
        (0..5_000u64).chain((0..5_000).map(|n| u64::MAX - n * n)).chain((0..63).map(|n| 1 << n)).collect();
    hashes.iter().for_each(|hash| builder.posted.push(Posted::new(*hash, 2, 0)));
    let file = builder.finish(frame::FIRST_OFFSET + 64, 1);
    let (header, checked) = (header(&file), Checked::new(file.len() as u64));
    let view = IdxView::new(&file, &header, &checked);
    for hash in hashes.iter().flat_map(|hash| [hash.wrapping_sub(1), *hash, hash.wrapping_add(1)]) {
        let found = view.find(Dimension::Kind, hash).unwrap().is_some();
        assert_eq!(found, hashes.contains(&hash), "{hash:016x}");
    }
}

#[test]
fn too_many_types_are_left_out() {
    let types = |count: usize, len: usize| {
        let event = |n| NewEvent::bytes(format!("{n:0len$}"), "a/b", "", []);
        let events: Vec<NewEvent> = (0..count).chain(0..1).map(event).collect();
        build(&[Batch { key: None, events, recorded_at: 0 }])
    };
    let names = |file: &[u8]| {
        let (header, checked) = (header(file), Checked::new(file.len() as u64));
        let view = IdxView::new(file, &header, &checked);
        view.check_all().unwrap();
        view.type_names().unwrap().map(|names| names.iter().map(|(_, _, rows)| rows).collect::<Vec<_>>())
    };
    let (file, oracle) = types(TYPES_MAX, 5);
    assert_eq!(names(&file).map(|rows| (rows.len(), rows.iter().sum())), Some((TYPES_MAX, TYPES_MAX as u32 + 1)));
    assert_whole(&file, &oracle);
    assert_eq!(names(&types(TYPES_MAX + 1, 5).0), None);
    assert_eq!(names(&types(1_011, 1_024).0), None, "the names are too long together");
    assert_eq!(names(&types(1_010, 1_024).0).map(|rows| rows.len()), Some(1_010));
}
