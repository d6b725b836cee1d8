//! The autoencoder's loss and its gradient: what training spends its time on.
//!
//! Backpropagation through time (Werbos, 1990) by hand, sixteen windows side by side as in inference, as one operation of
//! candle: its optimiser follows the gradient, and the tests hold both against the same network of candle's own layers. One
//! thread, so that detection keeps the other cores; sums are formed in one order, so every machine trains to the same bits.
//! Shapes: all parameters flat, in the order of [`PARTS`], to one number. Time and memory: O(windows), and 1 MB for the tape.

use super::super::autoencoder::{Autoencoder, GATES, HIDDEN, LATENT, WINDOW, head};
use super::super::kernel::{sigmoid, tanh};
use super::super::lanes::{
    self, LANES, Lanes, Wide, add_outer, add_product, add_products, add_scaled, add_totals, side_by_side, total,
};
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Shape, Tensor};
use std::sync::Mutex;

/// Names and sizes of the parameters, sorted by name.
pub(super) const PARTS: [(&str, usize); 14] = [
    ("decoder.bias_hh_l0", GATES),
    ("decoder.bias_ih_l0", GATES),
    ("decoder.weight_hh_l0", GATES * HIDDEN),
    ("decoder.weight_ih_l0", GATES * LATENT),
    ("encoder.bias_hh_l0", GATES),
    ("encoder.bias_ih_l0", GATES),
    ("encoder.weight_hh_l0", GATES * HIDDEN),
    ("encoder.weight_ih_l0", GATES),
    ("forecast.bias", 1),
    ("forecast.weight", HIDDEN),
    ("latent.bias", LATENT),
    ("latent.weight", LATENT * HIDDEN),
    ("output.bias", 1),
    ("output.weight", HIDDEN),
];

/// Mean squared error of the reconstruction of some windows plus that of the forecast of their newest samples.
#[derive(Debug)]
pub(super) struct Loss {
    windows: Vec<f32>,
    /// Made together with the loss, for the way back.
    gradient: Mutex<Vec<f32>>,
}

impl Loss {
    /// Of `windows`, `[n, WINDOW]` flat.
    pub(super) fn new(windows: Vec<f32>) -> Self {
        Self {
            windows,
            gradient: Mutex::default(),
        }
    }
}

impl CustomOp1 for Loss {
    fn name(&self) -> &'static str {
        "autoencoder-loss"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let parameters = storage.as_slice::<f32>()?;
        let Some((from, to)) = layout.contiguous_offsets() else {
            candle_core::bail!("the parameters are not contiguous");
        };
        let (loss, gradient) = loss_and_gradient(&weights_of(&parameters[from..to]), &self.windows);
        *self.gradient.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = gradient;
        Ok((CpuStorage::F32(vec![loss]), Shape::from(())))
    }

    fn bwd(&self, arg: &Tensor, _res: &Tensor, grad_res: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let gradient = self.gradient.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let gradient = Tensor::from_slice(&gradient, arg.shape(), &Device::Cpu)?;
        gradient.broadcast_mul(grad_res).map(Some)
    }
}

/// The network with some parameters, in the order of [`PARTS`].
fn weights_of(mut parameters: &[f32]) -> Autoencoder {
    let mut next = |len: usize| {
        let (part, rest) = parameters.split_at(len);
        parameters = rest;
        part.to_vec()
    };
    let [
        decoder_bias_hidden,
        decoder_bias,
        decoder_hidden,
        decoder_input,
        encoder_bias_hidden,
        encoder_bias,
        encoder_hidden,
        encoder_input,
        forecast_bias,
        forecast,
        latent_bias,
        latent,
        output_bias,
        output,
    ] = PARTS.map(|(_, len)| next(len));
    let sum = |a: Vec<f32>, b: Vec<f32>| a.iter().zip(b).map(|(a, b)| a + b).collect();
    Autoencoder {
        encoder_input,
        encoder_hidden,
        encoder_bias: sum(encoder_bias, encoder_bias_hidden),
        latent,
        latent_bias,
        decoder_input,
        decoder_hidden,
        decoder_bias: sum(decoder_bias, decoder_bias_hidden),
        output,
        output_bias,
        forecast,
        forecast_bias,
    }
}

/// The other way about; both biases of a layer are added up, so both have the gradient of the sum.
fn flat(gradient: &Autoencoder) -> Vec<f32> {
    let g = gradient;
    [
        &g.decoder_bias,
        &g.decoder_bias,
        &g.decoder_hidden,
        &g.decoder_input,
        &g.encoder_bias,
        &g.encoder_bias,
        &g.encoder_hidden,
        &g.encoder_input,
        &g.forecast_bias,
        &g.forecast,
        &g.latent_bias,
        &g.latent,
        &g.output_bias,
        &g.output,
    ]
    .into_iter()
    .flatten()
    .copied()
    .collect()
}

fn loss_and_gradient(model: &Autoencoder, windows: &[f32]) -> (f32, Vec<f32>) {
    let zero = vec![0.0; PARTS.iter().map(|(_, len)| len).sum()];
    let mut pass = Pass {
        encoder_back: transposed(&model.encoder_hidden),
        decoder_back: transposed(&model.decoder_hidden),
        model,
        windows: (windows.len() / WINDOW) as f32,
        encoder: Tape::default(),
        decoder: Tape::default(),
        gradient: weights_of(&zero),
        loss: 0.0,
    };
    for group in windows.chunks(LANES * WINDOW) {
        lanes::run(Group { pass: &mut pass, group });
    }
    ((pass.loss / f64::from(pass.windows)) as f32, flat(&pass.gradient))
}

/// `[GATES, HIDDEN]` to `[HIDDEN, GATES]`.
fn transposed(weights: &[f32]) -> Vec<f32> {
    (0..GATES * HIDDEN)
        .map(|i| weights[i % GATES * HIDDEN + i / GATES])
        .collect()
}

/// A pass over some windows, a group of lanes at a time.
struct Pass<'a> {
    model: &'a Autoencoder,
    /// Recurrent weights transposed, for the way back.
    encoder_back: Vec<f32>,
    decoder_back: Vec<f32>,
    /// How many windows there are in all.
    windows: f32,
    encoder: Tape,
    decoder: Tape,
    /// Sums over the groups so far.
    gradient: Autoencoder,
    loss: f64,
}

/// A call of [`Pass::group`].
struct Group<'a, 'b> {
    pass: &'a mut Pass<'b>,
    group: &'a [f32],
}

impl lanes::Kernel for Group<'_, '_> {
    #[inline(always)]
    fn run(self, wide: impl Wide) {
        self.pass.group(wide, self.group);
    }
}

/// What one LSTM did at each step, for the way back.
struct Tape {
    /// Gates as they opened: input, forget, update, output; on the way back, what the loss says of their sums.
    gates: Vec<[Lanes; GATES]>,
    memory: Vec<[Lanes; HIDDEN]>,
    /// Hyperbolic tangent of the memory.
    squashed: Vec<[Lanes; HIDDEN]>,
    hidden: Vec<[Lanes; HIDDEN]>,
}

impl Default for Tape {
    fn default() -> Self {
        let lanes = || vec![[Lanes::ZERO; HIDDEN]; WINDOW];
        Self {
            gates: vec![[Lanes::ZERO; GATES]; WINDOW],
            memory: lanes(),
            squashed: lanes(),
            hidden: lanes(),
        }
    }
}

impl Tape {
    /// One step, whose gates hold bias and input part.
    #[inline(always)]
    fn forward(&mut self, wide: impl Wide, t: usize, weights: &[f32]) {
        if t > 0 {
            add_product(wide, weights, &self.hidden[t - 1], &mut self.gates[t]);
        }
        let (earlier, now) = self.memory.split_at_mut(t);
        open(
            &mut self.gates[t],
            earlier.last().unwrap_or(&ZERO),
            &mut now[0],
            &mut self.squashed[t],
            &mut self.hidden[t],
        );
    }

    /// One step of the way back: gates become the gradient of the sums at them. `of_hidden` and `of_memory`: what the loss says
    /// of hidden state and memory after the step; they become those of before it. `back` are the transposed recurrent weights.
    #[inline(always)]
    fn backward(
        &mut self,
        wide: impl Wide,
        t: usize,
        back: &[f32],
        of_hidden: &mut [Lanes; HIDDEN],
        of_memory: &mut [Lanes; HIDDEN],
    ) {
        let before = self.memory[..t].last().unwrap_or(&ZERO);
        close(&mut self.gates[t], before, &self.squashed[t], of_hidden, of_memory);
        *of_hidden = ZERO;
        add_product(wide, back, &self.gates[t], of_hidden);
    }

    /// Adds the gradient of the recurrent weights: of each gate with each hidden state before it.
    #[inline(always)]
    fn add_recurrent(&self, wide: impl Wide, gradient: &mut [f32]) {
        add_outer(wide, &self.gates[1..], &self.hidden, gradient);
    }
}

const ZERO: [Lanes; HIDDEN] = [Lanes::ZERO; HIDDEN];

/// The cells of one step: sums at the gates become how far they open.
#[inline(always)]
fn open(
    gates: &mut [Lanes; GATES],
    before: &[Lanes; HIDDEN],
    memory: &mut [Lanes; HIDDEN],
    squashed: &mut [Lanes; HIDDEN],
    hidden: &mut [Lanes; HIDDEN],
) {
    for j in 0..HIDDEN {
        for lane in 0..LANES {
            let [i, f, u, o] = [0, HIDDEN, 2 * HIDDEN, 3 * HIDDEN].map(|gate| gates[gate + j][lane]);
            let [i, f, u, o] = [sigmoid(i), sigmoid(f), tanh(u), sigmoid(o)];
            memory[j][lane] = f.mul_add(before[j][lane], i * u);
            squashed[j][lane] = tanh(memory[j][lane]);
            hidden[j][lane] = o * squashed[j][lane];
            gates[j][lane] = i;
            gates[HIDDEN + j][lane] = f;
            gates[2 * HIDDEN + j][lane] = u;
            gates[3 * HIDDEN + j][lane] = o;
        }
    }
}

/// The way back through the cells of one step.
#[inline(always)]
fn close(
    gates: &mut [Lanes; GATES],
    before: &[Lanes; HIDDEN],
    squashed: &[Lanes; HIDDEN],
    of_hidden: &[Lanes; HIDDEN],
    of_memory: &mut [Lanes; HIDDEN],
) {
    for j in 0..HIDDEN {
        for lane in 0..LANES {
            let [i, f, u, o] = [0, HIDDEN, 2 * HIDDEN, 3 * HIDDEN].map(|gate| gates[gate + j][lane]);
            let (squashed, hidden) = (squashed[j][lane], of_hidden[j][lane]);
            let memory = (hidden * o).mul_add(1.0 - squashed * squashed, of_memory[j][lane]);
            gates[j][lane] = memory * u * i * (1.0 - i);
            gates[HIDDEN + j][lane] = memory * before[j][lane] * f * (1.0 - f);
            gates[2 * HIDDEN + j][lane] = memory * i * (1.0 - u * u);
            gates[3 * HIDDEN + j][lane] = hidden * squashed * o * (1.0 - o);
            of_memory[j][lane] = memory * f;
        }
    }
}

/// What one group of at most [`LANES`] windows is and becomes.
struct Passing {
    input: [Lanes; WINDOW],
    /// 1 where there is a window.
    present: Lanes,
    latent: [Lanes; LATENT],
    /// What the loss says of each sample written, of the forecast, and of the latent numbers.
    of_output: [Lanes; WINDOW],
    of_forecast: Lanes,
    of_latent: [Lanes; LATENT],
}

impl Passing {
    #[inline(always)]
    fn of(group: &[f32]) -> Self {
        let mut present = Lanes::ZERO;
        present[..group.len() / WINDOW].fill(1.0);
        Self {
            input: side_by_side(group),
            present,
            latent: [Lanes::ZERO; LATENT],
            of_output: [Lanes::ZERO; WINDOW],
            of_forecast: Lanes::ZERO,
            of_latent: [Lanes::ZERO; LATENT],
        }
    }
}

/// The encoder reads the newest sample last, and what forecasts it has not seen it.
const NEWEST: usize = WINDOW - 1;
const BEFORE_NEWEST: usize = WINDOW - 2;

impl Pass<'_> {
    /// One group of windows, there and back.
    #[inline(always)]
    fn group(&mut self, wide: impl Wide, group: &[f32]) {
        let mut passing = Passing::of(group);
        self.forward(wide, &mut passing);
        self.judge(wide, &mut passing);
        self.back_through_decoder(wide, &mut passing);
        self.back_through_encoder(wide, &passing);
    }

    #[inline(always)]
    fn forward(&mut self, wide: impl Wide, passing: &mut Passing) {
        let model = self.model;
        for (t, x) in passing.input.iter().enumerate() {
            for (g, gate) in self.encoder.gates[t].iter_mut().enumerate() {
                *gate = Lanes([model.encoder_bias[g]; LANES]);
                add_scaled(wide, gate, model.encoder_input[g], x);
            }
            self.encoder.forward(wide, t, &model.encoder_hidden);
        }
        let read = &self.encoder.hidden[NEWEST];
        for ((z, weights), &bias) in passing
            .latent
            .iter_mut()
            .zip(model.latent.chunks_exact(HIDDEN))
            .zip(&model.latent_bias)
        {
            *z = head(wide, read, weights, bias).map(tanh);
        }
        let mut constant = [Lanes::ZERO; GATES];
        for (gate, &bias) in constant.iter_mut().zip(&model.decoder_bias) {
            *gate = Lanes([bias; LANES]);
        }
        add_product(wide, &model.decoder_input, &passing.latent, &mut constant);
        for step in 0..WINDOW {
            self.decoder.gates[step] = constant;
            self.decoder.forward(wide, step, &model.decoder_hidden);
        }
    }

    /// How far off the heads are, and what the loss says of it.
    #[inline(always)]
    fn judge(&mut self, wide: impl Wide, passing: &mut Passing) {
        let (model, gradient) = (self.model, &mut self.gradient);
        let mut of_weights = ZERO;
        let mut of_bias = Lanes::ZERO;
        for (step, (of_output, hidden)) in passing.of_output.iter_mut().zip(&self.decoder.hidden).enumerate() {
            let written = head(wide, hidden, &model.output, model.output_bias[0]);
            // The decoder writes backwards.
            let off = difference(&written, &passing.input[NEWEST - step], &passing.present);
            self.loss += squares(&off) / WINDOW as f64;
            *of_output = off.map(|off| off * (2.0 / (self.windows * WINDOW as f32)));
            add_scaled(wide, &mut of_bias, 1.0, of_output);
            for (sum, hidden) in of_weights.iter_mut().zip(hidden) {
                add_products(wide, sum, of_output, hidden);
            }
        }
        gradient.output_bias[0] += total(&of_bias);
        add_totals(&mut gradient.output, &of_weights);

        let hidden = &self.encoder.hidden[BEFORE_NEWEST];
        let forecast = head(wide, hidden, &model.forecast, model.forecast_bias[0]);
        let off = difference(&forecast, &passing.input[NEWEST], &passing.present);
        self.loss += squares(&off);
        passing.of_forecast = off.map(|off| off * (2.0 / self.windows));
        gradient.forecast_bias[0] += total(&passing.of_forecast);
        for (sum, hidden) in gradient.forecast.iter_mut().zip(hidden) {
            *sum += product(&passing.of_forecast, hidden);
        }
    }

    #[inline(always)]
    fn back_through_decoder(&mut self, wide: impl Wide, passing: &mut Passing) {
        let (model, gradient) = (self.model, &mut self.gradient);
        let (mut of_hidden, mut of_memory) = (ZERO, ZERO);
        for (step, of_output) in passing.of_output.iter().enumerate().rev() {
            for (of_hidden, &weight) in of_hidden.iter_mut().zip(&model.output) {
                add_scaled(wide, of_hidden, weight, of_output);
            }
            self.decoder
                .backward(wide, step, &self.decoder_back, &mut of_hidden, &mut of_memory);
        }
        self.decoder.add_recurrent(wide, &mut gradient.decoder_hidden);
        // The latent numbers enter every step alike.
        let mut of_constant = [Lanes::ZERO; GATES];
        for gates in &self.decoder.gates {
            for (sum, gate) in of_constant.iter_mut().zip(gates) {
                add_scaled(wide, sum, 1.0, gate);
            }
        }
        add_totals(&mut gradient.decoder_bias, &of_constant);
        for (g, of_gate) in of_constant.iter().enumerate() {
            for (l, of_latent) in passing.of_latent.iter_mut().enumerate() {
                gradient.decoder_input[g * LATENT + l] += product(of_gate, &passing.latent[l]);
                add_scaled(wide, of_latent, model.decoder_input[g * LATENT + l], of_gate);
            }
        }
        for ((l, of_latent), z) in passing.of_latent.iter_mut().enumerate().zip(&passing.latent) {
            for (of_latent, z) in of_latent.iter_mut().zip(z.iter()) {
                *of_latent *= 1.0 - z * z;
            }
            gradient.latent_bias[l] += total(of_latent);
            for (j, hidden) in self.encoder.hidden[NEWEST].iter().enumerate() {
                gradient.latent[l * HIDDEN + j] += product(of_latent, hidden);
            }
        }
    }

    #[inline(always)]
    fn back_through_encoder(&mut self, wide: impl Wide, passing: &Passing) {
        let (model, gradient) = (self.model, &mut self.gradient);
        let (mut of_hidden, mut of_memory) = (ZERO, ZERO);
        for (j, of_hidden) in of_hidden.iter_mut().enumerate() {
            for (l, of_latent) in passing.of_latent.iter().enumerate() {
                add_scaled(wide, of_hidden, model.latent[l * HIDDEN + j], of_latent);
            }
        }
        for t in (0..WINDOW).rev() {
            if t == BEFORE_NEWEST {
                for (of_hidden, &weight) in of_hidden.iter_mut().zip(&model.forecast) {
                    add_scaled(wide, of_hidden, weight, &passing.of_forecast);
                }
            }
            self.encoder
                .backward(wide, t, &self.encoder_back, &mut of_hidden, &mut of_memory);
        }
        self.encoder.add_recurrent(wide, &mut gradient.encoder_hidden);
        for g in 0..GATES {
            let (mut of_bias, mut of_input) = (Lanes::ZERO, Lanes::ZERO);
            for (gates, x) in self.encoder.gates.iter().zip(&passing.input) {
                add_scaled(wide, &mut of_bias, 1.0, &gates[g]);
                add_products(wide, &mut of_input, &gates[g], x);
            }
            gradient.encoder_bias[g] += total(&of_bias);
            gradient.encoder_input[g] += total(&of_input);
        }
    }
}

/// `is - should`, and 0 in a lane without a window.
#[inline(always)]
fn difference(is: &Lanes, should: &Lanes, present: &Lanes) -> Lanes {
    Lanes(std::array::from_fn(|lane| (is[lane] - should[lane]) * present[lane]))
}

fn squares(lanes: &Lanes) -> f64 {
    lanes.iter().map(|&x| f64::from(x).powi(2)).sum()
}

/// Sum of the products of all lanes.
#[inline(always)]
fn product(a: &Lanes, b: &Lanes) -> f32 {
    total(&Lanes(std::array::from_fn(|lane| a[lane] * b[lane])))
}
