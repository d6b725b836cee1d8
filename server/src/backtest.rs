//! `halo backtest DIR --out OUT`: the whole loop over recorded history, and what would have happened.
//!
//! The loop sees one row after the other and nothing of the labels; they are read only to score what it did. Files in OUT
//! depend on the input alone: the same input gives the same bytes.

pub mod input;
pub(crate) mod output;
pub mod replay;
pub mod score;

use engine::detect::{DetectConfig, Effort, Models};
use engine::{Error, Result};
use std::path::PathBuf;
use std::sync::Arc;
use wire::Timestamp;

pub use input::{Input, Stamp};
pub use replay::{Mode, Options, Outcome, replay};

/// Arguments of `halo backtest`.
#[derive(Clone, Debug, clap::Args)]
pub struct BacktestArgs {
    /// Directory with metrics.csv[.gz] and, if there, edges.csv, deploys.csv, logs.csv[.gz], calls.csv[.gz], expected.csv, labels.csv.
    pub dir: PathBuf,
    /// Directory to write scores, incidents, predictions and the summary into; made if missing.
    #[arg(long)]
    pub out: PathBuf,
    /// Rows before this instant (RFC 3339, epoch seconds or milliseconds) are history; without it the first 15 % are.
    #[arg(long, value_parser = engine::ingest::csv::parse_time)]
    pub train_until: Option<Timestamp>,
    /// Online scores each row knowing only the past; batch may look ahead.
    #[arg(long, value_enum, default_value = "online")]
    pub mode: Mode,
    /// False alerts allowed a series and day.
    #[arg(long, value_name = "RATE", default_value_t = DetectConfig::default().false_alerts_per_series_per_day, value_parser = rate)]
    pub false_alerts: f64,
}

/// Runs the back-test, writes OUT, and returns the summary as text for a person.
///
/// # Errors
/// [`Error::Input`] names file, line and column of input that cannot be used; [`Error::Io`] a file that cannot be read or
/// written.
pub fn run(args: &BacktestArgs) -> Result<String> {
    let input = Input::load(&args.dir)?;
    if let Some((rows, first)) = input.logs.left_out() {
        tracing::warn!("{rows} rows of the logs were left out; the first: {first}");
    }
    let options = Options {
        train_rows: input.train_rows(args.train_until)?,
        mode: args.mode,
        effort: Effort::Full,
        detect: DetectConfig {
            false_alerts_per_series_per_day: args.false_alerts,
            ..DetectConfig::default()
        },
    };
    let models = Arc::new(Models::bundled()?);
    let mut files = output::Files::create(&args.out, &input)?;
    let mut ledger = score::Ledger::new(&input);
    let outcome = replay(&input, &options, models, &mut |at, row| {
        ledger.record(at, row);
        files.row(at, row)
    })?;
    let summary = score::summarize(&input, &options, &outcome, &ledger);
    files.finish(&outcome, &summary)?;
    Ok(summary.text())
}

/// A rate of false alerts, within the bounds that the configuration has.
fn rate(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 100.0 => Ok(rate),
        _ => Err(format!("must be a number above 0 and at most 100, got {text}")),
    }
}

/// Input that cannot be used, with the place where.
fn bad_input(place: impl Into<String>, message: impl Into<String>) -> Error {
    Error::Input {
        place: place.into(),
        message: message.into(),
    }
}
