//! What people know and the numbers do not: maintenance, expected events, holidays, deploys, and settings of single series.
//! Context beats deviation.
//!
//! Pure: no clock, no file. A [`Context`] belongs to whoever owns the detector's slots (a lane, a shard) and follows them: a
//! series' windows, settings and masks are found once, when it is added. Around each sample stand two questions:
//! [`Context::before`] says by how much to divide the value and whether it may teach, [`Context::judge`] what the detection is
//! worth. A suppressed detection stays visible with its reason; it only ceases to be an anomaly.

pub mod calendar;

mod board;
mod judge;
mod mask;
mod selector;
mod settings;
mod window;

pub use judge::{Adjust, Context, Judgement, Reason};
pub use mask::{Mask, MaskId, MaskReason, Masks, learnable};
pub use selector::{Glob, Selector};
pub use settings::{Evidence, SeriesRule, Settings};
pub use window::{Direction, Kind, When, Window};

use calendar::{Event, Schedule};
use std::path::PathBuf;
use std::sync::Arc;
use wire::series::MetricClass;

/// Everything that configuration says about context.
#[derive(Clone, Debug, Default)]
pub struct ContextConfig {
    pub windows: Vec<Window>,
    /// Where two set the same, the later one counts.
    pub series: Vec<SeriesRule>,
    /// Calendar files whose days are holidays; read when the engine starts.
    pub calendars: Vec<PathBuf>,
    /// Zone of a calendar's whole days, and of the seasons of every series that has none of its own.
    pub calendar_zone: String,
    /// What the files hold, once they are read.
    pub holidays: Vec<Event>,
}

impl ContextConfig {
    /// Takes the content of a calendar file. If no window asks for holidays, one is made: on a holiday traffic may be lower
    /// than usual.
    pub fn add_holidays(&mut self, events: Vec<Event>) {
        self.holidays.extend(events);
        if !self.windows.iter().any(|window| matches!(window.when, When::Holidays)) {
            self.windows.push(Window {
                id: "holidays".to_owned(),
                kind: Kind::Expected {
                    factor: None,
                    direction: Direction::Down,
                },
                selector: Selector {
                    classes: vec![MetricClass::Traffic],
                    ..Selector::default()
                },
                when: When::Holidays,
                note: "public holiday".to_owned(),
                author: String::new(),
            });
        }
    }

    /// When `window` is open.
    fn schedules(&self, window: &Window) -> Arc<[Schedule]> {
        match &window.when {
            When::Schedules(schedules) => Arc::clone(schedules),
            When::Holidays => self.holidays.iter().map(|event| event.schedule.clone()).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
