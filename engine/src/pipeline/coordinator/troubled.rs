//! What open incidents touch must not teach: the shards are told which entities these are.

use super::{Coordinator, Effect};
use std::collections::BTreeSet;
use std::sync::Arc;
use wire::EntityId;

/// What the shards were told last, and how often they were told.
#[derive(Debug, Default)]
pub(super) struct Troubled {
    number: u64,
    entities: Arc<BTreeSet<EntityId>>,
}

impl Coordinator {
    /// Tells the shards what open incidents touch, if that is something else than before. `changed`: whether any incident has.
    pub(super) fn tell_troubled(&mut self, changed: bool, effects: &mut Vec<Effect>) {
        // Incidents of an earlier run may be open at the start.
        if !changed && self.troubled.number > 0 {
            return;
        }
        let lanes = self.lanes.values();
        let entities: BTreeSet<EntityId> = lanes.flat_map(|lane| lane.brain.correlator.troubled()).collect();
        if self.troubled.number == 0 || *self.troubled.entities != entities {
            self.troubled.number += 1;
            self.troubled.entities = Arc::new(entities);
            effects.push(Effect::SetTroubled {
                number: self.troubled.number,
                entities: Arc::clone(&self.troubled.entities),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::correlate::Incident;
    use crate::pipeline::coordinator::Restored;
    use crate::pipeline::message::Observed;
    use crate::pipeline::silence;
    use wire::Timestamp;
    use wire::status::Provisional;

    const START: Timestamp = Timestamp(1_700_000_000_000);
    const MINUTE: i64 = 60_000;

    fn coordinator(incidents: Vec<Incident>) -> Coordinator {
        let restored = Restored {
            incidents,
            ..Restored::default()
        };
        let models = (Vec::new(), "bundled".to_owned());
        Coordinator::new(&Config::new("unused"), models, restored, START).unwrap()
    }

    /// Lets `entity` be down for that minute. Returns what the shards are told, and the incidents to keep.
    fn minute(coordinator: &mut Coordinator, n: i64, entity: Option<&str>) -> (Vec<(u64, Vec<String>)>, Vec<Incident>) {
        let now = START + n * MINUTE;
        let source: Arc<str> = Arc::from("test");
        if let Some(entity) = entity {
            let observation = silence::observation(&entity.into(), &source, now, MINUTE);
            let observed = Observed::Samples {
                source,
                newest: Some(now),
                taken: 1,
                observations: vec![observation],
                provisional: Provisional::default(),
            };
            coordinator.observed(observed, now);
        }
        let mut effects = Vec::new();
        coordinator.tick(now, &mut effects);
        let (mut told, mut saved) = (Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                Effect::SetTroubled { number, entities } => {
                    told.push((number, entities.iter().map(ToString::to_string).collect()));
                }
                Effect::SaveIncident(incident) => saved.push(*incident),
                _ => {}
            }
        }
        (told, saved)
    }

    #[test]
    fn the_shards_are_told_what_incidents_touch_once_and_when_it_is_over() {
        let mut coordinator = coordinator(Vec::new());
        let mut told = Vec::new();
        let mut saved = Vec::new();
        for n in 0..40 {
            let (news, incidents) = minute(&mut coordinator, n, (3..8).contains(&n).then_some("db"));
            told.extend(news);
            saved.extend(incidents);
        }
        assert_eq!(
            told,
            [(1, vec![]), (2, vec!["db".to_owned()]), (3, vec![])],
            "nothing at first, db while it lasts, nothing after"
        );
        // Who starts anew while it is open tells it at once.
        let open = saved
            .into_iter()
            .find(Incident::is_open)
            .expect("it was saved while open");
        let mut again = self::coordinator(vec![open]);
        assert_eq!(minute(&mut again, 9, None).0, [(1, vec!["db".to_owned()])]);
    }
}
