//! Every series the engine knows. Decoders ask it before they build labels; shards own everything else about a series.

use crate::series::SeriesInfo;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use wire::SeriesId;

/// Series by id. Reads do not exclude each other; a decoder takes one read lock per request.
#[derive(Debug, Default)]
pub struct Registry {
    known: RwLock<HashMap<SeriesId, Arc<SeriesInfo>>>,
}

impl Registry {
    /// Calls `decode` with a test for "is this series known".
    pub fn with_known<T>(&self, decode: impl FnOnce(&dyn Fn(SeriesId) -> bool) -> T) -> T {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        decode(&|id| known.contains_key(&id))
    }

    /// Identity of a series.
    pub fn get(&self, id: SeriesId) -> Option<Arc<SeriesInfo>> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }

    /// Adds series as long as there are fewer than `max`. Returns the ones that are new, and how many found no room.
    pub fn add(&self, infos: Vec<SeriesInfo>, max: usize) -> (Vec<Arc<SeriesInfo>>, usize) {
        if infos.is_empty() {
            return (Vec::new(), 0);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut added = Vec::new();
        let mut refused = 0;
        for info in infos {
            if known.contains_key(&info.id) {
                continue;
            }
            if known.len() >= max {
                refused += 1;
                continue;
            }
            let info = Arc::new(info);
            known.insert(info.id, Arc::clone(&info));
            added.push(info);
        }
        (added, refused)
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.known.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
