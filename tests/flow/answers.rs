//! What people answer, and who may.

use std::time::Duration;

use annals::{Actor, Command, ErrorKind, Flow, NewEvent, Outcome, Phase, Query, Request, Role};
use serde_json::{Value, json};

use super::{alice, bob, pod, scribe};

#[test]
fn an_agents_request_waits_for_who_it_acts_for_and_is_made_as_shown() {
    let pod = pod();
    pod.note("n-1", "A");
    let wish = pod.update("n-1", "B", scribe());
    assert_eq!(pod.outcome(wish), Outcome::Pending);
    assert_eq!(pod.row("note/n-1"), json!({"content": "A"}));
    let waiting = pod.flow.pending_for(&alice(), 10).unwrap();
    assert_eq!(waiting.len(), 1);
    let asked = &waiting[0];
    assert_eq!((asked.request, asked.state, asked.subject.as_str()), (wish, Phase::Asked, "note/n-1"));
    assert_eq!(asked.actor.to_string(), "agent:scribe");
    assert_eq!(asked.whom, ["user:alice"]);
    let changes: Vec<_> =
        asked.differences.iter().map(|c| (c.path.as_str(), c.from.as_deref(), c.to.as_deref())).collect();
    assert_eq!(changes, [("content", Some("\"A\""), Some("\"B\""))]);
    assert!(pod.flow.pending_for(&bob(), 10).unwrap().is_empty());
    assert!(pod.flow.pending_for(&Actor::agent("alice"), 10).unwrap().is_empty());
    let done = pod.approve(wish, alice()).unwrap();
    assert!(matches!(done.outcome, Outcome::Validated { .. }));
    assert_eq!(pod.row("note/n-1"), json!({"content": "B"}));
    assert!(pod.flow.pending(10).unwrap().is_empty());
    let events = pod.events(&Query::all().subject("note/n-1").caused_by(wish));
    let types: Vec<_> = events.iter().map(|event| event.event_type().to_owned()).collect();
    assert_eq!(types, ["notes.update.asked", "notes.update.approved", "notes.update.validated"]);
    assert_eq!(events[1].actor().unwrap().to_string(), "user:alice");
    assert_eq!(events[2].actor().unwrap().to_string(), "agent:scribe");
}

#[test]
fn only_who_could_do_it_themselves_answers_and_every_attempt_is_written_down() {
    let pod = pod();
    pod.note("n-1", "A");
    let wish = pod.update("n-1", "B", scribe());
    let digest = pod.digest(wish);
    for by in [
        bob(),
        Actor::agent("scribe"),
        Actor::agent("alice"),
        Actor::system("alice"),
        Actor::external("alice"),
        Actor::unknown("alice"),
        Actor::unknown("user:alice"),
    ] {
        let before = pod.store.reader().tail();
        let error = pod.flow.approve(wish, &digest, by.clone(), "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{by}");
        let written = pod.events(&Query::all().after(before));
        assert_eq!(written.len(), 1, "{by}");
        assert_eq!(written[0].event_type(), "annals.flow.denied");
        assert_eq!(written[0].causation(), Some(wish));
        assert_eq!(written[0].actor().unwrap().to_string(), by.to_string());
        assert_eq!(pod.flow.reject(wish, by, "").unwrap_err().kind(), ErrorKind::Denied);
    }
    assert_eq!(pod.outcome(wish), Outcome::Pending);
    assert_eq!(pod.row("note/n-1"), json!({"content": "A"}));
    // Attempts are no change: what was shown can still be approved.
    pod.flow.approve(wish, &digest, alice(), "").unwrap();
    assert_eq!(pod.row("note/n-1"), json!({"content": "B"}));
}

#[test]
fn nobody_answers_their_own_request() {
    let pod = pod();
    pod.note("n-1", "A");
    pod.flow.set_policy("[[rule]]\nname = 'four eyes'\naction = 'notes.delete'\nactor = 'user:*'\nthen = 'ask'\nwhom = ['user:alice', 'user:bob']\n", alice()).unwrap();
    let wish = pod.flow.request(Request::delete("notes", "n-1").by(alice())).unwrap().request;
    assert_eq!(pod.outcome(wish), Outcome::Pending);
    assert_eq!(pod.approve(wish, alice()).unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(pod.approve(wish, Actor::user("carol")).unwrap_err().kind(), ErrorKind::Denied);
    assert!(pod.flow.pending_for(&alice(), 10).unwrap().is_empty());
    assert_eq!(pod.flow.pending_for(&bob(), 10).unwrap().len(), 1);
    assert!(matches!(pod.approve(wish, bob()).unwrap().outcome, Outcome::Validated { .. }));
    assert_eq!(pod.row("note/n-1"), Value::Null);
}

#[test]
fn what_was_not_seen_is_not_approved() {
    let pod = pod();
    pod.note("n-1", "A");
    let first = pod.update("n-1", "B", scribe());
    let second = pod.update("n-1", "C", scribe());
    let digest = pod.digest(first);
    for seen in ["", "0", &"0".repeat(32), &pod.digest(second), &digest[1..]] {
        assert_eq!(pod.flow.approve(first, seen, alice(), "").unwrap_err().kind(), ErrorKind::Conflict, "{seen:?}");
    }
    assert_eq!(pod.row("note/n-1"), json!({"content": "A"}));
    // The other request on the same subject is no change of it; its approval is.
    pod.flow.approve(first, &digest, alice(), "").unwrap();
    let error = pod.flow.approve(second, "x", alice(), "").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(matches!(pod.end(second), Outcome::Stale { .. }));
    assert_eq!(pod.row("note/n-1"), json!({"content": "B"}));
}

#[test]
fn the_second_to_answer_is_told_who_was_first() {
    let pod = pod();
    pod.note("n-1", "A");
    let wish = pod.update("n-1", "B", scribe());
    let digest = pod.digest(wish);
    pod.flow.reject(wish, alice(), "not like this").unwrap();
    assert!(
        matches!(pod.outcome(wish), Outcome::Rejected { by, reason } if by == "user:alice" && reason == "not like this")
    );
    let error = pod.flow.approve(wish, &digest, alice(), "").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let first = error.already_decided().unwrap();
    assert_eq!((first.by.as_str(), first.outcome), ("user:alice", Phase::Rejected));
    assert_eq!(pod.flow.reject(wish, alice(), "").unwrap_err().already_decided(), Some(first));
    assert_eq!(pod.flow.withdraw(wish, scribe()).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(pod.flow.approve(1_000_000u64, &digest, alice(), "").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(pod.flow.approve(1u64, &digest, alice(), "").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_change_of_the_subject_makes_what_was_asked_stale_at_once() {
    let pod = pod();
    pod.note("n-1", "A");
    let wish = pod.update("n-1", "B", scribe());
    let digest = pod.digest(wish);
    pod.update("n-1", "mine", alice());
    let error = pod.flow.approve(wish, &digest, alice(), "").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(matches!(pod.end(wish), Outcome::Stale { event: Some(_), .. }));
    assert_eq!(pod.row("note/n-1"), json!({"content": "mine"}));
    // An event that changes no row is no change.
    let wish = pod.update("n-1", "B", scribe());
    pod.store.append([NewEvent::json("note.read", "note/n-1", &json!({})).unwrap()]).unwrap();
    assert!(matches!(pod.approve(wish, alice()).unwrap().outcome, Outcome::Validated { .. }));
}

#[test]
fn who_asked_withdraws_and_nobody_else() {
    let pod = pod();
    pod.note("n-1", "A");
    let wish = pod.update("n-1", "B", scribe());
    assert_eq!(pod.flow.withdraw(wish, bob()).unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(pod.flow.withdraw(wish, Actor::user("scribe")).unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(pod.flow.withdraw(wish, alice()).unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(pod.flow.withdraw(wish, Actor::agent("scribe")).unwrap().outcome, Outcome::Withdrawn);
    assert_eq!(pod.outcome(wish), Outcome::Withdrawn);
    let error = pod.flow.approve(wish, "x", alice(), "").unwrap_err();
    assert_eq!(error.already_decided().unwrap().outcome, Phase::Withdrawn);
}

#[test]
fn an_amended_request_takes_the_place_of_the_old_one_in_one_append() {
    let pod = pod();
    pod.note("n-1", "A");
    let wish = pod.update("n-1", "B", scribe());
    let digest = pod.digest(wish);
    let done = pod.flow.amend(wish, scribe(), json!({"content": "C"})).unwrap();
    let new = done.successor.unwrap();
    assert_eq!(done.outcome, Outcome::Withdrawn);
    assert_eq!(pod.events(&Query::all().caused_by(wish).types(["notes.update.requested"]))[0].position(), new.request);
    assert_eq!(pod.flow.approve(wish, &digest, alice(), "").unwrap_err().kind(), ErrorKind::Conflict);
    assert!(matches!(pod.approve(new.request, alice()).unwrap().outcome, Outcome::Validated { .. }));
    assert_eq!(pod.row("note/n-1"), json!({"content": "C"}));

    // A decider's edit: rejected, and asked for by the decider, for whom it is their own.
    let wish = pod.update("n-1", "D", scribe());
    let done = pod.flow.amend(wish, alice(), json!({"content": "E"})).unwrap();
    assert!(matches!(done.outcome, Outcome::Rejected { .. }));
    assert!(matches!(pod.outcome(done.successor.unwrap().request), Outcome::Validated { .. }));
    assert_eq!(pod.row("note/n-1"), json!({"content": "E"}));
    let rejected = pod.events(&Query::all().caused_by(wish).types(["notes.update.rejected"]));
    assert_eq!(rejected[0].json::<Value>().unwrap()["edited"], true);
    assert_eq!(pod.flow.amend(wish, bob(), json!({})).unwrap_err().kind(), ErrorKind::Conflict);
    let wish = pod.update("n-1", "F", scribe());
    assert_eq!(pod.flow.amend(wish, bob(), json!({})).unwrap_err().kind(), ErrorKind::Denied);
}

#[test]
fn an_amendment_says_who_wanted_it_why_and_for_whom() {
    let pod = pod();
    pod.note("n-1", "A");
    // Who asked: withdrawn. A decider: rejected, and asked for anew on behalf of the same user.
    for (by, end) in [(scribe(), "withdrawn"), (alice(), "rejected")] {
        let wish = pod.update("n-1", "B", scribe());
        let (data, reason) = (r#"{"content":"C"}"#.to_owned(), "it is spelled otherwise".to_owned());
        pod.flow.run(&Command::Amend { request: wish, by: by.clone(), data, reason: reason.clone() }).unwrap();
        let events = pod.events(&Query::all().caused_by(wish).types([format!("notes.update.{end}")]));
        assert_eq!(events[0].actor().map(|actor| actor.to_string()), Some(by.to_string()));
        let said: Value = events[0].json().unwrap();
        assert_eq!(said["reason"], reason.as_str());
        assert_eq!(said["by"].as_str(), (end == "rejected").then_some("alice"));
        let asked = pod.events(&Query::all().caused_by(wish).types(["notes.update.requested"]));
        assert_eq!(asked[0].actor().map(|actor| actor.to_string()), Some(by.to_string()));
        assert_eq!(asked[0].on_behalf_of(), Some("alice"));
    }
}

#[test]
fn editors_of_the_workspace_answer_where_the_owner_does_not() {
    let pod = pod();
    pod.flow.set_role("olga", "7", Role::Owner, Actor::user("olga")).unwrap();
    pod.flow.set_role("eve", "7", Role::Editor, Actor::user("olga")).unwrap();
    pod.flow.set_role("vera", "7", Role::Viewer, Actor::user("olga")).unwrap();
    let agent = Actor::agent("scribe");
    let create = Request::create("notes", &json!({"content": "A"})).id("n-1").tag("workspace:7").by(agent.clone());
    let wish = pod.flow.request(create).unwrap().request;
    let whom = |user: &str| pod.flow.pending_for(&Actor::user(user), 10).unwrap().len();
    assert_eq!(["olga", "eve", "vera", "mallory"].map(whom), [1, 1, 0, 0]);
    assert_eq!(pod.approve(wish, Actor::user("vera")).unwrap_err().kind(), ErrorKind::Denied);
    pod.approve(wish, Actor::user("eve")).unwrap();
    // Whose it is: nobody was named, so who approved it.
    let update = pod.update("n-1", "B", Actor::user("eve"));
    assert!(matches!(pod.outcome(update), Outcome::Validated { .. }));
    assert!(pod.flow.explain(update).unwrap().decisions[0].rule.as_deref() == Some("default/own"));
}

#[test]
fn asks_come_as_they_are_made_and_each_once() {
    let pod = pod();
    pod.note("n-1", "A");
    let first = pod.update("n-1", "B", scribe());
    let mut asks = pod.flow.subscribe_asks(&alice());
    assert_eq!(asks.next_timeout(Duration::from_secs(5)).unwrap().unwrap().request, first);
    assert!(asks.next_timeout(Duration::from_millis(20)).unwrap().is_none());
    let flow = pod.flow.clone();
    let second = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        flow.request(Request::delete("notes", "n-1").by(scribe())).unwrap().request
    });
    let asked = asks.next_timeout(Duration::from_secs(5)).unwrap().unwrap();
    assert_eq!(asked.request, second.join().unwrap());
    assert!(asks.next_timeout(Duration::from_millis(20)).unwrap().is_none());
}

#[test]
fn a_proposer_can_ask_and_nothing_else() {
    let pod = pod();
    pod.note("n-1", "A");
    let mine = pod.flow.proposer(scribe());
    // Whoever the request says makes it, it is this actor.
    let wish = mine.request(Request::update("notes", "n-1", &json!({"content": "B"})).by(alice())).unwrap();
    assert_eq!(mine.outcome(wish.request, Duration::ZERO).unwrap(), Outcome::Pending);
    let others = pod.flow.request(Request::delete("notes", "n-1").by(Actor::agent("other"))).unwrap();
    assert_eq!(mine.outcome(others.request, Duration::ZERO).unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(mine.withdraw(others.request).unwrap_err().kind(), ErrorKind::Denied);
    let amended = mine.amend(wish.request, json!({"content": "C"})).unwrap().successor.unwrap();
    assert_eq!(mine.withdraw(amended.request).unwrap().outcome, Outcome::Withdrawn);
    assert_eq!(pod.row("note/n-1"), json!({"content": "A"}));
}

#[test]
fn what_waits_is_still_known_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = annals::Store::open(directory.path()).unwrap();
    let flow = Flow::builder(&store).table("notes", annals::NoteRules).start().unwrap();
    flow.request(Request::create("notes", &json!({"content": "A"})).id("n-1").by(alice())).unwrap();
    let wish = flow.request(Request::update("notes", "n-1", &json!({"content": "B"})).by(scribe())).unwrap();
    let grant = flow.grant(annals::Grant::to("scribe").action("notes.delete").uses(1), alice()).unwrap();
    drop(flow);
    store.close().unwrap();
    assert!(directory.path().join("projections/annals.flow.state").exists());
    for keeps in [true, false] {
        if !keeps {
            std::fs::remove_file(directory.path().join("projections/annals.flow.state")).unwrap();
        }
        let store = annals::Store::options().read_only(true).open(directory.path()).unwrap();
        let flow = Flow::view(&store).unwrap();
        let waiting = flow.pending_for(&alice(), 10).unwrap();
        assert_eq!(waiting.iter().map(|pending| pending.request).collect::<Vec<_>>(), [wish.request], "{keeps}");
        assert_eq!(flow.grants().unwrap()[0].id, grant);
        assert_eq!(flow.approve(wish.request, "x", alice(), "").unwrap_err().kind(), ErrorKind::Conflict);
        let digest = waiting[0].digest.clone();
        assert_eq!(flow.approve(wish.request, digest, alice(), "").unwrap_err().kind(), ErrorKind::ReadOnly);
    }
    let store = annals::Store::open(directory.path()).unwrap();
    let flow = Flow::builder(&store).table("notes", annals::NoteRules).start().unwrap();
    let digest = flow.pending(10).unwrap()[0].digest.clone();
    assert!(matches!(flow.approve(wish.request, digest, alice(), "").unwrap().outcome, Outcome::Validated { .. }));
}

#[test]
fn what_a_flow_remembers_is_kept_also_where_nothing_was_synced() {
    let directory = tempfile::tempdir().unwrap();
    let durability = annals::Durability::Written { sync_every: Duration::from_secs(3600) };
    let store = annals::Store::options().durability(durability).open(directory.path()).unwrap();
    let flow = Flow::builder(&store).start().unwrap();
    flow.request(Request::create("documents", &json!({"title": "A"})).by(scribe())).unwrap();
    assert!(store.reader().durable() < store.reader().tail());
    drop(flow);
    assert!(directory.path().join("projections/annals.flow.state").exists());
    assert_eq!(store.reader().durable(), store.reader().tail(), "nothing is kept that power loss may take back");
}

#[test]
fn a_program_whose_tables_are_not_those_of_the_store_does_not_start() {
    use annals::{Action, Catalog, NoteRules, SecretRules, Table};
    let directory = tempfile::tempdir().unwrap();
    let store = annals::Store::open(directory.path()).unwrap();
    let stored = Table::new("memos").with_kind("jot").adopting("jot.made", Action::Create).with_rules("notes");
    store.add_table(stored.clone(), alice()).unwrap();
    let start = |table: Table| {
        let catalog = Catalog::core().with(table).unwrap();
        Flow::builder(&store).catalog(catalog).background(false).start().map(drop)
    };
    for (table, what) in [
        (Table::new("memos"), "another kind"),
        (Table::new("memos").with_kind("jotting"), "another kind"),
        (stored.clone().with_rules("secrets"), "other rules"),
        (stored.clone().adopting("jot.changed", Action::Update), "other fields"),
        (Table::new("memos").with_kind("jot").with_owner("alice"), "other fields"),
    ] {
        let error = start(table).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains(what), "{error}");
    }
    let error = Flow::builder(&store).table("memos", SecretRules).start().map(drop).unwrap_err();
    assert!(error.kind() == ErrorKind::Conflict && error.to_string().contains("other rules"), "{error}");
    // The same, and what says nothing about the rest.
    start(stored.clone()).unwrap();
    start(stored).unwrap();
    start(Table::new("memos").with_kind("jot")).unwrap();
    Flow::builder(&store).table("memos", NoteRules).start().map(drop).unwrap();
    assert_eq!(store.catalog().unwrap().own_tables().len(), 1);
}
