//! Open, append, append under a condition, read, follow. Run it with `cargo run --example embed`; every run goes on in
//! the same store, which lies in the directory for temporary files.

use std::time::Duration;

use annals::{Actor, Append, Expected, NewEvent, Query, StartAt, Store};
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open(std::env::temp_dir().join("annals-embed"))?;
    let mut notes = store.subscribe(Query::all().kind("note"), StartAt::Now);

    let note = NewEvent::json("note.created", "note/n-1", &json!({"content": "A"}))?.actor(Actor::user("alice"));
    let done = store.append([note])?;

    let version = store.reader().version("note/n-1")?;
    let edit = NewEvent::json("note.edited", "note/n-1", &json!({"content": "B"}))?.caused_by(done.last);
    store.append_with(Append::new([edit]).expect("note/n-1", Expected::Exactly(version)))?;

    for event in store.reader().read(&Query::all().subject("note/n-1").rev().limit(4)) {
        let event = event?;
        println!("position {}, version {}: {}", event.position(), event.version(), event.event_type());
    }
    while let Some(batch) = notes.next_timeout(Duration::from_millis(50))? {
        println!("{} new events, read up to position {}", batch.len(), batch.through());
    }
    Ok(store.close()?)
}
