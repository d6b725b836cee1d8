//! Fast walks through a fitted forest: every tree as a complete binary tree, eight of them at a time.
//!
//! A walk is a chain of dependent loads; eight chains side by side keep the processor busy while each waits. In a complete
//! tree the next node is arithmetic (`2i` or `2i + 1`), so there is no branch to mispredict, and the walk ends by counting.

use super::{FEATURE_SHIFT, INDEX_MASK, IsolationForest, LEAF, average_path};

/// Depth of the paper's trees: 256 rows.
const DEPTH: usize = 8;
const WIDTH: usize = 1 << DEPTH;
/// Trees walked side by side.
const SIDE: usize = 8;
/// Cells of a row, a power of two above the features that a node can name.
const CELLS: usize = 16;

/// The trees of a forest of at most [`DEPTH`] levels, laid out for speed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Walk {
    trees: Vec<Tree>,
}

#[derive(Clone, Debug, PartialEq)]
struct Tree {
    /// Splits from index 1 on; the children of `i` are `2i` and `2i + 1`.
    splits: Box<[Split; WIDTH]>,
    /// Path length of each end.
    ends: Box<[f32; WIDTH]>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Split {
    threshold: f32,
    feature: u32,
}

/// The same layout as flat arrays, [`WIDTH`] cells a tree, for a device.
#[derive(Clone, Debug)]
pub(in crate::detect) struct Flat {
    pub(in crate::detect) depth: usize,
    pub(in crate::detect) trees: usize,
    pub(in crate::detect) features: usize,
    /// Splits by position; the root is at 1.
    pub(in crate::detect) thresholds: Vec<f32>,
    pub(in crate::detect) split_features: Vec<u32>,
    /// Path length of each end.
    pub(in crate::detect) ends: Vec<f32>,
    /// Path length of an ordinary row.
    pub(in crate::detect) average_path: f32,
}

impl IsolationForest {
    /// The trees as flat arrays; `None` for a forest that is deeper than [`DEPTH`].
    pub(in crate::detect) fn flat(&self) -> Option<Flat> {
        let trees = &self.walk.as_ref()?.trees;
        let splits = || trees.iter().flat_map(|tree| tree.splits.iter());
        Some(Flat {
            depth: DEPTH,
            trees: trees.len(),
            features: self.features,
            thresholds: splits().map(|split| split.threshold).collect(),
            split_features: splits().map(|split| split.feature).collect(),
            ends: trees.iter().flat_map(|tree| tree.ends.iter().copied()).collect(),
            average_path: average_path(self.subsample),
        })
    }
}

impl Walk {
    /// `None` for a forest that is deeper than [`DEPTH`].
    pub(super) fn of(forest: &IsolationForest) -> Option<Self> {
        let tree = |&root: &u32| {
            let mut tree = Tree {
                splits: Box::new([Split::default(); WIDTH]),
                ends: Box::new([0.0; WIDTH]),
            };
            tree.fill(forest, root as usize, 1, 0).then_some(tree)
        };
        let trees = forest.roots.iter().map(tree).collect::<Option<_>>()?;
        Some(Self { trees })
    }

    /// Sum of the path lengths of `row` in all trees, added up in the order of the trees.
    #[inline]
    pub(super) fn total_path(&self, row: &[f32]) -> f32 {
        let mut cells = [0.0; CELLS];
        for (cell, x) in cells.iter_mut().zip(row) {
            *cell = *x;
        }
        let mut total = 0.0;
        let sides = self.trees.chunks_exact(SIDE);
        let rest = sides.remainder();
        for side in sides {
            let mut at = [1_usize; SIDE];
            for _ in 0..DEPTH {
                for (at, tree) in at.iter_mut().zip(side) {
                    *at = tree.next(*at, &cells);
                }
            }
            for (at, tree) in at.iter().zip(side) {
                total += tree.ends[at % WIDTH];
            }
        }
        for tree in rest {
            let mut at = 1;
            for _ in 0..DEPTH {
                at = tree.next(at, &cells);
            }
            total += tree.ends[at % WIDTH];
        }
        total
    }
}

impl Tree {
    /// The child of `at` on the row's side. The remainders cost one instruction and make the indices safe.
    #[inline(always)]
    fn next(&self, at: usize, cells: &[f32; CELLS]) -> usize {
        let split = self.splits[at % WIDTH];
        let stays_left = cells[split.feature as usize % CELLS] < split.threshold;
        2 * at + usize::from(!stays_left)
    }

    /// Lays out the subtree at node `from` of the forest below position `at`; `false` if it is too deep.
    fn fill(&mut self, forest: &IsolationForest, from: usize, at: usize, depth: usize) -> bool {
        let node = forest.nodes[from];
        let feature = node.link >> FEATURE_SHIFT;
        if feature == LEAF {
            // Wherever the walk goes from here, it ends with this path length.
            let below = DEPTH - depth;
            let first = (at << below) % WIDTH;
            self.ends[first..first + (1 << below)].fill(node.threshold);
            return true;
        }
        if depth == DEPTH {
            return false;
        }
        self.splits[at] = Split {
            threshold: node.threshold,
            feature,
        };
        let right = (node.link & INDEX_MASK) as usize;
        self.fill(forest, from + 1, 2 * at, depth + 1) && self.fill(forest, right, 2 * at + 1, depth + 1)
    }
}
