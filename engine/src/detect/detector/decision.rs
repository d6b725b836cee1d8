//! From a sample to a decision: the cheap members first, the autoencoder where it could matter, then consensus.

use super::counterfactual::Before;
use super::series::Series;
use super::{Detector, least_seen};
use crate::detect::calibration::{
    AUTOENCODER, FAST, FOREST, HOLD, JOINT, NOVELTY, RAWS, SLOW, VOTE, class_index, required_rarity, squash, unsquash,
};
use crate::detect::joint::Together;
use crate::detect::tail::Tail;
use crate::detect::{Detection, Effort, Models};
use crate::features::{BaselineBefore, FEATURES, Residual, compress};
use wire::Timestamp;
use wire::series::{MemberVote, MetricClass, Votes};

/// The autoencoder's own calibration learns from every so many samples of a series, whatever the effort: often while the
/// series is new, rarely once its tail is its own, for this is most of what an ordinary sample costs.
pub(super) const CALIBRATE_EVERY: u64 = 16;
const CALIBRATE_EVERY_LATER: u64 = 128;
const LATER: u64 = 4096;
/// A sample this near to its long-term level (in long-term standard deviations), after one within the window that was so far
/// from it, is a return to normal. Members that look back still see the fault; that must not keep it open.
const NEAR: f32 = 2.0;
const FAR: f32 = 3.0;
/// The joint forest is asked where a member that looks at the series alone says this part of what a vote takes.
const STIRRED: f32 = 0.5;
/// Two looks find twice as much by chance (Bonferroni, weighted): of what the forest may find, the joint look has this part.
const JOINT_SHARE: f32 = 0.25;
/// How much the rest of an entity can say about one of its metrics, relative to what is required: enough for a vote and to
/// carry a doubt, not to make an alert of a metric that is hardly off.
const JOINT_MAX: f32 = 1.5;

/// What the members that always answer make of a value.
#[derive(Clone, Debug)]
pub(super) struct Weighed {
    pub(super) residual: Residual,
    pub(super) forest: f32,
    /// Of the joint forest, where it was asked.
    pub(super) joint: Option<f32>,
    /// Whether the joint look is what the forest says.
    pub(super) jointly: bool,
    /// Relative to the setting, by the distance alone.
    pub(super) novelty: f32,
    /// Of decomposition, forest, novelty.
    pub(super) rarities: [f32; 3],
    pub(super) required: f32,
    /// Whether it is a return to normal.
    pub(super) recovered: bool,
}

/// A sample that the baseline has taken in and no member has judged.
#[derive(Clone, Debug)]
pub(super) struct Met {
    /// Position in the caller's batch.
    pub(super) position: usize,
    pub(super) slot: usize,
    pub(super) at: Timestamp,
    pub(super) value: f64,
    pub(super) residual: Residual,
    /// What the forest sees of it.
    pub(super) row: [f32; FEATURES],
    pub(super) novelty: f32,
    pub(super) recovered: bool,
    /// The baseline it met.
    pub(super) baseline: Option<BaselineBefore>,
    /// What the window of its series lost to it.
    pub(super) displaced: f32,
}

/// A sample after the cheap members, before the autoencoder.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) position: usize,
    pub(super) slot: usize,
    pub(super) at: Timestamp,
    pub(super) value: f64,
    pub(super) weighed: Weighed,
    /// Whether the autoencoder is asked, and whether its answer counts for the decision (else only for calibration).
    pub(super) ask: bool,
    pub(super) decides: bool,
    pub(super) autoencoder: Option<f32>,
    /// What the sample met, where it may become an anomaly.
    pub(super) before: Option<Box<Before>>,
}

/// The metrics beside a series on its entity.
#[derive(Clone, Copy, Debug)]
pub(super) enum Company<F> {
    /// There are none, or no forest for them.
    None,
    /// `others` just before the sample; `calibrates`: whether the tail learns from this sample.
    Some { others: F, calibrates: bool },
}

/// What all members together say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    pub(super) votes: Votes,
    /// Joint rarity in decades.
    pub(super) joint: f32,
    /// Score in `0..=1`.
    pub(super) score: f32,
    /// Whether it would have been too little, had it not stayed.
    pub(super) stayed: bool,
    /// Rare samples in a row, this one included.
    pub(super) run: u8,
    pub(super) anomaly: bool,
}

impl Weighed {
    pub(super) fn new(
        models: &Models,
        series: &Series,
        (residual, forest): (Residual, f32),
        novelty: f32,
        required: f32,
        recovered: bool,
        company: Company<impl FnOnce() -> Option<Together>>,
    ) -> Self {
        let stl = decomposition_rarity(&series.tails, &residual);
        // Rare by its distance and rare for this very series: counts have gaps of their own.
        let new = series.tails[NOVELTY].rarity(novelty).min(novelty * required);
        let mut isolation = series.tails[FOREST].rarity(forest);
        let (mut joint, mut is_joint) = (None, false);
        if let (Company::Some { others, calibrates }, Some(of_entity)) = (company, models.joint()) {
            let stirred = isolation.max(stl).max(new) >= STIRRED * VOTE * required;
            joint = (stirred || calibrates).then(others).flatten().map(|mut together| {
                together.add(series.class, residual.fast, residual.slow);
                of_entity.score(&together.row())
            });
            let jointly = joint.filter(|_| stirred).map(|score| series.tails[JOINT].rarity(score));
            let jointly = (jointly.unwrap_or(0.0) + JOINT_SHARE.log10()).min(JOINT_MAX * required);
            isolation += (1.0 - JOINT_SHARE).log10();
            is_joint = jointly > isolation;
            isolation = isolation.max(jointly).max(0.0);
        }
        Self {
            forest,
            joint,
            jointly: is_joint,
            novelty,
            rarities: [stl, isolation, new],
            residual,
            required,
            recovered,
        }
    }

    fn vote(&self, series: &Series, rarity: f32) -> bool {
        let hold = if series.episode.is_some() { HOLD } else { 1.0 };
        rarity >= hold * VOTE * self.required
    }

    /// How many of the cheap members vote.
    pub(super) fn votes(&self, series: &Series) -> usize {
        self.rarities.iter().filter(|&&r| self.vote(series, r)).count()
    }
}

/// Whether a value so far from its long-term level, after one within the window that was `greatest` from it (compressed),
/// is a return to normal.
pub(super) fn recovers(residual: &Residual, greatest: impl FnOnce() -> f32) -> bool {
    residual.slow.abs() < NEAR && greatest() >= compress(FAR)
}

impl Detector {
    /// Takes a sample into the baseline. `None` for one that cannot be judged, or not yet.
    pub(super) fn meet(&mut self, position: usize, slot: usize, at: Timestamp, value: f64) -> Option<Met> {
        // A sample that the baseline refuses is no part of the past.
        if !self.baselines.accepts(slot, at, value) {
            return None;
        }
        let novelty = self.novelties.score(slot, value);
        let Some(residual) = self.baselines.observe(slot, at, value) else {
            self.novelties.learn(slot, value);
            return None;
        };
        let recovered = recovers(&residual, || self.windows.greatest(slot));
        let displaced = self.windows.push(slot, residual.slow);
        let row = self.models.sight().row(&residual, || self.windows.of(slot));
        if recovered {
            self.baselines.restart_local(slot);
        }
        Some(Met {
            position,
            slot,
            at,
            value,
            residual,
            row,
            novelty,
            recovered,
            baseline: self.baselines.take_before(),
            displaced,
        })
    }

    /// Everything but the autoencoder. `forest`: the score of its class's forest.
    fn cheap_members(&mut self, met: &mut Met, forest: f32, effort: Effort) -> Pending {
        let Met { slot, at, value, .. } = *met;
        let seen = self.baselines.seen(slot);
        let series = &self.series[slot];
        let required = required_rarity(
            self.config.false_alerts_per_series_per_day,
            self.baselines.step_ms(slot),
        );
        let company = self.company(slot, at, calibrates(seen));
        let looked = (met.residual, forest);
        let weighed = Weighed::new(
            &self.models,
            series,
            looked,
            met.novelty,
            required,
            met.recovered,
            company,
        );
        let votes = weighed.votes(series);
        let before = if votes > 0 { met.baseline.take() } else { None };
        let before = before.map(|baseline| self.remember(slot, at, baseline, met.displaced, required));
        self.novelties.learn(slot, value);
        self.entities
            .put(slot, at, weighed.residual.fast, weighed.residual.slow);

        let decides = effort == Effort::Full || self.asks(&self.series[slot], at, &weighed, votes);
        Pending {
            position: met.position,
            slot,
            at,
            value,
            weighed,
            ask: (decides || calibrates(seen)) && self.windows.is_full(slot),
            decides,
            autoencoder: None,
            before,
        }
    }

    /// The forest's score of every sample met, class by class.
    fn isolate(&self, met: &[Met]) -> Vec<f32> {
        let mut rows = MetricClass::ALL.map(|_| Vec::new());
        let mut places = MetricClass::ALL.map(|_| Vec::new());
        for (place, met) in met.iter().enumerate() {
            let class = class_index(self.series[met.slot].class);
            rows[class].extend_from_slice(&met.row);
            places[class].push(place);
        }
        let mut scores = vec![0.0; met.len()];
        for class in MetricClass::ALL {
            let class_scores = self.models.isolate(class, &rows[class_index(class)]);
            for (&place, score) in places[class_index(class)].iter().zip(class_scores) {
                scores[place] = score;
            }
        }
        scores
    }

    /// The metrics beside a series at an instant. What is masked is nobody's company.
    pub(super) fn company(
        &self,
        slot: usize,
        at: Timestamp,
        calibrates: bool,
    ) -> Company<impl FnOnce() -> Option<Together>> {
        if !self.entities.has_company(slot) {
            return Company::None;
        }
        let hidden = |other: usize| self.is_masked(other);
        let others = move || self.entities.others(slot, at, self.baselines.step_ms(slot), hidden);
        Company::Some { others, calibrates }
    }

    /// Whether the autoencoder's answer could change the decision, given how many cheap members vote.
    pub(super) fn asks(&self, series: &Series, at: Timestamp, weighed: &Weighed, votes: usize) -> bool {
        let [best, second] = best_two(&weighed.rarities);
        match votes {
            0 => false,
            1 => true,
            // One member more can only raise the mean of the best two.
            _ => !self.confirmed(series, at, 0.5 * (best + second), weighed.required),
        }
    }

    /// Whether a joint rarity is enough for a series.
    fn confirmed(&self, series: &Series, at: Timestamp, joint: f32, required: f32) -> bool {
        series.confirms(at, joint, required * self.relative_threshold(series.class))
    }

    /// The joint rarity that an anomaly of a class takes, by what the setting requires: 1 until feedback moves it.
    fn relative_threshold(&self, class: MetricClass) -> f32 {
        unsquash(self.thresholds[class_index(class)])
    }

    /// The decision, given what a series was before the sample. `autoencoder`: its raw score, where it counts.
    pub(super) fn verdict(
        &self,
        series: &Series,
        at: Timestamp,
        weighed: &Weighed,
        autoencoder: Option<f32>,
        (seen, step_ms): (u64, i64),
    ) -> Verdict {
        let required = weighed.required;
        let autoencoder = autoencoder.map(|s| series.tails[AUTOENCODER].rarity(s));
        let vote = |rarity: f32| MemberVote {
            score: squash(rarity / required),
            vote: weighed.vote(series, rarity),
        };
        let [stl, forest, novelty] = weighed.rarities;
        let votes = Votes {
            stl: Some(vote(stl)),
            forest: Some(vote(forest)),
            autoencoder: autoencoder.map(vote),
            novelty: Some(vote(novelty)),
            simple: None,
        };
        let [best, second] = best_two(&[stl, forest, novelty, autoencoder.unwrap_or(0.0)]);
        let joint = if weighed.recovered { stl } else { 0.5 * (best + second) };
        let threshold = self.relative_threshold(series.class);
        let relative = joint / required;
        let may_be = votes.count() >= 2 && seen >= least_seen(step_ms) && !weighed.recovered;
        let confirmed = self.confirmed(series, at, joint, required);
        let stayed = may_be && !confirmed && samples_to_believe(step_ms) == 1 && series.stays(at, relative, threshold);
        let rare = may_be && (confirmed || stayed);
        let run = if rare { series.rare.saturating_add(1) } else { 0 };
        Verdict {
            votes,
            joint,
            // What has stayed is worth what is just enough.
            score: squash(if stayed { relative.max(threshold) } else { relative }),
            stayed,
            run,
            anomaly: rare && (series.episode.is_some() || run >= samples_to_believe(step_ms)),
        }
    }

    /// Asks the members about all samples met, the autoencoder about those that need it, decides, and learns.
    pub(super) fn settle(&mut self, effort: Effort, out: &mut [Detection]) {
        let mut met = std::mem::take(&mut self.met);
        let forest = self.isolate(&met);
        let mut pending = std::mem::take(&mut self.pending);
        for (met, forest) in met.iter_mut().zip(forest) {
            pending.push(self.cheap_members(met, forest, effort));
        }
        met.clear();
        self.met = met;
        let mut windows = Vec::new();
        for p in pending.iter().filter(|p| p.ask) {
            self.windows.append_to(p.slot, &mut windows);
        }
        let scores = self.models.reconstruct(&windows);
        for (p, score) in pending.iter_mut().filter(|p| p.ask).zip(scores) {
            p.autoencoder = Some(score);
        }
        for mut p in pending.drain(..) {
            self.series[p.slot].in_flight = false;
            let detection = self.decide(&p);
            out[p.position] = detection;
            // After a deploy two votes may do.
            let may_count = detection.anomaly || detection.votes.count() >= 2;
            if let Some(before) = p.before.take().filter(|_| may_count) {
                self.before.push((p.position, before));
            }
        }
        self.pending = pending;
    }

    fn decide(&mut self, p: &Pending) -> Detection {
        let seen = self.baselines.seen(p.slot);
        let step_ms = self.baselines.step_ms(p.slot);
        let weighed = &p.weighed;
        let series = &self.series[p.slot];
        let autoencoder = p.autoencoder.filter(|_| p.decides);
        let verdict = self.verdict(series, p.at, weighed, autoencoder, (seen, step_ms));
        let [stl, forest, _] = weighed.rarities;
        let required = weighed.required;
        let threshold = self.relative_threshold(series.class);
        let series = &mut self.series[p.slot];
        let salience = series.salience.observe(
            [stl / required, forest / required, weighed.novelty],
            verdict.joint / required,
        );
        let shift = series.shift.observe(p.value, weighed.residual.scale);
        // By the members that always answer: what a series is held to must not depend on the effort.
        let [cheap_best, cheap_second] = best_two(&weighed.rarities);
        series.follow(verdict.anomaly, p.at, 0.5 * (cheap_best + cheap_second) / required);

        series.remember(verdict.joint / required, verdict.votes.count() >= 2, threshold);

        let autoencoder = p.autoencoder.filter(|_| calibrates(seen)).unwrap_or(f32::NAN);
        let raws = [
            weighed.residual.fast.abs(),
            weighed.residual.slow.abs(),
            weighed.forest,
            autoencoder,
            weighed.novelty,
            weighed.joint.filter(|_| calibrates(seen)).unwrap_or(f32::NAN),
        ];
        series.learn(raws, verdict.run);
        if let Some(kept) = self.kept.get_mut(&p.slot) {
            kept.note(raws);
        }
        Detection {
            expected: Some(self.band(p.slot, weighed.residual.mean, weighed.residual.scale)),
            score: verdict.score,
            salience,
            shift,
            votes: verdict.votes,
            anomaly: verdict.anomaly,
            ..self.quiet(p.slot, p.at, p.value)
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
