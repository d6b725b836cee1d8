//! One candidate forecaster: a level that follows the samples, and how far off it was lately.

use super::{CLIP, ERROR_MEMORY, OUTLIER, TO_SIGMA};

/// Level and recent error of one candidate forecaster. A negative error: its season is not known yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tracker {
    pub(super) level: f64,
    pub(super) error: f64,
}

impl Tracker {
    pub(super) fn learn(&mut self, r: f64, gain: f64, floor: f64, relearning: bool, seen: u64) {
        let scale = (TO_SIGMA * self.error).max(floor);
        let far = r.abs() > OUTLIER * scale;
        if relearning {
            self.level += gain.max(0.25) * r;
        } else {
            let pull = if far { scale } else { CLIP * scale };
            self.level += gain * r.clamp(-pull, pull);
        }
        let memory = ERROR_MEMORY.min(seen as f64 + 1.0);
        // Outliers teach the spread slowly: an incident must not blind the series, real bursts must count in the end.
        let weight = if far && !relearning { 0.25 } else { 1.0 };
        self.error += weight / memory * (r.abs().min(4.0 * scale) - self.error);
    }
}
