//! The example that delivers webhooks, against a listener on this machine: what it posts is signed as Standard Webhooks
//! say; a 500 is tried again, a 410 parks.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../examples/webhooks.rs"]
#[allow(dead_code, unreachable_pub, reason = "its main is for people")]
mod webhooks;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use annals::{Actor, Flow, NewEvent, Position, Request, Store};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(30);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A request as it came in.
#[derive(Debug)]
struct Posted {
    head: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// Answers requests with these statuses, one after the other, then with the last one for ever.
fn listener(statuses: &'static [u16]) -> (String, Receiver<Posted>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut statuses = statuses.iter().copied();
        let mut last = 500;
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                match line.trim_end() {
                    "" => break,
                    line => lines.push(line.to_owned()),
                }
            }
            let header = |line: &String| {
                let (name, value) = line.split_once(": ").unwrap();
                (name.to_lowercase(), value.to_owned())
            };
            let headers: BTreeMap<_, _> = lines[1..].iter().map(header).collect();
            let mut body = vec![0; headers["content-length"].parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            last = statuses.next().unwrap_or(last);
            let request = Posted { head: lines[0].clone(), headers, body: String::from_utf8(body).unwrap() };
            if sender.send(request).is_err() {
                return;
            }
            let answer = format!("HTTP/1.1 {last} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    (url, receiver)
}

/// A subscription, a change that it wants to be told of, and the work order that came with it.
fn order(store: &Store, url: &str) -> Position {
    let flow = Flow::builder(store).background(false).start().unwrap();
    let row = json!({"url": url, "events": ["documents.*.validated"], "active": true});
    let hook = Request::create("webhookSubscriptions", &row).id("w-1").by(Actor::user("alice"));
    flow.request(hook).unwrap();
    let data = json!({"b": 1.50, "a": "ü"});
    let document = Request::create("documents", &data).id("d-1").by(Actor::user("alice"));
    flow.request(document).unwrap().position
}

fn deliver(store: &Store) -> annals::WorkerHandle {
    let soon = Duration::from_millis(5);
    let worker = store.worker("webhooks").backoff(soon, soon);
    webhooks::deliver(store, worker, |subscription| {
        (subscription == "webhookSubscription/w-1").then(|| SECRET.to_owned())
    })
    .unwrap()
}

/// The example of the specification's own libraries.
#[test]
fn the_signature_is_that_of_the_specification() {
    let body = r#"{"test": 2432232314}"#;
    let signed = webhooks::sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body).unwrap();
    assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert!(webhooks::sign("no secret", "msg", 1, body).is_err());
}

#[test]
fn what_is_posted_is_signed_and_a_failure_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let (url, requests) = listener(&[500, 204]);
    let order = order(&store, &url);
    let handle = deliver(&store);
    assert!(handle.wait_for(order, LONG).unwrap());
    assert_eq!(store.parked(None).unwrap(), []);
    let (first, second) = (requests.recv_timeout(LONG).unwrap(), requests.recv_timeout(LONG).unwrap());
    assert!(requests.try_recv().is_err(), "it was delivered, and posted again");
    let id = store.reader().event(order).unwrap().unwrap().id().into_owned();
    for request in [&first, &second] {
        assert!(request.head.starts_with("POST /hook "), "{request:?}");
        assert_eq!(request.headers["webhook-id"], id, "a receiver can tell a repetition");
        assert_eq!(request.headers["content-type"], "application/cloudevents+json");
        let told: Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!((&told["type"], &told["subject"]), (&json!("documents.create.validated"), &json!("document/d-1")));
        assert_eq!(told["data"], json!({"b": 1.50, "a": "ü"}));
        let timestamp: u64 = request.headers["webhook-timestamp"].parse().unwrap();
        let expected = webhooks::sign(SECRET, &id, timestamp, &request.body).unwrap();
        assert_eq!(request.headers["webhook-signature"], expected);
    }
}

#[test]
fn who_is_gone_is_parked_at_once_and_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let (url, requests) = listener(&[410, 200]);
    let store = Arc::new(store);
    let order = order(&store, &url);
    let broken = NewEvent::bytes("webhooks.deliver.requested", "webhookSubscription/w-2", "text/plain", "no JSON");
    let broken = store.append([broken]).unwrap().last;
    let handle = deliver(&store);
    assert!(handle.wait_for(broken, LONG).unwrap());
    let parked = store.parked(Some("webhooks")).unwrap();
    assert_eq!((parked.len(), parked[0].position, parked[0].attempts), (2, order, 1));
    assert_eq!(parked[0].error, "the receiver is gone (410)");
    store.retry("webhooks", order, Actor::user("alice"), "it is back").unwrap();
    requests.recv_timeout(LONG).unwrap();
    requests.recv_timeout(LONG).unwrap();
    store.skip("webhooks", broken, Actor::user("alice"), "it is none").unwrap();
    assert_eq!(store.parked(None).unwrap(), []);
}
