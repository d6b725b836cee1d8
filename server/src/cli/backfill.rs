//! `halo backfill`: the history of another system into a data directory, span by span, with a marker from which the same command
//! goes on after it was stopped.

use super::init_logging;
use super::serve::read_config;
use super::train::stop_flag;
use crate::backfill::{Origin, check_selector};
use crate::data_lock::DataLock;
use anyhow::{Context as _, Result, ensure};
use clap::Args;
use engine::clock::{Clock as _, SystemClock};
use engine::pipeline::{Backfill, Filled};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use wire::Timestamp;

/// A span is never asked for in smaller parts.
const SHORTEST_MS: i64 = 60_000;

/// Arguments of `halo backfill`.
#[derive(Debug, Args)]
pub(super) struct BackfillArgs {
    /// Address below which /api/v1/query is: of Mimir that is http://HOST/prometheus, of a VictoriaMetrics cluster
    /// http://HOST/select/0/prometheus
    #[arg(long, value_name = "URL")]
    from: String,
    /// Which series, as in PromQL: '{job="node"}'; repeat it for more
    #[arg(long = "match", value_name = "SELECTOR", required = true)]
    selectors: Vec<String>,
    /// From when on, as 2026-01-31T00:00:00Z or in seconds since 1970; at most as long ago as history is kept
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    start: Timestamp,
    /// Until when; without it, until now
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    end: Option<Timestamp>,
    /// Hours asked for at once; less by itself where that is too much for the other side
    #[arg(long, default_value_t = 6.0)]
    span_hours: f64,
    /// Requests a second at most
    #[arg(long, default_value_t = 4.0)]
    rate: f64,
    /// File that holds the token to ask with
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Data directory to fill; its Halo must not run
    #[arg(long, env = "HALO_DATA_DIR", default_value = "halo-data")]
    data_dir: PathBuf,
    /// Configuration file, for how long history is kept and how many series there may be
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Who goes on sending these series: remote_write, otlp, influx, or "scrape JOB"
    #[arg(long, default_value = "remote_write")]
    source: String,
}

/// How far a back-fill has come.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Marker {
    from: String,
    selectors: Vec<String>,
    start: Timestamp,
    next: Timestamp,
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    if let Ok(secs) = text.parse::<i64>() {
        return Ok(Timestamp::from_secs(secs));
    }
    let parsed = text.parse::<jiff::Timestamp>();
    parsed
        .map(|at| Timestamp(at.as_millisecond()))
        .map_err(|_| format!("must be like 2026-01-31T00:00:00Z, or seconds since 1970, got {text:?}"))
}

/// Fills until the end or until it is stopped, which is no failure.
pub(super) fn run(args: &BackfillArgs, out: &mut impl Write) -> Result<ExitCode> {
    init_logging();
    let stopped = stop_flag();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let is_stopped = || stopped.load(Ordering::Relaxed);
    let filled = runtime.block_on(fill(args, SystemClock.now(), &is_stopped))?;
    let Done { filled, is_whole } = filled;
    writeln!(
        out,
        "{} samples of history, {} left out as stored already, {} as no numbers, {} over the limit of series",
        filled.samples, filled.covered, filled.not_a_number, filled.too_many_series
    )?;
    if !is_whole {
        writeln!(out, "stopped on request; the same command goes on from here")?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Done {
    filled: Filled,
    is_whole: bool,
}

async fn fill(args: &BackfillArgs, now: Timestamp, is_stopped: &dyn Fn() -> bool) -> Result<Done> {
    for selector in &args.selectors {
        check_selector(selector)?;
    }
    ensure!(
        args.span_hours.is_finite() && args.span_hours > 0.0,
        "--span-hours: must be above 0, got {}",
        args.span_hours
    );
    let config = read_config(args.config.as_deref())?;
    let asked = args.start;
    let kept = now - config.retention_ms;
    let start = asked.max(kept);
    if start > asked {
        tell(&format!("history is kept since {kept}; what is older is left out"));
    }
    let end = args.end.unwrap_or(now).min(now);
    ensure!(start < end, "--start: must be before --end, and within what is kept");
    let token = match &args.token_file {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("the token cannot be read: {}", path.display()))?;
            Some(text.trim().to_owned())
        }
    };
    let origin = Origin::new(&args.from, token, args.rate)?;
    let _lock = DataLock::take(&args.data_dir)?;
    let mut into = Backfill::open(&args.data_dir, &args.source, config.max_series).await?;
    let marker = marker_path(args);
    let mut at = match read_marker(&marker) {
        Some(found) if found.is_of(args) => {
            tell(&format!("goes on from {}", found.next));
            found.next.max(start)
        }
        _ => start,
    };
    into.declare(origin.types().await).await?;
    let whole_ms = (args.span_hours * 3.6e6) as i64;
    let mut span_ms = whole_ms.max(SHORTEST_MS);
    let mut filled = Filled::default();
    while at < end {
        if is_stopped() {
            return Ok(Done {
                filled,
                is_whole: false,
            });
        }
        let to = (at + span_ms).min(end);
        let mut part = Filled::default();
        let mut is_too_much = false;
        for selector in &args.selectors {
            match origin.samples(selector, at, to).await? {
                Some(past) => part.add(into.take(past).await?),
                None => is_too_much = true,
            }
        }
        filled.add(part);
        if is_too_much {
            ensure!(
                span_ms > SHORTEST_MS,
                "a minute of these series is too much for {} at once: narrow --match",
                args.from
            );
            span_ms = (span_ms / 2).max(SHORTEST_MS);
            continue;
        }
        at = to;
        write_marker(&marker, args, at)?;
        let share = at.millis_since(start) as f64 / end.millis_since(start) as f64;
        tell(&format!(
            "{:5.1} %  until {at}  {} series here, {} samples so far",
            100.0 * share,
            part.series,
            filled.samples
        ));
    }
    Ok(Done { filled, is_whole: true })
}

/// Progress is for people; a closed standard error must not end the work.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

impl Marker {
    fn is_of(&self, args: &BackfillArgs) -> bool {
        self.from == args.from && self.selectors == args.selectors && self.start == args.start
    }
}

/// One for each place and selection.
fn marker_path(args: &BackfillArgs) -> PathBuf {
    let mut hasher = blake3::Hasher::new();
    for text in std::iter::once(&args.from).chain(&args.selectors) {
        hasher.update(text.as_bytes());
        hasher.update(&[0]);
    }
    let name = hasher.finalize().to_hex();
    args.data_dir.join("backfill").join(format!("{}.json", &name[..16]))
}

/// What cannot be read is no marker: then it begins again, and what is there is left out.
fn read_marker(path: &Path) -> Option<Marker> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn write_marker(path: &Path, args: &BackfillArgs, next: Timestamp) -> Result<()> {
    let marker = Marker {
        from: args.from.clone(),
        selectors: args.selectors.clone(),
        start: args.start,
        next,
    };
    let failed = || format!("the marker cannot be written: {}", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(failed)?;
    let new = path.with_extension("new");
    std::fs::write(&new, serde_json::to_vec(&marker)?).with_context(failed)?;
    std::fs::rename(&new, path).with_context(failed)
}
