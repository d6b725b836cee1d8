//! Checks that cross crates and need nothing outside this process.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test, with its line")]

mod backtest;
mod decoders;
mod forecast;
mod handle;
mod irregular;
mod kinds;
mod scenarios;
