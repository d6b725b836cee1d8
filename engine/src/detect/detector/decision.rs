//! From a sample to a decision: the cheap members first, the autoencoder where it could matter, then consensus.

use super::{Detector, least_seen};
use crate::detect::calibration::{
    AUTOENCODER, FAST, FOREST, HOLD, NOVELTY, RAWS, SLOW, VOTE, class_index, required_rarity, squash, unsquash,
};
use crate::detect::tail::Tail;
use crate::detect::{Detection, Effort};
use crate::features::{Residual, compress};
use wire::Timestamp;
use wire::series::{MemberVote, Votes};

/// The autoencoder's own calibration learns from every so many samples of a series, whatever the effort: often while the
/// series is new, rarely once its tail is its own, for this is most of what an ordinary sample costs.
pub(super) const CALIBRATE_EVERY: u64 = 16;
const CALIBRATE_EVERY_LATER: u64 = 128;
const LATER: u64 = 4096;
/// A sample this near to its long-term level (in long-term standard deviations), after one within the window that was so far
/// from it, is a return to normal. Members that look back still see the fault; that must not keep it open.
const NEAR: f32 = 2.0;
const FAR: f32 = 3.0;

/// A sample after the cheap members, before the autoencoder.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// Position in the caller's batch.
    pub(super) position: usize,
    pub(super) slot: usize,
    pub(super) at: Timestamp,
    pub(super) value: f64,
    pub(super) residual: Residual,
    pub(super) forest: f32,
    /// Relative to the setting, by the distance alone.
    pub(super) novelty: f32,
    /// Of decomposition, forest, novelty.
    pub(super) rarities: [f32; 3],
    pub(super) required: f32,
    /// Whether it is a return to normal.
    pub(super) recovered: bool,
    /// Whether the autoencoder is asked, and whether its answer counts for the decision (else only for calibration).
    pub(super) ask: bool,
    pub(super) decides: bool,
    pub(super) autoencoder: Option<f32>,
}

impl Detector {
    /// Everything but the autoencoder. `None` for a sample that cannot be judged, or not yet.
    pub(super) fn cheap_members(&mut self, slot: usize, at: Timestamp, value: f64, effort: Effort) -> Option<Pending> {
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
        let forest = self.models.forest(series.class).score(&residual.features);
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

    /// Whether a joint rarity is enough for this series.
    fn confirmed(&self, slot: usize, at: Timestamp, joint: f32, required: f32) -> bool {
        let series = &self.series[slot];
        series.confirms(
            at,
            joint,
            required * unsquash(self.thresholds[class_index(series.class)]),
        )
    }

    /// Runs the autoencoder for all pending samples that ask for it, decides, and learns.
    pub(super) fn settle(&mut self, out: &mut [Detection]) {
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
        // By the members that always answer: what a series is held to must not depend on the effort.
        let [cheap_best, cheap_second] = best_two(&p.rarities);
        series.follow(anomaly, p.at, 0.5 * (cheap_best + cheap_second) / p.required);

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
