//! A segment on its way into a copy of the log.

use std::path::PathBuf;

use super::bytes_file::BytesFile;
use super::{mend, raw_file, scan_segment};
use crate::backup::part::{self, Part};
use crate::error::ErrorKind;
use crate::format::frame::FIRST_OFFSET;
use crate::format::header::SegmentHeader;
use crate::io::{Mode, SimStorage, Storage};
use crate::position::Position;
use crate::time::Timestamp;

/// A raw segment, as a backup reads and copies it. The first byte says how many of its events go into the copy, and
/// whether more segments follow; the rest is as `segment` takes it.
pub fn part(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let mut bytes = raw_file(rest);
    look_at_part(&bytes, *how);
    mend::segment(&mut bytes);
    look_at_part(&bytes, *how);
}

fn look_at_part(bytes: &[u8], how: u8) {
    let file = BytesFile::new(bytes);
    let path = PathBuf::from("log/00000000000000000001.raw");
    let read = match part::read_head(&file, &path) {
        Ok(read) => read,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NewerFormat);
            return;
        }
    };
    let Some((header, slot)) = read else { return };
    assert_eq!(SegmentHeader::read(bytes).valid(), Some(header));
    let mut events = 0;
    let scanned = scan_segment(bytes, |frame| events += u64::from(frame.header.count));
    let end = scanned.map_or(FIRST_OFFSET, |scan| scan.end);
    let wanted = header.base.get().saturating_add(events.saturating_sub(u64::from(how >> 1)));
    let part = Part {
        header,
        path: path.clone(),
        end: if how & 1 == 0 { end } else { bytes.len() as u64 },
        next: Position::new(wanted),
        is_last: how & 2 == 0,
    };
    let mut told = 0;
    let checked = part::check(&file, &part, Timestamp::from_nanos(0), &mut |end| {
        assert!(end >= told && end <= bytes.len() as u64);
        told = end;
        Ok(())
    });
    let checked = match checked {
        Ok(checked) => checked,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
            return;
        }
    };
    assert!(checked.end <= part.end.max(FIRST_OFFSET) && checked.next == part.next);
    assert!(checked.slot == slot && part.frame_bytes() <= bytes.len() as u64);
    let _ = part::is_final(&part, &checked);
    // A copy that nothing went into has no end to tell of.
    if checked.next.get() == 0 {
        return;
    }
    let disk = SimStorage::new();
    assert!(disk.create_dir_all("log".as_ref()).is_ok());
    if let Err(error) = part::copy(&file, &*disk, &part, &checked) {
        panic!("what was checked is not copied: {error}");
    }
    let Ok(copy) = disk.open(&part.temporary(), Mode::Read) else { panic!("no copy") };
    let copied = Part { end: checked.end, ..part };
    match part::check(&*copy, &copied, Timestamp::from_nanos(0), &mut |_| Ok(())) {
        Ok(again) => {
            assert_eq!((again.end, again.next, again.last_check), (checked.end, checked.next, checked.last_check));
            assert_eq!(again.slot.map(|slot| slot.end_offset), Some(checked.end));
        }
        Err(error) => panic!("a copy is not what was copied: {error}"),
    }
}
