//! SierraDB's engine: streams with versions in partitions. All events go into one partition, which gives one order.

use std::path::Path;

use sierradb::StreamId;
use sierradb::bucket::segment::{CommittedEvents, EventRecord};
use sierradb::database::{Database, DatabaseBuilder, ExpectedVersion, NewEvent, Transaction};
use sierradb::id::{uuid_to_partition_hash, uuid_v7_with_partition_hash};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::event::{Event, View};
use crate::peer::{About, Durability, Each, Failure, Outcome, Peer};

pub(crate) const ABOUT: About = About {
    name: "sierradb",
    package: "sierradb",
    written: None,
    durable: Some(
        "its defaults: acknowledged after the next sync, one every 5 ms, 50 events or 4 KiB (50 ms when idle)",
    ),
    checks: "each record, when it is read (CRC-32C)",
    layout: "one partition; subject as stream, with versions; no index of type or time",
    indexed: true,
    open,
};

const PARTITION: u16 = 0;
/// Transactions that are read at once.
const READ_TRANSACTIONS: usize = 1_000;

struct Sierra {
    database: Database,
    runtime: Runtime,
    /// Any key will do, as the partition is named beside it.
    key: Uuid,
}

fn open(directory: &Path, _: Durability) -> Outcome<Box<dyn Peer>> {
    let runtime = Runtime::new()?;
    let entered = runtime.enter();
    let database = DatabaseBuilder::new().total_buckets(1).bucket_ids_from_range(0..1).open(directory)?;
    drop(entered);
    // The same at every opening: all events of a stream must share it.
    Ok(Box::new(Sierra { database, runtime, key: Uuid::from_u128(0x8000_0000_0000_4000_8000_0000_0000_0001) }))
}

fn failed(error: sierradb::error::WriteError) -> Failure {
    use sierradb::error::WriteError::{WrongExpectedSequence, WrongExpectedVersion};
    match error {
        WrongExpectedSequence { .. } | WrongExpectedVersion { .. } => Failure::Conflict,
        other => other.into(),
    }
}

fn give(event: &EventRecord, each: Each<'_>) {
    each(View {
        kind: &event.event_name,
        subject: event.stream_id.as_ref(),
        time: event.timestamp as i64,
        data: &event.payload,
    });
}

fn give_all(batch: Vec<CommittedEvents>, each: Each<'_>) {
    for committed in batch {
        for event in committed {
            give(&event, each);
        }
    }
}

impl Sierra {
    fn write(&self, events: &[Event], version: ExpectedVersion, sequence: ExpectedVersion) -> Outcome<()> {
        let hash = uuid_to_partition_hash(self.key);
        let events = events.iter().map(|event| {
            Ok(NewEvent {
                event_id: uuid_v7_with_partition_hash(hash),
                stream_id: StreamId::new(event.subject.as_str())?,
                stream_version: version,
                event_name: event.kind.clone(),
                timestamp: event.time as u64,
                metadata: event.actor.clone().into_bytes(),
                payload: event.data.clone(),
            })
        });
        let transaction = Transaction::new(self.key, PARTITION, events.collect::<Outcome<_>>()?)?;
        let transaction = transaction.expected_partition_sequence(sequence);
        self.runtime.block_on(self.database.append_events(transaction)).map_err(failed)?;
        Ok(())
    }
}

impl Peer for Sierra {
    fn append(&self, events: &[Event]) -> Outcome<()> {
        self.write(events, ExpectedVersion::Any, ExpectedVersion::Any)
    }

    fn replay(&self, each: Each<'_>) -> Outcome<()> {
        self.runtime.block_on(async {
            let mut events = self.database.read_partition(PARTITION, 0, sierradb::IterDirection::Forward).await?;
            while let Some(batch) = events.next_batch(READ_TRANSACTIONS).await? {
                give_all(batch, each);
            }
            Ok(())
        })
    }

    fn subject(&self, subject: &str, each: Each<'_>) -> Outcome<()> {
        let stream = StreamId::new(subject)?;
        self.runtime.block_on(async {
            let forward = sierradb::IterDirection::Forward;
            let mut events = self.database.read_stream(PARTITION, stream, 0, forward).await?;
            while let Some(batch) = events.next_batch(READ_TRANSACTIONS).await? {
                give_all(batch, each);
            }
            Ok(())
        })
    }

    fn kind(&self, _kind: &str, _each: Each<'_>) -> Outcome<()> {
        Err(Failure::Unsupported("no index of type"))
    }

    fn window(&self, _since: i64, _until: i64, _each: Each<'_>) -> Outcome<()> {
        Err(Failure::Unsupported("no index of time"))
    }

    /// One more than its own, which begins at 0, so that 0 is a stream that is not there.
    fn version(&self, subject: &str) -> Outcome<u64> {
        let stream = StreamId::new(subject)?;
        let latest = self.runtime.block_on(self.database.get_stream_version(PARTITION, &stream))?;
        Ok(latest.map_or(0, |latest| latest.version + 1))
    }

    fn append_expecting(&self, event: &Event, version: u64) -> Outcome<()> {
        let version = version.checked_sub(1).map_or(ExpectedVersion::Empty, ExpectedVersion::Exact);
        self.write(std::slice::from_ref(event), version, ExpectedVersion::Any)
    }

    fn tail(&self) -> Outcome<u64> {
        let latest = self.runtime.block_on(self.database.get_partition_sequence(PARTITION))?;
        Ok(latest.map_or(0, |latest| latest.sequence + 1))
    }

    /// It can only be asked whether nothing at all came since.
    fn append_unless(&self, event: &Event, after: u64) -> Outcome<()> {
        let sequence = after.checked_sub(1).map_or(ExpectedVersion::Empty, ExpectedVersion::Exact);
        self.write(std::slice::from_ref(event), ExpectedVersion::Any, sequence)
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        self.runtime.block_on(self.database.shutdown());
        Ok(())
    }
}
