//! The LSTM autoencoder over many windows: one matrix product a step for the whole batch.
//!
//! A logistic function is a hyperbolic tangent, `sigmoid(x) = (1 + tanh(x / 2)) / 2`: with the rows of three gates halved, one
//! `tanh` over all four serves.

use super::columns::singles;
use crate::detect::autoencoder::{Autoencoder, GATES, HIDDEN, LATENT, RECENT, WINDOW};
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor};
use std::sync::Arc;

/// Windows that go through together: 65,536 of them take 34 MB a tensor of gates.
const CHUNK: usize = 65_536;

/// The autoencoder on a device.
#[derive(Clone, Debug)]
pub struct BatchedAutoencoder {
    device: Device,
    /// `[2, GATES]`: input weight and bias, for a sample with a 1 beside it.
    encoder_input: Tensor,
    /// `[HIDDEN, GATES]`.
    encoder_hidden: Tensor,
    /// `[HIDDEN, LATENT]` and `[1, LATENT]`.
    latent: Tensor,
    latent_bias: Tensor,
    /// `[LATENT, GATES]`, `[1, GATES]`, `[HIDDEN, GATES]`.
    decoder_input: Tensor,
    decoder_bias: Tensor,
    decoder_hidden: Tensor,
    /// `[HIDDEN, 1]`, and one number each.
    output: Tensor,
    output_bias: f64,
    forecast: Tensor,
    forecast_bias: f64,
}

impl BatchedAutoencoder {
    /// The autoencoder on `device`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(model: &Autoencoder, device: &Device) -> Result<Self> {
        let transposed = |values: &[f32], rows: usize, columns: usize| -> Result<Tensor> {
            Tensor::from_slice(values, (rows, columns), device)?.t()?.contiguous()
        };
        let mut input = halved(&model.encoder_input, 1);
        input.extend(halved(&model.encoder_bias, 1));
        Ok(Self {
            device: device.clone(),
            encoder_input: Tensor::from_vec(input, (2, GATES), device)?,
            encoder_hidden: transposed(&halved(&model.encoder_hidden, HIDDEN), GATES, HIDDEN)?,
            latent: transposed(&model.latent, LATENT, HIDDEN)?,
            latent_bias: singles(model.latent_bias.clone(), device)?.unsqueeze(0)?,
            decoder_input: transposed(&halved(&model.decoder_input, LATENT), GATES, LATENT)?,
            decoder_bias: singles(halved(&model.decoder_bias, 1), device)?.unsqueeze(0)?,
            decoder_hidden: transposed(&halved(&model.decoder_hidden, HIDDEN), GATES, HIDDEN)?,
            output: singles(model.output.clone(), device)?.unsqueeze(1)?,
            output_bias: f64::from(model.output_bias[0]),
            forecast: singles(model.forecast.clone(), device)?.unsqueeze(1)?,
            forecast_bias: f64::from(model.forecast_bias[0]),
        })
    }

    /// Scores of `windows` (`[n, WINDOW]` flat, oldest first), as [`Autoencoder::score`] gives them.
    ///
    /// # Errors
    /// When the windows are not whole, or the device fails.
    pub fn score(&self, windows: &[f32]) -> Result<Vec<f32>> {
        if !windows.len().is_multiple_of(WINDOW) {
            candle_core::bail!("{} numbers are no windows of {WINDOW}", windows.len());
        }
        let windows = Tensor::from_slice(windows, (windows.len() / WINDOW, WINDOW), &self.device)?;
        self.score_tensor(&windows)?.to_vec1()
    }

    /// Windows `[n, WINDOW]` to scores `[n]`.
    ///
    /// # Errors
    /// When `windows` has another shape or lies on another device.
    pub fn score_tensor(&self, windows: &Tensor) -> Result<Tensor> {
        let (n, width) = windows.dims2()?;
        if width != WINDOW {
            candle_core::bail!("windows of {width} samples, expected {WINDOW}");
        }
        if n == 0 {
            return Tensor::zeros(0, DType::F32, &self.device);
        }
        let chunks = (0..n)
            .step_by(CHUNK)
            .map(|from| self.score_chunk(&windows.narrow(0, from, CHUNK.min(n - from))?));
        Tensor::cat(&chunks.collect::<Result<Vec<_>>>()?, 0)
    }

    fn score_chunk(&self, windows: &Tensor) -> Result<Tensor> {
        let n = windows.dim(0)?;
        // `[WINDOW, n, 2]`: every step's samples lie together, each with the 1 that the bias is multiplied by.
        let by_step = windows.t()?.contiguous()?;
        let inputs = Tensor::stack(&[&by_step, &by_step.ones_like()?], 2)?;
        let zero = Tensor::zeros((n, HIDDEN), DType::F32, &self.device)?;
        let (mut hidden, mut cell) = (zero.clone(), zero.clone());
        let mut squares = None;
        for t in 0..WINDOW {
            if t == WINDOW - 1 {
                let forecast = (hidden.matmul(&self.forecast)? + self.forecast_bias)?;
                squares = Some((by_step.get(t)?.unsqueeze(1)? - forecast)?.sqr()?);
            }
            let gates = (inputs.get(t)?.matmul(&self.encoder_input)? + hidden.matmul(&self.encoder_hidden)?)?;
            (hidden, cell) = step(&gates, &cell)?;
        }
        let latent = hidden.matmul(&self.latent)?.broadcast_add(&self.latent_bias)?.tanh()?;
        // The decoder sees the same input at every step, and writes the newest sample first.
        let constant = latent.matmul(&self.decoder_input)?.broadcast_add(&self.decoder_bias)?;
        (hidden, cell) = (zero.clone(), zero);
        let mut squares = squares.expect("the loop passes the last sample");
        for t in (WINDOW - RECENT..WINDOW).rev() {
            let gates = (&constant + hidden.matmul(&self.decoder_hidden)?)?;
            (hidden, cell) = step(&gates, &cell)?;
            let written = (hidden.matmul(&self.output)? + self.output_bias)?;
            let square = (by_step.get(t)?.unsqueeze(1)? - written)?.sqr()?;
            squares = (squares + (square * (1.0 / RECENT as f64))?)?;
        }
        squares.squeeze(1)?.sqrt()
    }
}

/// One LSTM step from the gates' sums `[n, GATES]`, three of the four halved.
fn step(gates: &Tensor, cell: &Tensor) -> Result<(Tensor, Tensor)> {
    let bent = gates.tanh()?;
    let gate = |i: usize| bent.narrow(1, i * HIDDEN, HIDDEN);
    let open = |i: usize| gate(i)?.affine(0.5, 0.5);
    let cell = ((open(1)? * cell)? + (open(0)? * gate(2)?)?)?;
    let hidden = (open(3)? * cell.tanh()?)?;
    Ok((hidden, cell))
}

/// Weights of the four gates (rows of `width` numbers), with those of the three logistic ones halved.
fn halved(weights: &[f32], width: usize) -> Vec<f32> {
    let cell_gate = 2 * HIDDEN * width..3 * HIDDEN * width;
    let half = |(i, w): (usize, &f32)| if cell_gate.contains(&i) { *w } else { 0.5 * w };
    weights.iter().enumerate().map(half).collect()
}

/// The autoencoder's score as one operation of a candle graph: `[n, WINDOW]` to `[n]`. The fused kernel on the CPU, the
/// batched graph on a device.
#[derive(Clone, Debug)]
pub struct ScoreOp {
    model: Arc<Autoencoder>,
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "the CPU runs the fused kernel"))]
    batched: BatchedAutoencoder,
}

impl ScoreOp {
    /// The operation for tensors on `device`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(model: Arc<Autoencoder>, device: &Device) -> Result<Self> {
        let batched = BatchedAutoencoder::new(&model, device)?;
        Ok(Self { model, batched })
    }
}

impl CustomOp1 for ScoreOp {
    fn name(&self) -> &'static str {
        "lstm-autoencoder-score"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, width) = layout.shape().dims2()?;
        let Some((from, to)) = layout.contiguous_offsets() else {
            candle_core::bail!("{}: the windows must be contiguous", self.name());
        };
        if width != WINDOW {
            candle_core::bail!("{}: windows of {width} samples, expected {WINDOW}", self.name());
        }
        let windows = &storage.as_slice::<f32>()?[from..to];
        Ok((CpuStorage::F32(self.model.score(windows)), Shape::from(n)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        storage: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        use candle_core::Storage;
        use candle_core::backend::BackendStorage as _;
        use candle_core::op::BackpropOp;

        if layout.contiguous_offsets().is_none_or(|(from, _)| from != 0) {
            candle_core::bail!("{}: the windows must be contiguous, from the start", self.name());
        }
        let windows = Storage::Cuda(storage.try_clone(layout)?);
        let windows = Tensor::from_storage(windows, layout.shape().clone(), BackpropOp::none(), false);
        let scores = self.batched.score_tensor(&windows)?;
        let (storage, layout) = scores.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            Storage::Cpu(_) | Storage::Metal(_) => candle_core::bail!("{}: the scores left the device", self.name()),
        }
    }
}
