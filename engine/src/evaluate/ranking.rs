//! Area under the precision-recall curve.

/// Average precision of `scores` for the positives in `labels`: the sum over distinct thresholds of
/// (recall gained) x (precision there), ties taken together. This is scikit-learn's `average_precision_score`.
///
/// 0..=1; the share of positives is what a random score reaches. `None` when there is no positive or the lengths differ.
/// NaN scores rank last. O(n log n).
pub fn average_precision(scores: &[f64], labels: &[bool]) -> Option<f64> {
    let positives = labels.iter().filter(|label| **label).count();
    if positives == 0 || scores.len() != labels.len() {
        return None;
    }
    let order = descending(scores);
    let mut area = 0.0;
    let (mut hits, mut hits_before) = (0usize, 0usize);
    for (rank, &i) in order.iter().enumerate() {
        hits += usize::from(labels[i]);
        let tied = order
            .get(rank + 1)
            .is_some_and(|&next| key(scores[next]).total_cmp(&key(scores[i])).is_eq());
        if !tied {
            area += (hits - hits_before) as f64 * hits as f64 / (rank + 1) as f64;
            hits_before = hits;
        }
    }
    Some(area / positives as f64)
}

/// Indices by falling score; equal scores in order of index.
pub(super) fn descending(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| key(scores[b]).total_cmp(&key(scores[a])));
    order
}

/// NaN below everything; -0.0 equals 0.0.
pub(super) fn key(score: f64) -> f64 {
    if score.is_nan() { f64::NEG_INFINITY } else { score + 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::volume::tests::oracle_case;
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(scores: &[f64], labels: &[u8], expected: f64) {
        let labels: Vec<bool> = labels.iter().map(|l| *l == 1).collect();
        let got = average_precision(scores, &labels).expect("has positives");
        assert!((got - expected).abs() < 1e-9, "{got} != {expected}");
    }

    #[test]
    fn agrees_with_scikit_learn() {
        // sklearn.metrics.average_precision_score
        check(&[0.1, 0.4, 0.35, 0.8], &[0, 0, 1, 1], 0.833_333_333_333_333_3);
        check(&[0.5, 0.5, 0.5, 0.5], &[0, 1, 0, 1], 0.5);
        check(&[0.9, 0.8, 0.8, 0.1], &[1, 0, 1, 1], 0.805_555_555_555_555_5);
        let (scores, labels) = oracle_case();
        let got = average_precision(&scores, &labels).expect("has positives");
        assert!((got - 0.523_062_803_296_492_2).abs() < 1e-9, "{got}");
    }

    #[test]
    fn nothing_to_find_is_no_score() {
        assert_eq!(average_precision(&[0.1, 0.2], &[false, false]), None);
        assert_eq!(average_precision(&[], &[]), None);
        assert_eq!(average_precision(&[0.1], &[true, false]), None);
    }

    proptest! {
        #[test]
        fn a_monotone_change_of_scale_changes_nothing(
            rows in proptest::collection::vec((0u32..50, any::<bool>()), 2..200)
        ) {
            let scores: Vec<f64> = rows.iter().map(|r| f64::from(r.0)).collect();
            let scaled: Vec<f64> = scores.iter().map(|s| (s / 7.0).exp()).collect();
            let labels: Vec<bool> = rows.iter().map(|r| r.1).collect();
            prop_assert_eq!(average_precision(&scores, &labels), average_precision(&scaled, &labels));
        }

        #[test]
        fn labels_as_scores_are_perfect(labels in proptest::collection::vec(any::<bool>(), 1..200)) {
            let scores: Vec<f64> = labels.iter().map(|l| f64::from(u8::from(*l))).collect();
            if let Some(area) = average_precision(&scores, &labels) {
                prop_assert!((area - 1.0).abs() < 1e-12);
            }
        }
    }
}
