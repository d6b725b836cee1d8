//! What a baseline was just before its newest sample: enough to ask what it would have made of another value.

use super::{Baselines, State, VALUE_MAX};
use crate::features::residual::Local;
use crate::features::season::SeasonAt;
use crate::features::{Polarity, Residual};
use wire::Timestamp;

/// The numbers that a sample's residual follows from, as they were before the sample taught anything.
#[derive(Clone, Debug)]
pub struct BaselineBefore {
    pub(super) state: State,
    pub(super) season: SeasonAt,
    pub(super) local: Local,
    pub(super) polarity: Polarity,
}

impl Baselines {
    /// The baseline that the last observed sample met, whichever slot that was of. `None` if it gave no residual, or is taken.
    pub fn take_before(&mut self) -> Option<BaselineBefore> {
        self.before.take()
    }
}

impl BaselineBefore {
    /// The residual of a finite `value` in the place of the sample. Changes nothing.
    pub fn residual(&self, at: Timestamp, value: f64) -> Residual {
        let value = value.clamp(-VALUE_MAX, VALUE_MAX);
        let mut local = self.local;
        let mut state = self.state.clone();
        state
            .observe(at.as_millis(), value, self.season, self.polarity, &mut local)
            .residual
    }
}
