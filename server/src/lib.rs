//! The engine over HTTP, the console it serves, and the client for it.
//!
//! [`http::Server`] binds and serves; [`client::HttpHandle`] is the other end of it; [`auth`] decides who a request is;
//! [`cli`] is the `halo` command.

pub mod auth;
pub mod backend;
mod backfill;
pub mod backtest;
pub mod bench;
pub mod cli;
pub mod client;
mod data_lock;
pub mod forecast;
pub mod http;
pub mod otlp;
pub mod secrets;
mod turns;
