//! The three members over all series at once, on whatever device candle knows.
//!
//! Written once over tensors: the same code runs on the CPU, where every build tests it, and on an NVIDIA device in a build
//! with the feature `cuda`. It agrees with the members' own code (`features`, [`IsolationForest`](super::IsolationForest),
//! [`Autoencoder`](super::Autoencoder)) within 1e-4. On the CPU those are faster; a device is worth its way from some
//! thousand series on.

mod autoencoder;
mod columns;
mod decomposition;
mod ensemble;
mod forest;
mod season;
mod shift;
mod spectral;
mod surprise;

#[cfg(test)]
mod tests;

pub use autoencoder::{BatchedAutoencoder, ScoreOp};
pub use decomposition::{Decomposition, Residuals};
pub use ensemble::{Ensemble, RawScores};
pub use forest::BatchedForest;

/// A value, or what candle says of the device.
pub use candle_core::Result;

use super::Models;
use super::calibration::class_index;
use super::sight::Sight;
use crate::features::Baselines;
use candle_core::Device;
use std::sync::{Arc, OnceLock};
use wire::series::MetricClass;

/// Where batches are computed.
#[derive(Clone, Debug)]
pub struct Accelerator {
    device: Device,
    name: String,
}

/// The members on a device.
#[derive(Clone, Debug)]
pub struct DeviceBatch {
    device: Device,
    /// By class; those of classes that share one forest are one.
    forests: Vec<BatchedForest>,
    /// Which of `forests` each class has, in the order of `class_index`.
    forest_of: [usize; 5],
    /// What they see of a sample.
    sight: Sight,
    autoencoder: BatchedAutoencoder,
}

impl Accelerator {
    /// The first CUDA device if this build knows CUDA and one answers, else the CPU; and why, for a person. Asked once in the
    /// life of the process; a build with CUDA that has to do without says so in the log.
    pub fn choose() -> (Self, String) {
        static CHOSEN: OnceLock<(Accelerator, String)> = OnceLock::new();
        let choose = || match cuda() {
            Ok(found) => {
                let reason = format!("{}, for large batches of forest and autoencoder", found.name);
                (found, reason)
            }
            Err(reason) => {
                if cfg!(feature = "cuda") {
                    tracing::warn!("built for CUDA, but computing on the CPU: {reason}");
                }
                (Self::cpu(), format!("CPU, {reason}"))
            }
        };
        CHOSEN.get_or_init(choose).clone()
    }

    /// The CPU.
    pub fn cpu() -> Self {
        Self {
            device: Device::Cpu,
            name: "CPU".to_owned(),
        }
    }

    /// Whether it is more than the CPU.
    pub fn is_device(&self) -> bool {
        !self.device.is_cpu()
    }

    /// candle's handle.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl DeviceBatch {
    /// The trained members on the accelerator.
    ///
    /// # Errors
    /// When the forest is deeper than a device walks, or the device fails.
    pub fn new(models: &Models, accelerator: &Accelerator) -> Result<Self> {
        let device = &accelerator.device;
        let mut forests: Vec<BatchedForest> = Vec::new();
        let mut forest_of = [0; 5];
        for (i, forest) in models.forests().iter().enumerate() {
            let same = models.forests()[..i]
                .iter()
                .position(|other| Arc::ptr_eq(other, forest));
            forest_of[i] = match same {
                Some(earlier) => forest_of[earlier],
                None => {
                    forests.push(BatchedForest::new(forest, device)?);
                    forests.len() - 1
                }
            };
        }
        Ok(Self {
            device: device.clone(),
            forests,
            forest_of,
            sight: models.sight(),
            autoencoder: BatchedAutoencoder::new(models.autoencoder(), device)?,
        })
    }

    /// The forest of a metric class.
    pub fn forest(&self, class: MetricClass) -> &BatchedForest {
        &self.forests[self.forest_of[class_index(class)]]
    }

    /// The autoencoder.
    pub fn autoencoder(&self) -> &BatchedAutoencoder {
        &self.autoencoder
    }

    /// The decomposition of `slots`, from where their baselines are now.
    ///
    /// # Errors
    /// As [`Decomposition::of`].
    pub fn decomposition(&self, baselines: &Baselines, slots: &[usize]) -> Result<Decomposition> {
        Decomposition::of(baselines, slots, &self.device)
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> std::result::Result<Accelerator, String> {
    Err("this build knows no CUDA; `cargo xtask cuda` builds one that does".to_owned())
}

/// The first CUDA device, after it has computed something: what is missing (a driver, a library, kernels for this device)
/// shows at the first use, which must not be in the middle of a batch.
#[cfg(feature = "cuda")]
fn cuda() -> std::result::Result<Accelerator, String> {
    let probe = || -> Result<Accelerator> {
        let device = Device::new_cuda(0)?;
        let name = device.as_cuda_device()?.cuda_stream().context().name();
        let name = name.map_err(candle_core::Error::wrap)?;
        let two = candle_core::Tensor::new(&[[1_f32, 1.0]], &device)?;
        let sum: f32 = two.matmul(&two.t()?)?.sum_all()?.to_scalar()?;
        if (sum - 2.0).abs() > 1e-6 {
            candle_core::bail!("{name} says that 1 + 1 is {sum}");
        }
        Ok(Accelerator {
            device,
            name: format!("{name} (CUDA device 0)"),
        })
    };
    match quietly(probe) {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(format!("no CUDA device answers: {}", first_line(&error.to_string()))),
        Err(message) => Err(format!("CUDA cannot be loaded: {}", first_line(&message))),
    }
}

/// Runs `probe`, whose panic becomes an error with the panic's message: the binding panics where a library is missing. Only
/// this thread's panics are kept from the terminal meanwhile.
#[cfg(feature = "cuda")]
fn quietly<T>(probe: impl FnOnce() -> T + std::panic::UnwindSafe) -> std::result::Result<T, String> {
    use std::panic::{catch_unwind, set_hook, take_hook};

    let prober = std::thread::current().id();
    let shown = Arc::new(take_hook());
    let others = Arc::clone(&shown);
    set_hook(Box::new(move |info| {
        if std::thread::current().id() != prober {
            others(info);
        }
    }));
    let outcome = catch_unwind(probe);
    set_hook(Box::new(move |info| shown(info)));
    outcome.map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        text.unwrap_or("the CUDA binding stopped without a message").to_owned()
    })
}

/// What is wrong, without the names that were tried and the trace.
#[cfg(feature = "cuda")]
fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.split_once(" - searched").map_or(line, |(what, _)| what)
}
