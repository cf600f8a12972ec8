//! annals itself: raw as it is written, and sealed.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use annals::{
    Actor, Append, AppendError, EventRef, Expected, NewEvent, Query, StartAt, Store, Subscription, Timestamp,
};

use crate::event::{Event, View};
use crate::peer::{About, Durability, Each, Failure, Outcome, Peer, Subscriber};

pub(crate) const ABOUT: About = About {
    name: "annals",
    package: "annals",
    written: Some("Written, a sync every 50 ms in the background"),
    durable: Some("Synced: fdatasync before each acknowledgement, shared by a group"),
    checks: "each event, at every read (CRC-32 and XXH3, bound to its place)",
    layout: "its own; subject, type, actor, time and tags indexed",
    indexed: true,
    open: |directory, durability| open(directory, durability, false),
};

pub(crate) const SEALED: About = About {
    name: "annals sealed",
    package: "annals",
    written: Some("as annals; what is full is packed by Store::seal, outside of the clock"),
    durable: Some("as annals"),
    checks: "each block, at every read",
    layout: "its own, in compressed columns",
    indexed: true,
    open: |directory, durability| open(directory, durability, true),
};

struct Annals {
    store: Store,
    seals: bool,
}

fn open(directory: &Path, durability: Durability, seals: bool) -> Outcome<Box<dyn Peer>> {
    let durability = match durability {
        Durability::Written => annals::Durability::Written { sync_every: Duration::from_millis(50) },
        Durability::Durable => annals::Durability::Synced,
    };
    // Packing is timed by itself and never beside appends, since peers that pack (LSM trees) do it while they append.
    let store = Store::options().durability(durability).sealing(false).open(directory)?;
    Ok(Box::new(Annals { store, seals }))
}

fn new_event(event: &Event) -> NewEvent {
    let new = NewEvent::bytes(event.kind.as_str(), event.subject.as_str(), "application/json", event.data.clone())
        .occurred_at(Timestamp::from_nanos(event.time));
    if event.actor.is_empty() { new } else { new.actor(Actor::user(event.actor.as_str())) }
}

fn view<'a>(event: &'a EventRef<'a>) -> View<'a> {
    View {
        kind: event.event_type(),
        subject: event.subject(),
        time: event.occurred_at().as_nanos(),
        data: event.data(),
    }
}

fn failed(error: AppendError) -> Failure {
    match error {
        AppendError::Conflict { .. } => Failure::Conflict,
        other => Failure::Failed(other.to_string()),
    }
}

impl Annals {
    fn scan(&self, query: &Query, each: Each<'_>) -> Outcome<()> {
        self.store.reader().scan(query, |event| {
            each(view(&event));
            ControlFlow::Continue(())
        })?;
        Ok(())
    }
}

impl Peer for Annals {
    fn append(&self, events: &[Event]) -> Outcome<()> {
        self.store.append(events.iter().map(new_event)).map_err(failed)?;
        Ok(())
    }

    fn pipelined(&self, next: &mut dyn FnMut() -> Option<Event>, in_flight: usize) -> Outcome<()> {
        let mut tickets = VecDeque::with_capacity(in_flight);
        while let Some(event) = next() {
            if tickets.len() == in_flight
                && let Some(ticket) = tickets.pop_front()
            {
                annals::Ticket::wait(ticket).map_err(failed)?;
            }
            tickets.push_back(self.store.submit(Append::new([new_event(&event)])));
        }
        for ticket in tickets {
            ticket.wait().map_err(failed)?;
        }
        Ok(())
    }

    fn replay(&self, each: Each<'_>) -> Outcome<()> {
        self.scan(&Query::all(), each)
    }

    fn subject(&self, subject: &str, each: Each<'_>) -> Outcome<()> {
        self.scan(&Query::all().subject(subject), each)
    }

    fn kind(&self, kind: &str, each: Each<'_>) -> Outcome<()> {
        self.scan(&Query::all().types([kind]), each)
    }

    /// By the time of recording, since that is the one a log can be asked for: the times of these events.
    fn bounds(&self, first: u64, end: u64) -> Outcome<(i64, i64)> {
        let at = |number: u64| -> Outcome<i64> {
            let event = self.store.reader().event(number + 1)?;
            event.map(|event| event.recorded_at().as_nanos()).ok_or(Failure::Failed("no such event".to_owned()))
        };
        Ok((at(first)?, at(end)?))
    }

    fn window(&self, since: i64, until: i64, each: Each<'_>) -> Outcome<()> {
        self.scan(&Query::all().since(Timestamp::from_nanos(since)).until(Timestamp::from_nanos(until)), each)
    }

    fn version(&self, subject: &str) -> Outcome<u64> {
        Ok(self.store.reader().version(subject)?)
    }

    fn append_expecting(&self, event: &Event, version: u64) -> Outcome<()> {
        let append = Append::new([new_event(event)]).expect(event.subject.as_str(), Expected::Exactly(version));
        self.store.append_with(append).map_err(failed)?;
        Ok(())
    }

    fn tail(&self) -> Outcome<u64> {
        Ok(self.store.reader().tail().get())
    }

    fn append_unless(&self, event: &Event, after: u64) -> Outcome<()> {
        let append = Append::new([new_event(event)]).unless(Query::all().subject(event.subject.as_str()), after);
        self.store.append_with(append).map_err(failed)?;
        Ok(())
    }

    fn subscribe(&self) -> Outcome<Box<dyn Subscriber>> {
        Ok(Box::new(Live { subscription: self.store.subscribe(Query::all(), StartAt::Now) }))
    }

    fn pack(&self) -> Outcome<()> {
        if !self.seals {
            return Err(Failure::Unsupported("measured apart, as annals sealed"));
        }
        self.store.seal()?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(self.store.close()?)
    }
}

struct Live {
    subscription: Subscription,
}

impl Subscriber for Live {
    fn next(&mut self, timeout: Duration, each: Each<'_>) -> Outcome<()> {
        if let Some(batch) = self.subscription.next_timeout(timeout)? {
            for event in batch.iter() {
                each(view(&event));
            }
        }
        Ok(())
    }
}
