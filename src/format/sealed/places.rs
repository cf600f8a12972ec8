//! Where rows and payloads stand: ordinals among the rows of a subject, ranks, and pages.

use super::block::{ID_LITERAL, PAGE_RAW_MAX, PageEntry};
use super::column::Ints;
use crate::format::{Bad, Parsed};

/// For each row the number of its subject's rows before it; for each subject the number of its rows.
pub(super) fn ordinals(locals: &[i64], subjects: usize) -> Parsed<(Box<[u16]>, Vec<u16>)> {
    let mut counts = vec![0u16; subjects];
    let ordinal = |local: &i64| {
        let count = usize::try_from(local.wrapping_sub(1)).ok().and_then(|local| counts.get_mut(local));
        let count = count.ok_or_else(|| Bad::new(0, format!("one of {subjects} subjects"), local.to_string()))?;
        *count += 1;
        Ok(*count - 1)
    };
    let ordinals = locals.iter().map(ordinal).collect::<Parsed<_>>()?;
    Ok((ordinals, counts))
}

/// Rank to row. With `by_subject`: the subjects' ordinals of all rows, the rows of each subject, and for each row those
/// of its subject before it; all were checked.
pub(super) fn order(rows: usize, by_subject: Option<(&[i64], &[u16], &[u16])>) -> Vec<u16> {
    let Some((locals, counts, ordinals)) = by_subject else { return (0..rows as u16).collect() };
    let starts = counts.iter().scan(0usize, |next, count| {
        *next += usize::from(*count);
        Some(*next - usize::from(*count))
    });
    let starts: Vec<usize> = starts.collect();
    let mut order = vec![0; rows];
    for (row, (local, ordinal)) in locals.iter().zip(ordinals).enumerate() {
        order[starts[*local as usize - 1] + usize::from(*ordinal)] = row as u16;
    }
    order
}

pub(super) fn literal_ordinals(forms: &Ints, bytes: &[u8], literals: usize) -> Parsed<Box<[u16]>> {
    let mut values = Vec::new();
    forms.unpack(bytes, &mut values);
    let mut next = 0u16;
    let mut of_row = |form: &i64| {
        let own = next;
        next += u16::from(*form == ID_LITERAL);
        own
    };
    let ordinals: Box<[u16]> = values.iter().map(&mut of_row).collect();
    match usize::from(next) == literals {
        true if literals == 0 => Ok(Box::default()),
        true => Ok(ordinals),
        false => Err(Bad::new(0, format!("{next} literal ids"), literals.to_string())),
    }
}

/// For each row: its page, and where its payload starts there. Empty if there are no pages.
pub(super) type Places = Box<[(u16, u32)]>;

/// Where pages and payloads lie.
pub(super) fn lay_pages(
    order: &[u16],
    lens: &[i64],
    pages_at: u64,
    firsts: &[i64],
    stored: &[i64],
    crcs: &[i64],
) -> Parsed<(Box<[PageEntry]>, Places)> {
    let wrong = |found: String| Bad::new(0, "pages of all payloads, one after the other", found);
    if firsts.is_empty() {
        return match lens.iter().all(|len| *len == 0) {
            true => Ok(Default::default()),
            false => Err(wrong("none".into())),
        };
    }
    let mut places = vec![(0, 0); order.len()];
    let mut pages = Vec::with_capacity(firsts.len());
    let (mut offset, mut rank) = (pages_at, 0);
    for (index, ((first, stored), crc)) in firsts.iter().zip(stored).zip(crcs).enumerate() {
        let end = firsts.get(index + 1).copied().unwrap_or(order.len() as i64);
        let number = |value: &i64| u32::try_from(*value).map_err(|_| wrong(format!("{value}")));
        let (stored, crc) = (number(stored)?, number(crc)?);
        if *first != rank || end <= rank || end > order.len() as i64 {
            return Err(wrong(format!("one from rank {first} to {end}")));
        }
        let mut raw = 0u64;
        for row in order.get(rank as usize..end as usize).unwrap_or_default() {
            let row = usize::from(*row);
            if let (Some(place), Some(len)) = (places.get_mut(row), lens.get(row)) {
                *place = (index as u16, raw as u32);
                raw += len.cast_unsigned();
            }
            if raw > PAGE_RAW_MAX {
                return Err(wrong(format!("one of more than {PAGE_RAW_MAX} bytes")));
            }
        }
        pages.push(PageEntry { first_rank: rank as u32, offset, stored, raw: raw as u32, crc });
        offset = offset.checked_add(u64::from(stored)).ok_or_else(|| wrong("offsets beyond 64 bits".into()))?;
        rank = end;
    }
    Ok((pages.into(), places.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_by_subject() {
        let (of_rows, counts) = ordinals(&[1, 2, 1, 1, 2], 3).unwrap();
        assert_eq!((&of_rows[..], &counts[..]), (&[0, 0, 1, 2, 1][..], &[3, 2, 0][..]));
        for local in [0, 4, -1, i64::MIN] {
            assert!(ordinals(&[1, local], 3).is_err(), "{local}");
        }
        assert_eq!(order(5, Some((&[1, 2, 1, 1, 2], &counts, &of_rows))), [0, 2, 3, 1, 4]);
        assert_eq!(order(3, None), [0, 1, 2]);
    }

    #[test]
    fn literals_are_counted() {
        let count = |forms: &[i64], literals: usize| {
            let mut bytes = Vec::new();
            let codec = crate::format::sealed::column::encode(forms, &mut bytes);
            let forms = Ints::parse(codec, &bytes, 0..bytes.len(), forms.len()).unwrap();
            literal_ordinals(&forms, &bytes, literals).map(|ordinals| ordinals.to_vec())
        };
        assert_eq!(count(&[1, 0, 1, 2, 1], 3).unwrap(), [0, 1, 1, 2, 2]);
        assert_eq!(count(&[0, 2, 0], 0).unwrap(), [0; 0]);
        assert!(count(&[1, 0, 1], 1).is_err() && count(&[1, 0, 1], 3).is_err() && count(&[0], 1).is_err());
    }

    const MIB_16: i64 = 16 << 20;

    fn lay(lens: &[i64], at: u64, firsts: &[i64], stored: &[i64]) -> Parsed<(Box<[PageEntry]>, Places)> {
        let order: Vec<u16> = (0..lens.len() as u16).rev().collect();
        lay_pages(&order, lens, at, firsts, stored, &vec![9; firsts.len()])
    }

    #[test]
    fn payloads_fill_their_pages() {
        let (pages, places) = lay(&[5, 0, 7, 2], 100, &[0, 2], &[8, 4]).unwrap();
        let page = |first_rank, offset, stored, raw| PageEntry { first_rank, offset, stored, raw, crc: 9 };
        assert_eq!(&pages[..], [page(0, 100, 8, 9), page(2, 108, 4, 5)]);
        // In the order of ranks, which is that of the rows from the last.
        assert_eq!(&places[..], [(1, 0), (1, 0), (0, 2), (0, 0)]);
        let (pages, places) = lay(&[0, 0], 100, &[], &[]).unwrap();
        assert!(pages.is_empty() && places.is_empty());
    }

    #[test]
    fn pages_that_no_writer_makes_are_errors() {
        let is_laid = |lens: &[i64], firsts: &[i64], stored: &[i64]| lay(lens, 100, firsts, stored).is_ok();
        assert!(!is_laid(&[0, 1], &[], &[]), "data and no page");
        assert!(is_laid(&[1, 1], &[0, 1], &[1, 1]));
        for firsts in [[1, 1], [0, 0], [0, 2], [0, -1], [-1, 1], [0, 3]] {
            assert!(!is_laid(&[1, 1], &firsts, &[1, 1]), "{firsts:?}");
        }
        let most = i64::from(u32::MAX);
        assert!(is_laid(&[1], &[0], &[most]) && !is_laid(&[1], &[0], &[most + 1]) && !is_laid(&[1], &[0], &[-1]));
        assert!(is_laid(&[MIB_16, MIB_16], &[0], &[1]) && !is_laid(&[MIB_16, MIB_16, 1], &[0], &[1]));
        assert!(lay(&[1], u64::MAX - 7, &[0], &[7]).is_ok() && lay(&[1], u64::MAX - 7, &[0], &[8]).is_err());
    }
}
