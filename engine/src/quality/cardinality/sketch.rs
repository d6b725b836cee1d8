//! HyperLogLog: how many distinct values there were, within a few percent, in 256 bytes.
//!
//! Flajolet, Fusy, Gandouet, Meunier: HyperLogLog (2007), with linear counting for few values. Hashes have 64 bits, so large
//! numbers need no correction.

use xxhash_rust::xxh3::xxh3_64;

const INDEX_BITS: u32 = 8;
const REGISTERS: usize = 1 << INDEX_BITS;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Sketch(Box<[u8; REGISTERS]>);

impl Default for Sketch {
    fn default() -> Self {
        Self(Box::new([0; REGISTERS]))
    }
}

impl Sketch {
    /// Takes in a value.
    pub(super) fn add(&mut self, value: &[u8]) {
        let hash = xxh3_64(value);
        let place = (hash >> (64 - INDEX_BITS)) as usize;
        // One more than the zeros before the first one, of the bits that are left.
        let rank = ((hash << INDEX_BITS) | (1 << (INDEX_BITS - 1))).leading_zeros() as u8 + 1;
        self.0[place] = self.0[place].max(rank);
    }

    /// About how many distinct values were added.
    pub(super) fn estimate(&self) -> u64 {
        let m = REGISTERS as f64;
        let sum: f64 = self.0.iter().map(|rank| (-f64::from(*rank)).exp2()).sum();
        let alpha = 0.7213 / (1.0 + 1.079 / m);
        let raw = alpha * m * m / sum;
        let empty = self.0.iter().filter(|rank| **rank == 0).count();
        let estimate = if raw <= 2.5 * m && empty > 0 {
            m * (m / empty as f64).ln()
        } else {
            raw
        };
        estimate.round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_within_four_standard_errors() {
        // 1.04 / sqrt(256) = 6.5 %.
        for count in [0u64, 1, 7, 100, 500, 1000, 20_000, 300_000] {
            let mut sketch = Sketch::default();
            for value in 0..count {
                for _ in 0..2 {
                    sketch.add(format!("user-{value}").as_bytes());
                }
            }
            let error = sketch.estimate().abs_diff(count) as f64;
            assert!(error <= 0.26 * count as f64, "{count}: {}", sketch.estimate());
        }
    }
}
