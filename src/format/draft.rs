//! A frame in the making. The appending thread lays it out and computes every CRC without a lock;
//! whoever commits it then fills in only what depends on the place.

use crate::event::NewEvent;
use crate::position::Position;
use crate::time::Timestamp;

use super::bytes::{Put, align_up, u64_at};
use super::frame::{self, ALIGN, ENTRY_BYTES, Frame, FrameHeader, HEADER_BYTES, Kind, SegmentFacts};
use super::prelude::Prelude;
use super::{Parsed, record};

/// A batch laid out as a frame: header (still empty), table with bare CRCs, times, body, zeros.
#[derive(Debug)]
pub(crate) struct Draft {
    bytes: Vec<u8>,
    count: u32,
    flags: u8,
    body_len: u32,
    prelude_crc: u32,
}

/// What a commit gives a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) first: Position,
    pub(crate) durable: Position,
    pub(crate) recorded_at: Timestamp,
    /// The wall clock, where it differs from `recorded_at`.
    pub(crate) wall: Option<Timestamp>,
    pub(crate) clock_suspect: bool,
    pub(crate) group_seq: u64,
    pub(crate) offset: u64,
}

/// What a caller gives besides the events.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DraftFacts<'a> {
    pub(crate) key: Option<&'a str>,
    pub(crate) imported: bool,
    /// Times of an import that keeps them, one an event.
    pub(crate) recorded_at: Option<&'a [Timestamp]>,
}

impl Draft {
    /// Lays out a batch of at least one event, all of which keep the limits.
    pub(crate) fn new(events: &[NewEvent], facts: &DraftFacts<'_>) -> Draft {
        let count = events.len();
        let times = facts.recorded_at.unwrap_or_default();
        let body_at = HEADER_BYTES + count * ENTRY_BYTES + times.len() * 8;
        let estimate: usize =
            events.iter().map(|event| record::HEADER_BYTES + event.text().len() + event.data().len()).sum();
        let mut bytes = Vec::with_capacity(body_at + estimate + 256);
        bytes.resize(HEADER_BYTES + count * ENTRY_BYTES, 0);
        times.iter().for_each(|time| bytes.extend_from_slice(&time.as_nanos().to_le_bytes()));

        if let Some(key) = facts.key {
            let prelude = Prelude { key: Some((key, &[0; 32])) };
            prelude.encode(&mut bytes);
        }
        let records_at = bytes.len();
        for (index, event) in events.iter().enumerate() {
            let start = bytes.len();
            record::encode(event, &mut bytes);
            let (end, crc) = ((bytes.len() - body_at) as u32, frame::crc(&bytes[start..]));
            Put(&mut bytes[HEADER_BYTES + index * ENTRY_BYTES..]).u32(8, end).u32(12, crc);
        }
        if facts.key.is_some() {
            // The content hash is the last entry of the prelude.
            let hash = record_hash(&bytes[records_at..]);
            Put(&mut bytes).bytes(records_at - hash.len(), &hash);
        }
        let body_len = (bytes.len() - body_at) as u32;
        let prelude_crc = if facts.key.is_some() { frame::crc(&bytes[body_at..records_at]) } else { 0 };
        bytes.resize(align_up(bytes.len() as u64, ALIGN) as usize, 0);
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        Draft {
            bytes,
            count: count as u32,
            flags: flag(facts.imported, frame::IMPORTED)
                | flag(facts.recorded_at.is_some(), frame::RECORDED_EACH)
                | flag(facts.key.is_some(), frame::PRELUDE),
            body_len,
            prelude_crc,
        }
    }

    /// Length of the frame, in bytes, with room for a wall clock.
    pub(crate) fn frame_bytes_max(&self) -> u64 {
        self.bytes.len() as u64 + ALIGN
    }

    /// The same of a frame without a key whose records are so long together, in bytes.
    pub(crate) fn frame_bytes_max_of(record_bytes: u64, count: usize, keeps_times: bool) -> u64 {
        let each = ENTRY_BYTES + if keeps_times { 8 } else { 0 };
        align_up((HEADER_BYTES + count * each) as u64 + record_bytes, ALIGN) + ALIGN
    }

    /// The frame as it stands.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn header(&self, place: &Place) -> FrameHeader {
        FrameHeader {
            kind: Kind::Events,
            flags: self.flags,
            body_len: self.body_len,
            count: self.count,
            first: place.first,
            durable: place.durable,
            recorded_at: place.recorded_at,
            group_seq: place.group_seq,
            prelude_crc: self.prelude_crc,
            table_crc: 0,
            check: 0,
        }
    }

    /// Fills in the place and all checks. `version` says the version of each event in turn.
    /// Returns the header as it then stands.
    pub(crate) fn seal(&mut self, place: &Place, salt: u64, versions: &[u64]) -> FrameHeader {
        if place.clock_suspect {
            self.flags |= frame::CLOCK_SUSPECT;
        }
        if let Some(wall) = place.wall {
            self.insert_wall(wall);
        }
        let mut header = self.header(place);
        let table_at = HEADER_BYTES;
        let entries = self.bytes[table_at..].chunks_exact_mut(ENTRY_BYTES);
        for ((index, entry), version) in (0u64..u64::from(self.count)).zip(entries).zip(versions) {
            frame::seal_entry(entry, place.first.get() + index, *version, salt);
        }
        header.table_crc = frame::crc(&self.bytes[table_at..table_at + header.table_bytes() as usize]);
        header.check = header.encode(&mut self.bytes[..HEADER_BYTES], salt, place.offset);
        header
    }

    /// Makes room for the wall clock at the end of the table; rare, so a move of the body will do.
    fn insert_wall(&mut self, wall: Timestamp) {
        let unpadded = HEADER_BYTES as u64 + self.table_bytes() + u64::from(self.body_len);
        let at = HEADER_BYTES + self.table_bytes() as usize;
        self.bytes.truncate(unpadded as usize);
        self.bytes.splice(at..at, wall.as_nanos().to_le_bytes());
        self.bytes.resize(align_up(self.bytes.len() as u64, ALIGN) as usize, 0);
        self.flags |= frame::WALL;
    }

    fn table_bytes(&self) -> u64 {
        let place = Place {
            first: Position::ORIGIN,
            durable: Position::ORIGIN,
            recorded_at: Timestamp::from_nanos(0),
            wall: None,
            clock_suspect: false,
            group_seq: 0,
            offset: 0,
        };
        self.header(&place).table_bytes()
    }

    /// The batch's key and content hash, before or after sealing.
    pub(crate) fn prelude(&self) -> Prelude<'_> {
        let body_at = HEADER_BYTES + self.table_bytes() as usize;
        let body = self.bytes.get(body_at..body_at + self.body_len as usize).unwrap_or_default();
        match self.flags & frame::PRELUDE {
            0 => Prelude::default(),
            _ => Prelude::len(body).and_then(|len| Prelude::parse(&body[..len]).ok()).unwrap_or_default(),
        }
    }

    /// The sealed frame, read back as any reader would.
    pub(crate) fn view(&self, header: FrameHeader, facts: SegmentFacts) -> Parsed<Frame<'_>> {
        Frame::new(header, facts, &self.bytes)
    }

    /// The version of the event at an index, once sealed.
    pub(crate) fn version(&self, index: usize) -> u64 {
        u64_at(&self.bytes, HEADER_BYTES + index * ENTRY_BYTES).unwrap_or_default()
    }
}

fn record_hash(records: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(records).into()
}

#[cfg(test)]
mod tests {
    use super::super::frame::HeaderRead;
    use super::*;
    use crate::event::LogId;

    const FACTS: SegmentFacts = SegmentFacts { log: LogId([3; 16]), epoch: 2, salt: 9 };

    fn place(wall: Option<Timestamp>) -> Place {
        Place {
            first: Position::new(11),
            durable: Position::new(5),
            recorded_at: Timestamp::from_nanos(1_700_000_000_000_000_000),
            wall,
            clock_suspect: false,
            group_seq: 4,
            offset: 4096,
        }
    }

    fn events(count: usize, data: usize) -> Vec<NewEvent> {
        (0..count).map(|n| NewEvent::bytes("a.b", format!("s/{n}"), "text/plain", vec![7u8; data])).collect()
    }

    #[test]
    fn a_frame_never_gets_longer_than_was_said_before() {
        let times: Vec<Timestamp> = (0..3).map(Timestamp::from_nanos).collect();
        // Data of every length within the alignment, so that every padding comes about.
        for (count, data) in (1..=3).flat_map(|count| (0..2 * ALIGN as usize).map(move |data| (count, data))) {
            let events = events(count, data);
            for (recorded_at, key) in [(None, None), (Some(&times[..count]), None), (None, Some("k"))] {
                let draft = || Draft::new(&events, &DraftFacts { key, imported: false, recorded_at });
                let most = draft().frame_bytes_max();
                let mut longest = 0;
                for wall in [None, Some(Timestamp::from_nanos(6))] {
                    let mut sealed = draft();
                    let header = sealed.seal(&place(wall), FACTS.salt, &[1, 2, 3][..count]);
                    longest = longest.max(sealed.bytes().len() as u64);
                    assert!(sealed.bytes().len() as u64 <= most && header.frame_bytes() <= most);
                    assert_eq!(header.frame_bytes(), sealed.bytes().len() as u64);
                }
                assert!(most - longest < 2 * ALIGN, "{most} {longest}");
                if key.is_none() {
                    let mut records = Vec::new();
                    events.iter().for_each(|event| record::encode(event, &mut records));
                    let told = Draft::frame_bytes_max_of(records.len() as u64, count, recorded_at.is_some());
                    assert_eq!(told, most);
                }
            }
        }
    }

    #[test]
    fn what_was_laid_out_is_read_with_its_key_versions_and_wall_clock() {
        let events = events(3, 5);
        let mut records = Vec::new();
        events.iter().for_each(|event| record::encode(event, &mut records));
        let hash = record_hash(&records);
        assert_eq!(record_hash(b"abc")[..4], [0xba, 0x78, 0x16, 0xbf], "SHA-256, as in FIPS 180-4");
        for (key, wall) in [(None, None), (Some("k"), None), (Some("k"), Some(Timestamp::from_nanos(6)))] {
            let mut draft = Draft::new(&events, &DraftFacts { key, ..DraftFacts::default() });
            let expected = Prelude { key: key.map(|key| (key, &hash)) };
            assert_eq!(draft.prelude(), expected, "before");
            draft.seal(&place(wall), FACTS.salt, &[7, 8, 9]);
            assert_eq!(draft.prelude(), expected, "after");
            assert_eq!([0, 1, 2].map(|index| draft.version(index)), [7, 8, 9]);
            let HeaderRead::Valid(header) = FrameHeader::read(draft.bytes(), FACTS.salt, 4096) else {
                panic!("{key:?} {wall:?}");
            };
            let frame = draft.view(header, FACTS).unwrap();
            frame.check_all().unwrap();
            assert_eq!(frame.batch_facts(0).unwrap().wall, wall);
        }
    }

    /// Whether there is a prelude says the flag, not what the bytes look like.
    #[test]
    fn a_record_that_could_be_a_prelude_is_none() {
        // Its lengths are entries: a key of no bytes, a hash of 32, and one that is passed over, to the end.
        let event_type = format!("aa{}", "b".repeat(30));
        let last = usize::from(u16::from_le_bytes(*b"aa"));
        let data = vec![0u8; record::HEADER_BYTES + 4 + last - (record::HEADER_BYTES + 2 + event_type.len())];
        let event = NewEvent::bytes(event_type, "s/", "", data).occurred_at(Timestamp::from_nanos(1));
        let mut bytes = Vec::new();
        record::encode(&event, &mut bytes);
        assert!(Prelude::parse(&bytes).unwrap().key.is_some());
        let mut draft = Draft::new(&[event], &DraftFacts::default());
        assert_eq!(draft.prelude(), Prelude::default());
        let header = draft.seal(&place(None), FACTS.salt, &[1]);
        assert_eq!(draft.view(header, FACTS).unwrap().prelude().unwrap(), Prelude::default());
    }
}
