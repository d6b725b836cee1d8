//! The autoencoder from random weights.

use super::TrainConfig;
use super::trainer::{Trainer, rate};
use crate::Result;
use crate::detect::autoencoder::WINDOW;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// Rates of learning at the start and the end.
const FAST: f64 = 3e-3;
const SLOW: f64 = 1e-4;
/// Steps between two looks at the held-back windows, and how many of these there are at most.
const LOOK_EVERY: usize = 100;
const HELD_BACK: usize = 2000;

/// Trains on `windows` (`[n, WINDOW]` flat), a tenth held back; returns a safetensors file and the loss on these. `report` gets
/// step, loss, and the loss on what is held back.
///
/// # Errors
/// [`crate::Error::Model`] when the numerics fail, or what `report` returns.
pub(super) fn fit(
    config: &TrainConfig,
    windows: &[f32],
    report: &mut dyn FnMut(usize, f32, f32) -> Result<()>,
) -> Result<(Vec<u8>, f32)> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(config.seed ^ 0xAE);
    let (windows, _) = windows.as_chunks::<WINDOW>();
    let mut windows = windows.to_vec();
    rand::seq::SliceRandom::shuffle(windows.as_mut_slice(), &mut rng);
    let (held, rest) = windows.split_at((windows.len() / 10).clamp(1, HELD_BACK));

    let mut trainer = Trainer::fresh(config.seed ^ 0xAE)?;
    let mut held_back = f32::INFINITY;
    for step in 0..config.steps {
        let loss = trainer.step(rest.as_flattened(), config.batch, rate(FAST, SLOW, step, config.steps))?;
        if step % LOOK_EVERY == 0 || step + 1 == config.steps {
            held_back = trainer.autoencoder()?.loss(held.as_flattened()) as f32;
            report(step, loss, held_back)?;
        }
    }
    Ok((trainer.to_safetensors()?, held_back))
}
