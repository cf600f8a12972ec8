//! Many segments, one order: append, group commit, publish, recover.

pub(crate) mod anchor_file;
pub(crate) mod doorbell;
pub(crate) mod files;
pub(crate) mod history;
pub(crate) mod live_file;
pub(crate) mod recover;
pub(crate) mod shared;
