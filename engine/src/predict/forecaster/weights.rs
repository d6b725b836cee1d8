//! Weights of a forecast's terms, by least absolute deviations around a prior.
//!
//! Absolute errors, because the median is what a mean absolute error is least for and what one wild sample does not move. They are
//! minimised by reweighted least squares, a few rounds from the prior. A prior counts as much as three independent forecasts of the
//! past: two forecasts of a day ahead that were made five minutes apart are one. The past is cut into [`STRETCHES`] of time, and
//! every error that is returned is made with weights that had not seen its stretch.

/// Terms of the sum: last over quick, quick over steady, steady over mean, mean over long-run mean; season, its rough part, week;
/// one spread; a day before and a week before over what is usual.
pub(super) const TERMS: usize = 10;
/// Stretches of time that take turns in not being seen.
pub(super) const STRETCHES: usize = 4;
const ROUNDS: usize = 3;
/// Independent forecasts that the prior is worth.
const PRIOR: f64 = 3.0;
/// Errors below this part of the median error weigh no more than it: the reweighting would not end.
const SMALL: f64 = 0.1;
/// Fewer forecasts of the past teach nothing.
const LEAST: usize = 8;
/// Days after which a forecast of the past counts a third.
const DAYS_REMEMBERED: f64 = 10.0;

/// A forecast that could have been made, and what came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried {
    pub(super) terms: [f64; TERMS],
    /// Less the long-run mean at the time of the forecast.
    pub(super) came: f64,
    /// Age in days.
    pub(super) age: f64,
    pub(super) sigma: f64,
}

type Matrix = [[f64; TERMS]; TERMS];
type Vector = [f64; TERMS];

pub(super) fn dot(a: &Vector, b: &Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Weights before anything is known: a lead over a slower level has gone by the time that level has caught up, seasons last, and
/// what was a day before is hardly better than they.
/// `steps`: how far ahead; `memory`: samples that each level remembers, quick to long.
pub(super) fn prior(steps: f64, memory: [f64; 4]) -> Vector {
    let [quick, steady, mean, _] = memory;
    let keep = |samples: f64| (-steps / samples).exp();
    [
        0.5 * keep(1.0),
        keep(quick),
        keep(2.0 * steady),
        keep(2.5 * mean),
        1.0,
        0.5,
        1.0,
        0.0,
        0.1,
        0.0,
    ]
}

/// Weights for forecasts like `tried`, which are in order of time and worth `independent` of each other; and their errors in their
/// own units, each out of sample. O(n · TERMS²).
pub(super) fn fit(tried: &[Tried], prior: &Vector, independent: f64) -> (Vector, Vec<f64>) {
    let n = tried.len();
    let mut weights = *prior;
    let mut unseen = [*prior; STRETCHES];
    if n >= LEAST {
        let recent: Vec<f64> = tried.iter().map(|one| (-one.age / DAYS_REMEMBERED).exp()).collect();
        for round in 1..=ROUNDS {
            let Some(sums) = reweighted(tried, &recent, prior, &weights) else {
                break;
            };
            weights = solve(&sums, None, prior, independent);
            if round == ROUNDS {
                for (stretch, weights) in unseen.iter_mut().enumerate() {
                    *weights = solve(&sums, Some(stretch), prior, independent);
                }
            }
        }
    }
    let error = |(i, one): (usize, &Tried)| (one.came - dot(&one.terms, &unseen[i * STRETCHES / n])) / one.sigma;
    (weights, tried.iter().enumerate().map(error).collect())
}

/// Normal equations of every stretch, relative to the prior. `None` where there are no errors.
fn reweighted(
    tried: &[Tried],
    recent: &[f64],
    prior: &Vector,
    weights: &Vector,
) -> Option<[(Matrix, Vector); STRETCHES]> {
    let n = tried.len();
    let errors: Vec<f64> = tried
        .iter()
        .map(|one| (one.came - dot(&one.terms, weights)).abs())
        .collect();
    let mean = errors.iter().map(|error| error / n as f64).sum::<f64>();
    let median = *errors.clone().select_nth_unstable_by(n / 2, f64::total_cmp).1;
    // A wild error must not make all others small; where half of them are none, the mean has to do.
    let least = SMALL * if median > 1e-12 * mean { median } else { mean };
    if !(least > 0.0 && least.is_finite()) {
        return None;
    }
    let mut sums = [([[0.0; TERMS]; TERMS], [0.0; TERMS]); STRETCHES];
    for (i, one) in tried.iter().enumerate() {
        let weight = recent[i] / errors[i].max(least);
        let rest = one.came - dot(&one.terms, prior);
        let (matrix, vector) = &mut sums[i * STRETCHES / n];
        for (row, term) in one.terms.iter().enumerate() {
            let weighted = weight * term;
            vector[row] += weighted * rest;
            for (cell, other) in matrix[row][..=row].iter_mut().zip(&one.terms) {
                *cell += weighted * other;
            }
        }
    }
    Some(sums)
}

/// The weights that all stretches but one ask for.
fn solve(sums: &[(Matrix, Vector); STRETCHES], without: Option<usize>, prior: &Vector, independent: f64) -> Vector {
    let (mut matrix, mut vector) = ([[0.0; TERMS]; TERMS], [0.0; TERMS]);
    let mut share = 0.0;
    for (_, (part, right)) in sums.iter().enumerate().filter(|(i, _)| Some(*i) != without) {
        share += 1.0 / STRETCHES as f64;
        for row in 0..TERMS {
            vector[row] += right[row];
            for column in 0..=row {
                matrix[row][column] += part[row][column];
            }
        }
    }
    // Relative to the size of each term: what a term is measured in does not matter.
    let ridge = PRIOR / (independent * share).max(0.5);
    let mean = (0..TERMS).map(|i| matrix[i][i]).sum::<f64>() / TERMS as f64;
    for (i, row) in matrix.iter_mut().enumerate() {
        row[i] += ridge * row[i] + 1e-6 * mean + 1e-290;
    }
    let change = cholesky(&mut matrix, vector);
    let mut weights = *prior;
    for (weight, change) in weights.iter_mut().zip(change) {
        if change.is_finite() {
            *weight += change;
        }
    }
    weights
}

/// Solves a positive definite system of which the lower triangle is given.
fn cholesky(matrix: &mut Matrix, right: Vector) -> Vector {
    for i in 0..TERMS {
        let (above, rest) = matrix.split_at_mut(i);
        let row = &mut rest[0];
        for (j, other) in above.iter().enumerate() {
            let known: f64 = row[..j].iter().zip(&other[..j]).map(|(a, b)| a * b).sum();
            row[j] = (row[j] - known) / other[j];
        }
        let known: f64 = row[..i].iter().map(|a| a * a).sum();
        row[i] = (row[i] - known).max(1e-300).sqrt();
    }
    let mut solution = right;
    for i in 0..TERMS {
        let known: f64 = matrix[i][..i].iter().zip(&solution).map(|(a, b)| a * b).sum();
        solution[i] = (solution[i] - known) / matrix[i][i];
    }
    for i in (0..TERMS).rev() {
        let known: f64 = (i + 1..TERMS).map(|k| matrix[k][i] * solution[k]).sum();
        solution[i] = (solution[i] - known) / matrix[i][i];
    }
    solution
}

#[cfg(test)]
mod tests;
