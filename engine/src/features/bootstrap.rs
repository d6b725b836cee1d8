//! A better start from history.

use super::{Baselines, Residual};
use wire::Timestamp;

impl Baselines {
    /// Learns `history` as if it had been observed, from a robust batch estimate of the long-term level, and hands every
    /// residual to `each`: they are out of sample, so tails may be calibrated on them. Rows are sorted first; of rows with
    /// one timestamp the first counts. O(n log n).
    pub fn bootstrap(
        &mut self,
        slot: usize,
        history: &[(Timestamp, f64)],
        mut each: impl FnMut(Timestamp, f64, &Residual),
    ) {
        let mut rows: Vec<(Timestamp, f64)> = history.iter().copied().filter(|row| row.1.is_finite()).collect();
        rows.sort_by_key(|row| row.0);
        let Some((level, error)) = level_and_error(&rows) else {
            return;
        };
        let mut seeded = self.seen(slot) > super::WARM_UP as u64;
        for (at, value) in rows {
            if !seeded && self.seen(slot) == super::WARM_UP as u64 {
                self.seed_slow(slot, level, error);
                seeded = true;
            }
            if let Some(residual) = self.observe(slot, at, value) {
                each(at, value, &residual);
            }
        }
    }
}

/// Median and mean absolute deviation with the outermost tenth cut off.
fn level_and_error(rows: &[(Timestamp, f64)]) -> Option<(f64, f64)> {
    let mut values: Vec<f64> = rows.iter().map(|row| row.1.clamp(-1e290, 1e290)).collect();
    values.sort_by(f64::total_cmp);
    let level = *values.get(values.len() / 2)?;
    let mut deviations: Vec<f64> = values.iter().map(|v| (v - level).abs()).collect();
    deviations.sort_by(f64::total_cmp);
    let kept = &deviations[..(deviations.len() * 9).div_ceil(10)];
    let n = kept.len().max(1) as f64;
    // Cutting a tenth of a normal's deviations makes their mean a quarter too small.
    Some((level, 1.28 * kept.iter().map(|d| d / n).sum::<f64>()))
}
