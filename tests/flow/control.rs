//! The control socket: what another process asks is done by the one that runs the flow.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use annals::{Command, ErrorKind, Flow, Outcome, Phase, Reply, Request, Store};
use serde_json::{Value, json};

use super::{alice, bob, scribe};

fn running(directory: &std::path::Path) -> (Store, Flow) {
    let store = Store::open(directory).unwrap();
    let flow = Flow::builder(&store).table("notes", annals::NoteRules).start().unwrap();
    (store, flow)
}

fn request(request: Request) -> Command {
    Command::Request { request: Box::new(request) }
}

#[test]
fn what_is_asked_over_the_socket_is_done_by_the_flow_and_its_rules() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, flow) = running(directory.path());
    let socket = std::fs::symlink_metadata(directory.path().join("control")).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);

    let create = Request::create("notes", &json!({"content": "A"})).id("n-1").by(alice());
    let Reply::Made { outcome, .. } = Flow::send(directory.path(), &request(create)).unwrap() else { panic!() };
    assert!(matches!(outcome, Outcome::Validated { .. }));
    let wish =
        Request::update("notes", "n-1", &json!({"content": "B"})).by(scribe()).answer_by(Duration::from_secs(60));
    let Reply::Made { ticketed, outcome } = Flow::send(directory.path(), &request(wish)).unwrap() else { panic!() };
    assert_eq!(outcome, Outcome::Pending);
    let seen = flow.pending(10).unwrap()[0].digest.clone();
    let approve = |by| Command::Approve { request: ticketed.request, seen: seen.clone(), by, reason: "ok".to_owned() };
    assert_eq!(Flow::send(directory.path(), &approve(bob())).unwrap_err().kind(), ErrorKind::Denied);
    let Reply::Answered { answered } = Flow::send(directory.path(), &approve(alice())).unwrap() else { panic!() };
    assert!(matches!(answered.outcome, Outcome::Validated { .. }));
    let error = Flow::send(directory.path(), &approve(alice())).unwrap_err();
    assert_eq!((error.kind(), error.already_decided().unwrap().outcome), (ErrorKind::Conflict, Phase::Approved));
    assert!(error.hint().is_some());
    let long = Request::create("notes", &json!({"content": "x".repeat(10_001)})).by(alice());
    let Reply::Made { outcome, .. } = Flow::send(directory.path(), &request(long)).unwrap() else { panic!() };
    assert!(matches!(outcome, Outcome::Failed { .. }));
}

#[test]
fn a_call_that_is_sent_again_gets_its_first_answer() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _flow) = running(directory.path());
    let create = Request::create("notes", &json!({"content": "A"})).by(alice());
    let mut call = serde_json::to_value(request(create)).unwrap();
    call["version"] = json!(1);
    call["id"] = json!("the same");
    let mut stream = UnixStream::connect(directory.path().join("control")).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut ask = |line: &str| {
        writeln!(stream, "{line}").unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()
    };
    let first = ask(&call.to_string());
    let tail = store.reader().tail();
    assert_eq!(ask(&call.to_string()), first);
    assert_eq!(store.reader().tail(), tail);
    assert!(first["ok"]["ticketed"]["request"].is_u64(), "{first}");
    // What makes no sense is told so, and the next call is heard.
    for bad in [
        "",
        "{",
        "7",
        "{\"version\":1,\"id\":\"x\",\"command\":\"fly\"}",
        "{\"version\":2,\"id\":\"x\",\"command\":\"undo\",\"request\":1,\"by\":{\"kind\":\"user\",\"id\":\"a\"}}",
    ] {
        assert!(ask(bad)["error"]["message"].is_string(), "{bad}");
    }
    call["id"] = json!("another");
    assert_ne!(ask(&call.to_string()), first);
}

#[test]
fn a_socket_that_was_left_is_replaced_and_a_long_path_works() {
    let directory = tempfile::tempdir().unwrap();
    let long = directory.path().join("d".repeat(90)).join("e".repeat(90));
    std::fs::create_dir_all(long.parent().unwrap()).unwrap();
    let (store, flow) = running(&long);
    drop(flow);
    assert!(!long.join("control").exists(), "whoever stops takes it away");
    drop(std::os::unix::net::UnixListener::bind(directory.path().join("left")).unwrap());
    std::fs::rename(directory.path().join("left"), long.join("control")).unwrap();
    let add = Command::AddTable { table: annals::Table::new("birds"), by: alice() };
    assert_eq!(Flow::send(&long, &add).unwrap_err().kind(), ErrorKind::Locked);
    let flow = Flow::builder(&store).start().unwrap();
    assert!(matches!(Flow::send(&long, &add).unwrap(), Reply::Done { .. }));
    // Of two flows of one process, the first answers; it goes on when the second stops.
    let second = Flow::builder(&store).start().unwrap();
    drop(second);
    assert!(matches!(Flow::send(&long, &add).unwrap(), Reply::Done { .. }));
    drop(flow);
    assert_eq!(Flow::send(&long, &add).unwrap_err().kind(), ErrorKind::Locked);
}

#[test]
fn no_socket_where_it_was_switched_off() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::options().control_socket(false).open(directory.path()).unwrap();
    let _flow = Flow::builder(&store).start().unwrap();
    assert!(!directory.path().join("control").exists());
}

#[test]
fn many_ask_at_once_and_each_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _flow) = running(directory.path());
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let path = directory.path().to_owned();
            std::thread::spawn(move || {
                for n in 0..20 {
                    let create = Request::create("notes", &json!({})).id(format!("{thread}-{n}")).by(alice());
                    assert!(matches!(Flow::send(&path, &request(create)).unwrap(), Reply::Made { .. }));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(store.reader().count(&annals::Query::all().types(["notes.create.validated"])).unwrap(), 160);
}

#[test]
fn who_asks_or_waits_at_the_socket_does_not_keep_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let (store, flow) = running(directory.path());
    let mut idle = UnixStream::connect(directory.path().join("control")).unwrap();
    let mut said = String::new();
    let mut answers = BufReader::new(idle.try_clone().unwrap());
    idle.write_all(b"?\n").unwrap();
    answers.read_line(&mut said).unwrap();
    idle.write_all(b"{").unwrap();
    let gone = directory.path().join("control");
    std::fs::remove_file(&gone).unwrap();
    drop(flow);
    drop(store);
    // The lock is free at once, whoever is still connected and whatever became of the socket.
    let (_store, flow) = running(directory.path());
    idle.write_all(b"\n").unwrap();
    said.clear();
    answers.read_line(&mut said).unwrap();
    assert!(said.contains("error"), "{said}");
    assert!(gone.exists());
    drop(flow);
}

#[test]
fn data_that_is_no_text_is_refused_and_not_changed_on_its_way() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, _flow) = running(directory.path());
    let bytes = b"{\"content\":\"\xFF\"}".to_vec();
    let create = Request::from_json("notes", annals::Action::Create, None, bytes).by(alice());
    let error = Flow::send(directory.path(), &request(create)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("no JSON"), "{error}");
}
