//! Halo's automation. `cargo xtask demo` shows it, `cargo xtask test` checks it; the rest are the pieces of those two.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program speaks on its standard output"
)]

mod setup;
mod shell;
mod tidy;
mod web;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Halo's automation: the same commands here and in CI")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the console to WASM, into `dist/`
    Web(web::WebArgs),
    /// Check the rules that the compiler cannot see
    Tidy,
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Web(args) => web::run(&args),
        Command::Tidy => tidy::run(),
    }
}
