//! Many segments, one order: append, group commit, publish, recover.

pub(crate) mod anchor_file;
pub(crate) mod background;
pub(crate) mod close;
pub(crate) mod commit;
pub(crate) mod conditions;
pub(crate) mod core;
pub(crate) mod doorbell;
pub(crate) mod files;
pub(crate) mod follow;
pub(crate) mod history;
pub(crate) mod indexer;
pub(crate) mod live_file;
pub(crate) mod lost;
pub(crate) mod open;
pub(crate) mod overlay;
pub(crate) mod prepare;
pub(crate) mod recover;
pub(crate) mod room;
pub(crate) mod sealer;
pub(crate) mod shared;
pub(crate) mod tiers;
pub(crate) mod timekeeper;
pub(crate) mod writer;
