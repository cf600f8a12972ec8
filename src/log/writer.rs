//! The one writer: places a group's frames, writes them with one call, syncs once, publishes once.
//!
//! Invariants: `offset` and `next` are where the committed log ends; they move only after the
//! group's bytes are as safe as the mode promises. What members of the group would add is known
//! only to the overlay until then, so a group that fails has nothing else to undo.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::{Core, NotWritten};
use super::overlay::Overlay;
use super::prepare::Prepared;
use super::recover::act::{NotBegun, begin_segment};
use super::room::Room;
use super::timekeeper::{Now, Timekeeper};
use crate::append::{Appended, Link};
use crate::error::{AppendError, Error, ErrorKind, Result, is_full};
use crate::format::draft::Place;
use crate::format::frame::{FIRST_OFFSET, FrameHeader};
use crate::format::header::{Mode, SegmentHeader};
use crate::format::idx::Zone;
use crate::format::slot::{Slot, State};
use crate::format::term::Dimension;
use crate::io::File;
use crate::limits;
use crate::position::Position;
use crate::segment::mem_index::{MemIndex, RowPlace};
use crate::segment::raw::RawSegment;
use crate::time::Timestamp;

/// Buffers per system call; Linux takes 1,024.
const SLICES_MAX: usize = 1024;

/// An append in a group.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) prepared: Prepared,
    pub(crate) outcome: Option<Result<Appended, AppendError>>,
    /// Where it was placed, as long as its group is under way.
    pub(crate) placed: Option<(FrameHeader, u64)>,
    /// Its outcome stands on this member of the same group: if that one fails, so does this.
    pub(crate) leans_on_group: bool,
    /// It is a repetition of this member of the same group.
    pub(crate) twin_of: Option<usize>,
}

impl Member {
    pub(crate) fn new(prepared: Prepared) -> Member {
        Member { prepared, outcome: None, placed: None, leans_on_group: false, twin_of: None }
    }

    pub(crate) fn is_staged(&self) -> bool {
        self.placed.is_some() && self.outcome.is_none()
    }

    /// Settles it as not done, and with it all that stand behind it in its chain.
    fn refuse(&mut self, error: AppendError) {
        self.placed = None;
        self.outcome = Some(Err(error));
        if let Some(link) = &self.prepared.link {
            link.chain.tear();
        }
    }
}

/// Where the frames of the group under way end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stage {
    pub(crate) offset: u64,
    pub(crate) next: Position,
}

#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) active: Arc<RawSegment>,
    pub(crate) room: Arc<Room>,
    pub(crate) offset: u64,
    pub(crate) next: Position,
    pub(crate) group_seq: u64,
    pub(crate) last_check: u64,
    pub(crate) slot_seq: u64,
    /// The offset that the newest slot speaks of.
    pub(crate) slotted: u64,
    pub(crate) keeper: Timekeeper,
    pub(crate) overlay: Overlay,
    /// Full segments whose files are not synced yet, oldest first; `Written` only.
    pub(crate) unsynced: Vec<Unsynced>,
    /// ANCHOR does not name the active segment, for want of room.
    pub(crate) anchor_due: bool,
}

/// A full segment of a `Written` log. Its last slot says that all of it is durable, so it is
/// written only behind the sync that makes it so.
#[derive(Debug, Clone)]
pub(crate) struct Unsynced {
    pub(crate) file: Arc<dyn File>,
    pub(crate) slot: Slot,
    pub(crate) salt: u64,
}

enum Staged {
    Done,
    SegmentFull,
}

/// The subject of an event of the group: of `member`, which is its `index`th, or one before it.
fn subject_in_group<'g>(
    earlier: &'g [Box<Member>],
    member: &'g Member,
    index: u32,
    (of, event): (u32, u32),
) -> Option<&'g str> {
    let of = if of == index { member } else { earlier.get(of as usize)? };
    of.prepared.events.get(event as usize).map(|event| event.subject())
}

impl Writer {
    /// Commits a group: every member has an outcome when this returns.
    pub(crate) fn commit(&mut self, core: &Core, members: &mut [Box<Member>]) {
        self.group_seq += 1;
        self.overlay.clear();
        if self.anchor_due && !core.poison.is_set() {
            // If it fails, the writer is poisoned, and everybody learns that from there.
            let _ = self.anchor_newest(core);
        }
        let mut stage = Stage { offset: self.offset, next: self.next };
        let mut start = 0;
        for index in 0..members.len() {
            match self.stage(core, members, index, &mut stage) {
                Ok(Staged::Done) => {}
                Ok(Staged::SegmentFull) => {
                    self.flush(core, &mut members[start..index], &stage);
                    start = index;
                    // Whether that succeeded or not, and whether the next segment can be begun or
                    // not: what is staged from here on follows what is committed. What found no place
                    // behind a group that failed may fit now, as it does where the segment is empty.
                    let end = self.offset + members[index].prepared.draft.frame_bytes_max();
                    let is_full =
                        self.exceeds_segment(end, self.next, &members[index]) && self.next > self.active.base();
                    let rolled = if is_full { self.roll(core) } else { Ok(()) };
                    self.overlay.clear();
                    stage = Stage { offset: self.offset, next: self.next };
                    let again = rolled.and_then(|()| self.stage(core, members, index, &mut stage));
                    match again {
                        Ok(Staged::Done) => {}
                        // A batch is at most half a segment, so it fits an empty one.
                        Ok(Staged::SegmentFull) => members[index].refuse(too_long()),
                        Err(error) => members[index].refuse(error),
                    }
                }
                Err(error) => members[index].refuse(error),
            }
        }
        self.flush(core, &mut members[start..], &stage);
        core.counters.groups.fetch_add(1, Ordering::Relaxed);
        resolve_twins(members);
    }

    /// Checks one member against the log and the group so far, and gives it its place.
    fn stage(
        &mut self,
        core: &Core,
        members: &mut [Box<Member>],
        index: usize,
        stage: &mut Stage,
    ) -> Result<Staged, AppendError> {
        if core.poison.is_set() {
            return Err(core.poisoned(false));
        }
        if let Some(link) = &members[index].prepared.link {
            check_link(link, stage.next)?;
        }
        if self.settle_by_key(core, members, index)? {
            return Ok(Staged::Done);
        }
        let (earlier, rest) = members.split_at_mut(index);
        let Some(member) = rest.first_mut() else { return Ok(Staged::Done) };
        let now = self.time_of(core, &member.prepared)?;
        if let Some(before) = member.prepared.before.filter(|before| now.recorded_at >= *before) {
            return Err(AppendError::TooLate { before, now: now.recorded_at });
        }
        if !member.prepared.conditions.is_empty() {
            self.check_conditions(core, earlier, member)?;
        }
        let bytes_end = stage.offset + member.prepared.draft.frame_bytes_max();
        if self.exceeds_segment(bytes_end, stage.next, member) {
            return Ok(Staged::SegmentFull);
        }
        let versions = self.assign_versions(core, earlier, member, index as u32)?;
        let place = Place {
            first: stage.next,
            durable: core.log.durable(),
            recorded_at: now.recorded_at,
            wall: now.wall,
            clock_suspect: now.suspect,
            group_seq: self.group_seq,
            offset: stage.offset,
        };
        let header = member.prepared.draft.seal(&place, self.active.header.salt, &versions);
        member.placed = Some((header, stage.offset));
        stage.offset += header.frame_bytes();
        stage.next = header.next();
        Ok(Staged::Done)
    }

    fn time_of(&mut self, core: &Core, prepared: &Prepared) -> Result<Now, AppendError> {
        let Some((first, last)) =
            prepared.recorded_at.as_ref().and_then(|times| Some((*times.first()?, *times.last()?)))
        else {
            return Ok(self.keeper.now(&*core.clock));
        };
        let before = self.keeper.last();
        if !self.keeper.keep(first, last) {
            let text = format!("times would run backwards: {first} after {before}");
            return Err(AppendError::Invalid(Error::invalid(text)));
        }
        Ok(Now { recorded_at: last, wall: None, suspect: false })
    }

    /// The version of each event of a member: of the group, of the active segment's index, or of
    /// history, in that order.
    fn assign_versions(
        &mut self,
        core: &Core,
        earlier: &[Box<Member>],
        member: &Member,
        index: u32,
    ) -> Result<Vec<u64>, AppendError> {
        let events = &member.prepared.events;
        let mut versions = Vec::with_capacity(events.len());
        for (at, (event, terms)) in (0u32..).zip(events.iter().zip(&member.prepared.terms)) {
            let same = |at| subject_in_group(earlier, member, index, at) == Some(event.subject());
            // Locked for each event anew: looking further back may have to put a damaged index aside.
            let in_memory = || {
                let index = self.active.index.read();
                index.mem.as_ref().and_then(|mem| mem.subject_version(terms.subject, event.subject()))
            };
            let last = match self.overlay.version(terms.subject, same).or_else(in_memory) {
                Some(version) => Ok(version),
                None => core
                    .log
                    .last_of_subject_before(&self.active, event.subject(), terms.subject)
                    .map(|last| last.map_or(0, |(_, version)| version)),
            };
            match last {
                Ok(last) => {
                    self.overlay.set(terms.subject, last + 1, (index, at), same);
                    versions.push(last + 1);
                }
                Err(error) => {
                    self.take_back(earlier, member, index, &versions);
                    return Err(error.into());
                }
            }
        }
        Ok(versions)
    }

    /// Takes back the versions of a member's first events, newest first, so that those behind it in
    /// the group count on from where the subjects stood before.
    fn take_back(&mut self, earlier: &[Box<Member>], member: &Member, index: u32, versions: &[u64]) {
        let given = (0u32..).zip(member.prepared.events.iter().zip(&member.prepared.terms)).zip(versions);
        for ((at, (event, terms)), version) in given.collect::<Vec<_>>().into_iter().rev() {
            let same = |at| subject_in_group(earlier, member, index, at) == Some(event.subject());
            self.overlay.set(terms.subject, version - 1, (index, at), same);
        }
    }

    /// Writes what is staged, makes it as safe as the mode promises, and publishes it.
    fn flush(&mut self, core: &Core, members: &mut [Box<Member>], stage: &Stage) {
        if !members.iter().any(|member| member.is_staged()) {
            return;
        }
        match self.write(core, members, stage) {
            Ok(()) => self.publish(core, members, stage),
            Err(failure) => {
                for member in members.iter_mut().filter(|member| member.is_staged() || member.leans_on_group) {
                    member.refuse(failure.error(core));
                }
            }
        }
    }

    fn write(&mut self, core: &Core, members: &[Box<Member>], stage: &Stage) -> Result<(), Failure> {
        self.room.ensure(stage.offset).map_err(|error| Failure::Refused(Error::io("make room in the log", error)))?;
        let mut slices: Vec<IoSlice<'_>> = members
            .iter()
            .filter(|member| member.is_staged())
            .map(|member| IoSlice::new(member.prepared.draft.bytes()))
            .collect();
        let mut offset = self.offset;
        for part in slices.chunks_mut(SLICES_MAX) {
            let bytes: u64 = part.iter().map(|slice| slice.len() as u64).sum();
            if let Err(error) = self.room.file.write_all_at(part, offset) {
                return Err(self.undo_write(core, error, stage.offset));
            }
            offset += bytes;
        }
        if core.mode == Mode::Synced
            && !cfg!(annals_no_commit_sync)
            && let Err(error) = self.room.sync()
        {
            core.poison(format!("syncing {} failed: {error}", self.active.path.display()));
            return Err(Failure::Unknown);
        }
        Ok(())
    }

    /// A write that found no room leaves zeros where it wrote, durable ones: else a power cut could
    /// bring back what was refused, or parts of it among what is written there next. Any other
    /// failure stops the writer.
    fn undo_write(&self, core: &Core, error: io::Error, end: u64) -> Failure {
        let no_room = is_full(&error) || error.kind() == io::ErrorKind::WriteZero;
        let zeroed = no_room.then(|| zero(&*self.room.file, self.offset, end).and_then(|()| self.room.sync_beside()));
        match zeroed {
            Some(Ok(())) => Failure::Refused(Error::io("write to the log", error)),
            Some(Err(second)) => {
                core.poison(format!(
                    "writing {} failed ({error}), and so did taking it back ({second})",
                    self.active.path.display()
                ));
                Failure::Unknown
            }
            None => {
                core.poison(format!("writing {} failed: {error}", self.active.path.display()));
                Failure::Unknown
            }
        }
    }

    /// Folds the group into the index and makes it visible with one store.
    fn publish(&mut self, core: &Core, members: &mut [Box<Member>], stage: &Stage) {
        {
            let mut index = self.active.index.write();
            // Where nothing is in memory, the file's index covers what is there, or nobody does.
            let mem = index.mem.get_or_insert_with(|| MemIndex::new(self.active.rows()));
            for member in members.iter().filter(|member| member.is_staged()) {
                fold(mem, core, member);
            }
        }
        let bytes = stage.offset - self.offset;
        (self.offset, self.next) = (stage.offset, stage.next);
        for member in members.iter_mut() {
            if let (None, Some((header, _))) = (&member.outcome, member.placed) {
                self.last_check = header.check;
                let last = Position::new(header.next().get() - 1);
                let done = Appended { first: header.first, last, recorded_at: header.recorded_at, duplicate: false };
                member.outcome = Some(Ok(done));
            }
        }
        let tail = Position::new(self.next.get() - 1);
        self.active.publish(self.offset, self.next);
        if core.mode == Mode::Synced {
            core.log.set_durable(tail);
            core.live.durable(tail);
        }
        core.log.set_tail(tail);
        core.live.publish(tail);
        core.log.doorbell.ring();
        let wants_room = self.room.note_group(bytes, self.offset);
        let wants_spare = self.room.wants_spare(self.offset) && !core.spare.is_ready();
        core.jobs.committed(wants_room || wants_spare);
    }

    /// Whether a member that begins at `first` and ends before byte `end` has no place in the active segment.
    fn exceeds_segment(&self, end: u64, first: Position, member: &Member) -> bool {
        let events = first.get() - self.active.base().get() + member.prepared.events.len() as u64;
        end > self.active.header.segment_bytes || events > u64::from(limits::SEGMENT_EVENTS_MAX)
    }

    /// Begins the next segment: its file is durable under its name before the old one is final.
    pub(crate) fn roll(&mut self, core: &Core) -> Result<(), AppendError> {
        if core.poison.is_set() {
            return Err(core.poisoned(false));
        }
        // Nothing stands in it: what was to stand there found no room, and another one would be no better.
        if self.offset == FIRST_OFFSET {
            return Ok(());
        }
        let epoch = self.active.header.epoch;
        let begun = core.live.change(|| self.begin_next(core, epoch, State::Rolled));
        match begun {
            Ok(full) => {
                if core.mode == Mode::Synced {
                    self.anchor_newest(core)?;
                }
                crate::trace::rolled(self.active.base(), epoch);
                core.jobs.index(core, full);
                Ok(())
            }
            Err(NotBegun::NoRoom(error)) => Err(AppendError::Full(error)),
            Err(NotBegun::Failed(error)) => {
                core.poison(format!("beginning a segment failed: {error}"));
                Err(core.poisoned(false))
            }
        }
    }

    /// Tells ANCHOR which segment is the newest. Without room for that it is told later: until then
    /// only the loss of that whole file would go unnoticed.
    fn anchor_newest(&mut self, core: &Core) -> Result<(), AppendError> {
        let (base, epoch, durable) = (self.active.base(), self.active.header.epoch, core.log.durable());
        let written =
            core.write_anchor(|anchor| (anchor.newest_base, anchor.durable, anchor.epoch) = (base, durable, epoch));
        self.anchor_due = written.is_err();
        match written {
            Err(NotWritten::Failed(error)) => {
                core.poison(format!("writing ANCHOR failed: {error}"));
                Err(core.poisoned(false))
            }
            Ok(()) | Err(NotWritten::NoRoom(_)) => Ok(()),
        }
    }

    /// Puts the next segment in the place of the active one, which is returned.
    fn begin_next(&mut self, core: &Core, epoch: u64, state: State) -> Result<Arc<RawSegment>, NotBegun> {
        let synced = core.mode == Mode::Synced;
        self.room.stop();
        let spare = core.spare.take();
        let header = SegmentHeader {
            mode: core.mode,
            log: core.log.id,
            base: self.next,
            epoch,
            salt: crate::format::bytes::u64_at(&core.log.storage.random(), 0).unwrap_or_default(),
            created_at: Timestamp::from_nanos(core.clock.wall_nanos()),
            segment_bytes: core.segment_bytes,
        };
        let (file, path) = begin_segment(&*core.log.storage, &header, synced, false)?;
        // From here on the new file has its name, and the old one must take no more frames.
        let len = file.len().unwrap_or(FIRST_OFFSET);
        let slot = self.slot(state);
        let salt = self.active.header.salt;
        if synced {
            match write_slot(&*self.room.file, &slot, salt) {
                Ok(()) => self.room.sync().map_err(|error| NotBegun::Failed(Error::io("sync a slot", error)))?,
                // The file that follows says as much.
                Err(error) if error.kind() == ErrorKind::Full => {}
                Err(error) => return Err(NotBegun::Failed(error)),
            }
        } else {
            self.unsynced.push(Unsynced { file: Arc::clone(&self.room.file), slot, salt });
        }
        let prepared = spare.map_or(len, |spare| spare.allocated().max(FIRST_OFFSET));
        let segment = Arc::new(RawSegment::new(Arc::clone(&core.log.storage), path, header, FIRST_OFFSET, self.next));
        segment.index.write().mem = Some(MemIndex::new(0));
        let full = std::mem::replace(&mut self.active, Arc::clone(&segment));
        self.room = Arc::new(Room::new(file, prepared.min(len), core.segment_bytes, core.mode, core.kind));
        (self.offset, self.last_check, self.slot_seq, self.slotted) = (FIRST_OFFSET, 0, 0, FIRST_OFFSET);
        core.log.push_segment(segment);
        Ok(full)
    }

    /// The next slot of the active segment, saying that everything committed is durable.
    pub(crate) fn slot(&mut self, state: State) -> Slot {
        self.slot_seq += 1;
        self.slotted = self.offset;
        Slot {
            seq: self.slot_seq,
            log: self.active.header.log,
            epoch: self.active.header.epoch,
            base: self.active.header.base,
            state,
            end_offset: self.offset,
            end_position: Position::new(self.next.get() - 1),
            last_header_check: self.last_check,
            group_seq: self.group_seq,
            recorded_at: self.keeper.last(),
        }
    }
}

/// Why a group's bytes did not become part of the log.
enum Failure {
    /// Nothing of it is there.
    Refused(Error),
    /// The writer is poisoned; what is there is known after reopening.
    Unknown,
}

impl Failure {
    fn error(&self, core: &Core) -> AppendError {
        match self {
            Failure::Refused(error) => AppendError::from(error.duplicate()),
            Failure::Unknown => core.poisoned(true),
        }
    }
}

/// Whether all before it in its chain are in the log, and it would stand where it has to.
fn check_link(link: &Link, next: Position) -> Result<(), AppendError> {
    if link.chain.is_broken() {
        let text = "an append that this one had to come behind was not done";
        return Err(AppendError::Failed(Error::new(ErrorKind::Io, text)));
    }
    match link.first {
        Some(first) if first != next => Err(AppendError::Conflict {
            position: Position::new(next.get() - 1),
            condition: format!("the next event has to stand at position {first}"),
            found: format!("position {} is taken", Position::new(next.get() - 1)),
        }),
        _ => Ok(()),
    }
}

fn too_long() -> AppendError {
    AppendError::TooLarge(Error::new(ErrorKind::TooLarge, "the batch does not fit an empty segment"))
}

/// Writes a slot; the caller syncs it.
pub(crate) fn write_slot(file: &dyn File, slot: &Slot, salt: u64) -> Result<()> {
    file.write_all_at(&mut [IoSlice::new(&slot.encode(salt)[..])], slot.offset())
        .map_err(|error| Error::io("write a slot", error))
}

/// Puts zeros where a failed write may have left anything.
fn zero(file: &dyn File, start: u64, end: u64) -> io::Result<()> {
    let zeros = [0u8; 64 << 10];
    let end = end.min(file.len()?);
    let mut at = start;
    while at < end {
        let len = (zeros.len() as u64).min(end - at);
        file.write_all_at(&mut [IoSlice::new(&zeros[..len as usize])], at)?;
        at += len;
    }
    Ok(())
}

fn fold(mem: &mut MemIndex, core: &Core, member: &Member) {
    let Some((header, offset)) = member.placed else { return };
    let prepared = &member.prepared;
    let mut sparse = prepared.sparse.iter().peekable();
    let times = prepared.recorded_at.as_deref();
    for (index, event) in prepared.events.iter().enumerate() {
        let recorded = times.and_then(|times| times.get(index).copied()).unwrap_or(header.recorded_at);
        let zone = Zone::at(recorded, event.occurred().unwrap_or(recorded));
        let terms = &prepared.terms[index];
        let place = RowPlace { frame: offset, index: index as u32 };
        let version = member.prepared.draft.version(index);
        mem.push(place, version, terms, event.subject(), event.event_type(), &zone);
        while let Some((_, dimension, hash)) = sparse.next_if(|(of, _, _)| *of as usize == index) {
            mem.push_term(*dimension, *hash);
        }
        if let Some(crate::event::Cause::InBatch(cause)) = event.cause() {
            let position = header.first.get() + cause as u64;
            mem.push_term(Dimension::Causation, core.log.hasher.hash(Dimension::Causation, &position.to_le_bytes()));
        }
        if let (0, Some((_, hash))) = (index, &prepared.key) {
            mem.push_term(Dimension::Key, *hash);
        }
    }
}

/// Repetitions of a member of the same group get its outcome.
fn resolve_twins(members: &mut [Box<Member>]) {
    for index in 0..members.len() {
        let Some(first) = members[index].twin_of else { continue };
        let outcome = match &members[first].outcome {
            Some(Ok(done)) => Ok(Appended { duplicate: true, ..*done }),
            // It shares the fate of the first, of which nothing else may be said to one than to the other.
            Some(Err(error)) => Err(error.for_repetition()),
            None => continue,
        };
        members[index].outcome = Some(outcome);
    }
}
