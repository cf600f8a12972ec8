//! An event store on a key-value store, as a user would lay it out: position to record, and three sets of keys that lead
//! from subject, type and time to positions. All keys of an append go into one transaction.
//!
//! Positions and times are big-endian, so that byte order is their order. A subject's version is the position of its
//! newest event, which a store can find with one look backwards.

use std::sync::{Mutex, PoisonError};

use crate::event::Event;
use crate::peer::{Each, Failure, Outcome, Peer};

/// `text 0x00 position`.
fn text_key(text: &str, position: u64, into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(text.as_bytes());
    into.push(0);
    into.extend_from_slice(&position.to_be_bytes());
}

/// `time position`; times before 1970 are no concern of a benchmark.
fn time_key(time: i64, position: u64, into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(&(time as u64).to_be_bytes());
    into.extend_from_slice(&position.to_be_bytes());
}

/// The first and the last key that any position of this text can have.
fn text_range(text: &str) -> (Vec<u8>, Vec<u8>) {
    text_range_after(text, 0)
}

/// The same for positions from this one on.
fn text_range_after(text: &str, first: u64) -> (Vec<u8>, Vec<u8>) {
    let (mut from, mut to) = (Vec::new(), Vec::new());
    text_key(text, first, &mut from);
    text_key(text, u64::MAX, &mut to);
    (from, to)
}

/// The first key of a window of time and the first behind it.
fn time_range(since: i64, until: i64) -> (Vec<u8>, Vec<u8>) {
    let (mut from, mut to) = (Vec::new(), Vec::new());
    time_key(since, 0, &mut from);
    time_key(until, 0, &mut to);
    (from, to)
}

/// The position that ends a key.
pub(crate) fn position_of(key: &[u8]) -> u64 {
    key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// What one append puts in: record and keys, made into buffers that are used again.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) record: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) kind: Vec<u8>,
    pub(crate) time: Vec<u8>,
}

impl Rows {
    pub(crate) fn of(&mut self, event: &Event, position: u64) {
        self.record.clear();
        super::record::encode(event, &mut self.record);
        text_key(&event.subject, position, &mut self.subject);
        text_key(&event.kind, position, &mut self.kind);
        time_key(event.time, position, &mut self.time);
    }
}

/// Which set of keys.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Index {
    Subject,
    Kind,
    Time,
}

/// What a key-value store has to be able to do.
pub(crate) trait Kv: Send + Sync {
    /// The newest position, 0 in an empty store.
    fn newest(&self) -> Outcome<u64>;

    /// Puts the events in at the positions from `first` on, all or none.
    fn commit(&self, first: u64, events: &[Event], rows: &mut Rows) -> Outcome<()>;

    /// Gives every record.
    fn records(&self, each: &mut dyn FnMut(&[u8]) -> Outcome<()>) -> Outcome<()>;

    /// Gives the records that the keys from `from` up to but without `to` lead to.
    fn lookup(&self, index: Index, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8]) -> Outcome<()>) -> Outcome<()>;

    /// The last key of this index in that range.
    fn last(&self, index: Index, from: &[u8], to: &[u8]) -> Outcome<Option<u64>>;

    fn close(self) -> Outcome<()>;
}

/// The event store over a key-value store. One lock orders the appends, as positions must be in the order of commits.
pub(crate) struct KvPeer<K: Kv> {
    kv: K,
    writer: Mutex<Writer>,
}

struct Writer {
    next: u64,
    rows: Rows,
}

impl<K: Kv> KvPeer<K> {
    pub(crate) fn new(kv: K) -> Outcome<KvPeer<K>> {
        let next = kv.newest()? + 1;
        Ok(KvPeer { kv, writer: Mutex::new(Writer { next, rows: Rows::default() }) })
    }

    fn append_if(&self, events: &[Event], allowed: impl FnOnce(&K) -> Outcome<bool>) -> Outcome<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if !allowed(&self.kv)? {
            return Err(Failure::Conflict);
        }
        let Writer { next, rows } = &mut *writer;
        self.kv.commit(*next, events, rows)?;
        *next += events.len() as u64;
        Ok(())
    }
}

/// Decodes what a store gives, for a reader of events.
fn decoded<'a>(each: Each<'a>) -> impl FnMut(&[u8]) -> Outcome<()> + 'a {
    |bytes| {
        each(super::record::decode(bytes)?);
        Ok(())
    }
}

impl<K: Kv> Peer for KvPeer<K> {
    fn append(&self, events: &[Event]) -> Outcome<()> {
        self.append_if(events, |_| Ok(true))
    }

    fn replay(&self, each: Each<'_>) -> Outcome<()> {
        self.kv.records(&mut decoded(each))
    }

    fn subject(&self, subject: &str, each: Each<'_>) -> Outcome<()> {
        let (from, to) = text_range(subject);
        self.kv.lookup(Index::Subject, &from, &to, &mut decoded(each))
    }

    fn kind(&self, kind: &str, each: Each<'_>) -> Outcome<()> {
        let (from, to) = text_range(kind);
        self.kv.lookup(Index::Kind, &from, &to, &mut decoded(each))
    }

    fn window(&self, since: i64, until: i64, each: Each<'_>) -> Outcome<()> {
        let (from, to) = time_range(since, until);
        self.kv.lookup(Index::Time, &from, &to, &mut decoded(each))
    }

    fn version(&self, subject: &str) -> Outcome<u64> {
        let (from, to) = text_range(subject);
        Ok(self.kv.last(Index::Subject, &from, &to)?.unwrap_or(0))
    }

    fn append_expecting(&self, event: &Event, version: u64) -> Outcome<()> {
        let (from, to) = text_range(&event.subject);
        self.append_if(std::slice::from_ref(event), |kv| {
            Ok(kv.last(Index::Subject, &from, &to)?.unwrap_or(0) == version)
        })
    }

    fn tail(&self) -> Outcome<u64> {
        Ok(self.writer.lock().unwrap_or_else(PoisonError::into_inner).next - 1)
    }

    fn append_unless(&self, event: &Event, after: u64) -> Outcome<()> {
        let (from, to) = text_range_after(&event.subject, after + 1);
        self.append_if(std::slice::from_ref(event), |kv| Ok(kv.last(Index::Subject, &from, &to)?.is_none()))
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        self.kv.close()
    }
}
