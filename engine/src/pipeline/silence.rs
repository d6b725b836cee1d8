//! Silence as an observation: to the correlator an entity that stopped reporting is one whose `up` fell from 1 to 0, as
//! Prometheus has it.
//!
//! Who is in the call graph is missed, and a service that has reported for long: a pod that was scaled away is nobody's
//! incident.

use crate::correlate::{CallGraph, Observation};
use crate::detect::{Detection, Expected};
use crate::quality::Silence;
use crate::series::{Labels, MetricClass, info_from_labels};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::series::{SeriesInfo, Votes};
use wire::{EntityId, Timestamp};

/// A part of the owners of an entity's series is heard for so many steps.
const HEARD_STEPS: i64 = 2;
/// Steps told at once, at most: what was silent for long was told before.
const AT_ONCE: i64 = 16;

/// The silences of one source, put together from all who own series.
#[derive(Clone, Debug, Default)]
pub(super) struct Silences {
    /// By entity and owner.
    heard: BTreeMap<EntityId, BTreeMap<usize, Silence>>,
    /// Until when each was told.
    told: BTreeMap<EntityId, Timestamp>,
}

impl Silences {
    /// Owner number `owner` says that its part of an entity is silent.
    pub(super) fn hear(&mut self, owner: usize, silence: Silence) {
        let parts = self.heard.entry(silence.entity.clone()).or_default();
        parts.insert(owner, silence);
    }

    /// What the correlator has not been told. `series`: how many series an entity has in all.
    pub(super) fn tell(
        &mut self,
        source: &Arc<str>,
        graph: &CallGraph,
        series: impl Fn(&EntityId) -> u32,
        out: &mut Vec<Observation>,
    ) {
        let told = &mut self.told;
        self.heard.retain(|entity, parts| {
            let newest = parts.values().map(|part| part.at).max().unwrap_or_default();
            parts.retain(|_, part| newest.millis_since(part.at) <= HEARD_STEPS * part.step_ms);
            let silent: u32 = parts.values().map(|part| part.series).sum();
            // The last of them to fall silent tells since when.
            let Some(last) = parts.values().max_by_key(|part| part.since) else {
                return false;
            };
            if silent < series(entity) {
                // The other owners may be heard a moment later.
                return true;
            }
            if !graph.knows(entity) && !last.established {
                return false;
            }
            let resumed = told.get(entity).is_none_or(|until| *until < last.since);
            let from = if resumed {
                last.since
            } else {
                told[entity] + last.step_ms
            };
            let steps = newest.millis_since(from).div_euclid(last.step_ms).min(AT_ONCE);
            for step in 0..=steps {
                let at = from + step * last.step_ms;
                out.push(observation(entity, source, at, last.step_ms));
                told.insert(entity.clone(), at);
            }
            false
        });
    }
}

/// `up` of the entity at one instant: 0, expected 1.
pub(super) fn observation(entity: &EntityId, source: &Arc<str>, at: Timestamp, step_ms: i64) -> Observation {
    let info = SeriesInfo {
        class: MetricClass::Errors,
        step_ms,
        ..info_from_labels(&Labels::of(entity.as_str(), "up", None))
    };
    Observation {
        detection: Detection {
            series: info.id,
            at,
            value: 0.0,
            expected: Some(Expected {
                mean: 1.0,
                lower: 1.0,
                upper: 1.0,
                scale: 1e-3,
            }),
            score: 0.95,
            salience: 0.95,
            shift: 0.0,
            votes: Votes::default(),
            anomaly: true,
            confidence: 1.0,
            signal: None,
            breach: None,
            quiet_at: None,
        },
        source: Arc::clone(source),
        info: Arc::new(info),
        has_samples: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::topology::Edge;

    const STEP: i64 = 60_000;

    fn silence(minute: i64, series: u32) -> Silence {
        Silence {
            source: Arc::from("test"),
            entity: "cart".into(),
            slot: 0,
            series,
            since: Timestamp(100 * STEP),
            at: Timestamp(minute * STEP),
            step_ms: STEP,
            established: false,
        }
    }

    fn graph() -> CallGraph {
        let mut graph = CallGraph::default();
        graph.add(&Edge {
            caller: "web".into(),
            callee: "cart".into(),
        });
        graph
    }

    fn minutes(silences: &mut Silences, graph: &CallGraph) -> Vec<i64> {
        let mut out = Vec::new();
        silences.tell(&Arc::from("test"), graph, |_| 5, &mut out);
        out.iter().map(|o| o.detection.at.0 / STEP).collect()
    }

    #[test]
    fn every_silent_step_is_told_once() {
        let mut silences = Silences::default();
        silences.hear(0, silence(104, 5));
        assert_eq!(minutes(&mut silences, &graph()), [100, 101, 102, 103, 104]);
        assert_eq!(minutes(&mut silences, &graph()), [0; 0]);
        silences.hear(0, silence(104, 5));
        silences.hear(0, silence(106, 5));
        assert_eq!(minutes(&mut silences, &graph()), [105, 106]);
    }

    #[test]
    fn it_takes_all_series_and_a_place_in_the_graph() {
        let mut silences = Silences::default();
        silences.hear(0, silence(104, 3));
        assert_eq!(minutes(&mut silences, &graph()), [0; 0], "another owner may hear it");
        silences.hear(0, silence(105, 3));
        silences.hear(1, silence(105, 2));
        assert_eq!(minutes(&mut silences, &graph()).len(), 6);
        silences.hear(0, silence(106, 5));
        assert_eq!(minutes(&mut silences, &CallGraph::default()), [0; 0]);
        let established = Silence {
            established: true,
            ..silence(107, 5)
        };
        silences.hear(0, established);
        assert_eq!(minutes(&mut silences, &CallGraph::default()), [106, 107]);
    }
}
