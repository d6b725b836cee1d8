//! The `halo-desktop` window: the console over a handle, without a socket of its own.

#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

use anyhow::Context as _;
use clap::Parser;
use engine::clock::SystemClock;
use engine::config::{Config, ReplayConfig};
use engine::handle::Handle;
use engine::pipeline::Engine;
use server::auth::local_identity;
use server::client::HttpHandle;
use server::http::Receiver;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tauri::RunEvent;
use tauri::async_runtime::block_on;

/// Saving state takes a second or two; one that hangs must not keep the window's process alive.
const SHUTDOWN: Duration = Duration::from_secs(20);

/// Halo in a window: the engine inside, watching this host and replaying a recording; or a server elsewhere
#[derive(Debug, Parser)]
#[command(name = "halo-desktop", version)]
struct Args {
    /// Show this Halo server instead, such as http://127.0.0.1:7700
    #[arg(long, value_name = "URL")]
    remote: Option<String>,
    /// Token for the remote server
    #[arg(long, env = "HALO_TOKEN", hide_env_values = true, requires = "remote")]
    token: Option<String>,
    /// Where database, log and history live; the default is this user's data directory
    #[arg(long, env = "HALO_DATA_DIR", conflicts_with = "remote")]
    data_dir: Option<PathBuf>,
    /// Recorded seconds per second of the replay; 0 leaves the replay out
    #[arg(long, default_value_t = 300.0, conflicts_with = "remote")]
    speed: f64,
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
    if let Some(remote) = &args.remote {
        return show(Arc::new(HttpHandle::new(remote, args.token)?), || {});
    }
    let mut config = local_config(args.data_dir, args.speed)?;
    if config.replay.is_some() {
        // What the recording shows is long over: a stand-in takes the place of the system that playbooks would act on.
        config.webhook_base = Some(block_on(Receiver::default().listen())?);
    }
    let engine = block_on(Engine::start(config, Arc::new(SystemClock)))?;
    let handle = engine.handle(local_identity());
    show(handle, move || {
        if block_on(async { tokio::time::timeout(SHUTDOWN, engine.shutdown()).await }).is_err() {
            tracing::warn!("the engine did not stop in time; the log will be replayed at the next start");
        }
    })
}

fn local_config(data_dir: Option<PathBuf>, speed: f64) -> anyhow::Result<Config> {
    anyhow::ensure!(
        speed.is_finite() && speed >= 0.0,
        "--speed: must be 0 or above, got {speed}"
    );
    let data_dir = data_dir
        .or_else(|| dirs::data_local_dir().map(|dir| dir.join("halo")))
        .context("this user has no data directory; name one with --data-dir")?;
    let mut config = Config::new(data_dir);
    config.host_interval_ms = Some(2000);
    config.replay = (speed > 0.0).then_some(ReplayConfig::new(None, speed));
    Ok(config)
}

/// Opens the window and runs until it is closed, then runs `at_exit`.
fn show(handle: Arc<dyn Handle>, at_exit: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    let app = desktop::attach(tauri::Builder::default(), handle)
        .build(tauri::generate_context!())
        .context("the window could not be opened; on Linux this needs a display and WebKitGTK 4.1")?;
    let mut at_exit = Some(at_exit);
    // This call ends the process, so what must happen before that happens at the exit event.
    app.run(move |_, event| {
        if let RunEvent::Exit = event
            && let Some(at_exit) = at_exit.take()
        {
            at_exit();
        }
    });
    Ok(())
}
