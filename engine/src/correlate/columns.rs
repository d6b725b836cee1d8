//! The evidence of a window on one time grid, so that series can be compared.

use super::evidence::{Evidence, Point, Track, class_weight};
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
    /// Which metric of this grid's it is: equal for equal names.
    pub metric: u32,
    cells: Vec<Cell>,
    excess: Moments,
    strength: Moments,
    /// Greatest strength.
    pub peak: f64,
    /// Greatest rise of the strength over what was before, 0..1: high for what begins, low for what was so all along.
    pub contrast: f64,
    /// When that rise happened.
    pub onset: Timestamp,
    /// Whether it strayed upwards where it strayed most.
    pub above: bool,
}

/// A cell of the grid in which a series strayed; in all others it did not.
#[derive(Clone, Copy, Debug)]
struct Cell {
    bin: usize,
    /// In the unit of the metric.
    excess: f64,
    /// 0..1.
    strength: f64,
    /// The first time in it.
    first: Timestamp,
}

/// What is needed of a column to correlate it, the cells in which it did not stray included.
#[derive(Clone, Copy, Debug)]
struct Moments {
    mean: f64,
    /// Sum of the squared differences from the mean.
    sum_of_squares: f64,
}

impl Moments {
    fn of(values: impl Iterator<Item = f64>, bins: usize) -> Self {
        let (mut sum, mut squares) = (0.0, 0.0);
        for value in values {
            sum += value;
            squares += value * value;
        }
        let mean = sum / bins.max(1) as f64;
        Self {
            mean,
            sum_of_squares: (squares - sum * mean).max(0.0),
        }
    }

    /// Slope of `y` on `self`, and their correlation; zeros if either does not move. `products` is the sum of the products of both.
    fn regress(self, y: Self, products: f64, bins: usize) -> (f64, f64) {
        if self.sum_of_squares <= 0.0 || y.sum_of_squares <= 0.0 {
            return (0.0, 0.0);
        }
        let products = products - bins as f64 * self.mean * y.mean;
        (
            products / self.sum_of_squares,
            products / (self.sum_of_squares * y.sum_of_squares).sqrt(),
        )
    }
}

impl Column<'_> {
    /// Contrast, by how much the class says about a fault.
    pub(super) fn weighted_contrast(&self) -> f64 {
        self.contrast * class_weight(self.info.class)
    }

    fn products(&self, other: &Self, of: impl Fn(&Cell) -> f64) -> f64 {
        let (mut a, mut b) = (self.cells.iter().peekable(), other.cells.iter().peekable());
        let mut sum = 0.0;
        while let (Some(left), Some(right)) = (a.peek(), b.peek()) {
            match left.bin.cmp(&right.bin) {
                std::cmp::Ordering::Less => drop(a.next()),
                std::cmp::Ordering::Greater => drop(b.next()),
                std::cmp::Ordering::Equal => {
                    sum += of(left) * of(right);
                    a.next();
                    b.next();
                }
            }
        }
        sum
    }
}

/// Every series in scope that strayed, by entity.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    /// Those that have any, ascending.
    pub entities: Vec<&'a EntityId>,
    by_entity: Vec<Vec<Column<'a>>>,
    /// Of each entity, the place of the series that shows the fault best.
    best: Vec<usize>,
    pub bin_ms: i64,
    bins: usize,
}

impl<'a> Columns<'a> {
    /// Lays the evidence of `scope` between two times on a grid as fine as its coarsest series.
    pub(super) fn collect(
        evidence: &'a Evidence,
        scope: &'a BTreeSet<EntityId>,
        from: Timestamp,
        to: Timestamp,
    ) -> Self {
        let strayed = |track: &Track| track.between(from, to).any(|point| point.z >= MIN_Z);
        let tracks: Vec<(&EntityId, Vec<(SeriesId, &Track)>)> = scope
            .iter()
            .map(|entity| {
                let own = evidence.of_entity(entity).filter(|(_, track)| strayed(track));
                (entity, own.map(|(series, track)| (*series, track)).collect::<Vec<_>>())
            })
            .filter(|(_, own)| !own.is_empty())
            .collect();
        let span = to.millis_since(from).max(1);
        let steps = tracks
            .iter()
            .flat_map(|(_, own)| own.iter().map(|(_, track)| track.step_ms()));
        let bin_ms = steps.max().unwrap_or(60_000).min(span).max(span / MAX_BINS).max(1);
        let bins = usize::try_from(span / bin_ms).unwrap_or(0) + 1 + QUIET_BINS;
        let mut metrics: BTreeMap<&str, u32> = BTreeMap::new();
        let mut columns = Self {
            entities: Vec::with_capacity(tracks.len()),
            by_entity: Vec::with_capacity(tracks.len()),
            best: Vec::with_capacity(tracks.len()),
            bin_ms,
            bins,
        };
        for (entity, own) in tracks {
            let own: Vec<Column<'_>> = own
                .into_iter()
                .map(|(series, track)| {
                    let next = metrics.len() as u32;
                    let metric = *metrics.entry(track.info.metric.as_str()).or_insert(next);
                    column(series, metric, track, (from, to), bin_ms, bins)
                })
                .collect();
            columns.entities.push(entity);
            columns.best.push(best(&own));
            columns.by_entity.push(own);
        }
        columns
    }

    /// Where `entity` is among [`Self::entities`].
    pub(super) fn place(&self, entity: &EntityId) -> Option<usize> {
        self.entities.binary_search(&entity).ok()
    }

    /// The series of the entity at `place`.
    pub(super) fn of(&self, place: usize) -> &[Column<'a>] {
        &self.by_entity[place]
    }

    /// That of them which shows the fault best.
    pub(super) fn best(&self, place: usize) -> &Column<'a> {
        &self.by_entity[place][self.best[place]]
    }

    /// Slope of `u`'s excess on `v`'s, and their correlation.
    pub(super) fn regress_excess(&self, v: &Column<'_>, u: &Column<'_>) -> (f64, f64) {
        v.excess.regress(u.excess, v.products(u, |cell| cell.excess), self.bins)
    }

    /// How alike the strengths of both are, -1..1.
    pub(super) fn correlation(&self, v: &Column<'_>, u: &Column<'_>) -> f64 {
        let products = v.products(u, |cell| cell.strength);
        v.strength.regress(u.strength, products, self.bins).1
    }
}

fn best(columns: &[Column<'_>]) -> usize {
    let all = columns.iter().enumerate();
    let best = all.max_by(|(_, a), (_, b)| {
        a.weighted_contrast()
            .total_cmp(&b.weighted_contrast())
            .then(a.peak.total_cmp(&b.peak))
            .then(b.series.cmp(&a.series))
    });
    best.map_or(0, |(place, _)| place)
}

fn column<'a>(
    series: SeriesId,
    metric: u32,
    track: &'a Track,
    (from, to): (Timestamp, Timestamp),
    bin_ms: i64,
    bins: usize,
) -> Column<'a> {
    let mut cells: Vec<Cell> = Vec::new();
    let mut strongest = (0.0, false);
    for point in track.between(from, to).filter(|point| point.z >= NOISE_Z) {
        let bin = usize::try_from(point.at.millis_since(from) / bin_ms).unwrap_or(0) + QUIET_BINS;
        match cells.last_mut() {
            Some(cell) if cell.bin == bin => {
                if point.strength >= cell.strength {
                    (cell.strength, cell.excess) = (point.strength, point.excess);
                }
            }
            _ => cells.push(cell(point, bin)),
        }
        if point.strength > strongest.0 {
            strongest = (point.strength, point.value > point.expected);
        }
    }
    let peak = cells.iter().map(|cell| cell.strength).fold(0.0, f64::max);
    let (contrast, at) = greatest_rise(&cells, bins);
    let onset = cells.iter().find(|cell| cell.bin >= at).map_or(from, |cell| cell.first);
    Column {
        series,
        info: &track.info,
        metric,
        excess: Moments::of(cells.iter().map(|cell| cell.excess), bins),
        strength: Moments::of(cells.iter().map(|cell| cell.strength), bins),
        cells,
        peak,
        contrast,
        onset,
        above: strongest.1,
    }
}

fn cell(point: &Point, bin: usize) -> Cell {
    Cell {
        bin,
        excess: point.excess,
        strength: point.strength,
        first: point.at,
    }
}

/// The greatest difference between the mean strength of two neighboring cells and that of everything before, and where.
fn greatest_rise(cells: &[Cell], bins: usize) -> (f64, usize) {
    let mut best = (0.0, 0);
    let mut before = 0.0;
    for (place, cell) in cells.iter().enumerate() {
        let next = cells.get(place + 1).filter(|next| next.bin == cell.bin + 1);
        let pair = if cell.bin + 1 < bins {
            f64::midpoint(cell.strength, next.map_or(0.0, |next| next.strength))
        } else {
            cell.strength
        };
        let rise = pair - before / cell.bin.max(1) as f64;
        // Strictly later cells must be clearly better: the first step of a rise is its onset.
        if cell.strength > 0.0 && rise > best.0 + 0.02 {
            best = (rise, cell.bin);
        }
        before += cell.strength;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cells of the strengths, the first in `first`.
    fn cells(first: usize, strengths: &[f64]) -> Vec<Cell> {
        let all = strengths.iter().enumerate();
        all.map(|(place, strength)| Cell {
            bin: first + place,
            excess: 10.0 * strength,
            strength: *strength,
            first: Timestamp(0),
        })
        .collect()
    }

    #[test]
    fn what_begins_stands_out_from_what_was_so_all_along() {
        let (rise, at) = greatest_rise(&cells(3, &[0.8, 0.8, 0.8]), 6);
        assert!((rise - 0.8).abs() < 1e-12);
        assert_eq!(at, 3);
        let (late, at) = greatest_rise(&cells(5, &[0.8]), 6);
        assert!((late - 0.8).abs() < 1e-12, "{late}");
        assert_eq!(at, 5);
        let (flat, _) = greatest_rise(&cells(1, &[0.7, 0.7, 0.7, 0.7]), 6);
        let (steady, _) = greatest_rise(&cells(1, &[0.1, 0.1, 0.1, 0.1]), 6);
        assert!(flat > 0.6 && steady < 0.11, "{flat} {steady}");
    }

    #[test]
    fn moments_of_few_cells_are_those_of_the_whole_grid() {
        let (x, y) = ([0.0, 0.0, 1.0, 3.0, 0.0], [0.0, 0.0, 0.0, 2.0, 4.0]);
        let sparse = |all: &[f64]| Moments::of(all.iter().copied().filter(|v| *v != 0.0), 5);
        let products = x.iter().zip(&y).map(|(a, b)| a * b).sum();
        let (slope, correlation) = sparse(&x).regress(sparse(&y), products, 5);
        // Python's statistics.linear_regression and statistics.correlation of the two.
        assert!((slope - 0.176_470_588_235_294_16).abs() < 1e-12, "{slope}");
        assert!((correlation - 0.128_623_938_856_881_67).abs() < 1e-12, "{correlation}");
        assert_eq!(sparse(&[0.0; 5]).regress(sparse(&y), 0.0, 5), (0.0, 0.0));
    }
}
