//! `cargo xtask fuzz`: decoders under libFuzzer, one after the other.
//!
//! The compiler of the project does: coverage comes from LLVM's own pass, and an address sanitizer, which needs a nightly compiler,
//! finds nothing in code without `unsafe`. What is found stays in `fuzz/artifacts/`; `cargo fuzz` works on the same crate.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::setup::{self, SetupArgs};
use crate::shell;

const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares --cfg=fuzzing -Ccodegen-units=1";

#[derive(Debug, clap::Args)]
pub(crate) struct FuzzArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// Only this decoder, by its name in fuzz/src/targets.rs
    name: Option<String>,
    /// Seconds for each decoder
    #[arg(long, default_value_t = 60)]
    secs: u64,
    /// Memory of a run in MB; and a quarter of it for one allocation
    #[arg(long, default_value_t = 1024)]
    memory_mb: u64,
}

/// Builds the fuzzer and runs every decoder for its time.
pub(crate) fn run(args: &FuzzArgs) -> Result<()> {
    setup::ensure(setup::BUILD, args.setup)?;
    let folder = shell::root().join("fuzz");
    let program = build(&folder)?;
    let mut failed = Vec::new();
    let names: Vec<String> = names(&folder)?
        .into_iter()
        .filter(|name| args.name.as_ref().is_none_or(|only| only == name))
        .collect();
    if names.is_empty() {
        bail!("no decoder of that name in fuzz/src/targets.rs");
    }
    for name in &names {
        let (corpus, artifacts) = (folder.join("corpus").join(name), folder.join("artifacts").join(name));
        std::fs::create_dir_all(&corpus)?;
        std::fs::create_dir_all(&artifacts)?;
        let mut fuzz = Command::new(&program);
        fuzz.env("HALO_FUZZ", name)
            .arg(&corpus)
            .arg(folder.join("seeds").join(name))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg(format!("-max_total_time={}", args.secs))
            .arg(format!("-rss_limit_mb={}", args.memory_mb))
            .arg(format!("-malloc_limit_mb={}", args.memory_mb / 4))
            .args(["-max_len=8192", "-timeout=10", "-print_final_stats=1", "-verbosity=0"]);
        let shell::Finished { status, output } = shell::run_bounded(&mut fuzz, Duration::from_secs(args.secs + 120))?;
        let runs = output
            .lines()
            .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        let peak = output.lines().find_map(|line| line.strip_prefix("stat::peak_rss_mb:"));
        let sound = status.is_some_and(|status| status.success());
        println!(
            "fuzz  {name:<20} {:>12} runs  {:>5} MB  {}",
            runs.unwrap_or("?").trim(),
            peak.unwrap_or("?").trim(),
            if sound { "sound" } else { "BROKEN" }
        );
        if !sound {
            failed.push(name.as_str());
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        bail!("broken: {}; see fuzz/artifacts/", failed.join(", "))
    }
}

fn build(folder: &std::path::Path) -> Result<PathBuf> {
    // Named, so that build scripts and procedural macros are not instrumented.
    const TRIPLE: &str = "x86_64-unknown-linux-gnu";
    let target = shell::target_dir().join("fuzz");
    let mut build = shell::cargo();
    build
        .current_dir(folder)
        .env("RUSTFLAGS", COVERAGE)
        .env("CARGO_TARGET_DIR", &target)
        .args(["build", "--release", "--locked", "--target", TRIPLE]);
    shell::run(&mut build)?;
    Ok(target.join(TRIPLE).join("release").join("decoder"))
}

/// The decoders, as `fuzz/src/targets.rs` lists them.
fn names(folder: &std::path::Path) -> Result<Vec<String>> {
    let path = folder.join("src/targets.rs");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(listed(&text))
}

fn listed(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    let entries = lines.filter_map(|line| line.strip_prefix("(\"")?.split_once("\", "));
    entries.map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoders_are_found_by_their_lines() {
        let text = "pub const TARGETS: &[Target] = &[\n    (\"loki\", loki_protobuf),\n    (\"csv\", csv),\n];\nlet x = (\"a\");\n";
        assert_eq!(listed(text), ["loki", "csv"]);
    }
}
