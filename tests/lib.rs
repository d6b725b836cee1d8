//! Shared by the cross-crate checks.

pub mod handle_suite;
