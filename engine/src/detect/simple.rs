//! Detectors for people who want a rule they can compute in their head: percentile, k-sigma, fixed limits.
//!
//! A user names one for a series (`[[series]] detector = "k-sigma"`), and from then on it decides alone, in the ensemble's
//! place. Fixed limits may also stand beside any detector. `for` means what it means in a Prometheus alert rule: the condition
//! must have held at every sample for so long. O(1) a sample; only series that use one pay for it.

mod moments;
mod quantile;

pub use moments::Moments;
pub use quantile::Quantiles;

use super::Expected;
use super::calibration::squash;
use super::explain::{number, span};
use crate::features::Polarity;
use wire::Timestamp;
use wire::series::{MemberVote, SeriesInfo};

/// Samples behind a mean before k-sigma speaks.
const MIN_SAMPLES: u64 = 30;
/// Samples that lie beyond a percentile before it speaks: two, or nobody knows where it is.
const MIN_BEYOND: f64 = 2.0;
/// A spread below this part of the mean is rounding.
const ROUNDING: f64 = 1e-9;

/// Which detector decides about a series.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// The four members together.
    Ensemble,
    /// Beyond a percentile of the last `window_ms`. `p` in percent, above 50 and below 100; where falls hurt, `100 - p`.
    Percentile { p: f64, window_ms: i64, for_ms: i64 },
    /// More than `k` standard deviations from the mean of the last `window_ms`.
    KSigma { k: f64, window_ms: i64, for_ms: i64 },
    /// Fixed limits alone.
    Static(Limits),
}

/// Limits that a value must not cross for longer than `for_ms`. At least one is there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    pub above: Option<f64>,
    pub below: Option<f64>,
    pub for_ms: i64,
}

impl Limits {
    /// The limit that `value` breaks.
    pub fn broken(&self, value: f64) -> Option<f64> {
        self.above
            .filter(|limit| value > *limit)
            .or(self.below.filter(|limit| value < *limit))
    }
}

/// How long a condition has held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held(Option<Timestamp>);

impl Held {
    /// Whether a condition that holds at `at` has held for long enough.
    pub fn lasts(self, at: Timestamp, for_ms: i64) -> bool {
        at.millis_since(self.0.unwrap_or(at)) >= for_ms
    }

    /// Notes whether it holds at `at`.
    pub fn note(&mut self, at: Timestamp, holds: bool) {
        self.0 = holds.then(|| self.0.unwrap_or(at));
    }
}

/// What a simple detector makes of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Middle and band; `None` before there is enough to know.
    pub expected: Option<Expected>,
    /// The score is 0..1, 0.7 just at the border.
    pub vote: MemberVote,
    pub anomaly: bool,
    /// 0..1, 1 once it speaks.
    pub confidence: f32,
}

/// A simple detector of one series.
#[derive(Clone, Debug)]
pub struct Simple {
    rule: Rule,
    for_ms: i64,
    polarity: Polarity,
    held: Held,
}

#[derive(Clone, Debug)]
enum Rule {
    Percentile { p: f64, past: Quantiles, window_ms: i64 },
    KSigma { k: f64, past: Moments, window_ms: i64 },
    Static(Limits),
}

impl Simple {
    /// The detector that `choice` names; `None` for the ensemble.
    pub fn of(choice: &Choice, info: &SeriesInfo) -> Option<Self> {
        let (rule, for_ms) = match *choice {
            Choice::Ensemble => return None,
            Choice::Percentile { p, window_ms, for_ms } => {
                let past = Quantiles::new(window_ms);
                (Rule::Percentile { p, past, window_ms }, for_ms)
            }
            Choice::KSigma { k, window_ms, for_ms } => {
                let past = Moments::new(window_ms);
                (Rule::KSigma { k, past, window_ms }, for_ms)
            }
            Choice::Static(limits) => (Rule::Static(limits), limits.for_ms),
        };
        Some(Self {
            rule,
            for_ms,
            polarity: Polarity::of(info),
            held: Held::default(),
        })
    }

    /// What it says of a finite value, given all before it. Changes nothing.
    pub fn read(&self, at: Timestamp, value: f64) -> Reading {
        let (expected, confidence) = self.expected();
        let (relative, broken) = match (&self.rule, expected) {
            (Rule::Static(limits), _) => {
                let broken = limits.broken(value).is_some();
                (if broken { 1.0 } else { 0.0 }, broken)
            }
            (_, Some(band)) => self.beyond(&band, value),
            (_, None) => (0.0, false),
        };
        Reading {
            expected,
            vote: MemberVote {
                score: squash(relative),
                vote: broken,
            },
            anomaly: broken && self.held.lasts(at, self.for_ms),
            confidence,
        }
    }

    /// Takes in a sample. What may not teach still counts for how long a condition holds.
    pub fn learn(&mut self, at: Timestamp, value: f64, teach: bool) {
        let broken = self.read(at, value).vote.vote;
        self.held.note(at, broken);
        if teach {
            match &mut self.rule {
                Rule::Percentile { past, .. } => past.add(at, value),
                Rule::KSigma { past, .. } => past.add(at, value),
                Rule::Static(_) => {}
            }
        }
    }

    /// Whether it looks at fixed limits alone.
    pub fn is_fixed(&self) -> bool {
        matches!(self.rule, Rule::Static(_))
    }

    /// The limit that `value` breaks, of fixed limits.
    pub fn broken(&self, value: f64) -> Option<f64> {
        match &self.rule {
            Rule::Static(limits) => limits.broken(value),
            _ => None,
        }
    }

    /// What it says of a value that it objects to, with its name.
    pub fn describe(&self, value: f64) -> String {
        let (expected, _) = self.expected();
        let side = |middle: f64| if value >= middle { "above" } else { "below" };
        match (&self.rule, expected) {
            (Rule::KSigma { window_ms, .. }, Some(band)) => format!(
                "k-sigma (set in halo.toml): {} sigma {} the mean of the last {}",
                number((value - band.mean).abs() / band.scale),
                side(band.mean),
                span(*window_ms)
            ),
            (Rule::Percentile { p, window_ms, .. }, Some(band)) => {
                let p = if value >= band.mean { *p } else { 100.0 - *p };
                format!(
                    "percentile (set in halo.toml): {} the {} % percentile of the last {}",
                    side(band.mean),
                    number(p),
                    span(*window_ms)
                )
            }
            (Rule::Static(limits), _) => limits
                .broken(value)
                .map_or_else(String::new, |limit| broken_limit("static", limit, value)),
            (_, None) => String::new(),
        }
    }

    /// Settings of its own under which `value` would be none.
    pub fn settings(&self, value: f64) -> Option<String> {
        match (&self.rule, self.expected().0) {
            (Rule::KSigma { .. }, Some(band)) => {
                let sigmas = (value - band.mean).abs() / band.scale;
                Some(format!("k = {}", rounded_up(sigmas)))
            }
            (Rule::Static(limits), _) => limit_setting(limits, value, ["above", "below"]),
            _ => None,
        }
    }

    /// Middle and band, and how far they are known.
    fn expected(&self) -> (Option<Expected>, f32) {
        let (known, band) = match &self.rule {
            Rule::Static(_) => return (None, 1.0),
            Rule::KSigma { k, past, .. } => {
                let known = past.len() as f64 / MIN_SAMPLES as f64;
                (
                    known,
                    past.mean_and_deviation().map(|(mean, deviation)| {
                        let scale = deviation.max(ROUNDING * mean.abs()).max(f64::MIN_POSITIVE);
                        Expected {
                            mean,
                            lower: mean - k * scale,
                            upper: mean + k * scale,
                            scale,
                        }
                    }),
                )
            }
            Rule::Percentile { p, past, .. } => {
                let known = past.len() as f64 * (1.0 - p / 100.0) / MIN_BEYOND;
                let at = |p: f64| past.quantile(p / 100.0);
                let band = || {
                    let (low, middle, high) = (at(100.0 - p)?, at(50.0)?, at(*p)?);
                    // The side that does not hurt mirrors the other.
                    let (mean, reach) = match self.polarity {
                        Polarity::Up => (middle, high - middle),
                        Polarity::Down => (middle, middle - low),
                        Polarity::Both => (0.5 * low + 0.5 * high, 0.5 * high - 0.5 * low),
                    };
                    let reach = reach.max(ROUNDING * mean.abs()).max(f64::MIN_POSITIVE);
                    Some(Expected {
                        mean,
                        lower: mean - reach,
                        upper: mean + reach,
                        scale: 0.5 * reach.max(2.0 * f64::MIN_POSITIVE),
                    })
                };
                (known, (known >= 1.0).then(band).flatten())
            }
        };
        let band = band.filter(|band| known >= 1.0 && band.lower.is_finite() && band.upper.is_finite());
        (band, known.min(1.0) as f32)
    }

    /// How far a value is on its way from the middle to the border (1: at it), and whether it is beyond.
    fn beyond(&self, band: &Expected, value: f64) -> (f32, bool) {
        let hurts = match self.polarity {
            Polarity::Up => value >= band.mean,
            Polarity::Down => value <= band.mean,
            Polarity::Both => true,
        };
        let broken = hurts && (value > band.upper || value < band.lower);
        let reach = (band.upper - band.mean).max(f64::MIN_POSITIVE);
        let relative = ((value - band.mean).abs() / reach).min(1e6) as f32;
        // At the border itself, whatever the rounding: broken and 1 go together.
        (if broken { relative.max(1.0) } else { relative.min(1.0) }, broken)
    }
}

/// What a broken limit says; `name` is how the limit was set.
pub fn broken_limit(name: &str, limit: f64, value: f64) -> String {
    let side = if value > limit { "above" } else { "below" };
    format!(
        "{name} limit (set in halo.toml): {} is {side} {}",
        number(value),
        number(limit)
    )
}

/// The setting of a limit under which `value` would not break it.
pub fn limit_setting(limits: &Limits, value: f64, [above, below]: [&str; 2]) -> Option<String> {
    let limit = limits.broken(value)?;
    let name = if value > limit { above } else { below };
    Some(format!("{name} = {value}"))
}

/// A number of two digits, greater than `x`.
pub fn rounded_up(x: f64) -> f64 {
    if !x.is_finite() || x <= 0.0 {
        return f64::MIN_POSITIVE;
    }
    let unit = 10_f64.powf(x.log10().floor() - 1.0);
    let up = ((x / unit).floor() + 1.0) * unit;
    // Through text, so that 0.30000000000000004 is 0.3.
    let text = format!("{up:.1e}");
    text.parse().ok().filter(|y| *y > x).unwrap_or(up)
}

#[cfg(test)]
mod tests;
