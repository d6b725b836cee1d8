//! The forest against scikit-learn, and what it promises.

use super::*;
use linfa::traits::Predict;
use rand_xoshiro::rand_core::RngCore;

/// The fixed set of the oracle: 2,000 ordinary rows and 100 odd ones in 8 dimensions, from one linear congruential
/// generator, so that Python makes the same numbers (see `oracle.py` beside this file).
fn oracle_set() -> (Array2<f32>, Vec<bool>) {
    let mut state: u64 = 12345;
    let mut uniform = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32) / ((1_u64 << 24) as f32)
    };
    let (ordinary, odd, features) = (2000, 100, 8);
    let mut rows = Array2::zeros((ordinary + odd, features));
    for r in 0..ordinary + odd {
        for f in 0..features {
            // Sum of twelve uniforms: nearly normal.
            let x: f32 = (0..12).map(|_| uniform()).sum::<f32>() - 6.0;
            rows[(r, f)] = if r < ordinary {
                x
            } else {
                x * 1.6 + if f < 2 { 1.5 } else { 0.0 }
            };
        }
    }
    let labels = (0..ordinary + odd).map(|r| r >= ordinary).collect();
    (rows, labels)
}

fn auc(scores: &[f32], labels: &[bool]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let positives = labels.iter().filter(|&&l| l).count() as f64;
    let ranks: f64 = order
        .iter()
        .enumerate()
        .filter(|&(_, &i)| labels[i])
        .map(|(r, _)| r as f64 + 1.0)
        .sum();
    (ranks - positives * (positives + 1.0) / 2.0) / (positives * (labels.len() as f64 - positives))
}

fn fit(rows: Array2<f32>, seed: u64) -> IsolationForest {
    IsolationForest::params()
        .seed(seed)
        .fit(&DatasetBase::from(rows))
        .unwrap()
}

#[test]
fn ranks_as_well_as_scikit_learn() {
    let (rows, labels) = oracle_set();
    let mean = (0..20)
        .map(|seed| {
            let scores: Array1<f32> = fit(rows.clone(), seed).predict(&rows);
            auc(scores.as_slice().unwrap(), &labels)
        })
        .sum::<f64>()
        / 20.0;
    /// Mean over `random_state` 0..20 of `IsolationForest(n_estimators=100, max_samples=256)`, scikit-learn 1.9.1.
    const SCIKIT_LEARN: f64 = 0.9239;
    assert!(
        (mean - SCIKIT_LEARN).abs() < 0.005,
        "AUC {mean}, scikit-learn {SCIKIT_LEARN}"
    );
}

#[test]
fn same_seed_same_bits_and_another_seed_another_forest() {
    let (rows, _) = oracle_set();
    assert_eq!(fit(rows.clone(), 3), fit(rows.clone(), 3));
    assert_ne!(fit(rows.clone(), 3), fit(rows, 4));
}

#[test]
fn bad_parameters_and_data_are_refused_with_a_reason() {
    let rows = Array2::<f32>::zeros((1, 2));
    let check = |params: IsolationForestParams, rows: &Array2<f32>, part: &str| {
        let error = params.fit(&DatasetBase::from(rows.clone())).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    check(IsolationForest::params().trees(0), &rows, "trees");
    check(IsolationForest::params().subsample(1), &rows, "subsample");
    check(IsolationForest::params(), &rows, "too few");
    check(IsolationForest::params(), &Array2::zeros((9, 16)), "16 features");
}

#[test]
fn constant_rows_fit_and_score_without_a_split() {
    let forest = fit(Array2::zeros((50, 3)), 1);
    assert!(forest.score(&[0.0; 3]).is_finite());
}

#[test]
fn scores_lie_between_zero_and_one_whatever_the_row() {
    let (rows, _) = oracle_set();
    let forest = fit(rows, 1);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(9);
    for _ in 0..1000 {
        let row: Vec<f32> = (0..8).map(|_| f32::from_bits(rng.next_u32())).collect();
        let score = forest.score(&row);
        assert!((0.0..=1.0).contains(&score), "{row:?} {score}");
    }
}

#[test]
fn the_fast_walk_takes_the_path_of_the_plain_one() {
    let (rows, _) = oracle_set();
    // 13 trees: a group of eight and a rest.
    let forest = IsolationForest::params()
        .trees(13)
        .fit(&DatasetBase::from(rows.clone()))
        .unwrap();
    let walk = forest.walk.as_ref().expect("256 rows make trees of eight levels");
    for row in rows.rows() {
        let row = row.to_slice().unwrap();
        assert_eq!(walk.total_path(row).to_bits(), forest.total_path(row).to_bits());
    }
    let odd = [[f32::NAN; 8], [f32::INFINITY; 8], [f32::NEG_INFINITY; 8]];
    for row in odd {
        assert_eq!(walk.total_path(&row).to_bits(), forest.total_path(&row).to_bits());
    }
    // Many at once: whole blocks, and one that is not full.
    let many: Vec<f32> = rows.iter().copied().chain(odd.concat()).collect();
    for count in [0, 1, 7, 64, 65, many.len() / 8] {
        let many = &many[..count * 8];
        let scores: Vec<u32> = forest.score_all(many).iter().map(|s| s.to_bits()).collect();
        let one_by_one: Vec<u32> = many.chunks_exact(8).map(|row| forest.score(row).to_bits()).collect();
        assert_eq!(scores, one_by_one);
        // Wide registers or not: the same bits.
        let bits = |paths: Vec<f32>| paths.iter().map(|p| p.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(walk.narrow_paths(many, 8)), bits(walk.total_paths(many, 8)));
    }
    let deep = IsolationForest::params()
        .trees(2)
        .subsample(1024)
        .fit(&DatasetBase::from(rows))
        .unwrap();
    assert!(deep.walk.is_none() && deep.score(&[0.0; 8]) > 0.0);
}
