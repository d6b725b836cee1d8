//! Simulated worlds: a month in which nothing is wrong, and days full of faults whose cause is known.

use crate::backtest::score::{Ledger, Summary, summarize};
use crate::backtest::{Input, Mode, Options, replay};
use engine::Result;
use engine::correlate::Incident;
use engine::detect::{DetectConfig, Effort, Models};
use engine::ingest::csv::{Frame, Label};
use engine::series::{Labels, info_from_labels};
use rand::{Rng, SeedableRng};
use sim::{Fault, FaultKind, World, WorldConfig};
use std::sync::Arc;
use wire::Timestamp;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 1440 * MINUTE_MS;
/// History at the start of a world, not scored.
const HISTORY_DAYS: i64 = 7;

/// What the loop did in a world.
#[derive(Clone, Debug)]
pub(super) struct SimulatedRow {
    pub(super) series: u64,
    pub(super) days: i64,
    pub(super) faults: usize,
    pub(super) summary: Summary,
    /// A line for each fault that was not found, or whose cause did not come first.
    pub(super) notes: Vec<String>,
}

/// 1,000 series over 30 days at five minutes with days and weeks, growth, batch jobs and deploys; nothing is wrong.
pub(super) fn clean(false_alerts: f64, models: &Arc<Models>) -> Result<SimulatedRow> {
    let world = WorldConfig {
        services: 200,
        step_ms: 5 * MINUTE_MS,
        drift_per_day: 0.003,
        batch_jobs: true,
        days_per_deploy: 6,
        ..WorldConfig::default()
    };
    let detect = DetectConfig {
        false_alerts_per_series_per_day: false_alerts,
    };
    play(11, world, 30, detect, models)
}

/// 200 series over ten days at one minute with a fault every three hours, of every kind.
pub(super) fn faults(models: &Arc<Models>) -> Result<SimulatedRow> {
    let days = 10;
    let calm = WorldConfig {
        services: 40,
        batch_jobs: true,
        days_per_deploy: 6,
        ..WorldConfig::default()
    };
    let names = World::new(12, calm.clone()).entities();
    let mut rng = rand::rngs::StdRng::seed_from_u64(12);
    let faults = (0..days * 8 - 1).map(|i| {
        let kind = match i % 5 {
            0 => FaultKind::Latency {
                factor: rng.random_range(2.0..6.0),
            },
            1 => FaultKind::Errors {
                share: rng.random_range(0.05..0.5),
            },
            2 => FaultKind::Leak,
            3 => FaultKind::Surge {
                factor: rng.random_range(2.0..5.0),
            },
            _ => FaultKind::Crash,
        };
        Fault {
            kind,
            cause: names[rng.random_range(0..names.len())].clone(),
            onset: calm.start + HISTORY_DAYS * DAY_MS + i * 180 * MINUTE_MS + rng.random_range(10..60) * MINUTE_MS,
            duration_ms: rng.random_range(20..60) * MINUTE_MS,
        }
    });
    let world = WorldConfig {
        faults: faults.collect(),
        ..calm
    };
    play(12, world, days, DetectConfig::default(), models)
}

fn play(seed: u64, config: WorldConfig, days: i64, detect: DetectConfig, models: &Arc<Models>) -> Result<SimulatedRow> {
    let until = config.start + (HISTORY_DAYS + days) * DAY_MS;
    let faults = config.faults.clone();
    let labels: Vec<Label> = faults.iter().map(label).collect();
    let step_ms = config.step_ms;
    let train_rows = (HISTORY_DAYS * DAY_MS / step_ms) as usize;
    let world = World::new(seed, config);
    let input = Input {
        frame: frame(&world, until, step_ms),
        edges: world.edges(),
        deploys: world.deploys(until),
        labels,
        ..Input::default()
    };
    let options = Options {
        train_rows,
        mode: Mode::Online,
        effort: Effort::Lazy,
        detect,
    };
    let mut ledger = Ledger::new(&input);
    let outcome = replay(&input, &options, Arc::clone(models), &mut |at, row| {
        ledger.record(at, row);
        Ok(())
    })?;
    Ok(SimulatedRow {
        series: input.frame.series.len() as u64,
        days,
        faults: input.labels.len(),
        summary: summarize(&input, &options, &outcome, &ledger),
        notes: faults
            .iter()
            .filter_map(|fault| note(fault, &outcome.incidents))
            .collect(),
    })
}

fn frame(world: &World, until: Timestamp, step_ms: i64) -> Frame {
    let names = world.series();
    let mut frame = Frame {
        series: Vec::new(),
        names: Vec::new(),
        times: Vec::new(),
        columns: vec![Vec::new(); names.len()],
        step_ms,
    };
    for name in names {
        let labels = Labels::of(name.entity.as_str(), name.metric, Some(name.statistic));
        let mut info = info_from_labels(&labels);
        info.step_ms = step_ms;
        frame.series.push(info);
        frame
            .names
            .push(format!("{}|{}|{}", name.entity, name.metric, name.statistic));
    }
    for row in world.rows().take_while(|row| row.at < until) {
        frame.times.push(row.at);
        for (column, value) in frame.columns.iter_mut().zip(row.values) {
            column.push(value);
        }
    }
    frame
}

/// What went wrong with a fault, if anything did.
fn note(fault: &Fault, incidents: &[Incident]) -> Option<String> {
    let end = fault.onset + fault.duration_ms;
    let during: Vec<&Incident> = incidents
        .iter()
        .filter(|i| i.started <= end && i.ended.unwrap_or(i.last_anomaly) >= fault.onset)
        .collect();
    let named = during.iter().find_map(|i| i.causes.first()).map(|cause| &cause.entity);
    let what = format!("  simulated {:?} of {}", fault.kind, fault.cause);
    if during.is_empty() {
        return Some(format!("{what}: not found"));
    }
    if during
        .iter()
        .any(|i| i.causes.first().is_some_and(|cause| cause.entity == fault.cause))
    {
        return None;
    }
    Some(match named {
        Some(named) => format!("{what}: {named} named first"),
        None => format!("{what}: no cause named"),
    })
}

/// A fault as the scoring reads it: the whole system is in trouble while it lasts.
fn label(fault: &Fault) -> Label {
    Label {
        start: fault.onset,
        end: fault.onset + fault.duration_ms,
        series: None,
        entity: None,
        cause: Some(fault.cause.clone()),
    }
}
