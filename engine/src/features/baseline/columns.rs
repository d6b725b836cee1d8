//! The state of many baselines side by side, one column a field: what the batched path puts on a device.
//!
//! Copies, not views: whoever takes the columns goes on with them alone.

use super::super::month::Month;
use super::super::reseed::{Sums, Suspicion};
use super::super::season::{Bin, Season, WEEK_BINS, day_bins};
use super::super::zone::LocalClock;
use super::{Baselines, CANDIDATES, WARM_UP};

/// Columns of the length `n`; counts as numbers, for a device knows no narrow integers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    pub(crate) n: usize,
    /// `[CANDIDATES, n]`, candidate by candidate. A negative error: its season is not known yet.
    pub(crate) level: Vec<f64>,
    pub(crate) error: Vec<f64>,
    pub(crate) slow: Vec<f64>,
    pub(crate) slow_error: Vec<f64>,
    pub(crate) trend: Vec<f64>,
    pub(crate) recent_trend: Vec<f64>,
    pub(crate) difference: Vec<f64>,
    pub(crate) quantum: Vec<f64>,
    pub(crate) last: Vec<f64>,
    pub(crate) last_season: Vec<f64>,
    pub(crate) last_at: Vec<f64>,
    pub(crate) step_ms: Vec<f64>,
    pub(crate) seen: Vec<f64>,
    pub(crate) changes: Vec<f64>,
    pub(crate) outliers: Vec<f64>,
    pub(crate) outliers_slow: Vec<f64>,
    pub(crate) relearn: Vec<f64>,
    pub(crate) relearn_slow: Vec<f64>,
    pub(crate) odd_steps: Vec<f64>,
    pub(crate) chosen: Vec<f64>,
    /// What a z-score is multiplied by: always, and where it is then negative.
    pub(crate) turn: Vec<f32>,
    pub(crate) damp: Vec<f32>,
    /// Local statistics: mean, square, slope, CUSUM up, CUSUM down.
    pub(crate) local: [Vec<f32>; 5],
    pub(crate) season: SeasonColumns,
}

/// Seasons of many series that are sampled equally often and live in one zone.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeasonColumns {
    pub(crate) clock: LocalClock,
    pub(crate) live: ProfileColumns,
    pub(crate) months: Vec<Month>,
    pub(crate) hour_sum: Vec<f64>,
    pub(crate) hour_samples: Vec<f64>,
    pub(crate) base: Vec<f64>,
    /// What was put aside where a shift is suspected, and the level, its error and the speaker of then.
    pub(crate) kept: ProfileColumns,
    pub(crate) kept_slow: Vec<f64>,
    pub(crate) kept_slow_error: Vec<f64>,
    pub(crate) kept_chosen: Vec<f64>,
    pub(crate) sums: Vec<Sums>,
}

/// Profiles; `unit` 0: none.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProfileColumns {
    pub(crate) unit: Vec<f64>,
    pub(crate) first_at: Vec<f64>,
    /// 1 where the week profile has begun.
    pub(crate) week_begun: Vec<f64>,
    /// Value and count by bin, each a column.
    pub(crate) day: Vec<(Vec<f32>, Vec<f64>)>,
    pub(crate) week: Vec<(Vec<f32>, Vec<f64>)>,
}

impl Baselines {
    /// The state of `slots`, in their order.
    ///
    /// # Errors
    /// When one of them is not there or still opens, or they are not sampled equally often.
    pub(crate) fn columns(&self, slots: &[usize]) -> Result<Columns, String> {
        let step_ms = slots.first().map_or(0, |&slot| self.step_ms(slot));
        let zone = slots.first().map_or(0, |&slot| self.clock_of[slot]);
        let mut columns = Columns {
            n: slots.len(),
            season: SeasonColumns::empty(step_ms),
            ..Columns::default()
        };
        if let Some(clock) = self.clocks.get(usize::from(zone)) {
            columns.season.clock = clock.clone();
        }
        for &slot in slots {
            let state = self.opened(slot).ok_or_else(|| {
                format!("series {slot} has no baseline yet: the first {WARM_UP} samples are taken one by one")
            })?;
            if state.step_ms != step_ms {
                return Err(format!(
                    "series {slot} has a sample every {} ms, the first one every {step_ms} ms: a batch is sampled equally often",
                    state.step_ms
                ));
            }
            if self.clock_of[slot] != zone {
                return Err(format!(
                    "series {slot} lives in another time zone than the first one: a batch has one"
                ));
            }
            if self.borrowed_from(slot).is_some() {
                return Err(format!(
                    "the day of series {slot} is borrowed: its samples are taken one by one until it has seen one of its own"
                ));
            }
            columns.slow.push(state.slow);
            columns.slow_error.push(state.slow_error);
            columns.trend.push(state.trend);
            columns.recent_trend.push(state.recent_trend);
            columns.difference.push(state.difference);
            columns.quantum.push(state.quantum);
            columns.last.push(state.last);
            columns.last_season.push(state.last_season);
            columns.last_at.push(state.last_at as f64);
            columns.step_ms.push(state.step_ms as f64);
            columns.seen.push(state.seen as f64);
            columns.changes.push(f64::from(state.changes));
            columns.outliers.push(f64::from(state.outliers));
            columns.outliers_slow.push(f64::from(state.outliers_slow));
            columns.relearn.push(f64::from(state.relearn));
            columns.relearn_slow.push(f64::from(state.relearn_slow));
            columns.odd_steps.push(f64::from(state.odd_steps));
            columns.chosen.push(f64::from(state.chosen));
            // Asked, not known: what hurts keeps its size.
            let polarity = self.polarities[slot];
            let (up, down) = (polarity.apply(1.0), polarity.apply(-1.0));
            let turn = if up >= 0.0 { 1.0 } else { -1.0 };
            columns.turn.push(turn);
            columns.damp.push(up.abs().min(down.abs()));
            let local = self.locals[slot];
            let parts = [local.mean, local.square, local.slope, local.up, local.down];
            for (column, part) in columns.local.iter_mut().zip(parts) {
                column.push(part);
            }
            columns.season.push(self.seasons[slot].as_deref())?;
        }
        for candidate in 0..CANDIDATES {
            let trackers = slots.iter().map(|&slot| self.states[slot].trackers[candidate]);
            columns.level.extend(trackers.clone().map(|tracker| tracker.level));
            columns.error.extend(trackers.map(|tracker| tracker.error));
        }
        Ok(columns)
    }
}

impl SeasonColumns {
    /// No series yet. No bins where a day holds too few samples to have a shape.
    fn empty(step_ms: i64) -> Self {
        let bins = day_bins(step_ms).unwrap_or(0);
        Self {
            live: ProfileColumns::empty(bins),
            kept: ProfileColumns::empty(bins),
            ..Self::default()
        }
    }

    fn push(&mut self, season: Option<&Season>) -> Result<(), String> {
        let suspicion: Option<&Suspicion> = season.and_then(|season| season.suspicion.as_deref());
        self.live.push(season)?;
        self.months
            .push(season.map(|season| season.month.clone()).unwrap_or_default());
        self.hour_sum.push(season.map_or(0.0, |season| season.hour_sum));
        self.hour_samples
            .push(season.map_or(0.0, |season| f64::from(season.hour_samples)));
        self.base.push(season.map_or(0.0, |season| season.base));
        self.kept.push(suspicion.map(|suspicion| &suspicion.season))?;
        self.kept_slow.push(suspicion.map_or(0.0, |suspicion| suspicion.slow));
        self.kept_slow_error
            .push(suspicion.map_or(0.0, |suspicion| suspicion.slow_error));
        self.kept_chosen
            .push(suspicion.map_or(0.0, |suspicion| f64::from(suspicion.chosen)));
        self.sums
            .push(suspicion.map(|suspicion| suspicion.sums).unwrap_or_default());
        Ok(())
    }
}

impl ProfileColumns {
    fn empty(bins: usize) -> Self {
        let hours = if bins > 0 { WEEK_BINS } else { 0 };
        Self {
            day: vec![(Vec::new(), Vec::new()); bins],
            week: vec![(Vec::new(), Vec::new()); hours],
            ..Self::default()
        }
    }

    fn push(&mut self, season: Option<&Season>) -> Result<(), String> {
        self.unit.push(season.map_or(0.0, |season| season.unit));
        self.first_at.push(season.map_or(0.0, |season| season.first_at as f64));
        let begun = season.is_some_and(|season| !season.week.is_empty());
        self.week_begun.push(f64::from(u8::from(begun)));
        if season.is_some_and(|season| season.day.len() != self.day.len()) {
            return Err("a series had another interval when its day profile began: a batch has one".to_owned());
        }
        let day = season.map_or(&[][..], |season| &season.day);
        let week = season.map_or(&[][..], |season| &season.week);
        for (columns, bins) in [(&mut self.day, day), (&mut self.week, week)] {
            for (i, (values, counts)) in columns.iter_mut().enumerate() {
                let bin: Bin = bins.get(i).copied().unwrap_or_default();
                values.push(bin.value);
                counts.push(f64::from(bin.count));
            }
        }
        Ok(())
    }
}
