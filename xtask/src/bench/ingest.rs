//! Halo and VictoriaMetrics beside each other: `halo bench ingest` sends the same bytes to both, here the peer is installed, started
//! fresh for each number of series, and stopped. Where there is none, its figures are named as skipped and Halo's stand alone.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{Figure, engine_figures};
use crate::setup::{self, SetupArgs};
use crate::shell;

/// Numbers of series.
const SERIES: [u32; 3] = [1_000, 50_000, 200_000];

/// For the peer to listen.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// The figures at each number of series, and with `sustained` those of ten minutes at a fixed rate.
pub(super) fn figures(halo: &str, setup: SetupArgs, sustained: bool) -> Result<Vec<Figure>> {
    let peer = name_of_peer(setup);
    if let Err(error) = &peer {
        eprintln!("ingest: VictoriaMetrics' figures are skipped: {error:#}");
    }
    let mut figures = Vec::new();
    for series in SERIES {
        let series = series.to_string();
        let mut args = vec!["ingest".to_owned(), "--series".to_owned(), series.clone()];
        let server = match &peer {
            Err(_) => None,
            Ok(name) => match Victoria::start() {
                Ok(server) => {
                    args.extend(server.as_peer(name));
                    Some(server)
                }
                Err(error) => {
                    eprintln!("ingest, {series} series: VictoriaMetrics' figures are skipped: {error:#}");
                    None
                }
            },
        };
        figures.extend(engine_figures(halo, &args)?);
        drop(server);
    }
    if sustained {
        figures.extend(engine_figures(halo, &["ingest", "--sustained"].map(str::to_owned))?);
    }
    Ok(figures)
}

/// Name and version, installed if it may be.
fn name_of_peer(setup: SetupArgs) -> Result<String> {
    setup::ensure(setup::VICTORIA_METRICS, setup)?;
    let mut asked = Command::new("dpkg-query");
    let version = shell::read(asked.args(["-W", "-f", "${Version}", "victoria-metrics"]));
    Ok(peer_name(version.as_deref()))
}

/// The upstream part of a Debian version is what people know it by.
fn peer_name(debian_version: Option<&str>) -> String {
    let version = debian_version.and_then(|version| version.split(['+', '-']).next());
    match version {
        Some(version) if !version.is_empty() => format!("VictoriaMetrics {version}"),
        _ => "VictoriaMetrics".to_owned(),
    }
}

/// A server of its own on loopback, its data where Halo has its own in this measurement. Stopped and forgotten when dropped.
#[derive(Debug)]
struct Victoria {
    child: Child,
    data: PathBuf,
    address: SocketAddr,
}

impl Victoria {
    fn start() -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = address.context("no port is free on loopback")?;
        let data = std::env::temp_dir().join(format!("halo-bench-victoria-{}", std::process::id()));
        let mut command = Command::new("victoria-metrics");
        command
            .arg(format!("-httpListenAddr={address}"))
            .arg(format!("-storageDataPath={}", data.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let shown = shell::show(&command);
        let child = command.spawn().with_context(|| format!("could not start `{shown}`"))?;
        let mut server = Self { child, data, address };
        let deadline = Instant::now() + PATIENCE;
        // It listens once its storage is open.
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("`{shown}` ended with {status} before it listened");
            }
            if Instant::now() >= deadline {
                bail!("`{shown}` did not listen within {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(POLL);
        }
        Ok(server)
    }

    /// What tells `halo bench ingest` about it.
    fn as_peer(&self, name: &str) -> [String; 6] {
        let (url, pid) = (
            format!("http://{}/api/v1/write", self.address),
            self.child.id().to_string(),
        );
        ["--peer", name, "--peer-url", &url, "--peer-pid", &pid].map(str::to_owned)
    }
}

impl Drop for Victoria {
    fn drop(&mut self) {
        shell::stop(&mut self.child);
        // What cannot be removed is in a temporary folder.
        let _ = fs::remove_dir_all(&self.data);
    }
}

#[cfg(test)]
mod tests {
    use super::peer_name;

    #[test]
    fn a_peer_is_named_by_the_version_of_its_makers() {
        assert_eq!(peer_name(Some("1.79.5+ds1-2+b5")), "VictoriaMetrics 1.79.5");
        assert_eq!(peer_name(Some("1.111.0-1")), "VictoriaMetrics 1.111.0");
        assert_eq!(peer_name(Some("")), "VictoriaMetrics");
        assert_eq!(peer_name(None), "VictoriaMetrics", "there, but not from a package");
    }
}
