//! What the files are called: directory entries live apart from contents.
//!
//! Invariants:
//! - Every change takes away one name, adds one, or does both at once (a rename). No power loss
//!   sees half of it.
//! - A change belongs to the directories of its names and becomes durable when one of them is
//!   synced, and with it the older changes of the same names.
//! - A name whose directory is lost is lost too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::FileId;

/// A path below the root; the root itself is the empty one.
pub(super) type Name = Arc<Path>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Dir,
    File(FileId),
}

type Map = BTreeMap<Name, Target>;

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    live: Map,
    durable: Map,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
pub(super) struct Change {
    removed: Option<Name>,
    added: Option<(Name, Target)>,
}

/// What else is lost when a change of names is lost.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// All that came later: the file system keeps one journal.
    Journal,
    /// What came later in the same directory.
    Directory,
    /// What came later under the same name.
    Name,
}

impl Names {
    /// What was found on a disk.
    fn found(map: Map) -> Names {
        Names { live: map.clone(), durable: map, pending: Vec::new() }
    }

    /// A root directory that is there for good, and nothing in it.
    pub(super) fn with_root() -> Names {
        Names::found(Map::from([(Path::new("").into(), Target::Dir)]))
    }

    pub(super) fn get(&self, path: &Path) -> Option<Target> {
        self.live.get(path).copied()
    }

    /// The names in a directory, sorted.
    pub(super) fn within(&self, dir: &Path) -> impl Iterator<Item = (&Name, Target)> {
        self.live.iter().filter(move |(name, _)| name.parent() == Some(dir)).map(|(name, target)| (name, *target))
    }

    /// The files that have a name, each once.
    pub(super) fn files(&self) -> BTreeSet<FileId> {
        files(&self.live)
    }

    /// All names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Name, Target)> {
        self.live.iter().map(|(name, target)| (name, *target))
    }

    pub(super) fn change(&mut self, removed: Option<&Name>, added: Option<(&Name, Target)>) {
        let change = Change { removed: removed.cloned(), added: added.map(|(name, target)| (name.clone(), target)) };
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    /// Makes the names in a directory durable; `None` is the directory that holds the root.
    pub(super) fn sync(&mut self, dir: Option<&Path>) {
        // From the newest back, because what a durable change builds on must be durable as well.
        let mut needed = BTreeSet::new();
        let mut durable = vec![false; self.pending.len()];
        for (change, durable) in self.pending.iter().zip(&mut durable).rev() {
            *durable = change.names().any(|name| name.parent() == dir || needed.contains(name));
            if *durable {
                needed.extend(change.names().cloned());
            }
        }
        let mut durable = durable.into_iter();
        self.pending.retain(|change| {
            let durable = durable.next().unwrap_or_default();
            if durable {
                change.apply(&mut self.durable);
            }
            !durable
        });
    }

    /// How many changes of `counted` names wait.
    pub(super) fn pending(&self, counted: &dyn Fn(&Path) -> bool) -> usize {
        self.pending.iter().filter(|change| change.is_of(counted)).count()
    }

    /// Power loss. Each pending change survives if it is said so, unless an older one that was lost takes it along.
    pub(super) fn crash(&self, order: Order, survives: &mut dyn FnMut(&Change) -> bool) -> Names {
        let mut map = self.durable.clone();
        let mut lost: Vec<&Change> = Vec::new();
        for change in &self.pending {
            let survives = survives(change);
            if !survives || lost.iter().any(|lost| order.binds(lost, change)) {
                lost.push(change);
            } else {
                change.apply(&mut map);
            }
        }
        // What isn't within the root any more is out of reach. Parents sort before their children.
        let mut reachable = Map::new();
        for (name, target) in map {
            if name.parent().is_none_or(|dir| reachable.get(dir) == Some(&Target::Dir)) {
                reachable.insert(name, target);
            }
        }
        Names::found(reachable)
    }
}

fn files(map: &Map) -> BTreeSet<FileId> {
    map.values().filter_map(|target| if let Target::File(file) = target { Some(*file) } else { None }).collect()
}

impl Change {
    fn apply(&self, map: &mut Map) {
        if let Some(name) = &self.removed {
            map.remove(name);
        }
        if let Some((name, target)) = &self.added {
            map.insert(name.clone(), *target);
        }
    }

    /// Whether any of its names is counted.
    pub(super) fn is_of(&self, counted: &dyn Fn(&Path) -> bool) -> bool {
        self.names().any(|name| counted(name))
    }

    fn names(&self) -> impl Iterator<Item = &Name> {
        self.removed.iter().chain(self.added.iter().map(|(name, _)| name))
    }
}

impl Order {
    /// Whether losing `older` loses `newer`.
    fn binds(self, older: &Change, newer: &Change) -> bool {
        let meet = |same: fn(&Name, &Name) -> bool| older.names().any(|a| newer.names().any(|b| same(a, b)));
        match self {
            Order::Journal => true,
            Order::Directory => meet(|a, b| a.parent() == b.parent()),
            Order::Name => meet(|a, b| a == b),
        }
    }
}
