//! The decoders that are fuzzed; one program serves them all, since each would take minutes to build.

pub mod targets;
