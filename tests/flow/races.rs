//! Two who decide at once: exactly one wins, and the other is told.

use std::sync::{Barrier, Mutex};
use std::time::Duration;

use annals::{Actor, Change, ErrorKind, Grant, Outcome, Query, Refusal, Request, Rules};
use serde_json::json;

use super::{alice, pod, scribe};

/// Rounds of each race; ANNALS_RACE_ROUNDS asks for more.
fn rounds() -> usize {
    std::env::var("ANNALS_RACE_ROUNDS").map_or(300, |text| text.parse().unwrap())
}

#[test]
fn of_two_who_approve_and_one_who_rejects_one_wins() {
    let pod = pod();
    pod.note("n-1", "A");
    for round in 0..rounds() {
        let wish = pod.update("n-1", &format!("{round}"), scribe());
        let digest = pod.digest(wish);
        let start = Barrier::new(3);
        let results: Vec<annals::Result<_>> = std::thread::scope(|scope| {
            let run = |which: usize| {
                let (start, flow, digest) = (&start, &pod.flow, &digest);
                scope.spawn(move || {
                    start.wait();
                    if which == 2 { flow.reject(wish, alice(), "no") } else { flow.approve(wish, digest, alice(), "") }
                })
            };
            let threads: Vec<_> = (0..3).map(run).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let won = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(won, 1, "round {round}: {results:?}");
        for error in results.into_iter().filter_map(Result::err) {
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert!(error.already_decided().is_some(), "{error}");
        }
    }
    let decided =
        pod.store.reader().count(&Query::all().types(["notes.update.approved", "notes.update.rejected"])).unwrap();
    assert_eq!(decided, rounds() as u64);
}

#[test]
fn of_a_decider_and_the_clock_one_wins() {
    let pod = pod();
    pod.note("n-1", "A");
    let (mut approved, mut expired) = (0, 0);
    for round in 0..rounds() {
        let update = Request::update("notes", "n-1", &json!({ "content": round.to_string() })).by(scribe());
        let wish =
            pod.flow.request(update.answer_by(Duration::from_micros(400 + (round as u64 * 37) % 900))).unwrap().request;
        let life = pod
            .store
            .reader()
            .read(&Query::all().caused_by(wish).types(["notes.update.asked"]))
            .next()
            .unwrap()
            .unwrap();
        let digest = life.json::<serde_json::Value>().unwrap()["digest"].as_str().unwrap().to_owned();
        let answered = pod.flow.approve(wish, digest, alice(), "");
        match (answered, pod.end(wish)) {
            (Ok(_), Outcome::Validated { .. }) => approved += 1,
            (Err(error), Outcome::Expired) if error.kind() == ErrorKind::Conflict => expired += 1,
            other => panic!("round {round}: {other:?}"),
        }
    }
    println!("{approved} approved, {expired} expired");
}

#[test]
fn the_last_use_of_a_grant_is_spent_once() {
    let pod = pod();
    for round in 0..rounds() / 3 {
        let agent = format!("agent-{round}");
        for note in 0..4 {
            pod.note(&format!("{round}-{note}"), "A");
        }
        pod.flow.grant(Grant::to(agent.as_str()).action("notes.update").uses(2), alice()).unwrap();
        let start = Barrier::new(4);
        let done: Vec<Outcome> = std::thread::scope(|scope| {
            let run = |note: usize| {
                let (start, pod, agent) = (&start, &pod, agent.as_str());
                scope.spawn(move || {
                    start.wait();
                    let wish = pod.update(&format!("{round}-{note}"), "B", Actor::agent(agent));
                    pod.outcome(wish)
                })
            };
            let threads: Vec<_> = (0..4).map(run).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let spent = done.iter().filter(|outcome| matches!(outcome, Outcome::Validated { .. })).count();
        assert_eq!(spent, 2, "round {round}: {done:?}");
    }
}

#[test]
fn writers_of_one_row_all_get_through_and_none_is_lost() {
    let pod = pod();
    pod.note("n-1", "A");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let pod = &pod;
            scope.spawn(move || {
                for n in 0..50 {
                    let patch = json!({ format!("f{thread}-{n}"): n });
                    let made = pod.flow.request(Request::update("notes", "n-1", &patch).by(alice())).unwrap();
                    assert!(matches!(pod.outcome(made.request), Outcome::Validated { .. }));
                }
            });
        }
    });
    assert_eq!(pod.row("note/n-1").as_object().unwrap().len(), 201);
}

/// Rules that have something happen, once, while a change is being decided.
struct Meanwhile(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Rules for Meanwhile {
    fn name(&self) -> &str {
        "notes"
    }

    fn check(&self, _: &Change<'_>) -> Result<Option<Vec<u8>>, Refusal> {
        let happens = self.0.lock().unwrap().take();
        if let Some(happens) = happens {
            happens();
        }
        Ok(None)
    }
}

#[test]
fn a_grant_that_is_used_while_a_change_is_decided_does_not_cover_that_too() {
    let pod = pod();
    pod.note("n-1", "A");
    pod.note("n-2", "A");
    pod.flow.grant(Grant::to("scribe").action("notes.update").uses(1), alice()).unwrap();
    let update = |id: &str| Request::update("notes", id, &json!({"content": "B"})).by(scribe());
    let (other, first) = (pod.flow.clone(), update("n-1"));
    let uses_it = move || assert!(other.request(first).is_ok());
    let rules = Meanwhile(Mutex::new(Some(Box::new(uses_it))));
    let second = annals::Flow::builder(&pod.store).table("notes", rules).start().unwrap();
    let late = second.request(update("n-2")).unwrap().request;
    assert_eq!(
        (pod.row("note/n-1")["content"].clone(), pod.row("note/n-2")["content"].clone()),
        (json!("B"), json!("A"))
    );
    assert_eq!(pod.outcome(late), Outcome::Pending, "it is asked about");
}
