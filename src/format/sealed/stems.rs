//! Ids that are numbered within something larger, as `COMMIT:3`: of those the term index holds the stem, the id up to
//! and including its last colon, once for all that share it. Only in segments where neighbours share stems and stems
//! are many: else a stem would stand for half the segment, and looking one id up would read it all.

/// The number behind the colon has so many digits at most.
const DIGITS_MAX: usize = 6;
/// What stands before it is no shorter.
const STEM_MIN: usize = 16;
/// A stem is shared by at least so many ids in the mean, and by at most so many.
const SHARED_MIN: u64 = 3;
const SHARED_MAX: u64 = 64;

/// The stem of an id, if it has one.
fn stem(id: &str) -> Option<&str> {
    let (before, digits) = id.rsplit_once(':')?;
    let numbered = (1..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    (numbered && before.len() >= STEM_MIN).then(|| &id[..=before.len()])
}

/// What the term index holds of an id, where ids are indexed by stem.
pub(crate) fn indexed(id: &str) -> &str {
    stem(id).unwrap_or(id)
}

/// Looks whether a segment's ids are worth it.
#[derive(Debug, Default)]
pub(crate) struct StemFinder {
    last: String,
    ids: u64,
    stems: u64,
}

impl StemFinder {
    pub(crate) fn add(&mut self, id: &str) {
        let Some(found) = stem(id) else { return };
        self.ids += 1;
        if self.last != found {
            self.stems += 1;
            self.last.clear();
            self.last.push_str(found);
        }
    }

    pub(crate) fn worth_it(&self) -> bool {
        self.ids >= self.stems * SHARED_MIN && self.ids <= self.stems * SHARED_MAX && self.stems > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_are_what_stands_before_a_short_number() {
        let sha = "227d4e83effb41d5f02341afdb8a06cff2e028e8";
        assert_eq!(indexed(&format!("{sha}:3")), format!("{sha}:"));
        assert_eq!(indexed(&format!("{sha}:1234567")), format!("{sha}:1234567"));
        assert_eq!(indexed(&format!("{sha}:")), format!("{sha}:"));
        assert_eq!(indexed(sha), sha);
        assert_eq!(indexed(&format!("{sha}:123456")), format!("{sha}:"));
        assert_eq!(indexed(&format!("{sha}:1x")), format!("{sha}:1x"));
        assert_eq!(indexed("short:3"), "short:3");
        assert_eq!(indexed("of-15-characters:3"), "of-15-characters:");
        assert_eq!(indexed("of-14-character:3"), "of-14-character:3");
        assert_eq!(indexed("ääääääääääääääää:3"), "ääääääääääääääää:");
    }

    #[test]
    fn they_are_used_where_neighbours_share_them_and_no_stem_stands_for_too_many() {
        let worth = |ids: &mut dyn Iterator<Item = String>| {
            let mut finder = StemFinder::default();
            ids.for_each(|id| finder.add(&id));
            finder.worth_it()
        };
        assert!(worth(&mut (0..1000).map(|n| format!("a-parent-of-many-{}:{}", n / 4, n % 4))));
        assert!(!worth(&mut (0..1000).map(|n| format!("urn:company:event:{n}"))));
        assert!(!worth(&mut (0..1000).map(|n| format!("a-parent-of-one-{n}:0"))));
        assert!(!worth(&mut std::iter::empty()));
        // Two stems of so many ids each.
        let shared = |ids: u64| worth(&mut (0..2 * ids).map(|n| format!("a-parent-of-many-{}:{}", n / ids, n % ids)));
        assert_eq!([2, 3, 64, 65].map(shared), [false, true, true, false]);
        assert!(!worth(&mut (0..9).map(|n| format!("the-only-parent-of-all:{n}"))));
    }
}
