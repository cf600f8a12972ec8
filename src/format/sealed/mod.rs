//! Parts of the file of a sealed segment.

pub(crate) mod terms;
