//! The bytes of a worker's file: where they stand, what reading makes of them, and of every way to damage them.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::*;
use crate::actor::Actor;
use crate::checkpoint::Checkpoint;
use crate::format::layout;
use crate::format::tests::Sheet;
use crate::position::Position;

const SALT: u64 = 0x1234_5678_9ABC_DEF0;

fn header(reach: u64) -> FileHeader {
    let (log, name) = (LogId([7; 16]), "mail".to_owned());
    FileHeader { log, salt: SALT, made_at: Timestamp::from_nanos(99), reach, name }
}

fn decision() -> Decision {
    let by = Actor::user("alice").on_behalf_of("bob");
    Decision { position: Position::new(3), at: Timestamp::from_nanos(8), by, reason: "why not".to_owned() }
}

/// One entry of each kind.
fn entries() -> Vec<Entry> {
    let position = Position::new(5);
    let due = Timestamp::from_nanos(-7);
    let (step, error, key) = ("send".to_owned(), "refused".to_owned(), "s/1".to_owned());
    vec![
        Entry::Through(Checkpoint { position, epoch: 2, fingerprint: [9; 16] }),
        Entry::Open(position),
        Entry::Finished(position),
        Entry::Result { position, step: step.clone(), json: "{\"a\":1}".to_owned() },
        Entry::Due { position, step: step.clone(), due },
        Entry::Aside { position, due, attempts: 3, step, error: error.clone() },
        Entry::Parked {
            position,
            since: due,
            attempts: 4,
            behind: Some(Position::new(2)),
            key: key.clone(),
            error: error.clone(),
        },
        Entry::Parked { position, since: due, attempts: 4, behind: None, key, error },
        Entry::Retried(decision()),
        Entry::Skipped(decision()),
        Entry::Session { begun: true, at: due, process: "pid 1".to_owned() },
        Entry::Session { begun: false, at: due, process: String::new() },
    ]
}

/// A file of these frames, with so much room behind them.
fn file(frames: &[&[Entry]], room: usize) -> Vec<u8> {
    let len: u64 = frames
        .iter()
        .map(|entries| {
            let mut bytes = Vec::new();
            entries.iter().for_each(|entry| entry.encode(&mut bytes));
            frame_bytes(bytes.len() as u64)
        })
        .sum();
    let reach = HEADER_BYTES as u64 + len + room as u64;
    let mut bytes = header(reach).encode();
    for (seq, entries) in (1..).zip(frames) {
        let offset = bytes.len() as u64;
        bytes.extend(frame(entries, seq, reach, Timestamp::from_nanos(1), SALT, offset).unwrap());
    }
    bytes.resize(reach as usize, 0);
    bytes
}

/// The entries up to the end, and whether a tear is there; the damage.
fn read(bytes: &[u8]) -> Result<(Vec<Entry>, bool), Box<Bad>> {
    let header = match FileHeader::read(bytes) {
        Read::Valid(header) => header,
        Read::Bad(bad) => return Err(bad),
        other => panic!("{other:?}"),
    };
    let mut found = Vec::new();
    let walked = walk(bytes, &header, &mut |frame| {
        found.extend(frame.entries()?);
        Ok(())
    })?;
    Ok((found, walked.torn.is_some()))
}

#[test]
fn the_header_is_where_the_table_says() {
    let sheet = Sheet::below("## Workers", 0);
    sheet.agrees(layout::WORKER_HEADER);
    let bytes = header(4_096).encode();
    let mut expected = b"ANNLWORK\x01\0\x01\0\0\0\0\0".to_vec();
    expected.extend_from_slice(&[7; 16]);
    expected.extend_from_slice(&SALT.to_le_bytes());
    expected.extend_from_slice(&99i64.to_le_bytes());
    expected.extend_from_slice(&4_096u64.to_le_bytes());
    expected.extend_from_slice(&[4, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend_from_slice(b"mail");
    expected.resize(504, 0);
    expected.extend_from_slice(&xxh3_64_with_seed(&expected, u64::from_le_bytes(*b"ANNLWORK")).to_le_bytes());
    assert_eq!(bytes, expected);
    assert_eq!(FileHeader::read(&bytes), Read::Valid(header(4_096)));
    for bit in (0..bytes.len() * 8).step_by(crate::trials::STRIDE) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(FileHeader::read(&flipped), Read::Bad(_)), "bit {bit}");
    }
}

#[test]
fn frames_and_entries_are_where_the_tables_say() {
    let entry = Entry::Aside {
        position: Position::new(5),
        due: Timestamp::from_nanos(6),
        attempts: 7,
        step: "s".to_owned(),
        error: "err".to_owned(),
    };
    let mut expected = vec![40, 0, 0, 0, 6, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0];
    expected.extend_from_slice(&[6, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0]);
    expected.extend_from_slice(b"\x01\0\0\0s\x03\0\0\0err");
    assert_eq!(expected.len(), 40);
    let mut encoded = Vec::new();
    entry.encode(&mut encoded);
    assert_eq!(encoded, expected);
    let bytes = frame(&[entry], 3, 9_000, Timestamp::from_nanos(11), SALT, 512).unwrap();
    let mut body = expected;
    body.resize(64, 0xA5);
    let mut head = b"WFRM\x28\0\0\0\x01\0\0\0\0\0\0\0".to_vec();
    for number in [3, 9_000, 11, xxh3_64_with_seed(&body, SALT)] {
        head.extend_from_slice(&number.to_le_bytes());
    }
    head.extend_from_slice(&xxh3_64_with_seed(&head, SALT ^ 512).to_le_bytes());
    head.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0xA5]);
    assert_eq!(bytes, [head, body].concat());
}

#[test]
fn what_was_written_is_read() {
    let all = entries();
    assert_eq!(read(&file(&[], 4_096)).unwrap(), (vec![], false));
    let whole = file(&[&all, &[], &all], 700);
    assert_eq!(read(&whole).unwrap(), ([all.clone(), all.clone()].concat(), false));
    // Longer than it says: room that was not announced yet.
    assert_eq!(read(&[&whole[..], &[3; 900]].concat()).unwrap().0.len(), 2 * all.len());
    for entry in &all {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        assert_eq!(Entry::read(&bytes).unwrap(), (entry.clone(), bytes.len()));
        for len in 0..bytes.len() {
            assert!(Entry::read(&bytes[..len]).is_err(), "{entry:?} cut to {len}");
        }
    }
    assert_eq!(frame(&[Entry::Open(Position::new(1))], 1, 0, Timestamp::from_nanos(0), 0, 0).unwrap().len(), 128);
}

#[test]
fn zeros_that_an_interrupted_write_would_leave_are_not_written() {
    let (position, json) = (Position::new(1), "\0".repeat(200));
    let zeros = Entry::Result { position, step: "s".to_owned(), json };
    assert_eq!(frame(&[zeros], 1, 4_096, Timestamp::from_nanos(0), SALT, 512), None);
}

/// Each row of the table of verdicts.
#[test]
fn the_end_is_judged_as_the_table_says() {
    let all = entries();
    let long = vec![all.clone(); 8].concat();
    let whole = file(&[&all[..1], &long], 1_024);
    let second = HEADER_BYTES + frame(&all[..1], 1, 0, Timestamp::from_nanos(0), SALT, 512).unwrap().len();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    assert!(end - second > 4 * 512, "it spans sectors");
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        read(&bytes).map(|(found, torn)| (found.len(), torn)).map_err(|bad| bad.offset)
    };
    let fill = |range: std::ops::Range<usize>, value: u8| move |bytes: &mut Vec<u8>| bytes[range.clone()].fill(value);
    assert_eq!(changed(&|_| ()), Ok((1 + long.len(), false)));
    assert_eq!(changed(&|bytes| bytes.truncate(bytes.len() - 1)), Err(whole.len() as u64 - 1));
    // The last frame, as writes that were cut off leave it.
    assert_eq!(changed(&fill(second..end, 0)), Ok((1, false)), "nothing of it");
    for cut in [1, 17, 63, 64, 65, 200, end - second - 1] {
        assert_eq!(changed(&fill(second + cut..end, 0)), Ok((1, true)), "cut off after {cut}");
    }
    for sector in (second / 512)..end.div_ceil(512) {
        let range = (sector * 512).max(second)..(sector * 512 + 512).min(end);
        assert_eq!(changed(&fill(range, 0)), Ok((1, true)), "sector {sector} was lost");
    }
    let first = (second + UNIT).next_multiple_of(512);
    assert!(first - second - UNIT > 64);
    assert_eq!(changed(&fill(second + UNIT..first, 0)), Ok((1, true)), "what the head's sector has of the body");
    // What looks like a frame behind the tear is one only if its check holds.
    let lookalike = |bytes: &mut Vec<u8>| {
        bytes[second + 40..end].fill(0);
        bytes[second + 128..second + 132].copy_from_slice(&FRAME_MAGIC);
    };
    assert_eq!(changed(&lookalike), Ok((1, true)));
    // Anything else at the end is damage.
    assert_eq!(changed(&|bytes| bytes[second + 20] ^= 1), Err(second as u64));
    assert_eq!(changed(&|bytes| bytes[second + 300] ^= 1), Err(second as u64 + 64));
    assert_eq!(changed(&fill(second + 300..second + 340, 0)), Err(second as u64 + 64), "less than a sector");
    assert_eq!(changed(&|bytes| bytes[end + 63] = 1), Err(end.next_multiple_of(64) as u64));
    // What stands before a valid frame was synced, however it looks.
    assert_eq!(changed(&fill(512..second, 0)), Err(512));
    assert_eq!(changed(&fill(600..second, 0)), Err(576));
    assert_eq!(changed(&fill(512..560, 0)), Err(512));
    // An announcement of more reach that is gone, and the frames that it was made for.
    let announced = frame(&[], 3, 9_000, Timestamp::from_nanos(0), SALT, end.next_multiple_of(64) as u64).unwrap();
    let mut longer = whole.clone();
    longer[end.next_multiple_of(64)..][..128].copy_from_slice(&announced);
    let at = longer.len() as u64;
    longer.extend(frame(&all[..1], 4, 9_000, Timestamp::from_nanos(0), SALT, at).unwrap());
    longer[end.next_multiple_of(64)..][..128].fill(0);
    assert_eq!(read(&longer).unwrap_err().offset, end.next_multiple_of(64) as u64);
    // A frame at another place, or of another file, is none.
    let moved = [&whole[..second], &whole[512..second], &vec![0; 1_024][..]].concat();
    assert!(read(&moved).is_err());
}

#[test]
fn a_frame_that_does_not_follow_is_damage() {
    let entries = &entries()[..1];
    let mut bytes = file(&[entries], 2_000);
    let (reach, offset) = (bytes.len() as u64, 640);
    for (seq, reach, what) in [(3, reach, "a gap"), (1, reach, "again"), (2, reach - 64, "a shorter file")] {
        let next = frame(entries, seq, reach, Timestamp::from_nanos(0), SALT, offset).unwrap();
        bytes[640..640 + next.len()].copy_from_slice(&next);
        assert_eq!(read(&bytes).unwrap_err().offset, 640, "{what}");
    }
    let next = frame(entries, 2, reach + 1, Timestamp::from_nanos(0), SALT, offset).unwrap();
    bytes[640..640 + next.len()].copy_from_slice(&next);
    assert_eq!(read(&bytes).unwrap_err().offset, reach, "a longer file was announced");
    // To the last byte of the room, and over it.
    assert_eq!(read(&file(&[entries, entries], 0)).unwrap().0.len(), 2);
    let mut bytes = file(&[entries], 64);
    let (reach, offset) = (bytes.len() as u64, bytes.len() as u64 - 64);
    bytes.truncate(offset as usize);
    bytes.extend(frame(entries, 2, reach, Timestamp::from_nanos(0), SALT, offset).unwrap());
    assert!(bytes.len() as u64 > reach);
    assert_eq!(read(&bytes).unwrap_err().offset, offset, "it ends behind the room");
}

#[test]
fn an_entry_that_means_nothing_is_none() {
    for entry in entries() {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        let read = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut changed = bytes.clone();
            change(&mut changed);
            Entry::read(&changed).is_ok()
        };
        assert!(read(&|_| {}), "{entry:?}");
        assert!(!read(&|bytes| bytes[6] = 1) && !read(&|bytes| bytes[7] = 1), "{entry:?}: bytes that are zero");
        assert!(!read(&|bytes| bytes[4] = 0) && !read(&|bytes| bytes[4] = 11), "{entry:?}: a kind there is not");
        // A code where there is none, none where there is one, and one that there is not.
        let code = bytes[5];
        assert!(!read(&|bytes| bytes[5] = if code == 0 { 1 } else { 0 }) && !read(&|bytes| bytes[5] = 99), "{entry:?}");
        let other = |bytes: &mut Vec<u8>| {
            let number = if matches!(entry, Entry::Session { .. }) { 7 } else { 0 };
            bytes[8..16].copy_from_slice(&u64::to_le_bytes(number));
        };
        // How far a worker is may be any position.
        assert_eq!(read(&other), matches!(entry, Entry::Through(_)), "{entry:?}");
    }
}

/// A file of one frame of two entries, changed, with checks that fit.
fn mended(change: impl FnOnce(&mut [u8])) -> Result<(Vec<Entry>, bool), Box<Bad>> {
    let entries = [Entry::Open(Position::new(5)), Entry::Finished(Position::new(5))];
    let mut bytes = file(&[&entries], 700);
    let (at, whole) = (HEADER_BYTES, frame_bytes(32) as usize);
    change(&mut bytes[at..at + whole]);
    let body = xxh3_64_with_seed(&bytes[at + UNIT..at + whole], SALT);
    bytes[at + 40..at + 48].copy_from_slice(&body.to_le_bytes());
    let head = xxh3_64_with_seed(&bytes[at..at + 48], SALT ^ at as u64);
    bytes[at + 48..at + 56].copy_from_slice(&head.to_le_bytes());
    read(&bytes)
}

#[test]
fn what_makes_no_sense_under_checks_that_fit_is_told_where_it_stands() {
    assert_eq!(mended(|_| {}).unwrap().0.len(), 2);
    let at = HEADER_BYTES as u64;
    // The second entry: its kind, and its length.
    assert_eq!(mended(|frame| frame[UNIT + 16 + 4] = 77).unwrap_err().offset, at + 64 + 16 + 4);
    assert_eq!(mended(|frame| frame[UNIT + 16] = 99).unwrap_err().offset, at + 64 + 16);
    // How many there are.
    for count in [0, 1, 3] {
        assert_eq!(mended(|frame| frame[8] = count).unwrap_err().offset, at + 8, "{count}");
    }
    // What is no head of a frame: another magic, something where zeros stand, another end.
    for place in [0, 3, 12, 15, 56, 62, 63] {
        assert!(mended(|frame| frame[place] ^= 1).is_err(), "{place}");
    }
}

#[test]
fn a_header_that_no_writer_makes_is_damage() {
    let good = header(1 << 20).encode();
    let read = |pokes: &[(usize, u8)]| {
        let mut bytes = good.clone();
        pokes.iter().for_each(|(at, byte)| bytes[*at] = *byte);
        let check = xxh3_64_with_seed(&bytes[..CHECK_AT], SEED);
        Put(&mut bytes).u64(CHECK_AT, check);
        match FileHeader::read(&bytes) {
            Read::Valid(header) => Ok(header.name),
            Read::Bad(bad) => Err(bad.offset),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(read(&[]), Ok("mail".to_owned()));
    assert_eq!((read(&[(0, b'a')]), read(&[(64, 0xFF)])), (Err(0), Err(40)));
    // Zeros behind the name and before it, and the length of the name.
    assert_eq!(
        (read(&[(68, 1)]), read(&[(503, 1)]), read(&[(58, 1)]), read(&[(63, 1)])),
        (Err(40), Err(40), Err(40), Err(40))
    );
    assert_eq!((read(&[(56, 3)]), read(&[(56, 0), (64, 0), (65, 0), (66, 0), (67, 0)])), (Err(40), Err(40)));
    let named = |len: usize| {
        let pokes: Vec<(usize, u8)> = (0..len).map(|at| (NAME_AT + at, b'n')).chain([(56, len as u8)]).collect();
        read(&pokes)
    };
    assert_eq!((named(64), named(65)), (Ok("n".repeat(64)), Err(40)));
    // A reach of 511 bytes, and of 512.
    assert_eq!(
        (read(&[(48, 0xFF), (49, 1), (50, 0)]), read(&[(48, 0), (49, 2), (50, 0)])),
        (Err(40), Ok("mail".to_owned()))
    );
    let offset = |bytes: &[u8]| match FileHeader::read(bytes) {
        Read::Bad(bad) => bad.offset,
        other => panic!("{other:?}"),
    };
    assert_eq!(offset(&good[..511]), 511);
    let mut flipped = good.clone();
    flipped[20] ^= 1;
    assert_eq!(offset(&flipped), CHECK_AT as u64);
}
