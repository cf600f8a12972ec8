//! Stand-ins of what the lead writes at the same time; dropped on merging.
#![allow(missing_docs, unused, clippy::all, missing_debug_implementations)]
use crate::*;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

impl Store {
    pub fn import(&self, e: impl IntoIterator<Item = ImportEvent>, mut o: ImportOptions) -> Result<ImportReport> {
        let mut rep = ImportReport::default();
        let mut batch = Vec::new();
        let mut it = e.into_iter();
        loop {
            let next = it.next();
            let end = next.is_none();
            if let Some(x) = next {
                rep.read += 1;
                batch.push(NewEvent::from(x));
            }
            if batch.len() == o.batch || (end && !batch.is_empty()) {
                let n = batch.len() as u64;
                self.append(std::mem::take(&mut batch))?;
                rep.appended += n;
                rep.tail = self.reader().tail();
                if let Some(f) = &mut o.each {
                    if f(&rep).is_break() {
                        rep.interrupted = true;
                        break;
                    }
                }
            }
            if end {
                break;
            }
        }
        rep.tail = self.reader().tail();
        Ok(rep)
    }
}
pub struct ImportOptions<'a> {
    batch: usize,
    each: Option<Box<dyn FnMut(&ImportReport) -> ControlFlow<()> + 'a>>,
}
impl<'a> ImportOptions<'a> {
    pub fn new() -> Self {
        Self { batch: 1000, each: None }
    }
    pub fn batch(mut self, n: usize) -> Self {
        self.batch = n;
        self
    }
    pub fn keep_recorded(self, y: bool) -> Self {
        self
    }
    pub fn on_reject(self, f: impl FnMut(&ImportEvent, &Error) -> ControlFlow<()> + 'a) -> Self {
        self
    }
    pub fn on_group(mut self, f: impl FnMut(&ImportReport) -> ControlFlow<()> + 'a) -> Self {
        self.each = Some(Box::new(f));
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
    Err(Error::not_found("stub"))
}
#[derive(serde::Serialize)]
pub struct Inspection;
impl std::fmt::Display for Inspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}
