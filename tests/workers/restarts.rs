//! Later.

