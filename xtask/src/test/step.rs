//! The steps, in the order in which they run: the cheap ones that fail most first, one build shared by the rest.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::count::{self, Tally};
use super::{Outcome, TestArgs};
use crate::setup::{self, Need};
use crate::{browser, cuda, kafka, peers, shell, tidy, web};

/// One named step of the whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Steps that must not have failed.
    pub(crate) after: &'static [&'static str],
    /// After this long its processes are killed and it counts as failed.
    pub(crate) limit: Duration,
    pub(crate) run: fn(&TestArgs, Duration) -> (Outcome, Tally),
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "setup",
        what: "what the checks need is there",
        after: &[],
        limit: minutes(10),
        run: setup,
    },
    Step {
        name: "fmt",
        what: "the format is rustfmt's",
        after: &[],
        limit: minutes(2),
        run: fmt,
    },
    Step {
        name: "tidy",
        what: "the rules of the tree hold",
        after: &[],
        limit: minutes(1),
        run: tidy,
    },
    Step {
        name: "web",
        what: "the console builds to WASM",
        after: &["setup"],
        limit: minutes(20),
        run: web,
    },
    Step {
        name: "clippy",
        what: "no warnings, anywhere",
        after: &["setup"],
        limit: minutes(20),
        run: clippy,
    },
    Step {
        name: "build",
        what: "programs and tests build",
        after: &["setup", "web"],
        limit: minutes(25),
        run: build,
    },
    Step {
        name: "unit",
        what: "unit, property and simulated-time tests",
        after: &["build"],
        limit: minutes(15),
        run: unit,
    },
    Step {
        name: "real",
        what: "real senders write to halo; kill -9, a full disk and other faults lose nothing",
        after: &["setup", "build"],
        limit: minutes(15),
        run: real,
    },
    Step {
        name: "browser",
        what: "the flows of the console in Chromium",
        after: &["setup", "web", "build"],
        limit: minutes(8),
        run: browser,
    },
    Step {
        name: "desktop",
        what: "the window opens under Xvfb",
        after: &["setup", "web", "build"],
        limit: minutes(4),
        run: desktop,
    },
    Step {
        name: "cuda",
        what: "the batched members on an NVIDIA device agree with the CPU",
        after: &["setup"],
        limit: minutes(40),
        run: cuda,
    },
];

/// The compilers must be there; what only some checks use may be missing, and those checks say so.
fn setup(args: &TestArgs, _: Duration) -> (Outcome, Tally) {
    // Group by group: a package that this distribution does not have must not keep the others away.
    for needs in [setup::DESKTOP, setup::PROMETHEUS, setup::BROWSER, setup::WINDOW] {
        if let Err(error) = setup::ensure(needs, args.setup) {
            println!("{error:#}");
        }
    }
    for peer in [otel(args), aws(args), kafka::jars(args.setup)] {
        if let Err(error) = peer {
            println!("{error:#}");
        }
    }
    let result = setup::ensure(setup::BUILD, args.setup).and_then(|()| components(args));
    (outcome(result), Tally::default())
}

/// The SDK of OpenTelemetry, in an environment of its own.
fn otel(args: &TestArgs) -> Result<PathBuf> {
    let python = peers::environment("otel", "tests/real/otel/requirements.txt", "about 40 MB", args.setup)?;
    let imports = "import opentelemetry.exporter.otlp.proto.grpc, opentelemetry.exporter.otlp.proto.http";
    anyhow::ensure!(
        shell::read(Command::new(&python).args(["-c", imports])).is_some(),
        "the SDK of OpenTelemetry could not be installed: see the output of pip above"
    );
    Ok(python)
}

/// A stand-in for the services of AWS and their own client, in an environment of its own.
fn aws(args: &TestArgs) -> Result<PathBuf> {
    let python = peers::environment("aws", "tests/real/aws/requirements.txt", "about 250 MB", args.setup)?;
    anyhow::ensure!(
        shell::read(Command::new(&python).args(["-c", "import boto3, moto.server"])).is_some(),
        "moto could not be installed: see the output of pip above"
    );
    Ok(python)
}

/// Adds rustfmt and clippy where rustup installed the bare compiler.
fn components(args: &TestArgs) -> Result<()> {
    for (component, probe) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if shell::read(shell::cargo().args([probe, "--version"])).is_none() {
            anyhow::ensure!(
                !args.setup.no_setup,
                "missing: {component}; by hand: rustup component add {component}"
            );
            println!("Installing with rustup: {component}");
            shell::run(shell::command("rustup").args(["component", "add", component]))?;
        }
    }
    Ok(())
}

fn fmt(_: &TestArgs, limit: Duration) -> (Outcome, Tally) {
    (
        finished(shell::cargo().args(["fmt", "--all", "--check"]), limit).0,
        Tally::default(),
    )
}

fn tidy(_: &TestArgs, _: Duration) -> (Outcome, Tally) {
    match tidy::run() {
        Ok(()) => (Outcome::Passed, Tally::of(tidy::rule_count(), 0)),
        Err(error) => (Outcome::Failed(format!("{error:#}")), Tally::default()),
    }
}

fn web(args: &TestArgs, _: Duration) -> (Outcome, Tally) {
    (outcome(web::run(&web::WebArgs { setup: args.setup })), Tally::default())
}

fn clippy(_: &TestArgs, limit: Duration) -> (Outcome, Tally) {
    // The fuzzer is a workspace of its own, which nothing here builds: a dependency that its lock lacks would show only there.
    let mut locked = shell::cargo();
    locked
        .current_dir(shell::root().join("fuzz"))
        .args(["update", "--workspace", "--locked"]);
    if let (Outcome::Failed(problem), _) = finished(&mut locked, limit) {
        let hint = "run `cargo update --workspace` in fuzz/, and commit its Cargo.lock";
        return (Outcome::Failed(format!("{problem}; {hint}")), Tally::default());
    }
    let mut clippy = shell::cargo();
    clippy
        .args(["clippy", "--locked", "--all-targets"])
        .args(packages())
        .args(["--", "-D", "warnings"]);
    (finished(&mut clippy, limit).0, Tally::default())
}

fn build(_: &TestArgs, limit: Duration) -> (Outcome, Tally) {
    // Binaries and tests in one call: asked for apart, cargo would choose other features and build the dependencies twice.
    let mut build = shell::cargo();
    build.args(["build", "--locked", "--bins", "--tests"]).args(packages());
    (finished(&mut build, limit).0, Tally::default())
}

/// Builds the tests that `cargo test` leaves out, with the features of the step `build`, and returns where this one is.
fn built_test(name: &str) -> Result<PathBuf> {
    let mut build = shell::cargo();
    build
        .args([
            "build",
            "--locked",
            "--lib",
            "--bins",
            "--test",
            "*",
            "--message-format=json",
        ])
        .args(packages());
    let artifacts = shell::read(&mut build).context("the tests could not be built: see `cargo build --test '*'`")?;
    let artifacts = artifacts
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    artifacts
        .filter(|artifact| artifact["target"]["name"] == name && artifact["target"]["kind"][0] == "test")
        .find_map(|artifact| artifact["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo built no test `{name}`"))
}

fn unit(_: &TestArgs, limit: Duration) -> (Outcome, Tally) {
    let mut test = shell::cargo();
    test.args(["test", "--locked", "--no-fail-fast"]).args(packages());
    let (outcome, output) = finished(&mut test, limit);
    (outcome, count::from_cargo(&output))
}

fn real(args: &TestArgs, limit: Duration) -> (Outcome, Tally) {
    // Without it, the tests that need it say that they were skipped.
    let peers = [
        ("HALO_OTEL_PYTHON", otel(args)),
        ("HALO_AWS_PYTHON", aws(args)),
        ("HALO_KAFKA_JARS", kafka::jars(args.setup)),
    ];
    let peers = peers.into_iter().filter_map(|(name, place)| Some((name, place.ok()?)));
    served(setup::PROMETHEUS, "real", peers.collect(), limit)
}

fn desktop(_: &TestArgs, limit: Duration) -> (Outcome, Tally) {
    let needs = [setup::DESKTOP, setup::WINDOW].concat();
    served(&needs, "desktop", Vec::new(), limit)
}

/// Runs the tests in `tests/NAME/` that work on the built programs and on real servers, with more variables.
fn served(needs: &[Need], name: &str, variables: Vec<(&str, PathBuf)>, limit: Duration) -> (Outcome, Tally) {
    if let Some(reason) = lacking(needs) {
        return (Outcome::Skipped(reason), Tally::default());
    }
    let test = match built_test(name) {
        Ok(path) => path,
        Err(error) => return (Outcome::Failed(format!("{error:#}")), Tally::default()),
    };
    let mut test = Command::new(test);
    test.current_dir(shell::root().join("tests"))
        .args(["--test-threads", "1", "--show-output"])
        .envs(variables);
    let (outcome, output) = finished(with_programs(&mut test), limit);
    (
        outcome,
        count::with_announced_skips(count::from_cargo(&output), &output),
    )
}

/// The faults around a real server; only those of the file `name`, such as `disk`.
pub(crate) fn real_faults(name: Option<&str>) -> Result<Command> {
    let mut build = shell::cargo();
    build.args(["build", "--locked", "--bins", "--tests"]).args(packages());
    shell::run(&mut build)?;
    let mut test = Command::new(built_test("real")?);
    test.current_dir(shell::root().join("tests"))
        .arg(format!("faults::{}", name.unwrap_or_default()))
        .args(["--test-threads", "1", "--nocapture"]);
    with_programs(&mut test);
    Ok(test)
}

/// Compiles the kernels, a matter of minutes the first time. A machine without a device still shows that they compile; the
/// test then counts as skipped.
fn cuda(_: &TestArgs, limit: Duration) -> (Outcome, Tally) {
    match cuda::test() {
        Err(reason) => (Outcome::Skipped(reason), Tally::default()),
        Ok(mut test) => {
            let (outcome, output) = finished(&mut test, limit);
            (
                outcome,
                count::with_announced_skips(count::from_cargo(&output), &output),
            )
        }
    }
}

fn browser(args: &TestArgs, limit: Duration) -> (Outcome, Tally) {
    if let Some(reason) = lacking(setup::BROWSER) {
        return (Outcome::Skipped(reason), Tally::default());
    }
    if let Err(error) = browser::prepare(args.setup) {
        return (Outcome::Skipped(format!("{error:#}")), Tally::default());
    }
    let mut node = Command::new("node");
    node.current_dir(browser::folder())
        // Three demos at a time: most of a flow is waiting for the replay to reach the fault.
        .args(["--test", "--test-reporter=tap", "--test-concurrency=3"])
        .args(browser::flows());
    let (outcome, output) = finished(with_programs(&mut node), limit);
    (outcome, count::from_tap(&output))
}

/// Every crate, but the desktop window where its system libraries are missing.
fn packages() -> Vec<&'static str> {
    match setup::missing(setup::DESKTOP).as_slice() {
        [] => vec!["--workspace"],
        _ => vec!["--workspace", "--exclude", "desktop"],
    }
}

/// Tells a test where the built programs are and where pictures go.
fn with_programs(command: &mut Command) -> &mut Command {
    let artifacts =
        std::env::var_os("HALO_ARTIFACTS").map_or_else(|| shell::target_dir().join("artifacts"), Into::into);
    command
        .env("HALO_BIN", shell::built("halo", false))
        .env("HALO_DESKTOP_BIN", shell::built("halo-desktop", false))
        .env("HALO_ARTIFACTS", artifacts)
}

/// Why a check cannot run here, when something it needs is missing.
fn lacking(needs: &[Need]) -> Option<String> {
    let missing: Vec<&str> = setup::missing(needs).iter().map(|need| need.package).collect();
    (!missing.is_empty()).then(|| format!("not installed: {}", missing.join(", ")))
}

fn outcome(result: Result<()>) -> Outcome {
    match result {
        Ok(()) => Outcome::Passed,
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

/// Runs a command within its limit; the outcome and everything it printed.
fn finished(command: &mut Command, limit: Duration) -> (Outcome, String) {
    let shown = shell::show(command);
    println!("$ {shown}");
    match shell::run_bounded(command, limit).with_context(|| format!("`{shown}` could not run")) {
        Err(error) => (Outcome::Failed(format!("{error:#}")), String::new()),
        Ok(shell::Finished { status: None, output }) => {
            (Outcome::Failed(format!("killed after {} s", limit.as_secs())), output)
        }
        Ok(shell::Finished {
            status: Some(status),
            output,
        }) if status.success() => (Outcome::Passed, output),
        Ok(shell::Finished {
            status: Some(status),
            output,
        }) => (Outcome::Failed(format!("ended with {status}")), output),
    }
}
