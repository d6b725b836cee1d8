//! Fast walks through a fitted forest: every tree as a complete binary tree, eight walks at a time.
//!
//! A walk is a chain of dependent loads; eight chains side by side keep the processor busy while each waits. In a complete
//! tree the next node is arithmetic (`2i` or `2i + 1`), so there is no branch to mispredict, and the walk ends by counting.
//! One row walks through eight trees at a time; of many rows eight walk through one tree, which then stays in the
//! processor's nearest cache. Either way a row's path lengths are added up in the order of the trees: the bits are the same.
//! Numbers are compared as integers of the same order, which takes a third of the time.

#[cfg(target_arch = "x86_64")]
use super::wide;
use super::{FEATURE_SHIFT, INDEX_MASK, IsolationForest, LEAF, average_path};

/// Depth of the paper's trees: 256 rows.
pub(super) const DEPTH: usize = 8;
pub(super) const WIDTH: usize = 1 << DEPTH;
/// Walks side by side.
const SIDE: usize = 8;
/// Rows that go through a tree before the next tree's turn: with it they fit the nearest cache.
const BLOCK: usize = 64;
const SIGN: u32 = 1 << 31;
/// Cells of a row, a power of two above the features that a node can name.
const CELLS: usize = 16;

/// The trees of a forest of at most [`DEPTH`] levels, laid out for speed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Walk {
    trees: Vec<Tree>,
    /// The same by columns, where the processor can make use of them; else none.
    #[cfg(target_arch = "x86_64")]
    wide: Vec<wide::Tree>,
}

#[derive(Clone, Debug, PartialEq)]
struct Tree {
    /// Splits from index 1 on; the children of `i` are `2i` and `2i + 1`.
    splits: Box<[Split; WIDTH]>,
    /// Path length of each end.
    ends: Box<[f32; WIDTH]>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Split {
    /// As [`key`] makes it.
    pub(super) threshold: u32,
    pub(super) feature: u32,
}

/// Below an end: both ways lead to the same path length.
const UNUSED: Split = Split {
    threshold: SIGN,
    feature: 0,
};

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
            thresholds: splits().map(|split| number(split.threshold)).collect(),
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
                splits: Box::new([UNUSED; WIDTH]),
                ends: Box::new([0.0; WIDTH]),
            };
            tree.fill(forest, root as usize, 1, 0).then_some(tree)
        };
        let trees = forest.roots.iter().map(tree).collect::<Option<Vec<Tree>>>()?;
        Some(Self {
            #[cfg(target_arch = "x86_64")]
            wide: match pulp::x86::V4::try_new() {
                Some(_) if forest.features <= wide::CELLS => trees
                    .iter()
                    .map(|tree| wide::Tree::new(&tree.splits, &tree.ends))
                    .collect(),
                _ => Vec::new(),
            },
            trees,
        })
    }

    /// Sum of the path lengths of `row` in all trees, added up in the order of the trees.
    #[inline]
    pub(super) fn total_path(&self, row: &[f32]) -> f32 {
        let cells = cells(row);
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

    /// The same for every row of `rows`, of `features` numbers each.
    pub(super) fn total_paths(&self, rows: &[f32], features: usize) -> Vec<f32> {
        let features = features.max(1);
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = pulp::x86::V4::try_new().filter(|_| !self.wide.is_empty()) {
            return wide::total_paths(simd, &self.wide, rows, features);
        }
        self.narrow_paths(rows, features)
    }

    /// Eight rows at a time, on any processor.
    pub(super) fn narrow_paths(&self, rows: &[f32], features: usize) -> Vec<f32> {
        let mut totals = vec![0.0; rows.len() / features];
        let mut block = [[0; CELLS]; BLOCK];
        for (totals, rows) in totals.chunks_mut(BLOCK).zip(rows.chunks(BLOCK * features)) {
            for (place, row) in block.iter_mut().zip(rows.chunks_exact(features)) {
                *place = cells(row);
            }
            for tree in &self.trees {
                // What is left of an earlier part fills the last eight; it is walked for nothing.
                for (totals, rows) in totals.chunks_mut(SIDE).zip(block.as_chunks::<SIDE>().0) {
                    let mut at = [1_usize; SIDE];
                    for _ in 0..DEPTH {
                        for (at, cells) in at.iter_mut().zip(rows) {
                            *at = tree.next(*at, cells);
                        }
                    }
                    for (total, at) in totals.iter_mut().zip(at) {
                        *total += tree.ends[at % WIDTH];
                    }
                }
            }
        }
        totals
    }
}

/// A row as the walks read it.
fn cells(row: &[f32]) -> [u32; CELLS] {
    let mut cells = [0; CELLS];
    for (cell, x) in cells.iter_mut().zip(row) {
        *cell = key(*x);
    }
    cells
}

/// An integer for a number: of two, the smaller number has the smaller. A NaN is above all, since nothing says that it is less.
pub(super) fn key(x: f32) -> u32 {
    if x.is_nan() {
        return u32::MAX;
    }
    // The two zeros are one number.
    let bits = (x + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// The number that has a key.
fn number(key: u32) -> f32 {
    f32::from_bits(if key & SIGN == 0 { !key } else { key & !SIGN })
}

impl Tree {
    /// The child of `at` on the row's side. The remainders cost one instruction and make the indices safe.
    #[inline(always)]
    fn next(&self, at: usize, cells: &[u32; CELLS]) -> usize {
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
            threshold: key(node.threshold),
            feature,
        };
        let right = (node.link & INDEX_MASK) as usize;
        self.fill(forest, from + 1, 2 * at, depth + 1) && self.fill(forest, right, 2 * at + 1, depth + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_the_numbers() {
        let numbers = [
            f32::NEG_INFINITY,
            f32::MIN,
            -1.0,
            -f32::MIN_POSITIVE,
            -1e-45,
            0.0,
            1e-45,
            0.1,
            1.0,
            f32::MAX,
            f32::INFINITY,
        ];
        for (i, a) in numbers.iter().enumerate() {
            assert_eq!(number(key(*a)).to_bits(), a.to_bits());
            for (j, b) in numbers.iter().enumerate() {
                assert_eq!(key(*a) < key(*b), i < j, "{a} {b}");
            }
            assert!(key(*a) < key(f32::NAN) && key(*a) < key(-f32::NAN));
        }
        assert_eq!(key(-0.0), key(0.0));
    }
}
