//! Tables of sections that come back, and such as no writer makes.

use crate::format::Parsed;
use crate::format::sealed::sections::{Sections, SectionsWriter};

/// Where they begin: behind a head of whatever.
const AT: usize = 5;

fn entry(id: u8, codec: u8, flags: u8, zero: u8, len: u32) -> Vec<u8> {
    [&[id, codec, flags, zero][..], &len.to_le_bytes()].concat()
}

/// Tables and bodies behind a head.
fn behind(parts: &[&[u8]]) -> Vec<u8> {
    [&[0xAA; AT][..], &parts.concat()].concat()
}

fn parse(bytes: &[u8], count: u32) -> Parsed<Sections<'_>> {
    Sections::parse(bytes, AT, count, |id| id < 10)
}

fn offset(bytes: &[u8], count: u32) -> usize {
    parse(bytes, count).unwrap_err().offset as usize
}

#[test]
fn sections_come_back() {
    let mut writer = SectionsWriter::default();
    let (short, long) = ("grün", "grün ".repeat(500));
    writer.column(0, &[0, 0, 0]);
    writer.column(1, &[5, 6, 900]);
    writer.list(2, &[]);
    writer.list(3, &[7, 8]);
    writer.raw(4, b"");
    writer.raw(5, b"raw");
    writer.text(6, "");
    writer.text(7, short);
    writer.text(8, &long);
    assert_eq!(writer.len(), 5, "those of nothing are left out");
    let mut bytes = vec![0xAA; AT];
    writer.finish(&mut bytes);
    assert!(bytes.len() < 150, "the long text is compressed: {}", bytes.len());
    let codec = |index: usize| bytes[AT + index * 8 + 1];
    assert_eq!((codec(3), codec(4)), (0, 1), "what compression makes longer stands as it is");
    let sections = parse(&bytes, 5).unwrap();
    let all = |id: u8, count: usize| {
        let mut values = Vec::new();
        sections.column(id, count).unwrap().unpack(&bytes, &mut values);
        values
    };
    assert_eq!((all(0, 3), all(1, 3)), (vec![0; 3], vec![5, 6, 900]));
    let mut values = Vec::new();
    sections.list(3, 2).unwrap().unpack(&bytes, &mut values);
    assert_eq!((values.as_slice(), sections.list(2, 0).unwrap().count()), (&[7, 8][..], 0));
    assert!(sections.list(3, 1).is_err(), "more than there may be");
    assert_eq!((&bytes[sections.raw(5).unwrap()], sections.raw(4).unwrap()), (&b"raw"[..], 0..0));
    assert_eq!(&*sections.text(7, short.len()).unwrap(), short);
    assert_eq!(&*sections.text(8, long.len()).unwrap(), long);
    assert_eq!(&*sections.text(6, 0).unwrap(), "");
    assert!(sections.text(6, 1).is_err() && sections.text(7, 4).is_err() && sections.text(7, 6).is_err());
    assert!(sections.raw(8).is_err(), "a codec where there is none");
}

#[test]
fn a_table_that_no_writer_makes_is_told_where_it_stands() {
    let good = behind(&[&entry(3, 0, 1, 0, 2), &entry(9, 0, 1, 0, 1), b"abc"]);
    let sections = parse(&good, 2).unwrap();
    assert_eq!((&good[sections.raw(3).unwrap()], &good[sections.raw(9).unwrap()]), (&b"ab"[..], &b"c"[..]));
    assert_eq!(offset(&good, 1), AT + 8 + 2, "more bytes");
    assert_eq!((offset(&good, 3), offset(&good[..AT + 15], 2), offset(&good, u32::MAX)), (AT, AT, AT));
    assert_eq!(offset(&[], 0), AT);

    let second = AT + 8;
    let with = |second: Vec<u8>| offset(&behind(&[&entry(3, 0, 1, 0, 2), &second, b"abc"]), 2);
    assert_eq!(with(entry(3, 0, 1, 0, 1)), second, "the same");
    assert_eq!(with(entry(2, 0, 1, 0, 1)), second, "out of order");
    assert_eq!(with(entry(9, 0, 1, 1, 1)), second, "a zero that is none");
    assert_eq!(with(entry(10, 0, 1, 0, 1)), second, "one that is required and not known");
    assert_eq!(with(entry(9, 0, 1, 0, 2)), second + 4, "beyond the end");
    let passed = behind(&[&entry(3, 0, 1, 0, 2), &entry(10, 77, 0xFE, 0, 1), b"abc"]);
    assert!(parse(&passed, 2).is_ok(), "one that is not known and need not be");
}

#[test]
fn texts_and_lists_that_no_writer_makes_are_errors() {
    let one = |codec: u8, body: &[u8]| behind(&[&entry(3, codec, 1, 0, body.len() as u32), body]);
    let text = |codec: u8, body: &[u8], len: usize| {
        let bytes = one(codec, body);
        parse(&bytes, 1).unwrap().text(3, len).map(String::from).map_err(|bad| bad.offset as usize)
    };
    let at = Err(AT + 8);
    assert_eq!(text(0, b"\x02ab", 2), Ok("ab".into()));
    assert_eq!(
        (text(0, b"\x02ab", 3), text(0, b"\x02a", 2), text(0, b"\x02abc", 2)),
        (at.clone(), at.clone(), at.clone())
    );
    assert_eq!(
        (text(0, b"\x02a\xFF", 2), text(2, b"\x02ab", 2), text(1, b"\x02ab", 2)),
        (at.clone(), at.clone(), at.clone())
    );
    assert_eq!(text(0, b"\xFF", 2), at, "a length that does not end");
    let frame = zstd::bulk::compress(&[b'a'; 100], 3).unwrap();
    let body = [&[100][..], &frame].concat();
    assert_eq!(text(1, &body, 100), Ok("a".repeat(100)));
    let shorter = [&[101][..], &frame].concat();
    assert_eq!(text(1, &shorter, 101), at, "fewer bytes than the length says");
    let longer = [&[99][..], &frame].concat();
    assert_eq!(text(1, &longer, 99), at);

    let list = |body: &[u8], max: usize| {
        let bytes = one(0, body);
        let listed = parse(&bytes, 1).unwrap().list(3, max).map(|list| list.count());
        listed.map_err(|bad| bad.offset as usize)
    };
    assert_eq!((list(&[3, 2], 3), list(&[3, 2], 2)), (Ok(3), Err(AT + 8)));
    assert_eq!(list(&[3, 2, 2], 3), Err(AT + 8 + 2));
}
