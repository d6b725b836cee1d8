//! The autoencoder goes on from given weights, and stops when held-back windows stop getting better.

use super::fault;
use super::trainer::{Trainer, rate};
use crate::Result;
use crate::detect::autoencoder::{Autoencoder, WINDOW};

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
) -> Result<Option<Vec<u8>>> {
    let count = windows.len() / WINDOW;
    if count == 0 || held_back.is_empty() {
        return Ok(None);
    }
    let mut trainer = Trainer::from_safetensors(bytes, tuning.seed ^ 0x7E)?;
    let mut least = trainer.autoencoder()?.loss(held_back);
    let (mut best, mut worse) = (None, 0);
    for step in 0..tuning.steps {
        let loss = trainer.step(windows, tuning.batch.max(1), rate(FAST, SLOW, step, tuning.steps))?;
        if (step + 1) % LOOK_EVERY != 0 && step + 1 != tuning.steps {
            continue;
        }
        let now = trainer.autoencoder()?.loss(held_back);
        report(step + 1, loss, now as f32)?;
        if now < least {
            (least, worse) = (now, 0);
            best = Some(trainer.to_safetensors()?);
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
pub(super) fn loss_of(bytes: &[u8], windows: &[f32]) -> Result<f64> {
    let autoencoder = Autoencoder::from_safetensors(bytes).map_err(|m| fault("autoencoder", m))?;
    Ok(autoencoder.loss(windows))
}

#[cfg(test)]
mod tests {
    use super::*;

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
