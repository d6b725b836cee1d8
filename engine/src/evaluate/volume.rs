//! Volume under the range-precision-recall surface (VUS-PR).
//!
//! Paparrizos et al., "Volume Under the Surface", VLDB 2022, in the form that TSB-AD (NeurIPS 2024) publishes its numbers
//! with: buffer lengths 0..=L, 250 thresholds at evenly spaced ranks, square-root slopes beside each labelled range.

use super::ranking::{descending, key};

/// Thresholds per buffer length, as in TSB-AD.
const THRESHOLDS: usize = 250;

/// VUS-PR of `scores` against `labels`, averaged over the buffer lengths `0..=buffer` (in samples).
///
/// 0..=1. `None` when there is no labelled range or the lengths differ. O(n log n + buffer * n).
pub fn vus_pr(scores: &[f64], labels: &[bool], buffer: usize) -> Option<f64> {
    let ranges = ranges(labels);
    if ranges.is_empty() || scores.len() != labels.len() {
        return None;
    }
    let surface = Surface::new(scores, labels, ranges);
    let sum: f64 = (0..=buffer).map(|length| surface.range_auc_pr(length)).sum();
    Some(sum / (buffer + 1) as f64)
}

/// The buffer length that TSB-AD uses for a series: the lag (3..=303) of the highest local maximum of its
/// autocorrelation, 125 if there is none. Looks at the first 20,000 values; NaN counts as the mean. O(400 n).
pub fn season_buffer(values: &[f64]) -> usize {
    const NONE: usize = 125;
    const BASE: usize = 3;
    let values = &values[..values.len().min(20_000)];
    let finite = values.iter().filter(|v| v.is_finite());
    let count = finite.clone().count();
    if count < BASE + 2 {
        return NONE;
    }
    let mean = finite.sum::<f64>() / count as f64;
    let centered: Vec<f64> = values
        .iter()
        .map(|v| if v.is_finite() { v - mean } else { 0.0 })
        .collect();
    let variance: f64 = centered.iter().map(|v| v * v).sum();
    if variance <= 0.0 {
        return NONE;
    }
    let correlation: Vec<f64> = (BASE..=400.min(values.len() - 1))
        .map(|lag| {
            let products = centered[lag..].iter().zip(&centered).map(|(a, b)| a * b);
            products.sum::<f64>() / variance
        })
        .collect();
    let best = (1..correlation.len().saturating_sub(1))
        .filter(|&i| correlation[i] > correlation[i - 1] && correlation[i] > correlation[i + 1])
        // Ties: `numpy.argsort(..)[::-1]` takes the last.
        .max_by(|&a, &b| correlation[a].total_cmp(&correlation[b]));
    match best {
        Some(lag) if (3..=300).contains(&lag) => lag + BASE,
        _ => NONE,
    }
}

/// What does not depend on the buffer length.
struct Surface {
    /// Indices by falling score.
    order: Vec<usize>,
    labels: Vec<bool>,
    scores: Vec<f64>,
    ranges: Vec<(usize, usize)>,
    positives: f64,
    /// Per threshold: its value and how many samples reach it.
    thresholds: Vec<(f64, usize)>,
}

impl Surface {
    fn new(scores: &[f64], labels: &[bool], ranges: Vec<(usize, usize)>) -> Self {
        let scores: Vec<f64> = scores.iter().map(|s| key(*s)).collect();
        let order = descending(&scores);
        let n = order.len();
        let thresholds = (0..THRESHOLDS)
            .map(|k| {
                // numpy.linspace(0, n - 1, 250).astype(int)
                let rank = ((n - 1) as f64 * k as f64 / (THRESHOLDS - 1) as f64) as usize;
                let value = scores[order[rank]];
                let reached = order.partition_point(|&i| scores[i] >= value);
                (value, reached)
            })
            .collect();
        Self {
            positives: labels.iter().filter(|l| **l).count() as f64,
            order,
            labels: labels.to_vec(),
            scores,
            ranges,
            thresholds,
        }
    }

    /// Area under range-precision over range-recall for one buffer length.
    fn range_auc_pr(&self, length: usize) -> f64 {
        let soft = self.soften(length);
        let buffered = buffered(&self.ranges, length / 2, self.labels.len());
        let mut peaks: Vec<f64> = buffered
            .iter()
            .map(|&(from, to)| self.scores[from..=to].iter().copied().fold(f64::NEG_INFINITY, f64::max))
            .collect();
        peaks.sort_by(f64::total_cmp);

        let (mut area, mut recall_before) = (0.0, 0.0);
        let (mut rank, mut inside, mut sharp) = (0, 0.0, 0.0);
        for &(threshold, reached) in &self.thresholds {
            for &i in &self.order[rank..reached.max(rank)] {
                inside += soft[i];
                sharp += f64::from(u8::from(self.labels[i]));
            }
            rank = rank.max(reached);
            // Half of the labelled mass plus half of what the buffer adds: recall is neither punished nor given away.
            let mass = (self.positives + self.positives + inside - sharp) / 2.0;
            let found = peaks.len() - peaks.partition_point(|peak| *peak < threshold);
            let recall = (inside / mass).min(1.0) * found as f64 / buffered.len() as f64;
            let precision = inside / reached as f64;
            area += (recall - recall_before) * precision;
            recall_before = recall;
        }
        area
    }

    /// Labels with square-root slopes of `length / 2` samples on both sides, capped at 1.
    fn soften(&self, length: usize) -> Vec<f64> {
        let mut soft: Vec<f64> = self.labels.iter().map(|l| f64::from(u8::from(*l))).collect();
        let (half, n) = (length / 2, soft.len());
        for &(start, end) in &self.ranges {
            let slope = |distance: usize| (1.0 - distance as f64 / length as f64).sqrt();
            let after = soft[(end + 1).min(n)..(end + half + 1).min(n)].iter_mut();
            for (distance, value) in (1..).zip(after) {
                *value += slope(distance);
            }
            let before = soft[start.saturating_sub(half)..start].iter_mut().rev();
            for (distance, value) in (1..).zip(before) {
                *value += slope(distance);
            }
        }
        for value in &mut soft {
            *value = value.min(1.0);
        }
        soft
    }
}

/// Runs of `true`, both ends inclusive.
fn ranges(labels: &[bool]) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (i, _) in labels.iter().enumerate().filter(|(_, label)| **label) {
        match found.last_mut() {
            Some(last) if last.1 + 1 == i => last.1 = i,
            _ => found.push((i, i)),
        }
    }
    found
}

/// Ranges widened by `half` on both sides, merged where they meet.
fn buffered(ranges: &[(usize, usize)], half: usize, n: usize) -> Vec<(usize, usize)> {
    let mut merged: Vec<(usize, usize)> = Vec::new();
    let mut last_end = None::<usize>;
    for &(start, end) in ranges {
        let (from, to) = (start.saturating_sub(half), (end + half).min(n - 1));
        match (merged.last_mut(), last_end) {
            (Some(last), Some(previous)) if previous + half >= start.saturating_sub(half) => last.1 = to,
            _ => merged.push((from, to)),
        }
        last_end = Some(end);
    }
    merged
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The input of `oracle.py`: 600 scores from a congruential generator, three ranges, one at the very end.
    pub(in super::super) fn oracle_case() -> (Vec<f64>, Vec<bool>) {
        let mut state: u64 = 12_345;
        let mut labels = vec![false; 600];
        for (from, to) in [(60, 90), (300, 304), (580, 599)] {
            labels[from..=to].fill(true);
        }
        let scores = (0..600usize)
            .map(|i| {
                state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
                let noise = (state >> 16) as f64 / 32_768.0;
                let near = labels[i.saturating_sub(4)..=i].iter().any(|l| *l);
                // Two decimals: ties matter.
                ((if near { 0.4 + 0.6 * noise } else { 0.75 * noise }) * 100.0).floor() / 100.0
            })
            .collect();
        (scores, labels)
    }

    #[track_caller]
    fn check(buffer: usize, expected: f64) {
        let (scores, labels) = oracle_case();
        let got = vus_pr(&scores, &labels, buffer).expect("has labels");
        assert!((got - expected).abs() < 1e-9, "buffer {buffer}: {got} != {expected}");
    }

    #[test]
    fn agrees_with_tsb_ad() {
        check(0, 0.516_011_197_559_143_6);
        check(1, 0.516_011_197_559_143_6);
        check(20, 0.571_037_049_109_901_6);
        check(100, 0.666_738_832_202_260_4);
        check(300, 0.823_074_515_798_597_9);
    }

    #[test]
    fn the_season_is_found_as_tsb_ad_finds_it() {
        let wave = |period: f64| -> Vec<f64> {
            (0..1500)
                .map(|i| (f64::from(i) * std::f64::consts::TAU / period).sin() + 0.1 * (f64::from(i) * 0.7).cos())
                .collect()
        };
        assert_eq!(season_buffer(&wave(24.0)), 24);
        // The nine-sample ripple wins: its first peak lies at lag 8 or 9 on the slow wave's shoulder.
        assert_eq!(season_buffer(&wave(288.0)), 8);
        assert_eq!(season_buffer(&[1.0; 500]), 125);
        assert_eq!(season_buffer(&[]), 125);
    }

    #[test]
    fn a_perfect_score_is_near_one_and_a_constant_near_the_share_of_positives() {
        let (_, labels) = oracle_case();
        let perfect: Vec<f64> = labels.iter().map(|l| f64::from(u8::from(*l))).collect();
        assert!(vus_pr(&perfect, &labels, 0).expect("has labels") > 0.999);
        let flat = vus_pr(&vec![0.5; labels.len()], &labels, 0).expect("has labels");
        assert!((flat - 56.0 / 600.0).abs() < 1e-9, "{flat}");
        assert_eq!(vus_pr(&[0.1; 5], &[false; 5], 10), None);
    }
}
