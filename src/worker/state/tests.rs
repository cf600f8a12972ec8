//! Entries in, state out, and back again.

use super::*;
use crate::actor::Actor;

fn at(position: u64) -> Position {
    Position::new(position)
}

fn parked(position: u64, behind: Option<u64>) -> Entry {
    Entry::Parked {
        position: at(position),
        since: Timestamp::from_nanos(5),
        attempts: 3,
        behind: behind.map(Position::new),
        key: "k".to_owned(),
        error: "broken".to_owned(),
    }
}

fn decision(position: u64) -> Decision {
    Decision {
        position: at(position),
        at: Timestamp::from_nanos(9),
        by: Actor::user("alice"),
        reason: "because".to_owned(),
    }
}

fn folded(entries: &[Entry]) -> State {
    let mut state = State::default();
    entries.iter().for_each(|entry| state.apply(entry));
    state
}

/// The bytes that are counted as they change are those of what is there.
#[track_caller]
fn check(state: &State) {
    let bytes: usize = state.open.values().map(Open::bytes).sum();
    assert_eq!(state.bytes, bytes + state.parked.values().map(ParkedEvent::bytes).sum::<usize>());
    let again = folded(&state.entries());
    assert_eq!((&again.open, &again.parked, again.through), (&state.open, &state.parked, state.through));
    assert_eq!((&again.decisions, &again.session), (&state.decisions, &state.session));
    assert_eq!(again.bytes, state.bytes);
}

#[test]
fn the_entries_of_a_state_make_it_anew() {
    let through = Checkpoint { position: at(9), epoch: 1, fingerprint: [3; 16] };
    let mut entries = vec![Entry::Through(through)];
    entries.extend((1..=9).map(|position| Entry::Open(at(position))));
    let state = folded(&entries);
    assert_eq!(state.checkpoint(), Position::ORIGIN);
    check(&state);
    entries.push(Entry::Result { position: at(2), step: "a".to_owned(), json: "17".to_owned() });
    entries.push(Entry::Due { position: at(2), step: "b".to_owned(), due: Timestamp::from_nanos(7) });
    entries.push(Entry::Aside {
        position: at(2),
        due: Timestamp::from_nanos(7),
        attempts: 1,
        step: "b".to_owned(),
        error: "not yet".to_owned(),
    });
    entries.extend([1, 3, 4].map(|position| Entry::Finished(at(position))));
    let state = folded(&entries);
    assert_eq!(state.checkpoint(), at(1));
    check(&state);
    entries.extend([parked(2, None), parked(5, Some(2)), parked(6, Some(2))]);
    let state = folded(&entries);
    assert_eq!((state.checkpoint(), state.behind(at(2))), (at(6), vec![at(5), at(6)]));
    check(&state);
    let retried = folded(&[entries.clone(), vec![Entry::Retried(decision(2))]].concat());
    assert_eq!(retried.checkpoint(), at(1));
    assert_eq!((retried.open[&at(2)].memos.len(), retried.open[&at(2)].attempts), (2, 0));
    assert!(retried.open.contains_key(&at(5)) && retried.parked.is_empty());
    check(&retried);
    let skipped = folded(&[entries.clone(), vec![Entry::Skipped(decision(2))]].concat());
    assert_eq!(skipped.checkpoint(), at(4));
    assert!(!skipped.open.contains_key(&at(2)) && skipped.parked.is_empty());
    check(&skipped);
    let one_behind = folded(&[entries, vec![Entry::Skipped(decision(5))]].concat());
    assert_eq!(one_behind.behind(at(2)), vec![at(6)]);
    check(&one_behind);
}

#[test]
fn only_the_newest_decisions_are_kept() {
    let mut state = State::default();
    (1..=WORKER_DECISIONS_MAX as u64 + 5).for_each(|n| state.apply(&Entry::Retried(decision(n))));
    assert_eq!((state.decisions.len(), state.decisions[0].0.position), (WORKER_DECISIONS_MAX, at(6)));
    check(&state);
}
