//! The store in numbers, for machines that collect them: the text exposition format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write as _};

use crate::report::{Form, SegmentInfo, Stats};
use crate::store::Store;

impl Store {
    /// The numbers of [`Store::stats`] and [`Store::segments`] in the text exposition format of Prometheus, version
    /// 0.0.4 (`text/plain; version=0.0.4`). Every name begins with `annals_` and ends with its unit, where it has one.
    /// Counters are those of this handle since it was opened.
    #[must_use]
    pub fn metrics(&self) -> String {
        write(&self.stats(), &self.segments(), self.damage().len())
    }
}

fn write(stats: &Stats, segments: &[SegmentInfo], damaged_places: usize) -> String {
    let mut out = Exposition::default();
    let log = stats.log.to_string();
    out.gauge("info", "The log's identity and the version of the program; always 1.");
    out.sample("info", &[("log", log.as_str()), ("version", env!("CARGO_PKG_VERSION"))], 1);
    for (name, help, value) in [
        ("events", "Events in the log, which is the newest position too.", stats.tail.get()),
        ("durable_events", "Events that survive power loss.", stats.durable.get()),
        ("epoch", "Tenure of the writer.", stats.epoch),
        ("log_bytes", "Bytes of all segments, as they are stored.", stats.log_bytes),
        ("files_bytes", "Bytes of all files of the store.", stats.file_bytes),
        ("index_memory_bytes", "Bytes that indexes take in this process.", stats.index_memory_bytes),
        ("index_memory_events", "Events that are indexed in memory.", stats.index_memory_events),
        ("snapshots", "Stored states.", stats.snapshots),
        ("snapshots_bytes", "Bytes of the files of stored states.", stats.snapshot_bytes),
        ("poisoned", "1 if a failed sync has stopped the writer.", u64::from(stats.poisoned.is_some())),
        ("sealing_failed", "1 if sealing failed when it was tried last.", u64::from(stats.sealing_failed.is_some())),
        ("damaged_places", "Damaged places that opening found.", damaged_places as u64),
    ] {
        out.gauge(name, help);
        out.sample(name, &[], value);
    }
    if let Some((_, last)) = stats.recorded {
        out.gauge("last_recorded_timestamp_seconds", "When the newest event was recorded, in seconds since 1970.");
        out.sample("last_recorded_timestamp_seconds", &[], last.as_nanos() as f64 / 1e9);
    }
    out.segments(segments);
    for (name, help, value) in [
        ("appends_total", "Appends that were committed.", stats.appends),
        ("groups_total", "Groups that carried them, each written and synced once.", stats.groups),
        ("snapshots_written_total", "States that were stored.", stats.snapshots_written),
        ("snapshots_ignored_total", "Stored states that did not fit and were not used.", stats.snapshots_ignored),
    ] {
        out.head(name, help, "counter");
        out.sample(name, &[], value);
    }
    out.gauge("slowest_append_seconds", "The slowest append.");
    out.sample("slowest_append_seconds", &[], stats.slowest_append.as_secs_f64());
    out.text
}

#[derive(Default)]
struct Exposition {
    text: String,
}

impl Exposition {
    fn gauge(&mut self, name: &str, help: &str) {
        self.head(name, help, "gauge");
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a string has no way to fail.
        let _ = writeln!(self.text, "# HELP annals_{name} {help}\n# TYPE annals_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<_> = labels.iter().map(|(name, text)| format!("{name}=\"{}\"", escaped(text))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "annals_{name}{labels} {value}");
    }

    fn segments(&mut self, segments: &[SegmentInfo]) {
        type Pick = fn(&SegmentInfo) -> u64;
        let rows: [(&str, &str, Pick); 4] = [
            ("segments", "Segments of the log by form; those that are rolled wait for sealing.", |_| 1),
            ("segments_stored_bytes", "Bytes that hold the events of these segments.", |segment| segment.used_bytes),
            ("segments_raw_bytes", "Bytes of the frames that these segments are or were.", |segment| segment.raw_bytes),
            ("segments_index_bytes", "Bytes of the indexes of these segments.", |segment| segment.index_bytes),
        ];
        for (name, help, pick) in rows {
            self.gauge(name, help);
            for form in [Form::Active, Form::Rolled, Form::Sealed, Form::Archived] {
                let of_form = segments.iter().filter(|segment| segment.form == form);
                self.sample(name, &[("form", &form.to_string())], of_form.map(pick).sum::<u64>());
            }
        }
    }
}
