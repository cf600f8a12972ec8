//! A full check: every byte of every file of the log, and every derived file against it. Reads
//! only, from the files themselves, and goes on behind damage to find all of it.

mod sealed;
mod tiers;
pub(crate) mod workers;

use std::ops::ControlFlow;
use std::time::Instant;

use crate::error::{Corruption, Error, ErrorKind, Result};
use crate::format::anchor::Anchor;
use crate::format::frame::{FIRST_OFFSET, FrameHeader};
use crate::format::header::SegmentHeader;
use crate::format::leaf::{Hash, LeafHasher, Tree};
use crate::format::slot::{self, Slot};
use crate::format::{PAGE_BYTES, Read};
use crate::head::{Against, Head};
use crate::io::{File, Mode, read_to_end_of};
use crate::log::anchor_file::{self, AnchorRead};
use crate::log::files::ANCHOR;
use crate::log::indexer;
use crate::log::shared::Log;
use crate::position::Position;
use crate::report::{Progress, Verification};
use crate::segment::Segment;
use crate::segment::raw::RawSegment;
use crate::segment::scan::{self, From, Window, for_each_header};
use crate::snapshot::check;

/// Checks a log up to its tail at the time of the call.
///
/// Where a head is given, the first events are held against it.
pub(crate) fn verify(
    log: &Log,
    against: Option<&Head>,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Verification> {
    let begun = Instant::now();
    // Each before what has to cover it: a writer beside us moves all of them, in the other order.
    let durable = log.durable();
    let tail = log.tail();
    let durable = durable.min(tail).get();
    let segments = log.segments();
    let ends: Vec<(Segment, u64, Position)> = segments
        .0
        .iter()
        .map(|segment| {
            let next = segment.next();
            (segment.clone(), segment.raw().map_or(segment.used_bytes(), |raw| raw.end()), next)
        })
        .collect();
    let mut work = Work {
        log,
        found: Verification { damage: log.damage(), ..Verification::default() },
        tree: Tree::default(),
        roots: Roots::of([durable].into_iter().chain(against.map(|head| head.size))),
        anchor: read_anchor(log)?,
        done: Progress { done_bytes: 0, total_bytes: ends.iter().map(|(_, end, _)| end).sum(), events: 0 },
    };
    let mut expected = Position::new(1);
    for (segment, end, next) in &ends {
        if segment.base() != expected && !work.is_told(expected) {
            let (path, base) = (segment.path(), segment.base());
            work.damage(Corruption::new(path, 40, format!("base {expected}"), format!("base {base}")));
        }
        match segment {
            Segment::Raw(raw) => work.raw(raw, *end, *next, progress)?,
            Segment::Sealed(sealed) => work.sealed(sealed, progress)?,
        }
        expected = *next;
    }
    if expected.get() <= tail.get() && !work.is_told(expected) {
        work.damage(Corruption::new(
            crate::log::files::LOG,
            0,
            format!("events up to {tail}"),
            format!("the end before {expected}"),
        ));
    }
    work.tiers(&segments)?;
    work.finish(tail)?;
    check::check(log, &mut work.found);
    if work.found.damage.is_empty() {
        work.found.head = work.roots.at(durable).map(|root| Head { log: log.id, size: durable, root });
        work.found.against = against.map(|head| match work.roots.at(head.size) {
            _ if head.log != log.id => Against::OtherLog(log.id),
            None => Against::Fewer(work.tree.size()),
            Some(root) if root == head.root => Against::Same,
            Some(root) => Against::OtherEvents(root),
        });
    }
    work.found.took = begun.elapsed();
    Ok(work.found)
}

/// The roots of smaller trees that are asked for, taken as the tree grows past their sizes.
struct Roots(Vec<(u64, Option<Hash>)>);

impl Roots {
    fn of(sizes: impl Iterator<Item = u64>) -> Roots {
        let mut roots = Roots(sizes.map(|size| (size, None)).collect());
        roots.look(&Tree::default());
        roots
    }

    /// To be called with the tree at each of its sizes.
    fn look(&mut self, tree: &Tree) {
        for (_, root) in self.0.iter_mut().filter(|(size, _)| *size == tree.size()) {
            *root = Some(tree.root());
        }
    }

    fn at(&self, size: u64) -> Option<Hash> {
        self.0.iter().find(|(known, _)| *known == size).and_then(|(_, root)| *root)
    }
}

struct Work<'a> {
    log: &'a Log,
    found: Verification,
    tree: Tree,
    roots: Roots,
    anchor: Option<Anchor>,
    done: Progress,
}

fn read_anchor(log: &Log) -> Result<Option<Anchor>> {
    match anchor_file::read(&*log.storage)? {
        AnchorRead::Valid { anchor, .. } => Ok(Some(*anchor)),
        _ => Ok(None),
    }
}

impl Work<'_> {
    /// Notes damage once. What opening found at the same place may have been lost up to the end of the segment; here it
    /// is known what can be read behind it.
    fn damage(&mut self, corruption: Corruption) {
        let same = |known: &&mut Corruption| known.file == corruption.file && known.offset == corruption.offset;
        let Some(known) = self.found.damage.iter_mut().find(same) else {
            self.found.damage.push(corruption);
            return;
        };
        if let (Some(wide), Some(lost)) = (&known.positions, corruption.positions)
            && wide.start() == lost.start()
            && wide.end() > lost.end()
        {
            known.positions = Some(lost);
        }
    }

    /// Whether it is told already that the log lost this position.
    fn is_told(&self, position: Position) -> bool {
        self.found.damage.iter().filter_map(|known| known.positions.as_ref()).any(|lost| lost.contains(&position))
    }

    /// A raw segment, or the sealed one that took its place meanwhile.
    fn raw(
        &mut self,
        segment: &RawSegment,
        end: u64,
        next: Position,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        let failed = match self.segment(segment, end, next, progress) {
            Err(error) if error.is_gone() => error,
            other => return other,
        };
        self.log.relist()?;
        let segments = self.log.segments();
        let now = segments.index_of(segment.base()).map(|index| &segments.0[index]);
        match now.and_then(Segment::sealed).filter(|sealed| sealed.next() == next) {
            Some(sealed) => self.sealed(sealed, progress),
            None => Err(failed),
        }
    }

    fn segment(
        &mut self,
        segment: &RawSegment,
        end: u64,
        next: Position,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        let failed = |error| Error::io(format_args!("read {}", segment.path.display()), error);
        let file = self.log.storage.open(&segment.path, Mode::Read).map_err(failed)?;
        self.found.files += 1;
        self.head(segment, &*file)?;
        let mut from = From::start(segment.base());
        let scanned = loop {
            match self.frames(segment, &*file, from, end, progress)? {
                (_, Some(behind)) => from = behind,
                (next, None) => break next,
            }
        };
        if scanned < next && self.found.damage.iter().all(|known| known.file != segment.path) {
            let missing = scanned..=Position::new(next.get() - 1);
            let bad = Corruption::new(
                &segment.path,
                end,
                format!("events up to {}", next.get() - 1),
                format!("the end before {scanned}"),
            );
            self.damage(bad.at(missing));
        }
        self.index(segment)
    }

    /// Header and slots.
    fn head(&mut self, segment: &RawSegment, file: &dyn File) -> Result<()> {
        let mut pages = vec![0; 3 * PAGE_BYTES];
        let got = read_to_end_of(file, &mut pages, 0).map_err(|error| Error::io("read a segment", error))?;
        pages.truncate(got);
        self.found.bytes += got as u64;
        match SegmentHeader::read(&pages) {
            Read::Valid(header) if header == segment.header => {}
            Read::Bad(bad) => self.damage(bad.corruption(&segment.path)),
            _ => self.damage(Corruption::new(&segment.path, 0, "the segment's header", "another")),
        }
        for at in slot::OFFSETS {
            if let Read::Bad(bad) = Slot::read(pages.get(at as usize..).unwrap_or_default(), segment.header.salt, at) {
                self.damage(bad.after(at).corruption(&segment.path));
            }
        }
        Ok(())
    }

    /// Checks frames up to damage or the end: the position after the last good one, and where to go
    /// on behind damage.
    fn frames(
        &mut self,
        segment: &RawSegment,
        file: &dyn File,
        from: From,
        end: u64,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(Position, Option<From>)> {
        let mut hasher = LeafHasher::default();
        let (tree, roots, done) = (&mut self.tree, &mut self.roots, &mut self.done);
        let base_bytes = done.done_bytes;
        let mut stopped = false;
        let scanned = scan::scan_to(file, segment.facts(), from, end, |offset, frame| {
            for index in 0..frame.header.count {
                let unreadable = || std::io::Error::from(std::io::ErrorKind::InvalidData);
                let event = frame.event(index).map_err(|_| unreadable())?;
                if tree.size() + 1 == event.position().get() {
                    tree.push(hasher.leaf(&event, &frame.batch_facts(index).map_err(|_| unreadable())?));
                    roots.look(tree);
                }
            }
            done.events += u64::from(frame.header.count);
            done.done_bytes = base_bytes + (offset + frame.header.frame_bytes()).saturating_sub(from.offset);
            stopped = progress(*done).is_break();
            if stopped { Err(std::io::ErrorKind::Interrupted.into()) } else { Ok(()) }
        });
        let scanned = match scanned {
            Err(_) if stopped => return Err(Error::new(ErrorKind::Closed, "the check was stopped")),
            other => other.map_err(|error| Error::io(format_args!("read {}", segment.path.display()), error))?,
        };
        self.found.bytes += scanned.bytes;
        self.found.events += self.done.events - self.found.events;
        let Some(place) = scanned.bad else { return Ok((scanned.next, None)) };
        let behind = next_frame(file, segment, place.offset, end)?;
        let last = behind.map_or_else(|| segment.next().get() - 1, |from| from.next.get().saturating_sub(1));
        let lost = scanned.next..=Position::new(last.max(scanned.next.get()));
        self.damage(place.bad.after(place.offset).corruption(&segment.path).at(lost));
        Ok((scanned.next, behind))
    }

    /// The index beside the segment, made anew and compared byte by byte where it covers all.
    fn index(&mut self, segment: &RawSegment) -> Result<()> {
        let path = segment.idx_path();
        let Some(meta) = self.log.storage.metadata(&path).map_err(|error| Error::io("look at an index", error))? else {
            return Ok(());
        };
        self.found.files += 1;
        self.found.bytes += meta.len;
        let opened = indexer::open_index(self.log, segment);
        let why = match opened {
            indexer::Opened::Good(idx) if idx.rows() == segment.rows() => {
                let expected = indexer::build_index(segment);
                let failed = |error| Error::io(format_args!("read {}", path.display()), error);
                let file = self.log.storage.open(&path, Mode::Read).map_err(failed)?;
                let mut found = vec![0; file.len().map_err(failed)? as usize];
                let got = read_to_end_of(&*file, &mut found, 0).map_err(failed)?;
                match expected {
                    Ok(expected) if expected == found[..got] => None,
                    Ok(_) => Some("it differs from one made anew".to_owned()),
                    // The segment's own damage is told already.
                    Err(_) => None,
                }
            }
            indexer::Opened::Good(idx) => {
                idx.check_all().err().map(|bad| format!("expected {}, found {}", bad.expected, bad.found))
            }
            indexer::Opened::Unfit(why) => Some(why),
            indexer::Opened::Missing => None,
        };
        self.found.derived.extend(why.map(|why| (path, why)));
        Ok(())
    }

    fn finish(&mut self, tail: Position) -> Result<()> {
        self.found.files += 1;
        self.found.bytes += crate::format::anchor::FILE_BYTES as u64;
        if let AnchorRead::Valid { other_bad: true, .. } = anchor_file::read(&*self.log.storage)? {
            self.found
                .derived
                .push((ANCHOR.into(), "one of its two slots is damaged; the other one serves".to_owned()));
        }
        let Some(anchor) = self.anchor.take() else { return Ok(()) };
        if anchor.log != self.log.id {
            self.damage(Corruption::new(ANCHOR, 32, format!("log {}", self.log.id), anchor.log.to_string()));
        }
        if !self.found.damage.is_empty() {
            return Ok(());
        }
        // The peaks in ANCHOR are those of a smaller tree: hashing that far again must give them.
        let same = self.tree.size() >= anchor.tree.size() && self.prefix_matches(&anchor.tree)?;
        match same {
            true if self.tree.size() >= tail.get() => self.found.root = Some(self.tree.root()),
            true => {}
            false => {
                let bad = Corruption::new(ANCHOR, 72, "the tree over the events that stand in the log", "another tree");
                self.damage(bad.at(Position::new(1)..=Position::new(anchor.tree.size())));
            }
        }
        Ok(())
    }

    /// A read that fails here says nothing about the tree.
    fn prefix_matches(&self, anchored: &Tree) -> Result<bool> {
        if anchored.size() == self.tree.size() {
            return Ok(anchored == &self.tree);
        }
        let mut tree = Tree::default();
        indexer::hash_leaves(self.log, &mut tree, Position::new(anchored.size()), u64::MAX)?;
        Ok(&tree == anchored)
    }
}

/// The next whole frame behind damage.
fn next_frame(file: &dyn File, segment: &RawSegment, offset: u64, end: u64) -> Result<Option<From>> {
    let mut found: Option<From> = None;
    let mut window = Window::limited(file, end).map_err(|error| Error::io("read a segment", error))?;
    let take = |at: u64, header: &FrameHeader| {
        if found.is_none() && header.count > 0 && at >= FIRST_OFFSET {
            found = Some(From { offset: at, next: header.first, last_check: 0, group_seq: 0 });
        }
    };
    for_each_header(&mut window, segment.facts(), offset + crate::format::frame::ALIGN, take)
        .map_err(|error| Error::io("read a segment", error))?;
    Ok(found)
}
