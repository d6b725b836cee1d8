//! What is remembered of each series: how far it strayed lately, in which direction, how surely.

use super::Observation;
use super::text::name_alone;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use wire::series::{MetricClass, SeriesInfo, Votes};
use wire::{EntityId, SeriesId, Timestamp};

/// Points kept per series: more than the longest window of a ranking at any step, see `ranking_window`.
const KEPT_POINTS: usize = 512;

/// Deviations beyond this many scales say nothing more.
const MAX_Z: f64 = 1000.0;

/// Of a resource, the least share of what is expected that matters.
const MATERIAL: f64 = 0.02;
/// The same where all of it is known, as a share of all: from 1 to 1.5 % of it is no trouble either.
const POINTS: f64 = 0.02;
/// A sample that is this far off shortly before a run of anomalous ones is its beginning.
const STRAYS_Z: f64 = 3.0;
const STRAYS_STEPS: i64 = 2;

/// One sample that strayed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub at: Timestamp,
    pub value: f64,
    pub expected: f64,
    /// How much worse than expected, in the unit of the metric; 0 when it is better.
    pub excess: f64,
    /// `excess` in robust standard deviations, 0..=1000.
    pub z: f64,
    /// How surely it strayed and how far, together, 0..1.
    pub strength: f64,
    pub score: f32,
    pub votes: Votes,
    pub anomaly: bool,
    /// More than the ensemble says so: a limit or a detector that the user has set, or the fast layer.
    pub seconded: bool,
    /// The last value on the way from expected to observed that would have been no anomaly.
    pub quiet_at: Option<f64>,
}

/// The recent past of one series.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub info: Arc<SeriesInfo>,
    pub source: Arc<str>,
    /// Whether there are samples to look at.
    pub has_samples: bool,
    /// Oldest first, times strictly ascending.
    pub points: VecDeque<Point>,
    /// Start of the present run of anomalous samples.
    pub run_start: Timestamp,
    /// Anomalous samples in the present run.
    pub run: u32,
    pub last_anomaly: Option<Timestamp>,
    step_ms: i64,
}

/// All tracks of a lane.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    pub tracks: BTreeMap<SeriesId, Track>,
    entities: BTreeMap<EntityId, OfEntity>,
}

/// What is remembered of an entity.
#[derive(Clone, Debug)]
struct OfEntity {
    /// When it strayed last, and the step of the series that did.
    last: (Timestamp, i64),
    /// Its series, ascending.
    series: Vec<SeriesId>,
}

impl Evidence {
    /// Takes one detection in. Older than the newest of its series: ignored, the order of a series is its source's promise.
    pub(super) fn record(&mut self, observation: &Observation) -> Option<&Track> {
        let detection = &observation.detection;
        let track = self.tracks.entry(detection.series).or_insert_with(|| Track {
            info: Arc::clone(&observation.info),
            source: Arc::clone(&observation.source),
            has_samples: observation.has_samples,
            // Most series that stray do so once.
            points: VecDeque::with_capacity(1),
            run_start: detection.at,
            run: 0,
            last_anomaly: None,
            step_ms: 0,
        });
        track.info = Arc::clone(&observation.info);
        let point = point_of(observation);
        if let Some(last) = track.points.back() {
            let gap = point.at.millis_since(last.at);
            if gap <= 0 {
                return None;
            }
            track.step_ms = if track.step_ms == 0 {
                gap
            } else {
                track.step_ms.min(gap)
            };
        }
        if point.anomaly {
            let continues = track
                .last_anomaly
                .is_some_and(|last| point.at.millis_since(last) * 2 <= track.step_ms() * 5);
            if continues {
                track.run += 1;
            } else {
                track.run = 1;
                track.run_start = detection.began();
            }
            track.last_anomaly = Some(point.at);
        }
        if track.points.len() == KEPT_POINTS {
            track.points.pop_front();
        }
        track.points.push_back(point);
        let seen = (point.at, track.step_ms());
        match self.entities.get_mut(&track.info.entity) {
            Some(own) => {
                own.last = seen.max(own.last);
                if let Err(place) = own.series.binary_search(&detection.series) {
                    own.series.insert(place, detection.series);
                }
            }
            None => {
                let own = OfEntity {
                    last: seen,
                    series: vec![detection.series],
                };
                self.entities.insert(track.info.entity.clone(), own);
            }
        }
        Some(track)
    }

    /// When `entity` strayed last, and the step of the series that did.
    pub(super) fn last_of(&self, entity: &EntityId) -> Option<(Timestamp, i64)> {
        Some(self.entities.get(entity)?.last)
    }

    /// The entities of which anything is remembered, by name.
    pub(super) fn entities(&self) -> impl Iterator<Item = &EntityId> {
        self.entities.keys()
    }

    /// What is remembered of the series of `entity`, by id.
    pub(super) fn of_entity(&self, entity: &EntityId) -> impl Iterator<Item = (&SeriesId, &Track)> {
        let series = self.entities.get(entity).map_or(&[][..], |own| &own.series);
        series.iter().filter_map(|id| self.tracks.get_key_value(id))
    }

    /// Forgets what is older than `before`, and series of which nothing remains.
    pub(super) fn prune(&mut self, before: Timestamp) {
        self.tracks.retain(|_, track| {
            while track.points.front().is_some_and(|p| p.at < before) {
                track.points.pop_front();
            }
            !track.points.is_empty()
        });
        let tracks = &self.tracks;
        self.entities.retain(|_, own| {
            own.series.retain(|series| tracks.contains_key(series));
            !own.series.is_empty()
        });
    }
}

impl Track {
    /// The points between two times, both included.
    pub(super) fn between(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = &Point> {
        let first = self.points.partition_point(|point| point.at < from);
        let end = self.points.partition_point(|point| point.at <= to);
        self.points.range(first..end.max(first))
    }

    /// The points of the present run of anomalous samples.
    pub(super) fn of_run(&self) -> impl Iterator<Item = &Point> {
        self.points.iter().rev().take_while(|point| point.at >= self.run_start)
    }

    /// When the present run of anomalous samples began, what strayed too little to be one right before it included.
    pub(super) fn began(&self) -> Timestamp {
        let mut began = self.run_start;
        let before = self.points.iter().rev().skip_while(|point| point.at >= self.run_start);
        for point in before {
            if point.z < STRAYS_Z || began.millis_since(point.at) > STRAYS_STEPS * self.step_ms() {
                break;
            }
            began = point.at;
        }
        began
    }

    /// How long the present run has lasted, the interval of its last sample included.
    pub(super) fn run_ms(&self) -> i64 {
        let last = self.last_anomaly.unwrap_or(self.run_start);
        last.millis_since(self.run_start).saturating_add(self.step_ms())
    }

    /// Interval between samples, as announced or else as seen; one minute until either is known.
    pub(super) fn step_ms(&self) -> i64 {
        match (self.info.step_ms, self.step_ms) {
            (announced, _) if announced > 0 => announced,
            (_, seen) if seen > 0 => seen,
            _ => 60_000,
        }
    }
}

/// Which side of the expectation hurts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
    Both,
}

/// Which side of the expectation hurts, from class and name.
pub(super) fn harmful_direction(info: &SeriesInfo) -> Direction {
    let metric = name_alone(info).to_ascii_lowercase();
    let any = |words: &[&str]| words.iter().any(|w| metric.contains(w));
    if any(&["availab", "success", "free", "idle", "uptime", "hit_ratio", "headroom"]) || metric == "up" {
        return Direction::Down;
    }
    match info.class {
        MetricClass::Latency | MetricClass::Errors | MetricClass::Saturation => Direction::Up,
        MetricClass::Traffic | MetricClass::Other => Direction::Both,
    }
}

/// How much a deviation of this class says about a fault: traffic follows what users do.
pub(super) fn class_weight(class: MetricClass) -> f64 {
    match class {
        MetricClass::Errors => 1.25,
        MetricClass::Latency => 1.0,
        MetricClass::Saturation => 0.9,
        MetricClass::Other => 0.6,
        MetricClass::Traffic => 0.25,
    }
}

fn point_of(observation: &Observation) -> Point {
    let detection = &observation.detection;
    let score = f64::from(detection.score);
    let (expected, signed, scale) = match (detection.expected, detection.breach) {
        // What is usual does not excuse a broken limit.
        (usual, Some(limit)) => {
            let scale = usual.map_or(0.0, |e| e.scale).max(0.05 * limit.abs()).max(1e-9);
            (limit, detection.value - limit, scale)
        }
        (Some(e), None) => {
            // A metric that never moved has a scale near zero; a change of 0.03 % of its level is still no deviation.
            let scale = e
                .scale
                .max((e.upper - e.lower) / 6.0)
                .max(e.mean.abs() * 3e-4)
                .max(1e-9);
            (e.mean, detection.value - e.mean, scale)
        }
        (None, None) => (detection.value, 10.0 * score * score, 1.0),
    };
    let excess = match (detection.expected, harmful_direction(&observation.info)) {
        _ if detection.breach.is_some() => signed.abs(),
        (None, _) | (_, Direction::Both) => signed.abs(),
        (_, Direction::Up) => signed.max(0.0),
        (_, Direction::Down) => (-signed).max(0.0),
    };
    let z = (excess / scale).min(MAX_Z);
    let seconded = detection.breach.is_some() || detection.signal.is_some() || detection.votes.simple.is_some();
    let certainty = ((score - 0.3) / 0.7).clamp(0.0, 1.0);
    Point {
        at: detection.at,
        value: detection.value,
        expected,
        excess,
        z,
        strength: (magnitude(z) * certainty).sqrt(),
        score: detection.score,
        votes: detection.votes,
        // Better than expected is no trouble, however rare.
        anomaly: detection.anomaly && excess > 0.0 && (seconded || is_material(&observation.info, excess, expected)),
        seconded,
        quiet_at: detection.quiet_at,
    }
}

/// Whether a deviation is large enough to matter, however rare it is: processor time that rises from 10.2 to 10.4 % is no trouble.
/// Of resources only; what little of errors, latency or orders matters is not ours to say.
fn is_material(info: &SeriesInfo, excess: f64, expected: f64) -> bool {
    let is_in = |unit: &str| info.metric.contains(unit);
    let least = match info.class {
        MetricClass::Saturation if is_in("percent") => 100.0 * POINTS,
        MetricClass::Saturation if is_in("ratio") || is_in("utilization") => POINTS,
        MetricClass::Saturation => MATERIAL * expected.abs(),
        _ => 0.0,
    };
    excess >= least
}

/// Deviation on a scale of 0..1: logarithmic, 1 at 1000 standard deviations.
fn magnitude(z: f64) -> f64 {
    z.ln_1p() / MAX_Z.ln_1p()
}
