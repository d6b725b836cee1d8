//! Training on what the user's own series were like.
//!
//! The last fifth of the time is held back. The autoencoder goes on from the current weights and stops where half of the
//! held-back series stop getting better; the other half judges, with nothing learnt from it ([`super::judge`]). Forests and
//! calibration of a class are fitted anew where it has enough series, else they stay. Nothing here reads a store or a clock:
//! rows come as [`HistorySeries`], the version's name and every seed in [`HistoryConfig`].

use super::collect::{Collected, SETTLE, fit_forest, median_tails};
use super::judge::{self, Report};
use super::{Progress, SIGHT, fault, files_of, synthetic_series, tune};
use crate::Result;
use crate::clock::rfc3339;
use crate::detect::Models;
use crate::detect::autoencoder::{Autoencoder, WINDOW};
use crate::detect::calibration::{Calibration, class_index, class_name};
use crate::detect::models::{AUTOENCODER_FILE, FOREST_FILE, MANIFEST_FILE, Manifest, ManifestFile, Training};
use crate::detect::sight::Sight;
use crate::detect::tail::Tail;
use crate::detect::weights::Forests;
use crate::features::{FEATURES, Polarity};
use rand::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::Timestamp;
use wire::series::{MetricClass, SeriesInfo};

/// Most rows of a series that teach, and that are held back: a run of them, at a place that the seed chooses.
const ROWS_IN: usize = 4096;
const ROWS_BACK: usize = 1024;
/// Rows before the held-back ones that only warm the detector up.
const ROWS_WARM: usize = 2 * SETTLE;
/// Fewest rows of a series that is of use.
pub const LEAST_ROWS_IN: usize = ROWS_WARM;
pub const LEAST_ROWS_BACK: usize = 150;
/// Least history that is trained on.
pub const LEAST_SERIES: usize = 20;
pub const LEAST_DAYS: i64 = 3;
const DAY_MS: i64 = 24 * 3600 * 1000;
/// Fewest series of a class from which its forest and tails are fitted anew.
const LEAST_OF_CLASS: usize = 5;
/// Windows that the autoencoder's loss is measured on at most.
const WINDOWS: usize = 2000;
/// Synthetic series that calibrate a new autoencoder for a class that has too little history.
const STAND_INS: usize = 20;

/// How to train.
#[derive(Clone, Debug)]
pub struct HistoryConfig {
    /// Seed of every random choice: the same history gives the same bytes on the same kind of machine.
    pub seed: u64,
    /// Gradient steps of the autoencoder at most.
    pub steps: usize,
    /// Windows in a gradient step.
    pub batch: usize,
    /// What the new version is called, and the current one.
    pub version: String,
    pub parent: String,
}

impl HistoryConfig {
    /// The usual effort for a version of this name, after the one of that.
    pub fn new(version: impl Into<String>, parent: impl Into<String>) -> Self {
        Self {
            seed: 7,
            steps: 200,
            batch: 128,
            version: version.into(),
            parent: parent.into(),
        }
    }
}

/// What training needs of one series; rows are oldest first and hold nothing that must not teach.
#[derive(Clone, Debug, PartialEq)]
pub struct HistorySeries {
    pub info: SeriesInfo,
    /// From before the split.
    pub held_in: Vec<(Timestamp, f64)>,
    /// From after the split, but for the first `warm` rows.
    pub held_back: Vec<(Timestamp, f64)>,
    pub warm: usize,
}

/// History to train on, and its bounds: `from <= split <= until`.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    pub series: Vec<HistorySeries>,
    pub from: Timestamp,
    pub split: Timestamp,
    pub until: Timestamp,
}

/// A candidate that was judged.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Name and bytes, the manifest last. To be used only if the report promotes them.
    pub files: Vec<(String, Vec<u8>)>,
    pub report: Report,
}

impl HistorySeries {
    /// Cuts what may teach out of `rows` (oldest first, finite): a run before `split` and a run after it. `None` when either is
    /// too short.
    pub fn cut(
        info: SeriesInfo,
        rows: &[(Timestamp, f64)],
        split: Timestamp,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Option<Self> {
        let middle = rows.partition_point(|row| row.0 < split);
        let after = rows.len() - middle;
        if middle < LEAST_ROWS_IN || after < LEAST_ROWS_BACK {
            return None;
        }
        let from = rng.random_range(0..=middle - middle.min(ROWS_IN));
        let back = middle + rng.random_range(0..=after - after.min(ROWS_BACK));
        Some(Self {
            info,
            held_in: rows[from..(from + ROWS_IN).min(middle)].to_vec(),
            held_back: rows[back - ROWS_WARM..(back + ROWS_BACK).min(rows.len())].to_vec(),
            warm: ROWS_WARM,
        })
    }
}

impl History {
    /// Where the held-back fifth of a span begins.
    pub fn split(from: Timestamp, until: Timestamp) -> Timestamp {
        from + until.millis_since(from) / 5 * 4
    }

    /// # Errors
    /// [`crate::Error::Model`] that says how much there is and how much is needed.
    fn enough(&self) -> Result<()> {
        let (series, span_ms) = (self.series.len(), self.until.millis_since(self.from));
        if series >= LEAST_SERIES && span_ms >= LEAST_DAYS * DAY_MS {
            return Ok(());
        }
        let message = format!(
            "there is too little history: {series} usable series over {:.1} days, where {LEAST_SERIES} series over {LEAST_DAYS} days \
             are needed; a series is usable with {LEAST_ROWS_IN} samples before {} and {LEAST_ROWS_BACK} after it, outside of \
             incidents and maintenance. Nothing was changed; train again when there is more",
            span_ms as f64 / DAY_MS as f64,
            rfc3339(self.split)
        );
        Err(fault("training", message))
    }
}

/// Trains a candidate on `history` and compares it with `current`. `progress` is called now and then; training ends early, with
/// nothing to show for it, when it returns `false`.
///
/// # Errors
/// [`crate::Error::Model`] when there is too little history, it was stopped, or the numerics fail.
pub fn train_on_history(
    config: &HistoryConfig,
    history: &History,
    current: &Arc<Models>,
    progress: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Outcome> {
    history.enough()?;
    let mut report = super::reporter(progress);
    let mut collected = Vec::with_capacity(history.series.len());
    for (i, own) in history.series.iter().enumerate() {
        collected.push(Collected::of(
            current.sight(),
            Polarity::of(&own.info),
            &own.held_in,
            SETTLE,
        ));
        if i % 50 == 0 {
            report("residuals", i, history.series.len(), None, None)?;
        }
    }
    let mut of_class: [Vec<usize>; 5] = Default::default();
    for (i, own) in history.series.iter().enumerate() {
        of_class[class_index(own.info.class)].push(i);
    }

    let mut forests: Forests = current.forests().clone();
    for class in MetricClass::ALL {
        let own = &of_class[class_index(class)];
        report("forest", class_index(class), MetricClass::ALL.len(), None, None)?;
        if own.len() >= LEAST_OF_CLASS {
            let rows: Vec<[f32; FEATURES]> = own
                .iter()
                .flat_map(|&i| collected[i].features.iter().copied())
                .collect();
            let seed = config.seed + class_index(class) as u64;
            forests[class_index(class)] = Arc::new(fit_forest(seed, &rows)?);
        }
    }

    // Half of the held-back series say when to stop, the others judge.
    let [stop, judging] = [0, 1].map(|half| held_back_windows(history, half));
    let windows: Vec<f32> = collected.iter().flat_map(|own| own.windows.iter().copied()).collect();
    let tuning = tune::Tuning {
        seed: config.seed,
        steps: config.steps,
        batch: config.batch,
    };
    let current_bytes = current.autoencoder_bytes();
    let tuned = tune::tune(&tuning, current_bytes, &windows, &stop, &mut |step, loss, held_back| {
        report("autoencoder", step, config.steps, Some(loss), Some(held_back))
    })?;
    let autoencoder_bytes = tuned.unwrap_or_else(|| current_bytes.to_vec());
    let autoencoder = Autoencoder::from_safetensors(&autoencoder_bytes).map_err(|m| fault("autoencoder", m))?;
    let losses = [
        tune::loss_of(current_bytes, &judging)?,
        tune::loss_of(&autoencoder_bytes, &judging)?,
    ];

    report("calibrate", 0, 1, None, None)?;
    let mut tails: [Vec<_>; 5] = Default::default();
    for (own, data) in history.series.iter().zip(collected) {
        let class = class_index(own.info.class);
        tails[class].push(data.tails(&forests[class], &autoencoder));
    }
    let mut calibration = Calibration::of(|class| {
        if of_class[class_index(class)].len() >= LEAST_OF_CLASS {
            return median_tails(&tails[class_index(class)], current.calibration().of_class(class).joint);
        }
        let mut kept = current.calibration().of_class(class);
        if autoencoder != *current.autoencoder() {
            kept.autoencoder = stand_ins(current.sight(), config.seed, class, &forests, &autoencoder).autoencoder;
        }
        kept
    });
    // History has no faults of known place to fit it to.
    calibration.certainty = current.certainty();
    let mut files = files_of(autoencoder_bytes, &calibration, &forests, current.joint())?;

    let refitted: Vec<&str> = MetricClass::ALL
        .into_iter()
        .filter(|&class| of_class[class_index(class)].len() >= LEAST_OF_CLASS)
        .map(class_name)
        .collect();
    let mut manifest = manifest(current.sight().format(), config, history, &files, &refitted, losses[1]);
    let candidate = load(&files, &manifest)?;
    let judges: Vec<&HistorySeries> = history.series.iter().skip(1).step_by(2).collect();
    let judged = judge::compare(config.seed, &judges, losses, current, &candidate, &mut |step| {
        report("judge", step, judge::PLAYS, None, None)
    })?;
    if let Some(training) = &mut manifest.training {
        training.figures.clone_from(&judged.figures);
    }
    files.push((MANIFEST_FILE.to_owned(), manifest.to_bytes()?));
    Ok(Outcome { files, report: judged })
}

/// Windows of the held-back rows of every other series, at most [`WINDOWS`] of them, evenly chosen. `[n, WINDOW]` flat.
fn held_back_windows(history: &History, half: usize) -> Vec<f32> {
    let mut windows = Vec::new();
    for own in history.series.iter().skip(half).step_by(2) {
        windows.extend(Collected::of(SIGHT, Polarity::of(&own.info), &own.held_back, own.warm).windows);
    }
    let every = (windows.len() / WINDOW).div_ceil(WINDOWS).max(1);
    windows.chunks_exact(WINDOW).step_by(every).flatten().copied().collect()
}

/// Tails of a class by synthetic series.
fn stand_ins(
    sight: Sight,
    seed: u64,
    class: MetricClass,
    forests: &Forests,
    autoencoder: &Autoencoder,
) -> crate::detect::calibration::Tails {
    let series: Vec<_> = (0..)
        .map(|i| synthetic_series(sight, seed, i))
        .filter(|(other, _)| *other == class)
        .take(STAND_INS)
        .map(|(_, data)| data.tails(&forests[class_index(class)], autoencoder))
        .collect();
    median_tails(&series, Tail::of_novelty())
}

fn manifest(
    format: u32,
    config: &HistoryConfig,
    history: &History,
    files: &[(String, Vec<u8>)],
    refitted: &[&str],
    loss: f64,
) -> Manifest {
    let note = |name: &str| match name {
        FOREST_FILE => format!(
            "an isolation forest per metric class, fitted on history: {}",
            refitted.join(", ")
        ),
        AUTOENCODER_FILE => format!("LSTM autoencoder tuned on history, held-back loss {loss:.4}"),
        _ => format!("tails per metric class, of history: {}", refitted.join(", ")),
    };
    let files: BTreeMap<String, ManifestFile> = files
        .iter()
        .map(|(name, bytes)| (name.clone(), ManifestFile::of(bytes, note(name))))
        .collect();
    Manifest {
        format,
        version: config.version.clone(),
        command: format!(
            "halo train --data-dir DIR --seed {} --steps {} --batch {}",
            config.seed, config.steps, config.batch
        ),
        parent: Some(config.parent.clone()),
        training: Some(Training {
            from: rfc3339(history.from),
            held_back_from: rfc3339(history.split),
            until: rfc3339(history.until),
            series: history.series.len(),
            samples: history.series.iter().map(|s| s.held_in.len()).sum(),
            figures: Vec::new(),
        }),
        files,
    }
}

/// The candidate as a detector would load it.
fn load(files: &[(String, Vec<u8>)], manifest: &Manifest) -> Result<Arc<Models>> {
    let manifest = manifest.to_bytes()?;
    let mut borrowed: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    borrowed.push((MANIFEST_FILE, &manifest));
    Models::from_files(&borrowed).map(Arc::new)
}

#[cfg(test)]
mod tests;
