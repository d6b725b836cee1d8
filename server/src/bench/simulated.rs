//! Simulated worlds: a month in which nothing is wrong, and days full of faults whose cause is known.

use super::{Figure, Report};
use crate::backtest::score::{Labelled, Ledger, MemberFigures, Summary, summarize};
use crate::backtest::{Input, Mode, Options, replay};
use engine::Result;
use engine::correlate::Incident;
use engine::detect::{Alert, DetectConfig, Effort, Models};
use engine::evaluate::Reliability;
use engine::ingest::csv::{Frame, Label};
use engine::series::{Labels, info_from_labels};
use rand::{Rng, SeedableRng};
use sim::{Fault, FaultKind, World, WorldConfig};
use std::sync::Arc;
use wire::Timestamp;
use wire::series::Voter;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 1440 * MINUTE_MS;
/// History at the start of a world, not scored.
const HISTORY_DAYS: i64 = 7;

/// Seeds of the worlds with faults.
const FAULTY_WORLDS: std::ops::Range<u64> = 12..17;

/// What the loop did in a world.
#[derive(Clone, Debug)]
struct SimulatedRow {
    series: u64,
    days: i64,
    faults: usize,
    summary: Summary,
    /// A line for each fault that was not found, or whose cause did not come first, and each incident without a fault.
    notes: Vec<String>,
    /// Every alert of a series, and whether the series was in trouble.
    alerts: Vec<Alert>,
    /// Of every incident the chance that was said, and whether it was real.
    incidents: Vec<(f64, bool)>,
}

/// The figures of clean worlds at three settings and of worlds with faults.
pub(super) fn report(models: &Arc<Models>) -> Result<Report> {
    let calm = clean(0.01, models)?;
    let mut figures = Vec::new();
    for setting in [0.1, 0.001] {
        let other = clean(setting, models)?;
        let what = format!(
            "simulated, {} clean series, {} days: false alerts, setting {setting}",
            other.series, other.days
        );
        let rate = other.summary.raw_alerts_per_series_per_day;
        figures.push(Figure::new(what, rate, "/series/day", false).goal(setting));
    }
    let worlds = faults(models)?;
    let found: Vec<Labelled> = worlds
        .iter()
        .filter_map(|world| world.summary.labelled.clone())
        .collect();
    // Of worlds that are alike the mean is that of all together.
    let mean = |of: &dyn Fn(&Labelled) -> Option<f64>| {
        found.iter().map(|found| of(found).unwrap_or(0.0)).sum::<f64>() / found.len().max(1) as f64
    };
    let faults: usize = worlds.iter().map(|world| world.faults).sum();
    let series = worlds.first().map_or(0, |world| world.series);
    let of_clean = |what: &str| format!("simulated, {} clean series, {} days: {what}", calm.series, calm.days);
    let of_faulty = |what: &str| {
        format!(
            "simulated, {faults} faults in {} worlds of {series} series: {what}",
            worlds.len()
        )
    };
    figures.extend([
        Figure::new(
            of_clean("false alerts"),
            calm.summary.raw_alerts_per_series_per_day,
            "/series/day",
            false,
        )
        .goal(0.01),
        Figure::new(
            of_clean("false incidents"),
            calm.summary.incidents as f64 / calm.days as f64,
            "/day",
            false,
        ),
        Figure::new(
            of_faulty("incident recall"),
            mean(&|f| f.incident_recall),
            "share",
            true,
        )
        .goal(0.992),
        Figure::new(
            of_faulty("incident precision"),
            mean(&|f| f.incident_precision),
            "share",
            true,
        )
        .goal(0.94),
        Figure::new(of_faulty("right cause first"), mean(&|f| f.cause_top1), "share", true).goal(0.9),
        Figure::new(
            of_faulty("right cause in three"),
            mean(&|f| f.cause_top3),
            "share",
            true,
        ),
        Figure::new(of_faulty("median delay"), mean(&|f| f.delay_median_seconds), "s", false),
    ]);
    let (mut of_alerts, mut of_incidents) = (Reliability::default(), Reliability::default());
    for world in &worlds {
        for alert in &world.alerts {
            let chance = models.certainty().chance(alert.score, alert.votes);
            of_alerts.add(f64::from(chance), alert.real);
        }
        for (chance, real) in &world.incidents {
            of_incidents.add(*chance, *real);
        }
    }
    for voter in Voter::ALL {
        let of_member = |labelled: &Labelled, figure: fn(&MemberFigures) -> Option<f64>| {
            labelled
                .members
                .iter()
                .find(|member| member.member == voter)
                .and_then(figure)
        };
        let name = of_faulty(&format!("{voter:?} alone, precision"));
        figures.push(Figure::new(
            name,
            mean(&|f| of_member(f, |member| member.precision)),
            "share",
            true,
        ));
        let name = of_faulty(&format!("{voter:?} alone, recall"));
        figures.push(Figure::new(
            name,
            mean(&|f| of_member(f, |member| member.recall)),
            "share",
            true,
        ));
    }
    let mut notes: Vec<String> = worlds.iter().flat_map(|world| world.notes.iter().cloned()).collect();
    for (what, reliability) in [("alerts", &of_alerts), ("incidents", &of_incidents)] {
        if let Some(error) = reliability.expected_calibration_error() {
            let what = of_faulty(&format!("calibration error, {what}"));
            figures.push(Figure::new(what, error, "share", false).goal(0.05));
        }
        notes.extend(reliability.diagram().iter().map(|bin| {
            format!(
                "  simulated {what} said to be real with {:.0}-{:.0} %: {} of {} were ({:.1} %, mean said {:.1} %)",
                100.0 * bin.from,
                100.0 * bin.to,
                (bin.came_true * bin.count as f64).round(),
                bin.count,
                100.0 * bin.came_true,
                100.0 * bin.said
            )
        }));
    }
    Ok(Report { figures, notes })
}

/// 1,000 series over 30 days at five minutes with days and weeks, growth, batch jobs and deploys; nothing is wrong.
fn clean(false_alerts: f64, models: &Arc<Models>) -> Result<SimulatedRow> {
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
        ..DetectConfig::default()
    };
    play(11, world, 30, detect, models)
}

/// 200 series over ten days at one minute with a fault every three hours, of every kind; and that in several worlds, since one
/// fault of the 79 in a world is more than what may be missed.
fn faults(models: &Arc<Models>) -> Result<Vec<SimulatedRow>> {
    FAULTY_WORLDS.map(|seed| faulty(seed, models)).collect()
}

/// Alerts of known truth in a world that no benchmark measures, for `halo train` to fit chances to.
///
/// # Errors
/// None of its own; those of the loop.
pub(crate) fn alerts_of_known_truth(models: &Arc<Models>) -> Result<Vec<Alert>> {
    Ok(faulty(32, models)?.alerts)
}

fn faulty(seed: u64, models: &Arc<Models>) -> Result<SimulatedRow> {
    let days = 10;
    let calm = WorldConfig {
        services: 40,
        batch_jobs: true,
        days_per_deploy: 6,
        ..WorldConfig::default()
    };
    let names = World::new(seed, calm.clone()).entities();
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
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
    play(seed, world, days, DetectConfig::default(), models)
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
        // Every vote counts for the chance that an alert is real; where there are no faults, there is none to find.
        effort: if faults.is_empty() { Effort::Lazy } else { Effort::Full },
        detect,
    };
    let troubles = troubles(&world, &faults, &input);
    let mut alerts = Vec::new();
    let mut before = vec![None::<Timestamp>; input.frame.series.len()];
    let mut ledger = Ledger::new(&input);
    let outcome = replay(&input, &options, Arc::clone(models), &mut |at, row| {
        ledger.record(at, row);
        for (series, detection) in row.iter().enumerate() {
            let Some(d) = detection.filter(|d| d.anomaly) else {
                continue;
            };
            if before[series].is_none_or(|last| at.millis_since(last) > 3 * step_ms) {
                alerts.push(Alert {
                    score: d.score,
                    votes: d.votes.count(),
                    real: troubles[series].iter().any(|span| span.0 <= at && at <= span.1),
                });
            }
            before[series] = Some(at);
        }
        Ok(())
    })?;
    let mut notes: Vec<String> = faults
        .iter()
        .filter_map(|fault| note(fault, &outcome.incidents))
        .collect();
    let mut incidents = Vec::new();
    for incident in &outcome.incidents {
        let real = input
            .labels
            .iter()
            .any(|l| incident.started <= l.end && incident.ended.unwrap_or(incident.last_anomaly) >= l.start);
        incidents.push((f64::from(incident.chance()), real));
        if !real && !faults.is_empty() {
            notes.push(false_incident(incident));
        }
    }
    Ok(SimulatedRow {
        series: input.frame.series.len() as u64,
        days,
        faults: input.labels.len(),
        summary: summarize(&input, &options, &outcome, &ledger),
        notes,
        alerts,
        incidents,
    })
}

/// When each series is in trouble: while a fault lasts in its entity, in one that it depends on, or in one that depends on
/// it, and ten minutes longer, until what was disturbed has settled.
fn troubles(world: &World, faults: &[Fault], input: &Input) -> Vec<Vec<(Timestamp, Timestamp)>> {
    let mut spans = vec![Vec::new(); input.frame.series.len()];
    for fault in faults {
        let above = world.callers_of(&fault.cause);
        for (series, info) in input.frame.series.iter().enumerate() {
            let touched = info.entity == fault.cause
                || above.contains(&info.entity)
                || world.callers_of(&info.entity).contains(&fault.cause);
            if touched {
                spans[series].push((fault.onset, fault.onset + fault.duration_ms + 10 * MINUTE_MS));
            }
        }
    }
    spans
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

/// An incident at a time when nothing was wrong.
fn false_incident(incident: &Incident) -> String {
    let members: Vec<String> = incident
        .members
        .values()
        .map(|m| format!("{} {} at {} with {:.2}", m.entity, m.metric, m.onset, m.score))
        .collect();
    format!("  simulated, nothing was wrong: {}", members.join(", "))
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
