//! Sealed segments: the same events as in the raw form, as columns.
//!
//! ```text
//! block head     up to 1,024 rows: all of the events but their data        block.rs, encode.rs
//!   column       numbers of a block, packed so that one is read alone      column.rs, bits.rs
//!   strings      texts of a column, each once                              strings.rs, sections.rs
//!   ids          ids that producers gave, by template or literally         ids.rs, literals.rs
//!   rows         one column of one row, and scans                          rows.rs, places.rs
//!   events       put together again                                        assemble.rs
//! dictionary     strings and id templates that the whole segment shares    dictionary.rs
//! ```
// Nothing seals segments yet; this goes with the first caller.
#![allow(dead_code, unused_imports)]

mod assemble;
pub(crate) mod bits;
pub(crate) mod block;
pub(crate) mod column;
pub(crate) mod dictionary;
mod encode;
pub(crate) mod ids;
mod literals;
mod places;
mod rows;
pub(crate) mod sections;
pub(crate) mod strings;
#[cfg(test)]
mod tests;
