//! How fast each member is, alone and on one thread.

use super::{Figure, median};
use engine::Result;
use engine::detect::train::Trainer;
use engine::detect::{Models, WINDOW};
use engine::features::{Baselines, Polarity};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Instant;
use wire::Timestamp;
use wire::series::MetricClass;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// Rows a second that the forest scores.
pub(super) fn forest(runs: usize) -> Result<Vec<Figure>> {
    const ROWS: usize = 200_000;
    let models = Models::bundled()?;
    let forest = models.forest(MetricClass::Latency);
    let rows = random(ROWS * forest.features(), 4.0);
    let rate = 1.0 / secs(runs, || drop(std::hint::black_box(forest.score_all(&rows))));
    let figure = Figure::new("isolation forest", ROWS as f64 * rate, "rows/s/core", true);
    Ok(vec![figure.goal(2_500_000.0).peer("scikit-learn", 348_000.0)])
}

/// Windows a second that the autoencoder reconstructs, and steps a second that it learns in.
pub(super) fn autoencoder(runs: usize) -> Result<Vec<Figure>> {
    const WINDOWS: usize = 4096;
    const BATCH: usize = 512;
    const STEPS: usize = 5;
    let models = Models::bundled()?;
    let windows = random(WINDOWS * WINDOW, 2.0);
    let rate = 1.0
        / secs(runs, || {
            drop(std::hint::black_box(models.autoencoder().score(&windows)))
        });
    let score = Figure::new("LSTM autoencoder, one call", WINDOWS as f64 * rate, "windows/s", true);

    let mut trainer = Trainer::from_safetensors(models.autoencoder_bytes(), 1)?;
    let mut learnt = Ok(());
    let rate = 1.0
        / secs(runs, || {
            for _ in 0..STEPS {
                learnt = trainer.step(&windows, BATCH, 1e-3).map(drop);
            }
        });
    learnt?;
    let train = Figure::new(
        format!("LSTM autoencoder, training, window {WINDOW}, batch {BATCH}"),
        STEPS as f64 * rate,
        "steps/s",
        true,
    );
    Ok(vec![
        score.goal(120_000.0).peer("torch, one core", 35_500.0),
        train.goal(30.0),
    ])
}

/// Nanoseconds a sample of the decomposition once day and week are known, and milliseconds that it takes to learn a month at once.
pub(super) fn decomposition(runs: usize) -> Vec<Figure> {
    const SERIES: usize = 2_000;
    const STEP_MS: i64 = 5 * MINUTE_MS;
    const MONTH: i64 = 30;
    let mut rng = StdRng::seed_from_u64(1);
    let mut value = |at: i64| {
        let turn = |period: i64| (at as f64 / period as f64 * std::f64::consts::TAU).sin();
        10.0 * turn(DAY_MS) + 3.0 * turn(7 * DAY_MS) + rng.random_range(-1.0..1.0)
    };
    let month: Vec<(Timestamp, f64)> = (0..MONTH * DAY_MS / STEP_MS)
        .map(|i| (Timestamp(i * STEP_MS), value(i * STEP_MS)))
        .collect();
    let learn = || {
        let mut baselines = Baselines::default();
        let slot = baselines.add(Polarity::Both, STEP_MS);
        baselines.bootstrap(slot, &[], &month, |_, _, _| {});
        (baselines, slot)
    };
    let batch = secs(runs, || drop(std::hint::black_box(learn())));

    // Many series, so that their states do not fit the cache any better than an estate's.
    let (known, slot) = learn();
    let mut baselines = Baselines::default();
    for _ in 0..SERIES {
        let slot_of_copy = baselines.add(Polarity::Both, STEP_MS);
        baselines.put_back(slot_of_copy, known.copy_out(slot));
    }
    let mut at = MONTH * DAY_MS;
    let mut values = vec![0.0; SERIES];
    const INSTANTS: usize = 20;
    let online = secs(runs, || {
        for _ in 0..INSTANTS {
            values.fill_with(|| value(at));
            for (slot, &value) in values.iter().enumerate() {
                std::hint::black_box(baselines.observe(slot, Timestamp(at), value));
            }
            at += STEP_MS;
        }
    });
    let nanos = online * 1e9 / (SERIES * INSTANTS) as f64;
    let name = "decomposition, online, with trend, day, week and month";
    vec![
        Figure::new(name, nanos, "ns/sample", false)
            .goal(100.0)
            .peer("BacktrackSTL (its paper)", 1600.0),
        Figure::new(
            "decomposition, a month of 8640 samples at once",
            batch * 1e3,
            "ms",
            false,
        ),
    ]
}

/// Median seconds of `runs` calls, after one that is not counted.
pub(super) fn secs(runs: usize, mut call: impl FnMut()) -> f64 {
    call();
    let timed = (0..runs).map(|_| {
        let begun = Instant::now();
        call();
        begun.elapsed().as_secs_f64()
    });
    median(timed.collect())
}

/// `n` numbers up to `reach` from 0, always the same.
pub(super) fn random(n: usize, reach: f32) -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(1);
    (0..n).map(|_| rng.random_range(-reach..reach)).collect()
}
