//! The log that is read: the usual events, and among them subjects whose events are known in number and in place.
//!
//! Of every `stride` events one in turn is about a subject of each of three sorts. With a million events and a thousand
//! subjects of each sort, `stride` is 100, so ten events of a `far` subject lie 100,000 positions apart, and those of a
//! `near` one 100.

use annals::NewEvent;

use super::workload::Workload;

/// Events of a subject that has several.
pub(super) const EVENTS_EACH: u64 = 10;
/// Subjects of a sort, at most, and events of the log for each of them, at least.
const SUBJECTS_MAX: u64 = 1000;
const EVENTS_PER_SUBJECT: u64 = 1000;

/// Where the events of a subject lie.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sort {
    /// Ten, spread over the whole log.
    Far,
    /// Ten, close together.
    Near,
    /// There is only one.
    Once,
}

impl Sort {
    /// One of the subjects by its number.
    pub(super) fn subject(self, number: u64) -> String {
        let kind = match self {
            Sort::Far => "far",
            Sort::Near => "near",
            Sort::Once => "once",
        };
        format!("{kind}/{number:05}")
    }
}

/// Makes the events of a log of a known length.
#[derive(Debug)]
pub(super) struct Population {
    workload: Workload,
    subjects: u64,
    stride: u64,
    made: u64,
}

impl Population {
    /// For a log of so many events.
    pub(super) fn new(events: u64) -> Population {
        let subjects = (events / EVENTS_PER_SUBJECT).clamp(1, SUBJECTS_MAX);
        Population { workload: Workload::new(0), subjects, stride: events / (subjects * EVENTS_EACH), made: 0 }
    }

    /// How many subjects there are of each sort.
    pub(super) fn subjects(&self) -> u64 {
        self.subjects
    }

    /// Positions between two events of a near subject.
    pub(super) fn stride(&self) -> u64 {
        self.stride
    }

    fn event(&mut self) -> NewEvent {
        let (turn, place) = (self.made / self.stride.max(1), self.made % self.stride.max(1));
        self.made += 1;
        let among = turn < self.subjects * EVENTS_EACH;
        let (of_each, number) = (turn % EVENTS_EACH, turn / EVENTS_EACH);
        let subject = match place {
            0 if among => Sort::Far.subject(turn % self.subjects),
            1 if among => Sort::Near.subject(number),
            2 if among && of_each == 0 => Sort::Once.subject(number),
            _ => return self.workload.event(),
        };
        self.workload.about(number, subject)
    }

    pub(super) fn batch(&mut self, events: usize) -> Vec<NewEvent> {
        (0..events).map(|_| self.event()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_subjects_have_the_events_that_they_are_said_to_have() {
        let mut population = Population::new(20_000);
        assert_eq!((population.subjects(), population.stride()), (20, 100));
        let mut places = BTreeMap::<String, Vec<u64>>::new();
        for (place, event) in (0..).zip(population.batch(20_000)) {
            places.entry(event.subject().to_owned()).or_default().push(place);
        }
        for number in 0..population.subjects() {
            let of = |sort: Sort| places[&sort.subject(number)].clone();
            let far = of(Sort::Far);
            assert_eq!(far.len(), 10);
            assert!(far.windows(2).all(|pair| pair[1] - pair[0] == 2000));
            let near = of(Sort::Near);
            assert_eq!(near.len(), 10);
            assert!(near.windows(2).all(|pair| pair[1] - pair[0] == 100));
            assert_eq!(of(Sort::Once).len(), 1);
        }
        assert!(places.keys().filter(|subject| subject.starts_with("far/")).count() == 20);
    }
}
