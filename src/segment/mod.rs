//! Files of one segment, opened.

pub(crate) mod idx_file;
