//! The fields of every fixed structure, as data. The parsers do without: they believe a page whole
//! or not at all. This is for whoever has to show bytes that fail their check, field by field, and
//! a test holds it against docs/format.md, as it holds the encoders.

/// How the bytes of a field are to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// ASCII text.
    Magic,
    /// ASCII text with zeros behind it.
    Padded,
    Number,
    /// A number that names something and counts nothing.
    Hex,
    /// Bytes that name something.
    Id,
    /// Nanoseconds since 1970, signed.
    Time,
    Code(&'static [(u64, &'static str)]),
    Bits(&'static [(u64, &'static str)]),
    /// Hashes of 32 bytes, those that are not zero.
    Digests,
    /// Must be zero as far as this version knows.
    Zero,
    /// Where a part of the file stands: offset u64, length u64, count u32, zero u32.
    Section,
}

/// Where a field stands, counted from the start of its structure, and what it is called in
/// docs/format.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) at: usize,
    pub(crate) bytes: usize,
    pub(crate) name: &'static str,
    pub(crate) show: Show,
}

const fn field(at: usize, bytes: usize, name: &'static str, show: Show) -> Field {
    Field { at, bytes, name, show }
}

pub(crate) type Layout = &'static [Field];

pub(crate) const MODES: &[(u64, &str)] = &[(1, "synced"), (2, "written")];
pub(crate) const SLOT_STATES: &[(u64, &str)] = &[(1, "idle"), (2, "rolled"), (3, "clean"), (4, "cut")];
pub(crate) const LIVE_STATES: &[(u64, &str)] = &[(1, "open"), (2, "clean"), (3, "poisoned"), (4, "recovering")];
pub(crate) const FRAME_KINDS: &[(u64, &str)] = &[(1, "events"), (2, "pad"), (3, "control")];
pub(crate) const FRAME_FLAGS: &[(u64, &str)] =
    &[(1, "imported"), (2, "clock suspect"), (16, "recorded_at each"), (32, "wall clock"), (64, "prelude")];
const TIER_FLAGS: &[(u64, &str)] = &[(1, "any id anywhere")];
const IDX_FLAGS: &[(u64, &str)] = &[(1, "types"), (2, "filter")];
const FOOTER_FLAGS: &[(u64, &str)] = &[(1, "data ordered by subject"), (2, "archived")];
const NO_BITS: &[(u64, &str)] = &[];

use Show::{Bits, Code, Digests, Hex, Id, Magic, Number, Padded, Section, Time, Zero};

pub(crate) const SEGMENT_HEADER: Layout = &[
    field(0, 8, "magic", Magic),
    field(8, 2, "format version", Number),
    field(10, 2, "oldest reader version", Number),
    field(12, 4, "incompatible feature bits", Bits(NO_BITS)),
    field(16, 4, "compatible feature bits", Bits(NO_BITS)),
    field(20, 1, "durability", Code(MODES)),
    field(21, 3, "zero", Zero),
    field(24, 16, "log id", Id),
    field(40, 8, "base position", Number),
    field(48, 8, "epoch", Number),
    field(56, 8, "salt", Hex),
    field(64, 8, "created", Time),
    field(72, 8, "segment bytes", Number),
    field(80, 4, "era of the clock", Number),
    field(84, 4, "zero", Zero),
    field(88, 8, "check", Hex),
];

pub(crate) const SLOT: Layout = &[
    field(0, 8, "magic", Magic),
    field(8, 8, "seq", Number),
    field(16, 16, "log id", Id),
    field(32, 8, "epoch", Number),
    field(40, 8, "base position", Number),
    field(48, 1, "state", Code(SLOT_STATES)),
    field(49, 7, "zero", Zero),
    field(56, 8, "end offset", Number),
    field(64, 8, "end position", Number),
    field(72, 8, "header check of the last durable frame", Hex),
    field(80, 8, "highest group seq", Number),
    field(88, 8, "recorded_at", Time),
    field(96, 8, "check", Hex),
];

pub(crate) const ANCHOR: Layout = &[
    field(0, 8, "magic", Magic),
    field(8, 2, "format version", Number),
    field(10, 2, "oldest reader version", Number),
    field(12, 4, "incompatible feature bits", Bits(NO_BITS)),
    field(16, 4, "compatible feature bits", Bits(NO_BITS)),
    field(20, 4, "zero", Zero),
    field(24, 8, "seq", Number),
    field(32, 16, "log id", Id),
    field(48, 8, "epoch", Number),
    field(56, 8, "base position", Number),
    field(64, 8, "durable position", Number),
    field(72, 8, "tree size", Number),
    field(80, 8, "created", Time),
    field(88, 2048, "peaks", Digests),
    field(2136, 8, "check", Hex),
];

pub(crate) const LIVE: Layout = &[
    field(0, 8, "magic", Magic),
    field(8, 16, "log id", Id),
    field(24, 8, "boot id", Hex),
    field(32, 8, "session", Hex),
    field(40, 8, "device", Number),
    field(48, 8, "inode", Number),
    field(56, 8, "identity check", Hex),
    field(64, 8, "generation", Number),
    field(72, 8, "epoch", Number),
    field(128, 8, "published position", Number),
    field(136, 8, "check of the published position", Hex),
    field(192, 8, "durable position", Number),
    field(200, 8, "check of the durable position", Hex),
    field(256, 8, "state", Code(LIVE_STATES)),
];

pub(crate) const IDX_HEADER: Layout = &[
    field(0, 8, "magic", Magic),
    field(8, 2, "format version", Number),
    field(10, 2, "oldest reader version", Number),
    field(12, 4, "incompatible feature bits", Bits(NO_BITS)),
    field(16, 4, "compatible feature bits", Bits(NO_BITS)),
    field(20, 4, "flags", Bits(IDX_FLAGS)),
    field(24, 16, "log id", Id),
    field(40, 8, "base position", Number),
    field(48, 8, "salt", Hex),
    field(56, 8, "covered", Number),
    field(64, 8, "header check of the last frame", Hex),
    field(72, 8, "length of this file", Number),
    field(80, 4, "rows", Number),
    field(84, 4, "zero", Zero),
    field(88, 8, "least recorded_at", Time),
    field(96, 8, "greatest recorded_at", Time),
    field(104, 8, "least occurred_at", Time),
    field(112, 8, "greatest occurred_at", Time),
    field(120, 8, "filter: seed", Hex),
    field(128, 4, "filter: segment length", Number),
    field(132, 4, "filter: segment count", Number),
    field(136, 24, "section frames", Section),
    field(160, 24, "section indices", Section),
    field(184, 24, "section zones", Section),
    field(208, 24, "section terms", Section),
    field(232, 24, "section postings", Section),
    field(256, 24, "section types", Section),
    field(280, 24, "section filter", Section),
    field(304, 8, "check", Hex),
];

pub(crate) const TIER_HEADER: Layout = &[
    field(0, 8, "magic", Magic),
    field(8, 2, "format version", Number),
    field(10, 2, "oldest reader version", Number),
    field(12, 4, "incompatible feature bits", Bits(NO_BITS)),
    field(16, 4, "compatible feature bits", Bits(NO_BITS)),
    field(20, 4, "flags", Bits(TIER_FLAGS)),
    field(24, 16, "log id", Id),
    field(40, 8, "first position", Number),
    field(48, 8, "last position", Number),
    field(56, 32, "root", Digests),
    field(88, 8, "length of this file", Number),
    field(96, 8, "entries", Number),
    field(104, 8, "widths", Hex),
    field(112, 4, "segments", Number),
    field(116, 4, "templates", Number),
    field(120, 4, "bytes of the templates", Number),
    field(124, 4, "radix", Number),
    field(128, 8, "check", Hex),
];

pub(crate) const WORKER_HEADER: Layout = &[
    field(0, 8, "magic", Magic),
    field(8, 2, "format version", Number),
    field(10, 2, "oldest reader version", Number),
    field(12, 4, "incompatible feature bits", Bits(NO_BITS)),
    field(16, 16, "log id", Id),
    field(32, 8, "salt", Hex),
    field(40, 8, "made at", Time),
    field(48, 8, "reach", Number),
    field(56, 2, "length of the name", Number),
    field(58, 6, "zero", Zero),
    field(64, 64, "name of the worker", Padded),
    field(128, 376, "zero", Zero),
    field(504, 8, "check", Hex),
];

pub(crate) const SEALED_HEADER: Layout = &[
    field(0, 8, "magic", Magic),
    field(8, 2, "format version", Number),
    field(10, 2, "oldest reader version", Number),
    field(12, 4, "incompatible feature bits", Bits(NO_BITS)),
    field(16, 4, "compatible feature bits", Bits(NO_BITS)),
    field(20, 4, "rows of a block", Number),
    field(24, 16, "log id", Id),
    field(40, 8, "base position", Number),
    field(48, 8, "sealed at", Time),
    field(56, 4, "era of the clock", Number),
    field(60, 60, "zero", Zero),
    field(120, 8, "check", Hex),
];

pub(crate) const SEALED_TAIL: Layout = &[
    field(0, 8, "magic", Magic),
    field(8, 8, "offset of the footer", Number),
    field(16, 4, "length of the footer", Number),
    field(20, 4, "CRC-32 of the footer", Hex),
    field(24, 8, "length of the file", Number),
    field(32, 16, "log id", Id),
    field(48, 8, "base position", Number),
    field(56, 8, "check", Hex),
];

pub(crate) const SEALED_FOOTER: Layout = &[
    field(0, 8, "magic", Magic),
    field(8, 8, "number of events", Number),
    field(16, 8, "least recorded_at", Time),
    field(24, 8, "greatest recorded_at", Time),
    field(32, 8, "least occurred_at", Time),
    field(40, 8, "greatest occurred_at", Time),
    field(48, 8, "bytes of the frames", Number),
    field(56, 8, "bytes of all data", Number),
    field(64, 8, "highest group seq", Number),
    field(72, 4, "number of blocks", Number),
    field(76, 1, "durability", Code(MODES)),
    field(77, 1, "flags", Bits(FOOTER_FLAGS)),
    field(78, 2, "number of epoch runs", Number),
    field(80, 2, "number of sections", Number),
    field(82, 6, "zero", Zero),
];

pub(crate) const TERM_DIRECTORY: Layout = &[
    field(0, 4, "rows of the segment", Number),
    field(4, 4, "pages", Number),
    field(8, 8, "entries", Number),
    field(16, 1, "bits of a truncated hash", Number),
    field(17, 1, "bytes of an entry for a term of one row", Number),
    field(18, 2, "zero", Zero),
];

pub(crate) const TERM_FILTER: Layout = &[
    field(0, 8, "seed", Hex),
    field(8, 4, "segment length", Number),
    field(12, 4, "segment count times segment length", Number),
];
