//! Who speaks for a series when its speaker is surprised, as `features::baseline::speaker`.

use super::columns::pick;
use super::decomposition::{Decomposition, pick_row};
use crate::features::baseline::{AS_GOOD, ASK_AT, CANDIDATES, NEARER, TO_SIGMA};
use candle_core::{Result, Tensor};

impl Decomposition {
    /// Lets a longer season speak that expects what surprises the speaker.
    pub(super) fn ask_others(
        &mut self,
        y: &Tensor,
        offsets: &Tensor,
        known: &Tensor,
        floor: &Tensor,
        patience: &Tensor,
    ) -> Result<()> {
        let speaker = self.chosen.clone();
        let shape = self.level.shape().clone();
        let off_by = ((y.broadcast_as(&shape)? - &self.level)? - offsets)?.abs()?;
        let surprise = pick_row(&off_by, &speaker)?;
        let error = pick_row(&self.error, &speaker)?;
        let scale = ((&error * TO_SIGMA)?.maximum(floor)? * patience)?;
        let asks = surprise.gt(&(scale * ASK_AT)?)?;
        let most_error = (error * AS_GOOD)?;
        let kind = (&speaker * 0.5)?.floor()?;
        let parity = (&speaker - (&kind * 2.0)?)?;
        let mut least = (surprise * NEARER)?;
        for k in 2..CANDIDATES {
            let error = self.error.get(k)?.contiguous()?;
            let off_by = off_by.get(k)?.contiguous()?;
            let longer = (kind.lt((k / 2) as f64)? * parity.eq((k % 2) as f64)?)?;
            let is_good = (error.ge(0.0)? * error.le(&most_error)?)?;
            let usable = ((known.get(k)?.contiguous()? * longer)? * is_good)?;
            let speaks = ((usable * off_by.le(&least)?)? * &asks)?;
            least = pick(&speaks, &off_by, &least)?;
            self.chosen = pick(&speaks, &(speaker.zeros_like()? + k as f64)?, &self.chosen)?;
        }
        let more = (pick_row(&self.level, &self.chosen)? - pick_row(&self.level, &speaker)?)?;
        self.last_season = (&self.last_season - &more)?;
        Ok(())
    }
}
