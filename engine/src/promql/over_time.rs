//! Functions of a range of samples: rates, and what is so named after `_over_time`.

use super::eval::Window;
use super::kahan::{quantile, sum, variance};

/// The value of a function over a range; `None`: there is none. `parameter` is its scalar argument.
#[expect(clippy::float_cmp, reason = "as Prometheus compares")]
pub(super) fn over(name: &str, window: &Window<'_>, at: i64, parameter: f64) -> Option<f64> {
    let samples = window.samples;
    let values = || samples.iter().map(|(_, value)| *value);
    let count = samples.len() as f64;
    let pairs = || samples.windows(2).map(|pair| (pair[0].1, pair[1].1));
    let changed = |(a, b): (f64, f64)| a != b && !(a.is_nan() && b.is_nan());
    Some(match name {
        "rate" => extrapolated(window, true, seconds(window))?,
        "increase" => extrapolated(window, true, 1.0)?,
        "delta" => extrapolated(window, false, 1.0)?,
        "irate" => instant(samples, true)?,
        "idelta" => instant(samples, false)?,
        "deriv" if samples.len() > 1 => regression(samples, samples[0].0).0,
        "predict_linear" if samples.len() > 1 => {
            let (slope, intercept) = regression(samples, at);
            slope * parameter + intercept
        }
        "deriv" | "predict_linear" => return None,
        "changes" => pairs().filter(|pair| changed(*pair)).count() as f64,
        "resets" => pairs().filter(|(a, b)| b < a).count() as f64,
        "avg_over_time" => sum(values()).mean(count),
        "sum_over_time" => sum(values()).value(),
        "count_over_time" => count,
        "min_over_time" => values().reduce(|a, b| if b < a || a.is_nan() { b } else { a })?,
        "max_over_time" => values().reduce(|a, b| if b > a || a.is_nan() { b } else { a })?,
        "last_over_time" => samples.last()?.1,
        "present_over_time" => 1.0,
        "stddev_over_time" => variance(values()).sqrt(),
        "stdvar_over_time" => variance(values()),
        "quantile_over_time" => quantile(parameter, values().collect()),
        _ => return None,
    })
}

fn seconds(window: &Window<'_>) -> f64 {
    (window.to - window.from) as f64 / 1000.0
}

/// The increase or difference over the whole range, extrapolated as Prometheus does: to its ends if the samples come close to
/// them, by half a step beyond the samples otherwise, and never to before a counter was 0. Divided by `per`.
fn extrapolated(window: &Window<'_>, counts: bool, per: f64) -> Option<f64> {
    let samples = window.samples;
    let [(first_at, first), .., (last_at, last)] = samples else {
        return None;
    };
    let mut result = last - first;
    if counts {
        let resets = samples.windows(2).filter(|pair| pair[1].1 < pair[0].1);
        result = resets.fold(result, |result, pair| result + pair[0].1);
    }
    let secs = |millis: i64| millis as f64 / 1000.0;
    let (mut to_start, mut to_end) = (secs(first_at - window.from), secs(window.to - last_at));
    let sampled = secs(last_at - first_at);
    let step = sampled / (samples.len() - 1) as f64;
    let threshold = step * 1.1;
    if to_start >= threshold {
        to_start = step / 2.0;
    }
    if counts && result > 0.0 && *first >= 0.0 {
        to_start = to_start.min(sampled * (first / result));
    }
    if to_end >= threshold {
        to_end = step / 2.0;
    }
    // In this order, for the last digit.
    Some(result * ((sampled + to_start + to_end) / sampled / per))
}

/// From the last two samples.
fn instant(samples: &[(i64, f64)], is_rate: bool) -> Option<f64> {
    let [.., (before_at, before), (at, value)] = samples else {
        return None;
    };
    let change = if is_rate && value < before {
        *value
    } else {
        value - before
    };
    if is_rate {
        Some(change / ((at - before_at) as f64 / 1000.0))
    } else {
        Some(change)
    }
}

/// Slope by second, and value at an instant, of the line through the samples.
#[expect(clippy::float_cmp, reason = "as Prometheus compares")]
fn regression(samples: &[(i64, f64)], at: i64) -> (f64, f64) {
    let first = samples[0].1;
    if samples.iter().all(|(_, value)| *value == first) {
        return if first.is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, first)
        };
    }
    let n = samples.len() as f64;
    let x = |time: i64| (time - at) as f64 / 1000.0;
    let total = |of: &dyn Fn(f64, f64) -> f64| sum(samples.iter().map(|(time, value)| of(x(*time), *value))).value();
    let (sum_x, sum_y) = (total(&|x, _| x), total(&|_, y| y));
    let (sum_xy, sum_x2) = (total(&|x, y| x * y), total(&|x, _| x * x));
    let slope = (sum_xy - sum_x * sum_y / n) / (sum_x2 - sum_x * sum_x / n);
    (slope, sum_y / n - slope * sum_x / n)
}
