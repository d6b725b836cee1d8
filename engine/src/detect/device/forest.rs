//! The isolation forest over many rows: all trees of a chunk of rows go down one level at a time.

use super::columns::singles;
use crate::detect::IsolationForest;
use candle_core::{DType, Device, Result, Tensor};

/// Rows that go down together: 100 trees x 16,384 rows take 6.5 MB a tensor.
const CHUNK: usize = 16_384;

/// A forest on a device.
#[derive(Clone, Debug)]
pub struct BatchedForest {
    device: Device,
    depth: usize,
    trees: usize,
    features: usize,
    /// `[trees * width]`, the complete binary trees one after the other; the children of `i` are `2i` and `2i + 1`.
    thresholds: Tensor,
    split_features: Tensor,
    /// `[width + trees * width]`: an end is named by its position below the last level, which starts at `width`.
    ends: Tensor,
    /// `[1, trees]`: where each tree begins.
    bases: Tensor,
    average_path: f32,
}

impl BatchedForest {
    /// The forest on `device`.
    ///
    /// # Errors
    /// When a tree is deeper than the 8 levels of the paper, or the device fails.
    pub fn new(forest: &IsolationForest, device: &Device) -> Result<Self> {
        let Some(flat) = forest.flat() else {
            candle_core::bail!("the forest is deeper than a device walks: fit it on at most 256 rows a tree");
        };
        let width = 1_usize << flat.depth;
        let cells = flat.trees * width;
        let mut ends = vec![0.0; width];
        ends.extend(flat.ends);
        let bases: Vec<u32> = (0..flat.trees).map(|tree| (tree * width) as u32).collect();
        Ok(Self {
            device: device.clone(),
            depth: flat.depth,
            trees: flat.trees,
            features: flat.features,
            thresholds: singles(flat.thresholds, device)?,
            split_features: Tensor::from_vec(flat.split_features, cells, device)?,
            ends: singles(ends, device)?,
            bases: Tensor::from_vec(bases, (1, flat.trees), device)?,
            average_path: flat.average_path,
        })
    }

    /// Scores of `rows` (`[n, features]` flat), as [`IsolationForest::score`] gives them one by one.
    ///
    /// # Errors
    /// When the rows are not whole, or the device fails.
    pub fn score(&self, rows: &[f32]) -> Result<Vec<f32>> {
        if !rows.len().is_multiple_of(self.features) {
            candle_core::bail!("{} numbers are no rows of {} features", rows.len(), self.features);
        }
        let rows = Tensor::from_slice(rows, (rows.len() / self.features, self.features), &self.device)?;
        self.score_tensor(&rows)?.to_vec1()
    }

    /// Rows `[n, features]` to scores `[n]`.
    ///
    /// # Errors
    /// When `rows` has another shape or lies on another device.
    pub fn score_tensor(&self, rows: &Tensor) -> Result<Tensor> {
        let (n, _) = rows.dims2()?;
        if n == 0 {
            return Tensor::zeros(0, DType::F32, &self.device);
        }
        let chunks = (0..n).step_by(CHUNK).map(|from| {
            let rows = rows.narrow(0, from, CHUNK.min(n - from))?.contiguous()?;
            self.score_chunk(&rows)
        });
        Tensor::cat(&chunks.collect::<Result<Vec<_>>>()?, 0)
    }

    fn score_chunk(&self, rows: &Tensor) -> Result<Tensor> {
        let shape = (rows.dim(0)?, self.trees);
        let bases = self.bases.broadcast_as(shape)?.contiguous()?;
        let mut at = bases.ones_like()?;
        for _ in 0..self.depth {
            let cells = (&at + &bases)?.flatten_all()?;
            let thresholds = self.thresholds.index_select(&cells, 0)?.reshape(shape)?;
            let split_features = self.split_features.index_select(&cells, 0)?.reshape(shape)?;
            let stays_left = rows.gather(&split_features, 1)?.lt(&thresholds)?;
            at = (at.affine(2.0, 1.0)? - stays_left.to_dtype(DType::U32)?)?;
        }
        let ends = (at + bases)?.flatten_all()?;
        let paths = self.ends.index_select(&ends, 0)?.reshape(shape)?;
        let scale = -std::f64::consts::LN_2 / (self.trees as f64 * f64::from(self.average_path));
        (paths.sum(1)? * scale)?.exp()
    }
}
