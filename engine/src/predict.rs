//! What has not happened yet: forecasts and time to breach.
//!
//! [`Predictor`] keeps at most one open prediction per series; [`breach`] gives the distribution of the time at which a
//! series first crosses its limit; [`limits`] knows the limits that need no configuration; [`Forecaster`] says where a series will
//! be from its next sample to a week ahead; [`forecast`] does so from what the baseline knows, where there is no history to fit.
//!
//! Predictions start from an [`Outlook`]: the baseline's expected course and the size of a usual residual. Nothing here
//! reads a clock.

pub mod breach;
mod forecaster;
pub mod limits;
mod predictor;

pub use forecaster::{Event, ForecastConfig, Forecaster};
pub use limits::Limit;
pub use predictor::{PredictConfig, PredictionChange, PredictionCounts, PredictionIds, Predictor};

use crate::features::Outlook;
use wire::series::ForecastPoint;

/// The next `steps` expected values with an interval that holds the truth with probability `level` (0..1, exclusive).
///
/// Residuals are taken as independent around a level that drifts: the variance of step k is
/// `scale² (1 + k · DRIFT)`, see [`breach`]. Steps beyond the outlook's own continue its trend.
pub fn forecast(outlook: &Outlook, steps: usize, level: f64) -> Vec<ForecastPoint> {
    let z = breach::normal_quantile(0.5 + level.clamp(0.0, 0.9999) / 2.0);
    (0..steps)
        .map(|k| {
            let ahead = i64::try_from(k).unwrap_or(i64::MAX - 1) + 1;
            let mean = breach::mean_at(outlook, k);
            let half = z * breach::spread_at(outlook, k);
            ForecastPoint {
                at: outlook.at + ahead.saturating_mul(outlook.step_ms),
                mean,
                lower: mean - half,
                upper: mean + half,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Timestamp;

    #[test]
    fn the_fan_follows_the_mean_and_widens() {
        let outlook = Outlook {
            at: Timestamp(0),
            step_ms: 60_000,
            mean: vec![1.0, 2.0],
            level: 0.0,
            trend_per_step: 1.0,
            scale: 0.5,
        };
        let fan = forecast(&outlook, 4, 0.9);
        let means: Vec<f64> = fan.iter().map(|p| p.mean).collect();
        assert_eq!(means, [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(fan[3].at, Timestamp(240_000));
        assert!(
            fan.windows(2)
                .all(|w| w[1].upper - w[1].lower > w[0].upper - w[0].lower)
        );
        // 90 % of a normal lie within 1.645 standard deviations.
        let first = (fan[0].upper - fan[0].mean) / breach::spread_at(&outlook, 0);
        assert!((first - 1.6449).abs() < 1e-3, "{first}");
    }
}
