//! One file's life: written, read, rolled.

pub(crate) mod idx_file;
pub(crate) mod mem_index;
pub(crate) mod raw;
pub(crate) mod scan;
