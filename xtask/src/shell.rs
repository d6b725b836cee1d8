//! Child processes: how commands are run, bounded in time, and stopped by their own process group.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How often a bounded wait looks again.
const POLL: Duration = Duration::from_millis(50);

/// The folder that holds the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    // Asked when it runs: a program built from another clone into the same cache knows only that one's path.
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let xtask = Path::new(&xtask);
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Where cargo puts its output: `CARGO_TARGET_DIR`, or `target/` in the workspace.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The path of a program of ours, built by cargo.
pub(crate) fn built(program: &str, release: bool) -> PathBuf {
    target_dir()
        .join(if release { "release" } else { "debug" })
        .join(program)
}

/// A command that starts in the workspace root.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// The cargo that runs this program, in the workspace root.
pub(crate) fn cargo() -> Command {
    let mut cargo = command(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    // What cargo told this program about itself: build scripts look at it, and would run anew each time somebody else builds.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    cargo
}

/// Runs to the end with the caller's terminal; an unsuccessful exit is an error that shows the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command.status().with_context(|| format!("could not start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// Runs to the end and returns what it wrote on standard output, trimmed; `None` when it fails or is not there.
pub(crate) fn read(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// Whether `program` is on the `PATH`.
pub(crate) fn has_program(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// The command as a person would type it.
pub(crate) fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// What a bounded command left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    /// `None` when the limit passed and the process group was killed.
    pub(crate) status: Option<ExitStatus>,
    /// Standard output and standard error, interleaved by line as they arrived.
    pub(crate) output: String,
}

/// Runs a command in its own process group for at most `limit`, echoing and keeping every line it writes.
pub(crate) fn run_bounded(command: &mut Command, limit: Duration) -> Result<Finished> {
    let shown = show(command);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command.spawn().with_context(|| format!("could not start `{shown}`"))?;
    let kept = Arc::new(Mutex::new(String::new()));
    let readers = [
        child.stdout.take().map(|pipe| echo(pipe, Arc::clone(&kept))),
        child.stderr.take().map(|pipe| echo(pipe, Arc::clone(&kept))),
    ];
    let status = wait(&mut child, limit)?;
    if status.is_none() {
        stop(&mut child);
    }
    for reader in readers.into_iter().flatten() {
        // A grandchild that keeps the pipe open must not hold the step: it is in the group that was just ended.
        let deadline = Instant::now() + Duration::from_secs(5);
        let reader = reader.context("could not start a thread to read a child's output")?;
        while !reader.is_finished() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
    }
    let output = kept.lock().map(|text| text.clone()).unwrap_or_default();
    Ok(Finished { status, output })
}

/// Waits for at most `limit`; `None` when the child still runs.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// Ends a child that was started in its own process group, and everything it started: first politely, then not.
pub(crate) fn stop(child: &mut Child) {
    for (signal, patience) in [("-TERM", Duration::from_secs(5)), ("-KILL", Duration::from_secs(5))] {
        let group = format!("-{}", child.id());
        // A group that is already gone answers with an error, which is what we want to reach.
        let _ = Command::new("kill")
            .args([signal, "--", &group])
            .stderr(Stdio::null())
            .status();
        if matches!(wait(child, patience), Ok(Some(_))) {
            return;
        }
    }
}

fn echo(pipe: impl Read + Send + 'static, kept: Arc<Mutex<String>>) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name("echo".to_owned()).spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            let text = String::from_utf8_lossy(&line);
            // A closed terminal must not lose the record that the counts are read from.
            let _ = io::stdout().write_all(text.as_bytes());
            if let Ok(mut kept) = kept.lock() {
                kept.push_str(&text);
            }
            line.clear();
        }
    })
}
