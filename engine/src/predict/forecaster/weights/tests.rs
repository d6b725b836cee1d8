use super::*;

/// Terms and answers with heavy tails; the same as were given to statsmodels.
fn sample() -> Vec<Tried> {
    let truth: Vector = [0.5, 1.0, -1.0, 2.0, 0.0, 0.3, -0.2, 1.5, 0.1, -0.7];
    (0..200_usize)
        .map(|i| {
            let mut terms = [0.0; TERMS];
            for (j, term) in terms.iter_mut().enumerate() {
                *term = (0.7 * i as f64 * (j as f64 + 1.0) + j as f64).sin();
            }
            let noise = 3.0 * ((i * 7919 % 1009) as f64 / 504.5 - 1.0).powi(3);
            Tried {
                terms,
                came: dot(&terms, &truth) + noise,
                age: 0.0,
                sigma: 1.0,
            }
        })
        .collect()
}

/// `statsmodels.api.QuantReg(y, X).fit(q=0.5)` of statsmodels 0.15.
const ORACLE: Vector = [
    0.499_248, 1.000_549, -0.999_435, 2.001_173, 0.000_168, 0.300_959, -0.199_521, 1.501_435, 0.100_64, -0.699_55,
];

#[test]
fn agrees_with_median_regression_of_statsmodels() {
    let tried = sample();
    let (weights, _) = fit(&tried, &[0.0; TERMS], 1e9);
    let loss = |weights: &Vector| {
        tried
            .iter()
            .map(|one| (one.came - dot(&one.terms, weights)).abs())
            .sum::<f64>()
    };
    // A few rounds of reweighting are nearly there.
    assert!(
        loss(&weights) <= 1.06 * loss(&ORACLE),
        "{} {}",
        loss(&weights),
        loss(&ORACLE)
    );
    for (ours, theirs) in weights.iter().zip(ORACLE) {
        assert!((ours - theirs).abs() < 0.2, "{weights:?}");
    }
}

#[test]
fn little_evidence_leaves_the_prior() {
    let prior = prior(6.0, [2.0, 20.0, 500.0, 1000.0]);
    let (weights, errors) = fit(&sample()[..5], &prior, 5.0);
    assert_eq!((weights, errors.len()), (prior, 5));
    let near = |independent| {
        let (weights, _) = fit(&sample(), &prior, independent);
        weights.iter().zip(prior).map(|(a, b)| (a - b).powi(2)).sum::<f64>()
    };
    assert!(near(1.0) < near(10.0) && near(10.0) < near(1000.0));
}

#[test]
fn a_wild_answer_moves_nothing() {
    let mut tried = sample();
    let (before, _) = fit(&tried, &[0.0; TERMS], 1e9);
    tried[100].came = 1e9;
    let (after, errors) = fit(&tried, &[0.0; TERMS], 1e9);
    let apart = before.iter().zip(after).map(|(a, b)| (a - b).abs());
    assert!(apart.fold(0.0, f64::max) < 0.5, "{before:?} {after:?}");
    assert!(errors[100] > 1e8);
}

#[test]
fn further_ahead_less_of_the_present_is_kept() {
    let memory = [2.0, 20.0, 500.0, 1000.0];
    let (near, far) = (prior(1.0, memory), prior(300.0, memory));
    assert!(near[..4].iter().zip(&far[..4]).all(|(near, far)| near > far));
    assert_eq!(near[4..], far[4..]);
}
