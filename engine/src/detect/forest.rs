//! Isolation forest (Liu, Ting, Zhou, ICDM 2008) behind linfa's `Fit` and `Predict`.
//!
//! A fitted forest is one flat array of 8-byte nodes in preorder: the left child is the next node, the right child's index
//! and the split feature share a word. That is what files hold; scoring walks a copy laid out for speed ([`walk`]).

mod walk;
#[cfg(target_arch = "x86_64")]
mod wide;

use linfa::DatasetBase;
use linfa::ParamGuard;
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, Array2};
use rand::seq::index;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use walk::Walk;

/// Why a forest could not be fitted.
#[derive(Debug, thiserror::Error)]
pub enum ForestError {
    #[error("isolation forest: trees must be at least 1, got 0")]
    NoTrees,
    #[error("isolation forest: subsample must be at least 2, got {0}")]
    SmallSubsample(usize),
    #[error("isolation forest: {0} rows are too few to fit on, give at least 2")]
    FewRows(usize),
    #[error("isolation forest: {0} features, at most 15 fit a node")]
    ManyFeatures(usize),
    #[error("isolation forest: {0}")]
    Malformed(String),
    #[error("isolation forest: {0}")]
    Linfa(#[from] linfa::Error),
}

/// Hyperparameters, unchecked.
#[derive(Clone, Debug)]
pub struct IsolationForestParams(ValidParams);

/// Hyperparameters, checked.
#[derive(Clone, Debug)]
pub struct ValidParams {
    trees: usize,
    subsample: usize,
    seed: u64,
}

/// A fitted forest.
#[derive(Clone, Debug, PartialEq)]
pub struct IsolationForest {
    pub(super) nodes: Vec<Node>,
    /// Index of each tree's root, ascending.
    pub(super) roots: Vec<u32>,
    /// Rows each tree was grown on at most.
    pub(super) subsample: usize,
    pub(super) features: usize,
    walk: Option<Walk>,
}

/// A split, or a leaf whose `threshold` is its path length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) threshold: f32,
    /// Feature in the top 4 bits (15: leaf), index of the right child in the rest.
    pub(super) link: u32,
}

const LEAF: u32 = 15;
const FEATURE_SHIFT: u32 = 28;
const INDEX_MASK: u32 = (1 << FEATURE_SHIFT) - 1;

impl IsolationForest {
    /// Parameters of the paper: 100 trees, 256 rows each.
    pub fn params() -> IsolationForestParams {
        IsolationForestParams(ValidParams {
            trees: 100,
            subsample: 256,
            seed: 0,
        })
    }

    /// Anomaly score of one row in 0..1; about 0.5 is ordinary, higher is more anomalous. `row` must have the number of features
    /// that the forest was fitted on. O(trees x log subsample).
    #[inline]
    pub fn score(&self, row: &[f32]) -> f32 {
        let total = match &self.walk {
            Some(walk) => walk.total_path(row),
            None => self.total_path(row),
        };
        self.score_of(total)
    }

    /// The scores of many rows, `[n, features]` flat; each is that of [`IsolationForest::score`], bit for bit, sooner.
    pub fn score_all(&self, rows: &[f32]) -> Vec<f32> {
        let mut scores = match &self.walk {
            Some(walk) => walk.total_paths(rows, self.features),
            None => rows
                .chunks_exact(self.features)
                .map(|row| self.total_path(row))
                .collect(),
        };
        for score in &mut scores {
            *score = self.score_of(*score);
        }
        scores
    }

    /// The score of a row whose path lengths add up to `total`.
    fn score_of(&self, total: f32) -> f32 {
        let mean = total / self.roots.len() as f32;
        (-mean / average_path(self.subsample)).exp2()
    }

    /// Mean number of splits behind a score of [`IsolationForest::score`], and that of an ordinary row.
    pub fn splits(&self, score: f32) -> (f32, f32) {
        let ordinary = average_path(self.subsample);
        (-score.log2() * ordinary, ordinary)
    }

    /// The forest of these nodes, ready to score.
    pub(super) fn new(nodes: Vec<Node>, roots: Vec<u32>, subsample: usize, features: usize) -> Result<Self, String> {
        let mut forest = Self {
            nodes,
            roots,
            subsample,
            features,
            walk: None,
        };
        forest.check()?;
        forest.walk = Walk::of(&forest);
        Ok(forest)
    }

    /// The plain walk, for forests of deeper trees.
    fn total_path(&self, row: &[f32]) -> f32 {
        let mut total = 0.0;
        for &root in &self.roots {
            let mut at = root as usize;
            loop {
                let node = self.nodes[at];
                let feature = node.link >> FEATURE_SHIFT;
                if feature == LEAF {
                    total += node.threshold;
                    break;
                }
                at = if row[feature as usize] < node.threshold {
                    at + 1
                } else {
                    (node.link & INDEX_MASK) as usize
                };
            }
        }
        total
    }

    /// Whether every walk ends at a leaf within the arrays: what a file must satisfy before it is used.
    fn check(&self) -> Result<(), String> {
        let n = self.nodes.len();
        for (i, node) in self.nodes.iter().enumerate() {
            let feature = node.link >> FEATURE_SHIFT;
            let right = (node.link & INDEX_MASK) as usize;
            // Children come after their parent, so a walk only moves forward.
            if feature != LEAF && (feature as usize >= self.features || right <= i + 1 || right >= n) {
                return Err(format!("node {i} of {n} links outside of its tree"));
            }
            if !node.threshold.is_finite() {
                return Err(format!("node {i} of {n} has a threshold that is not finite"));
            }
        }
        let ends = self.nodes.last().is_some_and(|last| last.link >> FEATURE_SHIFT == LEAF);
        if !ends || self.roots.iter().any(|&root| root as usize >= n) || self.subsample < 2 {
            return Err("the trees are incomplete".to_owned());
        }
        Ok(())
    }

    /// Number of features of a row.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Number of trees.
    pub fn trees(&self) -> usize {
        self.roots.len()
    }
}

impl IsolationForestParams {
    /// Number of trees, at least 1.
    #[must_use]
    pub fn trees(mut self, trees: usize) -> Self {
        self.0.trees = trees;
        self
    }

    /// Rows each tree is grown on, at least 2.
    #[must_use]
    pub fn subsample(mut self, subsample: usize) -> Self {
        self.0.subsample = subsample;
        self
    }

    /// Seed of every random choice: the same seed and data give the same forest, bit for bit.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.seed = seed;
        self
    }
}

impl ParamGuard for IsolationForestParams {
    type Checked = ValidParams;
    type Error = ForestError;

    fn check_ref(&self) -> Result<&Self::Checked, Self::Error> {
        if self.0.trees == 0 {
            return Err(ForestError::NoTrees);
        }
        if self.0.subsample < 2 {
            return Err(ForestError::SmallSubsample(self.0.subsample));
        }
        Ok(&self.0)
    }

    fn check(self) -> Result<Self::Checked, Self::Error> {
        self.check_ref()?;
        Ok(self.0)
    }
}

impl<T> Fit<Array2<f32>, T, ForestError> for ValidParams {
    type Object = IsolationForest;

    fn fit(&self, dataset: &DatasetBase<Array2<f32>, T>) -> Result<IsolationForest, ForestError> {
        let rows = &dataset.records;
        let (n, features) = rows.dim();
        if n < 2 {
            return Err(ForestError::FewRows(n));
        }
        if features >= LEAF as usize {
            return Err(ForestError::ManyFeatures(features));
        }
        let subsample = self.subsample.min(n);
        let limit = (subsample as f32).log2().ceil() as usize;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let mut nodes = Vec::new();
        let mut roots = Vec::with_capacity(self.trees);
        for _ in 0..self.trees {
            let mut members = index::sample(&mut rng, n, subsample).into_vec();
            roots.push(nodes.len() as u32);
            grow(&mut nodes, rows, &mut members, 0, limit, &mut rng);
        }
        IsolationForest::new(nodes, roots, subsample, features).map_err(ForestError::Malformed)
    }
}

impl PredictInplace<Array2<f32>, Array1<f32>> for IsolationForest {
    fn predict_inplace<'a>(&'a self, x: &'a Array2<f32>, y: &mut Array1<f32>) {
        let rows = x.as_standard_layout();
        let scores = self.score_all(rows.as_slice().expect("standard layout is one slice"));
        for (score, found) in y.iter_mut().zip(scores) {
            *score = found;
        }
    }

    fn default_target(&self, x: &Array2<f32>) -> Array1<f32> {
        Array1::zeros(x.nrows())
    }
}

/// Grows the tree over `members` in preorder.
fn grow(
    nodes: &mut Vec<Node>,
    rows: &Array2<f32>,
    members: &mut [usize],
    depth: usize,
    limit: usize,
    rng: &mut Xoshiro256PlusPlus,
) {
    let at = nodes.len();
    let split = if depth >= limit || members.len() <= 1 {
        None
    } else {
        choose_split(rows, members, rng)
    };
    let Some((feature, threshold)) = split else {
        nodes.push(Node {
            threshold: depth as f32 + average_path(members.len()),
            link: LEAF << FEATURE_SHIFT,
        });
        return;
    };
    nodes.push(Node { threshold, link: 0 });
    let mut middle = 0;
    for i in 0..members.len() {
        if rows[(members[i], feature)] < threshold {
            members.swap(i, middle);
            middle += 1;
        }
    }
    let (left, right) = members.split_at_mut(middle);
    grow(nodes, rows, left, depth + 1, limit, rng);
    let right_at = nodes.len() as u32;
    nodes[at].link = ((feature as u32) << FEATURE_SHIFT) | right_at;
    grow(nodes, rows, right, depth + 1, limit, rng);
}

/// A random feature that varies among the members, and a random cut between its extremes.
fn choose_split(rows: &Array2<f32>, members: &[usize], rng: &mut Xoshiro256PlusPlus) -> Option<(usize, f32)> {
    let features = rows.ncols();
    for feature in index::sample(rng, features, features) {
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for &i in members {
            let x = rows[(i, feature)];
            low = low.min(x);
            high = high.max(x);
        }
        if low < high {
            // Above the least value, so that both sides have a member.
            let cut = low + (high - low) * (1.0 - rng.random::<f32>());
            return Some((feature, cut.clamp(low.next_up(), high)));
        }
    }
    None
}

/// Average path length of an unsuccessful search in a binary search tree of `n` nodes.
fn average_path(n: usize) -> f32 {
    match n {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => {
            let n = n as f64;
            (2.0 * ((n - 1.0).ln() + 0.577_215_664_901_532_9) - 2.0 * (n - 1.0) / n) as f32
        }
    }
}

#[cfg(test)]
mod tests;
