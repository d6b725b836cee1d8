//! Checks against real servers. `cargo xtask test --only real` builds what they need and tells them where it is.

mod alertmanager;
mod durability;
mod faults;
mod line_protocols;
mod otel;
mod prometheus;
mod promql;
mod scrape;
