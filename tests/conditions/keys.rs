//! Idempotency keys: the same key with the same content is done once, however old; with other content it is an error.

use annals::sim::{Call, FailPlan, Fault};
use annals::{Actor, ActorKind, Append, AppendError, Appended, Expected, NewEvent, Query, Timestamp};

use super::{Gated, NOW, append, event, first, log};

fn keyed(data: &str) -> Append {
    Append::new([NewEvent::bytes("happened", "key/k", "text/plain", data), event("key/l")]).key("once")
}

fn is_duplicate_of(outcome: Result<Appended, AppendError>, original: &Appended) {
    let done = outcome.unwrap();
    assert!(done.duplicate);
    let parts = |done: &Appended| (done.first, done.last, done.recorded_at);
    assert_eq!(parts(&done), parts(original));
}

/// The position that the error names.
fn reused(outcome: Result<Appended, AppendError>) -> u64 {
    match outcome {
        Err(AppendError::KeyReused { key, position }) if key == "once" => position.get(),
        other => panic!("the key is not known: {other:?}"),
    }
}

#[test]
fn a_key_is_done_once_however_old() {
    let mut gated = Gated::new();
    gated.append(event("a/a")).unwrap();
    let original = gated.append(keyed("A")).unwrap();
    assert_eq!((original.first.get(), original.last.get(), original.duplicate), (2, 3, false));
    let check = |gated: &Gated| {
        let tail = gated.tail();
        is_duplicate_of(gated.append(keyed("A")), &original);
        is_duplicate_of(gated.group([keyed("A")]).remove(0), &original);
        assert_eq!(reused(gated.append(keyed("B"))), 2);
        // In the group of a repetition other content is found out too.
        let [same, other, free] = gated.group([keyed("A"), keyed("B"), append(&["a/b"])]).try_into().unwrap();
        is_duplicate_of(same, &original);
        assert_eq!((reused(other), first(free)), (2, tail + 1));
        assert_eq!(gated.tail(), tail + 1);
    };
    check(&gated);
    // Another time of record is no other content.
    gated.clock.time.advance(1_000_000);
    check(&gated);
    for killed in [true, false, true] {
        gated.roll();
        check(&gated);
        gated = gated.reopened(killed);
        check(&gated);
    }
    gated.roll();
    check(&gated);
}

#[test]
fn a_key_answers_before_any_condition_is_looked_at() {
    let gated = Gated::new();
    let original = gated.append(keyed("A").expect("key/k", Expected::NoSubject)).unwrap();
    gated.append(event("key/k")).unwrap();
    let conditions: [fn(Append) -> Append; 5] = [
        |append| append,
        |append| append.expect("key/k", Expected::NoSubject),
        |append| append.expect("key/none", Expected::Exists),
        |append| append.unless(Query::all(), 0),
        |append| append.before(Timestamp::from_nanos(0)),
    ];
    for with in conditions {
        is_duplicate_of(gated.append(with(keyed("A"))), &original);
        is_duplicate_of(gated.group([with(keyed("A"))]).remove(0), &original);
        assert_eq!(reused(gated.append(with(keyed("B")))), 1, "other content is met before any condition");
        assert_eq!(reused(gated.group([with(keyed("B"))]).remove(0)), 1);
    }
    assert_eq!(gated.tail(), 3);
}

#[test]
fn a_key_is_done_once_within_a_group() {
    let gated = Gated::new();
    let outcomes = gated.group([
        append(&["a/a"]),
        keyed("A"),
        keyed("A"),
        keyed("B"),
        append(&["key/k"]),
        keyed("A").expect("key/k", Expected::NoSubject),
        append(&["key/k"]).key("other"),
    ]);
    let [_, original, again, other, between, conditional, other_key] = outcomes.try_into().unwrap();
    let original = original.unwrap();
    assert_eq!((original.first.get(), original.last.get(), original.duplicate), (2, 3, false));
    is_duplicate_of(again, &original);
    assert_eq!(reused(other), 2);
    assert_eq!(first(between), 4);
    is_duplicate_of(conditional, &original);
    assert_eq!(first(other_key), 5);
    let versions: Vec<u64> =
        log(&gated.store).into_iter().filter(|event| event.1 == "key/k").map(|event| event.2).collect();
    assert_eq!(versions, [1, 2, 3]);
}

#[test]
fn a_refused_append_does_not_use_its_key_up() {
    let gated = Gated::new();
    let refused = || keyed("A").expect("key/none", Expected::Exists);
    super::conflict(gated.append(refused()));
    let [no, original, again, late] = gated
        .group([refused(), keyed("B"), keyed("B"), keyed("A").before(Timestamp::from_nanos(0))])
        .try_into()
        .unwrap();
    super::conflict(no);
    let original = original.unwrap();
    assert_eq!(original.first.get(), 1);
    is_duplicate_of(again, &original);
    assert_eq!(reused(late), 1);
}

/// Every part of what the caller brought counts, in each event, and nothing that the log added.
#[test]
fn other_content_is_any_other_part_of_any_event() {
    let plain = || NewEvent::bytes("happened", "key/k", "text/plain", "A");
    let full = || {
        plain().id("i").actor(Actor::user("u")).on_behalf_of("o").source("s").correlation("c").tag("t").meta("m", "v")
    };
    let at = Timestamp::from_nanos(NOW + 1);
    let others = vec![
        NewEvent::bytes("happened2", "key/k", "text/plain", "A"),
        NewEvent::bytes("happened", "key/k2", "text/plain", "A"),
        NewEvent::bytes("happened", "key/k", "text/plain2", "A"),
        NewEvent::bytes("happened", "key/k", "", "A"),
        NewEvent::bytes("happened", "key/k", "text/plain", "AA"),
        NewEvent::bytes("happened", "key/k", "text/plain", ""),
        plain().id("i"),
        plain().actor(Actor::user("u")),
        plain().actor(Actor::agent("u")),
        plain().actor(Actor::new(ActorKind::Unknown, "u")),
        plain().on_behalf_of("u"),
        plain().source("u"),
        plain().correlation("u"),
        plain().tag("t"),
        plain().tag("t").tag("s"),
        plain().tag("s").tag("t"),
        plain().tag("ts"),
        plain().meta("m", "v"),
        plain().meta("mv", ""),
        plain().meta("m", "v").meta("n", ""),
        plain().caused_by(1),
        plain().caused_by(2),
        plain().caused_by_batch(0),
        plain().occurred_at(at),
        plain().occurred_at(Timestamp::from_nanos(NOW)),
        full(),
        full().occurred_at(at),
    ];
    let gated = Gated::new();
    let batches: Vec<Append> = std::iter::once(Append::new([event("key/k")]))
        .chain(std::iter::once(Append::new([event("key/k"), plain(), plain()])))
        .chain(std::iter::once(Append::new([event("key/k"), plain()])))
        .chain(others.into_iter().map(|other| Append::new([event("key/k"), other])))
        .collect();
    for (index, used) in batches.iter().enumerate() {
        let key = format!("key-{index}");
        let original = gated.append(used.clone().key(&key)).unwrap();
        for (other, batch) in batches.iter().enumerate() {
            match gated.append(batch.clone().key(&key)) {
                Ok(done) => {
                    assert_eq!(other, index, "{used:?} and {batch:?} count as the same content");
                    is_duplicate_of(Ok(done), &original);
                }
                Err(AppendError::KeyReused { position, .. }) => {
                    assert_eq!(position, original.first);
                    assert_ne!(other, index, "{used:?} is no repetition of itself");
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}

/// What becomes of the original becomes of its repetitions: whoever is told "unknown" must not stand beside one who is
/// told that nothing was done.
#[test]
fn a_repetition_shares_the_fate_of_an_original_in_its_group() {
    let gated = Gated::new();
    gated.append(event("a/a")).unwrap();
    gated.disk.set_capacity(gated.disk.used_bytes());
    let large = || Append::from(NewEvent::bytes("large", "key/k", "", vec![7; 30_000])).key("once");
    // Room was made ahead, so it takes more than one.
    let mut full = 0;
    for number in 0..20 {
        let large = || large().key(format!("once-{number}"));
        let outcomes = gated.group([large(), large()]);
        let is_full = |outcome: &Result<Appended, AppendError>| matches!(outcome, Err(AppendError::Full(_)));
        full += usize::from(is_full(&outcomes[0]));
        assert_eq!(is_full(&outcomes[0]), is_full(&outcomes[1]), "{outcomes:?}");
    }
    assert!(full > 0, "the disk was never full");
    gated.disk.set_capacity(u64::MAX);
    let [done, again] = gated.group([large(), large()]).try_into().unwrap();
    is_duplicate_of(again, &done.unwrap());

    gated.disk.fail(FailPlan::next(Call::SyncData, Fault::Eio));
    for outcome in gated.group([keyed("A").key("lost"), keyed("A").key("lost"), append(&["a/a"])]) {
        assert!(matches!(outcome, Err(AppendError::Poisoned { unknown: true, .. })), "{outcome:?}");
    }
}
