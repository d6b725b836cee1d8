//! Runs the decoder that `HALO_FUZZ` names.

#![no_main]

#[path = "../src/targets.rs"]
mod targets;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use targets::{TARGETS, Target};

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("HALO_FUZZ").unwrap_or_default();
    let known = TARGETS.iter().find(|(target, _)| *target == name);
    *known.unwrap_or_else(|| panic!("HALO_FUZZ must name a decoder of src/targets.rs, got {name:?}"))
});

fuzz_target!(|bytes: &[u8]| CHOSEN.1(bytes));
