//! Which way is bad: a rise of latency hurts, a fall of availability hurts, traffic may hurt both ways.

use wire::series::{MetricClass, SeriesInfo};

/// How much a deviation in the harmless direction counts.
const HARMLESS: f32 = 0.2;

/// The direction in which a deviation of a metric hurts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// A rise hurts: latency, errors.
    Up,
    /// A fall hurts: availability, success rate.
    Down,
    /// Either may hurt.
    Both,
}

impl Polarity {
    /// Polarity of a series, from its class and its name.
    pub fn of(info: &SeriesInfo) -> Self {
        const GOOD_WHEN_HIGH: &[&str] = &["availab", "success", "uptime", "healthy", "hit_ratio", "apdex"];
        let name = info.metric.to_lowercase();
        match info.class {
            MetricClass::Errors if GOOD_WHEN_HIGH.iter().any(|word| name.contains(word)) => Self::Down,
            MetricClass::Errors | MetricClass::Latency => Self::Up,
            MetricClass::Traffic | MetricClass::Saturation | MetricClass::Other => Self::Both,
        }
    }

    /// Turns a z-score so that what hurts is positive, and damps what does not hurt.
    #[inline]
    pub fn apply(self, z: f32) -> f32 {
        let z = if self == Self::Down { -z } else { z };
        if self != Self::Both && z < 0.0 { z * HARMLESS } else { z }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Labels, info_from_labels};

    #[track_caller]
    fn check(metric: &str, expected: Polarity) {
        let info = info_from_labels(&Labels::of("e", metric, None));
        assert_eq!(Polarity::of(&info), expected, "{metric}");
    }

    #[test]
    fn names_of_the_field_have_the_direction_that_hurts() {
        check("latency", Polarity::Up);
        check("http_errors_total", Polarity::Up);
        check("availability", Polarity::Down);
        check("requests", Polarity::Both);
        check("cpu_usage", Polarity::Both);
    }

    #[test]
    fn harm_is_positive_and_the_rest_is_damped() {
        assert!(Polarity::Down.apply(-3.0) > 2.9);
        assert!(Polarity::Down.apply(3.0).abs() < 1.0);
        assert!(Polarity::Both.apply(-3.0) < -2.9);
    }
}
