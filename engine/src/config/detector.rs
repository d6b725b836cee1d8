//! Checks what `halo.toml` says about the fast layer, simple detectors and fixed limits.
//!
//! ```toml
//! [detect.fast]
//! enabled = true                   # for metrics about errors; `fast` of a [[series]] says otherwise for single ones
//! factor = 3.0                     # so many times the baseline of the last hour ...
//! window_secs = 30                 # ... meant over so many seconds raise a provisional signal, which pages nobody
//! min_events = 5                   # fewer events in the window prove nothing
//! confirm_secs = 60                # in which the ensemble must confirm it, or it is dropped
//!
//! [[series]]
//! metric = "queue_depth"
//! detector = "percentile"          # ensemble, percentile, k-sigma or static
//! percentile = 99                  # k-sigma: k = 4; static: above = 100, below = 1
//! window = "7d"
//! for = "10m"
//! ```

use super::context::{Place, RawSeries};
use super::{RawFast, check};
use crate::context::calendar::Length;
use crate::detect::FastConfig;
use crate::detect::simple::{Choice, Limits};

const DAY_MS: i64 = 86_400_000;
/// A window that is shorter holds too few samples, one that is longer too many.
const WINDOWS_MS: std::ops::RangeInclusive<i64> = 60_000..=31 * DAY_MS;
/// What a simple detector has unless it is told otherwise.
const PERCENTILE: f64 = 99.0;
const PERCENTILE_FOR_MS: i64 = 5 * 60_000;
const SIGMAS: f64 = 4.0;

/// `[detect.fast]`
pub(super) fn fast(raw: &RawFast, problems: &mut Vec<String>) -> FastConfig {
    let mut config = FastConfig {
        enabled: raw.enabled.unwrap_or(true),
        ..FastConfig::default()
    };
    if let Some(factor) = raw.factor {
        check(problems, factor.is_finite() && factor > 1.0, || {
            format!("detect.fast.factor: must be above 1, such as 3 for three times the baseline, got {factor}")
        });
        config.factor = factor;
    }
    for (field, secs, target) in [
        ("window_secs", raw.window_secs, &mut config.window_ms),
        ("confirm_secs", raw.confirm_secs, &mut config.confirm_ms),
    ] {
        if let Some(secs) = secs {
            check(problems, (1..=600).contains(&secs), || {
                format!("detect.fast.{field}: must be 1 to 600, got {secs}")
            });
            *target = i64::from(secs) * 1000;
        }
    }
    if let Some(events) = raw.min_events {
        check(problems, events.is_finite() && events >= 1.0, || {
            format!("detect.fast.min_events: must be 1 or above, got {events}")
        });
        config.min_events = events;
    }
    config
}

/// `detector` of a `[[series]]`, with its own settings. `None`: not set, or wrong.
pub(super) fn choice(raw: &RawSeries, place: &mut Place<'_>) -> Option<Choice> {
    let name = raw.detector.as_deref();
    // A setting of another detector would be ignored, and nobody would notice.
    for (field, there, owners) in [
        ("percentile", raw.percentile.is_some(), &["percentile"][..]),
        ("k", raw.k.is_some(), &["k-sigma"]),
        ("window", raw.window.is_some(), &["percentile", "k-sigma"]),
        ("for", raw.lasting.is_some(), &["percentile", "k-sigma", "static"]),
        ("above", raw.above.is_some(), &["static"]),
        ("below", raw.below.is_some(), &["static"]),
    ] {
        if there && !name.is_some_and(|name| owners.contains(&name)) {
            let owners = owners.join("\" or \"");
            let beside = if matches!(field, "above" | "below") {
                format!("; beside another detector write limit_{field}")
            } else if field == "for" {
                "; of limits beside another detector write limit_for".to_owned()
            } else {
                String::new()
            };
            place.problem(field, &format!("belongs to detector = \"{owners}\"{beside}"));
        }
    }
    match name? {
        "ensemble" => Some(Choice::Ensemble),
        "percentile" => {
            let p = raw.percentile.unwrap_or(PERCENTILE);
            place.check(
                p > 50.0 && p <= 99.99,
                "percentile",
                &format!("is in percent, above 50 and at most 99.99, such as 99, got {p}"),
            );
            Some(Choice::Percentile {
                p,
                window_ms: window_ms(raw, place),
                for_ms: duration_ms("for", raw.lasting.as_deref(), place).unwrap_or(PERCENTILE_FOR_MS),
            })
        }
        "k-sigma" => {
            let k = raw.k.unwrap_or(SIGMAS);
            place.check(
                (1.0..=100.0).contains(&k),
                "k",
                &format!("is a number of standard deviations, 1 to 100, such as 4, got {k}"),
            );
            Some(Choice::KSigma {
                k,
                window_ms: window_ms(raw, place),
                for_ms: duration_ms("for", raw.lasting.as_deref(), place).unwrap_or(0),
            })
        }
        "static" => {
            if raw.above.is_none() && raw.below.is_none() {
                place.problem("detector", "static needs a limit: above, below or both");
                return None;
            }
            let for_ms = duration_ms("for", raw.lasting.as_deref(), place).unwrap_or(0);
            limits(["above", "below"], [raw.above, raw.below], for_ms, place).map(Choice::Static)
        }
        other => {
            place.problem(
                "detector",
                &format!("must be ensemble, percentile, k-sigma or static, got {other:?}"),
            );
            None
        }
    }
}

/// `limit_above`, `limit_below`, `limit_for` of a `[[series]]`.
pub(super) fn beside(raw: &RawSeries, place: &mut Place<'_>) -> Option<Limits> {
    let ends = [raw.limit_above, raw.limit_below];
    let for_ms = duration_ms("limit_for", raw.limit_for.as_deref(), place);
    if ends == [None, None] {
        if for_ms.is_some() {
            place.problem("limit_for", "needs limit_above or limit_below");
        }
        return None;
    }
    limits(["limit_above", "limit_below"], ends, for_ms.unwrap_or(0), place)
}

fn limits(names: [&str; 2], ends: [Option<f64>; 2], for_ms: i64, place: &mut Place<'_>) -> Option<Limits> {
    for (name, end) in names.into_iter().zip(ends) {
        if let Some(end) = end {
            place.check(end.is_finite(), name, &format!("must be a number, got {end}"));
        }
    }
    let [above, below] = ends;
    if let (Some(above), Some(below)) = (above, below)
        && below >= above
    {
        let text = format!(
            "{below} must be less than {} ({above}): every value would break one",
            names[0]
        );
        place.problem(names[1], &text);
        return None;
    }
    Some(Limits { above, below, for_ms })
}

fn window_ms(raw: &RawSeries, place: &mut Place<'_>) -> i64 {
    let Some(ms) = duration_ms("window", raw.window.as_deref(), place) else {
        return DAY_MS;
    };
    place.check(
        WINDOWS_MS.contains(&ms),
        "window",
        "must be from a minute to 31 days, such as 1d",
    );
    ms
}

/// A duration in milliseconds; `None` if it is not there, or is none. `0` is written `0s`.
fn duration_ms(field: &str, text: Option<&str>, place: &mut Place<'_>) -> Option<i64> {
    let text = text?;
    if matches!(text.trim(), "0" | "0s" | "0m") {
        return Some(0);
    }
    match Length::parse(text) {
        Ok(length) => Some(length.days * DAY_MS + length.ms),
        Err(problem) => {
            place.problem(field, &problem);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, RawConfig};
    use crate::detect::simple::{Choice, Limits};
    use crate::error::Error;

    #[track_caller]
    fn refused(text: &str, expected: &[&str]) {
        let Err(Error::Config(problems)) = Config::try_from(RawConfig::parse(text).unwrap()) else {
            panic!("must not be accepted: {text}")
        };
        let fields: Vec<_> = problems
            .iter()
            .map(|p| p.split(": ").next().unwrap_or_default())
            .collect();
        assert_eq!(fields, expected, "{problems:?}");
    }

    #[test]
    fn detectors_limits_and_the_fast_layer_are_read() {
        let text = r#"
            [detect.fast]
            factor = 5
            window_secs = 60
            [[series]]
            metric = "queue*"
            detector = "percentile"
            percentile = 99.5
            window = "7d"
            for = "10m"
            [[series]]
            detector = "k-sigma"
            k = 3
            limit_above = 90.0
            limit_for = "5m"
            [[series]]
            detector = "static"
            above = 0.8
            below = 0
            fast = true
            [[series]]
            detector = "ensemble"
        "#;
        let config = Config::try_from(RawConfig::parse(text).unwrap()).unwrap();
        let fast = &config.detect.fast;
        assert!(fast.enabled && (fast.factor - 5.0).abs() < 1e-9);
        assert_eq!((fast.window_ms, fast.confirm_ms), (60_000, 60_000));
        let settings: Vec<_> = config.context.series.iter().map(|rule| &rule.settings).collect();
        let minute = 60_000;
        let expected = [
            Choice::Percentile {
                p: 99.5,
                window_ms: 7 * 1440 * minute,
                for_ms: 10 * minute,
            },
            Choice::KSigma {
                k: 3.0,
                window_ms: 1440 * minute,
                for_ms: 0,
            },
            Choice::Static(Limits {
                above: Some(0.8),
                below: Some(0.0),
                for_ms: 0,
            }),
            Choice::Ensemble,
        ];
        for (settings, choice) in settings.iter().zip(&expected) {
            assert_eq!(settings.detector.as_ref(), Some(choice));
        }
        let beside = Limits {
            above: Some(90.0),
            below: None,
            for_ms: 5 * minute,
        };
        assert_eq!((settings[1].limits, settings[2].fast), (Some(beside), Some(true)));
        assert_eq!((settings[0].limits, settings[0].fast), (None, None));
    }

    #[test]
    fn every_problem_is_named_with_its_place() {
        refused(
            r#"
            [detect.fast]
            factor = 1.0
            window_secs = 0
            confirm_secs = 9000
            min_events = 0
            [[series]]
            detector = "magic"
            [[series]]
            detector = "percentile"
            percentile = 0.99
            k = 3
            window = "5s"
            [[series]]
            detector = "k-sigma"
            k = 0
            for = "soon"
            [[series]]
            detector = "static"
            [[series]]
            above = 3
            [[series]]
            limit_above = 1.0
            limit_below = 2.0
            [[series]]
            limit_for = "5m"
            [[series]]
            detector = "static"
            above = nan
            "#,
            &[
                "detect.fast.factor",
                "detect.fast.window_secs",
                "detect.fast.confirm_secs",
                "detect.fast.min_events",
                "series[0].detector",
                "series[1].k",
                "series[1].percentile",
                "series[1].window",
                "series[2].k",
                "series[2].for",
                "series[3].detector",
                "series[4].above",
                "series[5].limit_below",
                "series[6].limit_for",
                "series[7].above",
            ],
        );
    }
}
