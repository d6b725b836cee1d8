use super::*;
use plotters::prelude::SVGBackend;
use wire::series::{ForecastPoint, Health, Marker, MemberVote, MetricClass, SeriesInfo, SeriesSummary, Votes};

const START: i64 = 1_678_800_000_000; // 2023-03-14T13:20:00Z
const STEP: i64 = 60_000;

fn point(at: i64, value: Option<f64>) -> SeriesPoint {
    SeriesPoint {
        at: Timestamp(START + at * STEP),
        value,
        min: value,
        max: value,
        expected: Some(10.0),
        lower: Some(8.0),
        upper: Some(12.0),
        score: 0.1,
        votes: Votes::default(),
        anomaly: false,
        provisional: false,
    }
}

fn detail(points: Vec<SeriesPoint>) -> SeriesDetail {
    let (from, to) = (
        Timestamp(START),
        Timestamp(START + (points.len() as i64 - 1).max(1) * STEP),
    );
    SeriesDetail {
        summary: SeriesSummary {
            info: SeriesInfo {
                id: wire::SeriesId(7),
                entity: "checkout".into(),
                metric: "latency".to_owned(),
                statistic: None,
                labels: Vec::new(),
                class: MetricClass::Latency,
                step_ms: STEP,
                kind: wire::series::SeriesKind::Gauge,
            },
            health: Health::Ok,
            last_at: to,
            last_value: None,
            score: 0.0,
            confidence: 1.0,
            provisional: None,
            spark: Vec::new(),
        },
        from,
        to,
        points,
        markers: Vec::new(),
        forecast: Vec::new(),
        limit: None,
        threshold: 0.9,
        explanation: String::new(),
        evidence: None,
        last_anomaly: None,
        seen: 0,
        needed: 0,
    }
}

fn svg(detail: &SeriesDetail, compact: bool) -> String {
    // Each token gets another colour, so that the golden shows which one is used where.
    let palette = Palette::from_tokens(|name| {
        let at = Palette::TOKENS.iter().position(|t| *t == name)?;
        Some(format!("#0000{at:02x}"))
    });
    let mut text = String::new();
    {
        let mut backend = SVGBackend::with_string(&mut text, (320, 180));
        let mut canvas = Canvas::new(&mut backend, 1.0, "sans-serif");
        let scene = MetricScene {
            detail,
            palette: &palette,
            offset_minutes: 0,
            compact,
            hover: None,
            format: &|v| format!("{v:.0}"),
        };
        draw(&mut canvas, &scene).expect("an SVG string takes every drawing");
    }
    text
}

#[test]
fn the_domain_holds_values_and_band() {
    let (low, high) = value_domain(&detail(vec![point(0, Some(9.0)), point(1, Some(20.0))]));
    assert!((7.0..8.0).contains(&low), "{low}");
    assert!(high > 20.0 && high < 21.0, "{high}");
}

#[test]
fn a_wild_forecast_does_not_flatten_the_past() {
    let mut wild = detail(vec![point(0, Some(9.0)), point(1, Some(11.0))]);
    wild.forecast = vec![ForecastPoint {
        at: Timestamp(START + 9 * STEP),
        mean: 50.0,
        lower: -500.0,
        upper: 900.0,
    }];
    let (low, high) = value_domain(&wild);
    assert!(high - low < 10.0, "{low}..{high}");
}

#[test]
fn an_empty_series_has_a_domain() {
    assert_eq!(value_domain(&detail(Vec::new())), (0.0, 1.0));
}

#[test]
fn the_nearest_point_is_found() {
    let detail = detail((0..10).map(|n| point(n, Some(10.0))).collect());
    let frame = MetricFrame::new(&detail, (640.0, 300.0), false);
    for (at, expected) in [(0.0, 0), (0.4, 0), (0.6, 1), (8.9, 9)] {
        let pixel = frame.x.pixel(START as f64 + at * STEP as f64);
        assert_eq!(frame.nearest(&detail, pixel), Some(expected), "{at}");
    }
    assert_eq!(frame.nearest(&detail, 3.0), None);
}

#[test]
fn runs_are_maximal() {
    let flags = [true, true, false, true];
    let points: Vec<SeriesPoint> = flags
        .iter()
        .enumerate()
        .map(|(n, f)| point(n as i64, f.then_some(1.0)))
        .collect();
    assert_eq!(runs(&points, |p| p.value.is_some()), [0..2, 3..4]);
}

#[test]
fn a_gap_breaks_the_line() {
    let with_gap = detail(vec![
        point(0, Some(9.0)),
        point(1, Some(9.5)),
        point(2, None),
        point(3, Some(10.0)),
        point(4, Some(11.0)),
    ]);
    let line = Palette::TOKENS
        .iter()
        .position(|t| *t == "--chart-line")
        .expect("the line has a token");
    let drawn = svg(&with_gap, true);
    assert_eq!(
        drawn.matches(&format!("stroke=\"#0000{line:02X}\"")).count(),
        2,
        "{drawn}"
    );
}

#[test]
fn a_chart_with_everything_is_drawn_as_before() {
    let mut points: Vec<SeriesPoint> = (0..12).map(|n| point(n, Some(10.0 + (n % 3) as f64))).collect();
    points[9].value = Some(19.0);
    points[9].max = Some(21.0);
    points[9].anomaly = true;
    points[9].votes = Votes {
        stl: Some(MemberVote {
            score: 0.99,
            vote: true,
        }),
        forest: Some(MemberVote {
            score: 0.95,
            vote: true,
        }),
        autoencoder: Some(MemberVote {
            score: 0.7,
            vote: false,
        }),
        novelty: Some(MemberVote { score: 0.9, vote: true }),
        simple: None,
    };
    let mut full = detail(points);
    full.markers = vec![Marker {
        at: Timestamp(START + 6 * STEP),
        kind: MarkerKind::Deploy,
        text: "v2".to_owned(),
    }];
    full.forecast = (12..15)
        .map(|n| ForecastPoint {
            at: Timestamp(START + n * STEP),
            mean: 11.0,
            lower: 9.0,
            upper: 13.0,
        })
        .collect();
    full.limit = Some(20.0);
    insta::assert_snapshot!(svg(&full, false));
}
