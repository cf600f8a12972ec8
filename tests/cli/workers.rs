//! `annals workers`, `parked`, `retry` and `skip`, as their users meet them.

use std::time::{Duration, Instant};

use annals::{BoxError, NewEvent, Query, Store, permanent};
use serde_json::json;

use crate::run::Place;

/// A store `pod` whose worker `mail` has parked one event, with one behind it, and waits with another.
fn place() -> Place {
    let place = Place::new();
    let store = Store::open(place.path("pod")).unwrap();
    let subjects = ["s/a", "s/b", "s/a", "s/c"];
    store.append(subjects.iter().map(|subject| NewEvent::bytes("job", *subject, "", "x"))).unwrap();
    let hour = Duration::from_secs(3_600);
    let jobs = Query::all().types(["job"]);
    let handle = store.worker("mail").on(jobs).backoff(hour, hour).run(|event, step| {
        step.run("send", || Ok::<_, BoxError>(1))?;
        match event.subject() {
            "s/a" => Err(permanent("the address\nis gone").into()),
            "s/b" => Err("try later".into()),
            _ => Ok(()),
        }
    });
    let handle = handle.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while (handle.status().parked, handle.status().waiting, handle.status().in_flight) != (2, 1, 0) {
        assert!(Instant::now() < deadline, "{:?}", handle.status());
        std::thread::sleep(Duration::from_millis(2));
    }
    handle.stop();
    store.close().unwrap();
    place
}

#[test]
fn workers_and_what_they_have_parked() {
    let place = place();
    let workers = place.json(&["workers", "pod"]);
    let worker = &workers[0];
    assert_eq!(
        (&worker["worker"], &worker["running"], &worker["checkpoint"]),
        (&json!("mail"), &json!(false), &json!(1))
    );
    assert_eq!((&worker["lag"], &worker["in_flight"], &worker["parked"]), (&json!(3), &json!(0), &json!(2)));
    assert_eq!((&worker["waiting"][0]["position"], &worker["waiting"][0]["error"]), (&json!(2), &json!("try later")));
    let table = place.good(&["workers", "pod"]);
    assert!(table.contains("mail") && table.contains("no"), "{table}");
    let parked = place.jsonl(&["parked", "pod"]);
    assert_eq!(parked, place.jsonl(&["parked", "pod", "mail"]));
    assert_eq!((&parked[0]["position"], &parked[0]["error"]), (&json!(1), &json!("the address is gone")));
    assert_eq!(
        (&parked[0]["key"], &parked[0]["attempts"], &parked[0]["behind"]),
        (&json!("s/a"), &json!(1), &json!(null))
    );
    assert_eq!(
        (&parked[1]["position"], &parked[1]["error"], &parked[1]["behind"]),
        (&json!(3), &json!(null), &json!(1))
    );
    let table = place.good(&["parked", "pod"]);
    assert!(table.contains("the address is gone") && table.contains("waits behind 1"), "{table}");
    assert!(table.contains("annals retry pod mail 1 --actor"), "{table}");
    place.bad(&["parked", "pod", "none"], 3, "there is no worker \"none\" in this store");
    place.bad(&["workers", "nowhere"], 3, "there is no store");
}

#[test]
fn retry_and_skip_take_an_actor_and_a_reason() {
    let mut place = place();
    let because = ["--reason", "mended", "--actor", "user:alice"];
    let ask = |verb: &'static str, rest: &[&'static str]| [&[verb, "pod", "mail"], rest].concat();
    place.bad(&ask("retry", &["1", "--reason", "mended"]), 2, "a decision needs an actor");
    place.bad(&ask("skip", &["1", "--actor", "user:alice"]), 2, "the following required arguments were not provided");
    place.bad(&ask("skip", &["1", "--actor", "user:alice", "--reason", " "]), 2, "a decision needs a reason");
    place.bad(&[&ask("retry", &["2"])[..], &because].concat(), 3, "the worker mail has no parked event at position 2");
    place.bad(&[&["retry", "pod", "none", "1"][..], &because].concat(), 3, "there is no worker \"none\"");
    place.bad(&[&["retry", "nowhere", "mail", "1"][..], &because].concat(), 3, "there is no store");
    assert!(!place.exists("nowhere"));
    place.bad(&[&ask("retry", &["3"])[..], &because].concat(), 4, "position 3 waits behind position 1");

    let out = place.good(&[&ask("retry", &["1"])[..], &because].concat());
    assert_eq!(out, "position 1 is tried again when the worker mail runs\n");
    assert_eq!(place.good(&["parked", "pod"]), "nothing is parked\n");
    let decision = &place.json(&["workers", "pod"])[0]["decisions"][0];
    assert_eq!(
        (&decision["verb"], &decision["by"], &decision["reason"]),
        (&json!("retry"), &json!("user:alice"), &json!("mended"))
    );
    place.bad(&[&ask("skip", &["1"])[..], &because].concat(), 3, "the worker mail has no parked event at position 1");

    let other = self::place();
    place = other;
    place.set("ANNALS_ACTOR", "user:bob");
    let skipped = place.json(&ask("skip", &["1", "--reason", "not needed"]));
    let expected = json!({"worker": "mail", "position": 1, "verb": "skip", "by": "user:bob", "reason": "not needed"});
    assert_eq!(skipped, expected);
    assert_eq!(place.json(&["parked", "pod"]), json!([]));
    let verified = place.json(&["verify", "pod"]);
    assert_eq!(verified["good"], true);
    let inspected = place.good(&["inspect", "pod/workers/mail.log"]);
    assert!(inspected.contains("file of a worker") && inspected.contains("nothing is wrong"), "{inspected}");
}

#[test]
fn a_damaged_file_of_a_worker_is_corruption() {
    let place = place();
    let path = place.path("pod/workers/mail.log");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[800] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    place.bad(&["workers", "pod"], 5, "workers/mail.log at byte");
    place.bad(&["retry", "pod", "mail", "1", "--actor", "user:a", "--reason", "x"], 5, "workers/mail.log at byte");
    let ended = place.run(&["verify", "pod"]);
    assert_eq!(ended.code, 5);
    assert!(ended.out.contains("workers/mail.log at byte"), "{}", ended.out);
    assert!(std::fs::read(&path).unwrap() == bytes);
}
