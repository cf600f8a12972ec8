//! What is done in a life, and in which order.

use std::io::IoSlice;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use annals::sim::{Mode as Open, Storage};
use annals::{Append, AppendError, ErrorKind, Expected, NewEvent, Query, RepairOptions, Store, Timestamp};

use super::told::Fact;
use super::worker::{self, JOB};
use super::{ANCHOR_BYTES, ARCHIVE, BACKUP, LONG, Life, Trouble, beside, load, options, project, read_and_fold};
use crate::simulated::{Dice, root};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Append,
    AppendLarge,
    AppendKeyed,
    AppendExpecting,
    AppendRefused,
    Request,
    Answer,
    Undo,
    Rule,
    TimePasses,
    Settle,
    Load,
    Project,
    Work,
    Retry,
    Skip,
    Seal,
    Archive,
    BringBack,
    Backup,
    Restore,
    Repair,
    Verify,
    Reopen,
}

/// What is done seldom, and what is done all the time, with how often of sixteen.
const RARE: [Deed; 12] = [
    Deed::Work,
    Deed::Project,
    Deed::Seal,
    Deed::Backup,
    Deed::Skip,
    Deed::Work,
    Deed::Reopen,
    Deed::Archive,
    Deed::Retry,
    Deed::Verify,
    Deed::Restore,
    Deed::Repair,
];
const OFTEN: [Deed; 16] = [
    Deed::Append,
    Deed::Append,
    Deed::Append,
    Deed::AppendLarge,
    Deed::AppendKeyed,
    Deed::AppendExpecting,
    Deed::AppendRefused,
    Deed::Request,
    Deed::Request,
    Deed::Request,
    Deed::Answer,
    Deed::Answer,
    Deed::Settle,
    Deed::Load,
    Deed::Undo,
    Deed::Rule,
];

/// So many deeds: every rare one in turn among those that are drawn, and all is brought back once.
pub(crate) fn script(deeds: usize, dice: &mut Dice) -> Vec<Deed> {
    let every = (deeds / (RARE.len() * 2 + 2)).max(3);
    let mut rare = RARE.into_iter().cycle();
    let mut script: Vec<Deed> = (1..=deeds)
        .map(|number| match number % every {
            0 => rare.next().unwrap_or(Deed::Append),
            1 if number / every % 3 == 2 => Deed::TimePasses,
            _ => OFTEN[dice.below(OFTEN.len() as u64) as usize],
        })
        .collect();
    let last = [Deed::BringBack, Deed::Reopen, Deed::Append];
    script.truncate(deeds.saturating_sub(last.len()));
    script.extend(last);
    script
}

impl Life {
    pub(super) fn deed(&mut self, deed: Deed) -> Result<(), Trouble> {
        self.clock.advance(1_000_003);
        if self.opened.is_none() {
            self.open(self.sum().spoilt)?;
        }
        match deed {
            Deed::Append => {
                let events = self.events(5, 400);
                self.append(Append::new(events))
            }
            Deed::AppendLarge => {
                let events = self.events(1, 6_000);
                self.append(Append::new(events))
            }
            Deed::AppendKeyed => {
                let (events, key) = (self.events(3, 200), format!("key-{}", self.number));
                self.append(Append::new(events.clone()).key(&key))?;
                let again = self.store()?.append_with(Append::new(events).key(&key))?;
                if again.duplicate { Ok(()) } else { Err("a key was taken twice".into()) }
            }
            Deed::AppendExpecting => {
                let (subject, after) = (self.subject(), self.tail());
                let version = self.store()?.reader().version(&subject)?;
                let expected = if version == 0 { Expected::NoSubject } else { Expected::Exactly(version) };
                let event = NewEvent::bytes("note.edited", &subject, "text/plain", format!("behind {version}"));
                let nothing_since = Query::all().subject(&subject);
                self.append(Append::new([event]).expect(subject, expected).unless(nothing_since, after))
            }
            Deed::AppendRefused => {
                let subject = self.subject();
                let event = NewEvent::bytes("note.edited", &subject, "text/plain", "never");
                match self.store()?.append_with(Append::new([event]).expect(subject, Expected::Exactly(1 << 40))) {
                    Err(AppendError::Conflict { .. }) => Ok(()),
                    Err(error) => Err(error.into()),
                    Ok(_) => Err("an append was accepted whose condition fails".into()),
                }
            }
            Deed::Request | Deed::Answer | Deed::Undo | Deed::Rule | Deed::Settle => self.flow_deed(deed),
            Deed::TimePasses => {
                self.clock.advance(2 * 3_600_000_000_000);
                Ok(())
            }
            Deed::Load => load(self.store()?, &self.subject_of(0)),
            Deed::Project => {
                let shown = project(self.store()?, &self.tally)?;
                self.told.now(Fact::Acked(shown));
                Ok(())
            }
            Deed::Work => self.work(),
            Deed::Retry | Deed::Skip => {
                let store = self.store()?.clone();
                worker::decide(&store, &self.disk, &self.told, &mut self.pardoned, deed == Deed::Retry)
            }
            Deed::Seal => Ok(self.store()?.seal().map(drop)?),
            Deed::Archive => Ok(self.store()?.archive(Timestamp::from_nanos(i64::MAX), ARCHIVE).map(drop)?),
            Deed::BringBack => Ok(self.store()?.unarchive(ARCHIVE).map(drop)?),
            Deed::Backup => {
                let target = beside(&self.disk, BACKUP)?;
                let done = self.store()?.backup_on(&target, Path::new(BACKUP), |_| ControlFlow::Continue(()))?;
                if done.position.get() != self.tail() {
                    return Err(Trouble::Wrong(format!("a backup holds {} of {}", done.position, self.tail())));
                }
                self.told.now(Fact::BackedUp(done.position.get()));
                Ok(())
            }
            Deed::Restore => self.restore(),
            Deed::Repair => self.repair(),
            Deed::Verify => {
                let verified = self.store()?.verify(|_| ControlFlow::Continue(()))?;
                if verified.is_good() { Ok(()) } else { Err(Trouble::Wrong(format!("{:?}", verified.damage))) }
            }
            Deed::Reopen => {
                self.close()?;
                self.open(false)?;
                let is_clean = self.store()?.recovery().clean;
                if is_clean { Ok(()) } else { Err("a store that was closed is not clean".into()) }
            }
        }
    }

    /// Runs the worker until there is nothing for it to do.
    fn work(&mut self) -> Result<(), Trouble> {
        let steps = self.sum().steps;
        let begun = Arc::default();
        let handle = worker::start(self.store()?, &self.told, &begun, Some(self.pardoned.clone()))?;
        let ended = match worker::rest(&handle)? {
            true => Ok(()),
            false => handle.wait_for(u64::MAX, LONG).map(drop),
        };
        drop(handle);
        if let Some(position) = begun.lock().unwrap().iter().find(|position| steps.contains(position)) {
            return Err(Trouble::Wrong(format!("the step of {position} was acknowledged and is done again")));
        }
        Ok(ended?)
    }

    fn flow_deed(&mut self, deed: Deed) -> Result<(), Trouble> {
        let flow = self.opened.as_ref().ok_or("it is closed")?.flow.clone();
        match deed {
            Deed::Request => self.desk.request(&flow, &self.told, &mut self.dice),
            Deed::Answer => self.desk.answer(&flow, &self.told, &mut self.dice),
            Deed::Undo => self.desk.undo(&flow, &self.told),
            Deed::Rule => self.desk.rule(&flow, &mut self.dice),
            _ => Ok(flow.settle()?),
        }
    }

    fn subject_of(&self, number: u64) -> String {
        format!("note/n-{}", (self.number + number) % 5)
    }

    fn subject(&mut self) -> String {
        let number = self.dice.below(5);
        self.subject_of(number)
    }

    /// Up to so many events, each of up to so many bytes; some are jobs.
    fn events(&mut self, events_max: u64, bytes_max: u64) -> Vec<NewEvent> {
        (0..1 + self.dice.below(events_max))
            .map(|_| {
                self.number += 1;
                let data: Vec<u8> = (0..self.dice.below(bytes_max)).map(|_| self.dice.roll() as u8).collect();
                match self.dice.below(3) {
                    0 => NewEvent::bytes(JOB, format!("job/{}", self.number), "text/plain", data),
                    _ => NewEvent::bytes("note.edited", self.subject(), "text/plain", data).tag("t"),
                }
            })
            .collect()
    }

    fn append(&mut self, append: Append) -> Result<(), Trouble> {
        let (first, events) = (self.tail() + 1, append.events().len() as u64);
        let done = self.store()?.append_with(append)?;
        if (done.first.get(), done.last.get()) != (first, first + events - 1) || done.duplicate {
            return Err(Trouble::Wrong(format!("positions from {first} were due, and this was done: {done:?}")));
        }
        self.told.now(Fact::Acked(done.last.get()));
        Ok(())
    }

    pub(crate) fn close(&mut self) -> Result<(), Trouble> {
        match self.opened.take() {
            Some(opened) => Ok(opened.store.close()?),
            None => Ok(()),
        }
    }

    /// Makes a store of the backup, and reads it.
    fn restore(&mut self) -> Result<(), Trouble> {
        let Some(backed_up) = self.sum().backed_up else { return Ok(()) };
        self.number += 1;
        let path = format!("/restored-{}", self.number);
        let (from, to) = (beside(&self.disk, BACKUP)?, beside(&self.disk, &path)?);
        let paths = (Path::new(BACKUP), Path::new(&path));
        let done = Store::restore_on((&from, paths.0), (&to, paths.1), |_| ControlFlow::Continue(()))?;
        let restored = options(&self.clock).read_only(true).open_on(to, paths.1)?;
        let (events, _) = read_and_fold(&restored)?;
        if done.position.get() != backed_up || self.known.get(..backed_up as usize) != Some(&events[..]) {
            return Err(Trouble::Wrong(format!("{} events were restored of {backed_up}", events.len())));
        }
        Ok(())
    }

    /// A whole store is left as it is; one whose ANCHOR was overwritten is not opened until it was repaired.
    fn repair(&mut self) -> Result<(), Trouble> {
        self.close()?;
        let storage: Arc<dyn Storage> = self.disk.clone();
        let repair = |accept| Store::repair_on(&storage, root(), &RepairOptions::new().accept_loss(accept));
        if repair(true)?.done {
            return Err("a store without damage was repaired".into());
        }
        self.told.now(Fact::Spoilt(true));
        let anchor = self.disk.open(Path::new("ANCHOR"), Open::Write).map_err(Trouble::Own)?;
        anchor.write_all_at(&mut [IoSlice::new(&[0xa5; ANCHOR_BYTES])], 0).map_err(Trouble::Own)?;
        anchor.sync_data().map_err(Trouble::Own)?;
        match options(&self.clock).open_on(self.disk.clone(), root()).map(drop) {
            Err(error) if error.kind() == ErrorKind::Corruption => {}
            Err(error) => return Err(error.into()),
            Ok(()) => return Err("a store without its identity was opened".into()),
        }
        if !repair(true)?.done {
            return Err("a store without its identity was not repaired".into());
        }
        self.told.now(Fact::Spoilt(false));
        self.open(false)
    }
}
