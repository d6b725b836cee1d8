//! The score of the Numenta Anomaly Benchmark, v1.1.
//!
//! A labelled window earns up to +1 by its best flagged row, early rows earning more (scaled sigmoid); a missed window
//! costs the profile's weight; every flagged row outside costs up to `false_positive`, less when it only just follows a
//! window. The first 15 % of a file (at most 750 rows) are probation and count for nothing. Lavin & Ahmad, ICMLA 2015.

use super::ranking::key;

/// Weights of one application profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    pub name: &'static str,
    pub true_positive: f64,
    pub false_positive: f64,
    pub false_negative: f64,
}

/// The profile that scoreboards quote first.
pub const STANDARD: Profile = Profile {
    name: "standard",
    true_positive: 1.0,
    false_positive: 0.11,
    false_negative: 1.0,
};

/// Twice the cost of a false positive.
pub const LOW_FALSE_POSITIVE: Profile = Profile {
    name: "reward_low_FP_rate",
    true_positive: 1.0,
    false_positive: 0.22,
    false_negative: 1.0,
};

/// One file of the corpus.
#[derive(Clone, Debug)]
pub struct File {
    /// One score a row; a row is flagged when its score reaches the threshold. NaN is never flagged.
    pub scores: Vec<f64>,
    /// Labelled windows as row indices, both inclusive, in order, not overlapping.
    pub windows: Vec<(usize, usize)>,
}

/// Rows of a file of `rows` rows that count for nothing.
pub fn probation(rows: usize) -> usize {
    ((rows as f64 * 0.15) as usize).min(750)
}

/// Score of `files` at one threshold for all, 0 for a detector that never flags and 100 for a perfect one; it can be
/// negative. `None` without a window. O(rows).
pub fn score_at(files: &[File], threshold: f64, profile: &Profile) -> Option<f64> {
    let raw: f64 = files.iter().map(|file| raw_at(file, threshold, profile)).sum();
    normalize(raw, files, profile)
}

/// The best threshold for the whole corpus and its score, as NAB's own optimiser picks it: on the labels. `None` without
/// a window. O(rows log rows).
pub fn best_threshold(files: &[File], profile: &Profile) -> Option<(f64, f64)> {
    let mut steps: Vec<(f64, f64)> = files.iter().flat_map(|file| steps(file, profile)).collect();
    steps.sort_by(|a, b| b.0.total_cmp(&a.0));
    let windows: usize = files.iter().map(scored_windows).sum();
    let mut raw = -(windows as f64) * profile.false_negative;
    // Above every score: nothing is flagged.
    let mut best = (f64::INFINITY, raw);
    for (i, &(threshold, gain)) in steps.iter().enumerate() {
        raw += gain;
        let last_of_ties = steps.get(i + 1).is_none_or(|next| next.0 < threshold);
        if last_of_ties && raw > best.1 {
            best = (threshold, raw);
        }
    }
    normalize(best.1, files, profile).map(|score| (best.0, score))
}

fn normalize(raw: f64, files: &[File], profile: &Profile) -> Option<f64> {
    let windows: usize = files.iter().map(scored_windows).sum();
    if windows == 0 {
        return None;
    }
    let null = -(windows as f64) * profile.false_negative;
    let perfect = windows as f64 * profile.true_positive;
    Some(100.0 * (raw - null) / (perfect - null))
}

/// Windows that reach past the probation.
fn scored_windows(file: &File) -> usize {
    let start = probation(file.scores.len());
    file.windows.iter().filter(|window| window.1 >= start).count()
}

fn raw_at(file: &File, threshold: f64, profile: &Profile) -> f64 {
    let null = -(scored_windows(file) as f64) * profile.false_negative;
    let gains = steps(file, profile).into_iter().filter(|step| step.0 >= threshold);
    null + gains.map(|step| step.1).sum::<f64>()
}

/// How the raw score of a file changes when the threshold falls to a row's score: (score, change) by falling score.
fn steps(file: &File, profile: &Profile) -> Vec<(f64, f64)> {
    let values = row_values(file, profile);
    let start = probation(file.scores.len());
    let mut rows: Vec<usize> = (start..file.scores.len())
        .filter(|&i| !file.scores[i].is_nan())
        .collect();
    rows.sort_by(|&a, &b| key(file.scores[b]).total_cmp(&key(file.scores[a])));
    let mut window_best = vec![-profile.false_negative; file.windows.len()];
    rows.into_iter()
        .map(|i| {
            let (value, window) = values[i];
            let gain = match window {
                None => value,
                Some(w) => {
                    let before = window_best[w];
                    window_best[w] = before.max(value);
                    window_best[w] - before
                }
            };
            (key(file.scores[i]), gain)
        })
        .collect()
}

/// What flagging each row is worth, and the window it lies in.
fn row_values(file: &File, profile: &Profile) -> Vec<(f64, Option<usize>)> {
    let earliest = scaled_sigmoid(-1.0);
    let mut next = 0;
    (0..file.scores.len())
        .map(|i| {
            while file.windows.get(next).is_some_and(|window| window.1 < i) {
                next += 1;
            }
            match file.windows.get(next) {
                Some(&(from, to)) if from <= i => {
                    let position = -((to - i + 1) as f64) / (to - from + 1) as f64;
                    (scaled_sigmoid(position) * profile.true_positive / earliest, Some(next))
                }
                _ => {
                    let past = next.checked_sub(1).map(|w| file.windows[w]);
                    let position = past.map_or(3.0, |(from, to)| (i - to) as f64 / (to - from).max(1) as f64);
                    (scaled_sigmoid(position) * profile.false_positive, None)
                }
            }
        })
        .collect()
}

/// +0.987 at -1 (left edge of a window), 0 at its right edge, -1 far behind it.
fn scaled_sigmoid(position: f64) -> f64 {
    if position >= 3.0 {
        -1.0
    } else {
        2.0 / (1.0 + (5.0 * position).exp()) - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::volume::tests::oracle_case;
    use super::*;

    fn case() -> File {
        File {
            scores: oracle_case().0,
            windows: vec![(150, 200), (300, 340)],
        }
    }

    #[track_caller]
    fn check(profile: &Profile, threshold: f64, raw: f64) {
        let got = raw_at(&case(), threshold, profile);
        assert!((got - raw).abs() < 1e-9, "{} {threshold}: {got} != {raw}", profile.name);
    }

    #[test]
    fn agrees_with_nab() {
        // Numbers from `oracle.py`.
        check(&STANDARD, 0.7, -1.673_852_906_776_501_8);
        check(&STANDARD, 0.9, -2.11);
        check(&STANDARD, 0.97, -2.0);
        check(&LOW_FALSE_POSITIVE, 0.7, -5.344_572_235_119_525);
        check(&LOW_FALSE_POSITIVE, 0.9, -2.22);
        for (profile, threshold, raw) in [
            (&STANDARD, 0.72, -0.297_752_105_498_257_9),
            (&LOW_FALSE_POSITIVE, 0.88, -0.661_746_373_287_797_1),
        ] {
            let best = best_threshold(&[case()], profile).expect("has windows");
            assert!((best.0 - threshold).abs() < 1e-12, "{best:?}");
            check(profile, threshold, raw);
        }
    }

    #[test]
    fn null_is_zero_and_perfect_is_a_hundred() {
        let windows = vec![(200, 299), (500, 599)];
        let mut scores = vec![0.0; 1000];
        let silent = File {
            scores: scores.clone(),
            windows: windows.clone(),
        };
        assert_eq!(score_at(&[silent], 0.5, &STANDARD), Some(0.0));
        scores[200] = 1.0;
        scores[500] = 1.0;
        let perfect = File { scores, windows };
        let score = score_at(std::slice::from_ref(&perfect), 0.5, &STANDARD).expect("has windows");
        assert!((score - 100.0).abs() < 1e-9);
        assert_eq!(best_threshold(&[perfect], &STANDARD).map(|b| b.0), Some(1.0));
        assert_eq!(score_at(&[], 0.5, &STANDARD), None);
    }

    #[test]
    fn probation_is_fifteen_percent_up_to_750_rows() {
        assert_eq!(probation(100), 15);
        assert_eq!(probation(4032), 604);
        assert_eq!(probation(22_695), 750);
    }
}
