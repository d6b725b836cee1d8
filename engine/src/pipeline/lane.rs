//! A whole lane as one synchronous stepper: detector and [`Brain`] together. Back-tests and scenarios in simulated time
//! run on it; the live engine spreads the same parts over its shard threads.

use super::brain::{Brain, BrainConfig, BrainOutput, Ids};
use super::gate::{Gate, GateOutput};
use super::log_watch::LogWatch;
use super::silence::Silences;
use crate::context::{Context, ContextConfig};
use crate::correlate::{Incident, Observation};
use crate::detect::{DetectConfig, Detection, Detector, Effort, Models};
use crate::predict::Limit;
use crate::predict::limits::known_limit;
use crate::series::{SeriesInfo, SeriesKind, set_kind};
use std::sync::Arc;
use wire::topology::{Deploy, Edge};
use wire::{EntityId, Timestamp};

/// Score from which a sample that is not anomalous by itself still counts as evidence when causes are ranked.
pub const EVIDENCE_SCORE: f32 = 0.5;

/// A series is asked for its outlook once in this many of its samples: a breach is minutes away, not one step.
pub(super) const SAMPLES_PER_OUTLOOK: u64 = 4;

/// How far ahead outlooks reach, in steps, and at most in time.
pub(super) const OUTLOOK_STEPS: usize = 240;

/// Settings of a lane.
#[derive(Clone, Debug)]
pub struct LaneConfig {
    pub detect: DetectConfig,
    pub brain: BrainConfig,
    pub context: ContextConfig,
    /// Name of the source all its series come from.
    pub source: Arc<str>,
}

/// What one step produced. Cleared by the caller.
#[derive(Clone, Debug, Default)]
pub struct LaneOutput {
    /// One for every sample of the step, in its order.
    pub detections: Vec<Detection>,
    /// What context made of them, in the same order, and what is wrong with the data.
    pub gate: GateOutput,
    pub brain: BrainOutput,
}

impl LaneOutput {
    /// Empties it, keeping the memory.
    pub fn clear(&mut self) {
        self.detections.clear();
        self.gate.clear();
        self.brain.incidents.clear();
        self.brain.predictions.clear();
    }
}

/// Detector, correlator and predictor of one time domain.
#[derive(Debug)]
pub struct Lane {
    detector: Detector,
    gate: Gate,
    brain: Brain,
    source: Arc<str>,
    series: Vec<LaneSeries>,
    silences: Silences,
    /// Made when the first line may come.
    logs: Option<LogWatch>,
    context: ContextConfig,
    // Reused between steps.
    values: Vec<(usize, Timestamp, f64)>,
    observations: Vec<Observation>,
}

#[derive(Debug)]
struct LaneSeries {
    info: Arc<SeriesInfo>,
    /// `None` until the first value has told what is usual.
    limit: Option<Option<Limit>>,
    samples: u64,
}

impl Lane {
    /// A lane without series.
    pub fn new(mut config: LaneConfig, models: Arc<Models>) -> Self {
        config.brain.correlate.certainty = models.certainty();
        Self {
            gate: Gate::new(Context::new(&config.context), config.detect.fast.clone()),
            detector: Detector::new(config.detect, models),
            brain: Brain::new(config.brain, &Ids::default()),
            source: config.source,
            series: Vec::new(),
            silences: Silences::default(),
            logs: None,
            context: config.context,
            values: Vec::new(),
            observations: Vec::new(),
        }
    }

    /// A dependency became known.
    pub fn declare_edge(&mut self, edge: Edge) {
        self.brain.declare_edge(edge);
    }

    /// Others run on or in an entity.
    pub fn declare_place(&mut self, entity: &EntityId) {
        self.brain.mark_place(entity);
    }

    /// A version went live.
    pub fn record_deploy(&mut self, deploy: Deploy) {
        self.gate.context.record_deploy(&deploy.entity, deploy.at);
        self.brain.record_deploy(deploy);
    }

    /// Adds a series; the slot names it in [`Lane::step`].
    pub fn add_series(&mut self, info: SeriesInfo) -> usize {
        let slot = self.detector.add_series(&info);
        debug_assert_eq!(slot, self.series.len(), "slots are given in order");
        self.gate.add_series(&mut self.detector, slot, &info, &self.source);
        self.brain.reports(&info.entity);
        self.series.push(LaneSeries {
            limit: None,
            info: Arc::new(info),
            samples: 0,
        });
        slot
    }

    /// Lines of logs will be told, too. `step_ms`: how far apart the steps are.
    pub fn watch_logs(&mut self, step_ms: i64) {
        self.logs
            .get_or_insert_with(|| LogWatch::new(step_ms, &self.context, Arc::clone(&self.source)));
    }

    /// Counts a line of a log, if logs are watched; judged at the next step.
    pub fn log_line(&mut self, entity: &EntityId, at: Timestamp, text: &str) {
        if let Some(logs) = &mut self.logs {
            logs.line(entity, at, text);
            self.brain.reports(entity);
        }
    }

    /// The lines so far are history: what they say is usual.
    pub fn learn_logs(&mut self) {
        if let Some(logs) = &mut self.logs {
            logs.learn();
        }
    }

    /// Identity of the series in `slot`.
    ///
    /// # Panics
    /// If `slot` was not given by [`Lane::add_series`].
    pub fn info(&self, slot: usize) -> &Arc<SeriesInfo> {
        &self.series[slot].info
    }

    /// Gives the detector the past of a series, oldest first; what context says must not teach is left out.
    pub fn bootstrap(&mut self, slot: usize, history: &[(Timestamp, f64)]) {
        if !self.gate.bootstrap(&mut self.detector, slot, &[], history) {
            let info = Arc::make_mut(&mut self.series[slot].info);
            set_kind(info, SeriesKind::Gauge);
        }
    }

    /// Takes the samples of one step as the source sent them, moves the clock to `now`, and appends to `out`.
    pub fn step(&mut self, now: Timestamp, samples: &[(usize, Timestamp, f64)], effort: Effort, out: &mut LaneOutput) {
        let first = out.detections.len();
        let judged = out.gate.judgements.len();
        let heard = out.gate.silent.len();
        self.values.clear();
        for &(slot, at, raw) in samples {
            let value = self.gate.take(slot, at, raw, Some(now), &mut out.gate);
            // A detection for every sample, also for the first of a counter.
            self.values.push((slot, at, value.unwrap_or(f64::NAN)));
        }
        for slot in out.gate.demoted.drain(..) {
            let series = &mut self.series[slot];
            set_kind(Arc::make_mut(&mut series.info), SeriesKind::Gauge);
            self.gate.retype(&mut self.detector, slot, &series.info);
        }
        self.gate.observe(
            &mut self.detector,
            &self.values,
            effort,
            &mut out.detections,
            &mut out.gate,
        );
        let judgements = &out.gate.judgements[judged..];
        self.observations.clear();
        for (((slot, _, value), detection), judgement) in
            self.values.iter().zip(&out.detections[first..]).zip(judgements)
        {
            let series = &mut self.series[*slot];
            series.samples += 1;
            if series.limit.is_none() && !value.is_nan() {
                series.limit = Some(known_limit(&series.info, *value));
            }
            if detection.anomaly || (judgement.evidence && detection.score >= EVIDENCE_SCORE) {
                self.observations.push(Observation {
                    info: Arc::clone(&series.info),
                    source: Arc::clone(&self.source),
                    detection: *detection,
                    has_samples: true,
                });
            }
        }
        for silence in &out.gate.silent[heard..] {
            self.silences.hear(0, silence.clone());
        }
        let graph = self.brain.correlator.graph();
        self.silences.tell(&self.source, graph, |_| 0, &mut self.observations);
        if let Some(logs) = &mut self.logs {
            logs.tell(now, &mut self.observations);
        }
        let known = out.brain.incidents.len();
        self.brain.step(now, &self.observations, &mut out.brain);
        if out.brain.incidents.len() > known {
            let troubled = self.brain.correlator.troubled();
            self.gate.set_troubled(&mut self.detector, Arc::new(troubled));
        }
        for ((slot, ..), judgement) in samples.iter().zip(judgements) {
            let series = &self.series[*slot];
            if judgement.is_ordinary()
                && let Some(Some(limit)) = series.limit
                && series.samples.is_multiple_of(SAMPLES_PER_OUTLOOK)
                && let Some(outlook) = self.detector.outlook(*slot, OUTLOOK_STEPS)
            {
                self.brain
                    .look_ahead(now, &series.info, &outlook, limit, &mut out.brain);
            }
        }
    }

    /// Every incident so far, oldest first.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.brain.correlator.incidents()
    }

    /// The detector, to ask for baselines and explanations.
    pub fn detector(&self) -> &Detector {
        &self.detector
    }

    /// Correlator and predictor, to ask for details.
    pub fn brain(&self) -> &Brain {
        &self.brain
    }
}
