//! The autoencoder of candle's own layers: the reference that the arithmetic by hand, there and back, is tested against.

use crate::detect::autoencoder::{HIDDEN, LATENT, WINDOW};
use candle_core::Tensor;
use candle_nn::rnn::{LSTM, LSTMConfig, LSTMState, RNN};
use candle_nn::{Linear, Module, VarBuilder};

/// The network on candle tensors.
#[derive(Debug)]
pub(in crate::detect) struct Network {
    encoder: LSTM,
    latent: Linear,
    decoder: LSTM,
    output: Linear,
    forecast: Linear,
}

impl Network {
    /// The network with the variables of `vars`, created where they are missing.
    pub(in crate::detect) fn new(vars: VarBuilder<'_>) -> candle_core::Result<Self> {
        Ok(Self {
            encoder: candle_nn::rnn::lstm(1, HIDDEN, LSTMConfig::default(), vars.pp("encoder"))?,
            latent: candle_nn::linear(HIDDEN, LATENT, vars.pp("latent"))?,
            decoder: candle_nn::rnn::lstm(LATENT, HIDDEN, LSTMConfig::default(), vars.pp("decoder"))?,
            output: candle_nn::linear(HIDDEN, 1, vars.pp("output"))?,
            forecast: candle_nn::linear(HIDDEN, 1, vars.pp("forecast"))?,
        })
    }

    /// Windows `[n, WINDOW]` to their reconstruction `[n, WINDOW]` and the forecast of their newest sample `[n, 1]`.
    pub(in crate::detect) fn forward(&self, windows: &Tensor) -> candle_core::Result<(Tensor, Tensor)> {
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
