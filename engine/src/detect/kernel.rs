//! Elementary functions that vectorise: no branches, no calls. Every multiplication that feeds an addition is fused, by name:
//! all machines round alike, so they give the same bits; one without the instruction is slow, not different.

/// Windows side by side: one AVX-512 register of single precision.
pub(super) const LANES: usize = 16;
pub(super) type Lanes = [f32; LANES];

/// `e^x` for `x` in -80..80, relative error below 1e-6.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-80.0, 80.0);
    let rounded = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    // ln 2 in two parts, so that the remainder keeps its low bits.
    let r = n.mul_add(2.121_944_4e-4, n.mul_add(-0.693_359_4, x));
    let mut p = 1.987_569_1e-4_f32;
    p = p.mul_add(r, 1.398_199_9e-3);
    p = p.mul_add(r, 8.333_452e-3);
    p = p.mul_add(r, 4.166_579_6e-2);
    p = p.mul_add(r, 1.666_666_5e-1);
    p = p.mul_add(r, 0.5);
    let e = (p * r).mul_add(r, r) + 1.0;
    // The low bits of the rounded number are n itself: shifted into the exponent they make 2^n without a conversion.
    e * f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23))
}

/// Logistic function.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent, absolute error below 1e-6.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    2.0 / (1.0 + exp(-2.0 * x)) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_to_the_exact_functions_everywhere() {
        for i in -4000..4000 {
            let x = i as f32 * 0.01;
            assert!((tanh(x) - x.tanh()).abs() < 1e-6, "tanh {x}");
            let exact = 1.0 / (1.0 + f64::from(-x).exp());
            assert!((f64::from(sigmoid(x)) - exact).abs() < 1e-6, "sigmoid {x}");
        }
        for x in [f32::MAX, f32::MIN, 1e10, -1e10] {
            assert!(tanh(x).abs() <= 1.0 && sigmoid(x) >= 0.0 && sigmoid(x) <= 1.0);
        }
    }
}
