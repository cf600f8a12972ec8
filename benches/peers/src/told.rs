//! What the page says in words: what each kind of work is, and why annals is not first.

/// What each kind of work is, in a sentence or two below its heading.
pub(crate) const TOLD: &[(&str, &str, &str)] = &[
    (
        "append",
        "Appending, nothing forced",
        "One thread, a new store. What a peer promises here is in its row under *Peers*. The clock runs from the common form \
         of an event to the acknowledgement, so each peer's own encoding is in it.",
    ),
    (
        "durable",
        "Appending durably",
        "Acknowledged means: survives a loss of power. *1,000 in flight*: one thread hands in single events and waits for \
         the one a thousand before, with peers that can be given the next before the last is durable.",
    ),
    (
        "fanout",
        "Fan-out",
        "Eight subscribers, each a thread with the peer's own subscription. At full speed a thread appends batches of 100; at \
         a pace it appends one event a millisecond, and the time runs from before the append to each delivery.",
    ),
    (
        "fill",
        "Filling a store, and what that costs",
        "One thread, batches as named, nothing forced where that is possible. Memory is what is the process's own, not \
         pages of files. Bytes written are those that the system counts for the process, against the bytes of strings, time and data. Bytes \
         on disk are blocks of the closed store, so what is reserved counts.",
    ),
    (
        "read",
        "Reading",
        "The filled store, opened again, after all of its files were read, so that everything is in the page cache. Half of the \
         queries warm up. The number of events found is checked. Peers check what their row under *Peers* says, and no more.",
    ),
    (
        "open",
        "Opening",
        "The filled store, closed in order, all of its files in the page cache, opened by a new process, up to the first \
         answer about one subject (a log without an index is only opened).",
    ),
    (
        "safety",
        "Safety",
        "*Flip*: a copy of the filled store; one bit of an event's data is changed wherever it stands, the store is opened and \
         read from end to end. *Refused*: does not open. *Detected*: opens, and reading says what is wrong. *SILENT*: changed \
         data is given as if it were right. *LOST*: fewer events, and no error. Where data is packed, the old event is the \
         middle of the largest file. *Kill*: a process that appends one event after the other is killed; lost is what it had \
         acknowledged.",
    ),
    (
        "condition",
        "Conditional appends",
        "One event each on the filled store, nothing forced where that is possible. For a key-value store, the version of a \
         subject is the position of its newest event, held under the lock that orders appends; for peers that know only \
         queries, a version is \"no event of the subject since\".",
    ),
    ("size", "Real logs on disk", "Appended in batches of 100 to an empty store, which is then closed."),
];

/// Why annals is not first, by a part of the row's line in the table. Told only where there is such a row. What is said of
/// where time goes comes from profiles of a filling and from docs/benchmarks.md.
pub(crate) const REASONS: &[(&str, &str)] = &[
    (
        "append:",
        "**Unforced appends**: commitlog and raft-engine keep no index of what is in an event. annals checks each text against \
         its limits, hashes five terms of each event, numbers it within its subject and indexes it before the append returns; \
         beside that a thread builds index files and hashes leaves for proofs, 38 % of the processor time of a filling.",
    ),
    ("durable: 1 thread, batch 1:", "**Durable, one event, one thread**: who is first changes from run to run."),
    ("durable: 8 threads, batch 1:", "**Durable, one event, eight threads**: who is first changes from run to run."),
    (
        "durable: 1 thread, batch 100",
        "**Durable batches**: okaywal has 64 MiB laid out ahead; raft-engine packs what is above 8 KB, and the \
         data is mostly one letter. annals lays zeros out ahead beside the appends, so the disk writes twice the bytes.",
    ),
    ("durable: 8 threads, batch 100", "**Durable batches of eight threads**: as with one thread."),
    (
        "durable: 1,000 in flight",
        "**In flight**: each ticket of annals is an append of its own, with its own checks, hashes and frame.",
    ),
    (
        "fanout:",
        "**Fan-out**: nine threads on two cores. What the bare loop's subscribers take at a pace is the system waking eight \
         threads.",
    ),
    (
        "p99.9",
        "**The slowest unforced appends**: where a segment ends, the appender waits for the thread that builds index files if \
         that is behind.",
    ),
    (
        "fill: processor time",
        "**Processor time**: index files, and SHA-256 of each event for the proofs, which is a quarter of it.",
    ),
    (
        "fill: memory",
        "**Memory while appending**: the index of the newest segment, and the one before until it is written, are held in \
         memory.",
    ),
    (
        "fill: bytes",
        "**Bytes written and on disk, raw**: an event is written as it is, with its index beside it; others pack at once, or \
         keep no index. Sealed segments are the small form, and are in their own row.",
    ),
    ("read: replay", "**Replay**: who is faster checks less on reading."),
    (
        "read: one subject",
        "**One subject**: its events lie all over the log, and each is found, read and checked by itself.",
    ),
    (
        "open:",
        "**Opening**: who is faster opens one file, or looks nothing up; annals opens the files of each segment.",
    ),
    ("condition: no condition", "**Without a condition**: as with unforced appends of single events."),
    (
        ", refused |",
        "**Refused conditions**: a key-value store asks one map under the lock that it has anyway; annals asks the index of \
         the newest segment and then those of the older ones, newest first.",
    ),
    ("size:", "**Real logs, raw**: as with bytes on disk; sealed, they have a row of their own."),
];
