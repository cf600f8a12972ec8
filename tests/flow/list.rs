//! All requests of a store, page by page, with what became of them.

use std::time::Duration;

use annals::{Answered, ErrorKind, ImportEvent, ImportOptions, Outcome, Page, Request};
use serde_json::json;

use super::{alice, pod, scribe};

#[test]
fn ended_and_waiting_requests_are_listed_oldest_first() {
    let pod = pod();
    let first = pod.note("n-1", "A").request;
    let rejected = pod.update("n-1", "B", scribe());
    pod.flow.reject(rejected, alice(), "no").unwrap();
    let waits = pod.update("n-1", "C", scribe());
    let over = Request::delete("notes", "n-1").by(scribe()).answer_by(Duration::ZERO);
    let over = pod.flow.request(over).unwrap().request;
    // History of another store is no request of this one.
    let line = br#"{"type":"notes.update.requested","subject":"note/n-1","actor":"eve","data":{"content":"X"}}"#;
    let import = ImportEvent::from_json(line).unwrap();
    pod.store.import([import], ImportOptions::new()).unwrap();

    let all = pod.flow.requests(100).unwrap();
    let told: Vec<_> = all.iter().map(|entry| (entry.request.request, entry.outcome.clone())).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(matches!(told[0], (id, Outcome::Validated { .. }) if id == first));
    assert!(matches!(&told[1], (id, Outcome::Rejected { by, .. }) if *id == rejected && by == "user:alice"));
    assert_eq!(told[2], (waits, Outcome::Pending));
    // Also where the flow has not written so yet.
    assert_eq!(told[3], (over, Outcome::Expired));
    assert!(all[0].request.differences.is_empty() && !all[2].request.differences.is_empty());

    let numbers =
        |page: Page| -> Vec<_> { pod.flow.requests(page).unwrap().iter().map(|entry| entry.request.request).collect() };
    assert_eq!(numbers(Page::first(2)), [first, rejected]);
    assert_eq!(numbers(Page::first(2).after(rejected)), [waits, over]);
    assert_eq!(numbers(Page::last(2)), [waits, over]);
    assert_eq!(numbers(Page::last(10).after(rejected)), [waits, over]);
    assert!(numbers(Page::last(2).after(over)).is_empty() && numbers(Page::last(0)).is_empty());
}

#[test]
fn the_last_of_those_that_wait_are_a_page_too() {
    let pod = pod();
    pod.note("n-1", "A");
    let waiting: Vec<_> = ["B", "C", "D"].map(|content| pod.update("n-1", content, scribe())).to_vec();
    let numbers = |pending: Vec<annals::Pending>| -> Vec<_> { pending.iter().map(|one| one.request).collect() };
    let all = |page: Page| numbers(pod.flow.pending(page).unwrap());
    let of_alice = |page: Page| numbers(pod.flow.pending_for(&alice(), page).unwrap());
    for page_of in [&all as &dyn Fn(Page) -> Vec<_>, &of_alice] {
        assert_eq!(page_of(Page::first(10)), waiting);
        assert_eq!(page_of(Page::last(2)), waiting[1..]);
        assert_eq!(page_of(Page::last(10).after(waiting[0])), waiting[1..]);
        assert_eq!(page_of(Page::last(1).after(waiting[2])), []);
    }
}

#[test]
fn a_listed_request_is_one_json_object_that_names_nothing_twice() {
    let pod = pod();
    let note = pod.note("n-1", "A");
    let entry = &pod.flow.requests(1).unwrap()[0];
    let text = serde_json::to_string(entry).unwrap();
    assert_eq!(text.matches("\"position\"").count(), 1, "{text}");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&value["outcome"], &value["position"]), (&json!("validated"), &json!(note.position)));
    assert_eq!((&value["request"], &value["change"]), (&json!(note.request), &json!({"content": "A"})));
}

#[test]
fn an_answer_comes_back_from_json_as_it_was() {
    let pod = pod();
    pod.note("n-1", "A");
    let wish = pod.update("n-1", "B", scribe());
    let answered = pod.approve(wish, alice()).unwrap();
    let text = serde_json::to_string(&answered).unwrap();
    assert_eq!(serde_json::from_str::<Answered>(&text).unwrap(), answered, "{text}");
    assert_eq!(pod.flow.outcome(answered.position, Duration::ZERO).unwrap_err().kind(), ErrorKind::NotFound);
}
