//! Every limit of a store, with its unit in its name and the reason beside it.
//!
//! A limit is a promise in two directions. What is appended within them can be stored, indexed, exported and imported
//! again; and bytes read from a disk that claim to be beyond them are damage, so nothing is allocated on their word.
//! Raising one is a change of the file format.

/// Bytes of one event's data: 16 MiB.
///
/// An event is a fact, and larger things belong beside the log with their digest in the event. At this size one event
/// still fits, twice over, into half a segment of the default size.
pub const DATA_BYTES_MAX: usize = 16 << 20;

/// Bytes of one event's data above which the command line warns: 64 KiB.
///
/// Such events are stored, but they make every replay that passes them slower.
pub const DATA_BYTES_WARN: usize = 64 << 10;

/// Decoded blocks and pages of sealed segments that a store keeps, in bytes, where nothing else is asked for: 16 MiB.
///
/// Some hundred blocks: enough that what is asked for again and again is there, little beside what a program holds.
pub const CACHE_BYTES_DEFAULT: u64 = 16 << 20;

/// Events of one batch, which is appended whole or not at all: 65,535.
///
/// A batch is one frame and is held in memory while it is written. The count also fits a `u16`, so that a cause
/// within the batch is named by two bytes.
pub const BATCH_EVENTS_MAX: usize = 65_535;

/// Events of one segment: 8,388,608, as many as the term index of a sealed one can name blocks of. A segment that has so
/// many is full, whatever its bytes.
pub const SEGMENT_EVENTS_MAX: u32 = 8 << 20;

/// Bytes of an event's type: 1 KiB.
///
/// Generated types are some 30 bytes long and real histories have sentences for types; beyond this it is data. Like
/// every length of a text here it fits a `u16`.
pub const TYPE_BYTES_MAX: usize = 1024;

/// Bytes of a subject, kind and id together: 1 KiB, for paths and URLs.
pub const SUBJECT_BYTES_MAX: usize = 1024;

/// Bytes of one tag: 1 KiB. A tag is an indexed value, held in memory until its segment rolls.
pub const TAG_BYTES_MAX: usize = 1024;

/// Bytes of an actor's id, and of the user that it acts for: 1 KiB each.
pub const ACTOR_BYTES_MAX: usize = 1024;

/// Bytes of an event's source: 1 KiB, for a URI.
pub const SOURCE_BYTES_MAX: usize = 1024;

/// Bytes of a correlation: 1 KiB, for whatever another system calls its trace.
pub const CORRELATION_BYTES_MAX: usize = 1024;

/// Bytes of a content type: 255. RFC 6838 allows 127 for each half of a media type, and they are few and short.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;

/// Bytes of an event's id: 255. A longer one is no id but a document, and the length fits one byte.
pub const ID_BYTES_MAX: usize = 255;

/// Bytes of an idempotency key: 1 KiB, for a key made of a caller's own names.
pub const KEY_BYTES_MAX: usize = 1024;

/// Tags of one event: 64. Each costs an index entry.
pub const TAGS_MAX: usize = 64;

/// Bytes of one event's metadata, names and values together: 16 KiB. It is context, not content.
pub const META_BYTES_MAX: usize = 16 << 10;

/// Entries of one event's metadata: 256.
pub const META_ENTRIES_MAX: usize = 256;

/// Bytes of the smallest segment that can be asked for: 64 KiB.
///
/// Small enough for a test to roll many segments, large enough for the three pages before the first frame to be a
/// small part of it.
pub const SEGMENT_BYTES_MIN: u64 = 64 << 10;

/// Bytes of a segment where nothing else is asked for: 64 MiB.
///
/// Its index is held in memory until it rolls, some tens of megabytes, and recovery reads it whole.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;

/// Bytes of the largest segment that can be asked for: 4 GiB.
///
/// Half of it is the largest batch, whose length is a `u32` on disk.
pub const SEGMENT_BYTES_MAX: u64 = 4 << 30;

/// Conditions of one append: 64. The writer checks them while all others wait.
pub const CONDITIONS_MAX: usize = 64;

/// Levels to which objects and arrays of a document that is folded from events may be nested: 127.
///
/// As deep as the parsers go that will read the document; deeper ones would be a way to exhaust a stack.
pub const DOCUMENT_DEPTH_MAX: usize = 127;

/// Bytes of a folded state that is stored as a snapshot, before it is packed: 64 MiB.
///
/// It is read into memory whole. A larger state is folded from the events each time.
pub const STATE_BYTES_MAX: usize = 64 << 20;

/// Bytes of the name of a kind of state: 255.
pub const STATE_NAME_BYTES_MAX: usize = 255;

/// Bytes of one line of an import: 32 MiB.
///
/// Room for the largest data in base64 (four bytes for three) with all the rest of an event. Without a limit a file
/// that is no JSON Lines would be read into memory whole.
pub const IMPORT_LINE_BYTES_MAX: usize = 32 << 20;

/// Bytes of a receipt: 64 MiB.
///
/// Room for the largest event as a line of JSON, and for its metadata a second time as digits. It is read into memory
/// whole.
pub const RECEIPT_BYTES_MAX: usize = 64 << 20;

/// Bytes of one statement of SQL: 1 MiB.
///
/// Values belong into parameters. SQLite keeps several times as much while it reads a statement.
pub const SQL_BYTES_MAX: usize = 1 << 20;

/// Bytes of one value in an answer of SQL: 256 MiB.
///
/// A statement can make a value of any length, such as all events as one JSON array; it must not take all memory.
pub const SQL_VALUE_BYTES_MAX: usize = 256 << 20;

/// Bytes of a worker's name: 64. It names a file and stands in the key of every append of its steps.
pub const WORKER_NAME_BYTES_MAX: usize = 64;

/// Threads of one worker: 1,024.
pub const WORKER_CONCURRENCY_MAX: usize = 1024;

/// Events of one worker that are begun and not finished, in hand, waiting for their time, or behind one of their key that
/// waits: 10,000.
///
/// Each is remembered in memory and in the worker's file. When there are so many, the worker reads no further until one
/// is finished or parked.
pub const WORKER_OPEN_EVENTS_MAX: usize = 10_000;

/// Events of one worker that are parked: 100,000.
///
/// Each is remembered in memory and in the worker's file, with its error. When there are so many, the worker reads no
/// further until somebody decides about some.
pub const WORKER_PARKED_EVENTS_MAX: usize = 100_000;

/// Bytes of the name of a worker's step: 255.
pub const STEP_NAME_BYTES_MAX: usize = 255;

/// Steps of one event whose results are kept: 1,000. They are held in memory until the event is finished.
pub const STEPS_MAX: usize = 1000;

/// Bytes of one step's result as JSON: 1 MiB. It is held in memory until the event is finished; larger things belong
/// elsewhere, with their name in the result.
pub const STEP_RESULT_BYTES_MAX: usize = 1 << 20;

/// Bytes of what one worker remembers: 64 MiB. With more it reads no further until some of it is finished.
pub const WORKER_STATE_BYTES_MAX: usize = 64 << 20;

/// Bytes of an error that a worker remembers; what is longer is cut: 4 KiB.
pub const WORKER_ERROR_BYTES_MAX: usize = 4 << 10;

/// Bytes of a worker's file: 1 GiB. It is read whole, and made anew long before it is so long.
pub const WORKER_FILE_BYTES_MAX: u64 = 1 << 30;

/// Decisions about parked events that a worker's file remembers, the newest ones: 100.
pub const WORKER_DECISIONS_MAX: usize = 100;

/// Bytes of the largest batch in a log whose segments are `segment_bytes` long: half of them.
///
/// A batch never spans two segments, and where one may fill more than half of a segment, the other half would often
/// stay empty.
pub const fn batch_bytes_max(segment_bytes: u64) -> u64 {
    segment_bytes / 2
}

// What the reasons above claim.
const _: () = {
    assert!(2 * DATA_BYTES_MAX as u64 <= batch_bytes_max(SEGMENT_BYTES_DEFAULT));
    assert!(batch_bytes_max(SEGMENT_BYTES_MAX) <= u32::MAX as u64);
    assert!(BATCH_EVENTS_MAX == u16::MAX as usize);
    assert!(ID_BYTES_MAX == u8::MAX as usize && CONTENT_TYPE_BYTES_MAX <= u8::MAX as usize);
    assert!(META_BYTES_MAX <= u16::MAX as usize);
    assert!(META_ENTRIES_MAX <= u16::MAX as usize);
    assert!(DATA_BYTES_WARN < DATA_BYTES_MAX);
    assert!(SEGMENT_BYTES_MIN < SEGMENT_BYTES_DEFAULT && SEGMENT_BYTES_DEFAULT < SEGMENT_BYTES_MAX);
    // A JSON string may need six bytes for one, which control characters would; texts hold none, so two is the worst.
    let texts = TYPE_BYTES_MAX
        + SUBJECT_BYTES_MAX
        + TAGS_MAX * TAG_BYTES_MAX
        + 2 * ACTOR_BYTES_MAX
        + SOURCE_BYTES_MAX
        + CORRELATION_BYTES_MAX
        + CONTENT_TYPE_BYTES_MAX
        + ID_BYTES_MAX
        + KEY_BYTES_MAX;
    let line = DATA_BYTES_MAX.div_ceil(3) * 4 + 2 * texts + 6 * META_BYTES_MAX + (64 << 10);
    assert!(line <= IMPORT_LINE_BYTES_MAX);
    // The path has at most 64 hashes.
    assert!(
        line + 2 * (texts + META_BYTES_MAX) + 2 * 4 * (TAGS_MAX + 2 * META_ENTRIES_MAX) + (64 << 10)
            <= RECEIPT_BYTES_MAX
    );
};
