//! Which terms of an event stand in the index of a sealed segment.

use crate::format::Parsed;
use crate::format::sealed::block::Row;
use crate::format::sealed::dictionary::Dictionary;
use crate::format::sealed::terms::{EncodedTerms, TermsBuilder};
use crate::format::term::{Dimension, TermHasher};

/// Collects the terms of a segment's events, in order. The same events give the same bytes.
pub(crate) struct RowTerms {
    hasher: TermHasher,
    builder: TermsBuilder,
    key: Option<OpenKey>,
}

/// A key whose batch has not ended yet.
struct OpenKey {
    hash: u64,
    first_row: u32,
    content_hash: [u8; 32],
}

impl RowTerms {
    pub(crate) fn new(hasher: TermHasher) -> RowTerms {
        RowTerms { hasher, builder: TermsBuilder::new(), key: None }
    }

    pub(crate) fn add(&mut self, row: &Row<'_>, number: u32, dictionary: &Dictionary) {
        let (event, hasher) = (&row.event, self.hasher);
        let builder = &mut self.builder;
        builder.subject(hasher.subject(event.subject()), number, event.version());
        hasher.terms(event, |_, hash| builder.term(hash, number));
        // An id that follows a template is found through its subject or position.
        if let Some(id) = event.given_id().filter(|_| !dictionary.id_is_derivable(event)) {
            builder.term(hasher.hash(Dimension::Id, dictionary.indexed_id(id).as_bytes()), number);
        }
        if let Some((key, content_hash)) = row.batch.key {
            let content_hash = content_hash.first_chunk().copied().unwrap_or_default();
            let hash = hasher.hash(Dimension::Key, key.as_bytes());
            self.key = Some(OpenKey { hash, first_row: number, content_hash });
        }
        if row.batch.last_of_batch
            && let Some(key) = self.key.take()
        {
            builder.key(key.hash, key.first_row, number - key.first_row + 1, key.content_hash);
        }
    }

    pub(crate) fn finish(self, rows: u32) -> Parsed<EncodedTerms> {
        self.builder.finish(rows)
    }
}
