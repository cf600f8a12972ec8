//! tephra: an event store for dynamic consistency boundaries. The subject is a tag; time and actor are the user's own
//! and stand before the data.

use std::path::Path;
use std::time::Duration;

use tephra::{
    AppendCondition, AppendError, EventType, Position, Query, QueryItem, SegmentConfig, SegmentSet, Subscription, Tag,
    Tags, WriteCoordinator, WriteHandle, WriterConfig,
};

use crate::event::{Event, View};
use crate::peer::{About, Durability, Each, Failure, Outcome, Peer, Subscriber};

pub(crate) const ABOUT: About = About {
    name: "tephra",
    package: "tephra",
    written: None,
    durable: Some("as documented: fdatasync before each acknowledgement, shared by a group"),
    checks: "each record, at every read (CRC-32)",
    layout: "type; subject as a tag; time before the data; segments of 256 MiB; no index of time",
    indexed: true,
    open,
};

/// As in its documentation.
const SEGMENT_BYTES: usize = 256 << 20;

struct Tephra {
    coordinator: WriteCoordinator,
    handle: WriteHandle,
}

fn open(directory: &Path, _: Durability) -> Outcome<Box<dyn Peer>> {
    let set = SegmentSet::open(directory, SegmentConfig::new(SEGMENT_BYTES))?;
    let (coordinator, handle) = WriteCoordinator::start(set, WriterConfig::default())?;
    Ok(Box::new(Tephra { coordinator, handle }))
}

fn tags(subject: &str) -> Outcome<Tags> {
    Ok(Tags::new([Tag::new(subject)?])?)
}

fn by_subject(subject: &str) -> Outcome<Query> {
    Ok(Query::item(QueryItem::with_tags(tags(subject)?)))
}

/// Its payload: time i64 little-endian, length of the actor u8, the actor, the data.
fn new_event(event: &Event) -> Outcome<tephra::Event> {
    let mut payload = Vec::with_capacity(9 + event.actor.len() + event.data.len());
    payload.extend_from_slice(&event.time.to_le_bytes());
    payload.push(event.actor.len() as u8);
    payload.extend_from_slice(event.actor.as_bytes());
    payload.extend_from_slice(&event.data);
    Ok(tephra::Event::new(&EventType::new(event.kind.as_str())?, &tags(&event.subject)?, &payload)?)
}

fn view<'a>(event: tephra::EventRef<'a>) -> Outcome<View<'a>> {
    let whole = || {
        let (time, rest) = event.data().split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first()?;
        let data = rest.get(usize::from(*length)..)?;
        let subject = event.tags().next().unwrap_or_default();
        Some(View { kind: event.event_type(), subject, time: i64::from_le_bytes(*time), data })
    };
    whole().ok_or_else(|| Failure::Failed("a payload that cannot be decoded".to_owned()))
}

fn failed(error: AppendError) -> Failure {
    match error {
        AppendError::Conflict { .. } => Failure::Conflict,
        other => other.into(),
    }
}

impl Tephra {
    fn read(&self, query: &Query, each: Each<'_>) -> Outcome<()> {
        let mut reads = self.handle.read(query, Position::ZERO, None);
        while let Some(item) = reads.next() {
            each(view(item?.event)?);
        }
        Ok(())
    }
}

impl Peer for Tephra {
    fn append(&self, events: &[Event]) -> Outcome<()> {
        let events = events.iter().map(new_event).collect::<Outcome<Vec<_>>>()?;
        self.handle.append(events, None).map_err(failed)?;
        Ok(())
    }

    fn pipelined(&self, next: &mut dyn FnMut() -> Option<Event>, in_flight: usize) -> Outcome<()> {
        let (reply, replies): (tephra::writer::AppendReply, _) = flume::unbounded();
        let (mut sent, mut acknowledged) = (0u64, 0u64);
        let wait = |acknowledged: &mut u64| -> Outcome<()> {
            let (_, result) = replies.recv()?;
            *acknowledged += 1;
            result.map(|_| ()).map_err(failed)
        };
        while let Some(event) = next() {
            if sent - acknowledged == in_flight as u64 {
                wait(&mut acknowledged)?;
            }
            self.handle.append_submit(vec![new_event(&event)?], None, sent, reply.clone()).map_err(failed)?;
            sent += 1;
        }
        while acknowledged < sent {
            wait(&mut acknowledged)?;
        }
        Ok(())
    }

    fn replay(&self, each: Each<'_>) -> Outcome<()> {
        self.read(&Query::all(), each)
    }

    fn subject(&self, subject: &str, each: Each<'_>) -> Outcome<()> {
        self.read(&by_subject(subject)?, each)
    }

    fn kind(&self, kind: &str, each: Each<'_>) -> Outcome<()> {
        self.read(&Query::item(QueryItem::of_types(vec![EventType::new(kind)?])), each)
    }

    fn window(&self, _since: i64, _until: i64, _each: Each<'_>) -> Outcome<()> {
        Err(Failure::Unsupported("no index of time"))
    }

    /// The position of the subject's newest event.
    fn version(&self, subject: &str) -> Outcome<u64> {
        let mut newest = self.handle.read_back(&by_subject(subject)?, Position::MAX, Some(1));
        match newest.next() {
            Some(item) => Ok(item?.position.get()),
            None => Ok(0),
        }
    }

    fn append_expecting(&self, event: &Event, version: u64) -> Outcome<()> {
        self.append_unless(event, version)
    }

    fn tail(&self) -> Outcome<u64> {
        Ok(self.handle.head().get())
    }

    fn append_unless(&self, event: &Event, after: u64) -> Outcome<()> {
        let condition = AppendCondition::new(by_subject(&event.subject)?).after(Position::new(after));
        self.handle.append(vec![new_event(event)?], Some(condition)).map_err(failed)?;
        Ok(())
    }

    fn subscribe(&self) -> Outcome<Box<dyn Subscriber>> {
        Ok(Box::new(Live { subscription: self.handle.subscribe(Query::all(), self.handle.head()) }))
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        drop(self.coordinator.shutdown());
        Ok(())
    }
}

struct Live {
    subscription: Subscription,
}

impl Subscriber for Live {
    fn next(&mut self, timeout: Duration, each: Each<'_>) -> Outcome<()> {
        let mut batch = self.subscription.poll_batch()?;
        if batch.is_empty() {
            self.subscription.wait_timeout(timeout);
            batch = self.subscription.poll_batch()?;
        }
        for (_, event) in &batch {
            each(view(event.as_ref())?);
        }
        Ok(())
    }
}
