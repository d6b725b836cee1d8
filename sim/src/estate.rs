//! An estate: services and workers on hosts, with the databases, caches, queues and partners that they use, and twelve ways to fail.
//!
//! Samples come every second. Who suffers from a fault is computed, not assumed: [`Estate::touched`] compares the estate with and
//! without it.

mod failure;
mod plan;

pub use failure::{Failure, FailureKind};

use crate::signal::{Noise, season};
use failure::Strain;
use plan::{Node, Plan};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::collections::BTreeSet;
use wire::topology::{Deploy, Edge};
use wire::{EntityId, Timestamp};

/// Most metrics of a node.
const METRICS_MAX: usize = 6;

/// Of the reads through a cache, how many find what they look for.
const HITS: f64 = 0.85;

/// A metric that is further from what it would have been than the noise is touched.
const TOUCHED: f64 = 0.03;
/// What moves nothing as far as this is no failure that anybody could see.
const FELT: f64 = 0.1;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Service,
    /// Takes what a queue holds.
    Worker,
    Database,
    Cache,
    Queue,
    /// Somebody else's: it has no metrics.
    Partner,
    Host,
}

impl Part {
    /// Its metrics with their statistics.
    pub const fn metrics(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Service | Self::Worker => &[
                ("requests", "Sum"),
                ("latency_ms", "p95"),
                ("availability", "Average"),
                ("cpu_percent", "Average"),
                ("memory_percent", "Average"),
            ],
            Self::Database => &[
                ("queries", "Sum"),
                ("query_latency_ms", "p95"),
                ("connections_percent", "Average"),
                ("disk_used_percent", "Average"),
                ("cpu_percent", "Average"),
                ("query_errors", "Sum"),
            ],
            Self::Cache => &[
                ("commands", "Sum"),
                ("hit_ratio", "Average"),
                ("memory_percent", "Average"),
            ],
            Self::Queue => &[
                ("published", "Sum"),
                ("depth_messages", "Average"),
                ("oldest_message_age_seconds", "Maximum"),
            ],
            Self::Partner => &[],
            Self::Host => &[("cpu_percent", "Average"), ("memory_percent", "Average")],
        }
    }
}

/// Shape of an estate.
#[derive(Clone, Debug, PartialEq)]
pub struct EstateConfig {
    /// Number of services, at least 2; what they use comes on top.
    pub services: usize,
    pub start: Timestamp,
    pub step_ms: i64,
    /// Noise relative to a metric's level.
    pub noise: f64,
    pub failures: Vec<Failure>,
}

impl Default for EstateConfig {
    fn default() -> Self {
        Self {
            services: 20,
            // A Monday morning.
            start: Timestamp::from_secs(1_700_438_400 + 9 * 3600),
            step_ms: 1000,
            noise: 0.03,
            failures: Vec::new(),
        }
    }
}

/// A metric of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    pub entity: EntityId,
    pub metric: &'static str,
    pub statistic: &'static str,
}

/// A seeded estate.
#[derive(Clone, Debug)]
pub struct Estate {
    config: EstateConfig,
    plan: Plan,
    rng: Xoshiro256PlusPlus,
}

/// How a node does at one instant.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    load: f64,
    latency: f64,
    /// Share of requests that fail.
    errors: f64,
    cpu: f64,
    memory: f64,
    /// Of a database: connections and disk in use, percent. Of a queue: messages and the age of the oldest. Of a cache: hits.
    extra: [f64; 2],
    gone: bool,
}

impl Estate {
    /// The estate of `seed`.
    ///
    /// # Panics
    /// If there are fewer than two services, or there is no step.
    pub fn new(seed: u64, config: EstateConfig) -> Self {
        assert!(
            config.services >= 2 && config.step_ms > 0,
            "an estate has services and a step"
        );
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let plan = Plan::new(config.services, &mut rng);
        Self { config, plan, rng }
    }

    /// The same estate with other failures.
    #[must_use]
    pub fn with(&self, failures: Vec<Failure>) -> Self {
        let mut with = self.clone();
        with.config.failures = failures;
        with
    }

    /// Every node.
    pub fn parts(&self) -> impl Iterator<Item = (&EntityId, Part)> {
        self.plan.nodes.iter().map(|node| (&node.name, node.part))
    }

    /// Who depends on whom: calls, reads, publishing and taking, and what runs on which host.
    pub fn edges(&self) -> Vec<Edge> {
        let name = |node: usize| self.plan.nodes[node].name.clone();
        let mut edges = Vec::new();
        for (caller, node) in self.plan.nodes.iter().enumerate() {
            let behind = node.behind.map(|(cache, store)| [cache, store]).into_iter().flatten();
            let all = node.calls.iter().map(|(callee, _)| *callee);
            for callee in all.chain(behind).chain(node.takes).chain(node.host) {
                edges.push(Edge {
                    caller: name(caller),
                    callee: name(callee),
                });
            }
        }
        edges.sort();
        edges.dedup();
        edges
    }

    /// Every metric, node by node.
    pub fn metrics(&self) -> Vec<Metric> {
        let all = self.plan.nodes.iter().flat_map(|node| {
            let of = |&(metric, statistic)| Metric {
                entity: node.name.clone(),
                metric,
                statistic,
            };
            node.part.metrics().iter().map(of)
        });
        all.collect()
    }

    /// What was changed: each bad deploy a little before it shows.
    pub fn deploys(&self) -> Vec<Deploy> {
        let bad = self.config.failures.iter().filter(|f| f.kind == FailureKind::BadDeploy);
        bad.map(|failure| Deploy::new(failure.onset - 20_000, failure.cause.clone(), "v2".to_owned()))
            .collect()
    }

    /// Who strays because of a failure, the cause itself included.
    pub fn touched(&self, failure: &Failure) -> BTreeSet<EntityId> {
        let mut touched = self.moved(failure, TOUCHED);
        touched.insert(failure.cause.clone());
        touched
    }

    /// Whether a failure moves anything far beyond the noise: one that does not is none.
    pub fn is_felt(&self, failure: &Failure) -> bool {
        !self.moved(failure, FELT).is_empty()
    }

    /// Whose metrics a failure moves by more than a share of what they would have been.
    fn moved(&self, failure: &Failure, least: f64) -> BTreeSet<EntityId> {
        let mut moved = BTreeSet::new();
        for share in [0.5, 0.95] {
            let at = failure.onset + (failure.duration_ms as f64 * share) as i64;
            let still = vec![0.0; self.plan.nodes.len() * METRICS_MAX];
            let (calm, ill) = (
                self.states(at, &[], &still),
                self.states(at, std::slice::from_ref(failure), &still),
            );
            for ((node, calm), ill) in self.plan.nodes.iter().zip(&calm).zip(&ill) {
                let differ = node.readings(calm).zip(node.readings(ill)).any(|(calm, ill)| {
                    ill.is_nan() != calm.is_nan() || (ill - calm).abs() > least * calm.abs().max(1.0)
                });
                if differ {
                    moved.insert(node.name.clone());
                }
            }
        }
        moved
    }

    /// The rows from the start on, without end: a time and a value of each metric, NaN where one is missing. Calling it again gives
    /// the same rows.
    pub fn rows(&self) -> impl Iterator<Item = (Timestamp, Vec<f64>)> + '_ {
        let mut rng = self.rng.clone();
        let mut noise = vec![Noise::default(); self.plan.nodes.len() * METRICS_MAX];
        (0i64..).map(move |step| {
            let at = self.config.start + step * self.config.step_ms;
            let wobble: Vec<f64> = noise
                .iter_mut()
                .map(|noise| self.config.noise * noise.next(&mut rng))
                .collect();
            let states = self.states(at, &self.config.failures, &wobble);
            let readings = self.plan.nodes.iter().zip(&states);
            (at, readings.flat_map(|(node, state)| node.readings(state)).collect())
        })
    }

    fn states(&self, at: Timestamp, failures: &[Failure], wobble: &[f64]) -> Vec<State> {
        let nodes = &self.plan.nodes;
        let wobble = |node: usize, metric: usize| wobble[node * METRICS_MAX + metric];
        let mut strains = vec![Strain::default(); nodes.len()];
        for failure in failures {
            if let (Some(progress), Some(node)) = (failure.progress(at), self.plan.find(&failure.cause)) {
                strains[node].take(failure.kind, progress);
            }
        }
        let mut states = vec![State::default(); nodes.len()];
        // Load goes down, and nodes are in that order.
        for (node, of) in nodes.iter().enumerate() {
            let strain = strains[node];
            let taken = of.takes.map_or(0.0, |queue| states[queue].load * strains[queue].flow);
            let load =
                (states[node].load + (of.own_load + taken) * season(at)) * strain.surge * (1.0 + wobble(node, 0));
            states[node].load = load;
            let passed_on = if strain.gone { 0.0 } else { load };
            for &(callee, calls) in &of.calls {
                states[callee].load += passed_on * calls;
            }
            if let Some((cache, store)) = of.behind {
                let hits = if strains[cache].gone { 0.02 } else { HITS };
                states[cache].load += passed_on;
                states[store].load += passed_on * (1.0 - hits);
            }
        }
        // Trouble comes up.
        for node in (0..nodes.len()).rev() {
            let of = &nodes[node];
            let (strain, host) = (strains[node], of.host.map_or(Strain::default(), |host| strains[host]));
            let busy = states[node].load / of.usual_load.max(1.0);
            let crowd = 0.85 + 0.15 * busy + 0.8 * (busy - 2.0).max(0.0);
            let slow = strain.slow * host.slow;
            let mut latency = of.latency_ms * crowd * slow * (1.0 + wobble(node, 1));
            let own_errors = (of.errors * (1.0 + 4.0 * wobble(node, 2)).max(0.0)).max(strain.errors);
            let mut good = 1.0 - own_errors;
            for &(callee, calls) in of.calls.iter() {
                latency += calls * states[callee].latency;
                good *= 1.0 - (calls * states[callee].errors).min(1.0);
            }
            if let Some((cache, store)) = of.behind {
                let misses = 1.0 - if strains[cache].gone { 0.02 } else { HITS };
                latency += states[cache].latency + misses * states[store].latency;
                good *= 1.0 - (misses * states[store].errors).min(1.0);
            }
            let state = &mut states[node];
            state.latency = latency;
            state.errors = if strain.gone { 1.0 } else { 1.0 - good };
            state.gone = strain.gone && of.part != Part::Cache;
            state.cpu =
                (of.cpu * (0.3 + 0.7 * busy) * (1.0 + wobble(node, 3)) + strain.cpu + 0.15 * host.cpu).min(100.0);
            let memory = of.memory * (1.0 + 0.3 * wobble(node, 4));
            state.memory = memory + (100.0 - memory) * strain.memory;
            state.extra = match of.part {
                Part::Database => [
                    (of.memory * (0.4 + 0.6 * busy * slow.sqrt()) * (1.0 + wobble(node, 5)))
                        .max(strain.connections)
                        .min(100.0),
                    (of.cpu + 15.0) * (1.0 + 0.02 * wobble(node, 4)) * (1.0 - strain.disk) + 100.0 * strain.disk,
                ],
                Part::Queue => {
                    let waiting = strain.backlog_secs;
                    [
                        state.load * (0.3 + waiting) * (1.0 + wobble(node, 4)),
                        (0.8 + waiting) * (1.0 + wobble(node, 5)),
                    ]
                }
                Part::Cache => [
                    (if strain.gone { 0.02 } else { HITS }) * (1.0 + 0.2 * wobble(node, 4)),
                    0.0,
                ],
                _ => [0.0; 2],
            };
        }
        states
    }
}

impl Node {
    /// What its metrics read.
    fn readings(&self, state: &State) -> impl Iterator<Item = f64> + use<> {
        let availability = 100.0 * (1.0 - state.errors).clamp(0.0, 1.0);
        let all: [f64; METRICS_MAX] = match self.part {
            Part::Service | Part::Worker => [
                state.load.round(),
                state.latency,
                availability,
                state.cpu,
                state.memory,
                0.0,
            ],
            Part::Database => [
                state.load.round(),
                state.latency,
                state.extra[0],
                state.extra[1],
                state.cpu,
                (state.load * state.errors).round(),
            ],
            Part::Cache => [state.load.round(), state.extra[0], state.memory, 0.0, 0.0, 0.0],
            Part::Queue => [
                state.load.round(),
                state.extra[0].round(),
                state.extra[1],
                0.0,
                0.0,
                0.0,
            ],
            Part::Partner => [0.0; METRICS_MAX],
            Part::Host => [state.cpu, state.memory, 0.0, 0.0, 0.0, 0.0],
        };
        let gone = state.gone;
        let count = self.part.metrics().len();
        all.into_iter()
            .take(count)
            .map(move |value| if gone { f64::NAN } else { value })
    }
}

#[cfg(test)]
mod tests;
