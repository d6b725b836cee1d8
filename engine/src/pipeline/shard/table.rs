//! The series of one shard: identity, admission, history, newest verdicts.

use crate::context::Judgement;
use crate::detect::{Detection, Detector, SignalState, Why};
use crate::error::Result;
use crate::ingest::admit::Admit;
use crate::pipeline::gate::Gate;
use crate::pipeline::message::{About, Clocks, Slice};
use crate::predict::limits::known_limit;
use crate::predict::{Limit, forecast};
use crate::series::SeriesInfo;
use crate::store::history::{History, SealedChunk};
use crate::view::Verdict;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use wire::series::{Evidence, Health, SeriesSummary};
use wire::{SeriesId, Timestamp};

/// Fewest verdicts kept for a series, however many series there are.
const MIN_VERDICTS: usize = 60;

/// Most verdicts kept for a series, however few there are.
const MAX_VERDICTS: usize = 4096;

/// Values of a sparkline.
const SPARK_POINTS: usize = 48;

/// A source is silent after this many steps without a sample, but not before [`SILENT_AFTER_MS`].
const SILENT_AFTER_STEPS: i64 = 5;
const SILENT_AFTER_MS: i64 = 60_000;

/// Confidence of the interval drawn around a forecast.
const FORECAST_LEVEL: f64 = 0.9;

/// Steps of the forecast fan.
const FORECAST_STEPS: usize = 60;

/// A forecast reaches at most this far.
const FORECAST_MS: i64 = 30 * 60 * 1000;

/// One series.
#[derive(Debug)]
pub(super) struct Series {
    info: Arc<SeriesInfo>,
    source: Arc<str>,
    history: History,
    /// Oldest first.
    verdicts: VecDeque<Verdict>,
    /// `None` until the first value has told what is usual.
    limit: Option<Option<Limit>>,
    seen: u64,
    last: Option<(Timestamp, f64)>,
    detection: Option<Detection>,
    judgement: Option<Judgement>,
    /// The last anomaly, with the reasons.
    anomaly: Option<Box<(Detection, Why)>>,
    /// The source said that the series has ended.
    ended: bool,
}

impl Series {
    pub(super) fn new(info: Arc<SeriesInfo>, source: Arc<str>, history: History) -> Self {
        Self {
            info,
            source,
            history,
            verdicts: VecDeque::new(),
            limit: None,
            seen: 0,
            last: None,
            detection: None,
            judgement: None,
            anomaly: None,
            ended: false,
        }
    }

    pub(super) fn info(&self) -> &Arc<SeriesInfo> {
        &self.info
    }

    pub(super) fn source(&self) -> &Arc<str> {
        &self.source
    }

    pub(super) fn limit(&self) -> Option<Limit> {
        self.limit.flatten()
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    pub(super) fn score(&self) -> f32 {
        self.detection.map_or(0.0, |d| d.score)
    }

    pub(super) fn last_at(&self) -> Option<Timestamp> {
        self.last.map(|(at, _)| at)
    }

    /// Takes a sample into history, if its place is open.
    pub(super) fn admit(&mut self, at: Timestamp, value: f64) -> Admit {
        let admit = self.history.insert(at, value);
        if admit == Admit::InOrder {
            self.last = Some((at, value));
            self.seen += 1;
            self.ended = false;
            if self.limit.is_none() {
                self.limit = Some(known_limit(&self.info, value));
            }
        }
        admit
    }

    /// Keeps the verdict on the sample just taken.
    pub(super) fn judged(&mut self, detection: &Detection, judgement: Judgement, why: Option<Why>, capacity: usize) {
        if let Some(why) = why {
            self.anomaly = Some(Box::new((*detection, why)));
        }
        self.detection = Some(*detection);
        self.judgement = Some(judgement);
        self.verdicts.push_back(Verdict::new(detection));
        while self.verdicts.len() > capacity {
            self.verdicts.pop_front();
        }
    }

    /// What the detector says of the last sample, what context makes of it, and what is wrong with the data.
    fn explanation(&self, gate: &Gate, slot: usize, evidence: Option<&Evidence>) -> String {
        let Some(evidence) = evidence else {
            return "no sample has been judged yet".to_owned();
        };
        let mut text = evidence.sentence.clone();
        if let Some(reason) = self.judgement.and_then(|judgement| judgement.suppressed) {
            text = format!("{text}; suppressed: {}", gate.context.describe(reason));
        }
        for finding in gate.quality.findings(slot) {
            text = format!("{text}; data quality: {}", finding.text);
        }
        text
    }

    /// What is behind the decision on the last sample, and behind the last anomaly if that was an earlier one.
    fn evidence(&self, detector: &Detector) -> [Option<Evidence>; 2] {
        let is_last = |at: Timestamp| self.detection.is_some_and(|last| last.at == at);
        let anomaly = self.anomaly.as_deref();
        let own = anomaly.filter(|(detection, _)| is_last(detection.at));
        let earlier = anomaly.filter(|(detection, _)| !is_last(detection.at));
        let of = |detection: &Detection, why| detector.evidence(&self.info, detection, why);
        [
            self.detection.as_ref().map(|last| of(last, own.map(|(_, why)| why))),
            earlier.map(|(detection, why)| of(detection, Some(why))),
        ]
    }

    /// Since when a provisional signal waits, if it has not run out: no sample may come to end it.
    fn provisional(&self, clock: Option<Timestamp>, step_ms: i64) -> Option<Timestamp> {
        let detection = self.detection.as_ref()?;
        let signal = detection.signal.filter(|s| s.state == SignalState::Provisional)?;
        let patience_ms = (step_ms * SILENT_AFTER_STEPS).max(SILENT_AFTER_MS);
        let fresh = clock.is_none_or(|now| now.millis_since(detection.at) <= patience_ms);
        (fresh && !self.ended).then_some(signal.since)
    }

    /// A series that does not report is silent, one that its source ended is not looked for.
    pub(super) fn health(&self, clock: Option<Timestamp>, step_ms: i64) -> Health {
        let (Some(detection), Some((last, _)), false) = (&self.detection, self.last, self.ended) else {
            return Health::Unknown;
        };
        let patience_ms = (step_ms * SILENT_AFTER_STEPS).max(SILENT_AFTER_MS);
        if clock.is_some_and(|now| now.millis_since(last) > patience_ms) {
            return Health::Silent;
        }
        if detection.anomaly {
            Health::Anomalous
        } else if detection.votes.count() > 0
            || detection.votes.simple.is_some_and(|own| own.vote)
            || detection.signal.is_some_and(|s| s.state == SignalState::Provisional)
        {
            Health::Watch
        } else {
            Health::Ok
        }
    }
}

/// All series of a shard, by the detector's slot.
#[derive(Debug)]
pub(super) struct SeriesTable {
    slots: HashMap<SeriesId, usize>,
    series: Vec<Series>,
    verdict_bytes: usize,
}

impl SeriesTable {
    pub(super) fn new(verdict_bytes: usize) -> Self {
        Self {
            slots: HashMap::new(),
            series: Vec::new(),
            verdict_bytes,
        }
    }

    pub(super) fn slot(&self, id: SeriesId) -> Option<usize> {
        self.slots.get(&id).copied()
    }

    /// Adds the series that the detector has just given `slot`.
    pub(super) fn push(&mut self, slot: usize, series: Series) {
        debug_assert_eq!(slot, self.series.len(), "the detector gives slots in order");
        self.slots.insert(series.info.id, slot);
        self.series.push(series);
    }

    pub(super) fn series(&self, slot: usize) -> &Series {
        &self.series[slot]
    }

    pub(super) fn series_mut(&mut self, slot: usize) -> &mut Series {
        &mut self.series[slot]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Series)> {
        self.series.iter().enumerate()
    }

    /// Verdicts that each series may keep, so that all together stay within the budget.
    pub(super) fn verdict_capacity(&self) -> usize {
        let each = self.verdict_bytes / self.series.len().max(1) / size_of::<Verdict>();
        each.clamp(MIN_VERDICTS, MAX_VERDICTS)
    }

    /// Samples and verdicts between two times.
    pub(super) fn slice(&self, id: SeriesId, from: Timestamp, to: Timestamp) -> Option<Result<Slice>> {
        let series = self.series(self.slot(id)?);
        let verdicts = series
            .verdicts
            .iter()
            .filter(|v| (from..=to).contains(&v.at))
            .copied()
            .collect();
        Some(
            series
                .history
                .range(from, to)
                .map(|samples| Slice { samples, verdicts }),
        )
    }

    /// What the metric page needs beyond the samples.
    pub(super) fn about(&self, detector: &Detector, gate: &Gate, id: SeriesId, clocks: &Clocks) -> Option<About> {
        let slot = self.slot(id)?;
        let series = self.series(slot);
        let state = detector.state(slot);
        let steps = usize::try_from(FORECAST_MS / state.step_ms.max(1))
            .unwrap_or(FORECAST_STEPS)
            .clamp(6, FORECAST_STEPS);
        let outlook = detector.outlook(slot, steps);
        let [evidence, last_anomaly] = series.evidence(detector);
        Some(About {
            summary: self.summary(detector, slot, clocks),
            forecast: outlook
                .map(|outlook| forecast(&outlook, steps, FORECAST_LEVEL))
                .unwrap_or_default(),
            limit: series.limit().map(|limit| limit.value),
            threshold: detector.threshold(series.info.class),
            explanation: series.explanation(gate, slot, evidence.as_ref()),
            evidence,
            last_anomaly,
            seen: state.seen,
            needed: state.needed,
        })
    }

    pub(super) fn summary(&self, detector: &Detector, slot: usize, clocks: &Clocks) -> SeriesSummary {
        let series = self.series(slot);
        let state = detector.state(slot);
        let mut info = SeriesInfo::clone(&series.info);
        info.step_ms = state.step_ms;
        let recent = series.history.newest(SPARK_POINTS);
        let mut spark = Vec::with_capacity(recent.len());
        for pair in recent.windows(2) {
            spark.push(Some(pair[0].1 as f32));
            if state.step_ms > 0 && pair[1].0.millis_since(pair[0].0) > state.step_ms * 5 / 2 {
                spark.push(None);
            }
        }
        spark.extend(recent.last().map(|(_, value)| Some(*value as f32)));
        SeriesSummary {
            info,
            health: series.health(clocks.get(&series.source).copied(), state.step_ms),
            last_at: series.last_at().unwrap_or_default(),
            last_value: series.last.map(|(_, value)| value),
            score: series.score(),
            confidence: state.confidence,
            provisional: series.provisional(clocks.get(&series.source).copied(), state.step_ms),
            spark,
        }
    }

    /// Seals what is full (or everything) and returns all chunks that the store does not have yet.
    pub(super) fn seal(&mut self, everything: bool, durable: impl Fn(&str) -> bool) -> Vec<SealedChunk> {
        let mut chunks = Vec::new();
        for series in self.series.iter_mut().filter(|s| durable(&s.source)) {
            if everything || series.history.is_full() {
                series.history.seal(everything);
            }
            chunks.extend_from_slice(series.history.unsaved());
        }
        chunks
    }

    /// The store has these chunks.
    pub(super) fn saved(&mut self, ends: &[(SeriesId, Timestamp)]) {
        for (id, end) in ends {
            if let Some(slot) = self.slot(*id) {
                self.series[slot].history.saved(*end);
            }
        }
    }

    pub(super) fn mark_ended(&mut self, id: SeriesId) {
        if let Some(slot) = self.slot(id) {
            self.series[slot].ended = true;
        }
    }
}
