//! What a training on history may change, and when it must not.

use super::*;
use crate::detect::tests::swap::other_models;
use crate::detect::train::clean_series;
use crate::series::{Labels, info_from_labels};
use rand::SeedableRng;
use std::sync::OnceLock;
use wire::series::MetricClass;

fn bundled() -> Arc<Models> {
    static MODELS: OnceLock<Arc<Models>> = OnceLock::new();
    Arc::clone(MODELS.get_or_init(|| Arc::new(Models::bundled().unwrap())))
}

/// `n` clean series of every kind that the bundled models have not seen, each cut at its own four fifths, as of a week.
fn history(n: usize, change: impl Fn(usize, f64) -> f64) -> History {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    let series = (0..n).filter_map(|i| {
        let (shape, mut rows) = clean_series(31_337, i);
        for (n, row) in rows.iter_mut().enumerate() {
            row.1 = change(n, row.1);
        }
        let metric = match shape.class() {
            MetricClass::Latency => "latency",
            MetricClass::Errors => "errors",
            MetricClass::Traffic => "requests",
            MetricClass::Saturation => "cpu",
            MetricClass::Other => "temperature",
        };
        let info = info_from_labels(&Labels::of(&format!("host-{i}"), metric, None));
        let split = History::split(rows[0].0, rows[rows.len() - 1].0);
        HistorySeries::cut(info, &rows, split, &mut rng)
    });
    let from = Timestamp(1_700_000_000_000);
    let until = from + 7 * DAY_MS;
    History {
        series: series.collect(),
        from,
        split: History::split(from, until),
        until,
    }
}

fn config() -> HistoryConfig {
    HistoryConfig {
        steps: 40,
        batch: 32,
        ..HistoryConfig::new("20260101-000000", "bundled")
    }
}

fn borrowed(files: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect()
}

#[test]
fn what_is_like_the_history_is_reconstructed_better_and_the_report_compares_both() {
    // A sawtooth of seven samples under everything: ordinary here, news to the bundled models.
    let history = history(40, |n, value| value * (1.0 + 0.1 * ((n % 7) as f64 - 3.0)));
    let mut stages = Vec::new();
    let outcome = train_on_history(&config(), &history, &bundled(), &mut |p| {
        stages.push(p.stage);
        true
    })
    .unwrap();
    stages.dedup();
    assert_eq!(stages, ["residuals", "forest", "autoencoder", "calibrate", "judge"]);
    let report = &outcome.report;
    println!("{report}");
    assert_eq!((report.figures.len(), report.series), (5, 20));
    let loss = &report.figures[0];
    assert!(loss.candidate < 0.98 * loss.current && loss.passed, "{loss:?}");
    assert!(
        report
            .figures
            .iter()
            .all(|f| f.current.is_finite() && f.candidate.is_finite())
    );
    assert_eq!(report.is_promoted(), report.figures.iter().all(|f| f.passed));
    let models = Models::from_files(&borrowed(&outcome.files)).unwrap();
    assert_eq!(models.version(), "20260101-000000");
    let (parent, training) = Models::provenance(&outcome.files[3].1).unwrap();
    assert_eq!(parent.as_deref(), Some("bundled"));
    let training = training.unwrap();
    assert_eq!((training.series, &training.figures), (40, &report.figures));

    // Nothing else decides the bytes.
    let again = train_on_history(&config(), &history, &bundled(), &mut |_| true).unwrap();
    assert_eq!(again.files, outcome.files);
    assert_eq!(again.report, outcome.report);
}

#[test]
fn a_class_with_little_history_keeps_its_forest_and_its_tails() {
    let mut history = history(60, |_, value| value);
    let mut latencies = 0;
    history.series.retain(|own| {
        latencies += usize::from(own.info.class == MetricClass::Latency);
        own.info.class != MetricClass::Latency || latencies < LEAST_OF_CLASS
    });
    let outcome = train_on_history(&config(), &history, &bundled(), &mut |_| true).unwrap();
    let models = Models::from_files(&borrowed(&outcome.files)).unwrap();
    for class in MetricClass::ALL {
        let same = models.forest(class) == bundled().forest(class);
        assert_eq!(same, class == MetricClass::Latency, "{class:?}");
    }
    let tails = |models: &Models| {
        let own = models.calibration().of_class(MetricClass::Latency);
        (own.fast, own.slow, own.forest, own.novelty)
    };
    assert_eq!(tails(&models), tails(&bundled()));
}

#[test]
fn worse_models_are_not_promoted_and_equal_ones_are() {
    let history = history(30, |_, value| value);
    let judges: Vec<&HistorySeries> = history.series.iter().collect();
    let windows = held_back_windows(&history, 1);
    let loss = |models: &Models| tune::loss_of(models.autoencoder_bytes(), &windows).unwrap();
    let compare = |candidate: &Arc<Models>| {
        let losses = [loss(&bundled()), loss(candidate)];
        judge::compare(1, &judges, losses, &bundled(), candidate, &mut |_| Ok(())).unwrap()
    };
    let same = compare(&bundled());
    assert!(
        same.is_promoted()
            && same
                .figures
                .iter()
                .all(|f| f.current.to_bits() == f.candidate.to_bits()),
        "{same}"
    );
    // Found more often than by chance, or the figures would say nothing.
    let share = 73.0 * judges.len() as f64 / same.samples as f64;
    assert!(
        same.figures[1..4].iter().all(|f| f.current > 2.0 * share),
        "{share}: {same}"
    );
    let hardly_trained = compare(&other_models());
    println!("{hardly_trained}");
    assert!(!hardly_trained.is_promoted(), "{hardly_trained}");
    assert!(
        hardly_trained.verdict().contains("autoencoder, held-back loss is"),
        "{}",
        hardly_trained.verdict()
    );
}

#[test]
fn too_little_history_is_refused_and_says_how_much_there_is() {
    let mut little = history(40, |_, value| value);
    little.series.truncate(12);
    let refuse = |history: &History| {
        train_on_history(&config(), history, &bundled(), &mut |_| true)
            .unwrap_err()
            .to_string()
    };
    let message = refuse(&little);
    assert!(
        message.contains("12 usable series over 7.0 days") && message.contains("20 series over 3 days"),
        "{message}"
    );
    let mut short = history(40, |_, value| value);
    short.until = short.from + DAY_MS;
    assert!(refuse(&short).contains("over 1.0 days"));
}

#[test]
fn a_stop_in_any_stage_is_an_error_and_nothing_comes_of_it() {
    let history = history(24, |_, value| value);
    for stage in ["residuals", "forest", "autoencoder", "calibrate", "judge"] {
        let stopped = train_on_history(&config(), &history, &bundled(), &mut |p| p.stage != stage);
        assert!(stopped.unwrap_err().to_string().contains("stopped"), "{stage}");
    }
}

#[test]
fn nothing_held_back_is_held_in() {
    let info = info_from_labels(&Labels::of("a", "latency", None));
    let rows: Vec<(Timestamp, f64)> = (0..20_000).map(|i| (Timestamp(i * 1000), i as f64)).collect();
    let split = History::split(Timestamp(0), Timestamp(20_000_000));
    let mut starts = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let cut = HistorySeries::cut(info.clone(), &rows, split, &mut rng).unwrap();
        assert_eq!(
            (cut.held_in.len(), cut.held_back.len() - cut.warm),
            (ROWS_IN, ROWS_BACK)
        );
        assert!(cut.held_in[ROWS_IN - 1].0 < split && cut.held_back[cut.warm].0 >= split);
        starts.insert(cut.held_in[0].0);
    }
    assert!(starts.len() > 15, "the seed chooses the place");
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
    assert!(
        HistorySeries::cut(info.clone(), &rows[..16_100], split, &mut rng).is_none(),
        "too little after"
    );
    assert!(
        HistorySeries::cut(info, &rows[15_500..], split, &mut rng).is_none(),
        "too little before"
    );
}
