//! The preimage of a leaf, read back: the event that a leaf stands for, without its data. What the bytes are is said
//! in `leaf.rs`.
//!
//! There is one way to write each event. What was read and put together with its data is written again and compared,
//! so what is shown of an event is what was hashed, all of it and nothing else.

use sha2::{Digest, Sha256};

use super::bytes::Take;
use super::leaf::{BatchFacts, Hash, LeafHasher};
use super::{Bad, Parsed};
use crate::actor::ActorKind;
use crate::event::{Event, EventRef, Head, LogId, TextLens};
use crate::position::Position;
use crate::time::Timestamp;

/// What a leaf says of an event.
#[derive(Debug)]
pub(crate) struct Metadata<'a> {
    bytes: &'a [u8],
    head: Head,
    lists: Vec<u8>,
    text: String,
    last_of_batch: bool,
    clock_suspect: bool,
    wall: Timestamp,
    key: &'a str,
    content_hash: &'a [u8],
    data_hash: Hash,
}

/// Why data and metadata are not those of one leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// The data has another digest than the leaf says.
    Data,
    /// The metadata is not written in the one way.
    Spelling,
}

/// The leaf of bytes that [`Metadata::read`] takes.
pub(crate) fn leaf_of(bytes: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(bytes).finalize().into()
}

impl<'a> Metadata<'a> {
    /// Reads the preimage of a leaf without the zero at its front. The log is not in it.
    pub(crate) fn read(bytes: &'a [u8], log: LogId) -> Parsed<Metadata<'a>> {
        let mut take = Take(bytes);
        let read = parse(&mut take, bytes, log);
        // Where reading stopped is where the bytes are not what they should be.
        let offset = (bytes.len() - take.0.len()) as u64;
        read.ok_or_else(|| Bad::new(offset, "the metadata of an event as a leaf has it", "other bytes"))
    }

    pub(crate) fn position(&self) -> Position {
        self.head.position
    }

    /// The event with its data, if the leaf is made of just these.
    pub(crate) fn with_data(&self, data: &[u8]) -> Result<Event, Unfit> {
        let digest: Hash = Sha256::digest(data).into();
        if digest != self.data_hash {
            return Err(Unfit::Data);
        }
        let event = EventRef { head: self.head, lists: &self.lists, text: &self.text, data };
        let facts = BatchFacts {
            last_of_batch: self.last_of_batch,
            clock_suspect: self.clock_suspect,
            wall: Some(self.wall),
            key: Some((self.key, self.content_hash)),
        };
        match LeafHasher::default().preimage(&event, &facts).split_first() {
            Some((_, again)) if again == self.bytes => Ok(event.to_owned()),
            _ => Err(Unfit::Spelling),
        }
    }
}

fn parse<'a>(take: &mut Take<'a>, bytes: &'a [u8], log: LogId) -> Option<Metadata<'a>> {
    let (position, version, epoch) = (take.u64()?, take.u64()?, take.u64()?);
    let mut time = || Some(Timestamp::from_nanos(take.u64()?.cast_signed()));
    let (recorded_at, wall, occurred_at) = (time()?, time()?, time()?);
    let causation = take.u64()?;
    // Codec, zero and key id are seen when everything is written again.
    let [flags, actor, ..] = take.array::<8>()?;

    let id = string(take)?;
    let [subject, event_type, actor_id, on_behalf_of] = [string(take)?, string(take)?, string(take)?, string(take)?];
    let [source, correlation, content_type] = [string(take)?, string(take)?, string(take)?];
    // An event's own text has the id behind the other strings.
    let mut text = [subject, event_type, actor_id, on_behalf_of, source, correlation, content_type, id].concat();
    let mut lists = Vec::new();
    let mut one = |take: &mut Take<'a>| {
        let piece = string(take)?;
        text.push_str(piece);
        lists.extend_from_slice(&len(piece)?.to_le_bytes());
        Some(())
    };
    let tag_count = u8::try_from(take.u32()?).ok()?;
    for _ in 0..tag_count {
        one(take)?;
    }
    // A count that lies ends with the bytes: each string takes four at least.
    for _ in 0..take.u32()? {
        one(take)?;
        one(take)?;
    }
    let key = string(take)?;
    let content_hash = run(take)?;
    let data_hash = take.array()?;
    take.0.is_empty().then_some(())?;
    Some(Metadata {
        bytes,
        head: Head {
            log,
            epoch,
            position: Position::new(position),
            version,
            recorded_at,
            occurred_at: (flags & 2 != 0).then_some(occurred_at),
            causation: (causation != 0).then(|| Position::new(causation)),
            actor: ActorKind::from_code(actor),
            content: None,
            lens: TextLens {
                subject: len(subject)?,
                event_type: len(event_type)?,
                actor: len(actor_id)?,
                on_behalf_of: len(on_behalf_of)?,
                source: len(source)?,
                correlation: len(correlation)?,
                content_type: len(content_type)?,
                id: len(id)?,
            },
            tag_count,
            imported: flags & 4 != 0,
        },
        lists,
        text,
        last_of_batch: flags & 1 != 0,
        clock_suspect: flags & 8 != 0,
        wall,
        key,
        content_hash,
        data_hash,
    })
}

fn run<'a>(take: &mut Take<'a>) -> Option<&'a [u8]> {
    let len = take.u32()?;
    take.slice(usize::try_from(len).ok()?)
}

fn string<'a>(take: &mut Take<'a>) -> Option<&'a str> {
    std::str::from_utf8(run(take)?).ok()
}

fn len(text: &str) -> Option<u16> {
    u16::try_from(text.len()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &[u8] = br#"{"content":"A"}"#;
    /// Bytes of the numbers before the first string.
    const NUMBERS_BYTES: usize = 64;

    /// A leaf with a value in every place.
    fn full() -> Vec<u8> {
        leaf(true)
    }

    /// The same with all flags set, or with none.
    fn leaf(flags: bool) -> Vec<u8> {
        let lists = [2u16, 3, 1, 4].map(u16::to_le_bytes).concat();
        let head = Head {
            log: LogId([7; 16]),
            epoch: 3,
            position: Position::new(17),
            version: 4,
            recorded_at: Timestamp::from_nanos(1_700_000_000_000_000_000),
            occurred_at: flags.then_some(Timestamp::from_nanos(-5)),
            causation: Some(Position::new(16)),
            actor: Some(ActorKind::Agent),
            content: Some("application/json"),
            lens: TextLens {
                subject: 8,
                event_type: 4,
                actor: 6,
                on_behalf_of: 5,
                source: 3,
                correlation: 2,
                content_type: 0,
                id: 3,
            },
            tag_count: 2,
            imported: flags,
        };
        let text = "note/n-1editscribealiceurnc1e-1aabbbkäöv";
        let text = &text[..8 + 4 + 6 + 5 + 3 + 2 + 3 + 2 + 3 + 1 + 4];
        let event = EventRef { head, lists: &lists, text, data: DATA };
        let facts = BatchFacts {
            last_of_batch: flags,
            clock_suspect: flags,
            wall: Some(Timestamp::from_nanos(9)),
            key: Some(("key", &[1, 2, 255])),
        };
        LeafHasher::default().preimage(&event, &facts)[1..].to_vec()
    }

    #[test]
    fn an_event_comes_back_from_its_leaf() {
        let bytes = full();
        let metadata = Metadata::read(&bytes, LogId([7; 16])).unwrap();
        assert_eq!(metadata.position(), Position::new(17));
        let event = metadata.with_data(DATA).unwrap();
        assert_eq!((event.position().get(), event.version(), event.epoch()), (17, 4, 3));
        assert_eq!((event.subject(), event.event_type(), event.given_id()), ("note/n-1", "edit", Some("e-1")));
        assert_eq!(event.actor().unwrap().to_string(), "agent:scribe");
        assert_eq!(
            (event.on_behalf_of(), event.source(), event.correlation()),
            (Some("alice"), Some("urn"), Some("c1"))
        );
        assert_eq!(event.tags().collect::<Vec<_>>(), ["aa", "bbb"]);
        assert_eq!(event.meta().collect::<Vec<_>>(), [("k", "äö")]);
        assert_eq!((event.content_type(), event.data(), event.is_imported()), ("application/json", DATA, true));
        assert_eq!(event.occurred_at().as_nanos(), -5);
        assert_eq!(metadata.with_data(b"{}").unwrap_err(), Unfit::Data);
        // Without a time of its own it happened when it was recorded.
        let bytes = leaf(false);
        let event = Metadata::read(&bytes, LogId([7; 16])).unwrap().with_data(DATA).unwrap();
        assert_eq!((event.occurred_at(), event.is_imported()), (event.recorded_at(), false));
    }

    #[test]
    fn no_other_bytes_are_the_same_event() {
        let good = full();
        let whole = Metadata::read(&good, LogId::default()).unwrap().with_data(DATA).unwrap().to_json();
        let wrong_at = |bytes: &[u8]| Metadata::read(bytes, LogId::default()).err().map(|bad| bad.offset);
        for cut in 0..good.len() {
            // What is cut through is where it stops.
            assert!(wrong_at(&good[..cut]).is_some_and(|at| at <= cut as u64), "{cut} bytes");
        }
        assert_eq!(wrong_at(&good[..20]), Some(16));
        assert_eq!(wrong_at(&[&good[..], b"x"].concat()), Some(good.len() as u64));
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(leaf_of(&bytes), leaf_of(&good));
            // Most are refused; what is read is another event in what is kept of it, or in facts of its batch.
            let read = Metadata::read(&bytes, LogId::default());
            if let Ok(event) = read.and_then(|metadata| metadata.with_data(DATA).map_err(|_| Bad::new(0, "", ""))) {
                let in_json = event.to_json() != whole;
                let elsewhere = [8..24, 32..40, 56..57].iter().any(|range| range.contains(&(bit / 8)));
                assert!(in_json || elsewhere || bit / 8 > NUMBERS_BYTES, "bit {bit}");
            }
        }
    }
}
