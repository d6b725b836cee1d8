//! The graph around an incident: its members, what they depend on, and who depends on the cause.

use super::Context;
use crate::correlate::incident::Incident;
use crate::correlate::kind::kind_of;
use std::collections::{BTreeMap, BTreeSet};
use wire::EntityId;
use wire::incident::Member;
use wire::series::Health;
use wire::topology::{Entity, Topology};

/// Entities in the graph of an incident, at most.
const MAX_ENTITIES: usize = 200;

impl Context<'_> {
    pub(super) fn topology(&self, incident: &Incident) -> Topology {
        let members = &incident.entities;
        let mut shown = members.clone();
        shown.extend(incident.story.path.iter().cloned());
        shown.extend(incident.causes.iter().take(3).map(|c| c.entity.clone()));
        for entity in members {
            shown.extend(self.graph.callees(entity));
        }
        shown.extend(incident.blast_radius.iter().cloned());
        let shown: BTreeSet<EntityId> = if shown.len() > MAX_ENTITIES {
            members
                .iter()
                .cloned()
                .chain(shown.difference(members).cloned())
                .take(MAX_ENTITIES)
                .collect()
        } else {
            shown
        };
        let edges = self.graph.edges_among(&shown);
        let mut own: BTreeMap<&EntityId, Vec<&Member>> = BTreeMap::new();
        for member in incident.members.values() {
            own.entry(&member.entity).or_default().push(member);
        }
        let entities = shown
            .iter()
            .map(|id| {
                let own = own.get(id).map_or(&[][..], Vec::as_slice);
                let health = match (own.is_empty(), self.evidence.last_of(id).is_some()) {
                    (false, _) => Health::Anomalous,
                    (true, true) => Health::Watch,
                    (true, false) => Health::Unknown,
                };
                let anomalous = u32::try_from(own.len()).unwrap_or(u32::MAX);
                Entity {
                    id: id.clone(),
                    kind: kind_of(id),
                    health,
                    score: own.iter().map(|m| m.score).fold(0.0, f32::max),
                    series: anomalous,
                    anomalous_series: anomalous,
                    last_at: own.iter().map(|m| m.last).max(),
                    source: incident.source.clone(),
                    incident: (!own.is_empty()).then(|| incident.id.clone()),
                }
            })
            .collect();
        Topology { entities, edges }
    }
}
