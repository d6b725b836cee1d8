//! How fast the members are in batches on a device, where there is one; else why they were not measured.

use super::members::random;
use super::{Figure, Report, median};
use engine::detect::device::{self, Accelerator, DeviceBatch};
use engine::detect::{Models, WINDOW};
use engine::features::{Baselines, FEATURES, Polarity};
use engine::{Error, Result};
use std::time::Instant;
use wire::Timestamp;
use wire::series::MetricClass;

/// Rows of one call of the forest.
const ROWS: usize = 1_000_000;
/// Windows of one call of the autoencoder.
const BATCHES: [usize; 2] = [16_384, 65_536];
/// Series of the decomposition, and instants of one run.
const SERIES: usize = 200_000;
const INSTANTS: i64 = 20;
const MINUTE_MS: i64 = 60_000;

/// Rows a second of the forest, and samples a second of the decomposition whose residuals it scores.
pub(super) fn forest(runs: usize) -> Result<Report> {
    on_device("forest and decomposition", |accelerator, batch| {
        let rows = random(ROWS * FEATURES, 4.0);
        let rate = rate(runs, ROWS, || batch.forest(MetricClass::Latency).score(&rows).map(drop))?;
        let name = accelerator.name();
        let forest = Figure::new(format!("isolation forest on {name}"), rate, "rows/s", true);

        let (baselines, mut at) = warm();
        let slots: Vec<usize> = (0..SERIES).collect();
        let mut decomposition = batch.decomposition(&baselines, &slots)?;
        let values: Vec<f64> = random(SERIES, 1.0).into_iter().map(f64::from).collect();
        let rate = self::rate(runs, SERIES * INSTANTS as usize, || {
            for _ in 0..INSTANTS {
                at += MINUTE_MS;
                // Fetching the rows waits until they are there.
                decomposition.step(Timestamp(at), &values)?.fast.to_vec1::<f32>()?;
            }
            Ok(())
        })?;
        let decomposition = Figure::new(format!("decomposition on {name}"), rate, "samples/s", true);
        Ok(vec![forest, decomposition])
    })
}

/// Windows a second of the autoencoder.
pub(super) fn autoencoder(runs: usize) -> Result<Report> {
    on_device("autoencoder", |accelerator, batch| {
        let figure = |windows: usize| {
            let input = random(windows * WINDOW, 2.0);
            let rate = rate(runs, windows, || batch.autoencoder().score(&input).map(drop))?;
            let name = format!("autoencoder on {}, {windows} windows a call", accelerator.name());
            Ok(Figure::new(name, rate, "windows/s", true).goal(100_000_000.0))
        };
        BATCHES.into_iter().map(figure).collect()
    })
}

/// Measures where there is a device; a note says what was skipped where there is none.
fn on_device(
    what: &str,
    measure: impl FnOnce(&Accelerator, &DeviceBatch) -> device::Result<Vec<Figure>>,
) -> Result<Report> {
    let (accelerator, reason) = Accelerator::choose();
    if !accelerator.is_device() {
        return Ok(Report {
            notes: vec![format!("skipped: {what} on a device: {reason}")],
            ..Report::default()
        });
    }
    let batch = DeviceBatch::new(&Models::bundled()?, &accelerator);
    let figures = batch.and_then(|batch| measure(&accelerator, &batch));
    figures
        .map(Report::from)
        .map_err(|error| Error::Unavailable(format!("{}: {error}", accelerator.name())))
}

/// Median of `amount` a second over `runs` calls, after one that is not counted.
fn rate(runs: usize, amount: usize, mut call: impl FnMut() -> device::Result<()>) -> device::Result<f64> {
    call()?;
    let mut rates = Vec::new();
    for _ in 0..runs {
        let begun = Instant::now();
        call()?;
        rates.push(amount as f64 / begun.elapsed().as_secs_f64());
    }
    Ok(median(rates))
}

/// Open baselines, and the instant of their last sample.
fn warm() -> (Baselines, i64) {
    let mut baselines = Baselines::default();
    let mut at = 0;
    for _ in 0..SERIES {
        baselines.add(Polarity::Both, MINUTE_MS);
    }
    for values in random(SERIES * 10, 1.0).chunks_exact(SERIES) {
        at += MINUTE_MS;
        for (slot, value) in values.iter().enumerate() {
            baselines.observe(slot, Timestamp(at), f64::from(*value));
        }
    }
    (baselines, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_device_a_note_says_what_was_skipped_and_why() {
        let (accelerator, reason) = Accelerator::choose();
        if accelerator.is_device() {
            return;
        }
        let report = autoencoder(1).unwrap();
        assert!(report.figures.is_empty());
        assert!(report.notes[0].starts_with("skipped: autoencoder") && report.notes[0].contains(&reason));
    }
}
