//! UmaDB's engine: an event store for dynamic consistency boundaries in one copy-on-write file, with the writer thread
//! that its server runs, which commits for all who wait at once.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot, watch};
use umadb_core::db::UmaDb;
use umadb_core::mvcc::{Mvcc, StorageOptions};
use umadb_core::writer_thread_blocking::writer_thread_blocking;
use umadb_core::writer_thread_request::WriterThreadRequest;
use umadb_dcb::{DcbAppendCondition, DcbError, DcbEvent, DcbEventStoreSync, DcbQuery, DcbQueryItem, DcbResult};

use crate::event::{Event, View};
use crate::peer::{About, Durability, Each, Failure, Outcome, Peer};

pub(crate) const ABOUT: About = About {
    name: "umadb",
    package: "umadb-core",
    written: None,
    durable: Some("two fsyncs a commit, shared by those that wait"),
    checks: "each page, when it is read (CRC-32)",
    layout: "type; subject as a tag; time and actor as metadata; types and time without an index",
    indexed: true,
    open,
};

/// Requests that may wait for the writer, and events of one commit; both as generous as its server's.
const QUEUE: usize = 10_000;
const COMMIT_EVENTS: usize = 2_000;
/// Events that are read at once.
const READ_EVENTS: u32 = 10_000;

struct Uma {
    database: UmaDb,
    requests: mpsc::Sender<WriterThreadRequest>,
    writer: JoinHandle<()>,
}

fn open(directory: &Path, _: Durability) -> Outcome<Box<dyn Peer>> {
    let mvcc = Arc::new(Mvcc::new(false, StorageOptions::default().db_path(directory))?);
    let (requests, queue) = mpsc::channel(QUEUE);
    let (head, _) = watch::channel(None);
    let shared = Arc::clone(&mvcc);
    let writer = thread::spawn(move || writer_thread_blocking(shared, queue, head, COMMIT_EVENTS));
    Ok(Box::new(Uma { database: UmaDb::from_arc(mvcc), requests, writer }))
}

fn new_event(event: &Event) -> DcbEvent {
    DcbEvent {
        event_type: event.kind.clone(),
        tags: vec![event.subject.clone()],
        data: event.data.clone(),
        uuid: None,
        metadata: vec![("actor".to_owned(), event.actor.clone()), ("time".to_owned(), event.time.to_string())],
    }
}

fn by_subject(subject: &str) -> DcbQuery {
    DcbQuery::new().item(DcbQueryItem::new().tags([subject]))
}

fn failed(error: DcbError) -> Failure {
    match error {
        DcbError::IntegrityError(_) => Failure::Conflict,
        other => other.into(),
    }
}

impl Uma {
    fn send(
        &self,
        events: Vec<DcbEvent>,
        condition: Option<DcbAppendCondition>,
    ) -> Outcome<oneshot::Receiver<DcbResult<u64>>> {
        let (response_tx, response) = oneshot::channel();
        let request = WriterThreadRequest::Append { events, condition, tracking_info: None, response_tx, cancel: None };
        self.requests.blocking_send(request).map_err(|_| Failure::Failed("its writer is gone".to_owned()))?;
        Ok(response)
    }

    fn read(&self, query: &DcbQuery, each: Each<'_>) -> Outcome<()> {
        let mut from = Some(1);
        while let Some(start) = from {
            let mut response = self.database.read(Some(query.clone()), Some(start), false, Some(READ_EVENTS))?;
            let events = response.next_batch()?;
            // Less than was asked for is the end.
            from = events.last().filter(|_| events.len() as u32 >= READ_EVENTS).map(|last| last.position + 1);
            for sequenced in &events {
                let event = &sequenced.event;
                let time = event.metadata.get(1).and_then(|(_, time)| time.parse().ok());
                each(View {
                    kind: &event.event_type,
                    subject: event.tags.first().map_or("", String::as_str),
                    time: time.unwrap_or(0),
                    data: &event.data,
                });
            }
        }
        Ok(())
    }
}

fn wait(response: oneshot::Receiver<DcbResult<u64>>) -> Outcome<()> {
    response.blocking_recv()?.map_err(failed)?;
    Ok(())
}

impl Peer for Uma {
    fn append(&self, events: &[Event]) -> Outcome<()> {
        wait(self.send(events.iter().map(new_event).collect(), None)?)
    }

    fn pipelined(&self, next: &mut dyn FnMut() -> Option<Event>, in_flight: usize) -> Outcome<()> {
        let mut waiting = VecDeque::with_capacity(in_flight);
        while let Some(event) = next() {
            if waiting.len() == in_flight
                && let Some(response) = waiting.pop_front()
            {
                wait(response)?;
            }
            waiting.push_back(self.send(vec![new_event(&event)], None)?);
        }
        waiting.into_iter().try_for_each(wait)
    }

    fn replay(&self, each: Each<'_>) -> Outcome<()> {
        self.read(&DcbQuery::new(), each)
    }

    fn subject(&self, subject: &str, each: Each<'_>) -> Outcome<()> {
        self.read(&by_subject(subject), each)
    }

    fn kind(&self, kind: &str, each: Each<'_>) -> Outcome<()> {
        self.read(&DcbQuery::new().item(DcbQueryItem::new().types([kind])), each)
    }

    fn window(&self, _since: i64, _until: i64, _each: Each<'_>) -> Outcome<()> {
        Err(Failure::Unsupported("no index of time"))
    }

    /// The position of the subject's newest event.
    fn version(&self, subject: &str) -> Outcome<u64> {
        let mut newest = self.database.read(Some(by_subject(subject)), None, true, Some(1))?;
        Ok(newest.next_batch()?.first().map_or(0, |event| event.position))
    }

    fn append_expecting(&self, event: &Event, version: u64) -> Outcome<()> {
        self.append_unless(event, version)
    }

    fn tail(&self) -> Outcome<u64> {
        Ok(self.database.head()?.unwrap_or(0))
    }

    fn append_unless(&self, event: &Event, after: u64) -> Outcome<()> {
        let condition = DcbAppendCondition::new(by_subject(&event.subject)).after(Some(after));
        wait(self.send(vec![new_event(event)], Some(condition))?)
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        let _ = self.requests.blocking_send(WriterThreadRequest::Shutdown);
        self.writer.join().map_err(|_| Failure::Failed("its writer panicked".to_owned()))
    }
}
