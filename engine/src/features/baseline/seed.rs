//! How the state of a series begins anew: after a believed shift, from a batch estimate, from a borrowed shape.

use super::{Baselines, CANDIDATES, CLIP, GAINS, RELEARN, State, TO_SIGMA, Tracker, UNTRIED, best_known, offsets};
use crate::features::mstl::Estimate;
use crate::features::reseed::{SUSPECT, Suspicion};
use crate::features::season::{DAY_MS, Season};
use crate::features::zone::Moment;
use wire::Timestamp;

/// A borrowed shape does not fit when without it the error is less than this part of what it is with it.
const UNFIT: f64 = 0.8;

impl State {
    /// Puts the season aside while samples are away from the long-term level, and begins anew from it where the shift is
    /// believed. To be called after every sample.
    #[inline]
    pub(super) fn follow_shift(&mut self, season: &mut Season, moment: Moment) {
        if self.outliers_slow >= SUSPECT || self.relearn_slow == RELEARN || season.suspicion.is_some() {
            self.weigh_shift(season, moment);
        }
    }

    fn weigh_shift(&mut self, season: &mut Season, moment: Moment) {
        if self.relearn_slow == RELEARN {
            if let Some(suspicion) = season.suspicion.take() {
                self.reseed(season, *suspicion, moment);
            }
        } else if self.outliers_slow == 0 {
            season.suspicion = None;
        } else {
            let mut suspicion = season
                .suspicion
                .take()
                .unwrap_or_else(|| Box::new(Suspicion::new(season, self.slow, self.slow_error, self.chosen)));
            suspicion.observe(moment, self.last);
            season.suspicion = Some(suspicion);
        }
    }

    fn reseed(&mut self, season: &mut Season, suspicion: Suspicion, moment: Moment) {
        let live = offsets(season.at(moment));
        let (slow, slow_error, chosen) = (suspicion.slow, suspicion.slow_error, suspicion.chosen);
        let (regime, kept) = suspicion.resolve();
        season.unit = kept.unit;
        season.day = kept.day;
        season.week = kept.week;
        let anew = offsets(season.at(moment));
        self.slow = slow + regime.jump;
        self.slow_error = regime.error.max(regime.factor * slow_error);
        for (i, tracker) in self.trackers.iter_mut().enumerate() {
            let (Some(live), Some(anew)) = (live[i / 2], anew[i / 2]) else {
                // The week profile began after the shift.
                tracker.error = UNTRIED;
                continue;
            };
            if tracker.error < 0.0 {
                continue;
            }
            // What is expected now stays; what is expected at other hours follows the old shape.
            tracker.level += live - anew;
            if i >= 2 && regime.error > 0.0 {
                tracker.error = tracker.error.min(regime.error);
            }
        }
        let before = usize::from(chosen);
        if anew[before / 2].is_some() && self.trackers[before].error >= 0.0 {
            self.chosen = chosen;
        }
        self.last_season = anew[usize::from(self.chosen) / 2].unwrap_or(0.0);
    }

    /// Ends a loan: after a day of its own, or when the plain forecasters are clearly better than the borrowed shape.
    pub(super) fn outgrow(&mut self, season: &mut Season, moment: Moment) {
        let least = |of: &[Tracker]| of.iter().map(|tracker| tracker.error).fold(f64::INFINITY, f64::min);
        if season.is_grown(moment) {
            season.borrowed = None;
        } else if least(&self.trackers[..2]) < UNFIT * least(&self.trackers[2..4]) {
            // A plain forecaster speaks already. The level was estimated through a shape that was not its own.
            self.slow = self.trackers[1].level;
            for tracker in &mut self.trackers[2..] {
                tracker.error = UNTRIED;
            }
            season.forget_profiles(moment);
        }
    }

    /// Takes over a season: `slow` and `error` are the level and the mean absolute deviation from both that go with it at
    /// the first of the last samples, `recent`, each of which comes with the offsets that the season has there. The errors
    /// found are made `handicap` times as great.
    pub(super) fn adopt(&mut self, slow: f64, error: f64, recent: &[(f64, [Option<f64>; 3])], handicap: f64) {
        let (Some(first), Some(last)) = (recent.first(), recent.last()) else {
            return;
        };
        let floor = self.floor();
        for i in 2..CANDIDATES {
            let Some(start) = first.1[i / 2] else { continue };
            let mut tracker = Tracker {
                level: first.0 - start,
                error,
            };
            for (n, (value, offsets)) in recent.iter().enumerate().skip(1) {
                let Some(offset) = offsets[i / 2] else { continue };
                tracker.learn(value - offset - tracker.level, GAINS[i % 2], floor, false, n as u64 + 8);
            }
            tracker.error *= handicap;
            self.trackers[i] = tracker;
        }
        let memory = self.slow_memory();
        (self.slow, self.slow_error) = (slow, error);
        for (value, offsets) in recent {
            let offset = best_known(*offsets);
            let reach = CLIP * (TO_SIGMA * self.slow_error).max(floor);
            let r = value - offset - self.slow;
            self.slow += r.clamp(-reach, reach) / memory;
            self.slow_error += (r.abs().min(2.0 * reach) - self.slow_error) / memory;
        }
        self.slow_error *= handicap;
        let kind = if last.1[2].is_some() { 2 } else { 1 };
        if let Some(offset) = last.1[kind] {
            self.chosen = (2 * kind) as u8 + self.chosen % 2;
            self.choose(last.1);
            self.last_season = last.1[usize::from(self.chosen) / 2].unwrap_or(offset);
        }
    }

    /// Expects from now on what a borrowed shape says: the long-term level is `slow`, deviations from it are `error`.
    pub(super) fn borrow(&mut self, slow: f64, error: f64, season: &Season, moment: Moment) {
        let offsets = offsets(season.at(moment));
        let Some(day) = offsets[1] else { return };
        for i in 2..4 {
            self.trackers[i].level = self.last - day;
            self.trackers[i].error = self.trackers[i % 2].error;
        }
        self.slow = slow;
        self.slow_error = self.slow_error.max(error);
        self.chosen = 2 + self.chosen % 2;
        self.last_season = day;
    }
}

impl Baselines {
    /// Puts a batch estimate of the long-term level and spread in place of the first online one.
    pub(in crate::features) fn seed_slow(&mut self, slot: usize, level: f64, error: f64) {
        if self.opened(slot).is_some() {
            self.states[slot].slow = level;
            self.states[slot].slow_error = error;
        }
    }

    /// Puts profiles estimated from a whole history, whose newest samples are `past`, in place of the online ones.
    pub(in crate::features) fn adopt(&mut self, slot: usize, estimate: &Estimate, past: &[(Timestamp, f64)]) {
        let Some(last) = past.last() else { return };
        let state = &self.states[slot];
        let unit = 3.0 * TO_SIGMA * estimate.error;
        let unit = if unit > 0.0 { unit } else { state.floor() };
        let moment = self.moment_at(slot, last.0.as_millis());
        let Some(mut season) = Season::new(moment, state.step_ms, unit, state.slow) else {
            return;
        };
        season.fill(estimate, state.step_ms, moment);
        if let Some(online) = self.seasons[slot].take() {
            season.keep_rest(&online);
        }
        let begin = past.partition_point(|row| last.0.millis_since(row.0) >= DAY_MS);
        let recent: Vec<_> = past[begin..]
            .iter()
            .map(|&(at, value)| (value, offsets(season.at(self.moment_at(slot, at.as_millis())))))
            .collect();
        // An average of so many days errs by this much itself.
        let handicap = 1.0 + 0.5 / estimate.days.max(1) as f64;
        self.states[slot].adopt(estimate.level, estimate.error, &recent, handicap);
        self.seasons[slot] = Some(Box::new(season));
    }

    /// Says that the long-term level of a series is known no better than to `error` on average.
    pub(in crate::features) fn widen(&mut self, slot: usize, error: f64) {
        let state = &mut self.states[slot];
        state.slow_error = state.slow_error.max(error);
    }

    /// Long-term level of a series, and the standard deviation from it.
    pub(in crate::features) fn slow(&self, slot: usize) -> Option<(f64, f64)> {
        let state = self.opened(slot)?;
        Some((state.slow, (TO_SIGMA * state.slow_error).max(state.floor())))
    }

    /// What the best known season had added to the long-term level at the last sample.
    pub(in crate::features) fn last_profile(&self, slot: usize) -> f64 {
        self.states[slot].last_profile
    }

    pub(in crate::features) fn moment_at(&self, slot: usize, at: i64) -> Moment {
        self.clocks[usize::from(self.clock_of[slot])].moment_at(at)
    }
}
