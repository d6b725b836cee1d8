//! Every series the engine knows. Decoders ask it before they build labels; shards own everything else about a series.

use crate::series::SeriesInfo;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, PoisonError, RwLock};
use wire::SeriesId;

/// Series by id. Reads do not exclude each other; a decoder takes one read lock per request.
#[derive(Debug, Default)]
pub struct Registry {
    known: RwLock<HashMap<SeriesId, Arc<SeriesInfo>, BuildHasherDefault<IdHasher>>>,
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

/// An id is a hash already: hashing it again would cost more than the look-up.
#[derive(Clone, Copy, Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Labels, info_from_labels};

    fn infos(range: std::ops::Range<usize>) -> Vec<SeriesInfo> {
        range
            .map(|i| info_from_labels(&Labels::of(&format!("e{i}"), "load", None)))
            .collect()
    }

    #[test]
    fn new_series_are_named_once_and_the_limit_holds() {
        let registry = Registry::default();
        let (added, refused) = registry.add(infos(0..3), 4);
        assert_eq!((added.len(), refused), (3, 0));
        let (added, refused) = registry.add(infos(0..6), 4);
        assert_eq!((added.len(), refused, registry.len()), (1, 2, 4));
        assert_eq!(added[0].entity.as_str(), "e3");
        assert_eq!(registry.get(added[0].id).as_ref(), Some(&added[0]));
        let unknown = infos(5..6)[0].id;
        assert!(registry.with_known(|known| known(added[0].id) && !known(unknown)));
    }
}
