//! `halo serve` and `halo demo`: the engine, its routes and the console, until a signal ends them.

use super::init_logging;
use crate::auth::Auth;
use crate::auth::tokens::TokenFile;
use crate::data_lock::DataLock;
use crate::http::{DEMO_WEBHOOK_BASE, Receiver, ServeConfig, Server, WriteLimits};
use crate::otlp::grpc;
use anyhow::Context as _;
use clap::Args;
use engine::clock::SystemClock;
use engine::config::{Config, GrpcListen, RawConfig, ReplayConfig};
use engine::ingest::recording::Recording;
use engine::pipeline::Engine;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Saving state takes a second or two; one that hangs must not keep the process from ending.
const SHUTDOWN: Duration = Duration::from_secs(20);

/// Time between two looks at this host in the demo.
const HOST_INTERVAL_MS: u64 = 2000;

/// Arguments of `halo serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Configuration file; without one, safe defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address for OTLP over gRPC, or "off"; without it 127.0.0.1:4317, if that is free
    #[arg(long, value_name = "ADDRESS", value_parser = GrpcListen::parse)]
    otlp_grpc: Option<GrpcListen>,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `halo demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Recorded seconds per second; a twentieth of it while an urgent incident of the recording is open
    #[arg(long, default_value_t = 300.0)]
    speed: f64,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Place {
    /// Address to listen on; other than loopback it needs tokens and --insecure-listen
    #[arg(long, default_value = "127.0.0.1:7700")]
    listen: SocketAddr,
    /// Where database, log and history live; the default is halo-data, or halo-demo for the demo
    #[arg(long, env = "HALO_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Accept plain HTTP from other machines, for example behind a TLS proxy
    #[arg(long)]
    insecure_listen: bool,
}

/// Runs the service until SIGINT or SIGTERM.
pub(super) fn serve(args: ServeArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let mut config = read_config(args.config.as_deref())?;
    if let Some(dir) = &args.place.data_dir {
        config.data_dir.clone_from(dir);
    }
    if let Some(listen) = args.otlp_grpc {
        config.otlp_grpc = listen;
    }
    block_on(run(args.place, config, None, Vec::new(), out))
}

/// The configuration in a file; without one, the defaults.
pub(super) fn read_config(path: Option<&Path>) -> anyhow::Result<Config> {
    let raw = match path {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| engine::Error::io("the configuration cannot be read", path, error))?;
            RawConfig::parse(&text).with_context(|| path.display().to_string())?
        }
        None => RawConfig::default(),
    };
    Ok(Config::try_from(raw)?)
}

/// Runs the demo until SIGINT or SIGTERM.
pub(super) fn demo(args: DemoArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    if !(args.speed.is_finite() && args.speed > 0.0) {
        return Err(engine::Error::Config(vec![format!("--speed: must be above 0, got {}", args.speed)]).into());
    }
    let recording = Recording::bundled()?;
    let lines = vec![
        format!("  replays   {} at {} times its speed", recording.name, args.speed),
        format!("            {}", recording.attribution),
        format!("  watches   this host, every {} s", HOST_INTERVAL_MS / 1000),
    ];
    let mut config = Config::new(
        args.place
            .data_dir
            .clone()
            .unwrap_or_else(|| PathBuf::from("halo-demo")),
    );
    config.replay = Some(ReplayConfig::new(None, args.speed));
    config.host_interval_ms = Some(HOST_INTERVAL_MS);
    block_on(run(args.place, config, Some(Receiver::default()), lines, out))
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    init_logging();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)?;
    Ok(ExitCode::SUCCESS)
}

async fn run(
    place: Place,
    mut config: Config,
    receiver: Option<Receiver>,
    lines: Vec<String>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    // The address first: a second server must notice before it touches the first one's data.
    let auth = Auth::new(place.listen, place.insecure_listen, TokenFile::open(&config.data_dir)?)?;
    let limits = config.limits;
    let serve_config = ServeConfig {
        receiver: receiver.clone(),
        write_limits: WriteLimits {
            connections: connections(limits.connections),
            read_timeout: Duration::from_secs(limits.read_timeout_secs),
            ..WriteLimits::default()
        },
        secrets: crate::secrets::read(&config.webhooks)?,
        ..ServeConfig::new(auth)
    };
    let server = Server::bind(place.listen, serve_config).await.with_context(|| {
        format!(
            "{} cannot be listened on; is Halo running already? choose another address with --listen",
            place.listen
        )
    })?;
    let address = server.local_addr()?;
    let grpc = bind_grpc(config.otlp_grpc, place.insecure_listen, &config.data_dir).await?;
    if receiver.is_some() {
        config.webhook_base = Some(format!("http://{}{DEMO_WEBHOOK_BASE}", reachable(address)));
    }
    let data_dir = config.data_dir.clone();
    let _lock = DataLock::take(&data_dir)?;
    let engine = Engine::start(config, Arc::new(SystemClock)).await?;
    writeln!(out, "Halo {}: http://{}", env!("CARGO_PKG_VERSION"), reachable(address))?;
    for line in lines {
        writeln!(out, "{line}")?;
    }
    let (stop_grpc, mut stopped) = watch::channel(false);
    let grpc = match grpc {
        Some((listener, auth)) => {
            writeln!(out, "  OTLP      over gRPC at {}", reachable(listener.local_addr()?))?;
            let stop = async move {
                // An error means that the other end is gone, which is a stop as well.
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            Some(tokio::spawn(grpc::serve(listener, auth, engine.clone(), stop)))
        }
        None => None,
    };
    writeln!(out, "  keeps     {}", data_dir.display())?;
    writeln!(out, "  ends      with Ctrl-C")?;
    out.flush()?;
    let served = server.run(engine.clone(), stop_signal()).await;
    tracing::info!("stopping");
    stop_grpc.send_replace(true);
    if let Some(Err(error)) = match grpc {
        Some(serving) => Some(serving.await.map_err(std::io::Error::other).flatten()),
        None => None,
    } {
        tracing::warn!(%error, "OTLP over gRPC had stopped");
    }
    if tokio::time::timeout(SHUTDOWN, engine.shutdown()).await.is_err() {
        tracing::warn!(
            "the engine did not stop within {} s; the log will be replayed at the next start",
            SHUTDOWN.as_secs()
        );
    }
    Ok(served?)
}

/// Descriptors for files, the database and what Halo itself connects to.
#[cfg(target_os = "linux")]
const OTHER_DESCRIPTORS: u64 = 256;

/// As many connections as wanted and the system has descriptors for, after asking it for all that it gives.
#[cfg(target_os = "linux")]
fn connections(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let granted = if setrlimit(Resource::Nofile, raised).is_ok() {
        limit.maximum
    } else {
        limit.current
    };
    let room = granted.map_or(u64::MAX, |granted| granted.saturating_sub(OTHER_DESCRIPTORS).max(16));
    let possible = usize::try_from(room).unwrap_or(usize::MAX).min(wanted);
    if possible < wanted {
        tracing::info!(
            possible,
            wanted,
            "the system allows fewer connections than limits.max_connections: raise `ulimit -n`"
        );
    }
    possible
}

#[cfg(not(target_os = "linux"))]
fn connections(wanted: usize) -> usize {
    wanted
}

/// Listens for OTLP over gRPC as configured.
async fn bind_grpc(
    listen: GrpcListen,
    insecure_listen: bool,
    data_dir: &Path,
) -> anyhow::Result<Option<(TcpListener, Auth)>> {
    let (address, is_asked_for) = match listen {
        GrpcListen::Off => return Ok(None),
        GrpcListen::IfFree(address) => (address, false),
        GrpcListen::At(address) => (address, true),
    };
    let auth = Auth::new(address, insecure_listen, TokenFile::open(data_dir)?)?;
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some((listener, auth))),
        Err(error) if is_asked_for => Err(error).with_context(|| {
            format!("{address} cannot be listened on for OTLP over gRPC; choose another address with --otlp-grpc")
        }),
        Err(error) => {
            tracing::warn!(%error, "{address} is taken, so there is no OTLP over gRPC; choose an address with --otlp-grpc");
            Ok(None)
        }
    }
}

/// The address as this machine reaches it: 0.0.0.0 is not one.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// Completes at SIGINT or SIGTERM.
async fn stop_signal() {
    let interrupt = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "cannot listen for Ctrl-C; stop with SIGTERM");
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(error) => {
                tracing::error!(%error, "cannot listen for SIGTERM; stop with Ctrl-C");
                std::future::pending::<()>().await;
            }
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
