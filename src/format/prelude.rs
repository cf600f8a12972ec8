//! The prelude of a frame's body: facts about the batch as a whole. There only if the frame's flag
//! says so.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | prelude length, this field included |
//! | 4 | | entries `{tag u8, zero u8, length u16, bytes}` |
//!
//! Tags: 1 idempotency key (UTF-8, 1 to 1,024 bytes), 2 content hash (32 bytes: SHA-256 over the
//! records of the batch, one after the other, as their producer supplied them). Tags from 128 on
//! are incompatible. Reserved: 3 origin of a replicated batch (log id, epoch, position,
//! recorded_at).

use super::bytes::{Take, u32_at};
use super::{Bad, Parsed};

const KEY: u8 = 1;
const CONTENT_HASH: u8 = 2;
const INCOMPATIBLE: u8 = 128;
const HASH_BYTES: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Prelude<'a> {
    /// The idempotency key and the hash of the content it was used for.
    pub(crate) key: Option<(&'a str, &'a [u8; HASH_BYTES])>,
}

impl<'a> Prelude<'a> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        if let Some((key, hash)) = self.key {
            for (tag, bytes) in [(KEY, key.as_bytes()), (CONTENT_HASH, hash.as_slice())] {
                out.extend_from_slice(&[tag, 0]);
                out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
                out.extend_from_slice(bytes);
            }
        }
        let len = (out.len() - start) as u32;
        out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    }

    /// Length of the prelude at the start of `body`, if it can be one.
    pub(crate) fn len(body: &[u8]) -> Option<usize> {
        u32_at(body, 0).map(|len| len as usize).filter(|len| (4..=body.len()).contains(len))
    }

    /// Reads the prelude that fills `bytes`.
    pub(crate) fn parse(bytes: &'a [u8]) -> Parsed<Prelude<'a>> {
        let mut rest = Take(bytes.get(4..).unwrap_or_default());
        let (mut key, mut hash) = (None, None);
        while !rest.0.is_empty() {
            let at = (bytes.len() - rest.0.len()) as u64;
            let mut entry = || {
                let tag = rest.u8()?;
                let _zero = rest.u8()?;
                let len = rest.u16()?;
                Some((tag, rest.slice(usize::from(len))?))
            };
            match entry() {
                None => return Err(Bad::new(at, "a whole entry", "the end of the prelude")),
                Some((KEY, text)) => key = std::str::from_utf8(text).ok(),
                Some((CONTENT_HASH, bytes)) => hash = bytes.try_into().ok(),
                Some((tag, _)) if tag >= INCOMPATIBLE => {
                    return Err(Bad::new(at, "prelude entries of format version 1", format!("entry {tag}")));
                }
                Some(_) => {}
            }
        }
        if key.is_some() != hash.is_some() {
            return Err(Bad::new(4, "a key and the hash of its content", "one without the other"));
        }
        Ok(Prelude { key: key.zip(hash) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A prelude of these entries.
    fn of(entries: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        for (tag, value) in entries {
            bytes.extend_from_slice(&[*tag, 0]);
            bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
            bytes.extend_from_slice(value);
        }
        let len = bytes.len() as u32;
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        bytes
    }

    #[test]
    fn a_key_and_its_hash_come_back_and_later_entries_are_passed_over() {
        let hash = [7; HASH_BYTES];
        let prelude = Prelude { key: Some(("k", &hash)) };
        let mut encoded = Vec::new();
        prelude.encode(&mut encoded);
        assert_eq!(encoded, of(&[(KEY, b"k"), (CONTENT_HASH, &hash)]));
        assert_eq!(Prelude::parse(&encoded).unwrap(), prelude);
        assert_eq!(Prelude::parse(&of(&[(3, b"x"), (KEY, b"k"), (127, b""), (CONTENT_HASH, &hash)])).unwrap(), prelude);
        assert_eq!(Prelude::parse(&of(&[])).unwrap(), Prelude::default());
        // It lies within the body, behind its own length.
        let len = |bytes: &[u8]| Prelude::len(bytes);
        assert_eq!((len(&encoded), len(&[&encoded[..], b"more"].concat())), (Some(encoded.len()), Some(encoded.len())));
        assert_eq!([len(&encoded[..encoded.len() - 1]), len(&[3, 0, 0, 0, 0]), len(&[4, 0, 0])], [None; 3]);
        assert_eq!(len(&[4, 0, 0, 0]), Some(4));
    }

    #[test]
    fn what_is_no_prelude_is_told_where_it_stands() {
        let hash = [7; HASH_BYTES];
        let wrong = |bytes: &[u8]| Prelude::parse(bytes).err().map(|bad| bad.offset);
        assert_eq!(wrong(&of(&[(KEY, b"k"), (128, b"")])), Some(4 + 5));
        assert_eq!(wrong(&of(&[(200, b"")])), Some(4));
        let whole = of(&[(KEY, b"k"), (CONTENT_HASH, &hash)]);
        assert_eq!(wrong(&whole[..whole.len() - 1]), Some(4 + 5));
        assert_eq!(wrong(&whole[..4 + 5 + 3]), Some(4 + 5));
        for one in [&of(&[(KEY, b"k")]), &of(&[(CONTENT_HASH, &hash)]), &of(&[(KEY, b"k"), (CONTENT_HASH, b"short")])] {
            assert_eq!(wrong(one), Some(4), "one without the other");
        }
        assert_eq!(wrong(&of(&[(KEY, b"\xff"), (CONTENT_HASH, &hash)])), Some(4));
    }
}
