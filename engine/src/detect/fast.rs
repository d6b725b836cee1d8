//! The fast layer: a provisional signal within one sample, which the ensemble confirms or drops within a minute.
//!
//! For metrics where every second counts, error rates above all. A series is *hot* when its mean over the last seconds is
//! several times its own baseline of the last hour, above everything of about the last day, and when the excess is proof:
//! many of the baseline's own deviations, and for counts many events, more than chance gives (Poisson). So the first error of
//! an idle service is not hot. A hot series raises a signal; it is no anomaly, and pages nobody. If the ensemble calls an
//! anomaly in time, that anomaly began when the signal did; if not, the signal is dropped, and the series must cool down
//! before it can raise another. O(1) a sample, about 200 bytes for each series that uses it. Times are the data's own.

use crate::features::Polarity;
use wire::Timestamp;
use wire::series::{MetricClass, SeriesInfo, SeriesKind};

/// Samples, and the time they must span, before a baseline says anything.
const MIN_SEEN: u32 = 30;
const MIN_SPAN_MS: i64 = 30 * 60_000;
/// Time that the baseline remembers, and at most so many samples.
const MEMORY_MS: f64 = 3_600_000.0;
const MEMORY_SAMPLES: f64 = 2_880.0;
/// Time that the greatest level is remembered, fading.
const PEAK_MS: f64 = 86_400_000.0;
/// An excess of fewer of the baseline's own standard deviations is no proof.
const MIN_DEVIATIONS: f64 = 6.0;
/// A baseline below this part of the level is none: a ratio that was 0 needs a second sample, one request may have failed.
const NOTHING: f64 = 0.01;
/// Hot samples in a row after which they teach all the same: nobody objected.
const LONG_RUN: u8 = 64;
/// Mean absolute deviation to standard deviation of a normal.
const TO_SIGMA: f64 = 1.2533;
/// Where differences cannot overflow.
const VALUE_MAX: f64 = 1e150;

/// Settings: `[detect.fast]`.
#[derive(Clone, Debug, PartialEq)]
pub struct FastConfig {
    /// Whether metrics of class errors use it; `[[series]] fast` says otherwise for single ones.
    pub enabled: bool,
    /// So many times the baseline is hot, > 1.
    pub factor: f64,
    /// The time over which that is meant.
    pub window_ms: i64,
    /// Within this time, or at the next sample if that comes later, the ensemble confirms; else the signal is dropped.
    pub confirm_ms: i64,
    /// Fewer events in the window than this prove nothing, where a series counts.
    pub min_events: f64,
}

impl Default for FastConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            factor: 3.0,
            window_ms: 30_000,
            confirm_ms: 60_000,
            min_events: 5.0,
        }
    }
}

/// What the fast layer says of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    pub state: SignalState,
    /// Since when.
    pub since: Timestamp,
}

/// How a signal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalState {
    /// The ensemble has not spoken.
    Provisional,
    /// It called an anomaly, which lasts.
    Confirmed,
    /// It did not in time: said once.
    Dropped,
}

/// One series of the fast layer.
#[derive(Clone, Debug)]
pub struct Fast {
    config: FastConfig,
    /// A fall hurts: what is missing to the best value counts.
    falls: bool,
    /// The best value of a series whose falls hurt: 1, or 100, or the greatest seen.
    best: f64,
    /// Every value so far was whole: a count.
    whole: bool,
    /// Values are rates per second: what was counted since the last sample is its rate times the time between.
    rate: bool,
    first: Timestamp,
    last: Option<Timestamp>,
    seen: u32,
    /// Mean over the window, baseline, and the mean distance between the two.
    level: f64,
    base: f64,
    spread: f64,
    /// Greatest level lately.
    peak: f64,
    /// Samples that one window holds, as far as the last step says.
    per_window: f64,
    /// Hot samples in a row.
    hot: u8,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Calm,
    /// `told`: whether anybody heard of it, or only the past that was learnt.
    Raised {
        since: Timestamp,
        told: bool,
    },
    Confirmed(Timestamp),
    /// Over, one way or the other, and several times the baseline still.
    Cooling,
}

/// What became of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub signal: Option<Signal>,
    /// Whether the signal is in this state since this very sample.
    pub fresh: bool,
}

impl Fast {
    /// A series that uses the fast layer. `asked`: whether its own settings say so; else it does if it is about errors.
    /// `None`: it does not.
    pub fn of(info: &SeriesInfo, asked: Option<bool>, config: &FastConfig) -> Option<Self> {
        let wanted = asked.unwrap_or(config.enabled && info.class == MetricClass::Errors);
        wanted.then(|| Self {
            config: config.clone(),
            falls: Polarity::of(info) == Polarity::Down,
            best: 1.0,
            whole: true,
            rate: info.kind == SeriesKind::Counter,
            first: Timestamp::default(),
            last: None,
            seen: 0,
            level: 0.0,
            base: 0.0,
            spread: 0.0,
            peak: 0.0,
            per_window: 1.0,
            hot: 0,
            state: State::Calm,
        })
    }

    /// Takes in a sample and says whether the series is hot. A sample that is not finite, or not after the last one, changes
    /// nothing. `teach`: whether the sample may teach.
    pub fn look(&mut self, at: Timestamp, value: f64, teach: bool) -> bool {
        let in_order = self.last.is_none_or(|last| at > last);
        if !value.is_finite() || !in_order {
            return self.hot > 0;
        }
        let value = value.clamp(-VALUE_MAX, VALUE_MAX);
        let Some(last) = self.last.replace(at) else {
            self.first = at;
            // What a rate counted before the first sample nobody knows.
            if !self.rate {
                self.follow_kind(value);
                self.level = self.measure(value);
            }
            return false;
        };
        let passed = at.millis_since(last).max(1) as f64;
        let value = if self.rate { counted(value, passed) } else { value };
        if self.follow_kind(value) {
            // It is another quantity than was thought.
            self.seen = 0;
            self.first = at;
        }
        let part = (passed / self.config.window_ms as f64).min(1.0);
        self.per_window = 1.0 / part;
        let measured = self.measure(value);
        self.level += part * (measured - self.level);
        self.hot = if self.is_hot(at) { self.hot.saturating_add(1) } else { 0 };
        if teach {
            self.learn(passed);
        }
        self.hot > 0 && (self.base > NOTHING * self.level || self.whole || self.hot > 1)
    }

    /// Moves the signal on after [`Fast::look`]. `hot`: what that said, unless there is a reason to keep quiet. `anomaly`: what
    /// the ensemble decided.
    pub fn step(&mut self, at: Timestamp, hot: bool, anomaly: bool) -> Step {
        let said = |state, since, fresh| Step {
            signal: Some(Signal { state, since }),
            fresh,
        };
        match self.state {
            // The ensemble was as fast: nothing is provisional.
            State::Calm | State::Cooling if anomaly => {
                if hot {
                    self.state = State::Cooling;
                }
                Step::default()
            }
            State::Calm if hot => {
                self.state = State::Raised { since: at, told: true };
                said(SignalState::Provisional, at, true)
            }
            State::Cooling if self.level < self.config.factor * self.base.max(f64::MIN_POSITIVE) => {
                self.state = State::Calm;
                Step::default()
            }
            State::Calm | State::Cooling => Step::default(),
            State::Raised { since, told } => {
                if anomaly {
                    self.state = State::Confirmed(since);
                    // One from before a start was raised where nobody counted.
                    said(SignalState::Confirmed, since, told)
                } else if at.millis_since(since) >= self.config.confirm_ms {
                    self.state = State::Cooling;
                    if told {
                        said(SignalState::Dropped, since, true)
                    } else {
                        Step::default()
                    }
                } else {
                    self.state = State::Raised { since, told: true };
                    said(SignalState::Provisional, since, !told)
                }
            }
            State::Confirmed(since) if anomaly => said(SignalState::Confirmed, since, false),
            State::Confirmed(_) => {
                self.state = State::Cooling;
                Step::default()
            }
        }
    }

    /// Takes in the past of a series: what it raised lately and nobody has confirmed is provisional still.
    pub fn bootstrap(&mut self, history: &[(Timestamp, f64)]) {
        for &(at, value) in history {
            let hot = self.look(at, value, true);
            self.step(at, hot, false);
        }
        if let State::Raised { told, .. } = &mut self.state {
            *told = false;
        }
    }

    /// Learns what kind of number the series holds. Whether that changed.
    fn follow_kind(&mut self, value: f64) -> bool {
        let old = self.best;
        if self.falls {
            let scale = if value <= 1.0 { 1.0 } else { value.max(100.0) };
            self.best = self.best.max(scale);
        }
        self.whole &= value.fract().abs() <= 0.0;
        old.to_bits() != self.best.to_bits()
    }

    /// What hurts about a value: 0 or more.
    fn measure(&self, value: f64) -> f64 {
        let hurts = if self.falls { self.best - value } else { value };
        hurts.max(0.0)
    }

    fn is_hot(&self, at: Timestamp) -> bool {
        let excess = self.level - self.base;
        let n = self.per_window;
        let learnt = self.seen >= MIN_SEEN && at.millis_since(self.first) >= MIN_SPAN_MS;
        learnt
            && excess > 0.0
            && self.level >= self.config.factor * self.base
            && self.level > self.peak
            && excess >= MIN_DEVIATIONS * TO_SIGMA * self.spread
            && (!self.whole || self.falls || {
                let events = excess * n;
                events >= self.config.min_events && events >= MIN_DEVIATIONS * (self.base * n).max(1.0).sqrt()
            })
    }

    fn learn(&mut self, passed_ms: f64) {
        self.peak -= self.peak * (passed_ms / PEAK_MS).min(1.0);
        // What may be a fault teaches nothing until somebody has said that it is none.
        let suspect = (1..LONG_RUN).contains(&self.hot) && !matches!(self.state, State::Cooling);
        if suspect || matches!(self.state, State::Confirmed(_)) {
            return;
        }
        self.seen = self.seen.saturating_add(1);
        let memory = (MEMORY_MS / passed_ms).clamp(f64::from(MIN_SEEN), MEMORY_SAMPLES);
        let gain = 1.0 / memory.min(f64::from(self.seen));
        let apart = self.level - self.base;
        self.base += gain * apart;
        self.spread += gain * (apart.abs() - self.spread);
        self.peak = self.peak.max(self.level);
    }
}

/// What a rate per second counted in a time: whole, as counts are, but for rounding.
fn counted(per_second: f64, passed_ms: f64) -> f64 {
    let counted = (per_second * passed_ms / 1000.0).clamp(-VALUE_MAX, VALUE_MAX);
    let whole = counted.round();
    if (counted - whole).abs() <= 1e-6 * whole.abs().max(1.0) {
        whole
    } else {
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Labels, info_from_labels, kind_by_name, set_kind};
    use proptest::prelude::*;

    fn fast(metric: &str) -> Fast {
        let mut info = info_from_labels(&Labels::of("cart", metric, None));
        let kind = kind_by_name(&info);
        set_kind(&mut info, kind);
        Fast::of(&info, Some(true), &FastConfig::default()).unwrap()
    }

    /// Errors in each step of a series that has `base` of them, more or less.
    fn ordinary(i: i64, base: f64) -> f64 {
        (base + [0.0, 1.0, -1.0, 2.0, 0.0, -2.0][(i % 6) as usize]).max(0.0)
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_700_000_000 + secs)
    }

    /// A series that has lived for two hours, and the time of its next sample.
    fn lived(metric: &str, step: i64, value: impl Fn(i64) -> f64) -> (Fast, i64) {
        let mut fast = fast(metric);
        let n = 7200 / step;
        for i in 0..n {
            let hot = fast.look(at(i * step), value(i), true);
            assert_eq!(fast.step(at(i * step), hot, false), Step::default(), "sample {i}");
        }
        (fast, n * step)
    }

    #[test]
    fn three_times_the_baseline_is_raised_within_one_sample() {
        let (mut fast, now) = lived("errors", 30, |i| ordinary(i, 10.0));
        assert!(!fast.clone().look(at(now), 24.0, true), "not three times as many");
        let hot = fast.look(at(now), 40.0, true);
        let step = fast.step(at(now), hot, false);
        let signal = Signal {
            state: SignalState::Provisional,
            since: at(now),
        };
        assert_eq!(
            step,
            Step {
                signal: Some(signal),
                fresh: true
            }
        );
    }

    #[test]
    fn many_short_steps_count_as_one_window() {
        let (mut fast, now) = lived("errors", 1, |i| ordinary(i, 10.0));
        // Five times the rate is three times the mean of the last 30 s after some 20 s.
        let raised = (0..30).find(|i| fast.look(at(now + i), 50.0, true)).unwrap();
        assert!((10..25).contains(&raised), "{raised}");
    }

    #[test]
    fn the_first_error_of_an_idle_service_is_no_news() {
        let (fast, now) = lived("errors", 30, |_| 0.0);
        for (errors, hot) in [(1.0, false), (5.0, false), (12.0, true)] {
            assert_eq!(fast.clone().look(at(now), errors, true), hot, "{errors}");
        }
        // Of a ratio nobody knows how many requests are behind it: a second sample must say the same.
        let (mut fast, now) = lived("error_ratio", 30, |_| 0.0);
        assert!(!fast.look(at(now), 0.5, true) && fast.look(at(now + 30), 0.4, true));
        let (mut fast, now) = lived("error_ratio", 30, |_| 0.0);
        assert!(!fast.look(at(now), 0.5, true) && !fast.look(at(now + 30), 0.0, true));
    }

    #[test]
    fn availability_counts_what_is_missing_and_a_rate_what_it_counted() {
        let (mut fast, now) = lived("availability", 30, |i| 99.9 - 0.01 * ordinary(i, 2.0));
        assert!(fast.look(at(now), 97.0, true));
        let rate = |errors: f64| errors / 30.0;
        let (fast, now) = lived("errors_total", 30, |i| rate(ordinary(i, 10.0)));
        assert!(fast.rate && fast.whole, "counts are whole: {fast:?}");
        assert!(!fast.clone().look(at(now), rate(11.0), true) && fast.clone().look(at(now), rate(60.0), true));
        let mut falling = fast.clone();
        assert!(!falling.look(at(now), rate(4.0), true) && !falling.look(at(now + 30), rate(9.0), true));
        // One error a minute of an idle service proves no more as a rate than as a count.
        let (mut idle, now) = lived("errors_total", 60, |_| 0.0);
        assert!((0..5).all(|i| !idle.look(at(now + 60 * i), 1.0 / 60.0, true)));
    }

    #[test]
    fn the_ensemble_confirms_and_the_start_stays() {
        let (mut fast, now) = lived("errors", 10, |i| ordinary(i, 10.0));
        let mut said = Vec::new();
        for i in 0..6 {
            let hot = fast.look(at(now + 10 * i), 300.0, true);
            let anomaly = (2..4).contains(&i);
            said.push(fast.step(at(now + 10 * i), hot, anomaly));
        }
        let states: Vec<_> = said.iter().map(|s| s.signal.map(|s| (s.state, s.since))).collect();
        let (provisional, confirmed) = (SignalState::Provisional, SignalState::Confirmed);
        assert_eq!(
            states,
            [
                Some((provisional, at(now))),
                Some((provisional, at(now))),
                Some((confirmed, at(now))),
                Some((confirmed, at(now))),
                None,
                None
            ]
        );
        let fresh: Vec<_> = said.iter().map(|s| s.fresh).collect();
        assert_eq!(fresh, [true, false, true, false, false, false]);
    }

    #[test]
    fn what_the_ensemble_does_not_confirm_is_dropped_after_a_minute_and_not_raised_again() {
        let (mut fast, now) = lived("errors", 10, |i| ordinary(i, 10.0));
        let mut states = Vec::new();
        for i in 0..600 {
            let hot = fast.look(at(now + 10 * i), 60.0, true);
            states.push(fast.step(at(now + 10 * i), hot, false).signal.map(|s| s.state));
        }
        let raised = states.iter().position(Option::is_some).unwrap();
        assert!(raised <= 2, "{raised}");
        assert!(
            states[raised..raised + 6]
                .iter()
                .all(|s| *s == Some(SignalState::Provisional))
        );
        assert_eq!(states[raised + 6], Some(SignalState::Dropped));
        assert!(
            states[raised + 7..].iter().all(Option::is_none),
            "it is the new normal, once"
        );
    }

    #[test]
    fn what_the_ensemble_called_at_once_is_not_raised_when_it_has_become_normal() {
        let (mut fast, now) = lived("errors", 60, |i| ordinary(i, 10.0));
        for i in 0..500 {
            let hot = fast.look(at(now + 60 * i), 60.0, true);
            assert!(hot || i > 0);
            assert_eq!(fast.step(at(now + 60 * i), hot, i < 20), Step::default(), "sample {i}");
        }
    }

    #[test]
    fn what_was_suspected_before_a_start_still_is_and_ends_in_time() {
        let (mut fast, now) = lived("errors", 10, |i| ordinary(i, 10.0));
        fast.bootstrap(&[(at(now), 300.0), (at(now + 10), 300.0)]);
        let mut confirmed = fast.clone();
        let hot = fast.look(at(now + 20), 300.0, true);
        let step = fast.step(at(now + 20), hot, false);
        let since = step.signal.map(|s| s.since);
        assert!(step.fresh && since == Some(at(now)), "told now, begun then: {step:?}");
        // Long after, it is gone without a word, for nobody heard of it.
        let hot = confirmed.look(at(now + 500), 10.0, true);
        assert_eq!(confirmed.step(at(now + 500), hot, false), Step::default());
    }

    #[test]
    fn only_errors_use_it_unless_told() {
        let of = |metric: &str, asked, enabled| {
            let config = FastConfig {
                enabled,
                ..FastConfig::default()
            };
            Fast::of(&info_from_labels(&Labels::of("cart", metric, None)), asked, &config).is_some()
        };
        assert!(of("errors", None, true) && !of("latency", None, true) && of("latency", Some(true), true));
        assert!(!of("errors", None, false) && !of("errors", Some(false), true));
    }

    proptest! {
        #[test]
        fn whatever_enters_nothing_breaks_and_a_signal_ends(values in prop::collection::vec(prop_oneof![0.0..1e3_f64, any::<f64>()], 1..200), step in 1i64..400) {
            let mut fast = fast("errors");
            let mut since = None;
            for (i, value) in values.into_iter().enumerate() {
                let now = at(i as i64 * step);
                let hot = fast.look(now, value, true);
                let said = fast.step(now, hot, false).signal;
                if let Some(signal) = said.filter(|s| s.state == SignalState::Provisional) {
                    prop_assert!(now.millis_since(signal.since) < 60_000);
                    prop_assert!(since.is_none_or(|s| s == signal.since));
                    since = Some(signal.since);
                } else {
                    since = None;
                }
                for number in [fast.level, fast.base, fast.spread, fast.peak] {
                    prop_assert!(number.is_finite() && number >= 0.0);
                }
            }
        }
    }
}
