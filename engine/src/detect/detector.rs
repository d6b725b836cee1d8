//! The ensemble over many series.

mod counterfactual;
mod decision;
mod mask;
mod series;

use super::calibration::{
    AUTOENCODER, FAST, FOREST, JOINT, NOVELTY, SLOW, THRESHOLD, class_index, required_rarity, unsquash,
};
use super::joint::Entities;
use super::novelty::Novelties;
use super::window::Windows;
use super::{DetectConfig, Detection, Effort, Expected, Models};
use crate::features::{Baselines, Outlook, Polarity};
pub use counterfactual::Before;
use decision::{CALIBRATE_EVERY, Met, Pending};
use jiff::tz::TimeZone;
use mask::Kept;
pub(crate) use mask::LASTING_MS;
use series::Series;
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::series::{MetricClass, SeriesInfo, Votes};
use wire::{SeriesId, Timestamp};

/// Samples after which a baseline is trusted: confidence 1.
const NEEDED: u64 = 120;
/// Samples before which nothing is called an anomaly,
const MIN_SEEN: u64 = 48;
/// and the time they must span: 48 samples of a second know nothing of a series that anybody would be woken for.
const MIN_SPAN_MS: i64 = 30 * 60_000;
/// Samples whose series are looked up together.
const AHEAD: usize = 16;
/// Greatest confidence while the shape of a series' day is borrowed from others.
const BORROWED: f32 = 0.5;

/// How a series stands with the detector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeriesState {
    /// Samples seen.
    pub seen: u64,
    /// Samples needed before the baseline is trusted.
    pub needed: u64,
    /// 0..1, 1 from `needed` on.
    pub confidence: f32,
    /// Interval between samples; 0 until it is known.
    pub step_ms: i64,
    pub last_at: Option<Timestamp>,
    pub last_value: Option<f64>,
}

/// Four members over every series of one shard. Reads no clock, socket or file.
#[derive(Debug)]
pub struct Detector {
    config: DetectConfig,
    models: Arc<Models>,
    thresholds: [f32; 5],
    baselines: Baselines,
    windows: Windows,
    novelties: Novelties,
    entities: Entities,
    series: Vec<Series>,
    slots: BTreeMap<SeriesId, usize>,
    met: Vec<Met>,
    pending: Vec<Pending>,
    /// Positions in the last batch of what may be anomalies, with what they met.
    before: Vec<(usize, Box<Before>)>,
    /// What series had learnt before what must not teach.
    kept: BTreeMap<usize, Box<Kept>>,
}

impl Detector {
    /// An empty detector.
    pub fn new(config: DetectConfig, models: Arc<Models>) -> Self {
        Self {
            config,
            models,
            thresholds: [THRESHOLD; 5],
            baselines: Baselines::default(),
            windows: Windows::default(),
            novelties: Novelties::default(),
            entities: Entities::default(),
            series: Vec::new(),
            slots: BTreeMap::new(),
            met: Vec::new(),
            pending: Vec::new(),
            before: Vec::new(),
            kept: BTreeMap::new(),
        }
    }

    /// Adds a series and returns its slot, counted from 0.
    pub fn add_series(&mut self, info: &SeriesInfo) -> usize {
        let polarity = Polarity::of(info);
        let slot = self.baselines.add(polarity, info.step_ms);
        self.baselines.set_metric(slot, &info.metric, info.statistic.as_deref());
        self.windows.add();
        self.novelties.add(polarity);
        self.entities.add(info);
        let tails = self.models.tails(info.class);
        self.series.push(Series::new(info.id, info.class, tails));
        self.slots.insert(info.id, slot);
        slot
    }

    /// Says in which zone the days, weeks and months of a series are such; UTC until then. For a series without samples.
    pub fn set_zone(&mut self, slot: usize, zone: &TimeZone) {
        self.baselines.set_zone(slot, zone);
    }

    /// Scores and learns one sample.
    pub fn observe(&mut self, slot: usize, at: Timestamp, value: f64, effort: Effort) -> Detection {
        let mut out = Vec::with_capacity(1);
        self.observe_batch(&[(slot, at, value)], effort, &mut out);
        out.pop().expect("a batch of one gives one detection")
    }

    /// Scores and learns many samples, `(slot, time, value)`; detections are appended to `out` in the order of the batch.
    /// The same as one [`Detector::observe`] after the other, but forest and autoencoder run on many samples at once.
    pub fn observe_batch(&mut self, batch: &[(usize, Timestamp, f64)], effort: Effort, out: &mut Vec<Detection>) {
        let start = out.len();
        let lot = self.models.lot();
        self.before.clear();
        for (position, &(slot, at, value)) in batch.iter().enumerate() {
            if position.is_multiple_of(AHEAD) {
                self.touch(&batch[position..(position + AHEAD).min(batch.len())]);
            }
            // A sample's decision feeds the state that the same series' next sample meets.
            if self.series[slot].in_flight || self.met.len() >= lot {
                self.settle(effort, &mut out[start..]);
            }
            out.push(self.quiet(slot, at, value));
            if let Some(met) = self.meet(position, slot, at, value) {
                self.series[slot].in_flight = true;
                self.met.push(met);
            }
        }
        self.settle(effort, &mut out[start..]);
    }

    /// Reads a number of every part of the state of some series. The state of many series fits no cache: what comes next, one after
    /// the other and each where the one before led, is then on its way from memory all at once.
    fn touch(&self, rows: &[(usize, Timestamp, f64)]) {
        let touched = rows.iter().map(|&(slot, ..)| {
            self.baselines.touch(slot)
                + self.windows.touch(slot)
                + self.novelties.touch(slot)
                + self.series[slot].touch()
        });
        std::hint::black_box(touched.sum::<f32>());
    }

    /// Learns history as if it had been observed, from a better start. Nothing in it is an alert.
    pub fn bootstrap(&mut self, slot: usize, history: &[(Timestamp, f64)]) {
        self.bootstrap_after(slot, &[], history);
    }

    /// The same for a long history: of `older`, which came before `history`, seasons alone are learnt, all at once.
    pub fn bootstrap_after(&mut self, slot: usize, older: &[(Timestamp, f64)], history: &[(Timestamp, f64)]) {
        let finite = history.iter().map(|sample| sample.1).filter(|value| value.is_finite());
        for (n, value) in finite.enumerate() {
            if n as u64 >= MIN_SEEN {
                let novelty = self.novelties.score(slot, value);
                self.series[slot].tails[NOVELTY].learn(novelty, 1.0);
            }
            self.novelties.learn(slot, value);
        }
        let models = &self.models;
        let windows = &mut self.windows;
        let Series {
            tails, shift, class, ..
        } = &mut self.series[slot];
        let mut n = 0_u64;
        let (mut rows, mut sampled): (Vec<f32>, Vec<f32>) = (Vec::new(), Vec::new());
        self.baselines.bootstrap(slot, older, history, |_, value, residual| {
            n += 1;
            shift.observe(value, residual.scale);
            windows.push(slot, residual.slow);
            if n < MIN_SEEN {
                return;
            }
            tails[FAST].learn(residual.fast.abs(), 1.0);
            tails[SLOW].learn(residual.slow.abs(), 1.0);
            rows.extend(models.sight().row(residual, || windows.of(slot)));
            if n.is_multiple_of(CALIBRATE_EVERY) && windows.is_full(slot) {
                windows.append_to(slot, &mut sampled);
            }
        });
        for score in models.isolate(*class, &rows) {
            tails[FOREST].learn(score, 1.0);
        }
        for score in models.reconstruct(&sampled) {
            tails[AUTOENCODER].learn(score, 1.0);
        }
    }

    /// Forgets all that was learnt of a series, which is as if it had just been added.
    ///
    /// # Panics
    /// If `slot` was not given by [`Detector::add_series`].
    pub fn restart(&mut self, slot: usize, info: &SeriesInfo) {
        let mut fresh = Self::new(self.config.clone(), Arc::clone(&self.models));
        fresh.add_series(info);
        self.kept.remove(&slot);
        self.baselines.put_back(slot, fresh.baselines.copy_out(0));
        self.baselines.set_polarity(slot, Polarity::of(info));
        self.windows.put_back(slot, fresh.windows.copy_out(0));
        self.novelties.put_back(slot, fresh.novelties.copy_out(0));
        self.entities.restart(slot, info.class);
        self.series[slot] = Series::new(info.id, info.class, self.models.tails(info.class));
    }

    /// Takes other models, from the next sample on. Baseline, window and novelty of a series are its own and stay, and so does
    /// the tail of a member whose model is the same. The tail of a member whose model is another begins again from that
    /// model's calibration: how rare the old model's scores were says little of the new one's. O(series).
    pub fn set_models(&mut self, models: Arc<Models>) {
        let other_forest = MetricClass::ALL.map(|class| models.forest(class) != self.models.forest(class));
        let other_joint = models.joint() != self.models.joint();
        let other_autoencoder = models.autoencoder() != self.models.autoencoder();
        let kept = self.kept.values_mut().map(|kept| &mut kept.series);
        for series in self.series.iter_mut().chain(kept) {
            let tails = models.tails(series.class);
            if other_forest[class_index(series.class)] {
                series.begin_again(FOREST, &tails[FOREST]);
            }
            if other_autoencoder {
                series.begin_again(AUTOENCODER, &tails[AUTOENCODER]);
            }
            if other_joint {
                series.begin_again(JOINT, &tails[JOINT]);
            }
        }
        self.models = models;
    }

    /// Expected value and band of a series at an instant. `None` before the baseline exists.
    pub fn expected(&self, slot: usize, at: Timestamp) -> Option<Expected> {
        let (mean, scale) = self.baselines.expected(slot, at)?;
        Some(self.band(slot, mean, scale))
    }

    /// How a series stands.
    pub fn state(&self, slot: usize) -> SeriesState {
        let seen = self.baselines.seen(slot);
        let last = self.baselines.last(slot);
        SeriesState {
            seen,
            needed: self.needed(slot),
            confidence: self.confidence(slot),
            step_ms: self.baselines.step_ms(slot),
            last_at: last.map(|l| l.0),
            last_value: last.map(|l| l.1),
        }
    }

    /// From how many series of the same metric the baseline of a series is borrowed, as long as it is.
    pub fn borrowed_from(&self, slot: usize) -> Option<u16> {
        self.baselines.borrowed_from(slot)
    }

    /// Expected course of the next `steps` samples. `None` before the baseline exists.
    pub fn outlook(&self, slot: usize, steps: usize) -> Option<Outlook> {
        self.baselines.outlook(slot, steps)
    }

    /// Score that a sample of `class` must reach to be an anomaly, 0..1.
    pub fn threshold(&self, class: MetricClass) -> f32 {
        self.thresholds[class_index(class)]
    }

    /// Moves the threshold of a class; brought into 0.05..0.995.
    pub fn set_threshold(&mut self, class: MetricClass, threshold: f32) {
        if threshold.is_finite() {
            self.thresholds[class_index(class)] = threshold.clamp(0.05, 0.995);
        }
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there are no series.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The anomaly that lasts on a series: since when, and for how many samples.
    pub fn episode(&self, id: SeriesId) -> Option<(Timestamp, u32)> {
        self.series[*self.slots.get(&id)?].episode
    }

    pub(super) fn slot(&self, id: SeriesId) -> Option<usize> {
        self.slots.get(&id).copied()
    }

    /// The trained models in use.
    pub(super) fn models(&self) -> &Models {
        &self.models
    }

    /// The rarest member of a detection as "one clean sample in 10^x".
    pub(crate) fn decades(&self, detection: &Detection) -> f32 {
        let step_ms = self
            .slots
            .get(&detection.series)
            .map_or(0, |&slot| self.baselines.step_ms(slot));
        unsquash(detection.score) * required_rarity(self.config.false_alerts_per_series_per_day, step_ms)
    }

    /// Samples after which the baseline of a series is trusted.
    fn needed(&self, slot: usize) -> u64 {
        NEEDED.max(least_seen(self.baselines.step_ms(slot)))
    }

    fn confidence(&self, slot: usize) -> f32 {
        let most = if self.borrowed_from(slot).is_some() {
            BORROWED
        } else {
            1.0
        };
        (self.baselines.seen(slot) as f32 / self.needed(slot) as f32).min(most)
    }

    fn band(&self, slot: usize, mean: f64, scale: f64) -> Expected {
        let required = required_rarity(
            self.config.false_alerts_per_series_per_day,
            self.baselines.step_ms(slot),
        );
        let reach = f64::from(self.series[slot].tails[FAST].score_at(required)).clamp(2.0, 100.0);
        Expected {
            mean,
            lower: mean - reach * scale,
            upper: mean + reach * scale,
            scale,
        }
    }

    /// A detection that says nothing: warming up, or a sample that cannot be judged.
    fn quiet(&self, slot: usize, at: Timestamp, value: f64) -> Detection {
        Detection {
            series: self.series[slot].id,
            at,
            value,
            expected: None,
            score: 0.0,
            salience: 0.0,
            shift: 0.0,
            votes: Votes::default(),
            anomaly: false,
            signal: None,
            breach: None,
            quiet_at: None,
            confidence: self.confidence(slot),
        }
    }
}

/// Samples before which nothing is called an anomaly, at this interval.
fn least_seen(step_ms: i64) -> u64 {
    let spanned = u64::try_from(MIN_SPAN_MS / step_ms.max(1)).unwrap_or(0);
    // An interval that is not known yet promises nothing.
    if step_ms > 0 { MIN_SEEN.max(spanned) } else { MIN_SEEN }
}
