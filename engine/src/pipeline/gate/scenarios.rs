//! The fast layer, simple detectors, limits and explanations in the whole loop, in simulated time.

use crate::config::{Config, RawConfig};
use crate::correlate::Incident;
use crate::detect::{Detection, Effort, Models, SignalState, Why};
use crate::pipeline::{Lane, LaneConfig, LaneOutput};
use crate::series::{Labels, info_from_labels};
use std::sync::{Arc, OnceLock};
use wire::Timestamp;
use wire::status::Provisional;

/// One series in a lane of its own.
struct World {
    lane: Lane,
    step_ms: i64,
    out: LaneOutput,
    counts: Provisional,
}

impl World {
    /// A series with `history` samples of a past.
    fn new(toml: &str, metric: &str, step_secs: i64, history: &[f64]) -> Self {
        static MODELS: OnceLock<Arc<Models>> = OnceLock::new();
        let models = MODELS.get_or_init(|| Arc::new(Models::bundled().unwrap()));
        let config = Config::try_from(RawConfig::parse(toml).unwrap()).unwrap();
        let config = LaneConfig {
            detect: config.detect,
            brain: config.brain,
            context: config.context,
            source: Arc::from("test"),
        };
        let mut lane = Lane::new(config, Arc::clone(models));
        let mut info = info_from_labels(&Labels::of("cart", metric, None));
        info.step_ms = step_secs * 1000;
        lane.add_series(info);
        let mut world = Self {
            lane,
            step_ms: step_secs * 1000,
            out: LaneOutput::default(),
            counts: Provisional::default(),
        };
        let past: Vec<_> = (0..).zip(history).map(|(i, &value)| (world.at(i), value)).collect();
        world.lane.bootstrap(0, &past);
        world
    }

    fn at(&self, i: usize) -> Timestamp {
        Timestamp(1_700_000_000_000 + i as i64 * self.step_ms)
    }

    fn take(&mut self, i: usize, value: f64) -> Detection {
        let at = self.at(i);
        self.out.clear();
        self.lane.step(at, &[(0, at, value)], Effort::Full, &mut self.out);
        self.counts.add(self.out.gate.provisional);
        self.out.detections[0]
    }

    fn why(&self) -> &Why {
        &self.out.gate.whys[0].1
    }

    fn incidents(&self) -> Vec<&Incident> {
        self.lane.incidents().collect()
    }

    fn sentence(&self, detection: &Detection) -> String {
        let info = self.lane.info(0);
        self.lane.detector().explain(info, detection, Some(self.why()))
    }
}

/// Around ten errors in each step, more or less.
fn errors(i: usize) -> f64 {
    8.0 + (i * 7919 % 101) as f64 / 25.0
}

fn ordinary(n: usize) -> Vec<f64> {
    (0..n).map(errors).collect()
}

const HISTORY: usize = 1000;

#[test]
fn a_provisional_signal_that_is_confirmed_is_where_the_incident_begins() {
    let mut world = World::new("", "errors", 10, &ordinary(HISTORY));
    let first = world.take(HISTORY, 300.0);
    let signal = first.signal.expect("raised within one sample");
    assert_eq!((signal.state, signal.since), (SignalState::Provisional, first.at));
    assert!(!first.anomaly && world.incidents().is_empty(), "it pages nobody");
    let mut confirmed = None;
    for i in 1..6 {
        let next = world.take(HISTORY + i, 300.0 + i as f64);
        assert_eq!(next.signal.map(|s| s.since), Some(first.at));
        confirmed = confirmed.or(next.anomaly.then_some(next));
    }
    let confirmed = confirmed.expect("confirmed within a minute");
    assert_eq!(confirmed.signal.map(|s| s.state), Some(SignalState::Confirmed));
    assert_eq!(confirmed.began(), first.at);
    assert_eq!(
        (world.counts.raised, world.counts.confirmed, world.counts.dropped),
        (1, 1, 0)
    );
    let incidents = world.incidents();
    assert_eq!(incidents.len(), 1);
    assert_eq!(incidents[0].started, first.at);
    assert_eq!(world.why().since, first.at);
}

#[test]
fn what_the_ensemble_does_not_confirm_is_dropped_and_never_an_incident() {
    let mut world = World::new("", "errors", 10, &ordinary(HISTORY));
    let raised = world.take(HISTORY, 300.0);
    assert_eq!(raised.signal.map(|s| s.state), Some(SignalState::Provisional));
    let mut states = Vec::new();
    for i in HISTORY + 1..HISTORY + 120 {
        let detection = world.take(i, errors(i));
        assert!(!detection.anomaly);
        states.extend(detection.signal.map(|s| s.state));
    }
    let (dropped, waiting) = states.split_last().unwrap();
    assert_eq!((waiting.len(), *dropped), (5, SignalState::Dropped), "after a minute");
    assert!(waiting.iter().all(|state| *state == SignalState::Provisional));
    assert_eq!(
        (world.counts.raised, world.counts.confirmed, world.counts.dropped),
        (1, 0, 1)
    );
    assert!(world.incidents().is_empty());
}

#[test]
fn what_context_keeps_quiet_raises_nothing() {
    for toml in [
        "[[maintenance]]\nstart = \"2023-11-14T00:00\"\nduration = \"20d\"",
        "[[series]]\nshadow = true",
        "[[series]]\nmin_abs_deviation = 1000",
        "[[series]]\nfast = false",
        "[detect.fast]\nenabled = false",
    ] {
        let mut world = World::new(toml, "errors", 10, &ordinary(HISTORY));
        for i in 0..6 {
            assert_eq!(world.take(HISTORY + i, 300.0).signal, None, "{toml}");
        }
        assert_eq!(world.counts, Provisional::default());
    }
}

/// Who was not told during the window is told when it ends and nothing is better.
#[test]
fn what_is_still_broken_when_maintenance_ends_is_told() {
    // The hour after the history.
    let toml = "[[maintenance]]\nstart = \"2023-11-15T01:00\"\nduration = \"1h\"";
    let until = Timestamp::from_secs(1_700_013_600);
    let mut world = World::new(toml, "errors", 10, &ordinary(HISTORY));
    for i in HISTORY..HISTORY + 420 {
        let at = world.at(i);
        world.take(i, 300.0 + (i * 7 % 5) as f64);
        assert!(at >= until || world.incidents().is_empty(), "{at:?}");
    }
    assert_eq!(world.incidents().len(), 1);
    assert!(world.incidents()[0].started >= until);
}

#[test]
fn a_restart_in_between_changes_nothing() {
    let mut past = ordinary(HISTORY);
    past.push(300.0);
    let mut world = World::new("", "errors", 10, &past);
    let since = world.at(HISTORY);
    let mut anomalies = 0;
    for i in 1..6 {
        let detection = world.take(HISTORY + i, 300.0 + i as f64);
        assert_eq!(detection.signal.map(|s| s.since), Some(since));
        anomalies += usize::from(detection.anomaly);
    }
    assert!(anomalies > 0 && world.incidents()[0].started == since);
    // Told nobody, and not confirmed: it goes without a word.
    let mut world = World::new("", "errors", 10, &past);
    for i in 10..30 {
        assert_eq!(world.take(HISTORY + i, errors(i)).signal, None);
    }
    assert_eq!(world.counts, Provisional::default());
}

#[test]
fn a_fixed_limit_counts_from_the_first_sample_on_and_whatever_is_usual() {
    let toml = "[[series]]\nmetric = \"disk_*\"\nlimit_above = 0.9\nlimit_for = \"2m\"\nmin_evidence = 500\n";
    let mut world = World::new(toml, "disk_usage", 60, &[]);
    let full = |i: usize| 0.95 + 0.001 * (i * 7919 % 101) as f64 / 101.0;
    for i in 0..200 {
        let detection = world.take(i, full(i));
        assert_eq!(detection.anomaly, i >= 2, "minute {i}");
    }
    let last = world.take(200, full(200));
    assert!(
        last.quiet_at.is_some_and(|v| (v - 0.9).abs() < 1e-3),
        "{:?}",
        last.quiet_at
    );
    let text = world.sentence(&last);
    assert!(
        text.contains("static limit (set in halo.toml)") && text.contains("limit_above = 0.95"),
        "{text}"
    );
    let incidents = world.incidents();
    assert_eq!((incidents.len(), incidents[0].started), (1, world.at(2)));
    assert!(!world.take(201, 0.5).anomaly);
}

/// The decision on `value` after `history`.
fn decision(toml: &str, metric: &str, step_secs: i64, history: &[f64], value: f64) -> Detection {
    World::new(toml, metric, step_secs, history).take(history.len(), value)
}

#[test]
fn a_simple_detector_decides_alone_and_says_what_would_have_kept_it_quiet() {
    let toml = |k: f64| format!("[[series]]\nmetric = \"queue_*\"\ndetector = \"k-sigma\"\nk = {k}\nwindow = \"1d\"\n");
    let history = ordinary(600);
    let mut world = World::new(&toml(4.0), "queue_depth", 60, &history);
    let detection = world.take(600, 20.0);
    assert!(
        detection.anomaly && detection.votes.count() == 0,
        "the ensemble has no say"
    );
    assert!(detection.votes.simple.is_some_and(|own| own.vote));
    let text = world.sentence(&detection);
    assert!(text.contains("k-sigma (set in halo.toml): "), "{text}");
    assert!(
        text.contains("sigma above the mean of the last day") && text.contains("or less it would have kept quiet"),
        "{text}"
    );
    let why = world.why().clone();
    let quiet = why.quiet.unwrap();
    let again = |value| decision(&toml(4.0), "queue_depth", 60, &history, value).anomaly;
    assert!(!again(quiet.value) && again(quiet.beyond));
    let k = why.settings[0].strip_prefix("k = ").unwrap().parse().unwrap();
    assert!(!decision(&toml(k), "queue_depth", 60, &history, 20.0).anomaly);
    assert!(!decision(&toml(4.0), "queue_depth", 60, &history, 11.0).anomaly);
}

#[test]
fn at_the_value_that_is_named_the_whole_loop_keeps_quiet_and_beyond_it_does_not() {
    let plain = "";
    let launch = "[[expected]]\nstart = \"2023-11-14T00:00\"\nduration = \"20d\"\nfactor = 10.0\n";
    let bounded = "[[series]]\ndata_range = [0, 5000]\nmin_rel_deviation = 0.5\n";
    let mut found = 0;
    for (toml, factor) in [(plain, 1.0), (launch, 10.0), (bounded, 1.0)] {
        for value in [13.5, 15.0, 40.0, 1e4, 0.5] {
            let history: Vec<f64> = ordinary(700).iter().map(|v| v * factor).collect();
            let mut world = World::new(toml, "requests", 300, &history);
            let detection = world.take(700, value * factor);
            if !detection.anomaly {
                continue;
            }
            let why = world.why().clone();
            let quiet = why.quiet.expect("a lone fault has a border");
            assert_eq!(detection.quiet_at, Some(quiet.value));
            let again = |toml: &str, value| decision(toml, "requests", 300, &history, value).anomaly;
            assert!(!again(toml, quiet.value), "{toml} {value}: {quiet:?}");
            assert!(again(toml, quiet.beyond), "{toml} {value}: {quiet:?}");
            let way = (quiet.value - quiet.beyond).abs() / (detection.value - quiet.value).abs().max(1e-9);
            assert!(
                way < 0.2 || (detection.value - quiet.value).abs() < 0.1 * factor,
                "a little: {quiet:?}"
            );
            for setting in &why.settings {
                let with = format!("{toml}\n[[series]]\n{setting}\n");
                assert!(!again(&with, detection.value), "{with}");
            }
            let text = world.sentence(&detection);
            assert!(text.contains("it would have kept quiet"), "{text}");
            found += 1;
        }
    }
    assert!(found >= 8, "{found}");
}

#[test]
fn each_member_says_what_it_saw() {
    let mut world = World::new("", "requests", 300, &ordinary(700));
    let detection = world.take(700, 60.0);
    let info = Arc::clone(world.lane.info(0));
    let evidence = world.lane.detector().evidence(&info, &detection, Some(world.why()));
    let saw = |member: &str| {
        let own = evidence.members.iter().find(|m| m.member == member).unwrap();
        own.saw.clone()
    };
    assert!(
        saw("decomposition").contains("standard deviations from the"),
        "{evidence:?}"
    );
    assert!(saw("isolation forest").contains("splits, "), "{evidence:?}");
    // Known values end near 12.04.
    assert_eq!(saw("novelty"), "the nearest value seen before is 48 away");
    assert!(evidence.anomaly && evidence.samples == 1 && evidence.since == Some(detection.at));
    assert!(evidence.quiet_at.is_some_and(|v| v > 12.0 && v < 60.0));
    assert!(evidence.decades.is_some_and(|d| d > 3.0) && evidence.settings.len() == 1);
    let ordinary = world.take(701, errors(701));
    let evidence = world.lane.detector().evidence(&info, &ordinary, None);
    assert!(!evidence.anomaly && evidence.quiet_at.is_none() && !evidence.sentence.contains("kept quiet"));
}

#[test]
fn what_an_incident_touches_is_expected_as_before_when_it_is_over() {
    let mut world = World::new("", "latency", 60, &ordinary(HISTORY));
    let expected = |world: &World, i: usize| world.lane.detector().expected(0, world.at(i)).unwrap();
    let before = expected(&world, HISTORY);
    let mut i = HISTORY;
    for _ in 0..30 {
        world.take(i, 40.0 + errors(i));
        i += 1;
    }
    assert_eq!(world.incidents().len(), 1);
    let during = expected(&world, i);
    while world.incidents()[0].is_open() {
        world.take(i, errors(i));
        i += 1;
    }
    let after = expected(&world, i);
    assert!(
        (after.mean - before.mean).abs() < 0.2 * before.scale,
        "{before:?} {after:?}"
    );
    assert!((after.scale / before.scale - 1.0).abs() < 0.1, "{before:?} {after:?}");
    assert!(
        (during.scale / before.scale - 1.0).abs() > 0.1,
        "so long a fault is learnt from: {during:?}"
    );
}
