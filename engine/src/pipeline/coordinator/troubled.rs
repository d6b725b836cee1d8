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
