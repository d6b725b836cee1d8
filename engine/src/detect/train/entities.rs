//! What clean entities teach the joint forest.
//!
//! Ten synthetic series in a row have one interval and ten shapes: they are the metrics of an entity. Real ones have fewer, and
//! not the same, so each entity is looked at as several, which have some of its metrics each.

use super::collect::{Collected, fit_forest};
use super::synthetic::SHAPES;
use super::{SIGHT, synthetic_series};
use crate::Result;
use crate::detect::forest::IsolationForest;
use crate::detect::joint::{JOINT_FEATURES, Together};
use crate::detect::tail::Tail;
use rand::seq::index;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use wire::series::MetricClass;

/// Choices of its metrics for which an entity stands.
const CHOICES: usize = 4;
/// Entities behind the calibration.
const CALIBRATED_BY: usize = 8;

type Row = [f32; JOINT_FEATURES];

/// Rows of entities as they come, a series at a time.
#[derive(Default)]
pub(super) struct Entities {
    /// One-step and long-term deviations of the metrics of the entity under way.
    metrics: Vec<(MetricClass, Vec<[f32; 2]>)>,
    number: u64,
    /// One run of rows for each choice.
    pub(super) rows: Vec<Vec<Row>>,
}

impl Entities {
    /// Adds the next series, in the order of their numbers.
    pub(super) fn add(&mut self, seed: u64, class: MetricClass, series: &Collected) {
        self.metrics.push((class, series.deviations().collect()));
        if self.metrics.len() == SHAPES.len() {
            let metrics = std::mem::take(&mut self.metrics);
            self.number += 1;
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed.rotate_left(32) ^ self.number ^ 0x0E_171E5);
            for _ in 0..CHOICES {
                let some = rng.random_range(2..=metrics.len());
                let chosen = index::sample(&mut rng, metrics.len(), some).into_vec();
                self.rows.push(rows_of(&metrics, &chosen));
            }
        }
    }

    /// The forest over all rows so far.
    ///
    /// # Errors
    /// When there are not even two rows.
    pub(super) fn fit(self, seed: u64) -> Result<IsolationForest> {
        fit_forest(seed, &self.rows.concat())
    }
}

/// The tail of the median entity among some that begin with series `from`.
pub(super) fn calibrate(seed: u64, from: usize, forest: &IsolationForest) -> Tail {
    let first = from.next_multiple_of(SHAPES.len());
    let mut entities = Entities::default();
    for i in first..first + CALIBRATED_BY * SHAPES.len() {
        let (class, series) = synthetic_series(SIGHT, seed, i);
        entities.add(seed, class, &series);
    }
    let scores = |rows: &Vec<Row>| rows.iter().map(|row| forest.score(row)).collect();
    let tails: Vec<Tail> = entities.rows.iter().map(|rows| Tail::fit(scores(rows))).collect();
    Tail::median(&tails)
}

fn rows_of(metrics: &[(MetricClass, Vec<[f32; 2]>)], chosen: &[usize]) -> Vec<Row> {
    let samples = chosen.iter().map(|&metric| metrics[metric].1.len()).min().unwrap_or(0);
    (0..samples)
        .map(|sample| {
            let mut together = Together::default();
            for (class, deviations) in chosen.iter().map(|&metric| &metrics[metric]) {
                let [fast, slow] = deviations[sample];
                together.add(*class, fast, slow);
            }
            together.row()
        })
        .collect()
}
