//! Who may do what: rules, roles, grants, and how it is explained.

use annals::{Actor, ErrorKind, Grant, Outcome, Phase, Proposal, Query, Request, Role, Timestamp, Verdict};
use serde_json::json;

use super::{alice, bob, pod, scribe};

const RULES: &str = r#"
[[rule]]
name = "billing writes invoices"
actor = "external:billing"
action = "documents.*"
subject = "document/inv-*"
tag = "workspace:7"
then = "approve"

[[rule]]
name = "no tags"
action = "tags.*"
then = "reject"
reason = "tags are closed"

[[rule]]
name = "alice sees keys"
action = "apiKeys.*"
then = "ask"
whom = ["user:alice"]
answer_within = "2h"
"#;

#[test]
fn rules_decide_in_their_order_and_are_recorded_by_name() {
    let pod = pod();
    pod.flow.set_policy(RULES, alice()).unwrap();
    let document = |id: &str, actor: Actor, tag: &str| {
        let create = Request::create("documents", &json!({"title": "x"})).id(id).by(actor).tag(tag);
        let made = pod.flow.request(create).unwrap();
        pod.outcome(made.request)
    };
    assert!(matches!(document("inv-1", Actor::external("billing"), "workspace:7"), Outcome::Validated { .. }));
    assert_eq!(document("inv-2", Actor::external("billing"), "workspace:8"), Outcome::Pending);
    assert_eq!(document("other", Actor::external("billing"), "workspace:7"), Outcome::Pending);
    assert_eq!(document("inv-3", Actor::agent("billing"), "workspace:7"), Outcome::Pending);
    assert_eq!(
        document("inv-4", Actor::unknown("external:billing"), "workspace:7"),
        Outcome::Pending,
        "a name is no kind"
    );
    let tag = pod.flow.request(Request::create("tags", &json!({"name": "x"})).by(alice())).unwrap();
    assert_eq!(
        pod.outcome(tag.request),
        Outcome::Rejected { reason: "tags are closed".to_owned(), by: "rule no tags".to_owned() }
    );
    let key = pod.flow.request(Request::create("apiKeys", &json!({"hash": "x"})).by(bob())).unwrap();
    let waiting = pod.flow.pending_for(&alice(), 10).unwrap();
    let asked = waiting.iter().find(|asked| asked.request == key.request).unwrap();
    assert_eq!(asked.whom, ["user:alice"]);
    assert!(asked.answer_by.unwrap() > asked.requested_at);
    assert_eq!(pod.approve(key.request, Actor::user("carol")).unwrap_err().kind(), ErrorKind::Denied);
    pod.approve(key.request, alice()).unwrap();
    // alice could not have made it herself, and she was to answer all the same.
    let explanation = pod.flow.explain(key.request).unwrap();
    let [asked, approved, ..] = explanation.decisions.as_slice() else { panic!("{explanation:?}") };
    assert_eq!((asked.phase, asked.agrees), (Phase::Asked, Some(true)));
    assert_eq!((approved.phase, approved.agrees), (Phase::Approved, Some(true)));
    assert_eq!(approved.rule.as_deref(), Some("alice sees keys"));
    assert_eq!(pod.flow.policy().unwrap().rules, RULES);
}

#[test]
fn rules_that_are_none_are_refused_in_one_line() {
    let pod = pod();
    let tail = pod.store.reader().tail();
    for (text, reason) in [
        ("[[rule]\n", "line 1"),
        ("\n\n[[rule]]\nname = 'x'\nthen = 'perhaps'\n", "line 5"),
        ("[[rule]]\nthen = 'approve'\n", "name"),
        ("[[rule]]\nname = 'x'\nthen = 'approve'\nwho = 'y'\n", "who"),
        ("[[rule]]\nname = 'x'\nthen = 'reject'\n", "gives no reason"),
        ("[[rule]]\nname = 'x'\nthen = 'ask'\nwhom = ['agent:y']\n", "only users answer"),
        ("[[rule]]\nname = 'x'\nthen = 'ask'\nanswer_within = 'soon'\n", "soon"),
        ("[[rule]]\nname = 'x'\nthen = 'approve'\n[[rule]]\nname = 'x'\nthen = 'approve'\n", "two are called"),
        ("rules = 7\n", "rules"),
    ] {
        let error = pod.flow.set_policy(text, alice()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let message = error.to_string();
        assert!(message.starts_with("no rules: ") && message.contains(reason) && !message.contains('\n'), "{message}");
    }
    assert_eq!(pod.store.reader().tail(), tail);
    assert_eq!(pod.flow.set_policy("", scribe()).unwrap_err().kind(), ErrorKind::Denied);
}

#[test]
fn a_grant_covers_what_its_giver_could_approve_as_often_as_it_says() {
    let pod = pod();
    pod.note("n-1", "A");
    let bobs = Request::create("notes", &json!({"content": "bob's"})).id("b-1").by(bob());
    pod.flow.request(bobs).unwrap();
    let grant = Grant::to("scribe").action("notes.update").subject("note/*").uses(2);
    let id = pod.flow.grant(grant, alice()).unwrap();
    let first = pod.update("n-1", "B", scribe());
    assert!(matches!(pod.outcome(first), Outcome::Validated { .. }));
    assert_eq!(pod.flow.explain(first).unwrap().decisions[0].rule, Some(format!("grant/{id}")));
    assert_eq!(pod.outcome(pod.update("b-1", "B", scribe())), Outcome::Pending, "alice could not change bob's note");
    let delete = pod.flow.request(Request::delete("notes", "n-1").by(scribe())).unwrap();
    assert_eq!(pod.outcome(delete.request), Outcome::Pending);
    assert_eq!(pod.outcome(pod.update("n-1", "C", Actor::agent("other"))), Outcome::Pending);
    assert!(matches!(pod.outcome(pod.update("n-1", "C", scribe())), Outcome::Validated { .. }));
    assert_eq!(pod.flow.grants().unwrap()[0].used, 2);
    assert_eq!(pod.outcome(pod.update("n-1", "D", scribe())), Outcome::Pending, "used up");
}

#[test]
fn a_grant_is_for_agents_and_stands_in_for_a_person_not_for_a_rule() {
    let pod = pod();
    pod.note("n-1", "A");
    let rule = "[[rule]]\nname = 'no'\naction = 'notes.delete'\nactor = 'agent:*'\nthen = 'reject'\nreason = 'never'\n";
    pod.flow.set_policy(rule, alice()).unwrap();
    let namesakes = || {
        let all = [Actor::user("scribe"), Actor::external("scribe"), Actor::unknown("scribe")];
        all.map(|namesake| pod.outcome(pod.update("n-1", "B", namesake)))
    };
    let without = namesakes();
    assert!(without.iter().all(|outcome| !matches!(outcome, Outcome::Validated { .. })), "{without:?}");
    pod.flow.grant(Grant::to("scribe"), alice()).unwrap();
    assert_eq!(namesakes(), without);
    let delete = pod.flow.request(Request::delete("notes", "n-1").by(scribe())).unwrap();
    let rejected = Outcome::Rejected { reason: "never".to_owned(), by: "rule no".to_owned() };
    assert_eq!(pod.outcome(delete.request), rejected);
    assert!(matches!(pod.outcome(pod.update("n-1", "B", scribe())), Outcome::Validated { .. }));
}

#[test]
fn the_owner_is_asked_whoever_else_asks_and_whatever_they_are_called() {
    let pod = pod();
    pod.note("n-1", "A");
    let rule = "[[rule]]\nname = 'bob asks'\naction = 'notes.update'\nactor = 'user:bob'\nthen = 'ask'\n";
    pod.flow.set_policy(rule, alice()).unwrap();
    let for_bob = Actor::agent("scribe").on_behalf_of("bob");
    for by in [bob(), Actor::external("alice"), Actor::agent("alice"), scribe(), for_bob] {
        let wish = pod.update("n-1", "B", by.clone());
        let pending = pod.flow.pending(1000).unwrap();
        let asked = pending.iter().find(|asked| asked.request == wish).unwrap();
        assert_eq!(asked.whom, ["user:alice"], "{by}");
    }
}

#[test]
fn a_grant_that_was_revoked_or_has_run_out_covers_nothing() {
    let pod = pod();
    pod.note("n-1", "A");
    let past = Timestamp::from_nanos(Timestamp::now().as_nanos() - 1);
    pod.flow.grant(Grant::to("scribe").until(past), alice()).unwrap();
    assert_eq!(pod.outcome(pod.update("n-1", "B", scribe())), Outcome::Pending);
    let id = pod.flow.grant(Grant::to("scribe"), alice()).unwrap();
    assert!(matches!(pod.outcome(pod.update("n-1", "C", scribe())), Outcome::Validated { .. }));
    pod.flow.revoke(id, alice()).unwrap();
    assert_eq!(pod.outcome(pod.update("n-1", "D", scribe())), Outcome::Pending);
    assert_eq!(pod.flow.revoke(id, alice()).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(pod.flow.revoke(1u64, alice()).unwrap_err().kind(), ErrorKind::NotFound);
    for nobody in [scribe(), Actor::system("x"), Actor::unknown("alice")] {
        assert_eq!(pod.flow.grant(Grant::to("scribe"), nobody.clone()).unwrap_err().kind(), ErrorKind::Denied);
        assert_eq!(pod.flow.revoke(id, nobody).unwrap_err().kind(), ErrorKind::Denied);
    }
    assert_eq!(pod.flow.grant(Grant::to("").uses(1), alice()).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(pod.flow.grant(Grant::to("scribe").uses(0), alice()).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn roles_say_who_changes_what_is_in_a_workspace() {
    let pod = pod();
    let role = |user: &str, role, by: &str| pod.flow.set_role(user, "7", role, Actor::user(by));
    role("olga", Role::Owner, "olga").unwrap();
    assert_eq!(role("mallory", Role::Owner, "mallory").unwrap_err().kind(), ErrorKind::Denied);
    role("eve", Role::Editor, "olga").unwrap();
    role("vera", Role::Viewer, "olga").unwrap();
    assert_eq!(role("vera", Role::Editor, "eve").unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(pod.flow.remove_role("olga", "7", Actor::user("olga")).unwrap_err().kind(), ErrorKind::Conflict);
    let create = |by: &str| {
        let create = Request::create("notes", &json!({"content": "A"})).by(Actor::user(by)).tag("workspace:7");
        let made = pod.flow.request(create).unwrap();
        (pod.outcome(made.request), made.subject.trim_start_matches("note/").to_owned())
    };
    let (outcome, id) = create("eve");
    assert!(matches!(outcome, Outcome::Validated { .. }));
    assert!(matches!(create("vera").0, Outcome::Rejected { .. }));
    assert!(matches!(create("mallory").0, Outcome::Rejected { .. }));
    let update = |by: &str| pod.outcome(pod.update(&id, "B", Actor::user(by)));
    assert!(matches!(update("olga"), Outcome::Validated { .. }));
    assert!(
        matches!(update("vera"), Outcome::Rejected { reason, .. } if reason.contains("vera is viewer in workspace 7"))
    );
    assert!(matches!(update("mallory"), Outcome::Rejected { .. }));
    pod.flow.remove_role("eve", "7", Actor::user("olga")).unwrap();
    assert!(matches!(update("eve"), Outcome::Validated { .. }), "it is still theirs");
    assert_eq!(pod.flow.roles().unwrap().len(), 2);
}

#[test]
fn an_explanation_names_what_was_in_force_then() {
    let pod = pod();
    pod.note("n-1", "A");
    let first = pod.update("n-1", "B", scribe());
    pod.approve(first, alice()).unwrap();
    pod.flow.set_policy("[[rule]]\nname = 'agents may'\nactor = 'agent:*'\nthen = 'approve'\n", alice()).unwrap();
    let second = pod.update("n-1", "C", scribe());
    let then = pod.flow.explain(first).unwrap();
    assert_eq!(then.decisions.len(), 2);
    assert_eq!(then.decisions[0].rule.as_deref(), Some("default/agent"));
    assert_eq!((then.decisions[1].by.as_str(), then.decisions[1].rule.as_deref()), ("user:alice", Some("default/own")));
    assert!(then.decisions.iter().all(|decision| decision.agrees == Some(true) && decision.policy.is_none()));
    let now = pod.flow.explain(second).unwrap();
    assert_eq!(now.decisions[0].rule.as_deref(), Some("agents may"));
    assert!(now.decisions[0].policy.is_some() && now.decisions[0].agrees == Some(true));
    assert_eq!(pod.flow.explain(1u64).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_candidate_policy_shows_what_it_would_approve_that_a_person_refused() {
    let pod = pod();
    pod.note("n-1", "A");
    let good = pod.update("n-1", "B", scribe());
    pod.approve(good, alice()).unwrap();
    let bad = pod.update("n-1", "C", scribe());
    pod.flow.reject(bad, alice(), "no").unwrap();
    let test = pod.flow.test_policy("[[rule]]\nname = 'agents may'\nactor = 'agent:*'\nthen = 'approve'\n").unwrap();
    assert_eq!((test.requests, test.differences.len(), test.refused_by_a_person()), (3, 2, 1));
    assert_eq!((test.differences[1].request, test.differences[1].a_person_refused), (bad, true));
    assert_eq!(
        (test.differences[1].was.as_str(), test.differences[1].would_be.as_str()),
        ("ask", "approve by agents may")
    );
    assert!(pod.flow.test_policy("").unwrap().differences.is_empty());
}

#[test]
fn an_agent_that_floods_people_with_requests_is_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let store = annals::Store::open(directory.path()).unwrap();
    let flow = annals::Flow::builder(&store).agent_waiting_max(3).start().unwrap();
    let wish = |agent: &str| flow.request(Request::create("tags", &json!({})).by(Actor::agent(agent)));
    let ids: Vec<_> = (0..3).map(|_| wish("a").unwrap().request).collect();
    assert_eq!(wish("a").unwrap_err().kind(), ErrorKind::Denied);
    wish("b").unwrap();
    // One that takes the place of another is none more.
    let amended = flow.amend(ids[0], Actor::agent("a"), json!({"n": 1})).unwrap().successor.unwrap();
    flow.withdraw(amended.request, Actor::agent("a")).unwrap();
    wish("a").unwrap();
    assert_eq!(wish("a").unwrap_err().kind(), ErrorKind::Denied);
    // What a user of the same name has waiting is not the agent's.
    let rule = "[[rule]]\nname = 'asks'\naction = 'tags.create'\nactor = 'user:c'\nthen = 'ask'\n";
    flow.set_policy(rule, alice()).unwrap();
    for _ in 0..3 {
        let waits = flow.request(Request::create("tags", &json!({})).by(Actor::user("c"))).unwrap().request;
        assert_eq!(flow.outcome(waits, std::time::Duration::ZERO).unwrap(), Outcome::Pending);
    }
    wish("c").unwrap();
}

struct NothingOnSundays;

impl annals::Policy for NothingOnSundays {
    fn name(&self) -> &str {
        "nothing-on-sundays"
    }

    fn decide(&self, _: &Proposal<'_>) -> Verdict {
        Verdict::reject("sunday", "it is sunday")
    }
}

#[test]
fn a_policy_that_is_code_is_recorded_and_others_leave_requests_open() {
    let directory = tempfile::tempdir().unwrap();
    let store = annals::Store::open(directory.path()).unwrap();
    let create = || Request::create("tags", &json!({"name": "x"})).by(alice());
    let flow = annals::Flow::builder(&store).policy(NothingOnSundays).start().unwrap();
    let made = flow.request(create()).unwrap();
    let outcome = flow.outcome(made.request, std::time::Duration::ZERO).unwrap();
    assert_eq!(outcome, Outcome::Rejected { reason: "it is sunday".to_owned(), by: "rule sunday".to_owned() });
    drop(flow);
    let flow = annals::Flow::builder(&store).start().unwrap();
    assert_eq!(flow.policy().unwrap().code.as_deref(), Some("nothing-on-sundays"));
    let open = flow.request(create()).unwrap().request;
    flow.settle().unwrap();
    assert_eq!(flow.outcome(open, std::time::Duration::ZERO).unwrap(), Outcome::Pending);
    assert_eq!(flow.approve(open, "x", bob(), "").unwrap_err().kind(), ErrorKind::Conflict, "nobody was asked");
    drop(flow);
    let flow = annals::Flow::builder(&store).policy(NothingOnSundays).start().unwrap();
    let outcome = flow.outcome(open, std::time::Duration::from_secs(10)).unwrap();
    assert!(matches!(outcome, Outcome::Rejected { .. }));
    drop(flow);
    annals::Flow::builder(&store).policy(annals::DefaultPolicy::new()).start().unwrap();
    let sets = store.reader().count(&Query::all().types(["annals.policy.set"])).unwrap();
    assert_eq!(sets, 2);
}

#[test]
fn what_was_left_to_another_program_is_decided_once_its_policy_no_longer_rules() {
    let directory = tempfile::tempdir().unwrap();
    let store = annals::Store::open(directory.path()).unwrap();
    drop(annals::Flow::builder(&store).policy(NothingOnSundays).start().unwrap());
    let flow = annals::Flow::builder(&store).start().unwrap();
    let open = flow.request(Request::create("tags", &json!({"name": "x"})).by(alice())).unwrap().request;
    let pause = std::time::Duration::from_millis(100);
    assert_eq!(flow.outcome(open, pause).unwrap(), Outcome::Pending);
    annals::Flow::builder(&store).background(false).policy(annals::DefaultPolicy::new()).start().unwrap();
    let outcome = flow.outcome(open, std::time::Duration::from_secs(10)).unwrap();
    assert!(matches!(outcome, Outcome::Validated { .. }), "{outcome:?}");
}

#[test]
fn a_request_that_lay_open_is_judged_by_the_row_as_it_is_when_it_is_asked() {
    use annals::{Action, NewEvent, Table};
    for changes in [1, 2] {
        let directory = tempfile::tempdir().unwrap();
        let store = annals::Store::open(directory.path()).unwrap();
        let memos = Table::new("memos").with_kind("jot").adopting("jot.made", Action::Create);
        store.add_table(memos.adopting("jot.changed", Action::Update), alice()).unwrap();
        let jot = |event_type: &str, text: &str| {
            let event = NewEvent::json(event_type, "jot/1", &json!({ "text": text })).unwrap().actor(alice());
            store.append([event]).unwrap();
        };
        jot("jot.made", "A");
        drop(annals::Flow::builder(&store).policy(NothingOnSundays).start().unwrap());
        let flow = annals::Flow::builder(&store).background(false).start().unwrap();
        let update = Request::update("memos", "1", &json!({"text": "mine"})).by(scribe());
        let open = flow.request(update).unwrap().request;
        (0..changes).for_each(|_| jot("jot.changed", "B"));
        annals::Flow::builder(&store).background(false).policy(annals::DefaultPolicy::new()).start().unwrap();
        flow.settle().unwrap();
        assert_eq!(flow.outcome(open, std::time::Duration::ZERO).unwrap(), Outcome::Pending, "{changes}");
        let digest = flow.pending(10).unwrap()[0].digest.clone();
        let answered = flow.approve(open, digest, alice(), "").unwrap();
        assert!(matches!(answered.outcome, Outcome::Validated { .. }), "{changes}: {answered:?}");
    }
}
