//! Sixteen windows side by side in registers: of AVX-512, of AVX2 in pairs, or whatever the compiler makes of arrays. Chosen when
//! the program runs; every product that feeds a sum is fused, so all give the same bits.

#[cfg(target_arch = "x86_64")]
use pulp::Simd;
#[cfg(target_arch = "x86_64")]
use pulp::x86::{V3, V4};

/// Windows side by side: one AVX-512 register of single precision.
pub(super) const LANES: usize = 16;

/// A number of each window. Aligned, so that no load or store touches two cache lines.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
pub(super) struct Lanes(pub(super) [f32; LANES]);

impl Lanes {
    pub(super) const ZERO: Self = Self([0.0; LANES]);

    #[inline(always)]
    pub(super) fn map(self, of: impl FnMut(f32) -> f32) -> Self {
        Self(self.0.map(of))
    }
}

/// Rows of `N` numbers, at most [`LANES`] of them, side by side; zeros where there is none.
pub(super) fn side_by_side<const N: usize>(rows: &[f32]) -> [Lanes; N] {
    let mut sides = [Lanes::ZERO; N];
    for (lane, row) in rows.as_chunks::<N>().0.iter().enumerate() {
        for (side, &x) in sides.iter_mut().zip(row) {
            side[lane] = x;
        }
    }
    sides
}

impl std::ops::Deref for Lanes {
    type Target = [f32; LANES];

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl std::ops::DerefMut for Lanes {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// How a machine holds and adds up lanes.
pub(super) trait Wide: Copy {
    /// All lanes, in registers.
    type V: Copy;

    fn load(self, lanes: &Lanes) -> Self::V;
    fn store(self, v: Self::V) -> Lanes;
    fn splat(self, x: f32) -> Self::V;
    /// `a * b + c` with one rounding.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
}

/// Work that is compiled for each kind of machine.
pub(super) trait Kernel {
    fn run(self, wide: impl Wide);
}

/// Runs a kernel on the widest registers there are.
pub(super) fn run(kernel: impl Kernel) {
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(wide) = V4::try_new() {
            return wide.vectorize(On { wide, kernel });
        }
        if let Some(wide) = V3::try_new() {
            return wide.vectorize(On { wide, kernel });
        }
    }
    pulp::Arch::new().dispatch(On { wide: Arrays, kernel });
}

/// A closure would be compiled on its own, for the oldest machine; this is inlined into what is compiled for one.
struct On<W, K> {
    wide: W,
    kernel: K,
}

impl<W: Wide, K: Kernel> pulp::NullaryFnOnce for On<W, K> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.kernel.run(self.wide);
    }
}

/// Any machine.
#[derive(Clone, Copy, Debug)]
struct Arrays;

impl Wide for Arrays {
    type V = Lanes;

    #[inline(always)]
    fn load(self, lanes: &Lanes) -> Lanes {
        *lanes
    }

    #[inline(always)]
    fn store(self, v: Lanes) -> Lanes {
        v
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Lanes {
        Lanes([x; LANES])
    }

    #[inline(always)]
    fn mul_add(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        Lanes(std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane])))
    }
}

#[cfg(target_arch = "x86_64")]
impl Wide for V4 {
    type V = pulp::f32x16;

    #[inline(always)]
    fn load(self, lanes: &Lanes) -> Self::V {
        pulp::cast(lanes.0)
    }

    #[inline(always)]
    fn store(self, v: Self::V) -> Lanes {
        Lanes(pulp::cast(v))
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        self.splat_f32s(x)
    }

    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        self.mul_add_f32s(a, b, c)
    }
}

#[cfg(target_arch = "x86_64")]
impl Wide for V3 {
    type V = [pulp::f32x8; 2];

    #[inline(always)]
    fn load(self, lanes: &Lanes) -> Self::V {
        pulp::cast(lanes.0)
    }

    #[inline(always)]
    fn store(self, v: Self::V) -> Lanes {
        Lanes(pulp::cast(v))
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [self.splat_f32s(x); 2]
    }

    #[inline(always)]
    fn mul_add(self, [a0, a1]: Self::V, [b0, b1]: Self::V, [c0, c1]: Self::V) -> Self::V {
        [self.mul_add_f32s(a0, b0, c0), self.mul_add_f32s(a1, b1, c1)]
    }
}

/// `sums += weights * inputs`, with `weights` row-major, a row for each sum.
#[inline(always)]
pub(super) fn add_product<const I: usize>(wide: impl Wide, weights: &[f32], inputs: &[Lanes; I], sums: &mut [Lanes]) {
    // Six sums at a time share every load of the inputs, and fill the registers there are.
    let (rows, _) = weights.as_chunks::<I>();
    let (blocks, rest) = sums.as_chunks_mut::<6>();
    let (rows, rows_of_rest) = rows.as_chunks::<6>();
    for (block, rows) in blocks.iter_mut().zip(rows) {
        let mut sums = block.each_ref().map(|sum| wide.load(sum));
        for (j, x) in inputs.iter().enumerate() {
            let x = wide.load(x);
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum = wide.mul_add(wide.splat(row[j]), x, *sum);
            }
        }
        *block = sums.map(|sum| wide.store(sum));
    }
    for (sum, row) in rest.iter_mut().zip(rows_of_rest) {
        let mut total = wide.load(sum);
        for (&w, x) in row.iter().zip(inputs) {
            total = wide.mul_add(wide.splat(w), wide.load(x), total);
        }
        *sum = wide.store(total);
    }
}

/// Adds to `[rows, columns]`, row-major, the product of each of `A` row vectors with each of `B` columns, summed over steps and
/// lanes. `A` and `B` are multiples of four.
#[inline(always)]
pub(super) fn add_outer<const A: usize, const B: usize>(
    wide: impl Wide,
    rows: &[[Lanes; A]],
    columns: &[[Lanes; B]],
    into: &mut [f32],
) {
    // Four by four sums share their loads.
    const SIDE: usize = 4;
    for row in 0..A / SIDE {
        for column in 0..B / SIDE {
            let mut sums = [[wide.splat(0.0); SIDE]; SIDE];
            for (rows, columns) in rows.iter().zip(columns) {
                let rows = rows.as_chunks::<SIDE>().0[row].each_ref().map(|x| wide.load(x));
                let columns = columns.as_chunks::<SIDE>().0[column].each_ref().map(|x| wide.load(x));
                for (sums, &x) in sums.iter_mut().zip(&rows) {
                    for (sum, &y) in sums.iter_mut().zip(&columns) {
                        *sum = wide.mul_add(x, y, *sum);
                    }
                }
            }
            for (r, sums) in sums.into_iter().enumerate() {
                let at = (row * SIDE + r) * B + column * SIDE;
                add_totals(&mut into[at..at + SIDE], &sums.map(|sum| wide.store(sum)));
            }
        }
    }
}

/// `sum += w * x`, lane by lane.
#[inline(always)]
pub(super) fn add_scaled(wide: impl Wide, sum: &mut Lanes, w: f32, x: &Lanes) {
    *sum = wide.store(wide.mul_add(wide.splat(w), wide.load(x), wide.load(sum)));
}

/// `sum += a * b`, lane by lane.
#[inline(always)]
pub(super) fn add_products(wide: impl Wide, sum: &mut Lanes, a: &Lanes, b: &Lanes) {
    *sum = wide.store(wide.mul_add(wide.load(a), wide.load(b), wide.load(sum)));
}

/// Sum of all lanes, by halves.
#[inline(always)]
pub(super) fn total(lanes: &Lanes) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|i| lanes[i] + lanes[i + 8]);
    let four: [f32; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// `into += ` the total of each.
#[inline(always)]
pub(super) fn add_totals(into: &mut [f32], sums: &[Lanes]) {
    for (into, sum) in into.iter_mut().zip(sums) {
        *into += total(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: usize = 3;

    struct Both<'a> {
        product: &'a mut [Lanes; 15],
        outer: &'a mut [f32; 32],
    }

    fn lanes(seed: usize) -> Lanes {
        Lanes(std::array::from_fn(|lane| {
            ((seed * 31 + lane * 7) % 23) as f32 / 7.0 - 1.3
        }))
    }

    impl Kernel for Both<'_> {
        #[inline(always)]
        fn run(self, wide: impl Wide) {
            let inputs: [Lanes; 5] = std::array::from_fn(lanes);
            let weights: Vec<f32> = (0..75).map(|i| i as f32 / 31.0 - 1.0).collect();
            add_product(wide, &weights, &inputs, self.product);
            let rows: [[Lanes; 8]; STEPS] = std::array::from_fn(|t| std::array::from_fn(|i| lanes(t * 8 + i)));
            let columns: [[Lanes; 4]; STEPS] = std::array::from_fn(|t| std::array::from_fn(|i| lanes(t * 4 + i + 50)));
            add_outer(wide, &rows, &columns, self.outer);
        }
    }

    fn on(run: impl FnOnce(Both<'_>)) -> ([Lanes; 15], [f32; 32]) {
        let (mut product, mut outer) = ([Lanes([0.25; LANES]); 15], [0.5; 32]);
        run(Both {
            product: &mut product,
            outer: &mut outer,
        });
        (product, outer)
    }

    #[test]
    fn every_machine_gives_the_bits_of_the_definition() {
        let arrays = on(|both| both.run(Arrays));
        for (sum, row) in arrays.0.iter().zip(0..) {
            for (lane, &sum) in sum.iter().enumerate() {
                let expected = (0..5).fold(0.25_f32, |sum, j| {
                    let weight = (row * 5 + j) as f32 / 31.0 - 1.0;
                    weight.mul_add(lanes(j)[lane], sum)
                });
                assert_eq!(sum.to_bits(), expected.to_bits());
            }
        }
        for (i, &sum) in arrays.1.iter().enumerate() {
            let (row, column) = (i / 4, i % 4);
            let exact: f32 = (0..STEPS)
                .flat_map(|t| lanes(t * 8 + row).0.into_iter().zip(lanes(t * 4 + column + 50).0))
                .map(|(x, y)| x * y)
                .sum();
            assert!((sum - 0.5 - exact).abs() < 1e-3, "{i}: {sum} and {exact}");
        }
        assert!(on(|both| run(both)) == arrays, "the widest there is");
        #[cfg(target_arch = "x86_64")]
        if let Some(wide) = V3::try_new() {
            assert!(on(|kernel| wide.vectorize(On { wide, kernel })) == arrays, "AVX2");
        }
    }
}
