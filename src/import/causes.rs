//! From the numbers of an input to places in the store.

use std::collections::BTreeMap;

use crate::position::Position;

/// What became of an event of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It stood in the store before.
    Stood(Position),
    /// It was the n-th, counted from 0, of those that this run appends.
    Added(u64),
}

/// Marks the number of an added event, as no position is.
const ADDED: u64 = 1 << 63;

/// Which event a number of the input names: the last that bore it.
#[derive(Debug, Default)]
pub(super) struct Sequences(RunMap);

impl Sequences {
    pub(super) fn insert(&mut self, sequence: Position, place: Place) {
        let value = match place {
            Place::Stood(position) => position.get(),
            Place::Added(ordinal) => ordinal | ADDED,
        };
        self.0.insert(sequence.get(), value, 1);
    }

    pub(super) fn get(&self, sequence: Position) -> Option<Place> {
        let value = self.0.get(sequence.get())?;
        Some(if value & ADDED == 0 { Place::Stood(Position::new(value)) } else { Place::Added(value & !ADDED) })
    }
}

/// Where added events came to stand.
#[derive(Debug, Default)]
pub(super) struct Landed(RunMap);

impl Landed {
    /// A batch of `count` events, the first of them the `ordinal`-th of all, stands from `first` on.
    pub(super) fn insert(&mut self, ordinal: u64, first: Position, count: u64) {
        self.0.insert(ordinal, first.get(), count);
    }

    pub(super) fn get(&self, ordinal: u64) -> Option<Position> {
        self.0.get(ordinal).map(Position::new)
    }
}

/// A map in which rising keys have rising values for long stretches, and a stretch takes as much memory as one entry.
///
/// Invariant: stretches do not overlap and have at least one key.
#[derive(Debug, Default)]
struct RunMap {
    /// First key to last key, inclusive, and the value of the first.
    runs: BTreeMap<u64, (u64, u64)>,
}

impl RunMap {
    fn get(&self, key: u64) -> Option<u64> {
        let (first, (last, value)) = self.runs.range(..=key).next_back()?;
        (key <= *last).then(|| value + (key - first))
    }

    /// Maps `count` keys from `key` on to as many values; what they were mapped to before is forgotten.
    fn insert(&mut self, key: u64, value: u64, count: u64) {
        let Some(last) = count.checked_sub(1).and_then(|more| key.checked_add(more)) else { return };
        self.remove(key, last);
        if let Some((first, (end, start))) = self.runs.range_mut(..key).next_back()
            && end.checked_add(1) == Some(key)
            && start.checked_add(key - first) == Some(value)
        {
            *end = last;
        } else {
            self.runs.insert(key, (last, value));
        }
    }

    fn remove(&mut self, key: u64, last: u64) {
        // The usual case first: keys rise, so nothing stands there.
        while let Some((first, (end, value))) = self.runs.range(..=last).next_back().map(|(first, run)| (*first, *run))
            && end >= key
        {
            self.runs.remove(&first);
            if end > last {
                self.runs.insert(last + 1, (end, value + (last + 1 - first)));
            }
            if first < key {
                self.runs.insert(first, (key - 1, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stretch_is_one_entry() {
        let mut map = RunMap::default();
        (0..100_000).for_each(|key| map.insert(key + 7, key + 1, 1));
        assert_eq!(map.runs.len(), 1);
        assert_eq!((map.get(6), map.get(7), map.get(100_006), map.get(100_007)), (None, Some(1), Some(100_000), None));
    }

    #[test]
    fn a_number_names_the_last_event_that_bore_it() {
        let mut sequences = Sequences::default();
        sequences.insert(Position::new(5), Place::Added(0));
        sequences.insert(Position::new(u64::MAX), Place::Stood(Position::new(3)));
        sequences.insert(Position::new(5), Place::Stood(Position::new(9)));
        assert_eq!(sequences.get(Position::new(5)), Some(Place::Stood(Position::new(9))));
        assert_eq!(sequences.get(Position::new(u64::MAX)), Some(Place::Stood(Position::new(3))));
        assert_eq!(sequences.get(Position::new(6)), None);
    }

    proptest! {
        #[test]
        fn it_is_a_map(operations in proptest::collection::vec((0u64..40, 0u64..40, 0u64..6), 0..60)) {
            let (mut map, mut model) = (RunMap::default(), BTreeMap::new());
            for (key, value, count) in operations {
                map.insert(key, value, count);
                (0..count).for_each(|step| {
                    model.insert(key + step, value + step);
                });
                for key in 0..50 {
                    prop_assert_eq!(map.get(key), model.get(&key).copied());
                }
            }
        }
    }
}
