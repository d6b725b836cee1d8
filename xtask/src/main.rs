//! Halo's automation. `cargo xtask demo` shows it, `cargo xtask test` checks it; the rest are the pieces of those two.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program speaks on its standard output"
)]

mod bench;
mod browser;
mod cuda;
mod demo;
mod desktop;
mod faults;
mod fuzz;
mod kafka;
mod models;
mod peers;
mod setup;
mod shell;
mod test;
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
    /// Set up, build and run: a replayed fault and this host's own metrics, on http://127.0.0.1:7700
    Demo(demo::DemoArgs),
    /// Set up and run every check; `.ci/run` calls exactly this
    Test(test::TestArgs),
    /// Open the console in a window with the engine inside
    Desktop(desktop::DesktopArgs),
    /// Build the console to WASM, into `dist/`
    Web(web::WebArgs),
    /// Let everything go wrong around the server that may, and show what it cost
    Faults(faults::FaultsArgs),
    /// Search for bytes that break a decoder
    Fuzz(fuzz::FuzzArgs),
    /// Check the rules that the compiler cannot see
    Tidy,
    /// Measure this machine
    Bench(bench::BenchArgs),
    /// Measure what others need for the same work on this machine
    Peers(peers::PeersArgs),
    /// Train the bundled models again
    Models(models::ModelsArgs),
    /// Build the program for NVIDIA devices
    Cuda(cuda::CudaArgs),
    /// Fetch the compiler and the libraries for that
    CudaToolkit(cuda::ToolkitArgs),
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
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Desktop(args) => desktop::run(&args),
        Command::Web(args) => web::run(&args),
        Command::Faults(args) => faults::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Tidy => tidy::run(),
        Command::Bench(args) => bench::run(&args),
        Command::Peers(args) => peers::run(&args),
        Command::Models(args) => models::run(&args),
        Command::Cuda(args) => cuda::build(&args),
        Command::CudaToolkit(args) => cuda::toolkit(&args),
    }
}
