//! The loop over a recording, one row at a time.

use super::input::Input;
use engine::Result;
use engine::context::calendar::Span;
use engine::context::{ContextConfig, Selector, Window};
use engine::correlate::Incident;
use engine::detect::{DetectConfig, Detection, Effort, Models};
use engine::pipeline::{BrainConfig, Lane, LaneConfig, LaneOutput};
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Instant;
use wire::prediction::Prediction;
use wire::{EntityId, IncidentId, PredictionId, Timestamp};

/// What a scored row may know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Only the past.
    #[default]
    Online,
    /// The whole file: the baseline is learnt from all of it.
    Batch,
}

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Rows of history at the start; the rest is scored.
    pub train_rows: usize,
    pub mode: Mode,
    /// `Lazy` decides the same, faster, and leaves votes out that could not matter.
    pub effort: Effort,
    pub detect: DetectConfig,
}

/// What the loop did.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Every incident as it last was, by id; merged ones count once.
    pub incidents: Vec<Incident>,
    /// Every prediction as it last was, by id.
    pub predictions: Vec<Prediction>,
    /// Samples scored.
    pub samples: u64,
    /// Seconds that scoring took.
    pub seconds: f64,
}

/// Takes one scored row: its time, and per series the detection, `None` where the sample is missing.
pub type EachRow<'a> = &'a mut dyn FnMut(Timestamp, &[Option<Detection>]) -> Result<()>;

const WEEK_MS: i64 = 7 * 86_400_000;

/// Runs the loop over `input` and hands every scored row to `each`.
///
/// # Errors
/// Those of `each`.
pub fn replay(input: &Input, options: &Options, models: Arc<Models>, each: EachRow<'_>) -> Result<Outcome> {
    let config = LaneConfig {
        detect: options.detect.clone(),
        brain: BrainConfig::default(),
        context: expected(input),
        source: Arc::from("backtest"),
    };
    let mut lane = Lane::new(config, models);
    for edge in &input.edges {
        lane.declare_edge(edge.clone());
    }
    let mut history = Vec::new();
    for (info, column) in input.frame.series.iter().zip(&input.frame.columns) {
        let slot = lane.add_series(info.clone());
        history.clear();
        learnt_from(input, column, options, &mut history);
        lane.bootstrap(slot, &history);
    }

    let mut lines = input.logs.iter().peekable();
    if !input.logs.is_empty() {
        lane.watch_logs(input.frame.step_ms);
        for &at in input.frame.times.iter().take(options.train_rows) {
            tell_lines(&mut lane, &mut lines, at);
            lane.learn_logs();
        }
    }
    let begun = Instant::now();
    let mut deploys = input.deploys.iter().peekable();
    let (mut incidents, mut predictions) = (BTreeMap::new(), BTreeMap::new());
    let mut samples = Vec::with_capacity(input.frame.series.len());
    let mut row = vec![None; input.frame.series.len()];
    let mut out = LaneOutput::default();
    let mut count = 0;
    for (i, &at) in input.frame.times.iter().enumerate().skip(options.train_rows) {
        while let Some(deploy) = deploys.next_if(|deploy| deploy.at <= at) {
            lane.record_deploy(deploy.clone());
        }
        tell_lines(&mut lane, &mut lines, at);
        samples.clear();
        let values = input
            .frame
            .columns
            .iter()
            .enumerate()
            .map(|(slot, column)| (slot, at, column[i]));
        samples.extend(values.filter(|sample| sample.2.is_finite()));
        out.clear();
        lane.step(at, &samples, options.effort, &mut out);
        count += samples.len() as u64;
        keep(&mut incidents, &mut predictions, &out);
        row.fill(None);
        for ((slot, ..), detection) in samples.iter().zip(&out.detections) {
            row[*slot] = Some(*detection);
        }
        each(at, &row)?;
    }
    Ok(Outcome {
        // One that was merged lives on in the other.
        incidents: incidents
            .into_values()
            .filter(|i: &Incident| i.merged_into.is_none())
            .collect(),
        predictions: predictions.into_values().collect(),
        samples: count,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// Tells the lane the lines up to `at`.
fn tell_lines<'a>(
    lane: &mut Lane,
    lines: &mut Peekable<impl Iterator<Item = (Timestamp, &'a EntityId, &'a str)>>,
    at: Timestamp,
) {
    while let Some((written, entity, text)) = lines.next_if(|(written, ..)| *written <= at) {
        lane.log_line(entity, written, text);
    }
}

/// The spans of `expected.csv` as expected events: whatever happens in them is no anomaly and teaches nothing.
fn expected(input: &Input) -> ContextConfig {
    let windows = input.expected.iter().enumerate().map(|(index, own)| {
        let selector = own.entity.as_deref().map_or_else(Selector::all, Selector::of_entity);
        let span = Span {
            from: own.start,
            until: own.end,
        };
        Window::expected_once(format!("expected-{}", index + 1), selector, span, own.note.clone())
    });
    ContextConfig {
        windows: windows.collect(),
        ..ContextConfig::default()
    }
}

/// Keeps the newest state of all that changed.
fn keep(
    incidents: &mut BTreeMap<IncidentId, Incident>,
    predictions: &mut BTreeMap<PredictionId, Prediction>,
    out: &LaneOutput,
) {
    for change in &out.brain.incidents {
        incidents.insert(change.incident.id.clone(), change.incident.clone());
    }
    for change in &out.brain.predictions {
        predictions.insert(change.prediction.id.clone(), change.prediction.clone());
    }
}

/// The past that the baseline of one series is learnt from, oldest first.
///
/// In batch mode the rows to be scored are put in front of the history, moved back by whole weeks: the phase of day and
/// week stays, and the history still ends where scoring starts.
fn learnt_from(input: &Input, column: &[f64], options: &Options, history: &mut Vec<(Timestamp, f64)>) {
    let present = |from: usize, to: usize, shift: i64| {
        let rows = input.frame.times[from..to].iter().zip(&column[from..to]);
        rows.filter(|(_, value)| value.is_finite())
            .map(move |(at, value)| (*at - shift, *value))
    };
    let split = options.train_rows;
    if let (Mode::Batch, Some(first), Some(last)) = (options.mode, input.frame.times.first(), input.frame.times.last())
    {
        let weeks = last.millis_since(*first) / WEEK_MS + 1;
        history.extend(present(split, input.frame.times.len(), weeks * WEEK_MS));
    }
    history.extend(present(0, split, 0));
}
