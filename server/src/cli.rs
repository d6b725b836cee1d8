//! The `halo` command line.

mod backfill;
mod backtest;
mod doctor;
mod logs;
mod models;
mod notify;
mod serve;
mod token;
mod train;

use clap::{Parser, Subcommand};
use std::io::Write;
use std::process::ExitCode;

/// Halo: learns what normal looks like, turns alerts into incidents, says why.
#[derive(Debug, Parser)]
#[command(name = "halo", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Replay the bundled recording and watch this host
    Demo(serve::DemoArgs),
    /// Run the service
    Serve(serve::ServeArgs),
    /// Run the whole loop over recorded history and say what would have happened
    Backtest(crate::backtest::BacktestArgs),
    /// Look into log files: the templates that their lines were printed from
    Logs(logs::LogsArgs),
    /// Say where every series of recorded history will be, with intervals
    Forecast(crate::forecast::ForecastArgs),
    /// Take history from a Prometheus, Thanos, Mimir or VictoriaMetrics into a data directory
    Backfill(backfill::BackfillArgs),
    /// Make the bundled models again from synthetic data, or with --data-dir train on your own history
    Train(train::TrainArgs),
    /// Show the versions of trained models, and change which is in use
    Models(models::ModelsArgs),
    /// Show whom a running server tells of incidents, try it, and ask why somebody was told
    Notify(notify::NotifyArgs),
    /// Measure the promised figures on this machine
    #[command(hide = true)]
    Bench(crate::bench::BenchArgs),
    /// Create, list and revoke access tokens
    Token(token::TokenArgs),
    /// Check this machine: data directory, port, models, console
    Doctor(doctor::DoctorArgs),
}

/// Runs the command that the arguments name.
///
/// Exit code 0; 1 when it failed; 2 when its input or arguments cannot be used. Messages for people go to standard error.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = std::io::stdout().lock();
    let outcome = match cli.command {
        Command::Demo(args) => serve::demo(args, &mut out),
        Command::Serve(args) => serve::serve(args, &mut out),
        Command::Backfill(args) => backfill::run(&args, &mut out),
        Command::Backtest(args) => backtest::run(&args, &mut out),
        Command::Logs(args) => logs::run(&args, &mut out),
        Command::Forecast(args) => backtest::forecast(&args, &mut out),
        Command::Bench(args) => backtest::bench(&args, &mut out),
        Command::Train(args) => train::run(&args, &mut out),
        Command::Models(args) => models::run(args, &mut out),
        Command::Notify(args) => notify::run(args, &mut out),
        Command::Token(args) => token::run(args, &mut out),
        Command::Doctor(args) => doctor::run(args, &mut out),
    };
    outcome.unwrap_or_else(|error| {
        // Nothing is left to tell when standard error is closed.
        let _ = writeln!(std::io::stderr(), "halo: {error:#}");
        match error.downcast_ref::<engine::Error>() {
            Some(engine::Error::Input { .. } | engine::Error::Config(_)) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    })
}

/// Starts logging to standard error; `HALO_LOG` filters, as in `HALO_LOG=info,engine=debug`.
pub fn init_logging() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("HALO_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A second start in the same process keeps the first subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
}
