//! A `halo serve` of our own on loopback, to measure from outside as a user would.

use engine::{Error, Result};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to answer before the measurement fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server process; stopped when dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// `http://127.0.0.1:PORT`
    pub(super) url: String,
    pub(super) started: Instant,
}

impl Server {
    /// Starts this very program as `halo serve` with `data_dir`, and does not wait for it.
    pub(super) fn spawn(data_dir: &Path) -> Result<Self> {
        let exe =
            std::env::current_exe().map_err(|error| Error::io("cannot find this program", "/proc/self/exe", error))?;
        let listen = free_address()?;
        let started = Instant::now();
        let child = Command::new(&exe)
            .args(["serve", "--listen", &listen, "--data-dir"])
            .arg(data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| Error::io("cannot start", exe, error))?;
        Ok(Self {
            child,
            url: format!("http://{listen}"),
            started,
        })
    }

    /// Waits until `answers` says yes, asking every two milliseconds.
    pub(super) async fn wait_until(&mut self, mut answers: impl AsyncFnMut() -> bool) -> Result<Duration> {
        loop {
            if answers().await {
                return Ok(self.started.elapsed());
            }
            let gone = self.child.try_wait().ok().flatten();
            if let Some(status) = gone {
                return Err(Error::Unavailable(format!(
                    "`halo serve` ended with {status} before it answered"
                )));
            }
            if self.started.elapsed() > PATIENCE {
                return Err(Error::Unavailable(format!(
                    "`halo serve` at {} did not answer within {} s",
                    self.url,
                    PATIENCE.as_secs()
                )));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory under the system's temporary one, removed when dropped.
#[derive(Debug)]
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("halo-bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| Error::io("cannot make the directory", path.clone(), error))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An address on loopback whose port nobody listens on.
fn free_address() -> Result<String> {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = address.map_err(|error| Error::io("cannot listen on", "127.0.0.1:0", error))?;
    Ok(address.to_string())
}
