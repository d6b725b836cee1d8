//! The `halo-desktop` window: the console over a handle, without a socket of its own.

#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

use anyhow::Context as _;
use clap::Parser;
use server::client::HttpHandle;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

/// Halo in a window
#[derive(Debug, Parser)]
#[command(name = "halo-desktop", version)]
struct Args {
    /// Address of the Halo server to show, such as http://127.0.0.1:7700
    #[arg(long, value_name = "URL")]
    remote: String,
    /// Token for the remote server
    #[arg(long, env = "HALO_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

fn main() -> ExitCode {
    server::cli::init_logging();
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr(), "halo-desktop: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let handle = Arc::new(HttpHandle::new(&args.remote, args.token)?);
    desktop::attach(tauri::Builder::default(), handle)
        .run(tauri::generate_context!())
        .context("the window could not be opened; on Linux this needs a display and WebKitGTK 4.1")
}
