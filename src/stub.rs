//! Stand-ins of what the lead writes at the same time; dropped on merging.
#![allow(missing_docs, unused, clippy::all, missing_debug_implementations)]
use crate::*;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub struct Reader;
pub struct Events;
impl Iterator for Events {
    type Item = Result<Event>;
    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}
pub struct Plan;
impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}
pub enum AsOf {
    Time(Timestamp),
    Position(Position),
    Occurred(Timestamp),
}
pub enum StartAt {
    Start,
    After(Position),
    Now,
}
impl Reader {
    pub fn tail(&self) -> Position {
        todo!()
    }
    pub fn durable(&self) -> Position {
        todo!()
    }
    pub fn version(&self, s: &str) -> Result<u64> {
        todo!()
    }
    pub fn event(&self, p: Position) -> Result<Option<Event>> {
        todo!()
    }
    pub fn event_by_id(&self, s: &str) -> Result<Option<Event>> {
        todo!()
    }
    pub fn events_by_id(&self, s: &str) -> Result<Vec<Event>> {
        todo!()
    }
    pub fn read(&self, q: &Query) -> Events {
        todo!()
    }
    pub fn history(&self, s: &str) -> Events {
        todo!()
    }
    pub fn scan(&self, q: &Query, f: impl FnMut(EventRef<'_>) -> ControlFlow<()>) -> Result<Position> {
        todo!()
    }
    pub fn scan_good(
        &self,
        q: &Query,
        f: impl FnMut(EventRef<'_>) -> ControlFlow<()>,
        g: impl FnMut(&Corruption),
    ) -> Result<Position> {
        todo!()
    }
    pub fn count(&self, q: &Query) -> Result<u64> {
        todo!()
    }
    pub fn plan(&self, q: &Query) -> Plan {
        todo!()
    }
    pub fn as_of(&self, a: AsOf) -> Reader {
        todo!()
    }
}
pub struct Subscription;
pub struct Batch<'a>(&'a ());
impl Subscription {
    pub fn next_timeout(&mut self, d: Duration) -> Result<Option<Batch<'_>>> {
        todo!()
    }
    pub fn caught_up(&self) -> bool {
        todo!()
    }
    pub fn position(&self) -> Position {
        todo!()
    }
}
impl<'a> Batch<'a> {
    pub fn iter(&self) -> std::vec::IntoIter<EventRef<'a>> {
        todo!()
    }
    pub fn through(&self) -> Position {
        todo!()
    }
    pub fn len(&self) -> usize {
        todo!()
    }
}
pub struct Ticket;
impl Ticket {
    pub fn wait(self) -> std::result::Result<Appended, AppendError> {
        todo!()
    }
}
impl Store {
    pub fn open(p: impl AsRef<Path>) -> Result<Store> {
        Options::default().open(p)
    }
    pub fn options() -> Options {
        Options::default()
    }
    pub fn append(&self, e: impl IntoIterator<Item = NewEvent>) -> std::result::Result<Appended, AppendError> {
        todo!()
    }
    pub fn append_with(&self, e: Append) -> std::result::Result<Appended, AppendError> {
        todo!()
    }
    pub fn submit(&self, e: Append) -> Ticket {
        todo!()
    }
    pub fn reader(&self) -> Reader {
        todo!()
    }
    pub fn subscribe(&self, q: Query, s: StartAt) -> Subscription {
        todo!()
    }
    pub fn recovery(&self) -> &Recovery {
        todo!()
    }
    pub fn segments(&self) -> Vec<SegmentInfo> {
        todo!()
    }
    pub fn stats(&self) -> Stats {
        todo!()
    }
    pub fn path(&self) -> &Path {
        todo!()
    }
    pub fn verify(&self, progress: impl FnMut(Progress) -> ControlFlow<()>) -> Result<Verification> {
        todo!()
    }
    pub fn sync(&self) -> Result<()> {
        todo!()
    }
    pub fn close(&self) -> Result<()> {
        todo!()
    }
    pub fn repair(p: impl AsRef<Path>, o: RepairOptions) -> Result<Repair> {
        todo!()
    }
    pub fn damage(&self) -> Vec<Corruption> {
        todo!()
    }
    pub fn import(&self, e: impl IntoIterator<Item = ImportEvent>, o: ImportOptions) -> Result<ImportReport> {
        todo!()
    }
}
pub struct ImportEvent;
impl ImportEvent {
    pub fn from_json(b: &[u8]) -> Result<ImportEvent> {
        todo!()
    }
}
pub struct ImportOptions<'a>(std::marker::PhantomData<&'a ()>);
impl<'a> ImportOptions<'a> {
    pub fn new() -> Self {
        todo!()
    }
    pub fn batch(self, n: usize) -> Self {
        self
    }
    pub fn keep_recorded(self, y: bool) -> Self {
        self
    }
    pub fn on_group(self, f: impl FnMut(&ImportReport) -> ControlFlow<()> + 'a) -> Self {
        self
    }
}
#[derive(Debug, Clone, Default)]
pub struct ImportReport {
    pub read: u64,
    pub appended: u64,
    pub skipped: u64,
    pub outside_causes: u64,
    pub large: u64,
    pub tail: Position,
    pub without_force: u64,
    pub interrupted: bool,
}
pub fn inspect(p: impl AsRef<Path>) -> Result<Inspection> {
    todo!()
}
#[derive(serde::Serialize)]
pub struct Inspection;
impl std::fmt::Display for Inspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}
pub mod json {
    pub fn write_event(e: &crate::EventRef<'_>, out: &mut Vec<u8>) {
        todo!()
    }
}
