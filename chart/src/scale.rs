//! From values and times to pixels and back, and where the ticks go.

/// A linear map from a domain to a range of pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear {
    from: (f64, f64),
    to: (f64, f64),
}

impl Linear {
    /// Maps `from.0` to `to.0` and `from.1` to `to.1`. An empty domain is widened around its value.
    pub fn new(from: (f64, f64), to: (f64, f64)) -> Self {
        let from = if from.1 > from.0 {
            from
        } else {
            let half = (from.0.abs() * 0.05).max(0.5);
            (from.0 - half, from.0 + half)
        };
        Self { from, to }
    }

    /// Pixel of a value; values outside the domain lie outside the range.
    pub fn pixel(&self, value: f64) -> f64 {
        self.to.0 + (value - self.from.0) / (self.from.1 - self.from.0) * (self.to.1 - self.to.0)
    }

    /// Value at a pixel.
    pub fn value(&self, pixel: f64) -> f64 {
        self.from.0 + (pixel - self.to.0) / (self.to.1 - self.to.0) * (self.from.1 - self.from.0)
    }

    pub fn domain(&self) -> (f64, f64) {
        self.from
    }
}

/// Round values inside `low..=high`, about `count` of them and fewer than twice as many, 1, 2 or 5 times a power of ten apart.
pub fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 || count == 0 {
        return Vec::new();
    }
    let rough = span / count as f64;
    let magnitude = 10_f64.powf(rough.log10().floor());
    // Rather a few more than wanted than half as many.
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|m| m * magnitude)
        .find(|s| *s >= rough * 0.7)
        .unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).take(100).map(|n| n as f64 * step).collect()
}

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const STEPS: [i64; 19] = [
    SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
];

/// A tick on a time axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeTick {
    /// Milliseconds since the epoch.
    pub at: i64,
    pub label: String,
}

/// Ticks on round local times, at most `count`. `offset_minutes` is east of UTC. Midnight is labelled with its date.
pub fn time_ticks(from: i64, to: i64, count: usize, offset_minutes: i32) -> Vec<TimeTick> {
    if to <= from || count == 0 {
        return Vec::new();
    }
    let offset = i64::from(offset_minutes) * MINUTE;
    let step = STEPS
        .into_iter()
        .find(|s| (to - from) / s < count as i64)
        .unwrap_or_else(|| {
            let days = (to - from) / DAY / count as i64 + 1;
            days * DAY
        });
    let first = (from + offset).div_euclid(step) * step + step * i64::from((from + offset).rem_euclid(step) != 0);
    (0..)
        .map(|n| first + n * step)
        .take_while(|local| *local <= to + offset)
        .map(|local| TimeTick {
            at: local - offset,
            label: time_label(local, step),
        })
        .collect()
}

fn time_label(local: i64, step: i64) -> String {
    let of_day = local.rem_euclid(DAY);
    if of_day == 0 {
        let (month, day) = month_and_day(local.div_euclid(DAY));
        let name = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ][month - 1];
        return format!("{day} {name}");
    }
    let (hour, minute, second) = (of_day / HOUR, of_day / MINUTE % 60, of_day / SECOND % 60);
    if step < MINUTE {
        format!("{hour:02}:{minute:02}:{second:02}")
    } else {
        format!("{hour:02}:{minute:02}")
    }
}

/// Month 1..=12 and day 1..=31 of a day since the epoch, after Howard Hinnant's `civil_from_days`.
fn month_and_day(days: i64) -> (usize, i64) {
    let shifted = days + 719_468;
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (month as usize, day_of_year - (153 * shifted_month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn corners_map_to_corners() {
        let y = Linear::new((10.0, 20.0), (100.0, 0.0));
        assert!((y.pixel(10.0) - 100.0).abs() < 1e-9);
        assert!((y.pixel(20.0)).abs() < 1e-9);
        assert!((y.value(50.0) - 15.0).abs() < 1e-9);
    }

    #[test]
    fn an_empty_domain_is_centred() {
        for value in [0.0, 7.0, -300.0] {
            let y = Linear::new((value, value), (0.0, 100.0));
            assert!((y.pixel(value) - 50.0).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(0.0, 10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(0.03, 0.17, 4), [0.05, 0.1, 0.15000000000000002]);
        assert_eq!(ticks(-1.0, 1.0, 2), [-1.0, 0.0, 1.0]);
        assert!(ticks(1.0, 1.0, 5).is_empty());
        assert!(ticks(f64::NAN, 1.0, 5).is_empty());
    }

    #[test]
    fn time_ticks_fall_on_local_round_times() {
        let from = 1_678_800_600_000; // 2023-03-14T13:30:00Z
        let labels = |ticks: Vec<TimeTick>| ticks.into_iter().map(|t| t.label).collect::<Vec<_>>();
        assert_eq!(
            labels(time_ticks(from, from + 3 * HOUR, 4, 0)),
            ["14:00", "15:00", "16:00"]
        );
        assert_eq!(labels(time_ticks(from, from + 12 * HOUR, 3, 0)), ["18:00", "15 Mar"]);
        assert_eq!(
            labels(time_ticks(from, from + 2 * MINUTE, 5, 330)),
            ["19:00:00", "19:00:30", "19:01:00", "19:01:30", "19:02:00"]
        );
        assert!(time_ticks(from, from, 4, 0).is_empty());
    }

    proptest! {
        #[test]
        fn pixels_and_values_are_inverse(low in -1e6..1e6_f64, span in 1e-3..1e6_f64, share in 0.0..1.0_f64) {
            let scale = Linear::new((low, low + span), (20.0, 820.0));
            let value = low + span * share;
            prop_assert!((scale.value(scale.pixel(value)) - value).abs() <= 1e-6 * span.max(low.abs()));
        }

        #[test]
        fn ticks_stay_inside_and_few(low in -1e9..1e9_f64, span in 1e-6..1e9_f64, count in 1_usize..12) {
            let ticks = ticks(low, low + span, count);
            prop_assert!(ticks.len() <= 2 * count + 2);
            for tick in ticks {
                prop_assert!(tick >= low - span * 1e-9 && tick <= low + span * (1.0 + 1e-9));
            }
        }

        #[test]
        fn time_ticks_stay_inside_and_few(from in 0_i64..2_000_000_000_000, span in 1_i64..5_000_000_000, count in 1_usize..20) {
            let ticks = time_ticks(from, from + span, count, 60);
            prop_assert!(ticks.len() <= count);
            prop_assert!(ticks.iter().all(|t| t.at >= from && t.at <= from + span));
        }
    }
}
