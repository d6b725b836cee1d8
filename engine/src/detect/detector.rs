//! The ensemble over many series.

use super::autoencoder::WINDOW;
use super::calibration::{
    AUTOENCODER, FAST, FOREST, HOLD, NOVELTY, RAWS, SLOW, THRESHOLD, VOTE, class_index, required_rarity, squash,
    unsquash,
};
use super::novelty::{Known, Novelties};
use super::salience::Salience;
use super::tail::Tail;
use super::window::Windows;
use super::{DetectConfig, Detection, Effort, Expected, Models};
use crate::features::{BaselineSlot, Baselines, Outlook, Polarity, Residual, compress};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::series::{MemberVote, MetricClass, SeriesInfo, Votes};
use wire::{SeriesId, Timestamp};

/// Samples after which a baseline is trusted: confidence 1.
const NEEDED: u64 = 120;
/// Samples before which nothing is called an anomaly,
const MIN_SEEN: u64 = 48;
/// and the time they must span: 48 samples of a second know nothing of a series that anybody would be woken for.
const MIN_SPAN_MS: i64 = 30 * 60_000;
/// The autoencoder's own calibration learns from every so many samples of a series, whatever the effort: often while the
/// series is new, rarely once its tail is its own, for this is most of what an ordinary sample costs.
const CALIBRATE_EVERY: u64 = 16;
const CALIBRATE_EVERY_LATER: u64 = 128;
const LATER: u64 = 4096;
/// Weight of a suspicious sample when tails learn.
const SUSPICIOUS: f32 = 0.2;
/// A run of rare samples teaches the tails once, by its worst, when it is over: learning while it lasts would talk a fault
/// down before it is believed. One longer than this is the new normal, and taught sample by sample.
const LONG_RUN: u8 = 64;
/// A sample this near to its long-term level (in long-term standard deviations), after one within the window that was so far
/// from it, is a return to normal. Members that look back still see the fault; that must not keep it open.
const NEAR: f32 = 2.0;
const FAR: f32 = 3.0;
/// A series that has alerted has to say more to alert again: half as much more as its last alert was worth (at most
/// [`BAR_MAX`] times what is required), forgotten by half a day. Who cries wolf is marginal each time; real trouble is not.
const BAR: f32 = 0.5;
const BAR_MAX: f32 = 1.5;
const BAR_HALF_LIFE_MS: f32 = 86_400_000.0;
/// No raw score of any member.
const NONE: [f32; RAWS] = [f32::NAN; RAWS];

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
    series: Vec<Series>,
    slots: BTreeMap<SeriesId, usize>,
    pending: Vec<Pending>,
    /// What masked series had learnt before.
    masked: BTreeMap<usize, Box<Kept>>,
}

/// What a series had learnt when it was masked.
#[derive(Clone, Debug)]
struct Kept {
    baseline: BaselineSlot,
    window: ([f32; WINDOW], u32),
    novelty: Known,
    series: Series,
}

#[derive(Clone, Debug)]
struct Series {
    id: SeriesId,
    class: MetricClass,
    tails: [Tail; RAWS],
    /// Samples in a row that the joint score called rare enough; an anomaly needs some of them at short steps.
    rare: u8,
    /// Greatest raw scores of those samples, in the order of the `RAWS` indices; NaN where there is none.
    worst: [f32; RAWS],
    /// The anomaly now lasting: since when, and how many samples.
    episode: Option<(Timestamp, u32)>,
    /// The greatest joint rarity of recent alerts, relative to what is required, and when the last of them was.
    bar: (f32, Timestamp),
    salience: Salience,
    in_flight: bool,
}

/// A sample after the cheap members, before the autoencoder.
#[derive(Clone, Debug)]
struct Pending {
    /// Position in the caller's batch.
    position: usize,
    slot: usize,
    at: Timestamp,
    value: f64,
    residual: Residual,
    forest: f32,
    /// Relative to the setting, by the distance alone.
    novelty: f32,
    /// Of decomposition, forest, novelty.
    rarities: [f32; 3],
    required: f32,
    /// Whether it is a return to normal.
    recovered: bool,
    /// Whether the autoencoder is asked, and whether its answer counts for the decision (else only for calibration).
    ask: bool,
    decides: bool,
    autoencoder: Option<f32>,
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
            series: Vec::new(),
            slots: BTreeMap::new(),
            pending: Vec::new(),
            masked: BTreeMap::new(),
        }
    }

    /// Adds a series and returns its slot, counted from 0.
    pub fn add_series(&mut self, info: &SeriesInfo) -> usize {
        let polarity = Polarity::of(info);
        let slot = self.baselines.add(polarity, info.step_ms);
        self.windows.add();
        self.novelties.add(polarity);
        self.series.push(Series {
            id: info.id,
            class: info.class,
            tails: self.models.tails(info.class),
            rare: 0,
            worst: NONE,
            episode: None,
            bar: (0.0, Timestamp(0)),
            salience: Salience::default(),
            in_flight: false,
        });
        self.slots.insert(info.id, slot);
        slot
    }

    /// Scores and learns one sample.
    pub fn observe(&mut self, slot: usize, at: Timestamp, value: f64, effort: Effort) -> Detection {
        let mut out = Vec::with_capacity(1);
        self.observe_batch(&[(slot, at, value)], effort, &mut out);
        out.pop().expect("a batch of one gives one detection")
    }

    /// Scores and learns many samples, `(slot, time, value)`; detections are appended to `out` in the order of the batch.
    /// The same as one [`Detector::observe`] after the other, but the autoencoder runs on many windows at once.
    pub fn observe_batch(&mut self, batch: &[(usize, Timestamp, f64)], effort: Effort, out: &mut Vec<Detection>) {
        let start = out.len();
        for (position, &(slot, at, value)) in batch.iter().enumerate() {
            // A sample's decision feeds the state that the same series' next sample meets.
            if self.series[slot].in_flight {
                self.settle(&mut out[start..]);
            }
            out.push(self.quiet(slot, at, value));
            if let Some(mut pending) = self.cheap_members(slot, at, value, effort) {
                pending.position = position;
                self.series[slot].in_flight = true;
                self.pending.push(pending);
            }
        }
        self.settle(&mut out[start..]);
    }

    /// Learns history as if it had been observed, from a better start. Nothing in it is an alert.
    pub fn bootstrap(&mut self, slot: usize, history: &[(Timestamp, f64)]) {
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
        let tails = &mut self.series[slot].tails;
        let mut n = 0_u64;
        let mut sampled: Vec<f32> = Vec::new();
        self.baselines.bootstrap(slot, history, |_, _, residual| {
            n += 1;
            windows.push(slot, residual.slow);
            if n < MIN_SEEN {
                return;
            }
            let forest = models.forest().score(&residual.features);
            for (raw, score) in [
                (FAST, residual.fast.abs()),
                (SLOW, residual.slow.abs()),
                (FOREST, forest),
            ] {
                tails[raw].learn(score, 1.0);
            }
            if n.is_multiple_of(CALIBRATE_EVERY) && windows.is_full(slot) {
                windows.append_to(slot, &mut sampled);
            }
        });
        for score in models.reconstruct(&sampled) {
            tails[AUTOENCODER].learn(score, 1.0);
        }
    }

    /// Masks a series, or ends its mask. While it is masked its samples are judged as ever; afterwards baseline, season and
    /// tails are as if those samples had never come. Costs a copy of the series' state at either end, nothing in between.
    pub fn mask(&mut self, slot: usize, masked: bool) {
        if masked {
            let (baselines, windows, series) = (&self.baselines, &self.windows, &self.series);
            let novelties = &self.novelties;
            self.masked.entry(slot).or_insert_with(|| {
                Box::new(Kept {
                    baseline: baselines.copy_out(slot),
                    window: windows.copy_out(slot),
                    novelty: novelties.copy_out(slot),
                    series: series[slot].clone(),
                })
            });
        } else if let Some(kept) = self.masked.remove(&slot) {
            self.baselines.put_back(slot, kept.baseline);
            self.windows.put_back(slot, kept.window);
            self.novelties.put_back(slot, kept.novelty);
            self.series[slot] = kept.series;
        }
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

    /// The rarest member of a detection as "one clean sample in 10^x".
    pub(super) fn decades(&self, detection: &Detection) -> f32 {
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
        (self.baselines.seen(slot) as f32 / self.needed(slot) as f32).min(1.0)
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
            votes: Votes::default(),
            anomaly: false,
            confidence: self.confidence(slot),
        }
    }

    fn cheap_members(&mut self, slot: usize, at: Timestamp, value: f64, effort: Effort) -> Option<Pending> {
        // A sample that the baseline refuses is no part of the past.
        if !self.baselines.accepts(slot, at, value) {
            return None;
        }
        let novelty = self.novelties.score(slot, value);
        self.novelties.learn(slot, value);
        let residual = self.baselines.observe(slot, at, value)?;
        let seen = self.baselines.seen(slot);
        let recovered = residual.slow.abs() < NEAR && self.windows.greatest(slot) >= compress(FAR);
        self.windows.push(slot, residual.slow);
        if recovered {
            self.baselines.restart_local(slot);
        }
        let series = &self.series[slot];
        let forest = self.models.forest().score(&residual.features);
        let stl = decomposition_rarity(&series.tails, &residual);
        let required = required_rarity(
            self.config.false_alerts_per_series_per_day,
            self.baselines.step_ms(slot),
        );
        // Rare by its distance and rare for this very series: counts have gaps of their own.
        let new = series.tails[NOVELTY].rarity(novelty).min(novelty * required);
        let rarities = [stl, series.tails[FOREST].rarity(forest), new];

        let hold = if series.episode.is_some() { HOLD } else { 1.0 };
        let votes = rarities.map(|r| r >= hold * VOTE * required);
        let [best, second] = best_two(&rarities);
        let settled = self.confirmed(slot, at, 0.5 * (best + second), required);
        let can_matter = match votes.iter().filter(|&&v| v).count() {
            0 => false,
            1 => true,
            // One member more can only raise the mean of the best two.
            _ => !settled,
        };
        let scheduled = calibrates(seen);
        let decides = effort == Effort::Full || can_matter;
        Some(Pending {
            position: 0,
            slot,
            at,
            value,
            residual,
            forest,
            novelty,
            rarities,
            required,
            recovered,
            ask: (decides || scheduled) && self.windows.is_full(slot),
            decides,
            autoencoder: None,
        })
    }

    /// Whether a joint rarity reaches the threshold of the series' class, and the series' own bar.
    fn confirmed(&self, slot: usize, at: Timestamp, joint: f32, required: f32) -> bool {
        let series = &self.series[slot];
        let threshold = required * unsquash(self.thresholds[class_index(series.class)]);
        if series.episode.is_some() {
            return joint >= HOLD * threshold;
        }
        joint >= threshold && joint >= threshold * (1.0 + BAR * series.bar_at(at))
    }

    /// Runs the autoencoder for all pending samples that ask for it, decides, and learns.
    fn settle(&mut self, out: &mut [Detection]) {
        let mut pending = std::mem::take(&mut self.pending);
        let mut windows = Vec::new();
        for p in pending.iter().filter(|p| p.ask) {
            self.windows.append_to(p.slot, &mut windows);
        }
        let scores = self.models.reconstruct(&windows);
        for (p, score) in pending.iter_mut().filter(|p| p.ask).zip(scores) {
            p.autoencoder = Some(score);
        }
        for p in pending.drain(..) {
            self.series[p.slot].in_flight = false;
            out[p.position] = self.decide(&p);
        }
        self.pending = pending;
    }

    fn decide(&mut self, p: &Pending) -> Detection {
        let seen = self.baselines.seen(p.slot);
        let series = &self.series[p.slot];
        let hold = if series.episode.is_some() { HOLD } else { 1.0 };
        let autoencoder = p
            .autoencoder
            .filter(|_| p.decides)
            .map(|s| series.tails[AUTOENCODER].rarity(s));
        let vote = |rarity: f32| MemberVote {
            score: squash(rarity / p.required),
            vote: rarity >= hold * VOTE * p.required,
        };
        let votes = Votes {
            stl: Some(vote(p.rarities[0])),
            forest: Some(vote(p.rarities[1])),
            autoencoder: autoencoder.map(vote),
            novelty: Some(vote(p.rarities[2])),
        };
        let [stl, forest, novelty] = p.rarities;
        let [best, second] = best_two(&[stl, forest, novelty, autoencoder.unwrap_or(0.0)]);
        let joint = if p.recovered { stl } else { 0.5 * (best + second) };
        let score = squash(joint / p.required);
        let step_ms = self.baselines.step_ms(p.slot);
        let rare = votes.count() >= 2
            && self.confirmed(p.slot, p.at, joint, p.required)
            && seen >= least_seen(step_ms)
            && !p.recovered;
        let series = &mut self.series[p.slot];
        let salience = series
            .salience
            .observe([stl / p.required, forest / p.required, p.novelty], joint / p.required);
        let run = if rare { series.rare.saturating_add(1) } else { 0 };
        let anomaly = rare && (series.episode.is_some() || run >= samples_to_believe(step_ms));
        if anomaly {
            series.bar = (series.bar_at(p.at).max((joint / p.required).min(BAR_MAX)), p.at);
        }
        series.episode = match (anomaly, series.episode) {
            (true, Some((since, n))) => Some((since, n.saturating_add(1))),
            (true, None) => Some((p.at, 1)),
            (false, _) => None,
        };

        let autoencoder = p.autoencoder.filter(|_| calibrates(seen)).unwrap_or(f32::NAN);
        series.learn(
            [
                p.residual.fast.abs(),
                p.residual.slow.abs(),
                p.forest,
                autoencoder,
                p.novelty,
            ],
            run,
        );
        Detection {
            series: series.id,
            at: p.at,
            value: p.value,
            expected: Some(self.band(p.slot, p.residual.mean, p.residual.scale)),
            score,
            salience,
            votes,
            anomaly,
            confidence: self.confidence(p.slot),
        }
    }
}

impl Series {
    fn bar_at(&self, at: Timestamp) -> f32 {
        let (bar, since) = self.bar;
        if bar > 0.0 {
            bar * (-(at.millis_since(since).max(0) as f32) / BAR_HALF_LIFE_MS).exp2()
        } else {
            0.0
        }
    }

    /// Takes in the raw scores of a sample; NaN where there is none. `run`: rare samples in a row, this one included.
    fn learn(&mut self, raws: [f32; RAWS], run: u8) {
        self.rare = run;
        match run {
            0 => {
                let worst = std::mem::replace(&mut self.worst, NONE);
                self.teach(worst, SUSPICIOUS);
                self.teach(raws, 1.0);
            }
            1..=LONG_RUN => {
                for (worst, raw) in self.worst.iter_mut().zip(raws) {
                    *worst = worst.max(raw);
                }
            }
            _ => self.teach(raws, SUSPICIOUS),
        }
    }

    fn teach(&mut self, raws: [f32; RAWS], weight: f32) {
        for (tail, raw) in self.tails.iter_mut().zip(raws) {
            if !raw.is_nan() {
                tail.learn(raw, weight);
            }
        }
    }
}

/// The two greatest of some rarities, the greatest first.
fn best_two(rarities: &[f32]) -> [f32; 2] {
    let mut best = [0.0_f32; 2];
    for &rarity in rarities {
        if rarity > best[0] {
            best = [rarity, best[0]];
        } else {
            best[1] = best[1].max(rarity);
        }
    }
    best
}

/// Samples before which nothing is called an anomaly, at this interval.
fn least_seen(step_ms: i64) -> u64 {
    let spanned = u64::try_from(MIN_SPAN_MS / step_ms.max(1)).unwrap_or(0);
    // An interval that is not known yet promises nothing.
    if step_ms > 0 { MIN_SEEN.max(spanned) } else { MIN_SEEN }
}

/// Whether the autoencoder's tail learns from the sample with this number.
fn calibrates(seen: u64) -> bool {
    let every = if seen < LATER {
        CALIBRATE_EVERY
    } else {
        CALIBRATE_EVERY_LATER
    };
    seen.is_multiple_of(every)
}

/// The decomposition has two looks at a sample and reports the rarer; two looks find twice as much by chance.
fn decomposition_rarity(tails: &[Tail; RAWS], residual: &Residual) -> f32 {
    let fast = tails[FAST].rarity(residual.fast.abs());
    let slow = tails[SLOW].rarity(residual.slow.abs());
    (fast.max(slow) - std::f32::consts::LOG10_2).max(0.0)
}

/// Rare samples in a row before an anomaly opens: a lone one matters at five minutes, at one second it is noise.
fn samples_to_believe(step_ms: i64) -> u8 {
    match step_ms {
        0..5_000 => 3,
        5_000..30_000 => 2,
        _ => 1,
    }
}
