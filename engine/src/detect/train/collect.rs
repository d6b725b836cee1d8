//! What a clean series teaches: residual features for the forest, windows for the autoencoder, scores for the tails.

use super::fault;
use crate::detect::autoencoder::Autoencoder;
use crate::detect::calibration::{AUTOENCODER, FAST, FOREST, NOVELTY, RAWS, SLOW, Tails};
use crate::detect::forest::IsolationForest;
use crate::detect::novelty::Novelties;
use crate::detect::sight::Sight;
use crate::detect::tail::Tail;
use crate::detect::window::Windows;
use crate::features::{Baselines, FEATURES, Polarity};
use crate::{Error, Result};
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::Array2;
use rand::seq::index;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use wire::Timestamp;

/// Samples of a series that only warm its baseline up.
pub(super) const SETTLE: usize = 300;
/// Every so many windows of a series is kept: neighbours are nearly the same.
const STRIDE: usize = 11;
/// Rows that a forest chooses its own from.
const FOREST_ROWS: usize = 60_000;

/// Rows for a forest, windows and scores of clean series.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) features: Vec<[f32; FEATURES]>,
    /// `[n, WINDOW]` flat.
    pub(super) windows: Vec<f32>,
    fast: Vec<f32>,
    slow: Vec<f32>,
    novelty: Vec<f32>,
}

impl Collected {
    /// Of `rows`, oldest first, of which the first `settle` only warm the baseline up, as `sight` sees them.
    pub(super) fn of(sight: Sight, polarity: Polarity, rows: &[(Timestamp, f64)], settle: usize) -> Self {
        let mut own = Self::default();
        let mut baselines = Baselines::default();
        let slot = baselines.add(polarity, 0);
        let mut windows = Windows::default();
        windows.add();
        let mut novelties = Novelties::default();
        novelties.add(polarity);
        for (n, &(at, value)) in rows.iter().enumerate() {
            let novelty = novelties.score(0, value);
            novelties.learn(0, value);
            let Some(residual) = baselines.observe(slot, at, value) else {
                continue;
            };
            windows.push(0, residual.slow);
            if n < settle {
                continue;
            }
            own.features.push(sight.row(&residual, || windows.of(0)));
            own.fast.push(residual.fast.abs());
            own.slow.push(residual.slow.abs());
            own.novelty.push(novelty);
            if n % STRIDE == 0 && windows.is_full(0) {
                windows.append_to(0, &mut own.windows);
            }
        }
        own
    }

    /// One-step and long-term deviation of every sample.
    pub(super) fn deviations(&self) -> impl Iterator<Item = [f32; 2]> + '_ {
        self.fast.iter().zip(&self.slow).map(|(&fast, &slow)| [fast, slow])
    }

    /// The tail of every raw score over these samples, in the order of the `RAWS` indices; that of the joint forest is none.
    pub(super) fn tails(self, forest: &IsolationForest, autoencoder: &Autoencoder) -> [Tail; RAWS] {
        let isolation = self.features.iter().map(|row| forest.score(row)).collect();
        let mut tails = [Tail::of_novelty(); RAWS];
        tails[FAST] = Tail::fit(self.fast);
        tails[SLOW] = Tail::fit(self.slow);
        tails[FOREST] = Tail::fit(isolation);
        tails[AUTOENCODER] = Tail::fit(autoencoder.score(&self.windows));
        tails[NOVELTY] = Tail::fit(self.novelty);
        tails
    }
}

/// The tails of a class: those of its median series, not of the pool. A few wild series would make every new one deaf; each
/// learns its own tail as samples come. `joint` is that of the joint forest, of which single series say nothing.
pub(super) fn median_tails(series: &[[Tail; RAWS]], joint: Tail) -> Tails {
    let median = |raw: usize| Tail::median(&series.iter().map(|tails| tails[raw]).collect::<Vec<_>>());
    Tails {
        fast: median(FAST),
        slow: median(SLOW),
        forest: median(FOREST),
        autoencoder: median(AUTOENCODER),
        novelty: median(NOVELTY),
        joint,
    }
}

/// A forest over at most [`FOREST_ROWS`] of `features`.
///
/// # Errors
/// [`Error::Model`] when there are not even two rows.
pub(super) fn fit_forest<const N: usize>(seed: u64, features: &[[f32; N]]) -> Result<IsolationForest> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0xF0_4E57);
    let n = FOREST_ROWS.min(features.len());
    let chosen = index::sample(&mut rng, features.len(), n);
    let mut rows = Array2::zeros((n, N));
    for (r, i) in chosen.into_iter().enumerate() {
        for (f, &x) in features[i].iter().enumerate() {
            // A little noise: features of constant series are exactly equal, and a tree cannot tell such rows from rare ones.
            rows[(r, f)] = x + 0.01 * (rng.random::<f32>() - 0.5);
        }
    }
    let error = |e: crate::detect::ForestError| -> Error { fault("forest", e.to_string()) };
    IsolationForest::params()
        .seed(seed)
        .fit(&DatasetBase::from(rows))
        .map_err(error)
}
