//! The evidence of a window on one time grid, so that series can be compared.

use super::evidence::{Evidence, Track, class_weight};
use std::collections::{BTreeMap, BTreeSet};
use wire::series::SeriesInfo;
use wire::{EntityId, SeriesId, Timestamp};

/// Cells of the grid, at most.
const MAX_BINS: i64 = 240;
/// Cells of quiet assumed before the window: what is not reported did not stray.
const QUIET_BINS: usize = 2;
/// Deviations below this many scales are taken for none, so that noise does not correlate.
const NOISE_Z: f64 = 1.5;
/// A series that never strayed this far is no evidence.
const MIN_Z: f64 = 3.0;

/// One series on the grid.
#[derive(Debug)]
pub(super) struct Column<'a> {
    pub series: SeriesId,
    pub info: &'a SeriesInfo,
    /// Excess per cell, in the unit of the metric.
    pub excess: Centered,
    /// Strength per cell, 0..1.
    pub strength: Centered,
    /// Greatest strength.
    pub peak: f64,
    /// Greatest rise of the strength over what was before, 0..1: high for what begins, low for what was so all along.
    pub contrast: f64,
    /// When that rise happened.
    pub onset: Timestamp,
    /// Whether it strayed upwards where it strayed most.
    pub above: bool,
}

impl Column<'_> {
    /// Contrast, by how much the class says about a fault.
    pub(super) fn weighted_contrast(&self) -> f64 {
        self.contrast * class_weight(self.info.class)
    }
}

/// Values less their mean, ready to be correlated.
#[derive(Debug)]
pub(super) struct Centered {
    values: Vec<f64>,
    sum_of_squares: f64,
}

impl Centered {
    fn of(mut values: Vec<f64>) -> Self {
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        for value in &mut values {
            *value -= mean;
        }
        let sum_of_squares = values.iter().map(|v| v * v).sum();
        Self { values, sum_of_squares }
    }

    /// Slope of `y` on `self`, and their correlation; zeros if either does not move.
    pub(super) fn regress(&self, y: &Self) -> (f64, f64) {
        if self.sum_of_squares <= 0.0 || y.sum_of_squares <= 0.0 {
            return (0.0, 0.0);
        }
        let products: f64 = self.values.iter().zip(&y.values).map(|(a, b)| a * b).sum();
        (
            products / self.sum_of_squares,
            products / (self.sum_of_squares * y.sum_of_squares).sqrt(),
        )
    }
}

/// Every series in scope that strayed, by entity.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    pub by_entity: BTreeMap<EntityId, Vec<Column<'a>>>,
    pub bin_ms: i64,
}

impl<'a> Columns<'a> {
    /// Lays the evidence of `scope` between two times on a grid as fine as its coarsest series.
    pub(super) fn collect(evidence: &'a Evidence, scope: &BTreeSet<EntityId>, from: Timestamp, to: Timestamp) -> Self {
        let tracks: Vec<(&SeriesId, &Track)> = evidence
            .tracks
            .iter()
            .filter(|(_, t)| scope.contains(&t.info.entity))
            .filter(|(_, t)| t.points.iter().any(|p| p.at >= from && p.at <= to && p.z >= MIN_Z))
            .collect();
        let span = to.millis_since(from).max(1);
        let coarsest = tracks.iter().map(|(_, t)| t.step_ms()).max().unwrap_or(60_000);
        let bin_ms = coarsest.min(span).max(span / MAX_BINS).max(1);
        let bins = usize::try_from(span / bin_ms).unwrap_or(0) + 1 + QUIET_BINS;
        let mut by_entity: BTreeMap<EntityId, Vec<Column<'a>>> = BTreeMap::new();
        for (series, track) in tracks {
            by_entity
                .entry(track.info.entity.clone())
                .or_default()
                .push(column(*series, track, from, to, bin_ms, bins));
        }
        Self { by_entity, bin_ms }
    }

    /// The series of `entity` that shows the fault best.
    pub(super) fn best(&self, entity: &EntityId) -> Option<&Column<'a>> {
        self.by_entity.get(entity)?.iter().max_by(|a, b| {
            a.weighted_contrast()
                .total_cmp(&b.weighted_contrast())
                .then(a.peak.total_cmp(&b.peak))
                .then(b.series.cmp(&a.series))
        })
    }
}

fn column<'a>(
    series: SeriesId,
    track: &'a Track,
    from: Timestamp,
    to: Timestamp,
    bin_ms: i64,
    bins: usize,
) -> Column<'a> {
    let (mut excess, mut strength) = (vec![0.0; bins], vec![0.0; bins]);
    let mut strongest = (0.0, false);
    let mut first_in_bin: Vec<Option<Timestamp>> = vec![None; bins];
    for point in &track.points {
        if point.at < from || point.at > to || point.z < NOISE_Z {
            continue;
        }
        let bin = usize::try_from(point.at.millis_since(from) / bin_ms).unwrap_or(0) + QUIET_BINS;
        if point.strength >= strength[bin] {
            strength[bin] = point.strength;
            excess[bin] = point.excess;
        }
        if point.strength > strongest.0 {
            strongest = (point.strength, point.value > point.expected);
        }
        first_in_bin[bin].get_or_insert(point.at);
    }
    let peak = strength.iter().copied().fold(0.0, f64::max);
    let (contrast, at) = greatest_rise(&strength);
    let onset = first_in_bin[at..].iter().flatten().next().copied().unwrap_or(from);
    Column {
        series,
        info: &track.info,
        excess: Centered::of(excess),
        strength: Centered::of(strength),
        peak,
        contrast,
        onset,
        above: strongest.1,
    }
}

/// The greatest difference between the mean of two neighboring cells and the mean of everything before, and where.
fn greatest_rise(strength: &[f64]) -> (f64, usize) {
    let mut best = (0.0, 0);
    let mut before = 0.0;
    for at in 1..strength.len() {
        before += strength[at - 1];
        let pair = &strength[at..(at + 2).min(strength.len())];
        let rise = pair.iter().sum::<f64>() / pair.len() as f64 - before / at as f64;
        // Strictly later cells must be clearly better: the first step of a rise is its onset.
        if strength[at] > 0.0 && rise > best.0 + 0.02 {
            best = (rise, at);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_stands_out_from_what_was_so_all_along() {
        let (rise, at) = greatest_rise(&[0.0, 0.0, 0.0, 0.8, 0.8, 0.8]);
        assert!((rise - 0.8).abs() < 1e-12);
        assert_eq!(at, 3);
        let (flat, at) = greatest_rise(&[0.7, 0.7, 0.7, 0.7]);
        assert!(flat < 0.03, "{flat}");
        assert_eq!(at, 0);
    }
}
