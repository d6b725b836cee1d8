//! A world: what its metrics read at each step.

use crate::fault::{Fault, FaultKind};
use crate::signal::{Noise, season};
use crate::topology::CallGraph;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use wire::topology::{Deploy, Edge};
use wire::{EntityId, Timestamp};

/// Shape of a world.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldConfig {
    /// Number of services, at least 1. Each has five series.
    pub services: usize,
    pub start: Timestamp,
    pub step_ms: i64,
    /// Noise relative to a metric's level; 0.03 is a calm production system.
    pub noise: f64,
    /// Growth of traffic per day, relative.
    pub drift_per_day: f64,
    pub faults: Vec<Fault>,
    /// Every third service does batch work for half an hour a day, at an hour of its own.
    pub batch_jobs: bool,
    /// Each service gets a new version every so many days, 0: never. A version is a little faster or slower than the one
    /// before, and takes a little more or less memory.
    pub days_per_deploy: i64,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            services: 8,
            // A Monday.
            start: Timestamp::from_secs(1_700_438_400),
            step_ms: 60_000,
            noise: 0.03,
            drift_per_day: 0.0,
            faults: Vec::new(),
            batch_jobs: false,
            days_per_deploy: 0,
        }
    }
}

/// Name of a series, as in a `metrics.csv` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesName {
    pub entity: EntityId,
    pub metric: &'static str,
    pub statistic: &'static str,
}

/// All series at one instant, in the order of [`World::series`]; NaN is a missing sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub at: Timestamp,
    pub values: Vec<f64>,
}

/// A seeded system of services.
#[derive(Clone, Debug)]
pub struct World {
    config: WorldConfig,
    graph: CallGraph,
    levels: Vec<Level>,
    rng: Xoshiro256PlusPlus,
}

const METRICS: [(&str, &str); 5] = [
    ("requests", "Sum"),
    ("latency_ms", "p95"),
    ("availability", "Average"),
    ("cpu_percent", "Average"),
    ("memory_percent", "Average"),
];

/// What a service does on an average day.
#[derive(Clone, Debug)]
struct Level {
    /// Requests per step of its own, beside what callers send.
    own_requests: f64,
    latency_ms: f64,
    errors: f64,
    /// CPU percent at its usual load.
    cpu: f64,
    memory: f64,
    usual_requests: f64,
}

impl World {
    /// The world of `seed`.
    ///
    /// # Panics
    /// If the configuration has no service or no step.
    pub fn new(seed: u64, config: WorldConfig) -> Self {
        assert!(
            config.services > 0 && config.step_ms > 0,
            "a world has services and a step"
        );
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let graph = CallGraph::new(config.services, &mut rng);
        let mut called = vec![false; config.services];
        for (callee, _) in graph.callees.iter().flatten() {
            called[*callee] = true;
        }
        let mut levels: Vec<Level> = called
            .iter()
            .map(|called| Level {
                own_requests: if *called {
                    0.0
                } else {
                    rng.random_range(2_000.0..6_000.0)
                },
                latency_ms: rng.random_range(8.0..60.0),
                errors: rng.random_range(0.0005..0.002),
                cpu: rng.random_range(20.0..45.0),
                memory: rng.random_range(35.0..60.0),
                usual_requests: 0.0,
            })
            .collect();
        for service in 0..levels.len() {
            levels[service].usual_requests += levels[service].own_requests;
            for &(callee, calls) in &graph.callees[service] {
                levels[callee].usual_requests += levels[service].usual_requests * calls;
            }
        }
        Self {
            config,
            graph,
            levels,
            rng,
        }
    }

    /// Names of the services, callers before callees.
    pub fn entities(&self) -> Vec<EntityId> {
        self.graph
            .names
            .iter()
            .map(|name| EntityId::from(name.as_str()))
            .collect()
    }

    /// Every call relation.
    pub fn edges(&self) -> Vec<Edge> {
        let names = self.entities();
        let calls = self.graph.callees.iter().enumerate();
        calls
            .flat_map(|(caller, callees)| callees.iter().map(move |(callee, _)| (caller, *callee)))
            .map(|(caller, callee)| Edge {
                caller: names[caller].clone(),
                callee: names[callee].clone(),
            })
            .collect()
    }

    /// Every series, service by service.
    pub fn series(&self) -> Vec<SeriesName> {
        self.entities()
            .into_iter()
            .flat_map(|entity| {
                METRICS.map(|(metric, statistic)| SeriesName {
                    entity: entity.clone(),
                    metric,
                    statistic,
                })
            })
            .collect()
    }

    /// Every deploy until `until`, in order of time.
    pub fn deploys(&self, until: Timestamp) -> Vec<Deploy> {
        let mut deploys = Vec::new();
        for (service, name) in self.entities().into_iter().enumerate() {
            let versions = self.version_at(service, until);
            deploys.extend(
                (1..=versions).map(|version| {
                    Deploy::new(self.deployed_at(service, version), name.clone(), format!("v{version}"))
                }),
            );
        }
        deploys.sort_by(|a, b| (a.at, &a.entity).cmp(&(b.at, &b.entity)));
        deploys
    }

    /// When a version of a service goes live: in working hours, on days that differ from service to service.
    fn deployed_at(&self, service: usize, version: i64) -> Timestamp {
        let day = version * self.config.days_per_deploy - service as i64 % self.config.days_per_deploy;
        let minute = 9 * 60 + (service as i64 * 37 + version * 101) % 480;
        self.config.start + (day * 1440 + minute) * 60_000
    }

    /// How many versions of a service have followed the first.
    fn version_at(&self, service: usize, at: Timestamp) -> i64 {
        if self.config.days_per_deploy == 0 {
            return 0;
        }
        let days = at.millis_since(self.config.start) / 86_400_000;
        let most = days / self.config.days_per_deploy + 2;
        (1..=most)
            .take_while(|&version| self.deployed_at(service, version) <= at)
            .count() as i64
    }

    /// Services that call `entity`, directly or not.
    pub fn callers_of(&self, entity: &EntityId) -> Vec<EntityId> {
        let names = self.entities();
        let mut reaches: Vec<bool> = names.iter().map(|name| name == entity).collect();
        // Callers come first, so one pass from the bottom is enough.
        for caller in (0..names.len()).rev() {
            reaches[caller] |= self.graph.callees[caller].iter().any(|(callee, _)| reaches[*callee]);
        }
        let callers = names.into_iter().zip(reaches);
        callers
            .filter(|(name, reaches)| *reaches && name != entity)
            .map(|(name, _)| name)
            .collect()
    }

    /// The rows from the start on, without end. Calling it again gives the same rows.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        let mut rng = self.rng.clone();
        let mut noise = vec![Noise::default(); self.levels.len() * METRICS.len()];
        (0i64..).map(move |step| {
            let at = self.config.start + step * self.config.step_ms;
            self.row(at, &mut noise, &mut rng)
        })
    }

    fn row(&self, at: Timestamp, noise: &mut [Noise], rng: &mut impl Rng) -> Row {
        let services = self.levels.len();
        let faults: Vec<(usize, FaultKind, f64)> = self.active_faults(at);
        let wobble: Vec<f64> = noise.iter_mut().map(|n| self.config.noise * n.next(rng)).collect();
        let wobble = |service: usize, metric: usize| wobble[service * METRICS.len() + metric];

        let growth = self.config.drift_per_day * at.millis_since(self.config.start) as f64 / 86_400_000.0;
        let load = season(at) * (1.0 + growth);
        let mut requests: Vec<f64> = self.levels.iter().map(|level| level.own_requests * load).collect();
        for service in 0..services {
            for &(fault, kind, _) in &faults {
                if let (true, FaultKind::Surge { factor }) = (fault == service, kind) {
                    requests[service] *= factor;
                }
            }
            requests[service] *= 1.0 + wobble(service, 0);
            for &(callee, calls) in &self.graph.callees[service] {
                requests[callee] += requests[service] * calls;
            }
        }

        let mut state = vec![State::default(); services];
        // Callees first: their trouble is part of their callers'.
        for service in (0..services).rev() {
            let level = &self.levels[service];
            let busy = requests[service] / level.usual_requests.max(1.0);
            let mut own = State {
                latency: level.latency_ms
                    * (0.85 + 0.15 * busy + 0.6 * (busy - 2.0).max(0.0))
                    * (1.0 + wobble(service, 1)),
                errors: level.errors * (1.0 + 5.0 * wobble(service, 2)).max(0.0),
                cpu: level.cpu * (0.3 + 0.7 * busy) * (1.0 + wobble(service, 3)),
                memory: level.memory * (1.0 + 0.02 * (busy - 1.0)) * (1.0 + 0.3 * wobble(service, 4)),
                crashed: false,
            };
            let version = self.version_at(service, at);
            own.latency *= 1.0 + taste(service, version, 1);
            own.memory *= 1.0 + taste(service, version, 2);
            if self.config.batch_jobs && service % 3 == 0 && works(service, at) {
                own.cpu += 20.0;
            }
            for &(_, kind, progress) in faults.iter().filter(|fault| fault.0 == service) {
                own.suffer(kind, progress);
            }
            let mut good = 1.0 - own.errors;
            for &(callee, calls) in &self.graph.callees[service] {
                own.latency += calls * state[callee].latency;
                good *= 1.0 - calls * state[callee].errors;
            }
            own.errors = 1.0 - good;
            state[service] = own;
        }

        let values = state
            .iter()
            .zip(&requests)
            .flat_map(|(state, requests)| state.readings(*requests))
            .collect();
        Row { at, values }
    }

    fn active_faults(&self, at: Timestamp) -> Vec<(usize, FaultKind, f64)> {
        let faults = self.config.faults.iter();
        faults
            .filter_map(|fault| {
                let service = self.graph.names.iter().position(|name| name == fault.cause.as_str())?;
                Some((service, fault.kind, fault.progress(at)?))
            })
            .collect()
    }
}

/// What makes a version differ from the first, within 3 %.
fn taste(service: usize, version: i64, what: u64) -> f64 {
    if version == 0 {
        return 0.0;
    }
    let seed = (service as u64) << 32 | (version as u64) << 8 | what;
    Xoshiro256PlusPlus::seed_from_u64(seed).random_range(-0.03..0.03)
}

/// Whether it is the half hour of a service's batch work.
fn works(service: usize, at: Timestamp) -> bool {
    let minute = at.as_millis().rem_euclid(86_400_000) / 60_000;
    let begin = (service as i64 * 97) % 1410;
    (begin..begin + 30).contains(&minute)
}

/// How a service does at one instant.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    latency: f64,
    /// Share of requests that fail.
    errors: f64,
    cpu: f64,
    memory: f64,
    crashed: bool,
}

impl State {
    fn suffer(&mut self, kind: FaultKind, progress: f64) {
        match kind {
            FaultKind::Latency { factor } => self.latency *= factor,
            FaultKind::Errors { share } => self.errors = self.errors.max(share),
            FaultKind::Leak => {
                self.memory += (100.0 - self.memory) * progress;
                if self.memory > 95.0 {
                    self.latency *= 1.0 + (self.memory - 95.0);
                }
            }
            // Its requests have grown already.
            FaultKind::Surge { .. } => {}
            FaultKind::Crash => {
                self.errors = 1.0;
                self.crashed = true;
            }
        }
    }

    fn readings(&self, requests: f64) -> [f64; METRICS.len()] {
        if self.crashed {
            return [f64::NAN; METRICS.len()];
        }
        let availability = 100.0 * (1.0 - self.errors).clamp(0.0, 1.0);
        [
            requests.round(),
            self.latency,
            availability,
            self.cpu.min(100.0),
            self.memory.min(100.0),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn world(seed: u64, faults: Vec<Fault>) -> World {
        World::new(
            seed,
            WorldConfig {
                faults,
                ..WorldConfig::default()
            },
        )
    }

    /// Value of one metric of one service over time.
    fn column(world: &World, entity: &EntityId, metric: &str, rows: usize) -> Vec<f64> {
        let names = world.series();
        let at = names
            .iter()
            .position(|n| n.entity == *entity && n.metric == metric)
            .expect("exists");
        world.rows().take(rows).map(|row| row.values[at]).collect()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn a_slow_service_slows_its_callers_and_nobody_else() {
        let calm = world(3, Vec::new());
        let cause = calm.edges().last().expect("has edges").callee.clone();
        let onset = WorldConfig::default().start + 60 * 60_000;
        let faults = vec![Fault {
            kind: FaultKind::Latency { factor: 6.0 },
            cause: cause.clone(),
            onset,
            duration_ms: 60 * 60_000,
        }];
        let slow = world(3, faults);
        let callers = calm.callers_of(&cause);
        assert!(!callers.is_empty());
        for entity in calm.entities() {
            let (before, after) = (
                column(&calm, &entity, "latency_ms", 120),
                column(&slow, &entity, "latency_ms", 120),
            );
            assert_eq!(before[..60], after[..60], "nothing happens before the onset");
            let affected = entity == cause || callers.contains(&entity);
            assert_eq!(mean(&after[60..]) > 1.05 * mean(&before[60..]), affected, "{entity}");
        }
    }

    #[test]
    fn a_crashed_service_is_silent_and_a_leak_ends_full() {
        let cause = world(5, Vec::new()).entities().pop().expect("has services");
        let fault = |kind| Fault {
            kind,
            cause: cause.clone(),
            onset: WorldConfig::default().start + 10 * 60_000,
            duration_ms: 20 * 60_000,
        };
        let crashed = column(&world(5, vec![fault(FaultKind::Crash)]), &cause, "latency_ms", 40);
        let silent: Vec<usize> = (0..40).filter(|i| crashed[*i].is_nan()).collect();
        assert_eq!(silent, (10..30).collect::<Vec<_>>());
        let memory = column(&world(5, vec![fault(FaultKind::Leak)]), &cause, "memory_percent", 40);
        assert!(memory[29] > 95.0 && memory[9] < 70.0 && memory[35] < 70.0, "{memory:?}");
    }

    #[test]
    fn deploys_and_batch_work_are_on_time() {
        let quiet = WorldConfig::default();
        let busy = WorldConfig {
            batch_jobs: true,
            days_per_deploy: 7,
            ..quiet.clone()
        };
        let (quiet, busy) = (World::new(2, quiet), World::new(2, busy));
        let until = WorldConfig::default().start + 15 * 86_400_000;
        let deploys = busy.deploys(until);
        assert_eq!(deploys.len(), 2 * busy.entities().len());
        assert!(deploys.windows(2).all(|two| two[0].at <= two[1].at) && quiet.deploys(until).is_empty());
        // The first service has its batch work in the first half hour of the day.
        let front = busy.entities().swap_remove(0);
        let cpu = |world: &World| column(world, &front, "cpu_percent", 60);
        let extra: Vec<f64> = cpu(&busy).iter().zip(cpu(&quiet)).map(|(a, b)| a - b).collect();
        assert!(extra[..30].iter().all(|e| *e > 19.0) && extra[30..].iter().all(|e| e.abs() < 1e-9));
    }

    #[test]
    fn days_have_a_season() {
        let world = world(1, Vec::new());
        let front = world.entities().swap_remove(0);
        let day = column(&world, &front, "requests", 1440);
        assert!(
            mean(&day[660..780]) > 1.5 * mean(&day[..60]),
            "noon is busier than midnight"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn the_same_seed_gives_the_same_bits(seed: u64, services in 1usize..20) {
            let config = WorldConfig { services, ..WorldConfig::default() };
            let (one, two) = (World::new(seed, config.clone()), World::new(seed, config));
            prop_assert_eq!(one.edges(), two.edges());
            for (a, b) in one.rows().zip(two.rows()).take(20) {
                prop_assert_eq!(&a, &b);
                prop_assert!(a.values.iter().all(|v| v.is_finite()));
                prop_assert_eq!(a.values.len(), services * METRICS.len());
            }
        }

        #[test]
        fn everything_below_the_top_is_called(seed: u64, services in 2usize..40) {
            let world = World::new(seed, WorldConfig { services, ..WorldConfig::default() });
            let edges = world.edges();
            for entity in world.entities().iter().filter(|e| !e.as_str().starts_with("front")) {
                prop_assert!(edges.iter().any(|edge| edge.callee == *entity), "{}", entity);
            }
        }
    }
}
