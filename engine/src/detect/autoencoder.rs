//! LSTM autoencoder over windows of long-term residuals: inference.
//!
//! Encoder LSTM(1 -> 32), latent 8, decoder LSTM(8 -> 32), which writes the window backwards; a second head on the encoder
//! forecasts the newest sample from the ones before it. Both errors make the score: on TSB-AD the forecast error finds more
//! than the reconstruction error, together they find most. This is the arithmetic by hand, sixteen windows side by side in one
//! vector register; it agrees with candle's own layers within 1e-4. `train/gradient.rs` is the way back.

use super::kernel::{cell, tanh};
use super::lanes::{self, LANES, Lanes, Wide, add_product, add_scaled, side_by_side};
use safetensors::SafeTensors;

/// Samples in a window.
pub const WINDOW: usize = 32;
/// Width of both LSTMs.
pub const HIDDEN: usize = 32;
/// Width of the bottleneck.
pub const LATENT: usize = 8;
pub(super) const GATES: usize = 4 * HIDDEN;
/// Newest samples of the reconstruction that count: older ones had their turn.
pub(super) const RECENT: usize = 8;

/// Weights, row-major as candle stores them.
#[derive(Clone, Debug, PartialEq)]
pub struct Autoencoder {
    /// `[GATES]`, `[GATES, HIDDEN]`, `[GATES]`: input, recurrent, bias of the encoder.
    pub(super) encoder_input: Vec<f32>,
    pub(super) encoder_hidden: Vec<f32>,
    pub(super) encoder_bias: Vec<f32>,
    /// `[LATENT, HIDDEN]`, `[LATENT]`.
    pub(super) latent: Vec<f32>,
    pub(super) latent_bias: Vec<f32>,
    /// `[GATES, LATENT]`, `[GATES, HIDDEN]`, `[GATES]`.
    pub(super) decoder_input: Vec<f32>,
    pub(super) decoder_hidden: Vec<f32>,
    pub(super) decoder_bias: Vec<f32>,
    /// `[HIDDEN]` and one number each.
    pub(super) output: Vec<f32>,
    pub(super) output_bias: Vec<f32>,
    pub(super) forecast: Vec<f32>,
    pub(super) forecast_bias: Vec<f32>,
}

/// What the autoencoder makes of one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconstruction {
    /// The window as the decoder writes it, oldest first.
    pub window: [f32; WINDOW],
    /// The newest sample as forecast from the ones before it.
    pub forecast: f32,
}

impl Autoencoder {
    /// Reads weights from the bytes of a safetensors file. The error names the tensor at fault.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        let get = |name: &str, len: usize| -> Result<Vec<f32>, String> {
            let values = super::weights::floats(&file, name)?;
            if values.len() == len {
                Ok(values)
            } else {
                Err(format!("tensor {name} has {} numbers, expected {len}", values.len()))
            }
        };
        let bias = |part: &str| -> Result<Vec<f32>, String> {
            let input = get(&format!("{part}.bias_ih_l0"), GATES)?;
            let hidden = get(&format!("{part}.bias_hh_l0"), GATES)?;
            Ok(input.iter().zip(&hidden).map(|(a, b)| a + b).collect())
        };
        Ok(Self {
            encoder_input: get("encoder.weight_ih_l0", GATES)?,
            encoder_hidden: get("encoder.weight_hh_l0", GATES * HIDDEN)?,
            encoder_bias: bias("encoder")?,
            latent: get("latent.weight", LATENT * HIDDEN)?,
            latent_bias: get("latent.bias", LATENT)?,
            decoder_input: get("decoder.weight_ih_l0", GATES * LATENT)?,
            decoder_hidden: get("decoder.weight_hh_l0", GATES * HIDDEN)?,
            decoder_bias: bias("decoder")?,
            output: get("output.weight", HIDDEN)?,
            output_bias: get("output.bias", 1)?,
            forecast: get("forecast.weight", HIDDEN)?,
            forecast_bias: get("forecast.bias", 1)?,
        })
    }

    /// Anomaly score of each window in `windows` (`[n, WINDOW]` flat, oldest first): root of the squared forecast error plus the
    /// mean squared reconstruction error of the newest samples. Not negative; a window's score does not depend on its neighbours.
    pub fn score(&self, windows: &[f32]) -> Vec<f32> {
        let mut scores = Vec::with_capacity(windows.len() / WINDOW);
        self.each(windows, RECENT, |window, reconstruction, lane| {
            let forecast = window[WINDOW - 1] - reconstruction.forecast[lane];
            let recent = WINDOW - RECENT..WINDOW;
            let squares: f32 = recent
                .map(|t| (window[t] - reconstruction.window[t][lane]).powi(2))
                .sum();
            scores.push((forecast * forecast + squares / RECENT as f32).sqrt());
        });
        scores
    }

    /// The full reconstruction of each window in `windows` (`[n, WINDOW]` flat).
    pub fn reconstruct(&self, windows: &[f32]) -> Vec<Reconstruction> {
        let mut out = Vec::with_capacity(windows.len() / WINDOW);
        self.each(windows, WINDOW, |_, lanes, lane| {
            out.push(Reconstruction {
                window: std::array::from_fn(|t| lanes.window[t][lane]),
                forecast: lanes.forecast[lane],
            });
        });
        out
    }

    /// What training makes small: mean squared error of the reconstruction of `windows` (`[n, WINDOW]` flat) plus that of the
    /// forecast of their newest samples. NaN for none.
    pub(super) fn loss(&self, windows: &[f32]) -> f64 {
        let (mut reconstruction, mut forecast) = (0.0, 0.0);
        self.each(windows, WINDOW, |window, lanes, lane| {
            let error = |x: f32, y: f32| f64::from(x - y).powi(2);
            let whole = window.iter().zip(&lanes.window);
            reconstruction += whole.map(|(&x, lanes)| error(x, lanes[lane])).sum::<f64>() / WINDOW as f64;
            forecast += error(window[WINDOW - 1], lanes.forecast[lane]);
        });
        (reconstruction + forecast) / (windows.len() / WINDOW) as f64
    }

    /// Runs every window; of its reconstruction the `newest` samples are written.
    fn each(&self, windows: &[f32], newest: usize, mut visit: impl FnMut(&[f32], &Output, usize)) {
        let mut output = Output::default();
        for group in windows.chunks(LANES * WINDOW) {
            lanes::run(Run {
                model: self,
                input: &side_by_side(group),
                newest,
                output: &mut output,
            });
            for (lane, window) in group.chunks_exact(WINDOW).enumerate() {
                visit(window, &output, lane);
            }
        }
    }

    /// Sixteen windows through the network. The decoder writes backwards, so it stops after the `newest` samples.
    #[inline(always)]
    fn run(&self, wide: impl Wide, input: &[Lanes; WINDOW], newest: usize, output: &mut Output) {
        let mut hidden = [Lanes::ZERO; HIDDEN];
        let mut memory = [Lanes::ZERO; HIDDEN];
        let mut gates = [Lanes::ZERO; GATES];
        for (t, x) in input.iter().enumerate() {
            if t == WINDOW - 1 {
                output.forecast = head(wide, &hidden, &self.forecast, self.forecast_bias[0]);
            }
            for (g, gate) in gates.iter_mut().enumerate() {
                *gate = Lanes([self.encoder_bias[g]; LANES]);
                add_scaled(wide, gate, self.encoder_input[g], x);
            }
            step(wide, &self.encoder_hidden, &mut gates, &mut hidden, &mut memory);
        }

        let mut latent = [Lanes::ZERO; LATENT];
        let layers = self.latent.chunks_exact(HIDDEN).zip(&self.latent_bias);
        for (z, (weights, &bias)) in latent.iter_mut().zip(layers) {
            *z = head(wide, &hidden, weights, bias).map(tanh);
        }
        // The decoder sees the same input at every step: project it once.
        let mut constant = [Lanes::ZERO; GATES];
        for (gate, &bias) in constant.iter_mut().zip(&self.decoder_bias) {
            *gate = Lanes([bias; LANES]);
        }
        add_product(wide, &self.decoder_input, &latent, &mut constant);
        hidden = [Lanes::ZERO; HIDDEN];
        memory = [Lanes::ZERO; HIDDEN];
        for t in (WINDOW - newest..WINDOW).rev() {
            gates = constant;
            step(wide, &self.decoder_hidden, &mut gates, &mut hidden, &mut memory);
            output.window[t] = head(wide, &hidden, &self.output, self.output_bias[0]);
        }
    }
}

/// A call of [`Autoencoder::run`].
struct Run<'a> {
    model: &'a Autoencoder,
    input: &'a [Lanes; WINDOW],
    newest: usize,
    output: &'a mut Output,
}

impl lanes::Kernel for Run<'_> {
    #[inline(always)]
    fn run(self, wide: impl Wide) {
        self.model.run(wide, self.input, self.newest, self.output);
    }
}

#[derive(Clone, Debug)]
struct Output {
    window: [Lanes; WINDOW],
    forecast: Lanes,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            window: [Lanes::ZERO; WINDOW],
            forecast: Lanes::ZERO,
        }
    }
}

/// One LSTM step; `gates` holds bias and input part in candle's order: input, forget, cell, output.
#[inline(always)]
fn step(
    wide: impl Wide,
    weights: &[f32],
    gates: &mut [Lanes; GATES],
    hidden: &mut [Lanes; HIDDEN],
    memory: &mut [Lanes; HIDDEN],
) {
    add_product(wide, weights, hidden, gates);
    for j in 0..HIDDEN {
        for lane in 0..LANES {
            let sums = [0, HIDDEN, 2 * HIDDEN, 3 * HIDDEN].map(|gate| gates[gate + j][lane]);
            (memory[j][lane], hidden[j][lane]) = cell(sums, memory[j][lane]);
        }
    }
}

/// A linear layer with one output.
#[inline(always)]
pub(super) fn head(wide: impl Wide, hidden: &[Lanes; HIDDEN], weights: &[f32], bias: f32) -> Lanes {
    let mut sum = wide.splat(bias);
    for (h, &w) in hidden.iter().zip(weights) {
        sum = wide.mul_add(wide.splat(w), wide.load(h), sum);
    }
    wide.store(sum)
}
