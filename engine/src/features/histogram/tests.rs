//! Prometheus' own examples, an oracle, and what may go wrong on the way.

use super::*;
use proptest::prelude::*;

const STEP: i64 = 15_000;
const INF: f64 = f64::INFINITY;

#[track_caller]
fn check(buckets: &[(f64, f64)], q: f64, expected: Option<f64>) {
    let found = quantile(q, &mut buckets.to_vec());
    match (found, expected) {
        (Some(a), Some(b)) => assert!((a - b).abs() < 1e-12, "{buckets:?} {q}: {a}, not {b}"),
        _ => assert_eq!(found, expected, "{buckets:?} {q}"),
    }
}

/// `promql/promqltest/testdata/histograms.test` of Prometheus: each series counts so many a step.
#[test]
fn prometheus_own_examples() {
    let positive = [(0.1, 5.0), (0.2, 7.0), (1.0, 11.0), (INF, 12.0)];
    let negative = [(-0.2, 1.0), (-0.1, 2.0), (0.3, 2.0), (INF, 3.0)];
    for (q, one, other) in [
        (0.0, 0.0, -0.2),
        (0.2, 0.048, -0.2),
        (0.5, 0.15, -0.15),
        (0.8, 0.72, 0.3),
        (1.0, 1.0, 0.3),
    ] {
        check(&positive, q, Some(one));
        check(&negative, q, Some(other));
    }
    let second = [(0.0, 0.0), (2.0, 1.0), (4.0, 2.0), (6.0, 3.0), (INF, 3.0)];
    for (q, expected) in [(1.0 / 6.0, 1.0), (0.5, 3.0), (5.0 / 6.0, 5.0)] {
        check(&second, q, Some(expected));
    }
    for (buckets, low, middle) in [
        ([(0.1, 1.0), (0.2, 3.0), (INF, 4.0)], 0.11, 0.15),
        ([(0.1, 2.0), (0.2, 5.0), (INF, 6.0)], 0.09, 0.133_333_333_333_333_33),
        ([(0.1, 3.0), (0.2, 4.0), (INF, 6.0)], 0.06, 0.1),
        ([(0.1, 4.0), (0.2, 7.0), (INF, 9.0)], 0.0675, 0.116_666_666_666_666_67),
    ] {
        check(&buckets, 0.3, Some(low));
        check(&buckets, 0.5, Some(middle));
    }
    // Several spellings of 0.2, as in `mixed_bucket`.
    let mixed = [(0.1, 1.0), (0.2, 1.0), (0.2, 1.0), (0.2, 1.0), (INF, 4.0)];
    check(&mixed, 0.2, Some(0.08));
    check(&mixed, 0.5, Some(0.15));
}

#[test]
fn what_has_no_quantile_has_none() {
    check(&[], 0.5, None);
    check(&[(1.0, 3.0)], 0.5, None);
    check(&[(INF, 3.0)], 0.5, None);
    check(&[(1.0, 0.0), (INF, 0.0)], 0.5, None);
    check(&[(1.0, f64::NAN), (INF, f64::NAN)], 0.5, None);
}

const BOUNDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, INF];

/// Buckets, sum, and the median, p95, p99 and mean since the row before: printed by `oracle.py`.
#[rustfmt::skip]
const ORACLE: [([f64; 10], f64, [Option<f64>; 4]); 12] = [
    ([2.0, 2.0, 7.0, 8.0, 12.0, 17.0, 20.0, 24.0, 24.0, 24.0], 5.003612, [None, None, None, None]),
    ([4.0, 7.0, 18.0, 21.0, 29.0, 44.0, 51.0, 60.0, 61.0, 61.0], 13.758792, [Some(0.1225), Some(0.915), Some(1.945), Some(0.236626486486)]),
    ([4.0, 10.0, 21.0, 29.0, 41.0, 63.0, 74.0, 83.0, 86.0, 86.0], 19.036612, [Some(0.110714285714), Some(1.5625), Some(2.3125), Some(0.2111128)]),
    ([4.0, 10.0, 22.0, 32.0, 45.0, 72.0, 85.0, 94.0, 97.0, 97.0], 20.703867, [Some(0.145), Some(0.43125), Some(0.48625), Some(0.151568636364)]),
    ([4.0, 12.0, 28.0, 38.0, 53.0, 83.0, 96.0, 106.0, 111.0, 111.0], 26.022997, [Some(0.075), Some(1.975), Some(2.395), Some(0.379937857143)]),
    ([4.0, 12.0, 28.0, 38.0, 53.0, 83.0, 96.0, 106.0, 111.0, 111.0], 26.022997, [None, None, None, None]),
    ([6.0, 15.0, 35.0, 51.0, 69.0, 107.0, 121.0, 132.0, 139.0, 139.0], 31.634846, [Some(0.0666666666667), Some(1.45), Some(2.29), Some(0.200423178571)]),
    ([0.0, 5.0, 8.0, 9.0, 13.0, 16.0, 16.0, 16.0, 19.0, 20.0], 8.006095, [Some(0.0625), Some(2.5), Some(2.5), Some(0.40030475)]),
    ([1.0, 6.0, 12.0, 18.0, 23.0, 32.0, 34.0, 36.0, 41.0, 42.0], 14.197436, [Some(0.125), Some(1.675), Some(2.335), Some(0.281424590909)]),
    ([1.0, 6.0, 13.0, 19.0, 25.0, 34.0, 37.0, 39.0, 44.0, 45.0], 14.608668, [Some(0.075), Some(0.4625), Some(0.4925), Some(0.137077333333)]),
    ([1.0, 8.0, 15.0, 20.0, 35.0, 47.0, 50.0, 54.0, 61.0, 62.0], 19.863739, [Some(0.090625), Some(1.8625), Some(2.3725), Some(0.309121823529)]),
    ([1.0, 9.0, 17.0, 30.0, 38.0, 51.0, 54.0, 58.0, 65.0, 66.0], 20.097088, [Some(0.034375), Some(0.0484375), Some(0.0496875), Some(0.05833725)]),
];

fn family(bounds: &[f64]) -> Histogram {
    let mut histogram = Histogram::default();
    for bound in bounds {
        histogram.add(Role::Bucket(*bound));
    }
    histogram.add(Role::Sum);
    histogram.add(Role::Count);
    histogram
}

/// Sends a scrape's members in the order of `order`.
fn scrape(histogram: &mut Histogram, at: i64, values: &[f64], order: impl Iterator<Item = usize>) -> Vec<Derived> {
    order
        .filter_map(|member| histogram.take(member, Timestamp(at), values[member]))
        .collect()
}

#[track_caller]
fn same(found: &[Derived], expected: &[Option<f64>; 4], row: usize) {
    let [one] = found else { panic!("row {row}: {found:?}") };
    let found = [one.quantiles[0], one.quantiles[1], one.quantiles[2], one.mean];
    for (found, expected) in found.iter().zip(expected) {
        match (found, expected) {
            (Some(a), Some(b)) => assert!((a - b).abs() < 1e-9, "row {row}: {a}, not {b}"),
            _ => assert_eq!(found, expected, "row {row}"),
        }
    }
}

#[test]
fn quantiles_and_mean_are_those_of_the_oracle() {
    let mut histogram = family(&BOUNDS);
    for (row, (buckets, sum, expected)) in ORACLE.iter().enumerate() {
        let values = [&buckets[..], &[*sum, buckets[9]]].concat();
        let found = scrape(&mut histogram, row as i64 * STEP, &values, 0..12);
        if row == 0 {
            assert_eq!(found, []);
        } else {
            same(&found, expected, row);
        }
    }
}

/// Two sender queues: one is some scrapes ahead of the other. Whatever the order of members, the numbers are the same.
#[test]
fn members_may_come_apart() {
    let mut histogram = family(&BOUNDS);
    let mut found = Vec::new();
    let values: Vec<_> = ORACLE
        .iter()
        .map(|(buckets, sum, _)| [&buckets[..], &[*sum, buckets[9]]].concat())
        .collect();
    let mut send = |row: usize, order: &[usize]| {
        let order = order.iter().copied();
        found.extend(scrape(&mut histogram, row as i64 * STEP, &values[row], order));
    };
    for from in [0, 6] {
        (from..from + 6).for_each(|row| send(row, &[11, 10, 9, 8, 7, 6, 5]));
        (from..from + 6).for_each(|row| send(row, &[0, 1, 2, 3, 4]));
    }
    assert_eq!(found.len(), 11);
    for (row, derived) in found.into_iter().enumerate() {
        same(&[derived], &ORACLE[row + 1].2, row + 1);
    }
}

#[test]
fn a_scrape_that_lacks_a_bucket_is_left_out() {
    let mut histogram = family(&[0.1, INF]);
    let at = |row: i64| row * STEP;
    let values = |row: i64| [row as f64, 2.0 * row as f64, row as f64 * 3.0, 2.0 * row as f64];
    assert!(scrape(&mut histogram, at(0), &values(0), 0..4).is_empty());
    assert_eq!(scrape(&mut histogram, at(1), &values(1), 0..4).len(), 1);
    assert!(scrape(&mut histogram, at(2), &values(2), 1..4).is_empty());
    let after = scrape(&mut histogram, at(3), &values(3), 0..4);
    assert_eq!(after[0].quantiles[0], Some(0.1));
    // A new bucket is compared once it has been there twice.
    let member = histogram.add(Role::Bucket(0.05));
    let mut with = |row: i64, extra: f64| {
        let mut found = scrape(&mut histogram, at(row), &values(row), 0..4);
        found.extend(histogram.take(member, Timestamp(at(row)), extra));
        found
    };
    assert!(with(4, 0.0).is_empty());
    let found = with(5, 1.0);
    assert_eq!(found[0].quantiles[0], Some(0.05));
    // It ends: nobody waits for it, and the change of layout costs one step.
    histogram.end(member);
    assert!(scrape(&mut histogram, at(6), &values(6), 0..4).is_empty());
    assert_eq!(
        scrape(&mut histogram, at(7), &values(7), 0..4)[0].quantiles[0],
        Some(0.1)
    );
}

#[test]
fn a_bucket_that_vanishes_without_a_word_is_given_up_in_time() {
    let mut histogram = family(&[0.1, 0.2, INF]);
    let mut first = None;
    for row in 0..1000 {
        let n = row as f64;
        let found = if row < 10 {
            scrape(&mut histogram, row * STEP, &[n, n, n, n, n], 0..5)
        } else {
            scrape(
                &mut histogram,
                row * STEP,
                &[n, f64::NAN, n, n, n],
                [0, 2, 3, 4].into_iter(),
            )
        };
        assert!(histogram.waiting.len() <= WAITING + 1);
        if row >= 10 && !found.is_empty() {
            first = first.or(Some(row));
        }
    }
    assert!(
        first.is_some_and(|row| row > 10 + i64::from(GONE) && row < 400),
        "{first:?}"
    );
}

proptest! {
    /// Whatever comes, in whatever order: a quantile lies between 0 (or the lowest bound) and the highest finite bound, in the order
    /// of its rank, and nothing is NaN.
    #[test]
    fn quantiles_are_ordered_and_finite(
        counts in prop::collection::vec(prop::collection::vec(0.0f64..1e12, 6), 1..20),
        skip in prop::collection::vec(0usize..8, 1..20),
    ) {
        let bounds = [0.01, 0.1, 1.0, 10.0, 100.0, INF];
        let mut histogram = family(&bounds);
        for (row, (values, skip)) in counts.iter().zip(skip.iter().cycle()).enumerate() {
            let values = [&values[..], &[values[0] * 3.0, values[5]]].concat();
            let order = (0..8).filter(|member| member != skip || row % 3 != 0);
            for derived in scrape(&mut histogram, row as i64 * STEP, &values, order) {
                let found: Vec<f64> = derived.quantiles.iter().copied().flatten().collect();
                prop_assert!(found.iter().all(|q| (0.0..=100.0).contains(q)), "{found:?}");
                prop_assert!(found.is_sorted());
                prop_assert!(derived.mean.is_none_or(f64::is_finite));
            }
        }
    }
}
