//! Planned time: maintenance, and events after which a series may differ.

use super::calendar::{Schedule, Span};
use super::selector::Selector;
use std::sync::Arc;

/// On which side of what is expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    Up,
    Down,
    #[default]
    Both,
}

impl Direction {
    /// Whether a deviation to above (`up`) or below is on this side.
    pub fn covers(self, up: bool) -> bool {
        match self {
            Self::Up => up,
            Self::Down => !up,
            Self::Both => true,
        }
    }
}

/// What a window means for the series it selects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Nobody is told, and nothing is learnt.
    Maintenance,
    /// Something is going on. With a `factor`, what is usual is so many times as much: the value is divided by it before it
    /// is judged, and learnt so. Without, deviations in `direction` are expected whatever their size, and nothing is learnt.
    Expected { factor: Option<f64>, direction: Direction },
}

/// When a window is open.
#[derive(Clone, Debug)]
pub enum When {
    /// While any of these is on,
    Schedules(Arc<[Schedule]>),
    /// or on every day of the calendar files.
    Holidays,
}

/// A maintenance window or an expected event.
#[derive(Clone, Debug)]
pub struct Window {
    /// Names it in reasons and masks.
    pub id: String,
    pub kind: Kind,
    pub selector: Selector,
    pub when: When,
    pub note: String,
    pub author: String,
}

impl Window {
    /// An event that is expected once, without a factor: what a line of `expected.csv` says.
    pub fn expected_once(id: String, selector: Selector, span: Span, note: String) -> Self {
        Self {
            id,
            kind: Kind::Expected {
                factor: None,
                direction: Direction::Both,
            },
            selector,
            when: When::Schedules(Arc::new([Schedule::once(span)])),
            note,
            author: String::new(),
        }
    }
}
