//! `cargo xtask peers`: what others need for the work that `halo bench` measures, on this machine. `peers.py` measures, in a
//! Python environment of its own below the build outputs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::setup::SetupArgs;
use crate::shell;

/// What measures, and the versions that it measures.
const SCRIPT: &str = "server/src/bench/peers.py";
const PACKAGES: &str = "server/src/bench/peers.txt";

#[derive(Debug, clap::Args)]
pub(crate) struct PeersArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
}

/// One figure of somebody else's program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Peer {
    /// Name and version.
    pub(crate) peer: String,
    /// Bears the name of Halo's figure where there is one.
    pub(crate) figure: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
}

/// Fetches what is missing, measures, prints.
pub(crate) fn run(args: &PeersArgs) -> Result<()> {
    let mut script = script(&prepare(args.setup)?);
    if !args.json {
        script.arg("--table");
    }
    shell::run(&mut script)
}

/// The figures of every peer that could be measured; the script says on standard error which could not.
pub(crate) fn measure(python: &Path) -> Result<Vec<Peer>> {
    let mut script = script(python);
    let shown = shell::show(&script);
    let output = script.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("could not start `{shown}`"))?;
    ensure!(output.status.success(), "`{shown}` ended with {}", output.status);
    parse(&String::from_utf8_lossy(&output.stdout))
}

fn parse(lines: &str) -> Result<Vec<Peer>> {
    let parsed = lines.lines().map(serde_json::from_str);
    parsed
        .map(|line| line.with_context(|| format!("not a figure of {SCRIPT}")))
        .collect()
}

/// The interpreter of an environment with the packages in it, those that could be fetched.
///
/// # Errors
/// When an environment cannot be made, or may not be (`--no-setup`); the message names the commands that make it.
pub(crate) fn prepare(setup: SetupArgs) -> Result<PathBuf> {
    environment("peers", PACKAGES, "about 6 GB", setup)
}

/// The interpreter of the environment `name` below the build outputs, with the packages of a list in it.
///
/// # Errors
/// As [`prepare`].
pub(crate) fn environment(name: &str, packages: &str, size: &str, setup: SetupArgs) -> Result<PathBuf> {
    let wanted = fs::read_to_string(shell::root().join(packages)).with_context(|| format!("cannot read {packages}"))?;
    environment_in(&shell::target_dir().join(name), packages, &wanted, size, setup)
}

fn environment_in(dir: &Path, list: &str, wanted: &str, size: &str, setup: SetupArgs) -> Result<PathBuf> {
    let python = dir.join("bin/python");
    // A copy of the list, written when all of it was there.
    let installed = dir.join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|list| list == wanted) {
        return Ok(python);
    }
    let by_hand = format!(
        "python3 -m venv {} && {} -m pip install -r {list}",
        dir.display(),
        python.display()
    );
    ensure!(
        !setup.no_setup,
        "nothing is installed in {}; --no-setup forbids it; by hand: {by_hand}",
        dir.display()
    );
    ensure!(
        shell::read(shell::command("python3").args(["-c", "import venv, ensurepip"])).is_some(),
        "python3 with venv is needed for that; by hand: apt-get install python3-venv"
    );
    // Not on standard output, which is for figures.
    eprintln!("Installing with pip into {}, {size}:", dir.display());
    shell::run(shell::command("python3").args(["-m", "venv"]).arg(dir))?;
    let mut complete = true;
    for package in packages(wanted) {
        eprintln!("  {package}");
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", package]);
        // One that cannot be had costs its own figures, not those of the others.
        if let Err(error) = shell::run(&mut pip) {
            eprintln!("{package} is left out: {error:#}");
            complete = false;
        }
    }
    if complete {
        fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))?;
    }
    Ok(python)
}

/// The requirements among the lines of a list for pip.
fn packages(list: &str) -> impl Iterator<Item = &str> {
    let lines = list.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn script(python: &Path) -> Command {
    let mut script = shell::command(&python.to_string_lossy());
    script.arg(SCRIPT);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_pins_every_package() {
        let list = fs::read_to_string(shell::root().join(PACKAGES)).unwrap();
        assert_eq!(packages(&list).count(), 5);
        assert!(packages(&list).all(|package| package.contains("==")), "{list}");
    }

    #[test]
    fn figures_are_read_a_line_each() {
        let line = r#"{"peer": "other 1.0", "figure": "forest", "value": 2.5, "unit": "rows/s"}"#;
        let figures = parse(&format!("{line}\n{line}\n")).unwrap();
        assert_eq!((figures.len(), figures[0].value), (2, 2.5));
        assert!(parse("no figure").is_err());
    }

    #[test]
    fn nothing_is_fetched_against_the_will() {
        let nowhere = Path::new("no-such-folder");
        let error = environment_in(nowhere, "list.txt", "a==1", "small", SetupArgs { no_setup: true });
        let error = error.unwrap_err().to_string();
        assert!(error.contains("by hand: python3 -m venv no-such-folder"), "{error}");
    }
}
