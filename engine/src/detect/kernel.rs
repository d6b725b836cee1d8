//! Elementary functions that vectorise: no branches, no calls. Every multiplication that feeds an addition is fused, by name:
//! all machines round alike, so they give the same bits; one without the instruction is slow, not different.

use std::f32::consts::{LN_2, LOG2_E};

/// `2^y` with `y` brought into -40..40, relative error below 1e-6. The product of three of these is finite.
#[inline(always)]
fn exp2(y: f32) -> f32 {
    /// Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let y = y.clamp(-40.0, 40.0);
    let rounded = y + ROUND;
    let r = y - (rounded - ROUND);
    // Minimax for the relative error on -0.5..0.5.
    let mut p = 1.326_472_7e-3_f32;
    p = p.mul_add(r, 9.671_513e-3);
    p = p.mul_add(r, 5.550_733_6e-2);
    p = p.mul_add(r, 2.402_224_3e-1);
    p = p.mul_add(r, LN_2);
    let e = p.mul_add(r, 1.0);
    // The low bits of the rounded number are the integer part itself: added to the exponent they multiply by its power of 2.
    f32::from_bits(e.to_bits().wrapping_add(rounded.to_bits() << 23))
}

/// Hyperbolic tangent, absolute error below 1e-6.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    2.0 / (1.0 + exp2(x * (-2.0 * LOG2_E))) - 1.0
}

/// `1 / (1 + e^-x)`, absolute error below 1e-6.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp2(-LOG2_E * x))
}

/// The cell of an LSTM: from the sums at its gates (input, forget, update, output) and its memory to memory and output, which are
/// `sigmoid(forget) * memory + sigmoid(input) * tanh(update)` and `sigmoid(output) * tanh(memory)`, absolute error below
/// 1e-5. Divisions are dear, so each of the two shares one.
#[inline(always)]
pub(super) fn cell([input, forget, update, output]: [f32; 4], memory: f32) -> (f32, f32) {
    let input = 1.0 + exp2(-LOG2_E * input);
    let forget = 1.0 + exp2(-LOG2_E * forget);
    let update = exp2(-2.0 * LOG2_E * update);
    let output = 1.0 + exp2(-LOG2_E * output);
    let of_update = input * (1.0 + update);
    let memory = memory.mul_add(of_update, (1.0 - update) * forget) / (forget * of_update);
    let squashed = exp2(-2.0 * LOG2_E * memory);
    (memory, (1.0 - squashed) / (output * (1.0 + squashed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_to_the_exact_functions_everywhere() {
        for i in -4000..4000 {
            let x = i as f32 * 0.01;
            assert!((tanh(x) - x.tanh()).abs() < 1e-6, "tanh {x}");
            assert!((sigmoid(x) - 1.0 / (1.0 + (-x).exp())).abs() < 1e-6, "sigmoid {x}");
            let exact = f64::from(x).exp2();
            assert!((f64::from(exp2(x)) / exact - 1.0).abs() < 1e-6, "exp2 {x}");
        }
        for x in [f32::MAX, f32::MIN, 1e10, -1e10] {
            assert!(tanh(x).abs() <= 1.0);
        }
    }

    #[test]
    fn a_cell_is_what_its_definition_says() {
        let sigmoid = |x: f32| 1.0 / (1.0 + (-f64::from(x)).exp());
        let sums = [-1e30, -90.0, -30.0, -7.3, -0.4, 0.0, 0.9, 3.3, 12.0, 41.0, 1e30];
        for input in sums {
            for forget in sums {
                for update in sums {
                    for output in sums {
                        for memory in [-31.0, -1.2, 0.0, 0.3, 31.0] {
                            let (kept, out) = cell([input, forget, update, output], memory);
                            let exact = sigmoid(forget) * f64::from(memory) + sigmoid(input) * f64::from(update).tanh();
                            assert!(
                                (f64::from(kept) - exact).abs() < 1e-5,
                                "{input} {forget} {update} {memory}"
                            );
                            let exact = sigmoid(output) * exact.tanh();
                            assert!((f64::from(out) - exact).abs() < 1e-5, "{output} {kept}");
                        }
                    }
                }
            }
        }
    }
}
