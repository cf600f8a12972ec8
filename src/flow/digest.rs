//! The digest of what a person was shown: who approves names it, so that nothing else can be approved.
//!
//! SHA-256 (FIPS 180-4) over the following fields, each behind its length in bytes as u32 little-endian; the first 16
//! bytes as 32 hex digits:
//!
//! type of the request · subject · data in the form that the rules of the table gave it · basis, as decimal digits ·
//! actor, as `kind:id` · on_behalf_of · number of tags, as decimal digits · each tag · execute_by, as decimal digits of
//! its nanoseconds. What is not there is an empty field.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::actor::Actor;
use crate::position::Position;
use crate::time::Timestamp;

/// What is digested.
pub(crate) struct Shown<'s> {
    pub(crate) event_type: &'s str,
    pub(crate) subject: &'s str,
    pub(crate) data: &'s [u8],
    pub(crate) basis: Position,
    pub(crate) actor: &'s Actor,
    pub(crate) tags: &'s [String],
    pub(crate) execute_by: Option<Timestamp>,
}

impl Shown<'_> {
    pub(crate) fn digest(&self) -> String {
        let mut sha = Sha256::new();
        let mut field = |bytes: &[u8]| {
            sha.update((bytes.len() as u32).to_le_bytes());
            sha.update(bytes);
        };
        field(self.event_type.as_bytes());
        field(self.subject.as_bytes());
        field(self.data);
        field(self.basis.to_string().as_bytes());
        field(format!("{}:{}", self.actor.kind().as_str(), self.actor.id()).as_bytes());
        field(self.actor.on_behalf_of.as_deref().unwrap_or_default().as_bytes());
        field(self.tags.len().to_string().as_bytes());
        self.tags.iter().for_each(|tag| field(tag.as_bytes()));
        field(self.execute_by.map_or(String::new(), |time| time.as_nanos().to_string()).as_bytes());
        let hash = sha.finalize();
        hash[..16].iter().fold(String::with_capacity(32), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_counts_and_none_runs_into_the_next() {
        let (alice, scribe) = (Actor::user("alice"), Actor::agent("scribe"));
        let tags = ["workspace:7".to_owned(), "x".to_owned()];
        let shown = Shown {
            event_type: "notes.update.requested",
            subject: "note/n-1",
            data: b"{}",
            basis: Position::new(3),
            actor: &alice,
            tags: &tags,
            execute_by: None,
        };
        let on_behalf = Actor::user("alice").on_behalf_of("bob");
        let joined = ["workspace:7x".to_owned()];
        let all = [
            shown.digest(),
            Shown { event_type: "notes.delete.requested", ..shown }.digest(),
            Shown { subject: "note/n-2", ..shown }.digest(),
            Shown { data: b"{ }", ..shown }.digest(),
            Shown { basis: Position::new(4), ..shown }.digest(),
            Shown { actor: &scribe, ..shown }.digest(),
            Shown { actor: &on_behalf, ..shown }.digest(),
            Shown { tags: &tags[..1], ..shown }.digest(),
            Shown { tags: &joined, ..shown }.digest(),
            Shown { execute_by: Some(Timestamp::from_nanos(1)), ..shown }.digest(),
            Shown { event_type: "notes.update.requestedn", subject: "ote/n-1", ..shown }.digest(),
        ];
        let different: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert!(all.iter().all(|digest| digest.len() == 32));
    }

    /// Worked out with another program: what was shown must be named alike for ever.
    #[test]
    fn the_digest_is_the_one_that_the_head_of_this_file_describes() {
        let actor = Actor::agent("scribe").on_behalf_of("alice");
        let shown = Shown {
            event_type: "notes.update.requested",
            subject: "note/n-1",
            data: br#"{"content":"B"}"#,
            basis: Position::new(3),
            actor: &actor,
            tags: &["workspace:7".to_owned()],
            execute_by: Some(Timestamp::from_nanos(1_700_000_000_000_000_000)),
        };
        assert_eq!(shown.digest(), "14ac2e113b0f86d34c69a4701766d181");
    }
}
