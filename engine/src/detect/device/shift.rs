//! Shifts that last, for all series at once: what `features::reseed` does to one.

use super::columns::pick;
use super::decomposition::{Decomposition, pick_row};
use crate::features::baseline::{CANDIDATES, OUTLIER, RELEARN, UNTRIED};
use crate::features::reseed::SUSPECT;
use crate::features::zone::Moment;
use candle_core::{Result, Tensor};

/// Outliers in a row, and samples that are still learnt without suspicion.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) outliers: Tensor,
    pub(super) relearn: Tensor,
}

impl Run {
    /// Counts outliers in a row, forgiving every second one; `needed` of them open a time of learning without suspicion.
    pub(super) fn confirm(&mut self, z: &Tensor, needed: &Tensor) -> Result<()> {
        let ebbing = (&self.relearn - 1.0)?.maximum(0.0)?;
        let far = z.abs()?.gt(OUTLIER)?;
        let more = (&self.outliers + 1.0)?;
        let believed = (&far * more.ge(needed)?)?;
        let counted = pick(&believed, &more.zeros_like()?, &more)?;
        let forgiven = (&self.outliers - 2.0)?.maximum(0.0)?;
        self.outliers = pick(&far, &counted, &forgiven)?;
        self.relearn = pick(&believed, &(ebbing.zeros_like()? + f64::from(RELEARN))?, &ebbing)?;
        Ok(())
    }
}

impl Decomposition {
    /// Puts seasons aside while samples are away from the long-term level, and begins anew from them where a shift is believed.
    pub(super) fn follow_shift(&mut self, moment: Moment, present: &Tensor) -> Result<()> {
        let believed = self.slow_run.relearn.ge(f64::from(RELEARN))?;
        let doubted = believed.eq(0_u8)?;
        let suspected = self.seasons.suspicion.on.clone();
        let confirmed = ((&believed * &suspected)? * present)?;
        let long = self.slow_run.outliers.ge(f64::from(SUSPECT))?;
        let either = (&suspected + &long)?.gt(0_u8)?;
        let away = (self.slow_run.outliers.gt(0.0)? * self.seasons.begun()?)?;
        let observing = (((either * away)? * &doubted)? * present)?;
        let back = ((self.slow_run.outliers.le(0.0)? * &doubted)? * present)?;
        if any(&observing)? {
            let newly = (&observing * suspected.eq(0_u8)?)?;
            let before = [&self.slow, &self.slow_error, &self.chosen];
            self.seasons.suspect(moment, &newly, &observing, &self.last, before)?;
        }
        if any(&confirmed)? {
            self.reseed(moment, &confirmed)?;
        }
        let over = (&confirmed + &back)?.gt(0_u8)?;
        let on = &self.seasons.suspicion.on;
        self.seasons.suspicion.on = pick(&over, &on.zeros_like()?, on)?;
        Ok(())
    }

    fn reseed(&mut self, moment: Moment, confirmed: &Tensor) -> Result<()> {
        let (live, was_known) = self.seasons.offsets(moment)?;
        let regimes = self.seasons.resolve(confirmed)?;
        let (anew, is_known) = self.seasons.offsets(moment)?;
        let suspicion = &self.seasons.suspicion;
        let slow = (&suspicion.slow + &regimes.jump)?;
        let slow_error = regimes.error.maximum(&(&regimes.factor * &suspicion.slow_error)?)?;
        self.slow = pick(confirmed, &slow, &self.slow)?;
        self.slow_error = pick(confirmed, &slow_error, &self.slow_error)?;

        let shape = self.level.shape().clone();
        let wide = |column: &Tensor| column.broadcast_as(&shape)?.contiguous();
        let confirmed_wide = wide(confirmed)?;
        let comparable = (was_known * &is_known)?;
        let tried = self.error.ge(0.0)?;
        let moved = ((&comparable * &tried)? * &confirmed_wide)?;
        self.level = pick(&moved, &((&self.level + live)? - &anew)?, &self.level)?;
        let fitted = wide(&regimes.error)?;
        let seasonal = Tensor::cat(
            &[
                tried.narrow(0, 0, 2)?.zeros_like()?,
                tried.narrow(0, 0, CANDIDATES - 2)?.ones_like()?,
            ],
            0,
        )?;
        let improved = ((moved * seasonal)? * fitted.gt(0.0)?)?;
        self.error = pick(&improved, &self.error.minimum(&fitted)?, &self.error)?;
        let lost = (comparable.eq(0_u8)? * confirmed_wide)?;
        let untried = (self.error.zeros_like()? + UNTRIED)?;
        self.error = pick(&lost, &untried, &self.error)?;

        let chosen = &self.seasons.suspicion.chosen;
        let known = pick_row(&is_known.to_dtype(candle_core::DType::F64)?, chosen)?.gt(0.0)?;
        let usable = ((known * pick_row(&self.error, chosen)?.ge(0.0)?)? * confirmed)?;
        self.chosen = pick(&usable, chosen, &self.chosen)?;
        let offset = pick_row(&anew, &self.chosen)?;
        self.last_season = pick(confirmed, &offset, &self.last_season)?;
        Ok(())
    }
}

/// Whether any of some bytes is not 0.
fn any(bytes: &Tensor) -> Result<bool> {
    if bytes.elem_count() == 0 {
        return Ok(false);
    }
    Ok(bytes.max_all()?.to_scalar::<u8>()? > 0)
}
