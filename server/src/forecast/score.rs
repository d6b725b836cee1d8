//! How good forecasts were.
//!
//! The mean absolute scaled error (Hyndman and Koehler, "Another look at measures of forecast accuracy", 2006): the mean absolute
//! error divided by that of the seasonal naive forecast within the history, which says that a value is what it was a day before;
//! where the history holds no two days, or they are the same, by that of the naive forecast of one step. Below 1 is better than
//! that. The share of values within the interval is the coverage.

use std::collections::BTreeMap;
use wire::Timestamp;
use wire::series::ForecastPoint;

const DAY_MS: i64 = 86_400_000;
/// Pairs of days that a scale is made of, at least.
const LEAST_PAIRS: usize = 16;

/// The forecasts of one series against what came.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    times: &'a [Timestamp],
    values: &'a [f64],
    step_ms: i64,
    /// Row by step of time.
    rows: BTreeMap<i64, usize>,
    scale: f64,
    tally: Tally,
}

/// Sums over forecasts that were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    pub answered: u64,
    /// Absolute errors of the forecasts, and of the seasonal naive ones at the same instants.
    pub error: f64,
    pub naive_error: f64,
    pub within: u64,
}

impl<'a> Series<'a> {
    /// Rows before `split` make the scale.
    pub fn new(times: &'a [Timestamp], values: &'a [f64], split: usize, step_ms: i64) -> Self {
        let present = times.iter().zip(values).enumerate();
        let rows = present.filter(|(_, (_, value))| value.is_finite());
        let rows = rows
            .map(|(row, (at, _))| (at.as_millis().div_euclid(step_ms), row))
            .collect();
        let mut series = Self {
            times,
            values,
            step_ms,
            rows,
            scale: 0.0,
            tally: Tally::default(),
        };
        series.scale = series.scale_of(split);
        series
    }

    fn scale_of(&self, split: usize) -> f64 {
        let known = (0..split.min(self.values.len())).filter(|row| self.values[*row].is_finite());
        let apart: Vec<f64> = known
            .clone()
            .filter_map(|row| Some((self.values[row] - self.at(self.times[row] - DAY_MS)?).abs()))
            .collect();
        let mean = |apart: &[f64]| apart.iter().sum::<f64>() / apart.len().max(1) as f64;
        if apart.len() >= LEAST_PAIRS && mean(&apart) > 0.0 {
            return mean(&apart);
        }
        let known: Vec<f64> = known.map(|row| self.values[row]).collect();
        mean(
            &known
                .windows(2)
                .map(|pair| (pair[1] - pair[0]).abs())
                .collect::<Vec<_>>(),
        )
    }

    /// The value at an instant, if there is one in the step that holds it.
    fn at(&self, at: Timestamp) -> Option<f64> {
        let row = self.rows.get(&at.as_millis().div_euclid(self.step_ms))?;
        Some(self.values[*row])
    }

    /// Holds a forecast made at row `origin` against what came, if anything came.
    pub fn add(&mut self, origin: usize, point: &ForecastPoint) {
        let Some(came) = self.at(point.at) else { return };
        let days = (point.at.millis_since(self.times[origin]) + DAY_MS - 1)
            .div_euclid(DAY_MS)
            .max(1);
        let naive = self.at(point.at - days * DAY_MS).unwrap_or(self.values[origin]);
        let naive = if naive.is_finite() { naive } else { point.mean };
        self.tally.answered += 1;
        self.tally.error += (came - point.mean).abs();
        self.tally.naive_error += (came - naive).abs();
        self.tally.within += u64::from((point.lower..=point.upper).contains(&came));
    }

    /// What was gathered, in units of the scale. `None` where nothing was answered, or the series never moved in its history.
    pub fn tally(&self) -> Option<Tally> {
        (self.tally.answered > 0 && self.scale > 0.0).then(|| Tally {
            error: self.tally.error / self.scale,
            naive_error: self.tally.naive_error / self.scale,
            ..self.tally
        })
    }
}

/// Means over series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    pub series: usize,
    pub answered: u64,
    pub within: u64,
    mase: f64,
    naive_mase: f64,
}

impl Score {
    pub fn add(&mut self, series: &Series<'_>) {
        if let Some(tally) = series.tally() {
            self.add_tally(&tally);
        }
    }

    /// Adds one series.
    pub fn add_tally(&mut self, tally: &Tally) {
        self.series += 1;
        self.answered += tally.answered;
        self.within += tally.within;
        self.mase += tally.error / tally.answered as f64;
        self.naive_mase += tally.naive_error / tally.answered as f64;
    }

    /// Mean over series of the mean absolute scaled error.
    pub fn mase(&self) -> f64 {
        self.mase / self.series as f64
    }

    /// The same of the seasonal naive forecast.
    pub fn naive_mase(&self) -> f64 {
        self.naive_mase / self.series as f64
    }

    /// Share of the values within their intervals, 0..=1.
    pub fn coverage(&self) -> f64 {
        self.within as f64 / self.answered as f64
    }

    /// For a person; empty where nothing was answered.
    pub fn text(&self, level: f64) -> String {
        if self.series == 0 {
            return String::new();
        }
        format!(
            "{} values came: mean absolute scaled error {:.3} (seasonal naive {:.3}), {:.1} % within the {:.0} % interval\n",
            self.answered,
            self.mase(),
            self.naive_mase(),
            100.0 * self.coverage(),
            100.0 * level
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_scaled_by_those_of_yesterday() {
        let hour = 3_600_000;
        let times: Vec<Timestamp> = (0..96).map(|i| Timestamp(i * hour)).collect();
        // Each day is 2 above the one before.
        let values: Vec<f64> = (0..96).map(|i| f64::from(i % 24) + 2.0 * f64::from(i / 24)).collect();
        let mut series = Series::new(&times, &values, 48, hour);
        let point = |row: usize, off: f64| ForecastPoint {
            at: times[row],
            mean: values[row] + off,
            lower: values[row] - 0.5,
            upper: values[row] + off,
        };
        series.add(47, &point(48, 1.0));
        series.add(47, &point(49, 3.0));
        series.add(
            47,
            &ForecastPoint {
                at: Timestamp(500 * hour),
                ..point(48, 0.0)
            },
        );
        let tally = series.tally().unwrap();
        assert_eq!((tally.answered, tally.within), (2, 2));
        let mut score = Score::default();
        score.add(&series);
        assert!((score.mase() - 1.0).abs() < 1e-12 && (score.naive_mase() - 1.0).abs() < 1e-12);
        assert!((score.coverage() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_never_moved_or_was_not_answered_does_not_count() {
        let times: Vec<Timestamp> = (0..50).map(|i| Timestamp(i * 60_000)).collect();
        let still = vec![3.0; 50];
        let series = Series::new(&times, &still, 40, 60_000);
        assert_eq!(series.tally(), None);
        let mut score = Score::default();
        score.add(&series);
        assert_eq!(score.text(0.9), "");
    }
}
