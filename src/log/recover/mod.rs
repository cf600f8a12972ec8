//! From files to a log: look at everything, decide, and only then act.
//!
//! [`look`] reads and changes nothing, and serves readers as well as the writer. [`decide`] is a
//! table. [`act`] does what the table says, in steps that may be cut short anywhere and repeated.

pub(crate) mod act;
pub(crate) mod decide;
pub(crate) mod look;
mod told;
mod walk;
