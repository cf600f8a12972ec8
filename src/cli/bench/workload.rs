//! The events that are measured: 240 bytes of JSON about one of 10,000 subjects, of one of 54 types, with an actor and
//! both times. The same events in every run, on every machine.

use std::sync::LazyLock;

use annals::{Actor, Catalog, NewEvent, Table, Timestamp};

/// Bytes of an event's data.
pub(super) const DATA_BYTES: usize = 240;
pub(super) const SUBJECTS: u64 = 10_000;
const ACTORS: u64 = 500;

static CORE: LazyLock<Catalog> = LazyLock::new(Catalog::core);
/// None is an action of the catalogue, whose types a bare store does not take.
const ACTIONS: [&str; 3] = ["created", "updated", "deleted"];
/// What bare tables are appended with, outside of any flow.
const PHASES: [&str; 2] = ["recorded", "observed"];
const WORDS: [&str; 16] = [
    "alpha", "ledger", "quiet", "harbour", "seven", "paper", "winter", "signal", "copper", "meadow", "river", "north",
    "engine", "violet", "market", "stone",
];

/// Makes events, one like the other and no two the same.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    state: u64,
    count: u64,
}

impl Workload {
    pub(super) fn new(seed: u64) -> Workload {
        Workload { state: seed, count: 0 }
    }

    /// SplitMix64, by Sebastiano Vigna (public domain): equal seeds, equal numbers, on every machine.
    fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    fn one_of<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len() as u64) as usize]
    }

    pub(super) fn event(&mut self) -> NewEvent {
        let number = self.below(SUBJECTS);
        self.about(number, subject(number))
    }

    /// The next event, about a subject of any name; the number decides of which table it tells.
    pub(super) fn about(&mut self, number: u64, subject: String) -> NewEvent {
        self.count += 1;
        let event_type = format!("{}.{}.{}", table(number).name(), self.one_of(&ACTIONS), self.one_of(&PHASES));
        let actor = Actor::user(format!("u-{:03}", self.below(ACTORS)));
        let occurred = Timestamp::from_nanos(1_767_225_600_000_000_000 + self.count as i64 * 1_000_000);
        NewEvent::bytes(event_type, subject, "application/json", self.data(number)).actor(actor).occurred_at(occurred)
    }

    fn data(&mut self, number: u64) -> Vec<u8> {
        let (serial, amount, cents, open) = (self.count, self.below(100_000), self.below(100), self.below(2) == 0);
        let mut json = format!(
            "{{\"id\":\"{number:05}\",\"serial\":{serial},\"amount\":{amount}.{cents:02},\"open\":{open},\"text\":\""
        );
        let end = "\"}";
        while json.len() + end.len() < DATA_BYTES {
            json.push_str(self.one_of(&WORDS));
            json.push(' ');
        }
        json.truncate(DATA_BYTES - end.len());
        json.push_str(end);
        json.into_bytes()
    }

    pub(super) fn batch(&mut self, events: usize) -> Vec<NewEvent> {
        (0..events).map(|_| self.event()).collect()
    }
}

/// The core table that a subject belongs to.
fn table(number: u64) -> &'static Table {
    let tables = CORE.tables();
    &tables[(number % tables.len() as u64) as usize]
}

/// One of the subjects by its number.
pub(super) fn subject(number: u64) -> String {
    format!("{}/{number:05}", table(number).kind())
}

/// One of the types.
pub(super) fn some_type() -> String {
    format!("{}.{}.{}", table(1).name(), ACTIONS[1], PHASES[0])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_events_are_what_they_are_said_to_be() {
        let mut workload = Workload::new(7);
        let events = workload.batch(20_000);
        for event in &events {
            assert_eq!(event.data().len(), DATA_BYTES);
            assert!(serde_json::from_slice::<serde_json::Value>(event.data()).is_ok());
        }
        let types: BTreeSet<&str> = events.iter().map(NewEvent::event_type).collect();
        assert_eq!(types.len(), 54);
        assert!(types.contains(some_type().as_str()));
        assert_eq!(Workload::new(7).batch(20_000), events);
    }
}
