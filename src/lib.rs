//! annals
