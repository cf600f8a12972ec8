//! `Reader::scan` allocates nothing for an event: what a scan allocates does not depend on how many events it gives out.
//! Neither does a subscription, and an owned event takes one allocation.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(unsafe_code, reason = "an allocator cannot be counted without being one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::ControlFlow;
use std::time::Duration;

use annals::{Actor, Durability, NewEvent, Query, Reader, StartAt, Store, Timestamp};

/// The system's allocator, which counts the allocations of each thread: others may be at work for the store.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count_one() {
    // A thread that is ending has no counter any more.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is handed on to the system's allocator; counting neither allocates nor unwinds, for the counter
// is made without either.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller keeps the promises of `alloc`, which are the same ones.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System`, with this layout, as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count_one();
        // SAFETY: as for `dealloc`, and the new size is one that the caller may ask for.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Events with everything that an event can have.
fn append(store: &Store, count: u64) {
    for batch in 0..count.div_ceil(1_000) {
        let events = (0..1_000.min(count - batch * 1_000)).map(|at| {
            let number = batch * 1_000 + at;
            NewEvent::json("note.edited", format!("note/n-{}", number % 500), &number)
                .unwrap()
                .id(format!("id-{number}"))
                .actor(Actor::user("alice"))
                .on_behalf_of("bob")
                .source("web")
                .correlation("c")
                .tag(if number % 100 == 0 { "rare" } else { "common" })
                .tag("t")
                .meta("m", "v")
                .caused_by(1)
        });
        store.append(events).unwrap();
    }
}

/// Reads every part of every event of a query.
fn scan(reader: &Reader, query: &Query, expected: u64) {
    let (mut count, mut bytes) = (0, 0);
    reader
        .scan(query, |event| {
            count += 1;
            bytes += event.subject().len() + event.kind().len() + event.subject_id().len() + event.event_type().len();
            bytes += event.id().len() + event.actor().map_or(0, |actor| actor.id().len());
            bytes += event.on_behalf_of().map_or(0, str::len) + event.source().map_or(0, str::len);
            bytes += event.correlation().map_or(0, str::len) + event.tags().map(str::len).sum::<usize>();
            bytes += event.meta().map(|(name, value)| name.len() + value.len()).sum::<usize>();
            bytes += event.meta_value("m").map_or(0, str::len) + event.content_type().len() + event.data().len();
            bytes += usize::from(event.causation().is_some()) + usize::from(event.recorded_at() >= event.occurred_at());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(count, expected);
    assert!(bytes > 50 * expected as usize);
}

#[test]
fn a_scan_allocates_nothing_for_an_event() {
    let directory = tempfile::tempdir().unwrap();
    let few = 10_000;
    let many = 100_000;
    let store = |name: &str, events: u64| {
        let durability = Durability::Written { sync_every: Duration::from_millis(100) };
        // One segment: another one costs a few allocations, as another query does.
        let store = Store::options().durability(durability).open(directory.path().join(name)).unwrap();
        append(&store, events);
        assert_eq!(store.segments().len(), 1);
        store
    };
    let (small, large) = (store("small", few), store("large", many));
    let everything = [Query::all(), Query::all().rev(), Query::all().occurred_since(Timestamp::from_nanos(0))];
    // These ask the index for a list of rows, which grows by doubling: a few more for ten times the events.
    let by_index = [
        Query::all().types(["note.*"]),
        Query::all().kind("note").tag("common").tag("t").actor(Actor::user("alice")).or(Query::all().tag("rare")),
        Query::all().on_behalf_of("bob").source("web").correlation("c").caused_by(1),
    ];
    let queries = everything.into_iter().map(|query| (query, 0)).chain(by_index.into_iter().map(|query| (query, 30)));
    for (query, more) in queries {
        let mut seen = vec![];
        for (store, events) in [(&small, few), (&large, many)] {
            let reader = store.reader();
            // What is made at first use, such as the mapping, is not counted.
            scan(&reader, &query, events);
            seen.push(allocations(|| scan(&reader, &query, events)));
        }
        println!("{query}: {} allocations for {few} events, {} for {many}", seen[0], seen[1]);
        assert!(seen[1] < 200, "{query}: {} allocations", seen[1]);
        assert!(seen[1] <= seen[0] + more, "{query}: allocations grow with the events, {seen:?}");
    }
    // The counter counts: an owned event is an allocation, and no more than one.
    let owned = allocations(|| assert_eq!(large.reader().read(&Query::all()).count() as u64, many));
    assert!((many..many + many / 100).contains(&owned), "{owned} allocations for {many} owned events");

    // A subscription copies batches into memory that it has.
    let mut subscription = large.subscribe(Query::all(), StartAt::Start);
    let mut take = |events: u64| {
        let (mut taken, mut bytes) = (0, 0);
        while taken < events {
            let batch = subscription.next_timeout(Duration::from_secs(10)).unwrap().unwrap();
            taken += batch.len() as u64;
            bytes += batch.iter().map(|event| event.data().len() + event.tags().count()).sum::<usize>();
        }
        assert!(bytes as u64 > 2 * events);
    };
    take(few);
    let copied = allocations(|| take(many - 2 * few));
    println!("subscription: {copied} allocations for {} events", many - 2 * few);
    assert!(copied < 20, "{copied} allocations for events of a subscription");
}
