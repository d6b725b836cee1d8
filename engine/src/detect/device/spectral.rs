//! What forests see of samples, for all series at once: what `detect::sight` and `detect::spectral` do for one.

use super::columns::pick;
use super::decomposition::compressed;
use crate::detect::WINDOW;
use crate::detect::sight::{DOWN, Sight, UP};
use crate::detect::spectral::{BEFORE, FLOOR, HIGHEST, LEAST, NEWEST, back, extended, there};
use candle_core::{Device, Result, Tensor};

/// The matrices of the spectral residual.
#[derive(Clone, Debug)]
pub(super) struct Spectral {
    /// From a window, estimated samples and all, to its spectrum; and back from one. `[WINDOW, WINDOW]`.
    there: Tensor,
    back: Tensor,
}

impl Spectral {
    pub(super) fn new(device: &Device) -> Result<Self> {
        let mut forward = Vec::with_capacity(WINDOW * WINDOW);
        for t in 0..WINDOW {
            // What one sample adds to the spectrum, itself and by the samples that are estimated from it.
            let mut unit = [0.0; WINDOW];
            unit[t] = 1.0;
            let extended = extended(&unit);
            forward.extend((0..WINDOW).map(|place| (0..WINDOW).map(|t| extended[t] * there(t, place)).sum::<f32>()));
        }
        let backward: Vec<f32> = (0..WINDOW * WINDOW).map(|i| back(i / WINDOW, i % WINDOW)).collect();
        Ok(Self {
            there: Tensor::from_vec(forward, (WINDOW, WINDOW), device)?,
            back: Tensor::from_vec(backward, (WINDOW, WINDOW), device)?,
        })
    }

    /// Rows `[n, FEATURES]` from the features of residuals and the `[n, WINDOW]` windows that end with them.
    pub(super) fn rows(&self, sight: Sight, features: &Tensor, windows: &Tensor) -> Result<Tensor> {
        if sight == Sight::Residual {
            return Ok(features.clone());
        }
        let column = |i: usize| features.narrow(1, i, 1)?.contiguous();
        let (up, down) = (column(UP)?, column(DOWN)?);
        let cusum = pick(&up.ge(&down)?, &up, &down.neg()?)?;
        let saliency = compressed(&self.saliency(windows)?)?;
        let rest = features.narrow(1, DOWN + 1, features.dim(1)? - DOWN - 1)?;
        Tensor::cat(&[&features.narrow(1, 0, UP)?, &cusum, &saliency, &rest], 1)
    }

    /// `[n, WINDOW]` to `[n, 1]`.
    fn saliency(&self, windows: &Tensor) -> Result<Tensor> {
        let parts = windows.matmul(&self.there)?;
        let real = parts.narrow(1, 0, HIGHEST)?;
        let highest = parts.narrow(1, HIGHEST, 1)?;
        let none = highest.zeros_like()?;
        let imaginary = Tensor::cat(&[&none, &parts.narrow(1, HIGHEST + 1, HIGHEST - 1)?], 1)?;
        let amplitude = |square: Result<Tensor>| square?.maximum(FLOOR)?.sqrt();
        let low = amplitude(real.sqr()? + imaginary.sqr()?)?;
        let ends = [
            &low.narrow(1, 1, 1)?,
            &low,
            &amplitude(highest.sqr())?,
            &low.narrow(1, HIGHEST - 1, 1)?,
        ];
        let amplitudes = Tensor::cat(&ends, 1)?;
        let shifted = |by: usize| amplitudes.narrow(1, by, HIGHEST + 1);
        let scales = ((shifted(0)? * shifted(1)?)? * shifted(2)?)?.powf(-1.0 / 3.0)?;
        let low = scales.narrow(1, 0, HIGHEST)?;
        let imaginary = (imaginary * &low)?.narrow(1, 1, HIGHEST - 1)?;
        let highest = (highest * scales.narrow(1, HIGHEST, 1)?)?;
        let residual = Tensor::cat(&[&(real * low)?, &highest, &imaginary], 1)?;
        let map = residual.matmul(&self.back)?.abs()?;
        let newest = map.narrow(1, NEWEST, 1)?.contiguous()?;
        let before = map.narrow(1, NEWEST - BEFORE, BEFORE)?.mean_keepdim(1)?;
        ((newest - &before)? / before.maximum(LEAST)?)?.maximum(0_f32)
    }
}
