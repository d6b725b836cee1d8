//! The autoencoder's parameters and the optimiser that moves them.

use super::fault;
use super::gradient::{Loss, PARTS};
use crate::Result;
use crate::detect::autoencoder::{Autoencoder, GATES, HIDDEN, LATENT, WINDOW};
use crate::detect::weights::{floats, write_floats};
use candle_core::{Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use safetensors::SafeTensors;

/// Trains an autoencoder, a step at a time, by AdamW (Loshchilov and Hutter, 2019) on one thread. The same seed and steps give
/// the same bits.
#[derive(Debug)]
pub struct Trainer {
    /// As [`PARTS`].
    vars: Vec<Var>,
    optimiser: AdamW,
    rng: Xoshiro256PlusPlus,
}

impl Trainer {
    /// From random weights: uniform up to one by the root of the width, and forget gates that remember by default.
    ///
    /// # Errors
    /// [`crate::Error::Model`] when the numerics fail.
    pub(super) fn fresh(seed: u64) -> Result<Self> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let reach = 1.0 / (HIDDEN as f32).sqrt();
        let parts = PARTS.map(|(name, len)| {
            let mut values: Vec<f32> = (0..len).map(|_| rng.random_range(-reach..reach)).collect();
            if name.ends_with("bias_ih_l0") {
                values[HIDDEN..2 * HIDDEN].fill(1.0);
            }
            (shape_of(name, len), values)
        });
        Self::of(parts, rng)
    }

    /// From the weights in the bytes of a safetensors file.
    ///
    /// # Errors
    /// [`crate::Error::Model`] when a tensor is missing or has another size; it names the tensor.
    pub fn from_safetensors(bytes: &[u8], seed: u64) -> Result<Self> {
        // Its errors are the better ones.
        Autoencoder::from_safetensors(bytes).map_err(|m| fault("autoencoder", m))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| fault("autoencoder", e.to_string()))?;
        let mut parts = Vec::with_capacity(PARTS.len());
        for (name, len) in PARTS {
            let values = floats(&file, name).map_err(|m| fault("autoencoder", m))?;
            parts.push((shape_of(name, len), values));
        }
        Self::of(parts, Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    fn of(parts: impl IntoIterator<Item = (Vec<usize>, Vec<f32>)>, rng: Xoshiro256PlusPlus) -> Result<Self> {
        let var = |(shape, values): (Vec<usize>, _)| numerics(Var::from_vec(values, shape, &Device::Cpu));
        let vars: Vec<Var> = parts.into_iter().map(var).collect::<Result<_>>()?;
        let parameters = ParamsAdamW {
            weight_decay: 1e-5,
            ..ParamsAdamW::default()
        };
        Ok(Self {
            optimiser: numerics(AdamW::new(vars.clone(), parameters))?,
            vars,
            rng,
        })
    }

    /// One step on `batch` of `windows` (`[n, WINDOW]` flat, at least one) drawn at random, at a rate of learning. Returns their
    /// loss before the step: mean squared error of the reconstruction plus that of the forecast of the newest samples.
    ///
    /// # Errors
    /// [`crate::Error::Model`] when the numerics fail.
    pub fn step(&mut self, windows: &[f32], batch: usize, rate: f64) -> Result<f32> {
        let (windows, _) = windows.as_chunks::<WINDOW>();
        let drawn = (0..batch).flat_map(|_| windows[self.rng.random_range(0..windows.len())]);
        let loss = Loss::new(drawn.collect());
        self.optimiser.set_learning_rate(rate);
        numerics(self.follow(loss))
    }

    fn follow(&mut self, loss: Loss) -> candle_core::Result<f32> {
        let loss = self.parameters()?.apply_op1(loss)?;
        self.optimiser.backward_step(&loss)?;
        loss.to_scalar()
    }

    /// All parameters, flat.
    fn parameters(&self) -> candle_core::Result<Tensor> {
        let flat: Vec<Tensor> = self
            .vars
            .iter()
            .map(|var| var.flatten_all())
            .collect::<candle_core::Result<_>>()?;
        Tensor::cat(&flat, 0)
    }

    /// The weights as they are, as a safetensors file.
    ///
    /// # Errors
    /// [`crate::Error::Model`] when the numerics fail.
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        let mut tensors = Vec::with_capacity(PARTS.len());
        for (var, (name, _)) in self.vars.iter().zip(PARTS) {
            let values = numerics(var.flatten_all().and_then(|flat| flat.to_vec1()))?;
            tensors.push((name.to_owned(), var.dims().to_vec(), values));
        }
        write_floats(&tensors).map_err(|m| fault("autoencoder", m))
    }

    /// The network with the weights as they are.
    ///
    /// # Errors
    /// As [`Trainer::to_safetensors`].
    pub fn autoencoder(&self) -> Result<Autoencoder> {
        Autoencoder::from_safetensors(&self.to_safetensors()?).map_err(|m| fault("autoencoder", m))
    }
}

/// Weights are matrices with a row for each output, as candle stores them.
fn shape_of(name: &str, len: usize) -> Vec<usize> {
    let outputs = match name.split_once('.') {
        Some(("encoder" | "decoder", _)) => GATES,
        Some(("latent", _)) => LATENT,
        _ => 1,
    };
    if name.contains("bias") {
        vec![len]
    } else {
        vec![outputs, len / outputs]
    }
}

/// The rate of learning where `step` of `steps` begins: fast at first, fine at the end, by half a cosine.
pub(super) fn rate(fast: f64, slow: f64, step: usize, steps: usize) -> f64 {
    let progress = step as f64 / steps as f64;
    slow + (fast - slow) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

fn numerics<T>(result: candle_core::Result<T>) -> Result<T> {
    result.map_err(|error| fault("autoencoder", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::graph::Network;
    use super::*;
    use candle_core::DType;
    use candle_nn::{VarBuilder, VarMap};

    const BYTES: &[u8] = include_bytes!("../../../../models/autoencoder.safetensors");

    /// 37 windows: more than two full groups of lanes.
    fn windows() -> Vec<f32> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
        (0..37 * WINDOW).map(|_| rng.random_range(-4.0..4.0)).collect()
    }

    fn close(ours: f32, candle: f32, of: &str) {
        let off = (ours - candle).abs();
        assert!(off < 1e-5 + 1e-4 * candle.abs(), "{of}: {ours} and {candle}");
    }

    #[test]
    fn loss_and_gradient_are_those_of_candles_own_layers() {
        let trainer = Trainer::from_safetensors(BYTES, 1).unwrap();
        let loss = trainer.parameters().unwrap().apply_op1(Loss::new(windows())).unwrap();
        let gradients = loss.backward().unwrap();

        let vars = VarMap::new();
        let network = Network::new(VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu)).unwrap();
        let saved = candle_core::safetensors::load_buffer(BYTES, &Device::Cpu).unwrap();
        let held = vars.data().lock().unwrap();
        for (name, _) in PARTS {
            held[name].set(&saved[name]).unwrap();
        }
        let input = Tensor::from_vec(windows(), (37, WINDOW), &Device::Cpu).unwrap();
        let theirs = network.loss(&input).unwrap();
        close(loss.to_scalar().unwrap(), theirs.to_scalar().unwrap(), "loss");
        close(
            loss.to_scalar().unwrap(),
            trainer.autoencoder().unwrap().loss(&windows()) as f32,
            "loss without a gradient",
        );
        let theirs = theirs.backward().unwrap();
        for (var, (name, len)) in trainer.vars.iter().zip(PARTS) {
            let flat = |tensor: Option<&Tensor>| tensor.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let (ours, theirs) = (flat(gradients.get(var)), flat(theirs.get(&held[name])));
            assert_eq!((ours.len(), theirs.len()), (len, len), "{name}");
            for (&ours, &theirs) in ours.iter().zip(&theirs) {
                close(ours, theirs, name);
            }
        }
    }

    #[test]
    fn weights_come_back_as_they_went_in() {
        let trainer = Trainer::from_safetensors(BYTES, 1).unwrap();
        let again = Trainer::from_safetensors(&trainer.to_safetensors().unwrap(), 1).unwrap();
        assert_eq!(trainer.autoencoder().unwrap(), again.autoencoder().unwrap());
        assert_eq!(
            again.autoencoder().unwrap(),
            Autoencoder::from_safetensors(BYTES).unwrap()
        );
        let error = Trainer::from_safetensors(b"no weights", 1).unwrap_err();
        assert!(error.to_string().contains("autoencoder"), "{error}");
    }

    #[test]
    fn steps_from_random_weights_make_the_loss_smaller() {
        let waves: Vec<f32> = (0..64 * WINDOW)
            .map(|i| ((i % WINDOW) as f32 * 0.8 + (i / WINDOW) as f32).sin())
            .collect();
        let run = || {
            let mut trainer = Trainer::fresh(5).unwrap();
            let losses: Vec<f32> = (0..60).map(|_| trainer.step(&waves, 20, 3e-3).unwrap()).collect();
            (losses, trainer.to_safetensors().unwrap())
        };
        let (losses, bytes) = run();
        assert!(losses[59] < 0.6 * losses[0], "{losses:?}");
        assert!(run() == (losses, bytes), "the same seed gives the same bits");
    }
}
