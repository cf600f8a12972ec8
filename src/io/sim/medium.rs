//! The whole simulated disk as a value: operations go in, states after power loss come out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::contents::Contents;
use super::crash::{Crash, Rng};
use super::names::{Names, Order, Target};
use super::{FileId, Op};

/// Cheap to clone: files are shared until they change.
#[derive(Clone, Debug)]
pub(super) struct Medium {
    names: Names,
    /// Also files that have no name any more, for who has them open.
    files: BTreeMap<FileId, Arc<Contents>>,
    /// The operations so far.
    steps: u64,
}

impl Medium {
    pub(super) fn new(names: Names) -> Medium {
        Medium { names, files: BTreeMap::new(), steps: 0 }
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    pub(super) fn file(&self, file: FileId) -> Option<&Contents> {
        self.files.get(&file).map(Arc::as_ref)
    }

    /// The number for the next new file.
    pub(super) fn next_file(&self) -> FileId {
        FileId(self.files.last_key_value().map_or(1, |(file, _)| file.0 + 1))
    }

    /// The bytes that are allocated to files with a name.
    pub(super) fn used_bytes(&self) -> u64 {
        self.names.files().into_iter().filter_map(|file| self.file(file)).map(Contents::reserved).sum()
    }

    /// Does an operation that has been checked to be possible.
    pub(super) fn apply(&mut self, op: &Op) {
        self.steps += 1;
        let step = self.steps;
        match op {
            Op::CreateDir { path } => self.names.change(None, Some((path, Target::Dir))),
            Op::Create { path, file } => {
                self.files.insert(*file, Arc::default());
                self.names.change(None, Some((path, Target::File(*file))));
            }
            Op::Link { file, path } => self.names.change(None, Some((path, Target::File(*file)))),
            Op::Rename { file, from, to } => self.names.change(Some(from), Some((to, Target::File(*file)))),
            Op::Unlink { path } => self.names.change(Some(path), None),
            Op::SyncDir { dir } => self.names.sync(dir.as_deref()),
            Op::Write { file, offset, bytes } => self.edit(*file).write(step, *offset, bytes),
            Op::StoreWord { file, index, value } => self.edit(*file).store_word(step, *index, *value),
            Op::SetLen { file, len } => self.edit(*file).set_len(step, *len),
            Op::Allocate { file, offset, len } => self.edit(*file).allocate(step, offset + len),
            Op::SyncData { file } => self.edit(*file).sync(),
            Op::SyncFailed { file } => self.edit(*file).lose_pending(),
        }
    }

    fn edit(&mut self, file: FileId) -> &mut Contents {
        let contents = Arc::make_mut(self.files.entry(file).or_default());
        contents.forget_digest();
        contents
    }

    /// How many things wait to become durable of what is `counted`: changes of names, lengths of files, sectors.
    pub(super) fn dirty_things(&self, counted: &dyn Fn(&Path) -> bool) -> usize {
        let files = self.files_counted(counted);
        let dirty = files.iter().filter_map(|file| self.file(*file)).filter(|contents| !contents.is_durable());
        let things = dirty.map(|contents| contents.dirty_sectors() + usize::from(contents.has_dirty_length()));
        self.names.pending(counted) + things.sum::<usize>()
    }

    fn files_counted(&self, counted: &dyn Fn(&Path) -> bool) -> BTreeSet<FileId> {
        let names = self.names.iter().filter(|(name, _)| counted(name));
        names.filter_map(|(_, target)| if let Target::File(file) = target { Some(file) } else { None }).collect()
    }

    /// What is found after power loss of which these things survived; what isn't `counted` all did. A change of a
    /// name takes along what it builds on.
    pub(super) fn crash_things(&self, mask: u64, counted: &dyn Fn(&Path) -> bool) -> Medium {
        let mut thing = 0;
        let mut survives = || {
            thing += 1;
            mask >> ((thing - 1) % 64) & 1 == 1
        };
        let names = self.names.crash(Order::Name, &mut |change| !change.is_of(counted) || survives());
        // Counted as they are called now: what the power takes of the names must not move the numbers of the sectors.
        let counted = self.files_counted(counted);
        let mut files = BTreeMap::new();
        let kept = names.files();
        for (file, contents) in &self.files {
            let found = if contents.is_durable() {
                contents.clone()
            } else if counted.contains(file) {
                let length = !contents.has_dirty_length() || survives();
                let lengths = if length { usize::MAX } else { 0 };
                Arc::new(contents.crash(lengths, &mut |changes| if survives() { changes } else { 0 }))
            } else {
                Arc::new(contents.crash_after_write_back())
            };
            if kept.contains(file) {
                files.insert(*file, found);
            }
        }
        Medium { names, files, steps: 0 }
    }

    /// The file with the newest write that is not durable, and that write's length in bytes.
    fn newest_write(&self) -> Option<(FileId, u64)> {
        let writes = self.files.iter().filter_map(|(file, contents)| Some((contents.newest_write()?, *file)));
        writes.max().map(|((_, bytes), file)| (file, bytes))
    }

    pub(super) fn newest_write_bytes(&self) -> u64 {
        self.newest_write().map_or(0, |(_, bytes)| bytes)
    }

    pub(super) fn dirty_sectors(&self) -> usize {
        self.names.files().into_iter().filter_map(|file| self.file(file)).map(Contents::dirty_sectors).sum()
    }

    /// What is found after power loss.
    pub(super) fn crash(&self, crash: Crash) -> Medium {
        let mut rng = match crash {
            Crash::Random(seed) => Rng::new(seed),
            _ => Rng::new(0),
        };
        let names = match crash {
            Crash::None => self.names.crash(Order::Journal, &mut |_| false),
            Crash::Random(_) => {
                let order = [Order::Journal, Order::Directory, Order::Name][rng.below(3) as usize];
                let mut luck = rng.luck();
                self.names.crash(order, &mut |_| luck.survives())
            }
            Crash::All | Crash::PrefixBytes(_) | Crash::Sectors(_) => self.names.crash(Order::Journal, &mut |_| true),
        };
        let newest = self.newest_write().map(|(file, _)| file);
        let mut sectors = 0;
        let mut files = BTreeMap::new();
        for file in names.files() {
            let Some(contents) = self.files.get(&file) else {
                continue;
            };
            if contents.is_durable() {
                files.insert(file, contents.clone());
                continue;
            }
            let found = match crash {
                Crash::None => contents.crash_to_durable(),
                Crash::PrefixBytes(bytes) if newest == Some(file) => contents.crash_within_newest_write(bytes),
                Crash::All | Crash::PrefixBytes(_) => contents.crash_after_write_back(),
                Crash::Random(_) => {
                    let mut luck = rng.luck();
                    let lengths = luck.surviving(contents.pending_changes());
                    contents.crash(lengths, &mut |changes| luck.surviving(changes))
                }
                Crash::Sectors(mask) => contents.crash(usize::MAX, &mut |changes| {
                    let survives = mask >> (sectors % 64) & 1 == 1;
                    sectors += 1;
                    if survives { changes } else { 0 }
                }),
            };
            files.insert(file, Arc::new(found));
        }
        Medium { names, files, steps: 0 }
    }

    /// A hash of the names that are `counted`, and of their contents, as readers see them.
    pub(super) fn digest(&self, counted: impl Fn(&Path) -> bool) -> u64 {
        let mut hash = Xxh3::new();
        for (name, target) in self.names.iter().filter(|(name, _)| counted(name)) {
            hash.update(name.as_os_str().as_encoded_bytes());
            hash.update(&[0]);
            if let Target::File(file) = target
                && let Some(contents) = self.file(file)
            {
                hash.update(&contents.digest().to_le_bytes());
            }
        }
        hash.digest()
    }
}
