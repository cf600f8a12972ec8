//! Opening a log for reading only, beside a writer or without one, also where it is damaged.
//!
//! While a writer of this boot is or was there, LIVE says how far it published; its word, once it
//! fits its check, is as good as the page cache that holds the bytes. Otherwise the files alone
//! count, synced before they are believed. Nothing is changed.
//!
//! LIVE itself may be older than the files: it is never synced, so a disk that was lost and comes back under the same
//! boot has it as it was written back some time ago. Files that prove more than it says are believed, and it is not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::anchor_file::{self, AnchorRead};
use super::files::{self, Directory};
use super::indexer::{self, Opened};
use super::live_file::{LiveReader, Seen};
use super::open::{not_a_store, sealed_segments, sync_names};
use super::recover::look::{Look, look};
use super::shared::{GONE_WAIT, Log, Segments};
use super::tiers::{self, Tiers};
use crate::error::{Corruption, Error, ErrorKind, Result};
use crate::event::LogId;
use crate::format::bytes::is_zero;
use crate::format::frame::{FIRST_OFFSET, FrameHeader, HEADER_BYTES as FRAME_HEADER_BYTES, HeaderRead};
use crate::format::header::SegmentHeader;
use crate::format::live::State;
use crate::format::slot::{self, Slot};
use crate::format::{PAGE_BYTES, Read};
use crate::io::{Mode as Open, Storage, read_to_end_of};
use crate::position::Position;
use crate::report::Recovery;
use crate::segment::Segment;
use crate::segment::raw::RawSegment;
use crate::segment::scan::{Window, for_each_header};
use crate::segment::sealed::shelf::Shelf;
use crate::segment::sealed::{self, Ends, SealedSegment};
use crate::sync::{Mutex, RwLock, thread};

/// How often a changing list of files is read again, and the pause while it changes: beginning a segment syncs three
/// files.
const LIST_TRIES: usize = 100;
const LIST_PAUSE: Duration = Duration::from_millis(1);

/// What comes of listing the files while a writer may change them.
enum Listed {
    Whole(Segments, Seen),
    /// The files do not go with what LIVE says.
    Unfit,
    /// They kept changing, or whoever changed them died.
    Changing,
}

/// What a process that only reads keeps beside the log.
#[derive(Debug)]
pub(crate) struct Follower {
    /// The page of whoever writes or wrote; opened again where another has taken its place.
    live: RwLock<Option<Arc<LiveReader>>>,
    /// What LIVE said when it was believed last.
    seen: Mutex<Option<Seen>>,
    /// What LIVE said when the files alone were believed. As long as it says the same, nobody has written since.
    passed_over: Option<Seen>,
}

/// Opens for reading.
pub(crate) fn open(storage: Arc<dyn Storage>, root: &Path, shelf: Shelf) -> Result<(Arc<Log>, Follower, Recovery)> {
    let shelf = Arc::new(shelf);
    match files::what_is(&*storage)? {
        Directory::Store => {}
        Directory::Foreign => return Err(not_a_store(root)),
        Directory::Missing | Directory::Empty => {
            return Err(Error::not_found(format!("there is no store at {}", root.display()))
                .hinting("`annals import` and `annals append` make one"));
        }
    }
    let mut recovery = Recovery::default();
    let anchor = match anchor_file::read(&*storage)? {
        AnchorRead::Valid { anchor, .. } => Some(*anchor),
        AnchorRead::Missing => None,
        AnchorRead::Bad(_) => None,
    };
    let mut damage = Vec::new();
    let id = match &anchor {
        Some(anchor) => anchor.log,
        None => {
            damage.push(Corruption::new(files::ANCHOR, 0, "the identity of the log", "no valid slot"));
            id_from_segments(&*storage)?
        }
    };
    let live = LiveReader::open(&*storage).map(Arc::new);
    let mut follower = Follower { live: RwLock::new(live), seen: Mutex::new(None), passed_over: None };
    // After a clean close the files say all. Where they do not go with LIVE, they are damaged, and
    // the look at them alone finds out how.
    let said = follower.look(&*storage, id);
    if let Some(seen) = said.filter(|seen| seen.state != State::Clean) {
        let listed = match list_live(&storage, &shelf, id, &seen, &follower) {
            Err(error) if error.kind() != ErrorKind::Corruption => return Err(error),
            other => other.unwrap_or(Listed::Unfit),
        };
        if let Listed::Whole(segments, seen) = listed {
            let log = Arc::new(Log::new(storage, id, shelf, segments, seen.published, seen.durable));
            *follower.seen.lock() = Some(seen);
            log.set_damage(damage);
            open_indexes(&log);
            recovery.tail = seen.published;
            recovery.notes.push("following the writer's LIVE page".to_owned());
            return Ok((log, follower, recovery));
        }
    }
    follower.passed_over = said;
    let in_place = follower.live().is_some_and(|live| live.is_in_place(&*storage, id));
    sync_files(&*storage, id, in_place)?;
    let look = look(&*storage, id, anchor.as_ref())?;
    damage.extend(look.damage.iter().map(|damage| damage.corruption.clone()));
    recovery.clean = look.is_clean();
    if let Some(plan) = &look.cut {
        recovery.torn = Some(format!(
            "torn tail at {}:{} ({}); the next writer will cut it",
            plan.path.display(),
            plan.offset,
            plan.reason
        ));
    }
    let segments = segments_of(&storage, &shelf, &look)?;
    let tail = segments.0.last().map_or(Position::ORIGIN, |segment| Position::new(segment.next().get() - 1));
    recovery.tail = tail;
    let log = Arc::new(Log::new(storage, id, shelf, segments, tail, tail));
    log.set_damage(damage);
    open_indexes(&log);
    Ok((log, follower, recovery))
}

fn id_from_segments(storage: &dyn Storage) -> Result<LogId> {
    let listing = files::list(storage)?;
    for base in listing.raw {
        if let Some(header) = read_header(storage, base)?.0 {
            return Ok(header.log);
        }
    }
    for base in listing.sealed {
        if let Some(log) = sealed::log_of(storage, &files::sealed(base)) {
            return Ok(log);
        }
    }
    Err(Corruption::new(
        files::ANCHOR,
        0,
        "the identity of the log",
        "no valid slot, and no segment with a valid header",
    )
    .into())
}

fn read_header(storage: &dyn Storage, base: Position) -> Result<(Option<SegmentHeader>, Option<Slot>, u64)> {
    let path = files::raw(base);
    let failed = |error| Error::io(format_args!("read {}", path.display()), error);
    let file = storage.open(&path, Open::Read).map_err(failed)?;
    let mut pages = vec![0; 3 * PAGE_BYTES];
    let got = read_to_end_of(&*file, &mut pages, 0).map_err(failed)?;
    pages.truncate(got);
    let len = file.len().map_err(failed)?;
    let header = match SegmentHeader::read(&pages) {
        Read::Newer { version } => return Err(crate::error::newer_format(version)),
        other => other.valid(),
    };
    let slot = header.and_then(|header| {
        let slots = slot::OFFSETS.map(|at| Slot::read(pages.get(at as usize..).unwrap_or_default(), header.salt, at));
        slots.into_iter().filter_map(Read::valid).max_by_key(|slot| slot.seq)
    });
    Ok((header, slot, len))
}

/// A crash may have left in memory what the disk does not hold, names too: what is shown must survive. Where LIVE shows
/// that a writer made these very files, its slots are believed: each was written when all before it was synced. In a
/// copy of a directory they say nothing, since nobody may have synced that.
fn sync_files(storage: &dyn Storage, log: LogId, in_place: bool) -> Result<()> {
    for base in files::list(storage)?.raw {
        let path = files::raw(base);
        if in_place && is_durable(storage, log, base)? {
            continue;
        }
        let failed = |error| Error::io(format_args!("sync {}", path.display()), error);
        storage.open(&path, Open::Read).map_err(failed)?.sync_data().map_err(failed)?;
    }
    sync_names(storage)
}

/// Whether a slot covers everything that a raw file holds.
fn is_durable(storage: &dyn Storage, log: LogId, base: Position) -> Result<bool> {
    let (header, slot, _) = read_header(storage, base)?;
    let known = header.filter(|header| header.log == log && header.base == base).and(slot);
    let Some(slot) = known.filter(|slot| slot.log == log && slot.base == base) else { return Ok(false) };
    if slot.state.is_final() {
        return Ok(true);
    }
    let path = files::raw(base);
    let failed = |error| Error::io(format_args!("read {}", path.display()), error);
    let mut next = [0; FRAME_HEADER_BYTES];
    let file = storage.open(&path, Open::Read).map_err(failed)?;
    let got = read_to_end_of(&*file, &mut next, slot.end_offset).map_err(failed)?;
    Ok(is_zero(next.get(..got).unwrap_or_default()))
}

/// Segments by what a look found. Where the log is damaged, the last one reaches to the last valid
/// frame, so that what lies behind the damage can still be read.
fn segments_of(storage: &Arc<dyn Storage>, shelf: &Arc<Shelf>, look: &Look) -> Result<Segments> {
    let last = look.cut.as_ref().map_or(look.files.len(), |plan| (plan.file + 1).min(look.files.len()));
    let mut segments = sealed_segments(storage, shelf, look);
    let mut files = look.files[..last].iter().chain(&look.behind).peekable();
    while let Some(file) = files.next() {
        let (mut end, mut next) = (file.end, file.next);
        let next_base = files.peek().map(|file| file.base);
        if !look.damage.is_empty() {
            let mut window = Window::new(&*file.file).map_err(|error| Error::io("read a segment", error))?;
            let limit = next_base.map_or(u64::MAX, Position::get);
            for_each_header(&mut window, file.facts(), FIRST_OFFSET, |offset, header: &FrameHeader| {
                if header.next() > next && header.next().get() <= limit && offset + header.frame_bytes() <= file.len {
                    (end, next) = (offset + header.frame_bytes(), header.next());
                }
            })
            .map_err(|error| Error::io("read a segment", error))?;
        }
        // Shorter than its slots: it holds nothing, and what it held is missed like what a missing file held.
        if file.len < end {
            continue;
        }
        let raw = RawSegment::new(Arc::clone(storage), file.path.clone(), file.header, end, next);
        segments.push(Segment::Raw(Arc::new(raw)));
    }
    Ok(Segments(segments, Tiers::default()))
}

/// Segments up to what LIVE says is published.
fn list_live(
    storage: &Arc<dyn Storage>,
    shelf: &Arc<Shelf>,
    id: LogId,
    seen: &Seen,
    follower: &Follower,
) -> Result<Listed> {
    let mut seen = *seen;
    for _ in 0..LIST_TRIES {
        if seen.generation % 2 == 1 {
            thread::sleep(LIST_PAUSE);
        } else {
            let mut gone = false;
            let segments = match list_up_to(storage, shelf, id, &seen) {
                // A raw file went while it was looked at: its sealed form is there now.
                Err(error) if error.is_gone() => {
                    gone = true;
                    None
                }
                other => other?,
            };
            match follower.look(&**storage, id) {
                None => return Ok(Listed::Unfit),
                Some(now) if gone => seen = now,
                // A segment that was sealed just now may reach beyond what was published when the look began.
                Some(now) if segments.is_none() && now.published != seen.published => seen = now,
                Some(now) if now.generation == seen.generation && now.session == seen.session => {
                    return Ok(segments.map_or(Listed::Unfit, |segments| Listed::Whole(segments, seen)));
                }
                Some(now) => seen = now,
            }
            continue;
        }
        match follower.look(&**storage, id) {
            None => return Ok(Listed::Unfit),
            Some(now) => seen = now,
        }
    }
    Ok(Listed::Changing)
}

fn list_up_to(storage: &Arc<dyn Storage>, shelf: &Arc<Shelf>, id: LogId, seen: &Seen) -> Result<Option<Segments>> {
    let published = seen.published;
    // An open writer publishes what a segment holds before it writes a slot there and before it begins the next one.
    // Recovery does so only at its end.
    let may_prove = seen.state == State::Open;
    let listing = files::list(&**storage)?;
    if may_prove && listing.raw.iter().any(|base| *base > published.next()) {
        return Ok(None);
    }
    let mut segments: Vec<Segment> = Vec::new();
    for base in &listing.sealed {
        let path = files::sealed(*base);
        match Ends::read(&**storage, &path, id, *base) {
            Ok(ends) => {
                let sealed = SealedSegment::new(Arc::clone(storage), Arc::clone(shelf), path, ends);
                segments.push(Segment::Sealed(Arc::new(sealed)));
            }
            // The look at the files alone says what that means.
            Err(_) => return Ok(None),
        }
    }
    let sealed_next = segments.last().map_or(Position::new(1), Segment::next);
    let within = |base: &Position| *base >= sealed_next && base.get() <= published.get().saturating_add(1);
    let bases: Vec<Position> = listing.raw.into_iter().filter(within).collect();
    for (index, base) in bases.iter().enumerate() {
        let (header, slot, _) = read_header(&**storage, *base)?;
        let Some(header) = header.filter(|header| header.log == id && header.base == *base) else { return Ok(None) };
        if may_prove && slot.as_ref().is_some_and(|slot| slot.end_position > published) {
            return Ok(None);
        }
        let last = bases.get(index + 1).map_or(published, |next| Position::new(next.get() - 1));
        let segment = match slot.filter(|slot| slot.end_position <= last && slot.end_offset >= FIRST_OFFSET) {
            Some(slot) => RawSegment::new(
                Arc::clone(storage),
                files::raw(*base),
                header,
                slot.end_offset,
                slot.end_position.next(),
            ),
            None => RawSegment::new(Arc::clone(storage), files::raw(*base), header, FIRST_OFFSET, *base),
        };
        segment.follow_to(last)?;
        if may_prove && index + 1 == bases.len() && proves_more(&**storage, &segment, published)? {
            return Ok(None);
        }
        segments.push(Segment::Raw(Arc::new(segment)));
    }
    let whole = segments.first().is_none_or(|first| first.base().get() == 1)
        && segments.windows(2).all(|pair| pair[0].next() == pair[1].base())
        && segments.last().is_none_or(|last| last.next() == published.next());
    Ok((whole && (published == Position::ORIGIN || !segments.is_empty()))
        .then_some(Segments(segments, Tiers::default())))
}

/// Whether a frame behind what is published says that more than that was durable. Frames of a group that is being
/// written do not: each says what was durable before it.
fn proves_more(storage: &dyn Storage, segment: &RawSegment, published: Position) -> Result<bool> {
    let failed = |error| Error::io(format_args!("read {}", segment.path.display()), error);
    let file = storage.open(&segment.path, Open::Read).map_err(failed)?;
    let mut offset = segment.end();
    loop {
        let mut head = [0; FRAME_HEADER_BYTES];
        let got = read_to_end_of(&*file, &mut head, offset).map_err(failed)?;
        match FrameHeader::read(head.get(..got).unwrap_or_default(), segment.header.salt, offset) {
            HeaderRead::Valid(header) if header.durable > published => return Ok(true),
            HeaderRead::Valid(header) => offset += header.frame_bytes(),
            HeaderRead::Zero | HeaderRead::Bad(_) => return Ok(false),
        }
    }
}

/// A log that has been read does not get shorter: what its reader holds stays as it is, and whoever asks is told.
fn check_not_behind(log: &Log, seen: &Seen) -> Result<()> {
    if seen.published >= log.tail() {
        return Ok(());
    }
    let text = format!("the log now ends at {}, and {} had been read", seen.published, log.tail());
    let hint = "open the store again; events were lost with the power, or the directory was replaced";
    Err(Error::new(ErrorKind::Diverged, text).hinting(hint))
}

/// Gives the log the lookup tiers and the segments the indexes that are there. What has none is read without.
fn open_indexes(log: &Log) {
    let segments = log.segments();
    let found = tiers_of(log, &segments.0, &segments.1);
    log.change_tiers(|tiers| *tiers = found.clone());
    for segment in log.segments().raw() {
        open_index(log, segment);
    }
}

fn tiers_of(log: &Log, list: &[Segment], known: &Tiers) -> Tiers {
    tiers::attach(&*log.storage, log.id, list, known, &mut |path, why| log.note_distrust(path, why))
}

fn open_index(log: &Log, segment: &RawSegment) {
    match indexer::open_index(log, segment) {
        Opened::Good(idx) => segment.index.write().idx = Some(Arc::from(idx)),
        Opened::Missing => {}
        Opened::Unfit(why) => log.note_distrust(segment.idx_path(), why),
    }
}

impl Follower {
    fn live(&self) -> Option<Arc<LiveReader>> {
        self.live.read().clone()
    }

    fn look(&self, storage: &dyn Storage, id: LogId) -> Option<Seen> {
        let live = self.live();
        if live.as_ref().is_none_or(|live| live.is_replaced(storage)) {
            let anew = LiveReader::open(storage).map(Arc::new);
            self.live.write().clone_from(&anew);
            return anew?.look(storage, id);
        }
        live?.look(storage, id)
    }

    /// Lists the files anew, where one that was listed is gone.
    pub(crate) fn relist(&self, log: &Log) -> Result<()> {
        let known = self.seen.lock();
        match self.look(&*log.storage, log.id) {
            Some(seen) if self.passed_over != Some(seen) => {
                self.list_again(log, &seen, known.map(|old| old.session) == Some(seen.session)).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Brings the log up to what the writer has published since. Cheap if nothing changed.
    pub(crate) fn refresh(&self, log: &Log) -> Result<()> {
        let mut known = self.seen.lock();
        if known.is_some_and(|seen| {
            let positions = [seen.published.get(), seen.durable.get()];
            self.live().is_some_and(|live| live.glance() == positions && !live.has_changed(&seen))
        }) {
            return Ok(());
        }
        // A reader that began on the files alone joins a writer that came later.
        let Some(mut seen) = self.look(&*log.storage, log.id) else { return Ok(()) };
        if known.is_none() && self.passed_over == Some(seen) {
            return Ok(());
        }
        let mut tries = 0;
        loop {
            let error = match self.bring_up(log, *known, &seen) {
                Ok(true) => break,
                // What is known stays good; the next call looks again.
                Ok(false) => return Ok(()),
                Err(error) => error,
            };
            tries += 1;
            // A file was sealed after it was listed: the list has changed since.
            if !error.is_gone() || tries > LIST_TRIES {
                return Err(error);
            }
            thread::sleep(GONE_WAIT);
            seen = self.look(&*log.storage, log.id).ok_or(error)?;
        }
        if let Some(newest) = log.segments().newest()
            && newest.has_index()
        {
            newest.index_published(log.hasher)?;
        }
        log.set_durable(seen.durable);
        log.set_tail(seen.published);
        *known = Some(seen);
        log.doorbell.ring();
        Ok(())
    }

    /// `false` if the list of files is changing still.
    fn bring_up(&self, log: &Log, known: Option<Seen>, seen: &Seen) -> Result<bool> {
        check_not_behind(log, seen)?;
        let same_session = known.is_some_and(|old| old.session == seen.session);
        if same_session && known.is_some_and(|old| old.generation == seen.generation) {
            log.segments().newest().map_or(Ok(()), |newest| newest.follow_to(seen.published)).map(|()| true)
        } else {
            self.list_again(log, seen, same_session)
        }
    }

    /// Takes over a changed list of files; `false` if it is changing still. Segments of the same session are kept: their mappings
    /// and indexes stay good.
    fn list_again(&self, log: &Log, seen: &Seen, same_session: bool) -> Result<bool> {
        // Before anything is replaced: a list that ends before the tail would leave events out in silence.
        check_not_behind(log, seen)?;
        let fresh = match list_live(&log.storage, &log.shelf, log.id, seen, self)? {
            Listed::Whole(fresh, _) => fresh,
            Listed::Changing => return Ok(false),
            Listed::Unfit => {
                let text = "the files of the store are not what its writer published; open it again";
                return Err(Error::new(ErrorKind::Io, text));
            }
        };
        let old = log.segments();
        let mut list = Vec::new();
        for segment in fresh.0 {
            list.push(match &segment {
                Segment::Raw(raw) => match old.raw().find(|known| same_session && known.header == raw.header) {
                    Some(known) => {
                        known.follow_to(Position::new(raw.next().get() - 1))?;
                        Segment::Raw(Arc::clone(known))
                    }
                    None => segment,
                },
                Segment::Sealed(sealed) => {
                    let known = old.0.iter().filter_map(Segment::sealed).find(|known| known.is_same(sealed));
                    known.map_or(segment.clone(), |known| Segment::Sealed(Arc::clone(known)))
                }
            });
        }
        for segment in list.iter().filter_map(Segment::raw) {
            if segment.index.read().idx.is_none() {
                open_index(log, segment);
                let mut index = segment.index.write();
                if index.idx.as_ref().is_some_and(|idx| idx.rows() == segment.rows()) {
                    index.mem = None;
                }
            }
        }
        let tiers = tiers_of(log, &list, &old.1);
        log.set_segments(Segments(list, tiers));
        // A writer opens only what is whole.
        if !same_session {
            log.set_damage(Vec::new());
        }
        Ok(true)
    }
}
