//! The series of one shard: identity, admission, history, newest verdicts.

mod kept;

pub(super) use kept::Kept;

use super::families::Link;
use crate::context::Judgement;
use crate::detect::{Detection, Detector, SignalState, Why};
use crate::error::Result;
use crate::features::rates;
use crate::ingest::admit::Admit;
use crate::ingest::registry::ById;
use crate::pipeline::gate::Gate;
use crate::pipeline::message::{About, Clocks, Sealed, Slice};
use crate::predict::limits::known_limit;
use crate::predict::{Limit, forecast};
use crate::series::{SeriesInfo, SeriesKind, set_kind};
use crate::store::history::History;
use crate::view::{Verdict, Verdicts};
use jiff::tz::TimeZone;
use std::sync::Arc;
use wire::series::{Evidence, Health, SeriesSummary};
use wire::{SeriesId, Timestamp};

/// Fewest verdicts kept for a series, however many series there are.
const MIN_VERDICTS: usize = 48;

/// Most verdicts kept for a series, however few there are.
const MAX_VERDICTS: usize = 4096;

/// Series sealed at a time: some milliseconds of work, for which samples wait.
const SEALS: usize = 64;

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

/// Where a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// By the detector's slot.
    Judged(usize),
    /// Among those that are stored only.
    Kept(usize),
}

/// What the clocks of a zone show at an instant, less UTC. Beyond what a calendar can say it is 0.
fn offset_ms(zone: &TimeZone, at: Timestamp) -> i64 {
    jiff::Timestamp::from_millisecond(at.as_millis())
        .map_or(0, |instant| i64::from(zone.to_offset(instant).seconds()) * 1000)
}

/// One series that is judged.
#[derive(Debug)]
pub(super) struct Series {
    info: Arc<SeriesInfo>,
    source: Arc<str>,
    history: History,
    /// Its place in a histogram or summary.
    link: Option<Link>,
    verdicts: Verdicts,
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
    pub(super) fn new(info: Arc<SeriesInfo>, source: Arc<str>, history: History, link: Option<Link>) -> Self {
        Self {
            info,
            source,
            history,
            link,
            verdicts: Verdicts::default(),
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
                // A counter has no limit, so that its value is never taken for its rate.
                self.limit = Some(known_limit(&self.info, value));
            }
        }
        admit
    }

    /// The series is of another kind than was thought.
    pub(super) fn become_of(&mut self, info: Arc<SeriesInfo>, link: Option<Link>) {
        self.info = info;
        self.link = link;
        self.limit = None;
        self.detection = None;
        self.judgement = None;
        self.verdicts.clear();
    }

    /// The same, where the shard itself has found out.
    pub(super) fn retype(&mut self, kind: SeriesKind) {
        let mut info = SeriesInfo::clone(&self.info);
        set_kind(&mut info, kind);
        self.become_of(Arc::new(info), self.link);
    }

    /// Its source ended it, or nothing can be derived for it now.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// The newest values as they are shown, at most `count`: the rates of a counter, else what is stored.
    fn newest(&self, count: usize, step_ms: i64) -> Vec<(Timestamp, f64)> {
        if self.info.kind != SeriesKind::Counter {
            return self.history.newest(count);
        }
        let mut found = rates(&self.history.newest(count + 1), step_ms).unwrap_or_default();
        found.drain(..found.len().saturating_sub(count));
        found
    }

    /// The last value as it is shown.
    fn last_value(&self) -> Option<f64> {
        match self.info.kind {
            SeriesKind::Counter => self.detection.map(|detection| detection.value),
            _ => self.last.map(|(_, value)| value),
        }
    }

    /// Keeps the verdict on the sample just taken.
    pub(super) fn judged(&mut self, detection: &Detection, judgement: Judgement, why: Option<Why>, capacity: usize) {
        if let Some(why) = why {
            self.anomaly = Some(Box::new((*detection, why)));
        }
        self.detection = Some(*detection);
        self.judgement = Some(judgement);
        self.verdicts.push(&Verdict::new(detection), capacity);
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

/// All series of a shard: those that are judged by the detector's slot, and the others.
#[derive(Debug)]
pub(super) struct SeriesTable {
    places: ById<Place>,
    series: Vec<Series>,
    /// `None` where one has come to be judged.
    kept: Vec<Option<Kept>>,
    verdict_bytes: usize,
}

impl SeriesTable {
    pub(super) fn new(verdict_bytes: usize) -> Self {
        Self {
            places: ById::default(),
            series: Vec::new(),
            kept: Vec::new(),
            verdict_bytes,
        }
    }

    pub(super) fn place(&self, id: SeriesId) -> Option<Place> {
        self.places.get(&id).copied()
    }

    /// Reads from the cache lines that the next sample of a series needs.
    pub(super) fn touch(&self, place: Place) -> u64 {
        match place {
            Place::Judged(slot) => self.series[slot].seen + self.series[slot].history.touch(),
            Place::Kept(index) => self.kept_at(index).history.touch(),
        }
    }

    /// Takes a sample into history, if its place there is open; and says of which family the series is a member.
    pub(super) fn admit(&mut self, place: Place, at: Timestamp, value: f64) -> (Admit, Option<Link>) {
        match place {
            Place::Judged(slot) => {
                let series = &mut self.series[slot];
                (series.admit(at, value), series.link)
            }
            Place::Kept(index) => {
                let kept = self.kept_mut(index);
                (kept.admit(at, value), kept.link)
            }
        }
    }

    pub(super) fn link(&self, place: Place) -> Option<Link> {
        match place {
            Place::Judged(slot) => self.series[slot].link,
            Place::Kept(index) => self.kept[index].as_ref().and_then(|kept| kept.link),
        }
    }

    pub(super) fn info(&self, place: Place) -> &Arc<SeriesInfo> {
        match place {
            Place::Judged(slot) => &self.series[slot].info,
            Place::Kept(index) => &self.kept_at(index).info,
        }
    }

    /// Adds a series that is not judged.
    pub(super) fn keep(&mut self, kept: Kept) {
        self.places.insert(kept.info.id, Place::Kept(self.kept.len()));
        self.kept.push(Some(kept));
    }

    /// Takes a series out that is going to be judged.
    pub(super) fn release(&mut self, index: usize) -> Option<Kept> {
        self.kept[index].take()
    }

    pub(super) fn kept_mut(&mut self, index: usize) -> &mut Kept {
        self.kept[index].as_mut().expect("a place leads to what is there")
    }

    fn kept_at(&self, index: usize) -> &Kept {
        self.kept[index].as_ref().expect("a place leads to what is there")
    }

    pub(super) fn kept(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter().flatten()
    }

    /// Adds the series that the detector has just given `slot`.
    pub(super) fn push(&mut self, slot: usize, series: Series) {
        debug_assert_eq!(slot, self.series.len(), "the detector gives slots in order");
        self.places.insert(series.info.id, Place::Judged(slot));
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
        let each = self.verdict_bytes / self.series.len().max(1) / Verdicts::BYTES;
        each.clamp(MIN_VERDICTS, MAX_VERDICTS)
    }

    /// Samples and verdicts between two times.
    pub(super) fn slice(&self, id: SeriesId, from: Timestamp, to: Timestamp) -> Option<Result<Slice>> {
        let (history, verdicts) = match self.place(id)? {
            Place::Judged(slot) => {
                let series = self.series(slot);
                (&series.history, series.verdicts.between(from, to))
            }
            Place::Kept(index) => (&self.kept_at(index).history, Vec::new()),
        };
        Some(history.range(from, to).map(|samples| Slice { samples, verdicts }))
    }

    /// What the metric page needs beyond the samples.
    pub(super) fn about(&self, detector: &Detector, gate: &Gate, id: SeriesId, clocks: &Clocks) -> Option<About> {
        let slot = match self.place(id)? {
            Place::Judged(slot) => slot,
            Place::Kept(index) => {
                let kept = self.kept_at(index);
                return Some(About {
                    summary: kept.summary(),
                    forecast: Vec::new(),
                    offset_ms: 0,
                    limit: None,
                    threshold: detector.threshold(kept.info.class),
                    explanation: kept.explanation().to_owned(),
                    evidence: None,
                    last_anomaly: None,
                    seen: 0,
                    needed: 0,
                });
            }
        };
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
            offset_ms: offset_ms(&gate.context.zone(slot), series.last_at().unwrap_or_default()),
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
        let recent = series.newest(SPARK_POINTS, state.step_ms);
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
            last_value: series.last_value(),
            score: series.score(),
            confidence: state.confidence,
            provisional: series.provisional(clocks.get(&series.source).copied(), state.step_ms),
            spark,
        }
    }

    /// Seals what is full (or everything) from a place on, of at most [`SEALS`] series, and returns all chunks of those that it
    /// came by that the store does not have yet. A series that has come to be judged meanwhile has its new place after all others,
    /// so none is passed over.
    pub(super) fn seal(&mut self, everything: bool, from: usize, durable: impl Fn(&str) -> bool) -> Sealed {
        let mut found = Sealed::default();
        let kept = self.kept.iter_mut();
        let kept = kept.map(|kept| kept.as_mut().map(|kept| (&kept.source, &mut kept.history)));
        let judged = self.series.iter_mut();
        let judged = judged.map(|series| Some((&series.source, &mut series.history)));
        let mut seals = 0;
        for (place, series) in kept.chain(judged).enumerate().skip(from) {
            let Some((_, history)) = series.filter(|(source, _)| durable(source)) else {
                continue;
            };
            if everything || history.is_full() {
                if seals == SEALS {
                    found.next = Some(place);
                    break;
                }
                history.seal(everything);
                seals += 1;
            }
            found.chunks.extend_from_slice(history.unsaved());
        }
        found
    }

    /// The store has these chunks.
    pub(super) fn saved(&mut self, ends: &[(SeriesId, Timestamp)]) {
        for (id, end) in ends {
            match self.place(*id) {
                Some(Place::Judged(slot)) => self.series[slot].history.saved(*end),
                Some(Place::Kept(index)) => self.kept_mut(index).history.saved(*end),
                None => {}
            }
        }
    }
}
