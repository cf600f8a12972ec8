//! What the members of a group that are not committed yet would add: versions of subjects and keys.
//! Dropped when the group fails, folded into the index by others when it does not.
//!
//! The table is kept from group to group; an entry of another generation is an empty one.

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    generation: u64,
    hash: u64,
    version: u64,
    member: u32,
    event: u32,
}

/// Versions of the subjects of one group.
#[derive(Debug)]
pub(crate) struct Overlay {
    slots: Vec<Slot>,
    used: usize,
    generation: u64,
}

/// An event of the group: index of the member and of the event in it.
pub(crate) type EventOf = (u32, u32);

impl Default for Overlay {
    fn default() -> Overlay {
        Overlay { slots: vec![Slot::default(); 256], used: 0, generation: 1 }
    }
}

impl Overlay {
    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.generation += 1;
        self.used = 0;
    }

    /// The version of a subject, if the group has touched it. `same` compares the subject of an
    /// event of the group with the one asked for.
    pub(crate) fn version(&self, hash: u64, same: impl Fn(EventOf) -> bool) -> Option<u64> {
        let slot = &self.slots[self.seek(hash, same)];
        (slot.generation == self.generation).then_some(slot.version)
    }

    /// Sets the version; `event` is the event that has it.
    pub(crate) fn set(&mut self, hash: u64, version: u64, event: EventOf, same: impl Fn(EventOf) -> bool) {
        if (self.used + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let at = self.seek(hash, same);
        if self.slots[at].generation != self.generation {
            self.used += 1;
        }
        self.slots[at] = Slot { generation: self.generation, hash, version, member: event.0, event: event.1 };
    }

    fn seek(&self, hash: u64, same: impl Fn(EventOf) -> bool) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = &self.slots[at];
            if slot.generation != self.generation || (slot.hash == hash && same((slot.member, slot.event))) {
                return at;
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let size = self.slots.len() * 2;
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); size]);
        for slot in old.into_iter().filter(|slot| slot.generation == self.generation) {
            // Every entry is another subject, so it goes to the first empty place.
            let at = self.seek(slot.hash, |_| false);
            self.slots[at] = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_of_equal_hash_are_told_apart_and_a_new_group_starts_empty() {
        let mut overlay = Overlay::default();
        for round in 1..=3u64 {
            for event in 0..1000u32 {
                // All of one hash: only `same` tells them apart.
                assert_eq!(overlay.version(7, |(_, other)| other == event), None);
                overlay.set(7, round, (0, event), |(_, other)| other == event);
                overlay.set(7, round + 10, (0, event), |(_, other)| other == event);
                assert_eq!(overlay.version(7, |(_, other)| other == event), Some(round + 10));
            }
            assert_eq!(overlay.used, 1000);
            overlay.clear();
        }
    }
}
