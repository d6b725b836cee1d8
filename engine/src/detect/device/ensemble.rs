//! All three members over the samples of one instant, without leaving the device between them.

use super::columns::pick;
use super::decomposition::{Decomposition, compressed};
use super::spectral::Spectral;
use super::{BatchedAutoencoder, BatchedForest, DeviceBatch};
use crate::detect::WINDOW;
use crate::detect::calibration::class_index;
use crate::detect::sight::Sight;
use crate::features::Baselines;
use candle_core::{DType, Result, Tensor};
use wire::Timestamp;
use wire::series::MetricClass;

/// Series on a device with everything that the members remember of them.
#[derive(Clone, Debug)]
pub struct Ensemble {
    decomposition: Decomposition,
    groups: Vec<Group>,
    autoencoder: BatchedAutoencoder,
    sight: Sight,
    spectral: Spectral,
    /// `[n, WINDOW]`: the last long-term deviations, compressed, oldest first; and how many of them there are.
    windows: Tensor,
    filled: Vec<usize>,
}

/// Series that share a forest: one for each metric class, unless classes share one.
#[derive(Clone, Debug)]
struct Group {
    forest: BatchedForest,
    /// Their rows, as numbers and as a tensor; `None` for all of them.
    rows: Option<(Vec<usize>, Tensor)>,
}

/// Raw scores of one instant, one a series; NaN where a series had no sample, or its window is not full.
#[derive(Clone, Debug, PartialEq)]
pub struct RawScores {
    /// One-step and long-term deviation in standard deviations, what hurts positive.
    pub fast: Vec<f32>,
    pub slow: Vec<f32>,
    pub forest: Vec<f32>,
    pub autoencoder: Vec<f32>,
}

impl Ensemble {
    /// The series `slots` of `baselines`, each of its class, with empty windows.
    ///
    /// # Errors
    /// As [`Decomposition::of`], and when there are not as many classes as slots.
    pub fn of(batch: &DeviceBatch, baselines: &Baselines, slots: &[usize], classes: &[MetricClass]) -> Result<Self> {
        if classes.len() != slots.len() {
            candle_core::bail!("{} classes for {} series", classes.len(), slots.len());
        }
        let mut groups = Vec::new();
        for (number, forest) in batch.forests.iter().enumerate() {
            let rows: Vec<usize> = (0..slots.len())
                .filter(|&row| batch.forest_of[class_index(classes[row])] == number)
                .collect();
            if rows.is_empty() {
                continue;
            }
            let forest = forest.clone();
            let rows = if rows.len() == slots.len() {
                None
            } else {
                let chosen: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
                let chosen = Tensor::from_vec(chosen, rows.len(), &batch.device)?;
                Some((rows, chosen))
            };
            groups.push(Group { forest, rows });
        }
        Ok(Self {
            decomposition: batch.decomposition(baselines, slots)?,
            groups,
            autoencoder: batch.autoencoder.clone(),
            sight: batch.sight,
            spectral: Spectral::new(&batch.device)?,
            windows: Tensor::zeros((slots.len(), WINDOW), DType::F32, &batch.device)?,
            filled: vec![0; slots.len()],
        })
    }

    /// Scores, then learns, the samples of one instant; NaN where there is none.
    ///
    /// # Errors
    /// As [`Decomposition::step`].
    pub fn step(&mut self, at: Timestamp, values: &[f64]) -> Result<RawScores> {
        let residuals = self.decomposition.step(at, values)?;
        let newest = compressed(&residuals.slow)?.unsqueeze(1)?;
        let moved = Tensor::cat(&[&self.windows.narrow(1, 1, WINDOW - 1)?, &newest], 1)?;
        let present = residuals
            .present
            .unsqueeze(1)?
            .broadcast_as(moved.shape())?
            .contiguous()?;
        self.windows = pick(&present, &moved, &self.windows)?;

        let rows = self.spectral.rows(self.sight, &residuals.features, &self.windows)?;
        let forest = self.isolation(&rows)?;
        let present = residuals.present.to_vec1::<u8>()?;
        for (filled, present) in self.filled.iter_mut().zip(&present) {
            *filled = (*filled + usize::from(*present)).min(WINDOW);
        }
        let autoencoder = if self.filled.contains(&WINDOW) {
            self.autoencoder.score_tensor(&self.windows)?.to_vec1::<f32>()?
        } else {
            vec![f32::NAN; present.len()]
        };
        let where_present = |scores: Vec<f32>| -> Vec<f32> {
            let keep = |(score, &present): (f32, &u8)| if present == 1 { score } else { f32::NAN };
            scores.into_iter().zip(&present).map(keep).collect()
        };
        let full = |(score, &filled): (f32, &usize)| if filled == WINDOW { score } else { f32::NAN };
        let autoencoder = autoencoder.into_iter().zip(&self.filled).map(full).collect();
        Ok(RawScores {
            fast: where_present(residuals.fast.to_vec1()?),
            slow: where_present(residuals.slow.to_vec1()?),
            forest: where_present(forest),
            autoencoder: where_present(autoencoder),
        })
    }

    /// Scores of `[n, FEATURES]`, each row by the forest of its series.
    fn isolation(&self, features: &Tensor) -> Result<Vec<f32>> {
        let mut scores = vec![f32::NAN; self.filled.len()];
        for group in &self.groups {
            match &group.rows {
                None => scores = group.forest.score_tensor(features)?.to_vec1()?,
                Some((rows, chosen)) => {
                    let own = group.forest.score_tensor(&features.index_select(chosen, 0)?)?;
                    for (&row, score) in rows.iter().zip(own.to_vec1::<f32>()?) {
                        scores[row] = score;
                    }
                }
            }
        }
        Ok(scores)
    }
}
