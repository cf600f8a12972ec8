//! Checking the lookup tiers: each is made anew from the term indexes of its segments, and the bytes must be the same.

use std::sync::Arc;

use super::Work;
use crate::error::{ErrorKind, Result};
use crate::log::files;
use crate::log::shared::Segments;
use crate::log::tiers;
use crate::segment::Segment;
use crate::segment::tier_file::{TierFile, TierOpened};
use crate::segment::tier_merge::{Part, differs};

impl Work<'_> {
    /// All runs that are there, over these segments.
    pub(super) fn tiers(&mut self, segments: &Segments) -> Result<()> {
        let storage = &*self.log.storage;
        let sealed = segments.0.partition_point(|segment| segment.sealed().is_some());
        let Some(end) = segments.0[..sealed].last().map(Segment::next) else { return Ok(()) };
        for name in files::list_runs(storage)?.into_iter().filter(|name| name.last < end) {
            let path = name.path();
            let why = match TierFile::open(storage, &path, self.log.id) {
                TierOpened::Missing => continue,
                TierOpened::Unfit(why) => Some(why),
                TierOpened::Good(file) if (file.first(), file.last()) != (name.first, name.last) => {
                    Some("it has the name of another".to_owned())
                }
                TierOpened::Good(file) => {
                    self.found.bytes += file.file_bytes();
                    match tiers::place(&file, &segments.0) {
                        Err(why) => Some(why.to_owned()),
                        Ok(start) => {
                            let covered = segments.0.iter().skip(start).take(file.segments().len());
                            let parts = covered.filter_map(Segment::sealed).map(|one| Part::Segment(Arc::clone(one)));
                            match differs(&file, &parts.collect::<Vec<_>>(), *file.root()) {
                                // The segment's own damage is told already.
                                Err(error) if error.kind() == ErrorKind::Corruption || error.is_gone() => None,
                                differs => differs?,
                            }
                        }
                    }
                }
            };
            self.found.files += 1;
            self.found.derived.extend(why.map(|why| (path, why)));
        }
        Ok(())
    }
}
