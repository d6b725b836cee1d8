//! Whether a candidate may take the place of the current models: both on the same history that neither learnt from.
//!
//! Three questions. Does the autoencoder reconstruct the held-back windows no worse? With faults of known place put into the
//! held-back rows, does each trained member, and the joint score, rank them no worse? And are there no more alerts on the rows
//! as they are? One "no" keeps the current models.

use super::faults::inject;
use super::history::HistorySeries;
use crate::Result;
use crate::detect::{DetectConfig, Detection, Detector, Effort, Models};
use crate::evaluate::average_precision;
use crate::features::Polarity;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use wire::{SeriesId, Timestamp};

/// Area under the precision-recall curve that a candidate may lose: what another draw of the faults moves it by.
pub const TOLERANCE: f64 = 0.02;
/// The same for the rate of alerts on rows as they are, as a part of the current one's, and in alerts.
const MORE_ALERTS: f64 = 0.1;
const ONE_ALERT: f64 = 1.0;

/// One figure of both models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub name: String,
    pub current: f64,
    pub candidate: f64,
    /// The greatest or least value that the candidate may have.
    pub limit: f64,
    /// Whether it keeps to it.
    pub passed: bool,
}

/// Both models side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub figures: Vec<Figure>,
    /// Held-back series and samples behind them.
    pub series: usize,
    pub samples: usize,
}

impl Report {
    /// Whether the candidate is not worse in anything.
    pub fn is_promoted(&self) -> bool {
        self.figures.iter().all(|figure| figure.passed)
    }

    /// Why it is promoted, or is not, in one sentence.
    pub fn verdict(&self) -> String {
        let failed: Vec<String> = self
            .figures
            .iter()
            .filter(|figure| !figure.passed)
            .map(|f| format!("{} is {:.4}, the limit is {:.4}", f.name, f.candidate, f.limit))
            .collect();
        if failed.is_empty() {
            "promoted: not worse than the current models in any figure".to_owned()
        } else {
            format!("not promoted: {}", failed.join("; "))
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<42} {:>10} {:>10} {:>10}",
            format!("held back: {} series, {} samples", self.series, self.samples),
            "current",
            "candidate",
            "limit"
        )?;
        for figure in &self.figures {
            writeln!(
                f,
                "{:<42} {:>10.4} {:>10.4} {:>10.4} {}",
                figure.name,
                figure.current,
                figure.candidate,
                figure.limit,
                if figure.passed { "ok" } else { "worse" }
            )?;
        }
        write!(f, "{}", self.verdict())
    }
}

/// What one set of models makes of the held-back rows.
struct Played {
    /// Scores of every judged sample, one series after the other.
    forest: Vec<f64>,
    autoencoder: Vec<f64>,
    joint: Vec<f64>,
    alerts: usize,
}

/// Runs of the detector that [`compare`] takes.
pub(super) const PLAYS: usize = 4;

/// Compares on `series`; `losses` are the autoencoders' on their held-back windows, current and candidate. `progress` is called
/// before each run of the detector, and may end it.
///
/// # Errors
/// What `progress` returns.
pub(super) fn compare(
    seed: u64,
    series: &[&HistorySeries],
    losses: [f64; 2],
    current: &Arc<Models>,
    candidate: &Arc<Models>,
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Report> {
    let clean: Vec<&[(Timestamp, f64)]> = series.iter().map(|s| s.held_back.as_slice()).collect();
    let mut faulty = Vec::with_capacity(series.len());
    let mut labels = Vec::new();
    for (i, own) in series.iter().enumerate() {
        let polarity = Polarity::of(&own.info);
        let (rows, is_fault) = inject(&own.held_back, own.warm, polarity, seed.wrapping_add(i as u64));
        faulty.push(rows);
        labels.extend(is_fault);
    }
    let faulty: Vec<&[(Timestamp, f64)]> = faulty.iter().map(Vec::as_slice).collect();
    let mut plays = Vec::with_capacity(PLAYS);
    for (models, rows) in [
        (current, &clean),
        (current, &faulty),
        (candidate, &clean),
        (candidate, &faulty),
    ] {
        progress(plays.len())?;
        plays.push(play(models, series, rows));
    }
    let [clean_now, faults_now, clean_then, faults_then] = plays.as_slice() else {
        unreachable!("every run was pushed")
    };

    let at_most = |name: &str, current: f64, candidate: f64, limit: f64| Figure {
        name: name.to_owned(),
        current,
        candidate,
        limit,
        passed: candidate <= limit,
    };
    let [loss_now, loss_then] = losses;
    let mut figures = vec![at_most("autoencoder, held-back loss", loss_now, loss_then, loss_now)];
    let area = |scores: &[f64]| average_precision(scores, &labels).unwrap_or(0.0);
    let members = [
        ("isolation forest", &faults_now.forest, &faults_then.forest),
        ("autoencoder", &faults_now.autoencoder, &faults_then.autoencoder),
        ("joint score", &faults_now.joint, &faults_then.joint),
    ];
    for (name, now, then) in members {
        let (current, candidate) = (area(now), area(then));
        figures.push(Figure {
            name: format!("{name}, AUC-PR of put-in faults"),
            current,
            candidate,
            limit: current - TOLERANCE,
            passed: candidate >= current - TOLERANCE,
        });
    }
    let (now, then) = (clean_now.alerts as f64, clean_then.alerts as f64);
    let limit = now + (MORE_ALERTS * now).max(ONE_ALERT);
    figures.push(at_most("alerts on the rows as they are", now, then, limit));
    Ok(Report {
        figures,
        series: series.len(),
        samples: labels.len(),
    })
}

/// Runs the detector over the rows of all series, one sample of each after the other.
fn play(models: &Arc<Models>, series: &[&HistorySeries], rows: &[&[(Timestamp, f64)]]) -> Played {
    let mut detector = Detector::new(DetectConfig::default(), Arc::clone(models));
    for (i, own) in series.iter().enumerate() {
        let mut info = own.info.clone();
        info.id = SeriesId(i as u64);
        let slot = detector.add_series(&info);
        detector.bootstrap(slot, &rows[i][..own.warm]);
    }
    let judged: Vec<usize> = series
        .iter()
        .zip(rows)
        .map(|(own, rows)| rows.len() - own.warm)
        .collect();
    let mut detections: Vec<Vec<Detection>> = judged.iter().map(|n| Vec::with_capacity(*n)).collect();
    let (mut batch, mut out) = (Vec::new(), Vec::new());
    for n in 0..judged.iter().copied().max().unwrap_or(0) {
        batch.clear();
        out.clear();
        for (slot, own) in series.iter().enumerate().filter(|(slot, _)| n < judged[*slot]) {
            let (at, value) = rows[slot][own.warm + n];
            batch.push((slot, at, value));
        }
        detector.observe_batch(&batch, Effort::Full, &mut out);
        for (sample, detection) in batch.iter().zip(&out) {
            detections[sample.0].push(*detection);
        }
    }
    let all = || detections.iter().flatten();
    let score = |vote: Option<wire::series::MemberVote>| vote.map_or(0.0, |vote| f64::from(vote.score));
    Played {
        forest: all().map(|d| score(d.votes.forest)).collect(),
        autoencoder: all().map(|d| score(d.votes.autoencoder)).collect(),
        joint: all().map(|d| f64::from(d.score)).collect(),
        alerts: detections.iter().map(|own| alerts(own)).sum(),
    }
}

/// Runs of anomalies.
fn alerts(detections: &[Detection]) -> usize {
    let begins = |n: usize| detections[n].anomaly && (n == 0 || !detections[n - 1].anomaly);
    (0..detections.len()).filter(|n| begins(*n)).count()
}
