//! Under checks that hold: what no writer makes is refused, and told where it stands.

use super::super::{directory, varint};
use super::*;
use crate::format::Parsed;

/// Of three blocks: 12 bits for a row, and 11 for the gap of a short entry.
const SHAPE: Shape = Shape { rows: 3_000, bits: 24, short: 3 };
const FIRST: u64 = 0x7F_0000;

fn offset<T>(parsed: Parsed<T>) -> Option<u64> {
    parsed.err().map(|bad| bad.offset)
}

#[test]
fn a_directory_that_no_writer_makes_is_none() {
    let parse =
        |shape, entries, pages: &[(u64, u32)]| offset(TermsDirectory::parse(&directory::encode(shape, entries, pages)));
    let with = |rows, bits, short| parse(Shape { rows, bits, short }, 1, &[(5, 17)]);
    assert_eq!(with(3_000, 24, 3), None);
    assert_eq!((with(ROWS_MAX, 24, 3), with(ROWS_MAX + 1, 24, 4)), (None, Some(0)));
    assert_eq!(
        (with(3_000, 12, 3), with(3_000, 11, 3), with(3_000, 64, 3), with(3_000, 65, 3)),
        (None, Some(0), None, Some(0))
    );
    assert_eq!((with(3_000, 24, 8), with(3_000, 24, 9)), (None, Some(0)));
    // Seven bits for a row leave one of a byte, eight leave none.
    assert_eq!((with(128, 24, 1), with(129, 24, 1), with(129, 24, 2)), (None, Some(0), None));

    let pages = |entries, pages: &[(u64, u32)]| parse(SHAPE, entries, pages);
    assert_eq!((pages(0, &[]), pages(1, &[]), pages(0, &[(5, 17)])), (None, Some(0), Some(0)));
    assert_eq!((pages(2, &[(5, 17), (5, 34)]), pages(1, &[(5, 17), (5, 34)])), (None, Some(0)));
    let second = Some(20 + 12);
    assert_eq!(pages(9, &[(5, 17), (4, 34)]), second, "hashes that fall");
    assert_eq!((pages(9, &[(5, 17), (0xFF_FFFF, 34)]), pages(9, &[(5, 17), (0x100_0000, 34)])), (None, second));
    assert_eq!(parse(Shape { bits: 64, ..SHAPE }, 9, &[(5, 17), (u64::MAX, 34)]), None);
    assert_eq!((pages(9, &[(5, 17), (6, 33)]), pages(9, &[(5, 17), (6, 16)])), (second, second), "too short");
    assert_eq!((pages(9, &[(5, 4_096), (6, 8_192)]), pages(9, &[(5, 17), (6, 4_114)])), (None, second), "too long");

    let good = directory::encode(SHAPE, 1, &[(5, 17)]);
    let directory = TermsDirectory::parse(&good).unwrap();
    assert_eq!((directory.bits(), directory.rows(), directory.entries(), directory.page_count()), (24, 3_000, 1, 1));
    let mended = |at: usize, byte: u8, end: usize| {
        let mut bytes = good[..end].to_vec();
        bytes[at] = byte;
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        offset(TermsDirectory::parse(&bytes))
    };
    let end = good.len() - 4;
    assert_eq!((mended(18, 0, end), mended(18, 1, end), mended(19, 1, end)), (None, Some(0), Some(0)));
    assert_eq!((mended(0, 0, end - 1), mended(0, 0, 19), mended(4, 2, end)), (Some(0), Some(0), Some(0)));
    assert_eq!(offset(TermsDirectory::parse(&good[..3])), Some(0));
    let mut flipped = good.clone();
    flipped[5] ^= 1;
    assert_eq!(offset(TermsDirectory::parse(&flipped)), Some(end as u64));
}

/// A page with these entries, the only one or followed by one that begins with a hash.
fn page(number: u32, first: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = [&number.to_le_bytes()[..], &first.to_le_bytes(), body].concat();
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn with_directory<T>(body: &[u8], next: Option<u64>, ask: impl FnOnce(Parsed<TermsPage<'_>>) -> T) -> T {
    let bytes = page(0, FIRST, body);
    let end = bytes.len() as u32;
    let pages: Vec<_> = [(FIRST, end)].into_iter().chain(next.map(|next| (next, end + 17))).collect();
    let directory = TermsDirectory::parse(&directory::encode(SHAPE, 9, &pages)).unwrap();
    ask(TermsPage::parse(&bytes, &directory))
}

/// Hash, version, row, count and blocks of an entry; of a key the blocks are its hash.
type Told = (u64, u64, u32, u32, Vec<u32>);

fn told(body: &[u8], next: Option<u64>) -> Result<Vec<Told>, u64> {
    with_directory(body, next, |page| {
        let tell = |entry: Parsed<(u64, Entry<'_>)>| {
            let (hash, entry) = entry.map_err(|bad| bad.offset)?;
            Ok(match entry {
                Entry::Term(postings) => {
                    (hash - FIRST, 0, postings.last_row, postings.count, postings.blocks().collect())
                }
                Entry::Subject { last_version, postings } => {
                    (hash - FIRST, last_version, postings.last_row, postings.count, postings.blocks().collect())
                }
                Entry::Key { first_row, count, content_hash } => {
                    (hash - FIRST, 0, first_row, count, vec![content_hash[0].into()])
                }
            })
        };
        page.unwrap().entries().map(tell).collect()
    })
}

/// An entry of some form in the long way; `rest` stands behind the row.
fn long(tag: u8, gap: u64, version: Option<u64>, row: u64, rest: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    varint::put(&mut out, gap);
    version.into_iter().for_each(|version| varint::put(&mut out, version));
    varint::put(&mut out, row);
    out.extend_from_slice(rest);
    out
}

fn term(row: u64, code: u8, rest: &[u8]) -> Result<Vec<Told>, u64> {
    told(&long(code << 4, 0, None, row, rest), None)
}

fn short(gap: u32, row: u32) -> [u8; 3] {
    let word = (gap << 12 | row) << 1 | 1;
    [word as u8, (word >> 8) as u8, (word >> 16) as u8]
}

const AT: u64 = 12;

#[test]
fn entries_are_read_as_the_table_says() {
    assert_eq!((SHAPE.blocks(), SHAPE.row_bits(), SHAPE.gap_bits()), (3, 12, 11));
    let narrow = Shape { rows: 128, short: 1, ..SHAPE };
    assert_eq!((narrow.gap_bits(), Shape { rows: 1, ..narrow }.gap_bits()), (0, 7));
    assert_eq!(told(&short(0, 2_999), None), Ok(vec![(0, 0, 2_999, 1, vec![2])]));
    let two = [short(0, 7), short(0x7FF, 1_024)].concat();
    assert_eq!(told(&two, None), Ok(vec![(0, 0, 7, 1, vec![0]), (0x7FF, 0, 1_024, 1, vec![1])]));
    // More than eight bytes ahead, and less.
    assert_eq!(told(&[&short(0, 7)[..], &short(3, 8), &short(4, 9)].concat(), None).unwrap().len(), 3);
    assert_eq!(term(2_000, 0, &[]), Ok(vec![(0, 0, 2_000, 1, vec![1])]));
    let subject = long(0b1010, 0, Some(77), 2_999, &[5]);
    assert_eq!(told(&subject, None), Ok(vec![(0, 77, 2_999, 6, vec![2])]));
    let key = |tag: u8, row: u64, count: u8| told(&long(tag, 0, None, row, &[&[count][..], &[9; 32]].concat()), None);
    assert_eq!(key(0b100, 2_990, 10), Ok(vec![(0, 0, 2_990, 10, vec![9])]));
    for (tag, row, count) in [(0b100, 2_990, 11), (0b100, 2_990, 0), (0b1100, 2_990, 10), (0b10100, 2_990, 10)] {
        assert_eq!(key(tag, row, count), Err(AT), "{tag:b}, {count} from {row}");
    }
    assert_eq!(told(&long(0b110, 0, None, 5, &[]), None), Err(AT), "a fourth form");
}

#[test]
fn numbers_that_no_entry_has_are_refused() {
    assert_eq!((term(2_999, 0, &[]).is_ok(), term(3_000, 0, &[])), (true, Err(AT)));
    assert_eq!(told(&short(0, 3_000), None), Err(AT), "in a short entry");
    assert_eq!(term(1 << 32, 0, &[]), Err(AT));
    let extra = |extra: u64| {
        let mut rest = Vec::new();
        varint::put(&mut rest, extra);
        told(&long(0b1000, 0, None, 5, &rest), None).map(|all| all[0].3)
    };
    let most = u64::from(u32::MAX);
    assert_eq!((extra(0), extra(most - 1), extra(most), extra(most + 1)), (Ok(1), Ok(u32::MAX), Err(AT), Err(AT)));
    for cut in 1..3 {
        assert_eq!(told(&short(0, 7)[..cut], None), Err(AT));
        assert_eq!(told(&[&short(0, 7)[..], &short(1, 7)[..cut]].concat(), None), Err(AT + 3));
    }
    // The first entry has the hash of the page; the others go up to the first of the next page, and no further.
    assert_eq!((told(&short(1, 7), None), told(&long(0, 1, None, 5, &[]), None)), (Err(AT), Err(AT)));
    let two = |gap: u64| [&short(0, 7)[..], &long(0, gap, None, 5, &[])].concat();
    assert_eq!((told(&two(5), Some(FIRST + 5)).is_ok(), told(&two(6), Some(FIRST + 5))), (true, Err(AT + 3)));
    let room = 0xFF_FFFF - FIRST;
    assert_eq!((told(&two(room), None).is_ok(), told(&two(room + 1), None)), (true, Err(AT + 3)));
    assert_eq!(told(&two(u64::MAX), None), Err(AT + 3));
}

#[test]
fn blocks_that_the_segment_does_not_have_are_refused() {
    let blocks = |row: u64, code: u8, rest: &[u8]| term(row, code, rest).map(|all| all[0].4.clone());
    assert_eq!((blocks(2_500, 1, &[]), blocks(1_500, 1, &[])), (Ok(vec![0, 1, 2]), Err(AT)), "all");
    assert_eq!((blocks(2_500, 2, &[2]), blocks(2_500, 2, &[3])), (Ok(vec![1, 2]), Ok(vec![0, 1, 2])), "a run");
    for len in [0, 1, 4] {
        assert_eq!(blocks(2_500, 2, &[len]), Err(AT), "a run of {len}");
    }
    assert_eq!(
        (blocks(2_500, 3, &[1, 0b101]), blocks(1_500, 3, &[1, 0b11])),
        (Ok(vec![0, 2]), Ok(vec![0, 1])),
        "a bitmap"
    );
    for bitmap in [&[0][..], &[1, 0b100], &[1, 0b1001], &[1, 0], &[2, 1, 0], &[2, 1]] {
        assert_eq!(blocks(2_500, 3, bitmap), Err(AT), "{bitmap:?}");
    }
    // Of parameter 0 as many ones as blocks lie between, then a zero; ones fill the byte up.
    assert_eq!(
        (blocks(2_500, 4, &[1, 0b1111_1101]), blocks(2_500, 4, &[1, 0b1111_1100])),
        (Ok(vec![0, 2]), Ok(vec![0, 1, 2]))
    );
    for codes in [&[0][..], &[1, 0xFF], &[1, 0b1111_1011], &[1, 0b1111_1000], &[2, 0xFD, 0xFF]] {
        assert_eq!(blocks(2_500, 4, codes), Err(AT), "{codes:?}");
    }
    // Of parameter 1 a bit more each: one between, and none.
    assert_eq!(
        (blocks(2_500, 5, &[1, 0b1111_1110]), blocks(2_500, 5, &[1, 0b1111_1100])),
        (Ok(vec![0, 2]), Ok(vec![1, 2]))
    );
}

#[test]
fn a_page_belongs_to_its_place() {
    let good = page(0, FIRST, &short(0, 7));
    let len = good.len() as u32;
    let parse = |bytes: &[u8], pages: &[(u64, u32)]| {
        let directory = TermsDirectory::parse(&directory::encode(SHAPE, 9, pages)).unwrap();
        offset(TermsPage::parse(bytes, &directory))
    };
    assert_eq!(parse(&good, &[(FIRST, len)]), None);
    assert_eq!(parse(&good, &[(FIRST + 1, len)]), Some(0), "another hash");
    assert_eq!(
        (parse(&good, &[(FIRST, len + 1)]), parse(&good, &[(FIRST, len - 1)])),
        (Some(0), Some(0)),
        "another length"
    );
    assert_eq!(parse(&page(1, FIRST, &short(0, 7)), &[(FIRST, len)]), Some(0), "another number");
    assert_eq!(parse(&page(1, FIRST, &short(0, 7)), &[(FIRST, 30), (FIRST, 30 + len)]), None);
    assert_eq!((parse(&[], &[(FIRST, len)]), parse(&good[..3], &[(FIRST, len)])), (Some(0), Some(0)));
    let mut flipped = good;
    flipped[5] ^= 1;
    assert_eq!(parse(&flipped, &[(FIRST, len)]), Some(u64::from(len) - 4));
    let longest = |len: usize| {
        let body: Vec<u8> = short(0, 7).into_iter().chain(std::iter::repeat_n(0, len - 19)).collect();
        parse(&page(0, FIRST, &body), &[(FIRST, 4_096)])
    };
    assert_eq!((longest(4_096), longest(4_097)), (None, Some(0)));
}

#[test]
fn a_hash_is_looked_for_in_its_page() {
    let body = [short(0, 7), short(5, 8), short(0, 9), short(2, 10)].concat();
    let find = |hash: u64| {
        let ask = |page: Parsed<TermsPage<'_>>| {
            let mut rows = Vec::new();
            page.unwrap().find(hash << 40, &mut |entry| {
                if let Entry::Term(postings) = entry {
                    rows.push(postings.last_row);
                }
            })?;
            Ok(rows)
        };
        with_directory(&body, Some(FIRST + 9), ask).map_err(|bad: Box<crate::format::Bad>| bad.offset)
    };
    assert_eq!(
        [0, 4, 5, 7, 9].map(|gap| find(FIRST + gap)),
        [Ok(vec![7]), Ok(vec![]), Ok(vec![8, 9]), Ok(vec![10]), Ok(vec![])]
    );
    assert_eq!((find(FIRST - 1), find(FIRST + 10)), (Err(4), Err(4)));
}

#[test]
fn a_filter_that_no_writer_makes_is_none() {
    let good = large(200, 12).build().filter.unwrap();
    let filter = view_filter(&good).unwrap();
    assert!((0..1_000).filter(|number| filter.may_contain(hash("absent", *number))).count() < 30);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        let end = bytes.len() - 4;
        let crc = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_le_bytes());
        (offset(parse_filter(&bytes)), offset(view_filter(&bytes)))
    };
    assert_eq!(with(0, good[0]), (None, None));
    assert_eq!((with(8, good[8] ^ 1), with(12, good[12] ^ 1)), ((Some(8), Some(8)), (Some(8), Some(8))));
    assert_eq!(
        (offset(view_filter(&[])), offset(parse_filter(&[])), offset(view_filter(&[0; 19]))),
        (Some(8), Some(0), Some(8))
    );
    let mut flipped = good.clone();
    flipped[30] ^= 1;
    assert_eq!((offset(parse_filter(&flipped)), offset(view_filter(&flipped))), (Some(good.len() as u64 - 4), None));
}
