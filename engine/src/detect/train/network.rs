//! The autoencoder as a candle graph: training, and the reference that the hand-written inference is tested against.

use super::{TrainConfig, fault};
use crate::Result;
use crate::detect::autoencoder::{HIDDEN, LATENT, WINDOW};
use candle_core::{DType, Device, Tensor};
use candle_nn::rnn::{LSTM, LSTMConfig, LSTMState, RNN};
use candle_nn::{AdamW, Linear, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// The network on candle tensors.
#[derive(Debug)]
pub struct Network {
    encoder: LSTM,
    latent: Linear,
    decoder: LSTM,
    output: Linear,
    forecast: Linear,
}

/// Trained tensors and their loss on held-back windows.
pub(super) struct Fitted {
    /// Name, shape, numbers; sorted by name.
    pub(super) tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    pub(super) held_back: f32,
}

impl Network {
    /// The network with the variables of `vars`, created where they are missing.
    ///
    /// # Errors
    /// When a variable has another shape.
    pub fn new(vars: VarBuilder<'_>) -> candle_core::Result<Self> {
        Ok(Self {
            encoder: candle_nn::rnn::lstm(1, HIDDEN, LSTMConfig::default(), vars.pp("encoder"))?,
            latent: candle_nn::linear(HIDDEN, LATENT, vars.pp("latent"))?,
            decoder: candle_nn::rnn::lstm(LATENT, HIDDEN, LSTMConfig::default(), vars.pp("decoder"))?,
            output: candle_nn::linear(HIDDEN, 1, vars.pp("output"))?,
            forecast: candle_nn::linear(HIDDEN, 1, vars.pp("forecast"))?,
        })
    }

    /// Windows `[n, WINDOW]` to their reconstruction `[n, WINDOW]` and the forecast of their newest sample `[n, 1]`.
    ///
    /// # Errors
    /// When the input has another shape.
    pub fn forward(&self, windows: &Tensor) -> candle_core::Result<(Tensor, Tensor)> {
        let n = windows.dim(0)?;
        let mut state = self.encoder.zero_state(n)?;
        let mut forecast = None;
        for t in 0..WINDOW {
            if t == WINDOW - 1 {
                forecast = Some(self.forecast.forward(state.h())?);
            }
            state = self.encoder.step(&windows.narrow(1, t, 1)?.contiguous()?, &state)?;
        }
        let latent = self.latent.forward(state.h())?.tanh()?;
        let mut state: LSTMState = self.decoder.zero_state(n)?;
        let mut backwards = Vec::with_capacity(WINDOW);
        for _ in 0..WINDOW {
            state = self.decoder.step(&latent, &state)?;
            backwards.push(self.output.forward(state.h())?);
        }
        backwards.reverse();
        let forecast = forecast.expect("the loop passes the last sample");
        Ok((Tensor::cat(&backwards, 1)?, forecast))
    }

    /// Mean squared error of the reconstruction plus that of the forecast.
    pub(super) fn loss(&self, windows: &Tensor) -> candle_core::Result<Tensor> {
        let (reconstruction, forecast) = self.forward(windows)?;
        let newest = windows.narrow(1, WINDOW - 1, 1)?;
        let reconstruction = (reconstruction - windows)?.sqr()?.mean_all()?;
        let forecast = (forecast - newest)?.sqr()?.mean_all()?;
        reconstruction + forecast
    }
}

/// Trains on `windows` (`[n, WINDOW]` flat), a tenth held back.
pub(super) fn fit(
    config: &TrainConfig,
    windows: &[f32],
    report: &mut dyn FnMut(usize, f32, f32) -> Result<()>,
) -> Result<Fitted> {
    fit_inner(config, windows, report)?.map_err(|e| fault("autoencoder", e.to_string()))
}

/// The outer result is a stop on request, the inner one candle's.
fn fit_inner(
    config: &TrainConfig,
    windows: &[f32],
    report: &mut dyn FnMut(usize, f32, f32) -> Result<()>,
) -> Result<candle_core::Result<Fitted>> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(config.seed ^ 0xAE);
    let count = windows.len() / WINDOW;
    let mut order: Vec<usize> = (0..count).collect();
    rand::seq::SliceRandom::shuffle(order.as_mut_slice(), &mut rng);
    let (held, rest) = order.split_at((count / 10).clamp(1, 2000));

    let vars = VarMap::new();
    let mut run = || -> candle_core::Result<Result<f32>> {
        let network = Network::new(VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu))?;
        initialise(&vars, &mut rng)?;
        let held = gather(windows, held)?;
        let mut optimiser = AdamW::new(
            vars.all_vars(),
            ParamsAdamW {
                lr: 3e-3,
                weight_decay: 1e-5,
                ..ParamsAdamW::default()
            },
        )?;
        let mut held_back = f32::INFINITY;
        for step in 0..config.steps {
            // Cosine decay: fast at first, fine at the end.
            let progress = step as f64 / config.steps as f64;
            optimiser.set_learning_rate(1e-4 + 2.9e-3 * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()));
            let chosen: Vec<usize> = (0..config.batch)
                .map(|_| rest[rng.random_range(0..rest.len())])
                .collect();
            let loss = network.loss(&gather(windows, &chosen)?)?;
            optimiser.backward_step(&loss)?;
            if step % 100 == 0 || step + 1 == config.steps {
                held_back = network.loss(&held)?.to_scalar()?;
                if let Err(stopped) = report(step, loss.to_scalar()?, held_back) {
                    return Ok(Err(stopped));
                }
            }
        }
        Ok(Ok(held_back))
    };
    let held_back = match run() {
        Ok(Ok(held_back)) => held_back,
        Ok(Err(stopped)) => return Err(stopped),
        Err(error) => return Ok(Err(error)),
    };
    Ok(tensors(&vars).map(|tensors| Fitted { tensors, held_back }))
}

/// Seeded uniform weights: candle's own initialisation cannot be seeded on the CPU.
fn initialise(vars: &VarMap, rng: &mut Xoshiro256PlusPlus) -> candle_core::Result<()> {
    for (name, var) in sorted(vars) {
        let shape = var.shape().clone();
        let reach = 1.0 / (HIDDEN as f32).sqrt();
        let mut values: Vec<f32> = (0..shape.elem_count())
            .map(|_| rng.random_range(-reach..reach))
            .collect();
        if name.ends_with("bias_ih_l0") {
            // Remember by default.
            values[HIDDEN..2 * HIDDEN].fill(1.0);
        }
        var.set(&Tensor::from_vec(values, shape, &Device::Cpu)?)?;
    }
    Ok(())
}

/// A weight by name, with its shape and values.
pub(super) type NamedTensor = (String, Vec<usize>, Vec<f32>);

pub(super) fn tensors(vars: &VarMap) -> candle_core::Result<Vec<NamedTensor>> {
    sorted(vars)
        .into_iter()
        .map(|(name, var)| Ok((name, var.dims().to_vec(), var.flatten_all()?.to_vec1()?)))
        .collect()
}

pub(super) fn sorted(vars: &VarMap) -> Vec<(String, candle_core::Var)> {
    let held = vars.data().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    #[expect(clippy::iter_over_hash_type, reason = "sorted right after")]
    let mut all: Vec<(String, candle_core::Var)> = {
        let mut all = Vec::new();
        for (name, var) in held.iter() {
            all.push((name.clone(), var.clone()));
        }
        all
    };
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// Some of `windows` (`[n, WINDOW]` flat), by their numbers.
pub(super) fn gather(windows: &[f32], chosen: &[usize]) -> candle_core::Result<Tensor> {
    let mut values = Vec::with_capacity(chosen.len() * WINDOW);
    for &i in chosen {
        values.extend_from_slice(&windows[i * WINDOW..(i + 1) * WINDOW]);
    }
    Tensor::from_vec(values, (chosen.len(), WINDOW), &Device::Cpu)
}
