//! Where each raw file ends, and what a bad place in it means.

use super::decide::{self, Verdict};
use super::look::{CutPlan, Damage, Head, Look, RawFile};
use crate::error::{Error, Result};
use crate::format::Bad;
use crate::format::frame::FIRST_OFFSET;
use crate::format::header::Mode;
use crate::position::Position;
use crate::segment::scan::{self, BadKind, BadPlace, Scan};

/// Finds where each file ends: by its slot where that settles it, else by its frames. Stops moving
/// the tail at the first bad place, and reads on for evidence.
pub(super) fn walk(look: &mut Look) -> Result<()> {
    let count = look.files.len();
    let start = look.files.iter().rposition(|file| file.base.get() <= look.proven.get().saturating_add(1)).unwrap_or(0);
    let mut bad_places: Vec<(usize, BadPlace, Position)> = Vec::new();
    for index in 0..count {
        let next_base = look.files.get(index + 1).map(|file| file.base);
        let file = &mut look.files[index];
        if let (true, Some(slot), Some(base)) = (index < start, file.slot, next_base)
            && slot.state.is_final()
            && slot.end_position.next() == base
            && slot.end_offset <= file.len
        {
            // Durable by its own slot and by what follows; its bytes are checked when they are read.
            (file.end, file.next) = (slot.end_offset, base);
            if bad_places.is_empty() {
                (look.tail, look.recorded_at, look.group_seq) = (slot.end_position, slot.recorded_at, slot.group_seq);
            }
            continue;
        }
        let scanned = scan_end(file)?;
        (file.end, file.next) = (scanned.end, scanned.next);
        look.proven = look.proven.max(scanned.durable);
        let slot_time = file.slot.map(|slot| slot.recorded_at);
        let recorded_at = scanned.recorded_at.or(slot_time);
        let mut bad = scanned.bad.clone();
        if bad.is_none()
            && let Some(base) = next_base
            && scanned.next != base
        {
            let found = Bad::new(
                0,
                format!("frames up to position {}", base.get() - 1),
                format!("the end before position {}", scanned.next),
            );
            bad = Some(BadPlace {
                offset: scanned.end,
                kind: BadKind::ZeroHeader,
                bad: found,
                // A Synced log begins a segment only when the one before it is durable.
                durable_after: match file.header.mode {
                    Mode::Synced => Position::new(base.get() - 1),
                    Mode::Written => Position::ORIGIN,
                },
                last_after: Position::ORIGIN,
            });
        }
        if bad_places.is_empty() {
            look.tail = Position::new(scanned.next.get() - 1);
            look.recorded_at = recorded_at.map_or(look.recorded_at, |time| time.max(look.recorded_at));
            look.group_seq = look.group_seq.max(scanned.group_seq);
        } else {
            look.last_known = look.last_known.max(Position::new(scanned.next.get() - 1));
        }
        if let Some(place) = bad {
            look.proven = look.proven.max(place.durable_after);
            look.last_known = look.last_known.max(place.last_after);
            bad_places.push((index, place, scanned.next));
        }
        file.scan = Some(scanned);
    }
    for (nth, (index, place, next)) in bad_places.into_iter().enumerate() {
        // The log ends at a cut. Behind damage it has none, and what was torn off there was never durable.
        if look.cut.is_some() {
            break;
        }
        let file = look.files[index].clone();
        judge(look, &file, place, next, (nth == 0).then_some(index));
    }
    Ok(())
}

/// The frames of a file from where its slot says that all is durable.
fn scan_end(file: &RawFile) -> Result<Scan> {
    let from = match file.slot {
        Some(slot) if slot.end_offset <= file.len && slot.end_offset >= FIRST_OFFSET => scan::From {
            offset: slot.end_offset,
            next: slot.end_position.next(),
            last_check: slot.last_header_check,
            group_seq: slot.group_seq,
        },
        _ => scan::From::start(file.base),
    };
    scan::scan(&*file.file, file.facts(), from, |_, _| Ok(()))
        .map_err(|error| Error::io(format_args!("read {}", file.path.display()), error))
}

/// Judges a bad place in a file. `cut` is the index of the file if the log may be cut there.
fn judge(look: &mut Look, file: &RawFile, place: BadPlace, next: Position, cut: Option<usize>) {
    let past_slot = file.slot.is_some_and(|slot| slot.end_offset > place.offset);
    let proven = look.proven >= next || past_slot;
    let verdict = decide::judge(proven, file.header.mode, place.kind);
    if verdict == Verdict::Torn {
        if let Some(index) = cut {
            let reason = decide::reason(place.kind).to_owned();
            look.cut = Some(CutPlan { file: index, path: file.path.clone(), offset: place.offset, next, reason });
        }
        return;
    }
    let last = look.last_known.max(look.proven).max(place.last_after).max(next);
    let corruption = place.bad.after(place.offset).corruption(&file.path).at(next..=last);
    look.damage.push(Damage { corruption, is_tail: verdict == Verdict::DamagedTail });
}

/// Files from the first one on that has no valid header: part of a legal tear, or damage.
pub(super) fn judge_headless(look: &mut Look, headless: Vec<Head>) -> Result<()> {
    let sealed = look.sealed.last().map(|file| file.ends.footer.mode);
    let mode = look.files.last().map(|file| file.header.mode).or(sealed);
    let before_written = mode.is_none_or(|mode| mode == Mode::Written);
    for head in headless {
        let file = match head {
            // A whole file behind one without a header: it proves the one before it, unless torn.
            Ok(file) if look.cut.is_some() => {
                look.headless.push(file.path);
                continue;
            }
            Ok(file) => {
                look_behind(look, file)?;
                continue;
            }
            Err(file) => file,
        };
        let next = look.tail.next();
        let legal = file.may_be_torn && before_written && look.proven < next && look.damage.is_empty();
        if legal {
            if look.cut.is_none() {
                let reason = "a segment lost its header, and nothing proves it was durable".to_owned();
                // The first of them, behind all that have a header.
                let behind = look.files.len();
                look.cut = Some(CutPlan { file: behind, path: file.path.clone(), offset: 0, next, reason });
            }
            look.headless.push(file.path);
        } else {
            let last = look.last_known.max(look.proven).max(file.base);
            look.corrupt(file.corruption.at(file.base..=last));
        }
    }
    Ok(())
}

/// Reads where a file ends that lies behind one without a header.
fn look_behind(look: &mut Look, mut file: RawFile) -> Result<()> {
    let scanned = scan_end(&file)?;
    (file.end, file.next) = (scanned.end, scanned.next);
    look.last_known = look.last_known.max(file.base).max(Position::new(file.next.get() - 1));
    if let Some(place) = scanned.bad {
        look.last_known = look.last_known.max(place.last_after);
        judge(look, &file, place, file.next, None);
    }
    look.behind.push(file);
    Ok(())
}
