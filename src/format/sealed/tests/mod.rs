//! Blocks as a whole: rows to a head and back.

mod bytes;
mod damage;
mod docs;
mod envelope;
mod footer;
mod hostile;
mod ids;
mod real;
mod round_trip;
mod sections;

use std::sync::Arc;

use super::block::{self, Block, BlockFacts, PageEntry, PayloadPlace, Row, Scratch, Unpacked};
use super::dictionary::{Dictionary, DictionaryBuilder, StringColumn};
use crate::actor::ActorKind;
use crate::event::{Event, EventRef, Head, LogId, TextLens};
use crate::format::leaf::{BatchFacts, LeafHasher};
use crate::format::record::known_content_type;
use crate::format::{Parsed, frame};
use crate::position::Position;
use crate::time::Timestamp;

const LOG: LogId = LogId([7; 16]);
const BASE: u64 = 1_000;

/// An event as somebody might say it.
#[derive(Debug, Clone, Default)]
struct Said {
    subject: String,
    event_type: String,
    actor: Option<(ActorKind, String)>,
    on_behalf_of: String,
    source: String,
    correlation: String,
    content_type: String,
    id: String,
    tags: Vec<String>,
    meta: Vec<(String, String)>,
    data: Vec<u8>,
    epoch: u64,
    recorded: i64,
    occurred: Option<i64>,
    cause: Option<u64>,
    imported: bool,
    last_of_batch: bool,
    clock_suspect: bool,
    wall: Option<i64>,
    key: Option<(String, [u8; 32])>,
}

/// A row that owns what it has.
struct Owned {
    event: Event,
    said: Said,
}

impl Owned {
    fn row(&self) -> Row<'_> {
        let said = &self.said;
        let batch = BatchFacts {
            last_of_batch: said.last_of_batch,
            clock_suspect: said.clock_suspect,
            wall: said.wall.map(Timestamp::from_nanos),
            key: said.key.as_ref().map(|(key, hash)| (key.as_str(), hash.as_slice())),
        };
        Row { event: self.event.as_ref(), batch }
    }
}

fn event_of(said: &Said, position: u64, version: u64) -> Event {
    let content = known_content_type(&said.content_type);
    let content_text = if content.is_some() { "" } else { &said.content_type };
    let actor = said.actor.as_ref().map_or("", |(_, id)| id);
    let mut text = String::new();
    let mut push = |string: &str| {
        text.push_str(string);
        string.len() as u16
    };
    let lens = TextLens {
        subject: push(&said.subject),
        event_type: push(&said.event_type),
        actor: push(actor),
        on_behalf_of: push(&said.on_behalf_of),
        source: push(&said.source),
        correlation: push(&said.correlation),
        content_type: push(content_text),
        id: push(&said.id),
    };
    let mut lists = Vec::new();
    said.tags.iter().for_each(|tag| lists.extend_from_slice(&push(tag).to_le_bytes()));
    for (name, value) in &said.meta {
        lists.extend_from_slice(&push(name).to_le_bytes());
        lists.extend_from_slice(&push(value).to_le_bytes());
    }
    let head = Head {
        log: LOG,
        epoch: said.epoch,
        position: Position::new(position),
        version,
        recorded_at: Timestamp::from_nanos(said.recorded),
        occurred_at: said.occurred.map(Timestamp::from_nanos),
        causation: said.cause.map(Position::new),
        actor: said.actor.as_ref().map(|(kind, _)| *kind),
        content,
        lens,
        tag_count: said.tags.len() as u8,
        imported: said.imported,
    };
    EventRef { head, lists: &lists, text: &text, data: &said.data }.to_owned()
}

/// Events of a log, numbered from `BASE` on, the versions of each subject from some number on.
fn owned(said: Vec<Said>) -> Vec<Owned> {
    let mut versions = std::collections::HashMap::new();
    let event = |(said, position): (Said, u64)| {
        let version = versions.entry(said.subject.clone()).or_insert(said.subject.len() as u64 * 7);
        *version += 1;
        Owned { event: event_of(&said, position, *version), said }
    };
    said.into_iter().zip(BASE..).map(event).collect()
}

fn dictionary_of(rows: &[Row<'_>]) -> Dictionary {
    let mut builder = DictionaryBuilder::new();
    rows.iter().for_each(|row| builder.add(&row.event));
    builder.finish()
}

/// Pages of some `target` bytes, without compression.
fn pages_of(rows: &[Row<'_>], by_subject: bool, at: u64, target: usize) -> (Vec<PageEntry>, Vec<Vec<u8>>) {
    let (mut entries, mut pages): (Vec<PageEntry>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    let mut next = at;
    for (rank, row) in (0..).zip(block::payload_order(rows, by_subject)) {
        let data = rows[row as usize].event.data;
        if pages.last().is_none_or(|page| !page.is_empty() && page.len() + data.len() > target) {
            entries.push(PageEntry { first_rank: rank, offset: 0, stored: 0, raw: 0, crc: 0 });
            pages.push(Vec::new());
        }
        pages.last_mut().unwrap().extend_from_slice(data);
    }
    for (entry, page) in entries.iter_mut().zip(&pages) {
        (entry.offset, entry.stored, entry.raw) = (next, page.len() as u32, page.len() as u32);
        entry.crc = frame::crc(page);
        next += page.len() as u64;
    }
    (entries, pages)
}

fn facts(rows: &[Row<'_>]) -> BlockFacts {
    BlockFacts { log: LOG, base: rows[0].event.position(), rows: rows.len() as u32 }
}

fn head_of(rows: &[Row<'_>], dictionary: &Dictionary, by_subject: bool, target: usize) -> Parsed<Vec<u8>> {
    let (entries, _) = pages_of(rows, by_subject, 4_096, target);
    let mut head = Vec::new();
    block::encode(rows, dictionary, by_subject, 4_096, &entries, &mut head)?;
    Ok(head)
}

/// The dictionary as it is read.
fn read_back(dictionary: &Dictionary) -> Arc<Dictionary> {
    let mut bytes = Vec::new();
    dictionary.encode(&mut bytes);
    Arc::new(Dictionary::parse(&bytes).unwrap())
}

/// Every row comes back, alone and from unpacked columns, and every accessor says the same.
fn check(rows: &[Row<'_>], dictionary: &Dictionary, by_subject: bool, target: usize) -> Block {
    let head = head_of(rows, dictionary, by_subject, target).unwrap();
    let (entries, pages) = pages_of(rows, by_subject, 4_096, target);
    let held = head.len() + size_of::<Block>();
    let block = Block::parse(head.into(), facts(rows), read_back(dictionary)).unwrap();
    assert_eq!(block.rows() as usize, rows.len());
    assert_eq!((0..block.page_count()).map(|page| block.page(page).unwrap()).collect::<Vec<_>>(), entries);
    assert!(block.memory() > held && block.page(block.page_count()).is_none());

    let (mut scratch, mut other, mut unpacked) = (Scratch::default(), Scratch::default(), Unpacked::default());
    block.unpack(&mut unpacked).unwrap();
    let (mut hasher, mut key_scratch) = (LeafHasher::default(), Scratch::default());
    for (expected, row) in rows.iter().zip(0u32..) {
        let place = block.payload(row).unwrap();
        assert_eq!(block.payload_unpacked(&unpacked, row).unwrap(), place);
        assert_eq!(place == PayloadPlace::default(), expected.event.data.is_empty());
        let data = if place.len == 0 { &[] } else { &pages[place.page as usize][place.start..place.start + place.len] };
        let alone = block.event(row, &mut scratch, data).unwrap();
        same(&alone, expected);
        same(&block.event_unpacked(&unpacked, row, &mut other, data).unwrap(), expected);
        assert_eq!(hasher.leaf(&alone.event, &alone.batch), hasher.leaf(&expected.event, &expected.batch));

        let event = &expected.event;
        assert_eq!(block.recorded_at(row).unwrap(), event.recorded_at());
        assert_eq!(block.occurred_at(row).unwrap(), event.occurred_at());
        assert_eq!(block.epoch(row).unwrap(), event.epoch());
        assert_eq!(block.version(row).unwrap(), event.version());
        assert_eq!(block.causation(row).unwrap(), event.causation());
        assert_eq!(block.subject(row).unwrap(), event.subject());
        let head = &event.head;
        let of_leaf =
            [expected.batch.last_of_batch, head.occurred_at.is_some(), head.imported, expected.batch.clock_suspect];
        let flags = of_leaf.into_iter().rev().fold(0, |flags, is_set| flags << 1 | u8::from(is_set));
        assert_eq!(block.flags(row).unwrap(), flags);
        assert_eq!(block.given_id(row, &mut key_scratch).unwrap(), event.given_id());
        let key = block.key(row).unwrap().map(|(key, hash)| (key, hash.as_slice()));
        assert_eq!(key, expected.batch.key);
        let value = |column, reference| block.value(column, reference).unwrap_or_default();
        let string = |column| value(column, block.reference(column, row).unwrap());
        assert_eq!(string(StringColumn::Subject), event.subject());
        assert_eq!(string(StringColumn::Type), event.event_type());
        assert_eq!(string(StringColumn::Source), event.source().unwrap_or_default());
        assert_eq!(string(StringColumn::ContentType), event.content_type());
        let tags: Vec<_> = block.tags(row).unwrap().map(|tag| value(StringColumn::Tag, tag)).collect();
        assert_eq!(tags, event.tags().collect::<Vec<_>>());
    }
    let rows_end = rows.len() as u32;
    assert!(block.payload(rows_end).is_err() && block.event(rows_end, &mut scratch, &[]).is_err());
    check_scans(rows, &block);
    block
}

fn same(found: &Row<'_>, expected: &Row<'_>) {
    let (event, other) = (&found.event, &expected.event);
    assert_eq!(event.head, other.head);
    assert_eq!((event.text, event.lists), (other.text, other.lists));
    assert!(event.data == other.data);
    let (batch, facts) = (&found.batch, &expected.batch);
    assert_eq!(
        (batch.last_of_batch, batch.clock_suspect, batch.wall),
        (facts.last_of_batch, facts.clock_suspect, facts.wall)
    );
    assert_eq!(batch.key, facts.key);
}

/// Scans answer as a look at each event does.
fn check_scans(rows: &[Row<'_>], block: &Block) {
    type Has = fn(&EventRef<'_>, &str) -> bool;
    let columns: [(StringColumn, Has); 5] = [
        (StringColumn::Subject, |event, text| event.subject() == text),
        (StringColumn::Type, |event, text| event.event_type() == text),
        (StringColumn::Tag, |event, text| event.tags().any(|tag| tag == text)),
        (StringColumn::MetaName, |event, text| event.meta().any(|(name, _)| name == text)),
        (StringColumn::MetaValue, |event, text| event.meta().any(|(_, value)| value == text)),
    ];
    let texts = [rows[0].event.subject(), rows[rows.len() / 2].event.event_type(), "t1", "m", "é"];
    let count = rows.len() as u32;
    for (column, has) in columns {
        for text in texts.into_iter().filter(|text| !text.is_empty()) {
            let references = block.references_where(column, &mut |string| string == text);
            for range in [0..count, 0..count + 7, count / 3..count / 2, 0..count.min(3)] {
                let mut found = Vec::new();
                block.rows_where(column, &references, range.clone(), &mut found);
                let end = range.end.min(count);
                let expected: Vec<u32> =
                    (range.start..end).filter(|row| has(&rows[*row as usize].event, text)).collect();
                assert_eq!(found, expected, "{column:?} {text:?}");
            }
        }
    }
    // Every string at once.
    let all = block.references_where(StringColumn::Subject, &mut |_| true);
    let mut found = Vec::new();
    block.rows_where(StringColumn::Subject, &all, 0..count, &mut found);
    assert_eq!(found.len(), rows.len());
}
