//! The names of types by themselves.

use super::*;
use crate::format::idx::types::TypeCounter;

fn counted(types: &[(&str, u64)]) -> Vec<u8> {
    let mut counter = TypeCounter::new();
    types.iter().for_each(|(name, hash)| counter.add(name, *hash));
    counter.finish().unwrap().0
}

#[test]
fn a_type_is_its_hash_and_its_name() {
    // The greatest hashes all begin at the last place of the table, and go on at its first.
    let last = u64::MAX;
    let types = [("b", last), ("a", last), ("a", last - 1), ("b", last), ("c", 5), ("c", 5), ("c", 5), ("d", 0)];
    let section = counted(&types);
    let names = TypeNames::parse(&section, 5).unwrap();
    let found: Vec<_> = names.iter().collect();
    assert_eq!(found, [("d", 0, 1), ("c", 5, 3), ("a", last - 1, 1), ("a", last, 1), ("b", last, 2)]);
}

#[test]
fn a_section_that_no_writer_makes_is_told_where_it_stands() {
    let section = counted(&[("first", 1), ("second", 2)]);
    let first = 14 + 5;
    let offset = |section: &[u8], count| TypeNames::parse(section, count).unwrap_err().offset as usize;
    assert_eq!(offset(&section, 1), first, "more bytes");
    assert_eq!(offset(&section, 3), section.len());
    assert_eq!(offset(&section[..section.len() - 1], 2), first);
    let with = |at: usize, byte: u8| {
        let mut changed = section.clone();
        changed[first + at] = byte;
        changed
    };
    assert_eq!(offset(&with(14, 0xFF), 2), first, "no text");
    assert_eq!(offset(&with(12, 7), 2), first, "beyond the end");
    let long = |len: usize| counted(&[("first", 1), (&"t".repeat(len), 2)]);
    assert!(TypeNames::parse(&long(1_024), 2).is_ok());
    assert_eq!(offset(&long(1_025), 2), first);
}

#[test]
fn names_are_kept_up_to_a_mebibyte() {
    let is_kept = |last: usize| {
        let mut counter = TypeCounter::new();
        // Of 1,038 bytes each with what stands before the text.
        (0..1_010).for_each(|n| counter.add(&format!("{n:01024}"), n << 40));
        counter.add(&"x".repeat(last), 1);
        counter.finish().is_some()
    };
    assert!(is_kept((1 << 20) - 1_010 * 1_038 - 14) && !is_kept((1 << 20) - 1_010 * 1_038 - 13));
}
