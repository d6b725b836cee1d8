//! From what is stored to what is judged: a gauge as it is, a counter as its rate. One shape a series, by the detector's slot.

use super::rate::{Rate, Rated};
use wire::Timestamp;
use wire::series::SeriesKind;

/// What becomes of the samples of one series.
#[derive(Clone, Debug)]
enum Shape {
    AsIs,
    Rate(Box<Rate>),
    /// Stored only.
    Silent,
}

/// What there is to judge in a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shaped {
    Value(f64),
    Nothing,
    /// The series is no counter after all, and is a gauge from this sample on.
    Demoted(f64),
}

/// The shapes of all series. Slots are given by [`Shapes::add`], from 0. A gauge costs a comparison.
#[derive(Clone, Debug, Default)]
pub struct Shapes {
    shapes: Vec<Shape>,
}

impl Shapes {
    /// Adds a series.
    pub fn add(&mut self, kind: SeriesKind, step_ms: i64) {
        self.shapes.push(shape(kind, step_ms));
    }

    /// Makes a series one of another kind.
    ///
    /// # Panics
    /// If `slot` was not given by [`Shapes::add`].
    pub fn set(&mut self, slot: usize, kind: SeriesKind) {
        self.shapes[slot] = shape(kind, 0);
    }

    /// Reads from the cache lines of a slot.
    #[inline]
    pub(crate) fn touch(&self, slot: usize) -> u64 {
        match &self.shapes[slot] {
            Shape::Rate(rate) => rate.touch(),
            Shape::AsIs | Shape::Silent => 0,
        }
    }

    /// Takes in a sample: finite, after the last one of its series.
    ///
    /// # Panics
    /// If `slot` was not given by [`Shapes::add`].
    #[inline]
    pub fn take(&mut self, slot: usize, at: Timestamp, value: f64) -> Shaped {
        match &mut self.shapes[slot] {
            Shape::AsIs => Shaped::Value(value),
            Shape::Rate(rate) => match rate.observe(at, value) {
                Rated::PerSecond(rate) => Shaped::Value(rate),
                Rated::Nothing => Shaped::Nothing,
                Rated::NotACounter => {
                    self.shapes[slot] = Shape::AsIs;
                    Shaped::Demoted(value)
                }
            },
            Shape::Silent => Shaped::Nothing,
        }
    }

    /// Takes in the past, oldest first; returns what there is to learn from, and whether the series is still of its kind.
    ///
    /// # Panics
    /// If `slot` was not given by [`Shapes::add`].
    pub fn bootstrap(&mut self, slot: usize, history: &[(Timestamp, f64)]) -> (Vec<(Timestamp, f64)>, bool) {
        let mut learn = Vec::with_capacity(history.len());
        for &(at, value) in history.iter().filter(|sample| sample.1.is_finite()) {
            match self.take(slot, at, value) {
                Shaped::Value(value) => learn.push((at, value)),
                Shaped::Nothing => {}
                Shaped::Demoted(_) => return (history.to_vec(), false),
            }
        }
        (learn, true)
    }
}

fn shape(kind: SeriesKind, step_ms: i64) -> Shape {
    match kind {
        SeriesKind::Counter => Shape::Rate(Box::new(Rate::new(step_ms))),
        SeriesKind::Component | SeriesKind::Annotation => Shape::Silent,
        SeriesKind::Gauge | SeriesKind::Derived | SeriesKind::Unknown => Shape::AsIs,
    }
}
