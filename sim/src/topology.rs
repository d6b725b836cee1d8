//! A layered call graph: entry services on top, storage at the bottom, calls go downwards only.

use rand::Rng;

/// Services and who calls whom. Services are numbered from the top; callers come before callees.
#[derive(Clone, Debug)]
pub(crate) struct CallGraph {
    pub(crate) names: Vec<String>,
    /// Per service: what it calls, and how many calls one request makes.
    pub(crate) callees: Vec<Vec<(usize, f64)>>,
}

impl CallGraph {
    /// `services` services in about the cube root as many layers; each below the top is called at least once.
    pub(crate) fn new(services: usize, rng: &mut impl Rng) -> Self {
        let layers = ((services as f64).cbrt().round() as usize + 1).clamp(1, services.max(1));
        let layer_of = |service: usize| service * layers / services;
        let mut callees: Vec<Vec<(usize, f64)>> = vec![Vec::new(); services];
        for callee in 0..services {
            let above: Vec<usize> = (0..callee).filter(|&s| layer_of(s) + 1 == layer_of(callee)).collect();
            if above.is_empty() {
                continue;
            }
            let callers = 1 + usize::from(rng.random_bool(0.35));
            for _ in 0..callers {
                let caller = above[rng.random_range(0..above.len())];
                let calls = rng.random_range(0.5..1.0);
                if callees[caller].iter().all(|(known, _)| *known != callee) {
                    callees[caller].push((callee, calls));
                }
            }
        }
        let names = (0..services)
            .map(|service| {
                let kind = match layer_of(service) {
                    0 => "front",
                    layer if layer + 1 == layers => "store",
                    _ => "service",
                };
                format!("{kind}-{service:02}")
            })
            .collect();
        Self { names, callees }
    }
}
