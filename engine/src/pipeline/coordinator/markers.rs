//! What a chart shows beside the samples of an entity: when something was changed, when an incident began and ended.

use super::Coordinator;
use wire::EntityId;
use wire::series::{Marker, MarkerKind};
use wire::topology::ChangeKind;

impl Coordinator {
    /// Changes and incidents that touch an entity, as markers for its charts.
    pub(crate) fn markers(&self, entity: &EntityId) -> Vec<Marker> {
        let mut markers: Vec<Marker> = self
            .deploys
            .iter()
            .filter(|d| d.concerns(entity))
            .map(|d| Marker {
                at: d.at,
                kind: MarkerKind::Deploy,
                text: match d.kind {
                    ChangeKind::Deploy => d.version.clone(),
                    kind => format!("{}: {}", kind.as_str(), d.version),
                },
            })
            .collect();
        for incident in self
            .lanes
            .values()
            .flat_map(|lane| lane.brain.correlator.incidents())
            .filter(|i| i.entities.contains(entity))
        {
            markers.push(Marker {
                at: incident.started,
                kind: MarkerKind::IncidentStart,
                text: incident.id.to_string(),
            });
            if let Some(ended) = incident.ended {
                markers.push(Marker {
                    at: ended,
                    kind: MarkerKind::IncidentEnd,
                    text: incident.id.to_string(),
                });
            }
        }
        markers.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.text.cmp(&b.text)));
        markers
    }
}
