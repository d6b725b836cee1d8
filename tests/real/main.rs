//! Checks against real servers. `cargo xtask test --only real` builds what they need and tells them where it is.

mod alertmanager;
mod aws;
mod durability;
mod faults;
mod kafka;
mod kubernetes;
mod line_protocols;
mod log_files;
mod notify;
mod otel;
mod prometheus;
mod promql;
mod scrape;
