//! Checks that cross crates and need nothing outside this process.

mod backtest;
mod handle;
mod scenarios;
