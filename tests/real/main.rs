//! Checks against real servers. `cargo xtask test --only real` builds what they need and tells them where it is.

mod durability;
mod otel;
mod prometheus;
