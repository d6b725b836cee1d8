//! A new series borrows the shape of its day from its siblings: series of the same metric and statistic, which a new instance
//! of a service has from its first minute on.
//!
//! Only the shape is borrowed, as parts of the level, and only where at least [`LEAST_SIBLINGS`] established siblings agree on
//! it; a class of metrics is no family, for its members share no shape. The loan ends with the series' first own day, or as
//! soon as forecasting without it is better. Siblings are looked for where the series is: among the series of one lane, or of
//! one shard, so with several shards it depends on how many there are.

use super::Baselines;
use crate::features::season::{Bin, DAY_MS, day_bin};
use crate::features::zone::Moment;
use std::collections::BTreeMap;

/// Siblings that a shape needs, and siblings that it is made of at most.
const LEAST_SIBLINGS: usize = 3;
const MOST_SIBLINGS: usize = 16;
/// Siblings that are asked, the oldest: thousands of series may begin at once.
const ASKED: usize = 64;
/// A sibling is established when it has this many days.
const ESTABLISHED_MS: i64 = 3 * DAY_MS;
/// Siblings disagree when they usually lie further apart than this part of the shape's own size.
const DISAGREEMENT: f64 = 0.5;
/// A shape that varies by less than this part of the level is none.
const LEAST_SIZE: f64 = 0.02;

/// Which series are siblings.
#[derive(Clone, Debug, Default)]
pub(super) struct Families {
    by_name: BTreeMap<(String, Option<String>), u32>,
    members: Vec<Vec<usize>>,
    family_of: Vec<Option<u32>>,
}

/// The day of a family, as parts of the level.
struct Shape {
    day: Vec<f64>,
    /// Mean absolute deviation from level and day.
    error: f64,
    siblings: u16,
}

impl Families {
    /// Room for one series more, without siblings yet.
    pub(super) fn add(&mut self) {
        self.family_of.push(None);
    }
}

impl Baselines {
    /// Says what a series measures. It may borrow from, and lend to, series of the same metric and statistic.
    pub fn set_metric(&mut self, slot: usize, metric: &str, statistic: Option<&str>) {
        let families = &mut self.families;
        let next = families.members.len() as u32;
        let key = (metric.to_owned(), statistic.map(str::to_owned));
        let family = *families.by_name.entry(key).or_insert(next);
        if family == next {
            families.members.push(Vec::new());
        }
        families.members[family as usize].push(slot);
        families.family_of[slot] = Some(family);
    }

    /// From how many siblings the day of a series is borrowed, while it is.
    pub fn borrowed_from(&self, slot: usize) -> Option<u16> {
        self.seasons[slot].as_ref()?.borrowed
    }

    /// Gives a series whose season has just begun the shape of its family, if that has one.
    pub(super) fn borrow_shape(&mut self, slot: usize, moment: Moment) {
        let Some(shape) = self.shape_for(slot, moment) else {
            return;
        };
        let state = &mut self.states[slot];
        let Some(season) = &mut self.seasons[slot] else { return };
        // The samples so far are of a part of the day: what the shape says of it leads to the level of the whole.
        let bins = shape.day.len();
        let seen = i64::try_from(state.seen).unwrap_or(i64::MAX);
        let steps = (0..seen).map(|i| moment.local.saturating_sub(i * state.step_ms));
        let part = steps.map(|local| shape.day[day_bin(local, bins)]).sum::<f64>() / seen.max(1) as f64;
        let level = state.slow / (1.0 + part);
        if !(level.is_finite() && level > 0.0) {
            return;
        }
        for (bin, part) in season.day.iter_mut().zip(&shape.day) {
            *bin = Bin {
                value: (part * level / season.unit).clamp(-1e12, 1e12) as f32,
                count: 1,
            };
        }
        season.borrowed = Some(shape.siblings);
        season.first_at = moment.at.saturating_sub(DAY_MS);
        state.borrow(level, shape.error * level, season, moment);
    }

    fn shape_for(&self, slot: usize, moment: Moment) -> Option<Shape> {
        let family = self.families.family_of[slot]?;
        let bins = self.seasons[slot].as_ref()?.day.len();
        let (mut days, mut errors) = (Vec::new(), Vec::new());
        for &sibling in self.families.members[family as usize].iter().take(ASKED) {
            if sibling != slot
                && self.clock_of[sibling] == self.clock_of[slot]
                && let Some((day, error)) = self.lent_by(sibling, bins, moment)
            {
                days.push(day);
                errors.push(error);
            }
            if days.len() == MOST_SIBLINGS {
                break;
            }
        }
        if days.len() < LEAST_SIBLINGS {
            return None;
        }
        let siblings = days.len() as u16;
        let mut shape = Vec::with_capacity(bins);
        let mut apart = Vec::with_capacity(bins);
        for bin in 0..bins {
            let middle = median(days.iter().map(|day| day[bin]).collect());
            apart.push(median(days.iter().map(|day| (day[bin] - middle).abs()).collect()));
            shape.push(middle);
        }
        let size = shape.iter().map(|part| part.abs()).sum::<f64>() / bins as f64;
        (size >= LEAST_SIZE && median(apart) <= DISAGREEMENT * size).then(|| Shape {
            day: shape,
            error: median(errors),
            siblings,
        })
    }

    /// Day and error of an established series as parts of its level, if its season has proven itself.
    fn lent_by(&self, slot: usize, bins: usize, moment: Moment) -> Option<(Vec<f64>, f64)> {
        let (state, season) = (&self.states[slot], self.seasons[slot].as_ref()?);
        let established = season.borrowed.is_none()
            && season.day.len() == bins
            && moment.at.saturating_sub(season.first_at) >= ESTABLISHED_MS
            && state.chosen >= 2
            && season.suspicion.is_none();
        if !(established && state.slow > 0.0) {
            return None;
        }
        let part = |i: usize| season.day_bin_value(i) * season.unit / state.slow;
        let day: Vec<f64> = (0..bins).map(part).collect();
        // Of a level near zero everything is a large part.
        day.iter()
            .all(|part| part.is_finite() && *part > -0.95 && *part < 20.0)
            .then(|| (day, state.slow_error / state.slow))
    }
}

/// Of an even count the greater of the two in the middle; 0 of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
