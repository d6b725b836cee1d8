//! Series as they come in life: jittered steps, losses, gaps, clocks that jump, values that never or hardly ever change. None of it may
//! look like trouble, nor keep real trouble from being seen.

use engine::detect::{DetectConfig, Detection, Effort, Models};
use engine::pipeline::{BrainConfig, Lane, LaneConfig, LaneOutput};
use engine::series::{Labels, info_from_labels};
use proptest::prelude::*;
use std::f64::consts::TAU;
use std::sync::{Arc, OnceLock};
use wire::Timestamp;

const MINUTE: i64 = 60_000;
const DAY: i64 = 1440 * MINUTE;
const STEP: i64 = 5 * MINUTE;
const START: i64 = 1_700_000_000_000;

type Rows = Vec<(Timestamp, f64)>;

fn lane(metric: &str) -> Lane {
    static MODELS: OnceLock<Arc<Models>> = OnceLock::new();
    let models = MODELS.get_or_init(|| Arc::new(Models::bundled().unwrap()));
    let config = LaneConfig {
        detect: DetectConfig::default(),
        brain: BrainConfig::default(),
        context: Default::default(),
        source: Arc::from("test"),
    };
    let mut lane = Lane::new(config, Arc::clone(models));
    lane.add_series(info_from_labels(&Labels::of("cart", metric, None)));
    lane
}

fn observe(lane: &mut Lane, rows: &[(Timestamp, f64)]) -> Vec<Detection> {
    let mut out = LaneOutput::default();
    for &(at, value) in rows {
        lane.step(at, &[(0, at, value)], Effort::Lazy, &mut out);
    }
    out.detections
}

/// Runs of anomalies.
fn alerts(detections: &[Detection]) -> usize {
    let opens = |pair: &[Detection]| pair[1].anomaly && !pair[0].anomaly;
    detections.windows(2).filter(|pair| opens(pair)).count()
}

fn is_finite(detection: &Detection) -> bool {
    let expected = detection
        .expected
        .map_or([0.0; 4], |e| [e.mean, e.lower, e.upper, e.scale]);
    let scores = [detection.score, detection.salience, detection.confidence];
    let votes = [
        detection.votes.stl,
        detection.votes.forest,
        detection.votes.autoencoder,
        detection.votes.novelty,
    ];
    detection.value.is_finite()
        && expected.iter().all(|x| x.is_finite())
        && scores.iter().all(|x| x.is_finite())
        && votes.iter().flatten().all(|vote| vote.score.is_finite())
}

/// 0..1, by position: the same whatever is left out.
fn chance(seed: u64, at: i64) -> f64 {
    let mut x = seed ^ (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ x >> 31) >> 11) as f64 / (1_u64 << 53) as f64
}

fn noise(seed: u64, at: i64) -> f64 {
    (0..12).map(|i| chance(seed + 1000 * i, at)).sum::<f64>() - 6.0
}

/// A day's wave.
fn wave(at: i64) -> f64 {
    100.0 + 30.0 * (TAU * at as f64 / DAY as f64).sin()
}

/// How a series departs from one sample a step.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    /// Part of a step by which samples are early or late.
    jitter: f64,
    /// Part of the samples that is lost.
    lost: f64,
    /// Whether a day and a half is missing in the middle.
    gap: bool,
    /// Whether the clock jumps back by some steps now and then.
    jumps: bool,
}

const REGULAR: Trouble = Trouble {
    jitter: 0.0,
    lost: 0.0,
    gap: false,
    jumps: false,
};

/// Days of a wave with noise, sampled with that much trouble.
fn sampled(days: i64, seed: u64, trouble: Trouble) -> Rows {
    let mut rows = Vec::new();
    for i in 0..days * DAY / STEP {
        let due = START + i * STEP;
        let middle = days * DAY / 2;
        let in_gap = (middle..middle + DAY * 3 / 2).contains(&(i * STEP));
        if chance(seed + 1, due) < trouble.lost || (trouble.gap && in_gap) {
            continue;
        }
        let late = trouble.jitter * STEP as f64 * (chance(seed + 2, due) - 0.5);
        let back = if trouble.jumps && i % 500 > 496 { 7 * STEP } else { 0 };
        let at = due + late as i64;
        rows.push((Timestamp(at - back), wave(at) + 3.0 * noise(seed, due)));
    }
    rows
}

/// The same as a counter whose rate it is, restarted every other day.
fn counted(rows: &Rows) -> Rows {
    let (mut total, mut before) = (1e6, rows[0].0);
    rows.iter()
        .map(|&(at, rate)| {
            let passed = at.millis_since(before).max(0);
            if before.0 / (2 * DAY) != at.0 / (2 * DAY) && passed > 0 {
                total = 0.4 * rate * STEP as f64 / 1000.0;
            } else {
                total += rate * passed as f64 / 1000.0;
            }
            before = at.max(before);
            (at, total)
        })
        .collect()
}

const TROUBLES: [Trouble; 5] = [
    Trouble { jitter: 0.6, ..REGULAR },
    Trouble { lost: 0.1, ..REGULAR },
    Trouble { gap: true, ..REGULAR },
    Trouble { jumps: true, ..REGULAR },
    Trouble {
        jitter: 0.4,
        lost: 0.05,
        gap: true,
        jumps: true,
    },
];

/// Over 8 series of 12 days and each kind of trouble: no more alerts than the regular series have, but for one in two hundred days.
#[test]
fn trouble_with_time_is_no_trouble_of_the_service() {
    const SERIES: u64 = 8;
    let count = |metric: &str, trouble: Trouble| -> usize {
        let each = (0..SERIES).map(|seed| {
            let rows = sampled(12, 31 * seed, trouble);
            let rows = if metric.ends_with("_total") {
                counted(&rows)
            } else {
                rows
            };
            let found = observe(&mut lane(metric), &rows);
            assert!(found.iter().all(is_finite));
            alerts(&found)
        });
        each.sum()
    };
    for metric in ["requests", "http_requests_total"] {
        let regular = count(metric, REGULAR);
        assert!(regular <= 1, "{metric}: {regular}");
        for trouble in TROUBLES {
            let found = count(metric, trouble);
            assert!(found <= regular + 1, "{metric} {trouble:?}: {found}, not {regular}");
        }
    }
}

#[test]
fn a_fault_is_found_through_all_of_it() {
    for metric in ["requests", "http_requests_total"] {
        for (seed, trouble) in TROUBLES.into_iter().enumerate() {
            let mut rows = sampled(
                9,
                seed as u64,
                Trouble {
                    jumps: false,
                    ..trouble
                },
            );
            let onset = rows.len() - 6;
            for row in &mut rows[onset..] {
                row.1 *= 2.5;
            }
            let rows = if metric.ends_with("_total") {
                counted(&rows)
            } else {
                rows
            };
            let found = observe(&mut lane(metric), &rows);
            assert!(found[onset..].iter().any(|d| d.anomaly), "{metric} {trouble:?}");
        }
    }
}

/// After a gap of a day and a half the wave is expected where it is, not where it was left.
#[test]
fn the_season_is_remembered_over_a_gap() {
    for metric in ["requests", "http_requests_total"] {
        for seed in 0..4 {
            let rows = sampled(12, 77 * seed, Trouble { gap: true, ..REGULAR });
            let back = rows
                .windows(2)
                .position(|pair| pair[1].0.millis_since(pair[0].0) > DAY)
                .unwrap()
                + 1;
            let rows = if metric.ends_with("_total") {
                counted(&rows)
            } else {
                rows
            };
            let found = observe(&mut lane(metric), &rows);
            // Within an hour, and for the day after.
            let day = &found[back + 12..back + 12 + 288];
            // A counter that has just started over says nothing.
            let errors = day.iter().filter_map(|d| Some((d.expected?.mean - wave(d.at.0)).abs()));
            let errors: Vec<f64> = errors.collect();
            assert!(errors.len() > 280, "{metric} {seed}: {}", errors.len());
            let mean = errors.iter().sum::<f64>() / errors.len() as f64;
            assert!(mean < 4.0, "{metric} {seed}: {mean:.2} off");
        }
    }
}

/// Constants, zeros, and one value an hour are judged by what they are, and raise nothing.
#[test]
fn series_that_hardly_say_anything_raise_nothing() {
    let every = |step: i64, value: &dyn Fn(i64) -> f64| -> Rows {
        (0..1500).map(|i| (Timestamp(START + i * step), value(i))).collect()
    };
    let seldom = |i: i64| if chance(5, i) < 0.02 { 1.0 } else { 0.0 };
    let check = |what: &str, metric: &str, rows: &Rows, most: usize| {
        let found = observe(&mut lane(metric), rows);
        assert!(found.iter().all(is_finite), "{what}");
        assert!(alerts(&found) <= most, "{what}: {}", alerts(&found));
    };
    check("zero", "errors", &every(MINUTE, &|_| 0.0), 0);
    check("a constant", "pool_size", &every(MINUTE, &|_| 42.5), 0);
    check("a constant counter", "errors_total", &every(MINUTE, &|_| 17.0), 0);
    check(
        "a steady counter",
        "beats_total",
        &every(MINUTE, &|i| i as f64 * 60.0),
        0,
    );
    check(
        "a value an hour",
        "backlog",
        &every(60 * MINUTE, &|i| 50.0 + 4.0 * noise(9, i)),
        1,
    );
    check("zeros with rare ones", "retries", &every(MINUTE, &seldom), 1);
    let mut total = 0.0;
    let rare: Rows = every(MINUTE, &seldom)
        .into_iter()
        .map(|(at, one)| {
            total += one;
            (at, total)
        })
        .collect();
    check("a counter that seldom moves", "retries_total", &rare, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever comes whenever, nothing that leaves is NaN or infinite.
    #[test]
    fn nothing_makes_it_say_nan(
        steps in prop::collection::vec((prop_oneof![1i64..1000, Just(60_000), Just(3_600_000), -500_000i64..0, Just(40 * DAY)],
                                        prop_oneof![Just(0.0), Just(1.0), -1e3f64..1e3, Just(1e300), Just(-1e300), Just(1e-300)]), 1..400),
        counter in any::<bool>(),
    ) {
        let mut at = START;
        let rows: Rows = steps.iter().map(|(step, value)| { at += step; (Timestamp(at), *value) }).collect();
        let mut lane = lane(if counter { "things_total" } else { "things" });
        let (history, live) = rows.split_at(rows.len() / 3);
        let mut history = history.to_vec();
        history.sort_by_key(|(at, _)| *at);
        history.dedup_by_key(|(at, _)| *at);
        lane.bootstrap(0, &history);
        for detection in observe(&mut lane, live) {
            prop_assert!(is_finite(&detection), "{detection:?}");
        }
    }
}
