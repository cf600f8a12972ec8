//! What an append may ask for and what it is told: expected versions, nothing new since, a deadline, a key, limits,
//! tickets, closed and read-only handles.
//!
//! Most of it is asked twice: alone, where the log answers, and as a member of one group commit, where neighbours that
//! are not committed yet have to count as if they were. Groups are made on purpose: see [`Gated`].

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "conditions/handles.rs"]
mod handles;
#[path = "conditions/keys.rs"]
mod keys;
#[path = "conditions/limits.rs"]
mod limits;
#[path = "conditions/versions.rs"]
mod versions;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use annals::sim::{Clock, ManualClock, SimStorage, Storage};
use annals::{Actor, Append, AppendError, Appended, Expected, NewEvent, Position, Query, Store, Timestamp};

/// 2026-01-01, in ns since 1970.
const NOW: i64 = 1_767_225_600_000_000_000;

/// A clock that stops whoever asks for the time while its gate is shut. The writer asks under its lock, so what is
/// submitted meanwhile waits together and becomes one group.
#[derive(Debug)]
struct GatedClock {
    time: ManualClock,
    /// Whether the gate is shut, and whether somebody stands before it.
    gate: Mutex<(bool, bool)>,
    turned: Condvar,
}

impl GatedClock {
    fn set_shut(&self, shut: bool) {
        self.gate.lock().unwrap().0 = shut;
        self.turned.notify_all();
    }

    fn wait_for_somebody(&self) {
        let gate = self.gate.lock().unwrap();
        drop(self.turned.wait_while(gate, |(_, waiting)| !*waiting).unwrap());
    }
}

impl Clock for GatedClock {
    fn wall_nanos(&self) -> i64 {
        let mut gate = self.gate.lock().unwrap();
        gate.1 = gate.0;
        self.turned.notify_all();
        drop(self.turned.wait_while(gate, |(shut, _)| *shut).unwrap());
        self.gate.lock().unwrap().1 = false;
        self.time.wall_nanos()
    }

    fn boot_nanos(&self) -> i64 {
        self.time.boot_nanos()
    }
}

/// A store on a simulated disk that commits groups of one's own choice.
struct Gated {
    disk: Arc<SimStorage>,
    clock: Arc<GatedClock>,
    store: Store,
}

impl Gated {
    fn new() -> Gated {
        Gated::on(SimStorage::with_trace())
    }

    fn on(disk: Arc<SimStorage>) -> Gated {
        let time = ManualClock::new(NOW);
        let clock = Arc::new(GatedClock { time, gate: Mutex::new((false, false)), turned: Condvar::new() });
        let options = Store::options().background(false).segment_bytes(64 << 10).clock(clock.clone());
        let store = options.open_on(disk.clone() as Arc<dyn Storage>, Path::new("simulated")).unwrap();
        Gated { disk, clock, store }
    }

    /// The same disk in the next process: after a close, or after a death where `killed`.
    fn reopened(self, killed: bool) -> Gated {
        let disk = if killed { self.disk.snapshot() } else { self.disk.clone() };
        if !killed {
            self.store.close().unwrap();
        }
        Gated::on(disk)
    }

    /// Commits these in one group, in this order.
    fn group(&self, appends: impl IntoIterator<Item = Append>) -> Vec<Result<Appended, AppendError>> {
        let groups = self.store.stats().groups;
        self.clock.set_shut(true);
        // It holds the writer and is then refused: nothing is recorded before 1970.
        let plug = self.store.submit(Append::from(event("plug/p")).before(Timestamp::from_nanos(0)));
        self.clock.wait_for_somebody();
        let tickets: Vec<_> = appends.into_iter().map(|append| self.store.submit(append)).collect();
        self.clock.set_shut(false);
        assert!(matches!(plug.wait(), Err(AppendError::TooLate { .. })));
        let outcomes = tickets.into_iter().map(annals::Ticket::wait).collect();
        assert_eq!(self.store.stats().groups, groups + 2, "that was not one group");
        outcomes
    }

    fn append(&self, append: impl Into<Append>) -> Result<Appended, AppendError> {
        self.store.append_with(append)
    }

    fn tail(&self) -> u64 {
        self.store.reader().tail().get()
    }

    /// Fills segments until one more is there.
    fn roll(&self) {
        let before = self.store.segments().len();
        while self.store.segments().len() == before {
            self.append(NewEvent::bytes("filled", "filler/f", "", vec![0; 20_000])).unwrap();
        }
    }
}

/// Every event as position, subject, version and type; that positions have no gap is checked by the way.
fn log(store: &Store) -> Vec<(u64, String, u64, String)> {
    let mut found = vec![];
    store
        .reader()
        .scan(&Query::all(), |event| {
            assert_eq!(event.position().get(), found.len() as u64 + 1);
            let names = (event.subject().to_owned(), event.event_type().to_owned());
            found.push((event.position().get(), names.0, event.version(), names.1));
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

fn event(subject: &str) -> NewEvent {
    NewEvent::bytes("happened", subject, "text/plain", subject)
}

fn append(subjects: &[&str]) -> Append {
    Append::new(subjects.iter().map(|subject| event(subject)))
}

/// The position that a conflict names.
fn conflict(outcome: Result<Appended, AppendError>) -> u64 {
    match outcome {
        Err(AppendError::Conflict { position, .. }) => position.get(),
        other => panic!("no conflict: {other:?}"),
    }
}

fn first(outcome: Result<Appended, AppendError>) -> u64 {
    outcome.unwrap().first.get()
}

/// What is expected of a subject with three events at these positions; 0 is a subject without any.
const EXPECTATIONS: &[(Expected, Option<usize>, Option<usize>)] = &[
    // Expectation; index of the first conflicting event of a/three; whether absence conflicts (no event to name).
    (Expected::Any, None, None),
    (Expected::NoSubject, Some(0), None),
    (Expected::Exists, None, Some(0)),
    (Expected::Exactly(0), Some(0), None),
    (Expected::Exactly(1), Some(1), Some(0)),
    (Expected::Exactly(2), Some(2), Some(0)),
    (Expected::Exactly(3), None, Some(0)),
    (Expected::Exactly(4), Some(2), Some(0)),
    (Expected::Exactly(u64::MAX), Some(2), Some(0)),
];

#[test]
fn expected_versions_hold_or_name_the_first_event_against_them() {
    for rolled in [false, true] {
        let gated = Gated::new();
        let mut at = vec![];
        for _ in 0..3 {
            gated.append(event("b/other")).unwrap();
            at.push(first(gated.append(event("a/three"))));
            if rolled {
                gated.roll();
            }
        }
        for (expected, three, absent) in EXPECTATIONS {
            let tail = gated.tail();
            let outcome = gated.append(Append::from(event("c/c")).expect("a/three", *expected));
            match three {
                Some(index) => assert_eq!(conflict(outcome), at[*index], "{expected:?}, rolled {rolled}"),
                None => assert_eq!(first(outcome), tail + 1, "{expected:?}"),
            }
            let tail = gated.tail();
            let outcome = gated.append(Append::from(event("c/c")).expect("a/none", *expected));
            match absent {
                Some(_) => assert_eq!(conflict(outcome), 0, "{expected:?} of nothing"),
                None => assert_eq!(first(outcome), tail + 1, "{expected:?} of nothing"),
            }
        }
    }
}

#[test]
fn expected_versions_count_those_ahead_in_the_group() {
    let gated = Gated::new();
    gated.append(append(&["a/three", "b/b"])).unwrap();
    for (expected, three, absent) in EXPECTATIONS {
        // Fresh names each time: one event of a/three is in the log, two are ahead in the group.
        let name = format!("a/{expected:?}");
        let at = first(gated.append(event(&name)));
        let tail = gated.tail();
        let ask = |subject: &str| Append::from(event("c/c")).expect(subject, *expected);
        let mut outcomes = gated
            .group([append(&["b/b", &name]), append(&[&name, "b/b"]), ask(&name), ask("a/none"), append(&["b/b"])])
            .into_iter();
        let positions = [at, tail + 2, tail + 3];
        let mut next = tail + 1;
        let mut done = |outcome: Result<Appended, AppendError>, events: u64| {
            assert_eq!(first(outcome), next, "{expected:?}");
            next += events;
        };
        done(outcomes.next().unwrap(), 2);
        done(outcomes.next().unwrap(), 2);
        for against in [three.map(|index| positions[index]), absent.map(|_| 0)] {
            let outcome = outcomes.next().unwrap();
            match against {
                Some(position) => assert_eq!(conflict(outcome), position, "{expected:?}"),
                None => done(outcome, 1),
            }
        }
        done(outcomes.next().unwrap(), 1);
        assert_eq!(gated.tail(), next - 1);
    }
    log(&gated.store);
}

#[test]
fn several_conditions_hold_all_or_nothing_is_done() {
    let gated = Gated::new();
    gated.append(append(&["a/1", "a/2", "a/2"])).unwrap();
    let wanted = || {
        append(&["a/1", "a/2", "a/3"])
            .expect("a/1", Expected::Exactly(1))
            .expect("a/2", Expected::Exactly(2))
            .expect("a/3", Expected::NoSubject)
            .expect("a/1", Expected::Exists)
            .unless(Query::all().subject("a/2"), 3)
            .unless(Query::all().subject("a/3"), 0)
    };
    for (breaking, position) in [
        (wanted().expect("a/2", Expected::Exactly(1)), 3),
        (wanted().expect("a/1", Expected::NoSubject), 1),
        (wanted().expect("a/4", Expected::Exists), 0),
        (wanted().unless(Query::all(), 1), 2),
    ] {
        assert_eq!(conflict(gated.append(breaking.clone())), position);
        assert_eq!(conflict(gated.group([breaking]).remove(0)), position);
        assert_eq!(gated.tail(), 3, "a part of a refused append is there");
    }
    match gated.append(wanted().expect("a/2", Expected::Exactly(7))) {
        Err(AppendError::Conflict { condition, found, .. }) => {
            assert!(
                condition.contains("a/2") && condition.contains('7') && found.contains('2'),
                "{condition}; {found}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(first(gated.append(wanted())), 4);
    assert_eq!(conflict(gated.append(wanted())), 4, "the second time its own first event stands against it");
    let versions: Vec<_> = log(&gated.store).into_iter().map(|(_, subject, version, _)| (subject, version)).collect();
    let expected = [("a/1", 1), ("a/2", 1), ("a/2", 2), ("a/1", 2), ("a/2", 3), ("a/3", 1)];
    assert_eq!(versions, expected.map(|(subject, version)| (subject.to_owned(), version)));
}

/// A query of each dimension with one event that it matches and one that it just misses. Both are the second event of
/// a batch whose first one is at `first`.
fn dimensions(first: u64) -> Vec<(Query, NewEvent, NewEvent)> {
    let plain = || event("note/n-1");
    let time = |nanos: i64| Timestamp::from_nanos(nanos);
    let agent = || plain().actor(Actor::agent("x"));
    vec![
        (Query::all(), plain(), event("plug/never")),
        (Query::all().subject("note/n-1"), plain(), event("note/n-2")),
        (Query::all().subjects(["no/no", "note/n-1"]), plain(), event("no/nono")),
        (Query::all().kind("note"), plain(), event("notes/n-1")),
        (Query::all().kinds(["user", "note"]), plain(), event("repo/n-1")),
        (Query::all().types(["happened"]), plain(), NewEvent::bytes("happened.too", "note/n-1", "", "")),
        (Query::all().types(["a.*.c"]), NewEvent::bytes("a.b.c", "n/n", "", ""), NewEvent::bytes("a.b", "n/n", "", "")),
        (Query::all().types(["a.**"]), NewEvent::bytes("a.b.c", "n/n", "", ""), NewEvent::bytes("a", "n/n", "", "")),
        (Query::all().tag("t"), plain().tag("s").tag("t"), plain().tag("s")),
        (Query::all().tag("t").tag("s"), plain().tag("s").tag("t"), plain().tag("t")),
        (Query::all().actor(Actor::agent("x")), agent(), plain().actor(Actor::user("x"))),
        (Query::all().actor_id("x"), agent(), plain().actor(Actor::agent("y"))),
        (Query::all().on_behalf_of("u"), agent().on_behalf_of("u"), agent()),
        (Query::all().source("web"), plain().source("web"), plain().source("we")),
        (Query::all().correlation("r-1"), plain().correlation("r-1"), plain().correlation("r-2")),
        (Query::all().caused_by(1), plain().caused_by(1), plain().caused_by(2)),
        // A cause within the batch counts by the position that it gets.
        (Query::all().caused_by(first), plain().caused_by_batch(0), plain().caused_by(1)),
        (Query::all().kind("note").after(first), plain(), event("user/u")),
        (Query::all().kind("note").before(first + 2), plain(), event("user/u")),
        (Query::all().kind("note").since(time(NOW)), plain(), event("user/u")),
        (Query::all().kind("note").until(time(NOW + 1)), plain(), event("user/u")),
        (Query::all().occurred_since(time(NOW + 5)), plain().occurred_at(time(NOW + 5)), plain()),
        (Query::all().occurred_until(time(NOW)), plain().occurred_at(time(NOW - 1)), plain()),
        (Query::all().kind("note").or(Query::all().tag("t")), event("user/u").tag("t"), event("user/u")),
        (Query::all().kind("note").rev().limit(0), plain(), event("user/u")),
    ]
}

/// The first event of each batch of [`dimensions`], which no query there matches but the one for everything.
fn lead() -> NewEvent {
    NewEvent::bytes("led", "lead/l", "", "")
}

#[test]
fn nothing_new_since_is_asked_in_every_dimension_of_log_and_group() {
    for index in 0..dimensions(0).len() {
        for rolled in [false, true] {
            let gated = Gated::new();
            gated.append(Append::new([lead(), lead()])).unwrap();
            let take = |first: u64| dimensions(first).swap_remove(index);
            let (query, ..) = take(0);
            let everything = query == Query::all();
            let ask = |query: &Query, after: u64| Append::new([lead()]).unless(query.clone(), after);

            // Alone: the log answers.
            let tail = gated.tail();
            let (query, hit, miss) = take(tail + 3);
            gated.append(Append::new([lead(), miss])).unwrap();
            let none = gated.append(ask(&query, tail));
            if !everything {
                assert_eq!(first(none), tail + 3, "{query}");
                // The next batch begins where `take` was told.
                let (query, hit_at_4, _) = take(tail + 4);
                gated.append(Append::new([lead(), hit_at_4])).unwrap();
                let hit_at = tail + 5;
                gated.append(Append::new([lead()])).unwrap();
                if rolled {
                    gated.roll();
                }
                for after in [tail, tail + 1, hit_at - 1] {
                    assert_eq!(conflict(gated.append(ask(&query, after))), hit_at, "{query} after {after}");
                }
                let later = ask(&query, hit_at);
                first(gated.append(later));
            } else {
                assert_eq!(conflict(none), tail + 1);
                gated.append(Append::new([lead(), hit])).unwrap();
            }

            // In a group: those ahead answer too.
            let tail = gated.tail();
            let (query, hit, miss) = take(tail + 1);
            let again = take(tail + 4).1;
            let outcomes = gated.group([
                Append::new([lead(), hit]),
                Append::new([lead()]),
                Append::new([lead(), again]),
                ask(&query, tail),
                ask(&query, tail + 2),
                ask(&query, tail + 5),
                Append::new([lead(), miss]),
            ]);
            let [one, two, three, since, then, beyond, last] = outcomes.try_into().unwrap();
            assert_eq!([first(one), first(two), first(three)], [tail + 1, tail + 3, tail + 4], "{query}");
            assert_eq!(conflict(since), if everything { tail + 1 } else { tail + 2 }, "{query}");
            match then {
                // A query that is bound to this batch's place or cause does not match the other one.
                Ok(done) => assert!(!everything && done.first.get() == tail + 6, "{query}"),
                other => assert_eq!(conflict(other), if everything { tail + 3 } else { tail + 5 }, "{query}"),
            }
            let beyond = first(beyond);
            assert!(beyond == tail + 6 || beyond == tail + 7, "{query}");
            assert_eq!(first(last), beyond + 1, "{query}");
            // A member that is not there stands against nobody.
            let tail = gated.tail();
            let (query, hit, _) = take(tail + 1);
            let refused = Append::new([lead(), hit]).expect("a/none", Expected::Exists);
            let [refused, asked] = gated.group([refused, ask(&query, tail)]).try_into().unwrap();
            assert_eq!((conflict(refused), first(asked)), (0, tail + 1), "{query}");
            log(&gated.store);
        }
    }
}

#[test]
fn a_deadline_is_held_against_the_time_of_record() {
    let gated = Gated::new();
    let before = |nanos: i64| Append::from(event("a/a")).before(Timestamp::from_nanos(nanos));
    for outcome in [gated.append(before(NOW)), gated.group([before(NOW)]).remove(0)] {
        match outcome {
            Err(AppendError::TooLate { before, now }) => {
                assert_eq!((before.as_nanos(), now.as_nanos()), (NOW, NOW));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(first(gated.append(before(NOW + 1))), 1);
    // Of several the earliest counts, in any order.
    for twice in
        [before(NOW).before(Timestamp::from_nanos(NOW + 9)), before(NOW + 9).before(Timestamp::from_nanos(NOW))]
    {
        assert!(matches!(gated.append(twice), Err(AppendError::TooLate { .. })));
    }
    // Time of record does not run backwards, so a clock that does opens no window again.
    gated.clock.time.advance(100);
    assert_eq!(first(gated.append(before(NOW + 101))), 2);
    gated.clock.time.set_wall(NOW - 1_000);
    assert!(
        matches!(gated.append(before(NOW + 100)), Err(AppendError::TooLate { now, .. }) if now.as_nanos() == NOW + 100)
    );
    assert_eq!(first(gated.append(before(NOW + 101))), 3);
    // The conditions play no part in it, and it none in them.
    let both = before(NOW).expect("a/a", Expected::NoSubject);
    assert!(matches!(gated.append(both), Err(AppendError::TooLate { .. })));
    let conflicting = before(i64::MAX).expect("a/a", Expected::NoSubject);
    assert_eq!(conflict(gated.append(conflicting)), 1);
    assert_eq!(gated.tail(), 3);
}

#[test]
fn a_refused_member_harms_no_neighbour() {
    let gated = Gated::new();
    gated.append(append(&["a/1"]).key("used")).unwrap();
    let late = append(&["a/1", "a/late"]).before(Timestamp::from_nanos(NOW));
    let reused = append(&["a/1", "a/reused"]).key("used");
    let against = append(&["a/1", "a/against"]).expect("a/1", Expected::NoSubject);
    let since = append(&["a/1", "a/since"]).unless(Query::all().subject("a/1"), 0);
    let outcomes = gated.group([
        append(&["a/1", "a/2"]),
        late,
        append(&["a/2"]).expect("a/2", Expected::Exactly(1)).expect("a/late", Expected::NoSubject),
        reused,
        against,
        append(&["a/1"]).expect("a/1", Expected::Exactly(2)),
        since,
        append(&["a/reused"]).expect("a/reused", Expected::NoSubject).unless(Query::all().subject("a/since"), 0),
    ]);
    let kinds: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(done) => done.first.get() as i64,
            Err(AppendError::TooLate { .. }) => -1,
            Err(AppendError::KeyReused { position, .. }) if position.get() == 1 => -2,
            Err(AppendError::Conflict { position, .. }) if position.get() == 1 => -3,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, [2, -1, 4, -2, -3, 5, -3, 6]);
    let expected = [("a/1", 1), ("a/1", 2), ("a/2", 1), ("a/2", 2), ("a/1", 3), ("a/reused", 1)];
    let held = |store: &Store| {
        let found: Vec<_> = log(store).into_iter().map(|(_, subject, version, _)| (subject, version)).collect();
        assert_eq!(found, expected.map(|(subject, version)| (subject.to_owned(), version)));
    };
    held(&gated.store);
    held(&gated.reopened(true).store);
}

/// Checks of what lies behind may meet damage. The append that needed it is refused; its neighbours keep their versions.
#[test]
fn a_member_that_meets_damage_leaves_no_gap_in_the_versions_of_others() {
    let gated = Gated::new();
    let old = first(gated.append(event("old/damaged")));
    assert_eq!(old, 1);
    gated.roll();
    gated.roll();
    // Bytes of the first event, behind the back of the store: its frame begins at 12,288.
    gated.store.close().unwrap();
    let disk = gated.disk.snapshot();
    let file = disk.open(&gated.store.segments()[0].file, annals::sim::Mode::Write).unwrap();
    file.write_all_at(&mut [std::io::IoSlice::new(&[0xff; 64])], 12_288 + 100).unwrap();
    let gated = Gated::on(disk);
    let outcomes = gated.group([
        append(&["new/n"]),
        append(&["new/n", "new/m", "new/n", "old/damaged"]),
        append(&["new/n", "new/m"]).expect("new/n", Expected::Exactly(1)),
    ]);
    let [one, two, three] = outcomes.try_into().unwrap();
    let one = first(one);
    assert!(matches!(two, Err(AppendError::Failed(_))), "{two:?}");
    assert_eq!(first(three), one + 1);
    let reader = gated.store.reader();
    assert_eq!((reader.version("new/n").unwrap(), reader.version("new/m").unwrap()), (2, 1));
    assert_eq!(reader.event(Position::new(one + 2)).unwrap().unwrap().subject(), "new/m");
}
