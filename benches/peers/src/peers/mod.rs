//! The peers: one file each, and the list of those that this binary was built with.

mod annals;
mod bare;
#[cfg(feature = "commitlog")]
mod commitlog;
#[cfg(feature = "fjall")]
mod fjall;
#[cfg(feature = "heed")]
mod heed;
#[cfg(any(feature = "fjall", feature = "heed", feature = "redb", feature = "rocksdb"))]
mod keys;
#[cfg(feature = "okaywal")]
mod okaywal;
#[cfg(feature = "raft-engine")]
mod raft_engine;
mod record;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
#[cfg(feature = "sierradb")]
mod sierradb;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "tephra")]
mod tephra;
#[cfg(feature = "umadb")]
mod umadb;
#[cfg(feature = "walrus")]
mod walrus;

use crate::peer::About;

/// All that were built in, in the order of the table: annals first, the floor last.
pub(crate) const ALL: &[About] = &[
    annals::ABOUT,
    annals::SEALED,
    #[cfg(feature = "tephra")]
    tephra::ABOUT,
    #[cfg(feature = "umadb")]
    umadb::ABOUT,
    #[cfg(feature = "sierradb")]
    sierradb::ABOUT,
    #[cfg(feature = "sqlite")]
    sqlite::ABOUT,
    #[cfg(feature = "fjall")]
    fjall::ABOUT,
    #[cfg(feature = "redb")]
    redb::ABOUT,
    #[cfg(feature = "rocksdb")]
    rocksdb::ABOUT,
    #[cfg(feature = "heed")]
    heed::ABOUT,
    #[cfg(feature = "okaywal")]
    okaywal::ABOUT,
    #[cfg(feature = "raft-engine")]
    raft_engine::ABOUT,
    #[cfg(feature = "commitlog")]
    commitlog::ABOUT,
    #[cfg(feature = "walrus")]
    walrus::ABOUT,
    bare::ABOUT,
];

/// Those that were not: what features are there for, and what they want of the machine.
pub(crate) fn left_out() -> Vec<&'static str> {
    let known = [
        (cfg!(feature = "tephra"), "tephra"),
        (cfg!(feature = "umadb"), "umadb"),
        (cfg!(feature = "sierradb"), "sierradb (many dependencies)"),
        (cfg!(feature = "sqlite"), "sqlite"),
        (cfg!(feature = "fjall"), "fjall"),
        (cfg!(feature = "redb"), "redb"),
        (cfg!(feature = "rocksdb"), "rocksdb (wants a C++ compiler and libclang)"),
        (cfg!(feature = "heed"), "lmdb"),
        (cfg!(feature = "okaywal"), "okaywal"),
        (cfg!(feature = "raft-engine"), "raft-engine (many dependencies)"),
        (cfg!(feature = "commitlog"), "commitlog"),
        (cfg!(feature = "walrus"), "walrus"),
    ];
    known.into_iter().filter(|(built, _)| !built).map(|(_, name)| name).collect()
}

/// What a peer's name must be known by.
pub(crate) fn find(name: &str) -> Option<&'static About> {
    ALL.iter().find(|about| about.name == name)
}

/// The version that was built in, by the lock file of this crate.
pub(crate) fn version(package: &str) -> Option<&'static str> {
    let lock = include_str!("../../Cargo.lock");
    let entry = lock.split("[[package]]").find(|entry| entry.contains(&format!("name = \"{package}\"\n")))?;
    entry.split("version = \"").nth(1)?.split('"').next()
}
