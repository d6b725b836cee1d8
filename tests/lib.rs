//! What the cross-crate checks share: the suite that every handle passes; real processes on loopback, stopped by their id;
//! a client for `halo`, and a ledger of what it acknowledged.

pub mod halo;
pub mod handle_suite;
pub mod ledger;
pub mod process;
