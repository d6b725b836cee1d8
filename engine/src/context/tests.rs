use super::calendar::{Length, Span, parse_ics};
use super::*;
use crate::detect::{DetectConfig, Detection, Detector, Effort, Expected, Models};
use crate::series::{Labels, SeriesInfo, info_from_labels};
use proptest::prelude::*;
use wire::series::{MemberVote, Votes};
use wire::{EntityId, Timestamp};

const MINUTE: i64 = 60_000;
const THRESHOLD: f32 = 0.5;

fn series(entity: &str, metric: &str) -> SeriesInfo {
    let mut info = info_from_labels(&Labels::of(entity, metric, None));
    info.step_ms = MINUTE;
    info
}

fn detection(at: i64, value: f64, mean: f64) -> Detection {
    Detection {
        series: wire::SeriesId(1),
        at: Timestamp(at),
        value,
        expected: Some(Expected {
            mean,
            lower: mean - 1.0,
            upper: mean + 1.0,
            scale: 0.5,
        }),
        score: 0.8,
        salience: 0.8,
        shift: 0.0,
        votes: Votes {
            stl: Some(MemberVote { score: 0.8, vote: true }),
            forest: Some(MemberVote { score: 0.8, vote: true }),
            autoencoder: None,
            novelty: None,
            simple: None,
        },
        anomaly: true,
        signal: None,
        breach: None,
        quiet_at: None,
        confidence: 1.0,
    }
}

fn window(kind: Kind, selector: Selector, from: i64, until: i64) -> Window {
    let span = Span {
        from: Timestamp(from),
        until: Timestamp(until),
    };
    Window {
        kind,
        author: "ada".to_owned(),
        ..Window::expected_once("w1".to_owned(), selector, span, "upgrade".to_owned())
    }
}

fn context(windows: Vec<Window>, settings: Settings) -> Context {
    Context::new(&ContextConfig {
        windows,
        series: vec![SeriesRule {
            selector: Selector::all(),
            settings,
        }],
        ..ContextConfig::default()
    })
}

fn judged(context: &mut Context, at: i64, value: f64, mean: f64) -> Judgement {
    let adjust = context.before(0, Timestamp(at), value);
    context.judge(0, adjust, &detection(at, value, mean), THRESHOLD, 1.0)
}

#[test]
fn without_context_the_detector_decides() {
    let mut context = Context::default();
    context.add_series(&series("db", "load"));
    assert_eq!(context.before(0, Timestamp(5), 3.0), Adjust::NONE);
    let judgement = context.judge(0, Adjust::NONE, &detection(5, 3.0, 1.0), THRESHOLD, 1.0);
    assert!(judgement.anomaly && judgement.suppressed.is_none() && judgement.learn);
    let mut calm = detection(5, 3.0, 1.0);
    calm.anomaly = false;
    let judgement = context.judge(0, Adjust::NONE, &calm, THRESHOLD, 0.1);
    assert!(!judgement.anomaly && judgement.suppressed.is_none());
}

#[test]
fn maintenance_silences_and_teaches_nothing_while_it_lasts() {
    let mut context = context(
        vec![window(Kind::Maintenance, Selector::of_entity("d*"), 10, 20)],
        Settings::default(),
    );
    context.add_series(&series("db", "load"));
    context.add_series(&series("web", "load"));
    for (slot, at, open) in [
        (0, 9, false),
        (0, 10, true),
        (0, 19, true),
        (0, 20, false),
        (1, 15, false),
    ] {
        let adjust = context.before(slot, Timestamp(at), 3.0);
        let judgement = context.judge(slot, adjust, &detection(at, 3.0, 1.0), THRESHOLD, 1.0);
        assert_eq!((adjust.learn, judgement.anomaly), (!open, !open), "{slot} {at}");
        let text = judgement.suppressed.map(|reason| context.describe(reason));
        assert_eq!(text.is_some(), open);
        assert!(text.is_none_or(|text| text == "maintenance window w1 (upgrade), planned by ada"));
        assert!(judgement.evidence);
    }
}

#[test]
fn an_event_without_factor_covers_its_side_only() {
    let up = Kind::Expected {
        factor: None,
        direction: Direction::Up,
    };
    let mut context = context(vec![window(up, Selector::all(), 0, 100)], Settings::default());
    context.add_series(&series("db", "load"));
    assert_eq!(judged(&mut context, 5, 9.0, 1.0).suppressed, Some(Reason::Expected(0)));
    assert!(judged(&mut context, 5, 0.1, 1.0).anomaly);
}

#[test]
fn settings_are_laid_over_each_other_and_kept() {
    let mut context = Context::new(&ContextConfig {
        series: vec![
            SeriesRule {
                selector: Selector::all(),
                settings: Settings {
                    direction: Some(Direction::Up),
                    min_abs_deviation: Some(2.0),
                    ..Settings::default()
                },
            },
            SeriesRule {
                selector: Selector::of_entity("db"),
                settings: Settings {
                    min_abs_deviation: Some(0.5),
                    min_rel_deviation: Some(0.1),
                    data_range: Some((0.0, 100.0)),
                    ..Settings::default()
                },
            },
        ],
        ..ContextConfig::default()
    });
    context.add_series(&series("db", "load"));
    let reason = |context: &mut Context, value, mean| judged(context, 1, value, mean).suppressed;
    assert_eq!(reason(&mut context, 10.0, 20.0), Some(Reason::Direction));
    assert_eq!(reason(&mut context, 20.4, 20.0), Some(Reason::SmallDeviation));
    assert_eq!(reason(&mut context, 21.9, 20.0), Some(Reason::SmallDeviation));
    assert_eq!(reason(&mut context, 22.1, 20.0), None);
    // Outside its range a value is an anomaly, whatever the detector says and to whichever side.
    let mut calm = detection(2, -0.1, 0.0);
    calm.anomaly = false;
    context.before(0, Timestamp(2), -0.1);
    assert!(context.judge(0, Adjust::NONE, &calm, THRESHOLD, 1.0).anomaly);
    let low = context.judge(0, Adjust::NONE, &calm, THRESHOLD, 0.4);
    assert_eq!(
        (low.anomaly, low.suppressed, low.evidence),
        (false, Some(Reason::LowQuality), false)
    );
}

#[test]
fn low_traffic_proves_nothing() {
    let evidence = Settings {
        evidence: Some(Evidence {
            metric: Glob::new("requests*"),
            at_least: 100.0,
        }),
        ..Settings::default()
    };
    let config = ContextConfig {
        series: vec![SeriesRule {
            selector: Selector {
                metrics: vec![Glob::new("error*")],
                ..Selector::default()
            },
            settings: evidence,
        }],
        ..ContextConfig::default()
    };
    // Requests and errors of one entity may live in different shards.
    let shared = Context::new(&config);
    let (mut here, mut there) = (shared.clone(), shared);
    here.add_series(&series("web", "error_rate"));
    there.add_series(&series("web", "requests_get"));
    there.add_series(&series("web", "requests_put"));
    there.add_series(&series("db", "requests_get"));
    // Nothing is known of the traffic: the alert stands.
    assert!(judged(&mut here, 0, 0.5, 0.0).anomaly);
    there.before(0, Timestamp(0), 2.0);
    there.before(2, Timestamp(0), 5000.0);
    assert_eq!(judged(&mut here, 0, 0.5, 0.0).suppressed, Some(Reason::LittleEvidence));
    there.before(1, Timestamp(0), 98.0);
    assert!(judged(&mut here, 0, 0.5, 0.0).anomaly, "98 + 2 requests are enough");
    there.before(1, Timestamp(MINUTE), 1.0);
    assert_eq!(
        judged(&mut here, MINUTE, 0.5, 0.0).suppressed,
        Some(Reason::LittleEvidence)
    );
    assert!(
        judged(&mut here, 60 * MINUTE, 0.5, 0.0).anomaly,
        "what was an hour ago says nothing"
    );
}

#[test]
fn few_samples_and_shadow_mode_alert_nobody() {
    let mut context = context(
        Vec::new(),
        Settings {
            min_samples: Some(3),
            shadow: Some(true),
            ..Settings::default()
        },
    );
    let slot = context.add_series(&series("db", "load"));
    assert_eq!(
        judged(&mut context, 1, 9.0, 1.0).suppressed,
        Some(Reason::LittleEvidence)
    );
    context.learnable(slot, &[(Timestamp(0), 1.0)]);
    let judgement = judged(&mut context, 2, 9.0, 1.0);
    assert_eq!(
        (judgement.suppressed, judgement.shadow, judgement.anomaly),
        (Some(Reason::Shadow), true, false)
    );
}

#[test]
fn after_a_deploy_less_is_enough() {
    let mut context = context(
        Vec::new(),
        Settings {
            post_deploy_ms: Some(10 * MINUTE),
            ..Settings::default()
        },
    );
    context.add_series(&series("db", "load"));
    context.record_deploy(&EntityId::from("web"), Timestamp(0));
    context.record_deploy(&EntityId::from("db"), Timestamp(30 * MINUTE));
    context.record_deploy(&EntityId::from("db"), Timestamp(MINUTE));
    let mut weak = |at: i64, score: f32| {
        let mut weak = detection(at, 3.0, 1.0);
        (weak.anomaly, weak.score) = (false, score);
        let judgement = context.judge(0, Adjust::NONE, &weak, THRESHOLD, 1.0);
        (judgement.anomaly, judgement.sensitivity < 1.0)
    };
    assert_eq!(weak(0, 0.45), (false, false), "before it");
    assert_eq!(weak(5 * MINUTE, 0.45), (true, true));
    assert_eq!(weak(5 * MINUTE, 0.2), (false, true));
    assert_eq!(weak(11 * MINUTE, 0.45), (false, false), "too long after it");
    assert_eq!(weak(31 * MINUTE, 0.45), (true, true));
}

#[test]
fn holidays_expect_less_traffic_unless_a_window_says_otherwise() {
    let file = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:19700102\nSUMMARY:x\nEND:VEVENT\nEND:VCALENDAR\n";
    let events = || parse_ics(file, "UTC").unwrap();
    let mut config = ContextConfig::default();
    config.add_holidays(events());
    let mut context = Context::new(&config);
    context.add_series(&series("web", "requests"));
    context.add_series(&series("web", "latency"));
    let day = 86_400_000;
    let mut reason = |slot, at, value, mean| {
        context.before(slot, Timestamp(at), value);
        context
            .judge(slot, Adjust::NONE, &detection(at, value, mean), THRESHOLD, 1.0)
            .suppressed
    };
    assert_eq!(reason(0, day, 10.0, 50.0), Some(Reason::Expected(0)));
    assert_eq!(reason(0, day, 90.0, 50.0), None);
    assert_eq!(reason(1, day, 10.0, 50.0), None);
    assert_eq!(reason(0, 2 * day, 10.0, 50.0), None);

    let mut config = ContextConfig::default();
    let mut own = window(Kind::Maintenance, Selector::all(), 0, 1);
    own.when = When::Holidays;
    config.windows.push(own);
    config.add_holidays(events());
    assert_eq!(config.windows.len(), 1);
}

/// Ten times the traffic for four hours, as planned: judged by a real detector.
#[test]
fn ten_times_the_traffic_is_normal_when_it_is_expected() {
    let launch = window(
        Kind::Expected {
            factor: Some(10.0),
            direction: Direction::Both,
        },
        Selector::of_entity("shop"),
        600 * MINUTE,
        840 * MINUTE,
    );
    let noise = |i: i64| (((i as u64).wrapping_mul(2_654_435_761)) % 1000) as f64 / 100.0;
    let usual = |i: i64| 500.0 + noise(i);
    let run = |windows: Vec<Window>, during: f64| {
        let mut context = context(windows, Settings::default());
        let info = series("shop", "requests");
        let slot = context.add_series(&info);
        let mut detector = Detector::new(DetectConfig::default(), Arc::new(Models::bundled().unwrap()));
        detector.add_series(&info);
        let history: Vec<_> = (0..560).map(|i| (Timestamp(i * MINUTE), usual(i))).collect();
        detector.bootstrap(slot, &context.learnable(slot, &history));
        let mut anomalies = 0;
        for i in 560..700 {
            let at = Timestamp(i * MINUTE);
            let value = if (600..840).contains(&i) {
                during * usual(i)
            } else {
                usual(i)
            };
            let adjust = context.before(slot, at, value);
            let mut detection = detector.observe(slot, at, adjust.apply(value), Effort::Full);
            adjust.restore(&mut detection, value);
            let judgement = context.judge(slot, adjust, &detection, THRESHOLD, 1.0);
            assert!(judgement.learn, "what is known by its factor may teach");
            anomalies += usize::from(judgement.anomaly);
            if (610..840).contains(&i) && judgement.factor > 1.0 && (during - 10.0).abs() < 1e-9 {
                let mean = detection.expected.unwrap().mean;
                assert!(
                    (4000.0..6500.0).contains(&mean),
                    "expected on the metric's own scale: {mean}"
                );
            }
        }
        anomalies
    };
    assert_eq!(run(vec![launch.clone()], 10.0), 0);
    assert!(run(Vec::new(), 10.0) > 0);
    assert!(run(vec![launch.clone()], 1.0) > 0, "a tenth of what was promised");
    assert!(run(vec![launch], 40.0) > 0);
}

#[test]
fn history_is_learnt_as_live_samples_are() {
    let launch = window(
        Kind::Expected {
            factor: Some(4.0),
            direction: Direction::Both,
        },
        Selector::all(),
        10,
        20,
    );
    let upkeep = window(Kind::Maintenance, Selector::all(), 20, 30);
    let mut context = context(vec![launch, upkeep], Settings::default());
    let mut masks = Masks::default();
    masks.add(Mask {
        selector: Selector::all(),
        span: Span {
            from: Timestamp(30),
            until: Timestamp(40),
        },
        reason: MaskReason::ConfirmedFalse("INC-1".into()),
    });
    context.set_masks(masks);
    let slot = context.add_series(&series("db", "load"));
    let history: Vec<_> = (0..5).map(|i| (Timestamp(i * 10 + 5), 8.0)).collect();
    let learnt = context.learnable(slot, &history);
    assert_eq!(
        learnt,
        [(Timestamp(5), 8.0), (Timestamp(15), 2.0), (Timestamp(45), 8.0)]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Context can take an alert back, for a reason; it makes one only of a value out of its range or after a deploy.
    #[test]
    fn what_is_suppressed_has_a_reason(
        anomaly in any::<bool>(), value in -1e3f64..1e3, mean in -1e3f64..1e3, at in 0i64..100,
        kind in 0usize..4, direction in 0usize..3, quality in 0f32..1.0, least in 0f64..100.0, shadow in any::<bool>(),
    ) {
        let direction = [Direction::Up, Direction::Down, Direction::Both][direction];
        let kinds = [
            None,
            Some(Kind::Maintenance),
            Some(Kind::Expected { factor: None, direction }),
            Some(Kind::Expected { factor: Some(3.0), direction }),
        ];
        let windows = kinds[kind].map(|kind| window(kind, Selector::all(), 20, 60)).into_iter().collect();
        let settings = Settings { min_abs_deviation: Some(least), direction: Some(direction), shadow: Some(shadow), ..Settings::default() };
        let mut context = context(windows, settings);
        context.add_series(&series("db", "load"));
        context.before(0, Timestamp(at), value);
        let mut detection = detection(at, value, mean);
        detection.anomaly = anomaly;
        let judgement = context.judge(0, Adjust::NONE, &detection, THRESHOLD, quality);
        prop_assert_eq!(judgement.anomaly, anomaly && judgement.suppressed.is_none());
        prop_assert!(anomaly || judgement.suppressed.is_none());
        prop_assert!(!judgement.anomaly || (!shadow && quality >= 0.5 && (value - mean).abs() >= least));
    }

    /// A schedule in a time zone opens the window where the schedule says, whatever the order of the questions.
    #[test]
    fn a_recurring_window_is_open_when_its_schedule_is_on(hours in prop::collection::vec(0i64..9000, 1..30)) {
        let schedule = Schedule::recurring("2026-01-01T02:00", "Europe/Berlin", Length { days: 0, ms: 2 * 60 * MINUTE }, Some("FREQ=DAILY"), &[]).unwrap();
        let mut own = window(Kind::Maintenance, Selector::all(), 0, 1);
        own.when = When::Schedules(Arc::new([schedule.clone()]));
        let mut context = context(vec![own], Settings::default());
        context.add_series(&series("db", "load"));
        for hour in hours {
            let at = Timestamp(1_767_225_600_000 + hour * 60 * MINUTE);
            prop_assert_eq!(context.before(0, at, 1.0).learn, schedule.covering(at).is_none());
        }
    }
}
