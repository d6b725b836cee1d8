//! Walks of sixteen rows at a time through one tree, where the processor has AVX-512. A tree of eight levels is so small that
//! its nodes are looked up by permuting registers: no walk waits for memory. The bits are those of the other walks.

use super::walk::{DEPTH, Split, WIDTH, key};
use pulp::x86::V4;
use std::arch::x86_64::__m512i;

/// Rows side by side: one register of 32-bit cells.
const LANES: usize = 16;
/// Groups of rows that go through a tree before the next tree's turn: with it they fit the nearest cache.
const BLOCK: usize = 16;
/// Features of a row at most.
pub(super) const CELLS: usize = 8;
/// Registers that hold a tree's column.
const COLUMN: usize = WIDTH / LANES;

/// Sixteen rows by feature, each cell as [`key`] makes it. Aligned, as all that is loaded into registers: no load touches two
/// cache lines.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Rows([[u32; LANES]; CELLS]);

/// A complete tree by columns: cell `i` of each is in register `i / 16`.
#[derive(Clone, Debug, PartialEq)]
#[repr(align(64))]
pub(super) struct Tree {
    thresholds: [[u32; LANES]; COLUMN],
    features: [[u32; LANES]; COLUMN],
    /// Path lengths, as bits.
    ends: [[u32; LANES]; COLUMN],
}

impl Tree {
    pub(super) fn new(splits: &[Split; WIDTH], ends: &[f32; WIDTH]) -> Self {
        let column = |cell: &dyn Fn(usize) -> u32| {
            std::array::from_fn(|register| std::array::from_fn(|lane| cell(register * LANES + lane)))
        };
        Self {
            thresholds: column(&|i| splits[i].threshold),
            features: column(&|i| splits[i].feature),
            ends: column(&|i| ends[i].to_bits()),
        }
    }
}

/// The sum of each row's path lengths in all `trees`, added up in their order. `rows` are of `features` numbers each.
pub(super) fn total_paths(simd: V4, trees: &[Tree], rows: &[f32], features: usize) -> Vec<f32> {
    let mut totals = Vec::with_capacity(rows.len() / features + LANES);
    let mut block = Vec::with_capacity(BLOCK);
    for rows_of_block in rows.chunks(BLOCK * LANES * features) {
        block.clear();
        for rows in rows_of_block.chunks(LANES * features) {
            let mut by_feature = Rows([[0; LANES]; CELLS]);
            for (lane, row) in rows.chunks_exact(features).enumerate() {
                for (cells, x) in by_feature.0.iter_mut().zip(row) {
                    cells[lane] = key(*x);
                }
            }
            block.push(by_feature);
        }
        let mut sums = vec![[0.0; LANES]; block.len()];
        simd.vectorize(Run {
            simd,
            trees,
            rows: &block,
            totals: &mut sums,
        });
        totals.extend_from_slice(sums.as_flattened());
    }
    // Lanes without a row were walked for nothing.
    totals.truncate(rows.len() / features);
    totals
}

/// A closure would be compiled on its own, for the oldest machine; this is inlined into what is compiled for the widest vectors.
struct Run<'a> {
    simd: V4,
    trees: &'a [Tree],
    rows: &'a [Rows],
    totals: &'a mut [[f32; LANES]],
}

impl pulp::NullaryFnOnce for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for tree in self.trees {
            for (rows, totals) in self.rows.iter().zip(&mut *self.totals) {
                let lengths: [f32; LANES] = pulp::cast(walk(self.simd, tree, rows));
                for (total, length) in totals.iter_mut().zip(lengths) {
                    *total += length;
                }
            }
        }
    }
}

/// The path lengths of sixteen rows, as bits.
#[inline(always)]
fn walk(simd: V4, tree: &Tree, rows: &Rows) -> __m512i {
    let vector = simd.avx512f;
    let one = vector._mm512_set1_epi32(1);
    let mut at = one;
    for level in 0..DEPTH {
        let threshold = cell(simd, &tree.thresholds, at, level);
        let feature = cell(simd, &tree.features, at, level);
        let left = vector._mm512_cmplt_epu32_mask(value(simd, rows, feature), threshold);
        at = vector._mm512_add_epi32(at, at);
        at = vector._mm512_mask_add_epi32(at, !left, at, one);
    }
    among::<8>(simd, tree.ends.as_flattened(), at)
}

/// The cell at the position of each lane, all of which are on one level.
#[inline(always)]
fn cell(simd: V4, column: &[[u32; LANES]; COLUMN], at: __m512i, level: usize) -> __m512i {
    let column = column.as_flattened();
    match level {
        0..=3 => simd.avx512f._mm512_permutexvar_epi32(at, register(column, 0)),
        4 => simd.avx512f._mm512_permutexvar_epi32(at, register(column, 1)),
        5 => among::<1>(simd, &column[32..64], at),
        6 => among::<2>(simd, &column[64..128], at),
        _ => among::<4>(simd, &column[128..256], at),
    }
}

/// The cell at each lane's position among those of `PAIRS` pairs of registers, which begin at a multiple of their number.
#[inline(always)]
fn among<const PAIRS: usize>(simd: V4, cells: &[u32], at: __m512i) -> __m512i {
    let vector = simd.avx512f;
    let mut found = [at; PAIRS];
    for (pair, found) in found.iter_mut().enumerate() {
        *found = vector._mm512_permutex2var_epi32(register(cells, 2 * pair), at, register(cells, 2 * pair + 1));
    }
    // Five bits of the position name a cell within its pair, those above them the pair.
    one_of(simd, found, at, 2 * LANES as i32)
}

/// Each lane's value of the feature that it names.
#[inline(always)]
fn value(simd: V4, rows: &Rows, feature: __m512i) -> __m512i {
    let mut cells = [feature; CELLS];
    for (cells, row) in cells.iter_mut().zip(&rows.0) {
        *cells = pulp::cast(*row);
    }
    one_of(simd, cells, feature, 1)
}

/// Of `cells`, a power of two of them, those that each lane of `number` names in its bits from `bit` on.
#[inline(always)]
fn one_of<const N: usize>(simd: V4, mut cells: [__m512i; N], number: __m512i, mut bit: i32) -> __m512i {
    let vector = simd.avx512f;
    let mut left = N;
    // Each bit halves what is left.
    while left > 1 {
        left /= 2;
        let odd = vector._mm512_test_epi32_mask(number, vector._mm512_set1_epi32(bit));
        for i in 0..left {
            cells[i] = vector._mm512_mask_blend_epi32(odd, cells[2 * i], cells[2 * i + 1]);
        }
        bit *= 2;
    }
    cells[0]
}

#[inline(always)]
fn register(cells: &[u32], n: usize) -> __m512i {
    let (registers, _) = cells.as_chunks::<LANES>();
    pulp::cast(registers[n])
}
