//! One series' state, copied out and put back: what came between is as if it had never been.

use super::{Baselines, State};
use crate::features::Polarity;
use crate::features::residual::Local;
use crate::features::season::Season;

/// A copy of what one slot has learnt.
#[derive(Clone, Debug)]
pub struct BaselineSlot {
    state: State,
    season: Option<Box<Season>>,
    local: Local,
    opening: Vec<(i64, f64)>,
}

impl Baselines {
    /// Copies what `slot` has learnt.
    ///
    /// # Panics
    /// If `slot` was not given by [`Baselines::add`].
    pub fn copy_out(&self, slot: usize) -> BaselineSlot {
        BaselineSlot {
            state: self.states[slot].clone(),
            season: self.seasons[slot].clone(),
            local: self.locals[slot],
            opening: self.opening[slot].clone(),
        }
    }

    /// Says anew which way is bad.
    ///
    /// # Panics
    /// If `slot` was not given by [`Baselines::add`].
    pub fn set_polarity(&mut self, slot: usize, polarity: Polarity) {
        self.polarities[slot] = polarity;
    }

    /// Puts a copy back.
    ///
    /// # Panics
    /// If `slot` was not given by [`Baselines::add`].
    pub fn put_back(&mut self, slot: usize, kept: BaselineSlot) {
        self.states[slot] = kept.state;
        self.seasons[slot] = kept.season;
        self.locals[slot] = kept.local;
        self.opening[slot] = kept.opening;
    }
}
