//! Numbers about what the baseline could not explain.

/// How many residual features a sample has.
pub const FEATURES: usize = 8;
/// z-scores beyond this are all the same to a model.
pub(crate) const Z_MAX: f32 = 1e4;
/// Weight of the newest sample in the local statistics: about eight samples of memory.
pub(crate) const LOCAL: f32 = 1.0 / 8.0;
/// What a CUSUM forgives a sample, in standard deviations: half the shift it is to find.
pub(crate) const CUSUM_SLACK: f32 = 0.5;
pub(crate) const CUSUM_MAX: f32 = 100.0;

/// What one sample looks like beside its baseline. All z-scores are turned by the series' polarity: what hurts is positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Residual {
    /// Expected value.
    pub mean: f64,
    /// Robust standard deviation of the one-step error, > 0.
    pub scale: f64,
    /// Deviation from the one-step forecast.
    pub fast: f32,
    /// Deviation from the long-term level of this time of day, in long-term standard deviations.
    pub slow: f32,
    /// For the forest, each compressed by [`compress`]: deviation, difference, local mean shift, local variance ratio, slope,
    /// CUSUM up, CUSUM down, long-term deviation.
    pub features: [f32; FEATURES],
}

/// Signed logarithm: keeps order and sign, tames tails. Shape: one number in, one out.
#[inline]
pub fn compress(x: f32) -> f32 {
    x.abs().ln_1p().copysign(x)
}

/// Bounds a z-score; a NaN becomes 0.
#[inline]
pub(super) fn bounded(z: f64) -> f32 {
    if z.is_nan() {
        return 0.0;
    }
    (z as f32).clamp(-Z_MAX, Z_MAX)
}

/// Running local statistics of one series' z-scores.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Local {
    pub(super) mean: f32,
    pub(super) square: f32,
    pub(super) slope: f32,
    pub(super) up: f32,
    pub(super) down: f32,
}

impl Local {
    pub(super) const QUIET: Self = Self {
        mean: 0.0,
        square: 1.0,
        slope: 0.0,
        up: 0.0,
        down: 0.0,
    };

    /// Takes in the z-scores of one sample and returns its features.
    #[inline]
    pub(super) fn observe(&mut self, fast: f32, difference: f32, slow: f32) -> [f32; FEATURES] {
        // Clipped: one wild sample is seen in the first feature and must not colour the next twenty.
        let z = fast.clamp(-10.0, 10.0);
        self.mean += LOCAL * (z - self.mean);
        self.square += LOCAL * (z * z - self.square);
        self.slope += LOCAL * (difference.clamp(-10.0, 10.0) - self.slope);
        self.up = (self.up * 0.98 + z - CUSUM_SLACK).clamp(0.0, CUSUM_MAX);
        self.down = (self.down * 0.98 - z - CUSUM_SLACK).clamp(0.0, CUSUM_MAX);
        [
            compress(fast),
            compress(difference),
            compress(4.0 * self.mean),
            (self.square + 0.05).ln(),
            compress(4.0 * self.slope),
            compress(self.up),
            compress(self.down),
            compress(slow),
        ]
    }
}
