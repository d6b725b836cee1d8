//! What the commands need beyond Rust, found or installed. Nothing is installed before it has been named.

use std::io::IsTerminal as _;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Result, bail};

use crate::shell;

/// May missing packages be installed?
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub(crate) struct SetupArgs {
    /// Install nothing: say what is missing and stop
    #[arg(long)]
    pub(crate) no_setup: bool,
}

/// One thing that must be there, and the Debian package that brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    /// Package name in Debian and Ubuntu.
    pub(crate) package: &'static str,
    /// How its presence is seen; a distribution that names packages differently passes as well.
    pub(crate) probe: Probe,
    /// What it is for, shown before it is installed.
    pub(crate) purpose: &'static str,
}

/// A way to see that something is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// A program on the `PATH`.
    Program(&'static str),
    /// A library that `pkg-config` knows.
    Library(&'static str),
    /// The package itself, where another one brings a program of the same name that does not do.
    Package,
}

const fn need(package: &'static str, probe: Probe, purpose: &'static str) -> Need {
    Need {
        package,
        probe,
        purpose,
    }
}

/// A C compiler, for the embedded SQLite, the TLS libraries and the client of Kafka.
pub(crate) const BUILD: &[Need] = &[
    need("build-essential", Probe::Program("cc"), "compile the embedded SQLite"),
    need("make", Probe::Program("make"), "compile the client of Kafka"),
    need(
        "perl",
        Probe::Program("perl"),
        "configure OpenSSL, for the client of Kafka",
    ),
];

/// Debian's Rust with the sources of its standard library: compiles to WASM where rustup has no such target to offer.
pub(crate) const WASM_DEBIAN: &[Need] = &[
    need("rustc-web", Probe::Package, "compile the console to WASM"),
    need("cargo-web", Probe::Package, "compile the console to WASM"),
    need("rust-web-src", Probe::Package, "build the standard library for WASM"),
    need("lld-19", Probe::Program("wasm-ld-19"), "link WASM"),
];

/// The system web view that the desktop window is made of.
pub(crate) const DESKTOP: &[Need] = &[
    need(
        "pkg-config",
        Probe::Program("pkg-config"),
        "find the system's libraries",
    ),
    need(
        "libwebkit2gtk-4.1-dev",
        Probe::Library("webkit2gtk-4.1"),
        "the desktop window",
    ),
];

/// A real sender of metrics.
pub(crate) const PROMETHEUS: &[Need] = &[
    need(
        "prometheus",
        Probe::Program("prometheus"),
        "a real Prometheus writes to Halo",
    ),
    need(
        "prometheus-node-exporter",
        Probe::Program("prometheus-node-exporter"),
        "real metrics for it to scrape",
    ),
    need(
        "prometheus-alertmanager",
        Probe::Program("amtool"),
        "amtool asks Halo as an Alertmanager",
    ),
    need("python3-statsd", Probe::Package, "a StatsD client sends to Halo"),
    need("python3-influxdb", Probe::Package, "an InfluxDB client writes to Halo"),
];

/// A real broker of Kafka, which Maven fetches, and a client that sends to it.
pub(crate) const KAFKA: &[Need] = &[
    need("default-jre-headless", Probe::Program("java"), "run a broker of Kafka"),
    need("maven", Probe::Program("mvn"), "fetch the broker"),
    need("kcat", Probe::Program("kcat"), "a Kafka client sends to Halo"),
];

/// Another store of metrics, to measure beside Halo.
pub(crate) const VICTORIA_METRICS: &[Need] = &[need(
    "victoria-metrics",
    Probe::Program("victoria-metrics"),
    "the peer of `cargo xtask bench ingest`",
)];

/// A real browser and what drives it.
pub(crate) const BROWSER: &[Need] = &[
    need("chromium", Probe::Program("chromium"), "the browser flows"),
    need("nodejs", Probe::Program("node"), "drive the browser"),
    need("npm", Probe::Program("npm"), "fetch playwright-core"),
];

/// A display for the desktop window, and eyes to see it.
pub(crate) const WINDOW: &[Need] = &[
    need("xvfb", Probe::Program("Xvfb"), "a display for the desktop window"),
    need("openbox", Probe::Program("openbox"), "a window manager for it"),
    need(
        "dbus-x11",
        Probe::Program("dbus-run-session"),
        "the web view's message bus",
    ),
    need("imagemagick", Probe::Program("import"), "photograph the window"),
    need("xdotool", Probe::Program("xdotool"), "find the window by its title"),
];

impl Need {
    /// Whether it is already there.
    pub(crate) fn is_met(&self) -> bool {
        match self.probe {
            Probe::Program(program) => shell::has_program(program),
            Probe::Library(name) => shell::read(Command::new("pkg-config").args(["--exists", name])).is_some(),
            Probe::Package => {
                let status = shell::read(Command::new("dpkg-query").args(["-W", "-f", "${Status}", self.package]));
                status.as_deref() == Some("install ok installed")
            }
        }
    }
}

/// Installs what is missing of `needs`, after naming it.
///
/// # Errors
/// When something is missing and may not (`--no-setup`) or can not (no apt-get, no root, no sudo) be installed; the
/// message names every missing package and the command that brings it.
pub(crate) fn ensure(needs: &[Need], args: SetupArgs) -> Result<()> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let by_hand = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    if args.no_setup {
        bail!(
            "missing: {}; --no-setup forbids installing it; by hand: {by_hand}",
            packages.join(", ")
        );
    }
    if !shell::has_program("apt-get") {
        bail!(
            "missing: {}; this machine has no apt-get, so install the equivalents yourself",
            packages.join(", ")
        );
    }
    let Some(prefix) = privilege() else {
        bail!(
            "missing: {}; installing needs root or sudo; as root: {by_hand}",
            packages.join(", ")
        );
    };
    println!("Installing from this machine's package sources:");
    for need in &missing {
        println!("  {:<26} {}", need.package, need.purpose);
    }
    // A fresh container has no package lists, and what a stale list names may be gone: once in a run.
    static UPDATED: OnceLock<()> = OnceLock::new();
    if UPDATED.set(()).is_ok() {
        shell::run(&mut apt(&prefix, &["update", "-q"]))?;
    }
    let mut install = apt(&prefix, &["install", "-y", "-q", "--no-install-recommends"]);
    shell::run(install.args(&packages))?;
    let still: Vec<&str> = self::missing(needs).iter().map(|need| need.package).collect();
    if !still.is_empty() {
        bail!(
            "installed, yet not found: {}; look at the output of apt-get above",
            still.join(", ")
        );
    }
    Ok(())
}

/// The needs that are not met, each package once, in the order given.
pub(crate) fn missing(needs: &[Need]) -> Vec<Need> {
    needs.iter().copied().filter(|need| !need.is_met()).collect()
}

/// The words before `apt-get`: none as root, `sudo` where it works, `None` where neither does.
fn privilege() -> Option<Vec<&'static str>> {
    if shell::read(Command::new("id").arg("-u")).as_deref() == Some("0") {
        return Some(Vec::new());
    }
    if !shell::has_program("sudo") {
        return None;
    }
    if std::io::stdin().is_terminal() {
        return Some(vec!["sudo"]);
    }
    // Nobody is there to type a password.
    shell::read(Command::new("sudo").args(["-n", "true"])).map(|_| vec!["sudo", "-n"])
}

fn apt(prefix: &[&str], args: &[&str]) -> Command {
    let words: Vec<&str> = prefix
        .iter()
        .copied()
        .chain(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"])
        .collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args(args).stdin(Stdio::inherit());
    command
}
