//! Clean series of the kinds that services have, from a seed.

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::f64::consts::TAU;
use wire::Timestamp;
use wire::series::MetricClass;

const DAY_SECS: f64 = 86_400.0;

/// A kind of series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Requests with a day and a week, noise in proportion.
    Traffic,
    /// Few requests, counted.
    Counts,
    /// Skewed, with a load-dependent floor.
    Latency,
    /// CPU: bounded, correlated noise.
    Cpu,
    /// Memory: saw teeth of a collector.
    Memory,
    /// Disk: slow growth.
    Disk,
    /// Errors: mostly none, now and then some.
    Errors,
    /// Availability: 100 with rare dents.
    Availability,
    /// Any level with correlated noise.
    Level,
    /// Batch work at fixed times.
    Batch,
}

pub(super) const SHAPES: [Shape; 10] = [
    Shape::Traffic,
    Shape::Counts,
    Shape::Latency,
    Shape::Cpu,
    Shape::Memory,
    Shape::Disk,
    Shape::Errors,
    Shape::Availability,
    Shape::Level,
    Shape::Batch,
];

impl Shape {
    /// The class of metrics that look so.
    pub fn class(self) -> MetricClass {
        match self {
            Self::Traffic | Self::Counts => MetricClass::Traffic,
            Self::Latency => MetricClass::Latency,
            Self::Cpu | Self::Memory | Self::Disk => MetricClass::Saturation,
            Self::Errors | Self::Availability => MetricClass::Errors,
            Self::Level | Self::Batch => MetricClass::Other,
        }
    }
}

/// Shape and sampling interval in seconds of clean series `i` of `seed`.
pub(super) fn shape_of(seed: u64, i: usize) -> (Shape, i64) {
    let step = [10, 60, 60, 300, 300][(i / SHAPES.len() + seed as usize) % 5];
    (SHAPES[i % SHAPES.len()], step)
}

/// Clean series `i` of `seed`: nothing in it deserves an alert. Two to six days at one or five minutes, half a day at ten seconds.
pub fn clean_series(seed: u64, i: usize) -> (Shape, Vec<(Timestamp, f64)>) {
    let (shape, step) = shape_of(seed, i);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(i as u64));
    let samples = match step {
        10 => 4320,
        60 => 4000,
        _ => 1700,
    };
    let mut signal = Signal::new(shape, step as f64, &mut rng);
    let start = 1_700_000_000 + rng.random_range(0..604_800);
    let rows = (0..samples)
        .map(|n| {
            let secs = start + n * step;
            (Timestamp::from_secs(secs), signal.next(secs as f64, &mut rng))
        })
        .collect();
    (shape, rows)
}

/// A series under way.
struct Signal {
    shape: Shape,
    level: f64,
    /// Day amplitude and noise, as parts of the level.
    amplitude: f64,
    harmonic: f64,
    phase: f64,
    weekend: f64,
    noise: f64,
    memory: f64,
    period: f64,
    wander: f64,
    walk: f64,
    step: f64,
}

impl Signal {
    fn new(shape: Shape, step: f64, rng: &mut Xoshiro256PlusPlus) -> Self {
        let seasonal = rng.random_bool(0.7);
        Self {
            shape,
            level: 10_f64.powf(rng.random_range(-1.0..5.0)),
            amplitude: if seasonal { rng.random_range(0.1..0.7) } else { 0.0 },
            harmonic: rng.random_range(0.0..0.4),
            phase: rng.random_range(0.0..TAU),
            weekend: if seasonal { rng.random_range(0.6..1.0) } else { 1.0 },
            noise: 10_f64.powf(rng.random_range(-2.3..-0.7)),
            memory: rng.random_range(0.0..0.95),
            period: rng.random_range(1800.0..20_000.0),
            wander: 0.0,
            walk: rng.random_range(0.0..0.004),
            step,
        }
    }

    fn next(&mut self, secs: f64, rng: &mut Xoshiro256PlusPlus) -> f64 {
        let white = normal(rng);
        self.wander = self.memory * self.wander + (1.0 - self.memory * self.memory).sqrt() * white;
        let season = self.season(secs);
        let day = self.noise * self.wander;
        match self.shape {
            Shape::Traffic => self.level * season * (1.0 + day),
            Shape::Counts => poisson((0.5 + 20.0 * self.noise * 5.0) * season, rng),
            Shape::Latency => {
                let load = 0.7 + 0.3 * season;
                self.level * load * (1.5 * self.noise * (0.5 * self.wander + normal(rng))).exp()
            }
            Shape::Cpu => (40.0 * season * (1.0 + day) + 2.0 * normal(rng).abs()).clamp(0.0, 100.0),
            Shape::Memory => {
                let tooth = (secs / self.period).fract();
                self.level * (1.0 + 0.3 * tooth + 0.02 * self.wander + 0.2 * self.amplitude * season)
            }
            Shape::Disk => {
                self.level *= 1.0 + self.walk * self.step / DAY_SECS * (1.0 + 0.3 * white);
                self.level * (1.0 + 1e-4 * normal(rng))
            }
            Shape::Errors => {
                let rate = 0.3 * self.noise * season;
                poisson(rate, rng)
            }
            Shape::Availability => {
                if rng.random_bool((0.02 * self.noise).min(1.0)) {
                    100.0 - rng.random_range(0.0..1.0)
                } else {
                    100.0
                }
            }
            Shape::Level => {
                self.level *= 1.0 + 0.05 * self.walk * normal(rng);
                self.level * (1.0 + day)
            }
            Shape::Batch => {
                let busy = (secs / self.period).fract() < 0.15;
                self.level * (if busy { 2.0 } else { 1.0 }) * (1.0 + 0.5 * self.noise * white)
            }
        }
    }

    fn season(&self, secs: f64) -> f64 {
        let angle = TAU * secs / DAY_SECS + self.phase;
        let wave = angle.sin() + self.harmonic * (2.0 * angle + self.phase).sin();
        let weekday = (secs / DAY_SECS).floor() as i64 % 7;
        let week = if weekday == 2 || weekday == 3 {
            self.weekend
        } else {
            1.0
        };
        (1.0 + self.amplitude * wave).max(0.05) * week
    }
}

/// A standard normal number (Box-Muller).
pub(super) fn normal(rng: &mut Xoshiro256PlusPlus) -> f64 {
    let u: f64 = 1.0 - rng.random::<f64>();
    let v: f64 = rng.random();
    (-2.0 * u.ln()).sqrt() * (TAU * v).cos()
}

/// A Poisson number; by the normal approximation where it is good.
fn poisson(mean: f64, rng: &mut Xoshiro256PlusPlus) -> f64 {
    if mean > 50.0 {
        return (mean + mean.sqrt() * normal(rng)).round().max(0.0);
    }
    let limit = (-mean).exp();
    let mut product: f64 = rng.random();
    let mut n = 0.0;
    while product > limit {
        product *= rng.random::<f64>();
        n += 1.0;
    }
    n
}
