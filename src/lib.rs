//! annals

#[doc(hidden)]
pub mod io;
