//! What fits its checks and makes no sense is found out all the same.

use super::*;
use crate::format::bytes::Put;
use crate::format::sealed::ids::{Mode, Template};
use crate::format::tier::{CHECK_AT, SEED};
use crate::format::{Bad, page};

fn run(covered: &[Covered], templates: &Templates, entries: &[u64]) -> Vec<u8> {
    write(LogId([3; 16]), Position::new(1), [5; 32], covered, templates, entries)
}

/// Of two segments and one template.
fn small() -> Vec<u8> {
    let mut templates = Templates::default();
    templates.add(&template("k", 0), 0..=1);
    run(&[Covered::new(4, 12, 2), Covered::new(4, 12, 2)], &templates, &[])
}

fn template(kind: &str, difference: i64) -> Template {
    Template::new(kind.into(), "wiki-\x02".into(), Mode::Position(difference)).unwrap()
}

/// What a view of these bytes says when it is asked.
fn asked<T>(file: &[u8], ask: impl FnOnce(&TierView<'_>) -> Parsed<T>) -> Parsed<T> {
    let header = TierHeader::read(file).valid().unwrap();
    let checked = Checked::new(file.len() as u64);
    ask(&TierView::new(file, &header, &checked))
}

/// The same with some bytes of a page changed, under a check that fits.
fn poked(file: &[u8], page: usize, at: usize, bytes: &[u8]) -> Vec<u8> {
    let header = TierHeader::read(file).valid().unwrap();
    let mut file = file.to_vec();
    let start = page * PAGE_BYTES;
    Put(&mut file[start..]).bytes(at, bytes);
    let check = page_check(&file[start..start + PAGE_BYTES], header.salt(), start as u64);
    Put(&mut file[start..]).u64(PAGE_BYTES - 8, check);
    file
}

#[test]
fn entries_out_of_order_or_of_no_segment_are_errors() {
    let covered = [Covered::new(4, 12, 2), Covered::new(4, 12, 2)];
    let run = |entries: &[u64]| run(&covered, &Templates::default(), entries);
    let hash = 5 << 61;
    let of = |number| entry(hash >> 52, 12, number);
    assert_eq!(find(&run(&[of(0), of(1)]), hash).unwrap(), [0, 1]);
    // Header, segments, directory, and then they.
    let second = 3 * PAGE_BYTES as u64 + 8;
    for (entries, offset) in [([of(1), of(0)], second), ([of(1), of(1)], second), ([of(2), of(2)], second - 8)] {
        assert_eq!(find(&run(&entries), hash).unwrap_err().offset, offset);
        assert_eq!(asked(&run(&entries), |view| view.check_all()).unwrap_err().offset, offset);
    }
    // More bits than the segment keeps of a hash.
    assert!(asked(&run(&[of(0) | 1 << 40]), |view| view.check_all()).is_err());
}

#[test]
fn a_directory_that_does_not_go_with_the_entries_is_an_error() {
    // A bucket for each of the 8 values of the upper three bits.
    let covered = [Covered::new(4, 12, 1000)];
    let file = run(&covered, &Templates::default(), &[2 << 61, 2 << 61 | 1 << 52, 5 << 61]);
    asked(&file, |view| view.check_all()).unwrap();
    assert_eq!(TierHeader::read(&file).valid().unwrap().radix, 3);
    let directory = |bucket: usize, start: u64| poked(&file, 2, bucket * 8, &start.to_le_bytes());
    let at = |bucket: u64| 2 * PAGE_BYTES as u64 + bucket * 8;
    for bucket in 0..=8 {
        let right = [0, 0, 0, 2, 2, 2, 3, 3, 3][bucket];
        for start in (0..=5).filter(|start| *start != right) {
            let bad = asked(&directory(bucket, start), |view| view.check_all()).unwrap_err();
            assert_eq!(bad.offset, at(bucket as u64), "{start} before bucket {bucket}");
        }
    }
    assert_eq!(find(&directory(6, 4), 5 << 61).unwrap_err().offset, at(6));
    assert_eq!(find(&directory(6, 3), 5 << 61).unwrap(), [0]);
}

#[test]
fn segments_that_no_writer_makes_are_errors() {
    let good = Covered::new(1, 48, 7);
    assert_eq!(Covered::read(&good.encode()), Some(good));
    let with = |at: usize, byte: u8| {
        let mut bytes = good.encode();
        bytes[at] = byte;
        Covered::read(&bytes)
    };
    for (at, byte) in [(0, 0), (4, 0), (4, 49), (5, 1), (6, 1), (7, 1)] {
        assert_eq!(with(at, byte), None, "{byte} at {at}");
    }
    assert_eq!(with(4, 1), Some(Covered { width: 1, ..good }));

    let segments = |file: &[u8]| asked(file, |view| view.segments());
    let start = PAGE_BYTES as u64;
    assert_eq!(segments(&poked(&small(), 1, 16 + 4, &[0])).unwrap_err().offset, start + 16, "a width");
    assert_eq!(segments(&poked(&small(), 1, 16, &[5])).unwrap_err().offset, start, "events beyond the run");
    assert_eq!(segments(&poked(&small(), 1, 16 + 4, &[13])).unwrap_err().offset, start, "another width");
    assert_eq!(segments(&small()).unwrap().len(), 2);
}

#[test]
fn a_header_that_no_writer_makes_is_none() {
    let whole = TierHeader::read(&small()).valid().unwrap();
    // As long as its own counts say.
    let read = |header: TierHeader, change: &dyn Fn(&mut page::Page)| {
        let file_bytes = header.pages().map_or(0, |pages| pages.end.saturating_mul(PAGE_BYTES as u64));
        let mut page = TierHeader { file_bytes, ..header }.encode();
        change(&mut page);
        page::seal(&mut page, CHECK_AT, SEED);
        TierHeader::read(&page[..]).valid()
    };
    assert_eq!(read(whole.clone(), &|_| ()), Some(whole.clone()));
    assert_eq!(read(whole.clone(), &|page| page[20] = 2), None, "a flag that means nothing");
    assert_eq!(read(whole.clone(), &|page| page[88] ^= 1), None, "another length");

    let with = |change: &dyn Fn(&mut TierHeader)| {
        let mut header = whole.clone();
        change(&mut header);
        read(header, &|_| ()).is_some()
    };
    assert!(with(&|header| header.radix = 32) && !with(&|header| header.radix = 33));
    assert!(with(&|header| header.segments = 1) && !with(&|header| header.segments = 0));
    assert!(with(&|header| header.segments = 65_536) && !with(&|header| header.segments = 65_537));
    assert!(!with(&|header| header.first = Position::ORIGIN));
    assert!(with(&|header| header.last = header.first));
    assert!(!with(&|header| header.first = Position::new(header.last.get() + 1)));
    assert!(with(&|header| header.widths = (1 << 49) - 2) && !with(&|header| header.widths = 0));
    assert!(!with(&|header| header.widths |= 1) && !with(&|header| header.widths |= 1 << 49));
    assert!(with(&|header| header.templates = 1024) && !with(&|header| header.templates = 1025));
    assert!(with(&|header| header.templates_bytes = 1 << 18));
    assert!(!with(&|header| header.templates_bytes = (1 << 18) + 1));
    assert!(!with(&|header| header.any_id = true), "templates that were left out and are there");
    assert!(with(&|header| (header.any_id, header.templates) = (true, 0)));
    assert!(!with(&|header| header.entries = u64::MAX / 8) && !with(&|header| header.entries = u64::MAX));
}

#[test]
fn templates_that_no_writer_makes_are_errors() {
    let mut known = Templates::default();
    [3, 7, 9].into_iter().for_each(|difference| known.add(&template("k", difference), 1..=2));
    let good = known.encode();
    let one = good.len() / 3;
    let parse = |bytes: &[u8], count, segments| Templates::parse(bytes, count, segments, false);
    assert_eq!(parse(&good, 3, 3).unwrap(), known);
    let offset = |parsed: Parsed<Templates>| parsed.map_err(|bad: Box<Bad>| bad.offset as usize).unwrap_err();
    assert_eq!(offset(parse(&good, 3, 2)), 0, "a segment that is none");
    assert_eq!(offset(parse(&good, 2, 3)), 2 * one, "more bytes");
    assert_eq!(offset(parse(&good[..good.len() - 1], 3, 3)), 2 * one, "the end");
    let twice = [&good[..one], &good[..one], &good[2 * one..]].concat();
    assert_eq!(offset(parse(&twice, 3, 3)), one, "the same again");
    let turned = [&good[..one], &good[2 * one..], &good[one..2 * one]].concat();
    assert_eq!(offset(parse(&turned, 3, 3)), 2 * one, "out of order");
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[one + at] = byte;
        parse(&bytes, 3, 3)
    };
    // A mode that finds nothing, zeros that are none, a first segment behind the last, text that is none.
    for (at, byte) in [(4, 0), (4, 1), (4, 3), (5, 1), (7, 1), (16, 3), (20, 0xFF), (21, 0xFF)] {
        assert_eq!(offset(with(at, byte)), one, "{byte} at {at}");
    }
    assert!(with(8, 8).is_ok());
    // A difference where there is no number, and so none is read.
    let mut subject = Templates::default();
    subject.add(&Template::new("k".into(), "s-\x01".into(), Mode::Column).unwrap(), 0..=0);
    let mut bytes = subject.encode();
    assert_eq!(parse(&bytes, 1, 1).unwrap(), subject);
    bytes[8] = 1;
    assert_eq!(offset(parse(&bytes, 1, 1)), 0);

    // In a file, where a page says where they begin.
    let file = run(&[Covered::new(4, 12, 2); 3], &known, &[]);
    assert_eq!(asked(&file, |view| view.templates()).unwrap(), known);
    let file = poked(&file, 2, one + 5, &[1]);
    assert_eq!(asked(&file, |view| view.templates()).unwrap_err().offset as usize, 2 * PAGE_BYTES + one);
}

#[test]
fn templates_are_kept_up_to_their_limits() {
    let many = |count: i64| {
        let mut templates = Templates::default();
        (0..count).for_each(|difference| templates.add(&template("k", difference), 0..=0));
        templates
    };
    assert!(!many(1024).is_overflown() && many(1024).len() == 1024);
    assert!(many(1025).is_overflown() && many(1025).len() == 0);
    let mut again = many(1024);
    again.add(&template("k", 5), 3..=3);
    assert!(!again.is_overflown(), "one of those that are there");

    // 20 bytes each, and the text of six: 256 KiB in all.
    let long = |bytes: usize| {
        let mut templates = Templates::default();
        for difference in 0..4 {
            let last = usize::from(difference == 3);
            templates.add(&template(&"k".repeat((1 << 16) - 26 + last * bytes), difference), 0..=0);
        }
        templates
    };
    assert!(!long(0).is_overflown() && long(0).encode().len() == 1 << 18);
    assert!(long(1).is_overflown());

    let longest = |kind: usize, text: usize| {
        let mut templates = Templates::default();
        let text = format!("{}\x02", "t".repeat(text - 1));
        templates.add(&Template::new("k".repeat(kind), text, Mode::Position(0)).unwrap(), 0..=0);
        templates.is_overflown()
    };
    assert!(!longest(65_535, 65_535));
    assert!(longest(65_536, 1) && longest(1, 65_536));

    let mut other = Templates::default();
    other.overflow();
    other.add_all(&many(1), 0);
    assert!(other.is_overflown() && other.len() == 0);
    let mut templates = many(1);
    templates.add_all(&other, 0);
    assert!(templates.is_overflown() && templates.len() == 0);
}
