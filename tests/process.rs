//! Child processes of a test: each in its own group, its output kept, ended when the test ends.

use std::fs::{self, File};
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How often a bounded wait looks again.
const POLL: Duration = Duration::from_millis(100);

/// A running process. Dropping it ends its group.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it writes goes to `NAME.log` in `folder`.
    ///
    /// # Errors
    /// When the log cannot be made or the program cannot be started.
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("could not start {name}: {command:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// Ends it as a power cut would: SIGKILL, at once.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// The same while others use it: SIGKILL, without waiting for its end.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill_now(&self) -> Result<()> {
        let status = Command::new("kill")
            .args(["-KILL", &self.child.id().to_string()])
            .status()?;
        anyhow::ensure!(status.success(), "kill: {status}");
        Ok(())
    }

    /// Asks it to end (SIGTERM), and insists after ten seconds.
    pub fn stop(&mut self) {
        for (signal, patience) in [("-TERM", Duration::from_secs(10)), ("-KILL", Duration::from_secs(5))] {
            if self.has_ended() {
                return;
            }
            let group = format!("-{}", self.child.id());
            // A group that is gone already answers with an error, which is what we want to reach.
            let _ = Command::new("kill")
                .args([signal, "--", &group])
                .stderr(Stdio::null())
                .status();
            let deadline = Instant::now() + patience;
            while !self.has_ended() && Instant::now() < deadline {
                thread::sleep(POLL);
            }
        }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// The last lines it wrote, for the message of a failed check.
    pub fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(20)..].join("\n");
        format!("last lines of {}:\n{last}", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A loopback address that nothing listens on now.
///
/// # Errors
/// When the system has no free port.
pub fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Looks again and again until `look` answers `Ok(Some(_))`.
///
/// # Errors
/// When `limit` passes first; the message says what was awaited and what the last look said.
pub async fn wait_for<T, F>(what: &str, limit: Duration, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let deadline = Instant::now() + limit;
    loop {
        let last = match look().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => "not yet".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= deadline {
            bail!("{what}: not within {} s; the last look said: {last}", limit.as_secs());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The path in the variable `name`, which `cargo xtask test` sets to a program it built.
///
/// # Errors
/// When the variable is not set or names no file.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os(name).with_context(|| format!("{name} is not set: run this by `cargo xtask test`"))?;
    let path = PathBuf::from(path);
    anyhow::ensure!(path.is_file(), "{name} names {}, which is not a file", path.display());
    Ok(path)
}
