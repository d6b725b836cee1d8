//! Keeps the predictions: at most one open per series, each with its end counted.

use super::Limit;
use super::breach::{TREND_DEVIATION, first_passage};
use crate::correlate::text;
use crate::features::Outlook;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wire::prediction::{Prediction, PredictionState};
use wire::series::SeriesInfo;
use wire::{PredictionId, SeriesId, Timestamp};

/// How sure and how early a prediction must be.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictConfig {
    /// A crossing later than this is not told; twelve steps if that is longer.
    pub horizon_ms: i64,
    /// A crossing sooner than this is not told: it is an alert already.
    pub least_lead_ms: i64,
    /// Least probability of crossing within the horizon, 0..1.
    pub least_probability: f64,
    /// An open prediction that falls below this for [`Self::persistence`] steps is withdrawn.
    pub withdraw_below: f64,
    /// Steps in a row for which the trend must be significant,
    pub persistence: u32,
    /// and for how long: three steps of a second are no trend.
    pub persistence_ms: i64,
    /// How many of its own standard deviations the trend must have.
    pub least_trend: f64,
    /// Ended predictions kept in memory.
    pub keep_ended: usize,
}

impl Default for PredictConfig {
    fn default() -> Self {
        Self {
            horizon_ms: 60 * 60_000,
            least_lead_ms: 5 * 60_000,
            least_probability: 0.6,
            withdraw_below: 0.3,
            persistence: 3,
            persistence_ms: 2 * 60_000,
            least_trend: 4.0,
            keep_ended: 200,
        }
    }
}

/// Where prediction ids come from. Clones share the counter.
#[derive(Clone, Debug, Default)]
pub struct PredictionIds(Arc<AtomicU64>);

impl PredictionIds {
    /// A fresh id, such as `PRE-000007`.
    pub fn next_id(&self) -> PredictionId {
        PredictionId(format!("PRE-{:06}", self.0.fetch_add(1, Ordering::Relaxed) + 1))
    }

    /// Makes sure that `id` is never given again.
    pub fn reserve(&self, id: &PredictionId) {
        if let Some(number) = id.as_str().strip_prefix("PRE-").and_then(|n| n.parse().ok()) {
            self.0.fetch_max(number, Ordering::Relaxed);
        }
    }
}

/// A prediction that is new, or says something else than before.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictionChange {
    pub prediction: Prediction,
}

/// What became of all predictions so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PredictionCounts {
    pub open: u64,
    pub came_true: u64,
    pub withdrawn: u64,
    pub expired: u64,
    /// Sum over the ended ones of (first probability - outcome)²: divided by their number, the Brier score.
    pub brier_sum: f64,
}

/// The predictions of one lane.
#[derive(Debug)]
pub struct Predictor {
    config: PredictConfig,
    ids: PredictionIds,
    watched: BTreeMap<SeriesId, Watched>,
    /// Oldest first.
    ended: Vec<Prediction>,
    counts: PredictionCounts,
}

#[derive(Debug, Default)]
struct Watched {
    /// Time of the last outlook taken in.
    at: Option<Timestamp>,
    /// Steps in a row with a significant trend, and since when.
    heading: u32,
    heading_since: Timestamp,
    /// Steps in a row with too little probability.
    doubtful: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    prediction: Prediction,
    first_probability: f64,
}

/// What an outlook says about a limit.
struct Estimate {
    probability: f64,
    median_ms: i64,
    earliest_ms: i64,
    latest_ms: i64,
}

impl Predictor {
    /// Without predictions, with ids of its own.
    pub fn new(config: PredictConfig) -> Self {
        Self::with_ids(config, PredictionIds::default())
    }

    /// Without predictions; ids come from a shared counter.
    pub fn with_ids(config: PredictConfig, ids: PredictionIds) -> Self {
        Self {
            config,
            ids,
            watched: BTreeMap::new(),
            ended: Vec::new(),
            counts: PredictionCounts::default(),
        }
    }

    /// Takes predictions of an earlier run back in.
    pub fn restore(&mut self, predictions: Vec<Prediction>) {
        for prediction in predictions {
            self.ids.reserve(&prediction.id);
            if prediction.state == PredictionState::Open {
                self.counts.open += 1;
                let watched = self.watched.entry(prediction.series).or_default();
                watched.open = Some(Open {
                    first_probability: f64::from(prediction.probability),
                    prediction,
                });
            } else {
                self.ended.push(prediction);
            }
        }
    }

    /// Looks at one series after a sample. Returns a prediction that is new, ended, or says something else than before.
    /// `now` is the lane's time.
    pub fn observe(
        &mut self,
        info: &SeriesInfo,
        outlook: &Outlook,
        limit: Limit,
        now: Timestamp,
    ) -> Option<PredictionChange> {
        let watched = self.watched.entry(info.id).or_default();
        if watched.at.is_some_and(|at| outlook.at <= at) {
            return None;
        }
        watched.at = Some(outlook.at);
        let side = if limit.above { 1.0 } else { -1.0 };
        if side * (outlook.level - limit.value) >= 0.0 {
            watched.heading = 0;
            return self.end(info.id, PredictionState::CameTrue);
        }
        let uncertainty = TREND_DEVIATION * outlook.scale;
        let heads = side * outlook.trend_per_step >= self.config.least_trend * uncertainty;
        if watched.heading == 0 {
            watched.heading_since = outlook.at;
        }
        watched.heading = if heads { watched.heading.saturating_add(1) } else { 0 };
        // Most series head nowhere: spare them the integral.
        if !heads && watched.open.is_none() {
            return None;
        }
        let estimate = self.config.estimate(outlook, limit);
        if watched.open.is_some() {
            self.revise(info, outlook, limit, estimate, now)
        } else {
            self.consider(info, outlook, limit, estimate?, now)
        }
    }

    /// Ends what is overdue, also of series that report no more.
    pub fn advance(&mut self, now: Timestamp) -> Vec<PredictionChange> {
        let overdue: Vec<SeriesId> = self
            .watched
            .iter()
            .filter(|(_, w)| {
                w.open
                    .as_ref()
                    .is_some_and(|o| now > o.prediction.made_at + o.prediction.horizon_ms)
            })
            .map(|(series, _)| *series)
            .collect();
        overdue
            .into_iter()
            .filter_map(|series| self.end(series, PredictionState::Expired))
            .collect()
    }

    /// Open predictions, soonest breach first, then ended ones, newest first.
    pub fn predictions(&self) -> Vec<Prediction> {
        let mut open: Vec<Prediction> = self
            .watched
            .values()
            .filter_map(|w| w.open.as_ref().map(|o| o.prediction.clone()))
            .collect();
        open.sort_by(|a, b| a.breach_at.cmp(&b.breach_at).then_with(|| a.id.cmp(&b.id)));
        open.extend(self.ended.iter().rev().cloned());
        open
    }

    /// The open prediction of a series.
    pub fn open(&self, series: SeriesId) -> Option<&Prediction> {
        self.watched.get(&series)?.open.as_ref().map(|o| &o.prediction)
    }

    /// What became of all predictions so far.
    pub fn counts(&self) -> PredictionCounts {
        self.counts
    }

    fn consider(
        &mut self,
        info: &SeriesInfo,
        outlook: &Outlook,
        limit: Limit,
        estimate: Estimate,
        now: Timestamp,
    ) -> Option<PredictionChange> {
        let watched = self.watched.get_mut(&info.id)?;
        let horizon_ms = self.config.horizon(outlook);
        let ripe = watched.heading >= self.config.persistence
            && outlook.at.millis_since(watched.heading_since) >= self.config.persistence_ms
            && estimate.probability >= self.config.least_probability
            && (self.config.least_lead_ms..=horizon_ms).contains(&estimate.median_ms);
        if !ripe {
            return None;
        }
        let mut prediction = Prediction {
            id: self.ids.next_id(),
            series: info.id,
            entity: info.entity.clone(),
            metric: info.metric.clone(),
            made_at: now,
            limit: limit.value,
            above: limit.above,
            probability: 0.0,
            horizon_ms,
            breach_at: now,
            breach_earliest: now,
            breach_latest: now,
            state: PredictionState::Open,
            text: String::new(),
        };
        tell(&mut prediction, info, outlook, &estimate);
        watched.doubtful = 0;
        watched.open = Some(Open {
            prediction: prediction.clone(),
            first_probability: estimate.probability,
        });
        self.counts.open += 1;
        Some(PredictionChange { prediction })
    }

    fn revise(
        &mut self,
        info: &SeriesInfo,
        outlook: &Outlook,
        limit: Limit,
        estimate: Option<Estimate>,
        now: Timestamp,
    ) -> Option<PredictionChange> {
        let watched = self.watched.get_mut(&info.id)?;
        let open = watched.open.as_mut()?;
        if now > open.prediction.made_at + open.prediction.horizon_ms {
            return self.end(info.id, PredictionState::Expired);
        }
        let probability = estimate.as_ref().map_or(0.0, |e| e.probability);
        watched.doubtful = if probability < self.config.withdraw_below {
            watched.doubtful + 1
        } else {
            0
        };
        if watched.doubtful >= self.config.persistence {
            return self.end(info.id, PredictionState::Withdrawn);
        }
        let estimate = estimate?;
        let before = &open.prediction;
        let breach = outlook.at + estimate.median_ms;
        // The limit may have been moved; a minute more or less is no news.
        let same = (f64::from(before.probability) - estimate.probability).abs() < 0.05
            && breach.millis_since(before.breach_at).abs() < 60_000.max(outlook.step_ms)
            && before.limit.to_bits() == limit.value.to_bits();
        if same {
            return None;
        }
        open.prediction.limit = limit.value;
        tell(&mut open.prediction, info, outlook, &estimate);
        Some(PredictionChange {
            prediction: open.prediction.clone(),
        })
    }

    fn end(&mut self, series: SeriesId, state: PredictionState) -> Option<PredictionChange> {
        let watched = self.watched.get_mut(&series)?;
        let mut open = watched.open.take()?;
        watched.heading = 0;
        open.prediction.state = state;
        let outcome = if state == PredictionState::CameTrue { 1.0 } else { 0.0 };
        self.counts.brier_sum += (open.first_probability - outcome).powi(2);
        self.counts.open -= 1;
        match state {
            PredictionState::CameTrue => self.counts.came_true += 1,
            PredictionState::Withdrawn => self.counts.withdrawn += 1,
            PredictionState::Expired | PredictionState::Open => self.counts.expired += 1,
        }
        if self.ended.len() >= self.config.keep_ended {
            self.ended.remove(0);
        }
        self.ended.push(open.prediction.clone());
        Some(PredictionChange {
            prediction: open.prediction,
        })
    }
}

impl PredictConfig {
    fn horizon(&self, outlook: &Outlook) -> i64 {
        self.horizon_ms.max(12 * outlook.step_ms)
    }

    fn estimate(&self, outlook: &Outlook, limit: Limit) -> Option<Estimate> {
        let horizon = self.horizon(outlook) as f64 / outlook.step_ms as f64;
        // Looking twice as far tells when it crosses, not only that it does within the horizon.
        let steps = (2.0 * horizon).ceil() as usize;
        let passage = first_passage(outlook, limit, steps)?;
        let at = |q: f64| passage.quantile(q).map(|steps| (steps * outlook.step_ms as f64) as i64);
        Some(Estimate {
            probability: passage.probability(horizon),
            median_ms: at(0.5)?,
            earliest_ms: at(0.05)?,
            latest_ms: at(0.95)?,
        })
    }
}

/// Writes an estimate into a prediction: "72 % within 22 ± 6 min".
fn tell(prediction: &mut Prediction, info: &SeriesInfo, outlook: &Outlook, estimate: &Estimate) {
    prediction.probability = estimate.probability as f32;
    prediction.breach_at = outlook.at + estimate.median_ms;
    prediction.breach_earliest = outlook.at + estimate.earliest_ms;
    prediction.breach_latest = outlook.at + estimate.latest_ms;
    let (unit_ms, unit) = if estimate.median_ms >= 2 * 3_600_000 {
        (3_600_000.0, "h")
    } else {
        (60_000.0, "min")
    };
    let median = estimate.median_ms as f64 / unit_ms;
    let half = (estimate.latest_ms - estimate.earliest_ms) as f64 / 2.0 / unit_ms;
    let verb = if prediction.above { "rises" } else { "falls" };
    let per_minute = outlook.trend_per_step.abs() * 60_000.0 / outlook.step_ms as f64;
    let value = |v: f64| text::value(info, v, prediction.limit);
    prediction.text = format!(
        "{} within {median:.0} ± {half:.0} {unit}: {} of {} {verb} from {} towards its limit of {}, by {} a minute",
        text::percent(estimate.probability.min(0.99)),
        text::metric_name(info),
        info.entity,
        value(outlook.level),
        value(prediction.limit),
        value(per_minute),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Labels, info_from_labels};

    const LIMIT: Limit = Limit {
        value: 95.0,
        above: true,
    };

    fn info() -> SeriesInfo {
        info_from_labels(&Labels::of("web-1", "memory_percent", None))
    }

    fn outlook(minute: i64, level: f64, per_step: f64) -> Outlook {
        Outlook {
            at: Timestamp(minute * 60_000),
            step_ms: 60_000,
            mean: (1..=30).map(|k| level + per_step * f64::from(k)).collect(),
            level,
            trend_per_step: per_step,
            scale: 0.5,
        }
    }

    /// Feeds a level per minute; returns every change as (minute, state, probability).
    fn play(levels: &[(f64, f64)]) -> (Predictor, Vec<(i64, PredictionState, f32)>) {
        let mut predictor = Predictor::new(PredictConfig::default());
        let mut changes = Vec::new();
        for (minute, (level, trend)) in (0_i64..).zip(levels) {
            let now = Timestamp(minute * 60_000);
            let change = predictor.observe(&info(), &outlook(minute, *level, *trend), LIMIT, now);
            changes.extend(
                change
                    .into_iter()
                    .chain(predictor.advance(now))
                    .map(|c| (minute, c.prediction.state, c.prediction.probability)),
            );
        }
        (predictor, changes)
    }

    #[test]
    fn a_leak_is_foretold_and_comes_true() {
        let leak: Vec<(f64, f64)> = (0..40).map(|k| (70.0 + f64::from(k) * 0.8, 0.8)).collect();
        let (predictor, changes) = play(&leak);
        let first = changes.first().expect("foretold");
        assert_eq!(
            (first.0, first.1),
            (2, PredictionState::Open),
            "after three steps of trend"
        );
        assert_eq!(
            changes.last().map(|c| (c.0, c.1)),
            Some((32, PredictionState::CameTrue))
        );
        let counts = predictor.counts();
        assert_eq!(
            (counts.open, counts.came_true, counts.withdrawn, counts.expired),
            (0, 1, 0, 0)
        );
        assert!(counts.brier_sum < 0.01);
    }

    #[test]
    fn the_first_word_names_the_right_minute() {
        let mut predictor = Predictor::new(PredictConfig::default());
        let made = (0..3)
            .filter_map(|k| {
                let level = 70.0 + 0.8 * k as f64;
                predictor.observe(&info(), &outlook(k, level, 0.8), LIMIT, Timestamp(k * 60_000))
            })
            .last()
            .expect("foretold")
            .prediction;
        // The line is at 95 after 31.25 minutes.
        let off = made.breach_at.millis_since(Timestamp(1_875_000)).abs();
        assert!(off < 60_000, "off by {off} ms");
        assert!(made.breach_earliest < made.breach_at && made.breach_at < made.breach_latest);
        assert_eq!(
            made.text,
            "99 % within 29 ± 1 min: memory_percent of web-1 rises from 71.6 % towards its limit of 95 %, by 0.8 % a minute"
        );
    }

    #[test]
    fn nothing_is_said_of_what_heads_nowhere_or_is_over() {
        assert_eq!(play(&[(70.0, 0.0); 20]).1, []);
        assert_eq!(
            play(&[(97.0, 0.8); 20]).1,
            [],
            "over the limit already: not a prediction"
        );
        assert_eq!(
            play(&[(94.0, 0.8); 20]).1,
            [],
            "a minute ahead: an alert, not a prediction"
        );
        assert_eq!(play(&[(70.0, -0.8); 20]).1, [], "away from the limit");
        assert_eq!(
            play(&[(70.0, 0.8), (70.0, 0.8), (70.0, 0.0)]).1,
            [],
            "not for long enough"
        );
    }

    #[test]
    fn a_trend_that_ends_is_withdrawn_and_one_that_stalls_expires() {
        let mut levels: Vec<(f64, f64)> = (0..10).map(|k| (70.0 + f64::from(k) * 0.8, 0.8)).collect();
        levels.extend([(77.0, 0.0); 10]);
        let (predictor, changes) = play(&levels);
        assert_eq!(
            changes.last().map(|c| (c.0, c.1)),
            Some((12, PredictionState::Withdrawn))
        );
        assert_eq!(predictor.counts().withdrawn, 1);

        let (predictor, changes) = play(&[(75.0, 0.8); 80]);
        let expired = changes.iter().find(|c| c.1 == PredictionState::Expired);
        assert_eq!(expired.map(|c| c.0), Some(63), "an hour after it was made");
        assert!(predictor.counts().expired == 1);
    }

    #[test]
    fn a_series_that_falls_silent_keeps_no_prediction_open() {
        let leak: Vec<(f64, f64)> = (0..5).map(|k| (70.0 + f64::from(k), 1.0)).collect();
        let (mut predictor, _) = play(&leak);
        let open = predictor.open(info().id).cloned().expect("open");
        assert_eq!(predictor.advance(Timestamp(30 * 60_000)), []);
        assert_eq!(predictor.advance(Timestamp(90 * 60_000)).len(), 1);
        let mut after = Predictor::new(PredictConfig::default());
        after.restore(vec![open.clone()]);
        assert_eq!(after.open(info().id), Some(&open));
        assert_ne!(after.ids.next_id(), open.id);
    }
}
