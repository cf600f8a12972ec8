//! Sealed segments: the same events as in the raw form, as columns.
//!
//! ```text
//! header         which log, from which position on                         envelope.rs
//! for each block of 1,024 events:
//!   pages        the data of its events, packed                            page.rs
//!   head         all of the events but their data                          block.rs, encode.rs
//!     column     numbers of a block, packed so that one is read alone      column.rs, bits.rs
//!     strings    texts of a column, each once                              strings.rs, sections.rs
//!     ids        ids that producers gave, by template or literally         ids.rs, literals.rs
//!     rows       one column of one row, scans, and whole events            rows.rs, places.rs, assemble.rs
//! directory      where each block stands, its times and types              blocks.rs
//! dictionary     strings and id templates that the whole segment shares    dictionary.rs
//! term index     in which blocks a term stands; a filter before it         terms/
//! footer         what holds for all of it, and where the sections stand    footer.rs
//! tail           where the footer stands                                   envelope.rs
//! ```
//!
//! The unit of verification is the unit of reading: the tail checks itself and the footer, the footer
//! checks the sections, the directory checks the heads, a head checks its pages; a page of the term
//! index checks itself.

mod assemble;
pub(crate) mod bits;
pub(crate) mod block;
pub(crate) mod blocks;
pub(crate) mod column;
pub(crate) mod dictionary;
mod encode;
pub(crate) mod envelope;
pub(crate) mod footer;
pub(crate) mod ids;
mod literals;
pub(crate) mod page;
mod places;
mod rows;
pub(crate) mod sections;
pub(crate) mod stems;
pub(crate) mod strings;
pub(crate) mod terms;
#[cfg(test)]
mod tests;

/// Rows of a block; the last one may have fewer.
pub(crate) const BLOCK_ROWS: u32 = 1024;
