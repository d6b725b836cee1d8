//! The autoencoder goes on from given weights, and stops when held-back windows stop getting better.

use super::fault;
use super::network::{NamedTensor, Network, gather, sorted, tensors};
use crate::Result;
use crate::detect::autoencoder::WINDOW;
use candle_core::{DType, Device};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, VarBuilder, VarMap};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Steps between two looks at the held-back windows, and looks without a better loss after which it is enough.
const LOOK_EVERY: usize = 20;
const PATIENCE: usize = 3;
/// Rates of learning at the start and the end: a third of what weights begin with, since these are good already.
const FAST: f64 = 1e-3;
const SLOW: f64 = 1e-4;

/// How long and how hard.
pub(super) struct Tuning {
    pub(super) seed: u64,
    pub(super) steps: usize,
    pub(super) batch: usize,
}

/// Goes on from the weights in `bytes` on `windows`, and returns those with the least loss on `held_back`. `None` when nothing
/// was better than where it began. `report` gets step, loss, and the loss on `held_back`.
///
/// # Errors
/// [`crate::Error::Model`] when the numerics fail, or what `report` returns.
pub(super) fn tune(
    tuning: &Tuning,
    bytes: &[u8],
    windows: &[f32],
    held_back: &[f32],
    report: &mut dyn FnMut(usize, f32, f32) -> Result<()>,
) -> Result<Option<Vec<NamedTensor>>> {
    let mut stopped = Ok(());
    let tuned = tune_inner(tuning, bytes, windows, held_back, &mut |step, loss, held_back| {
        stopped = report(step, loss, held_back);
        stopped.is_ok()
    });
    stopped?;
    tuned.map_err(|e| fault("autoencoder", e.to_string()))
}

fn tune_inner(
    tuning: &Tuning,
    bytes: &[u8],
    windows: &[f32],
    held_back: &[f32],
    report: &mut dyn FnMut(usize, f32, f32) -> bool,
) -> candle_core::Result<Option<Vec<NamedTensor>>> {
    let count = windows.len() / WINDOW;
    if count == 0 || held_back.is_empty() {
        return Ok(None);
    }
    let (vars, network) = restore(bytes)?;
    let held_back = gather(held_back, &(0..held_back.len() / WINDOW).collect::<Vec<_>>())?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(tuning.seed ^ 0x7E);
    let parameters = ParamsAdamW {
        lr: FAST,
        weight_decay: 1e-5,
        ..ParamsAdamW::default()
    };
    let mut optimiser = AdamW::new(sorted(&vars).into_iter().map(|(_, var)| var).collect(), parameters)?;
    let mut least: f32 = network.loss(&held_back)?.to_scalar()?;
    let (mut best, mut worse) = (None, 0);
    for step in 0..tuning.steps {
        let progress = step as f64 / tuning.steps as f64;
        optimiser.set_learning_rate(SLOW + (FAST - SLOW) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()));
        let chosen: Vec<usize> = (0..tuning.batch.max(1)).map(|_| rng.random_range(0..count)).collect();
        let loss = network.loss(&gather(windows, &chosen)?)?;
        optimiser.backward_step(&loss)?;
        if (step + 1) % LOOK_EVERY != 0 && step + 1 != tuning.steps {
            continue;
        }
        let now: f32 = network.loss(&held_back)?.to_scalar()?;
        if !report(step + 1, loss.to_scalar()?, now) {
            break;
        }
        if now < least {
            (least, worse) = (now, 0);
            best = Some(tensors(&vars)?);
        } else {
            worse += 1;
            if worse == PATIENCE {
                break;
            }
        }
    }
    Ok(best)
}

/// Loss of the weights in `bytes` on `windows` (`[n, WINDOW]` flat).
///
/// # Errors
/// [`crate::Error::Model`] when the weights are not this network's.
pub(super) fn loss_of(bytes: &[u8], windows: &[f32]) -> Result<f32> {
    let loss = || -> candle_core::Result<f32> {
        let (_, network) = restore(bytes)?;
        let all: Vec<usize> = (0..windows.len() / WINDOW).collect();
        network.loss(&gather(windows, &all)?)?.to_scalar()
    };
    loss().map_err(|e| fault("autoencoder", e.to_string()))
}

/// The network with the weights of a file.
fn restore(bytes: &[u8]) -> candle_core::Result<(VarMap, Network)> {
    let vars = VarMap::new();
    let network = Network::new(VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu))?;
    let saved = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)?;
    for (name, var) in sorted(&vars) {
        match saved.get(&name) {
            Some(tensor) => var.set(tensor)?,
            None => candle_core::bail!("tensor {name} is missing"),
        }
    }
    Ok((vars, network))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::weights::write_floats;

    const BYTES: &[u8] = include_bytes!("../../../../models/autoencoder.safetensors");

    fn waves(n: usize, phase: f32) -> Vec<f32> {
        let sample = |i: usize| 2.0 * ((i % WINDOW) as f32 * 0.8 + (i / WINDOW) as f32 + phase).sin();
        (0..n * WINDOW).map(sample).collect()
    }

    #[test]
    fn what_it_has_learnt_reconstructs_better_and_the_seed_decides_the_bits() {
        let tuning = Tuning {
            seed: 3,
            steps: 60,
            batch: 16,
        };
        let (windows, held_back) = (waves(200, 0.0), waves(40, 0.3));
        let run = || {
            tune(&tuning, BYTES, &windows, &held_back, &mut |_, _, _| Ok(()))
                .unwrap()
                .unwrap()
        };
        let tuned = run();
        assert!(tuned == run(), "the same seed gives the same weights");
        let tuned = write_floats(&tuned).unwrap();
        let (before, after) = (
            loss_of(BYTES, &held_back).unwrap(),
            loss_of(&tuned, &held_back).unwrap(),
        );
        assert!(after < 0.95 * before, "{before} {after}");
    }

    #[test]
    fn what_gets_no_better_is_left_as_it_is_and_soon() {
        let tuning = Tuning {
            seed: 3,
            steps: 1000,
            batch: 8,
        };
        // Taught to write noise, it forgets how to write nothing.
        let noise: Vec<f32> = (0..50 * WINDOW)
            .map(|i| ((i * 7919) % 113) as f32 / 10.0 - 5.6)
            .collect();
        let mut looks = 0;
        let tuned = tune(&tuning, BYTES, &noise, &[0.0; 4 * WINDOW], &mut |_, _, _| {
            looks += 1;
            Ok(())
        });
        assert!(tuned.unwrap().is_none());
        assert_eq!(looks, PATIENCE);
    }

    #[test]
    fn a_stop_is_what_comes_back() {
        let tuning = Tuning {
            seed: 3,
            steps: 40,
            batch: 8,
        };
        let windows = waves(20, 0.0);
        let stopped = tune(&tuning, BYTES, &windows, &windows, &mut |_, _, _| {
            Err(fault("training", "stop".into()))
        });
        assert!(stopped.is_err());
    }
}
