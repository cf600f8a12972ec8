//! Footers that come back, and such as no writer makes.

use super::*;
use crate::format::header::Mode;
use crate::format::leaf::Tree;
use crate::format::sealed::footer::{FIXED_BYTES, Footer, SECTION_BYTES, Section, SectionId};
use crate::format::sealed::terms::ROWS_MAX;

const AT: u64 = 1 << 20;

fn tree(size: u64) -> Tree {
    Tree::from_peaks(size, vec![[size as u8; 32]; size.count_ones() as usize]).unwrap()
}

fn section(id: SectionId) -> Section {
    Section {
        id: id as u16,
        required: true,
        compressed: true,
        offset: AT - 100,
        stored: 100,
        raw: 1 << 40,
        count: 9,
        crc: 7,
    }
}

/// Of the positions 12 to 2,061, in three blocks and two epochs.
fn whole() -> Footer {
    Footer {
        log: LOG,
        base: Position::new(12),
        count: 2_050,
        recorded: (-5, 6),
        occurred: (-7, 8),
        frame_bytes: 1,
        data_bytes: u64::MAX,
        group_seq: u64::MAX >> 1,
        blocks: 3,
        mode: Mode::Written,
        by_subject: true,
        archived: false,
        epochs: vec![(Position::new(12), 3), (Position::new(2_061), 4)],
        before: tree(11),
        after: tree(2_061),
        sections: vec![section(SectionId::Blocks), section(SectionId::Filter)],
    }
}

fn parse(bytes: &[u8]) -> Parsed<Footer> {
    Footer::parse(bytes, LOG, Position::new(12), AT)
}

/// Where an error is, if a footer changed so is one.
fn refused(change: impl FnOnce(&mut Footer)) -> Option<u64> {
    let mut footer = whole();
    change(&mut footer);
    let read = parse(&footer.encode());
    assert!(read.as_ref().is_ok_and(|read| *read == footer) || read.is_err());
    read.err().map(|bad| bad.offset)
}

/// Where the entries of the sections begin.
fn sections_at() -> usize {
    whole().encode().len() - 2 * SECTION_BYTES
}

#[test]
fn a_footer_comes_back() {
    assert_eq!(parse(&whole().encode()).unwrap(), whole());
    assert_eq!(refused(|footer| (footer.archived, footer.by_subject, footer.mode) = (true, false, Mode::Synced)), None);
    assert_eq!(whole().next(), Position::new(2_062));
    assert_eq!(whole().section(SectionId::Filter), Some(&section(SectionId::Filter)));
    assert_eq!(whole().section(SectionId::Dictionary), None);
    let ids = [1, 2, 3, 4, 5, 6, 7, 8];
    let all = |footer: &mut Footer| footer.sections = ids.map(|id| Section { id, ..section(SectionId::Blocks) }).into();
    assert_eq!(refused(all), None, "every section that is known");
}

#[test]
fn counts_that_do_not_go_together_are_told_where_they_stand() {
    assert_eq!(refused(|footer| footer.count = 0), Some(8));
    assert_eq!(refused(|footer| footer.count = 2_049), Some(FIXED_BYTES as u64), "an epoch behind the end");
    assert_eq!(refused(|footer| footer.count = u64::MAX - 11), Some(8));
    let large = |count: u32| {
        move |footer: &mut Footer| {
            (footer.count, footer.blocks) = (count.into(), count.div_ceil(1024));
            footer.after = tree(11 + u64::from(count));
        }
    };
    assert_eq!(refused(large(ROWS_MAX)), None);
    assert_eq!(refused(large(ROWS_MAX + 1)), Some(8));
    assert_eq!(refused(|footer| footer.blocks = 2), Some(72));
    assert_eq!(refused(|footer| footer.blocks = 4), Some(72));
    let nowhere = Footer::parse(&whole().encode(), LOG, Position::ORIGIN, AT);
    assert_eq!(nowhere.unwrap_err().offset, 8);

    let fixed = |at: usize, byte: u8| {
        let mut bytes = whole().encode();
        bytes[at] = byte;
        parse(&bytes).map_err(|bad| bad.offset)
    };
    // Magic, durability, flags, zeros, a counter that nobody counts on from.
    for (at, byte) in [(0, b'a'), (76, 0), (76, 3), (77, 4), (77, 0x80), (82, 1), (87, 1), (71, 0x80)] {
        assert_eq!(fixed(at, byte), Err(0), "{byte} at {at}");
    }
    for len in [0, 87] {
        assert_eq!(parse(&whole().encode()[..len]).unwrap_err().offset, 0);
    }
}

#[test]
fn epochs_ascend_from_the_first_event_on() {
    let epochs = |firsts: &[u64]| {
        let epochs: Vec<_> = firsts.iter().map(|first| (Position::new(*first), 3)).collect();
        refused(|footer| footer.epochs = epochs)
    };
    for firsts in [vec![12], vec![12, 13], vec![12, 13, 14, 2_061]] {
        assert_eq!(epochs(&firsts), None, "{firsts:?}");
    }
    let at = Some(FIXED_BYTES as u64);
    for firsts in [vec![11], vec![13], vec![12, 12], vec![12, 11], vec![12, 20, 19], vec![12, 2_062]] {
        assert_eq!(epochs(&firsts), at, "{firsts:?}");
    }
    assert_eq!(epochs(&[]), Some(78));
    assert_eq!(refused(|footer| footer.epochs[1].1 = u64::MAX), at, "a counter that nobody counts on from");
}

#[test]
fn sections_stand_once_and_before_the_footer() {
    let first = sections_at() as u64;
    let second = first + SECTION_BYTES as u64;
    let with = |change: fn(&mut Section)| refused(|footer| change(&mut footer.sections[1]));
    assert_eq!(with(|section| section.stored = 101), Some(second));
    assert_eq!(with(|section| section.offset += 1), Some(second));
    assert_eq!(with(|section| section.offset = u64::MAX), Some(second));
    assert_eq!(with(|section| section.id = SectionId::Blocks as u16), Some(second), "twice");
    assert_eq!(with(|section| section.id = 9), Some(second), "one that is not known and must be");
    assert_eq!(with(|section| (section.id, section.required) = (9, false)), None);
    let poked = |at: usize, byte: u8| {
        let mut bytes = whole().encode();
        bytes[sections_at() + at] = byte;
        parse(&bytes).map_err(|bad| bad.offset)
    };
    // A version of what a reader must know, flags, codec and zeros.
    for (at, byte) in [(2, 2), (4, 3), (5, 2), (6, 1), (7, 1), (44, 1), (47, 1)] {
        assert_eq!(poked(at, byte), Err(first), "{byte} at {at}");
    }
    let newer = |required: bool| {
        let mut footer = whole();
        footer.sections[0].required = required;
        let mut bytes = footer.encode();
        bytes[sections_at() + 2] = 2;
        parse(&bytes)
    };
    assert!(newer(false).is_ok() && newer(true).is_err());

    let many = |count: u16| {
        let section = |id: u16| Section { id, required: false, ..section(SectionId::Blocks) };
        refused(|footer| footer.sections = (1..=count).map(section).collect())
    };
    assert_eq!((many(64), many(65)), (None, Some(80)));
}

#[test]
fn every_byte_of_a_footer_is_one_of_it() {
    let good = whole().encode();
    for len in FIXED_BYTES..good.len() {
        let at = parse(&good[..len]).unwrap_err().offset;
        let section = (len.saturating_sub(sections_at()) / SECTION_BYTES * SECTION_BYTES + sections_at()) as u64;
        assert_eq!(at, if len < sections_at() { FIXED_BYTES as u64 } else { section }, "{len} bytes");
    }
    assert_eq!(parse(&[&good[..], &[0]].concat()).unwrap_err().offset, good.len() as u64);
    // Another position, and so other trees.
    assert!(Footer::parse(&good, LOG, Position::new(13), AT).is_err());
}
