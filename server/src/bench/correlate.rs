//! How long correlation takes when ten thousand metrics of a thousand services begin to stray, second by second.

use super::{Figure, Report, median};
use engine::correlate::Observation;
use engine::detect::{Detection, Expected};
use engine::pipeline::{Brain, BrainConfig, BrainOutput, Ids};
use engine::series::{Labels, info_from_labels};
use sim::{Estate, EstateConfig, Part};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::series::{MemberVote, Votes};
use wire::{EntityId, Timestamp};

const SERVICES: usize = 1000;
const METRICS: [&str; 10] = [
    "latency_ms",
    "errors_total",
    "requests",
    "cpu_percent",
    "memory_percent",
    "queue_depth",
    "connections",
    "gc_pause_ms",
    "threads",
    "open_files",
];
/// In so many seconds all of them stray: the ranking of an incident ends soon after.
const SECONDS: usize = 40;

/// One run: the slowest and the mean second, and a ranking with everything there.
#[derive(Clone, Copy, Debug)]
struct Run {
    slowest: Duration,
    whole: Duration,
    again: Duration,
    incidents: usize,
}

/// Median of `runs` runs.
pub(super) fn figures(runs: usize) -> Report {
    let runs: Vec<Run> = (0..runs).map(|seed| run(seed as u64)).collect();
    let ms = |of: fn(&Run) -> Duration| median(runs.iter().map(|run| of(run).as_secs_f64() * 1000.0).collect());
    let name = |what: &str| {
        format!(
            "correlation, {SERVICES} services, {} metrics: {what}",
            SERVICES * METRICS.len()
        )
    };
    let incidents = median(runs.iter().map(|run| run.incidents as f64).collect());
    vec![
        Figure::new(name("cause ranked again"), ms(|run| run.again), "ms", false).goal(10.0),
        Figure::new(
            name("all begin to stray in 40 s, a second of it takes at most"),
            ms(|run| run.slowest),
            "ms",
            false,
        )
        .goal(1000.0),
        Figure::new(
            name("all begin to stray in 40 s, it takes"),
            ms(|run| run.whole),
            "ms",
            false,
        )
        .goal(40_000.0),
        Figure::new(name("all begin to stray in 40 s, incidents"), incidents, "", false),
    ]
    .into()
}

fn run(seed: u64) -> Run {
    let config = EstateConfig {
        services: SERVICES,
        ..EstateConfig::default()
    };
    let start = config.start;
    let estate = Estate::new(seed, config);
    let mut brain = Brain::new(BrainConfig::default(), &Ids::default());
    for edge in estate.edges() {
        brain.declare_edge(edge);
    }
    let services: Vec<EntityId> = estate
        .parts()
        .filter(|(_, part)| *part == Part::Service)
        .map(|(name, _)| name.clone())
        .collect();
    // From what is called upwards, as trouble spreads.
    let straying: Vec<Observation> = services
        .iter()
        .rev()
        .flat_map(|entity| METRICS.map(|metric| observation(entity, metric)))
        .collect();
    for entity in &services {
        brain.reports(entity);
    }
    let (mut slowest, mut whole) = (Duration::ZERO, Duration::ZERO);
    let mut step = |at: Timestamp, observations: &mut [Observation]| {
        for (number, observation) in observations.iter_mut().enumerate() {
            observation.detection.at = at;
            observation.detection.value = 20.0 + (number % 7) as f64;
        }
        let mut out = BrainOutput::default();
        let begun = Instant::now();
        brain.step(at, observations, &mut out);
        (begun.elapsed(), out)
    };
    let mut open = std::collections::BTreeSet::new();
    let mut so_far: Vec<Observation> = Vec::new();
    for (second, fresh) in straying.chunks(straying.len().div_ceil(SECONDS)).enumerate() {
        so_far.extend_from_slice(fresh);
        let at = start + second as i64 * 1000;
        let (took, out) = step(at, &mut so_far[second * fresh.len()..]);
        for change in out.incidents {
            if change.incident.is_open() {
                open.insert(change.incident.id);
            } else {
                open.remove(&change.incident.id);
            }
        }
        slowest = slowest.max(took);
        whole += took;
    }
    let last = so_far.len() - 1;
    let (again, _) = step(start + SECONDS as i64 * 1000, &mut so_far[last..]);
    Run {
        slowest,
        whole,
        again,
        incidents: open.len(),
    }
}

fn observation(entity: &EntityId, metric: &str) -> Observation {
    let mut info = info_from_labels(&Labels::of(entity.as_str(), metric, None));
    info.step_ms = 1000;
    let vote = Some(MemberVote {
        score: 0.95,
        vote: true,
    });
    Observation {
        detection: Detection {
            series: info.id,
            at: Timestamp(0),
            value: 20.0,
            expected: Some(Expected {
                mean: 10.0,
                lower: 9.0,
                upper: 11.0,
                scale: 0.3,
            }),
            score: 0.95,
            salience: 0.95,
            shift: 0.0,
            votes: Votes {
                stl: vote,
                forest: vote,
                ..Votes::default()
            },
            anomaly: true,
            signal: None,
            breach: None,
            quiet_at: None,
            confidence: 1.0,
        },
        source: Arc::from("estate"),
        info: Arc::new(info),
        has_samples: true,
    }
}
