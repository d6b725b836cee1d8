//! Spectral residual: how much the newest sample of a window stands out from what repeats in it.
//!
//! After Ren et al., "Time-Series Anomaly Detection Service at Microsoft" (KDD 2019, arXiv 1906.03821): what is left of the
//! logarithmic spectrum of a window after its average over neighbouring frequencies, turned back into time, is great where the
//! window is unlike itself. The newest sample would stand at the edge, so a few estimated ones follow it.
//!
//! The average is over three frequencies, so the residual spectrum is the spectrum itself, divided by the cube root of the product
//! of three amplitudes: neither logarithm nor exponential is needed. One window in, one number out, finite and not negative;
//! O(window²), some 150 vector instructions.

use super::autoencoder::WINDOW;
use super::lanes::{self, LANES, Lanes, Wide, add_products, total};
use std::f64::consts::TAU;
use std::sync::LazyLock;

/// Estimated samples that follow the newest, and samples that they are estimated from.
const AFTER: usize = 5;
/// Where the newest sample stands.
pub(super) const NEWEST: usize = WINDOW - 1 - AFTER;
/// Points before the newest that its saliency is compared with.
pub(super) const BEFORE: usize = 21;
/// Frequencies 0 to this one make the spectrum of a real window.
pub(super) const HIGHEST: usize = WINDOW / 2;
/// Squared amplitude below which there is nothing: what never changes has no spectrum.
pub(super) const FLOOR: f32 = 1e-6;
/// Saliency of the samples before that counts at least: where there is none, rounding alone would be divided by. What stands all
/// alone has one of 1.
pub(super) const LEAST: f32 = 0.01;
/// Registers of a window.
const PARTS: usize = WINDOW / LANES;

type Row = [Lanes; PARTS];

/// The Fourier transform of a real window as a matrix: real parts of frequencies 0 to [`HIGHEST`], then imaginary parts of 1 to
/// `HIGHEST - 1`.
struct Transform {
    /// By time: what a sample adds to each part.
    there: [Row; WINDOW],
    /// By part: what it adds to each point in time.
    back: [Row; WINDOW],
}

static TRANSFORM: LazyLock<Transform> = LazyLock::new(|| {
    let row = |of: &dyn Fn(usize) -> f32| -> Row {
        std::array::from_fn(|part| Lanes(std::array::from_fn(|lane| of(part * LANES + lane))))
    };
    Transform {
        there: std::array::from_fn(|t| row(&|place| there(t, place))),
        back: std::array::from_fn(|place| row(&|t| back(place, t))),
    }
});

/// What a sample at `t` adds to part `place` of the spectrum.
pub(super) fn there(t: usize, place: usize) -> f32 {
    wave(t, place) as f32
}

/// What part `place` of a spectrum adds to the point in time `t`. A frequency and its mirror image are one part, but for the lowest
/// and the highest.
pub(super) fn back(place: usize, t: usize) -> f32 {
    let images = if place == 0 || place == HIGHEST { 1.0 } else { 2.0 };
    (images / WINDOW as f64 * wave(t, place)) as f32
}

fn wave(t: usize, place: usize) -> f64 {
    let angle = |k: usize| TAU * (k * t % WINDOW) as f64 / WINDOW as f64;
    if place <= HIGHEST {
        angle(place).cos()
    } else {
        -angle(place - HIGHEST).sin()
    }
}

/// Saliency of the newest sample of `window`, oldest first, relative to the samples before it: 0 and more, 1 where it is twice as
/// salient as they are on average.
pub(super) fn saliency(window: &[f32; WINDOW]) -> f32 {
    let (mut newest, mut before) = (0.0, 0.0);
    lanes::run(Map {
        window: &extended(window),
        newest: &mut newest,
        before: &mut before,
    });
    ((newest - before) / before.max(LEAST)).max(0.0)
}

/// The newest samples, and after them the mean of those before the newest. The paper estimates along the slope instead; a spike
/// then goes on, and is none.
pub(super) fn extended(window: &[f32; WINDOW]) -> [f32; WINDOW] {
    let usual = window[WINDOW - 1 - AFTER..WINDOW - 1].iter().sum::<f32>() / AFTER as f32;
    std::array::from_fn(|t| if t <= NEWEST { window[t + AFTER] } else { usual })
}

/// From a window to its saliency map, of which two numbers are needed: the point of the newest sample, and the mean before it.
struct Map<'a> {
    window: &'a [f32; WINDOW],
    newest: &'a mut f32,
    before: &'a mut f32,
}

impl lanes::Kernel for Map<'_> {
    #[inline(always)]
    fn run(self, wide: impl Wide) {
        // The imaginary part of the lowest frequency is nothing; the highest is in its place.
        let [Lanes(real), Lanes(mut imaginary)] = product(wide, &TRANSFORM.there, self.window);
        let highest = std::mem::take(&mut imaginary[0]);
        // The spectrum goes on at both ends as in a mirror.
        let mut amplitudes = [0.0; HIGHEST + 3];
        for (k, amplitude) in amplitudes[1..=HIGHEST].iter_mut().enumerate() {
            *amplitude = real[k].mul_add(real[k], imaginary[k] * imaginary[k]).max(FLOOR).sqrt();
        }
        amplitudes[HIGHEST + 1] = (highest * highest).max(FLOOR).sqrt();
        amplitudes[0] = amplitudes[2];
        amplitudes[HIGHEST + 2] = amplitudes[HIGHEST];
        let mut scales = [0.0; HIGHEST];
        for (k, scale) in scales.iter_mut().enumerate() {
            *scale = inverse_cube_root(amplitudes[k] * amplitudes[k + 1] * amplitudes[k + 2]);
        }
        let [_, .., before, last, after] = amplitudes;
        let mut residual = [0.0; WINDOW];
        for (k, &scale) in scales.iter().enumerate() {
            residual[k] = real[k] * scale;
            residual[HIGHEST + k] = imaginary[k] * scale;
        }
        residual[HIGHEST] = highest * inverse_cube_root(before * last * after);
        let map = product(wide, &TRANSFORM.back, &residual).map(|part| part.map(f32::abs));
        let mut before = Lanes::ZERO;
        for (part, sizes) in map.iter().enumerate() {
            let counts = Lanes(std::array::from_fn(|lane| {
                let counts = (NEWEST - BEFORE..NEWEST).contains(&(part * LANES + lane));
                f32::from(u8::from(counts))
            }));
            add_products(wide, &mut before, sizes, &counts);
        }
        *self.before = total(&before) / BEFORE as f32;
        *self.newest = map[NEWEST / LANES][NEWEST % LANES];
    }
}

/// The sum of all rows, each times its number.
#[inline(always)]
fn product<W: Wide>(wide: W, rows: &[Row; WINDOW], numbers: &[f32; WINDOW]) -> Row {
    // Two chains of sums: each waits for itself alone.
    let zero = wide.splat(0.0);
    let (mut even, mut even_high, mut odd, mut odd_high) = (zero, zero, zero, zero);
    for (rows, numbers) in rows.as_chunks::<2>().0.iter().zip(numbers.as_chunks::<2>().0) {
        let [x, y] = [wide.splat(numbers[0]), wide.splat(numbers[1])];
        even = wide.mul_add(x, wide.load(&rows[0][0]), even);
        even_high = wide.mul_add(x, wide.load(&rows[0][1]), even_high);
        odd = wide.mul_add(y, wide.load(&rows[1][0]), odd);
        odd_high = wide.mul_add(y, wide.load(&rows[1][1]), odd_high);
    }
    let one = wide.splat(1.0);
    [
        wide.store(wide.mul_add(even, one, odd)),
        wide.store(wide.mul_add(even_high, one, odd_high)),
    ]
}

/// `x^(-1/3)` of an ordinary positive number, relative error below 1e-5; without branches or calls.
#[inline(always)]
fn inverse_cube_root(x: f32) -> f32 {
    // The bits of a float are nearly its logarithm; Newton does the rest.
    let mut y = f32::from_bits(0x54A2_3D4A_u32.wrapping_sub(x.to_bits() / 3));
    for _ in 0..3 {
        y *= (4.0 / 3.0_f32) - x * y * y * y * (1.0 / 3.0);
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same by its definition, in double precision.
    fn by_definition(window: &[f32; WINDOW]) -> f64 {
        let window = extended(window).map(f64::from);
        let n = WINDOW as f64;
        let spectrum: Vec<(f64, f64)> = (0..WINDOW)
            .map(|k| {
                let turn = |t: usize| TAU * (k * t) as f64 / n;
                let re = window.iter().enumerate().map(|(t, x)| x * turn(t).cos()).sum();
                let im = window.iter().enumerate().map(|(t, x)| -x * turn(t).sin()).sum();
                (re, im)
            })
            .collect();
        let log: Vec<f64> = spectrum
            .iter()
            .map(|(re, im)| 0.5 * (re * re + im * im).max(f64::from(FLOOR)).ln())
            .collect();
        let residual = |k: usize| log[k] - (log[(k + WINDOW - 1) % WINDOW] + log[k] + log[(k + 1) % WINDOW]) / 3.0;
        let map: Vec<f64> = (0..WINDOW)
            .map(|t| {
                let sum: (f64, f64) = (0..WINDOW).fold((0.0, 0.0), |sum, k| {
                    let (re, im) = spectrum[k];
                    let scale = residual(k).exp() / log[k].exp();
                    let turn = TAU * (k * t) as f64 / n;
                    (
                        sum.0 + scale * (re * turn.cos() - im * turn.sin()),
                        sum.1 + scale * (re * turn.sin() + im * turn.cos()),
                    )
                });
                sum.0.hypot(sum.1) / n
            })
            .collect();
        let before = map[NEWEST - BEFORE..NEWEST].iter().sum::<f64>() / BEFORE as f64;
        ((map[NEWEST] - before) / before.max(f64::from(LEAST))).max(0.0)
    }

    #[test]
    fn roots_are_close() {
        for x in [1e-9_f32, 1e-6, 1e-3, 0.5, 1.0, 7.0, 1e4, 1e9, 1e18] {
            let exact = f64::from(x).cbrt().recip();
            let found = f64::from(inverse_cube_root(x));
            assert!((found / exact - 1.0).abs() < 1e-5, "{x}: {found} and {exact}");
        }
    }

    #[test]
    fn what_stands_out_is_salient_and_what_repeats_is_not() {
        let wave: [f32; WINDOW] = std::array::from_fn(|t| (t as f32 * 0.9).sin() + 0.1 * ((t * t) % 7) as f32);
        let mut spike = wave;
        spike[WINDOW - 1] += 4.0;
        assert!(saliency(&spike) > 3.0, "{}", saliency(&spike));
        assert!(saliency(&wave) < 1.5, "{}", saliency(&wave));
        assert!(saliency(&[0.0; WINDOW]) < 1e-6);
        assert!(saliency(&[3.0; WINDOW]).is_finite());
    }

    proptest! {
        #[test]
        fn it_is_what_the_paper_says(window in prop::collection::vec(-9.3_f32..9.3, WINDOW)) {
            let window: [f32; WINDOW] = window.try_into().unwrap();
            let (found, exact) = (f64::from(saliency(&window)), by_definition(&window));
            prop_assert!((found - exact).abs() < 1e-3 * exact.max(1.0), "{} and {}", found, exact);
        }

        #[test]
        fn nothing_but_numbers_comes_out(window in prop::collection::vec(-1e4_f32..1e4, WINDOW)) {
            let window: [f32; WINDOW] = window.try_into().unwrap();
            prop_assert!(saliency(&window).is_finite() && saliency(&window) >= 0.0);
        }
    }
}
