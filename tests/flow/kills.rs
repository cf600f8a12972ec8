//! The process is killed between any two events: after the next start the flow goes on, and each change is made once.

use std::process::{Command, Stdio};
use std::time::Duration;

use annals::{Actor, Flow, NewEvent, Outcome, Phase, Query, Store};
use serde_json::json;

/// In the child: the directory to work on.
const CHILD: &str = "ANNALS_FLOW_CHILD";

/// Kills; ANNALS_KILLS asks for more.
fn kills() -> u64 {
    std::env::var("ANNALS_KILLS").map_or(20, |text| text.parse().unwrap())
}

/// Requests without end, most of them raw so that the flow's thread deals with them, until somebody kills it.
#[test]
fn child_that_requests_until_it_is_killed() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let store = Store::open(directory).unwrap();
    let flow = Flow::builder(&store).table("notes", annals::NoteRules).start().unwrap();
    let begin = store.reader().tail().get();
    for number in 0.. {
        let subject = format!("note/{begin}-{number}");
        let create = NewEvent::json("notes.create.requested", &subject, &json!({"n": number})).unwrap();
        store.append([create.actor(Actor::user("alice"))]).unwrap();
        if number % 3 == 0 {
            let request = annals::Request::create("notes", &json!({"n": number})).by(Actor::agent("scribe"));
            let asked = flow.request(request).unwrap().request;
            let waiting = flow.pending(1_000_000).unwrap();
            let digest = waiting.iter().find(|one| one.request == asked).unwrap().digest.clone();
            flow.approve(asked, digest, Actor::user("alice"), "").unwrap();
        }
    }
}

#[test]
fn after_a_kill_the_flow_goes_on_and_makes_each_change_once() {
    let directory = tempfile::tempdir().unwrap();
    for kill in 0..kills() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kills::child_that_requests_until_it_is_killed", "--exact", "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(60 + (kill * 53) % 140));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let store = Store::open(directory.path()).unwrap();
    let flow = Flow::builder(&store).table("notes", annals::NoteRules).start().unwrap();
    flow.settle().unwrap();
    let reader = store.reader();
    let requested: Vec<_> =
        reader.read(&Query::all().types(["notes.create.requested"])).collect::<Result<_, _>>().unwrap();
    assert!(requested.len() > 20, "the children got nowhere: {}", requested.len());
    let mut pending = 0;
    for event in &requested {
        let outcome = flow.outcome(event.position(), Duration::ZERO).unwrap();
        // Only an agent's that nobody came to approve still waits.
        if outcome == Outcome::Pending {
            assert_eq!(event.actor().unwrap().to_string(), "agent:scribe");
            pending += 1;
            continue;
        }
        assert!(matches!(outcome, Outcome::Validated { .. }), "{outcome:?}");
        let life = Phase::ALL.map(|phase| {
            let of = Query::all().caused_by(event.position()).types([format!("notes.create.{phase}")]);
            reader.count(&of).unwrap()
        });
        assert_eq!((life[Phase::Approved as usize], life[Phase::Validated as usize]), (1, 1));
        let row = reader.document(event.subject()).unwrap().unwrap();
        assert_eq!(row.state.events, 1, "{} was changed more than once", event.subject());
    }
    assert!(pending <= kills() as usize);
    println!("{} requests over {} kills, {pending} wait", requested.len(), kills());
}
