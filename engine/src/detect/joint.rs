//! How the metrics of one entity stand together: what the joint forest looks at.
//!
//! A fault moves many metrics of a service a little before it moves one a lot. For a sample this puts its own residual and the
//! last ones of the entity's other metrics into one row: per metric class, by how much the squares of the one-step and the
//! long-term deviations (compressed) are more than those of as many ordinary metrics would be, in standard deviations of that
//! sum. So many metrics that are a little off say as much as one that is far off, and however many there are, the row has
//! [`JOINT_FEATURES`] numbers; a class without metrics has 0. Of the others only what is older than the sample counts, so the
//! order in which the samples of one instant come changes nothing.

use super::calibration::class_index;
use crate::features::compress;
use std::collections::HashMap;
use wire::series::{MetricClass, SeriesInfo};
use wire::{EntityId, Timestamp};

const CLASSES: usize = MetricClass::ALL.len();
/// Two deviations a class.
pub(super) const JOINT_FEATURES: usize = 2 * CLASSES;
/// What is said to be one entity and has more series than this is a heap, of which nothing can be said jointly.
const METRICS_MAX: usize = 512;
/// Mean and variance of the square of a compressed deviation that is normal.
const ORDINARY: f32 = 0.386_844;
const SPREAD: f32 = 0.150_652;
/// A residual older than this many intervals says nothing of now.
const INTERVALS: i64 = 3;

/// One metric's residual: squares of the compressed deviations, which every metric of the entity will ask for.
#[derive(Clone, Copy, Debug, Default)]
struct Latest {
    at: Timestamp,
    fast: f32,
    slow: f32,
}

/// A series in its entity. Before its first sample its residuals are 0, at the epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    class: MetricClass,
    entity: u32,
    newest: Latest,
    /// The one before: what others see at the instant of the newest.
    previous: Latest,
}

/// The series of every entity, with their last residuals.
#[derive(Debug, Default)]
pub(super) struct Entities {
    series: Vec<Standing>,
    slots: Vec<Vec<u32>>,
    numbers: HashMap<EntityId, u32>,
}

/// Sums over the metrics of an entity, by class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Together {
    fast: [f32; CLASSES],
    slow: [f32; CLASSES],
    metrics: [f32; CLASSES],
}

impl Together {
    /// Adds a metric by its one-step and long-term deviation in standard deviations.
    pub(super) fn add(&mut self, class: MetricClass, fast: f32, slow: f32) {
        self.add_squares(class, square(fast), square(slow));
    }

    fn add_squares(&mut self, class: MetricClass, fast: f32, slow: f32) {
        let class = class_index(class);
        self.fast[class] += fast;
        self.slow[class] += slow;
        self.metrics[class] += 1.0;
    }

    /// One-step and long-term deviation of every class, each compressed.
    pub(super) fn row(&self) -> [f32; JOINT_FEATURES] {
        let mut row = [0.0; JOINT_FEATURES];
        for (class, metrics) in self.metrics.iter().enumerate().filter(|(_, metrics)| **metrics > 0.0) {
            let surplus = |sum: f32| compress((sum - metrics * ORDINARY) / (metrics * SPREAD).sqrt());
            row[2 * class] = surplus(self.fast[class]);
            row[2 * class + 1] = surplus(self.slow[class]);
        }
        row
    }
}

impl Entities {
    /// Adds a series in the next slot.
    pub(super) fn add(&mut self, info: &SeriesInfo) {
        let next = self.slots.len() as u32;
        let entity = *self.numbers.entry(info.entity.clone()).or_insert(next);
        if entity == next {
            self.slots.push(Vec::new());
        }
        self.slots[entity as usize].push(self.series.len() as u32);
        self.series.push(Standing {
            class: info.class,
            entity,
            newest: Latest::default(),
            previous: Latest::default(),
        });
    }

    /// Whether the entity of a series has other metrics, and no more than can be one entity's.
    pub(super) fn has_company(&self, slot: usize) -> bool {
        (2..=METRICS_MAX).contains(&self.of(slot).len())
    }

    /// The series of an entity.
    pub(super) fn slots_of(&self, entity: &EntityId) -> &[u32] {
        let number = self.numbers.get(entity);
        number.map_or(&[], |number| &self.slots[*number as usize])
    }

    /// Takes in the residual of a sample.
    pub(super) fn put(&mut self, slot: usize, at: Timestamp, fast: f32, slow: f32) {
        let standing = &mut self.series[slot];
        let (fast, slow) = (square(fast), square(slow));
        standing.previous = std::mem::replace(&mut standing.newest, Latest { at, fast, slow });
    }

    /// The other metrics of the entity of a series just before `at`, but for those that are `hidden`. `None` if none of them
    /// has reported lately. `step_ms`: interval of the series. O(metrics of the entity), which are at most 512.
    pub(super) fn others(
        &self,
        slot: usize,
        at: Timestamp,
        step_ms: i64,
        hidden: impl Fn(usize) -> bool,
    ) -> Option<Together> {
        let mut together = None;
        for other in self.of(slot).iter().map(|&other| other as usize) {
            let standing = &self.series[other];
            let seen = if standing.newest.at < at {
                standing.newest
            } else {
                standing.previous
            };
            let interval = standing.newest.at.millis_since(standing.previous.at).max(step_ms);
            let is_first = standing.previous.at == Timestamp::default();
            let reach = if is_first { step_ms } else { interval }.saturating_mul(INTERVALS);
            let passed = at.millis_since(seen.at);
            if other == slot || !(1..=reach).contains(&passed) || hidden(other) {
                continue;
            }
            together
                .get_or_insert_with(Together::default)
                .add_squares(standing.class, seen.fast, seen.slow);
        }
        together
    }

    /// What is remembered of a series, for [`Entities::put_back`].
    pub(super) fn copy_out(&self, slot: usize) -> Standing {
        self.series[slot]
    }

    pub(super) fn put_back(&mut self, slot: usize, standing: Standing) {
        self.series[slot] = standing;
    }

    /// Forgets the samples of a series.
    pub(super) fn restart(&mut self, slot: usize, class: MetricClass) {
        let standing = &mut self.series[slot];
        (standing.class, standing.newest, standing.previous) = (class, Latest::default(), Latest::default());
    }

    fn of(&self, slot: usize) -> &[u32] {
        &self.slots[self.series[slot].entity as usize]
    }
}

fn square(deviation: f32) -> f32 {
    compress(deviation).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Labels, info_from_labels};

    const MINUTE: i64 = 60_000;

    fn at(minutes: i64) -> Timestamp {
        Timestamp(1_763_553_600_000 + minutes * MINUTE)
    }

    fn entities(metrics: &[(&str, &str)]) -> Entities {
        let mut entities = Entities::default();
        for (entity, metric) in metrics {
            entities.add(&info_from_labels(&Labels::of(entity, metric, None)));
        }
        entities
    }

    #[test]
    fn many_metrics_a_little_off_say_as_much_as_one_far_off() {
        let row = |metrics: usize, off: f32| {
            let mut together = Together::default();
            for n in 0..metrics {
                let sign = if n % 2 == 0 { 1.0 } else { -1.0 };
                together.add(MetricClass::Latency, sign * off, 0.0);
            }
            together.row()
        };
        assert!(row(1, 2.5)[0] < 1.5 && row(6, 2.5)[0] > 2.0 && row(1, 12.0)[0] > 2.0);
        assert!(row(6, 0.8)[0].abs() < 0.5, "{:?}", row(6, 0.8));
        assert!(row(6, 2.5)[2..].iter().all(|x| x.abs() < 1e-6));
    }

    #[test]
    fn others_are_seen_as_they_were_before_the_instant() {
        let mut entities = entities(&[("cart", "latency"), ("cart", "requests"), ("shop", "latency")]);
        assert!(entities.has_company(0) && entities.has_company(1) && !entities.has_company(2));
        assert_eq!(
            entities.others(0, at(0), MINUTE, |_| false),
            None,
            "nothing has come yet"
        );
        entities.put(1, at(0), 2.0, 2.0);
        assert_eq!(
            entities.others(0, at(0), MINUTE, |_| false),
            None,
            "not before this instant"
        );
        let seen = entities.others(0, at(1), MINUTE, |_| false);
        entities.put(1, at(1), 9.0, 9.0);
        assert_eq!(
            entities.others(0, at(1), MINUTE, |_| false),
            seen,
            "the order of an instant is none"
        );
        assert!(seen.is_some() && entities.others(0, at(2), MINUTE, |_| false) != seen);
        assert_eq!(entities.others(0, at(2), MINUTE, |slot| slot == 1), None);
        assert_eq!(entities.others(0, at(5), MINUTE, |_| false), None, "long ago");
        entities.restart(1, MetricClass::Traffic);
        assert_eq!(entities.others(0, at(2), MINUTE, |_| false), None);
    }

    #[test]
    fn a_slow_metric_is_seen_between_its_samples() {
        let mut entities = entities(&[("cart", "latency"), ("cart", "requests")]);
        for n in 0..3 {
            entities.put(1, at(5 * n), 1.0, 1.0);
        }
        assert!(entities.others(0, at(14), MINUTE, |_| false).is_some());
        assert!(entities.others(0, at(26), MINUTE, |_| false).is_none());
    }
}
