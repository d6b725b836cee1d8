//! Chromium driven by playwright-core: the browser flows and the time from start to a usable console.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::setup::{self, SetupArgs};
use crate::shell;

/// The folder of the flows and their `package.json`.
pub(crate) fn folder() -> PathBuf {
    shell::root().join("tests").join("browser")
}

/// The files of flows, in order of name; Node releases differ in how they look for them.
pub(crate) fn flows() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder().join("flows")).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(".test.mjs"))
        .collect();
    files.sort();
    files
}

/// Makes sure that Chromium, Node and playwright-core are there.
///
/// # Errors
/// Says what is missing, and that `--no-setup` forbids fetching it when it does.
pub(crate) fn prepare(setup: SetupArgs) -> Result<()> {
    setup::ensure(setup::BROWSER, setup)?;
    if folder().join("node_modules").join("playwright-core").is_dir() {
        return Ok(());
    }
    if setup.no_setup {
        bail!("missing: playwright-core; --no-setup forbids installing it; by hand: npm ci in tests/browser");
    }
    println!("Installing from npm: playwright-core, to drive Chromium (into tests/browser/node_modules)");
    shell::run(
        Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
            .current_dir(folder()),
    )
}

/// Milliseconds from starting `halo serve` on a data directory that has been used before to a console with data in it.
pub(crate) fn start_to_console_ms(halo: &str, setup: SetupArgs) -> Result<f64> {
    prepare(setup)?;
    let mut measure = Command::new("node");
    measure
        .arg("start-to-console.mjs")
        .current_dir(folder())
        .env("HALO_BIN", halo)
        .stderr(Stdio::inherit());
    let text = shell::read(&mut measure).context("start-to-console.mjs failed")?;
    text.lines()
        .last()
        .unwrap_or_default()
        .parse()
        .with_context(|| format!("not a number of milliseconds: `{text}`"))
}
