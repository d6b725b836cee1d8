//! Every series the engine knows. Decoders ask it before they build labels; shards own everything else about a series.

use crate::series::{Catalog, MetricType, SeriesInfo, home_of, set_kind};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::{Mutex, MutexGuard};
use wire::SeriesId;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Declarations remembered; beyond them the memory starts over, which costs time and nothing else.
const MAX_DECLARED: usize = 200_000;

/// A map by id.
pub(crate) type ById<V> = HashMap<SeriesId, V, BuildHasherDefault<IdHasher>>;

/// Series by id. Reads do not exclude each other; a decoder takes one read lock per request.
#[derive(Debug, Default)]
pub struct Registry {
    known: RwLock<ById<Arc<SeriesInfo>>>,
    homes: RwLock<Homes>,
    declared: RwLock<Declared>,
    growing: Mutex<Catalog>,
}

/// Types that were declared before, by hash: a sender that says the type of each series with every request is then not heard
/// again each time.
#[derive(Debug, Default)]
pub struct Declared(HashSet<u64, BuildHasherDefault<IdHasher>>);

impl Declared {
    /// What stands for a declaration: with texts it says more than without.
    pub fn key(name: &[u8], kind: MetricType, is_described: bool) -> u64 {
        xxh3_64_with_seed(name, 2 * (kind as u64 + 1) + u64::from(is_described))
    }

    /// Whether it was heard.
    pub fn has(&self, key: u64) -> bool {
        self.0.contains(&key)
    }
}

/// By which id the place of a series is chosen: that of its entity, since the metrics of an entity are judged jointly.
#[derive(Debug, Default)]
pub struct Homes(ById<SeriesId>);

impl Homes {
    /// The id that stands for `series`.
    #[inline]
    pub fn of(&self, series: SeriesId) -> SeriesId {
        self.0.get(&series).copied().unwrap_or(series)
    }
}

impl Registry {
    /// A registry without series, which finds their kinds by `catalog`.
    pub fn new(catalog: Catalog) -> Self {
        Self {
            growing: Mutex::new(catalog),
            ..Self::default()
        }
    }

    /// Waits for the turn to add series. A series must be in the store and with its shard before it is known, since from
    /// then on other requests send its samples without saying who it is: whoever adds series does all of it in one turn.
    pub async fn turn(&self) -> MutexGuard<'_, Catalog> {
        self.growing.lock().await
    }

    /// Where series live. One lock for many look-ups.
    pub fn homes(&self) -> RwLockReadGuard<'_, Homes> {
        self.homes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Types that were declared. One lock for many look-ups.
    pub fn declared(&self) -> RwLockReadGuard<'_, Declared> {
        self.declared.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers declarations that were heard.
    pub fn heard(&self, keys: impl IntoIterator<Item = u64>) {
        let mut declared = self.declared.write().unwrap_or_else(PoisonError::into_inner);
        if declared.0.len() > MAX_DECLARED {
            declared.0.clear();
        }
        declared.0.extend(keys);
    }

    /// The series of `infos` that are not known yet, each once, by id.
    pub fn unknown(&self, infos: Vec<SeriesInfo>) -> Vec<SeriesInfo> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut new: Vec<_> = infos.into_iter().filter(|info| !known.contains_key(&info.id)).collect();
        new.sort_by_key(|info| info.id);
        new.dedup_by_key(|info| info.id);
        new
    }

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

    /// Identities of the series that `is_meant` picks, by id. O(series).
    pub fn select(&self, is_meant: impl Fn(&SeriesInfo) -> bool) -> Vec<Arc<SeriesInfo>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<_> = known.values().filter(|info| is_meant(info)).map(Arc::clone).collect();
        found.sort_by_key(|info| info.id);
        found
    }

    /// Makes series known.
    pub fn add(&self, infos: impl IntoIterator<Item = Arc<SeriesInfo>>) {
        let infos: Vec<_> = infos.into_iter().collect();
        let homes = infos.iter().map(|info| (info.id, home_of(info)));
        let away: Vec<_> = homes.filter(|(id, home)| id != home).collect();
        // First: nobody may send samples of a known series to the wrong place.
        if !away.is_empty() {
            self.homes
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .0
                .extend(away);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.extend(infos.into_iter().map(|info| (info.id, info)));
    }

    /// Gives series the kind that `catalog` now has for them, `only` these or all; returns those whose kind has changed.
    pub fn retype(&self, catalog: &Catalog, only: Option<&[SeriesId]>) -> Vec<Arc<SeriesInfo>> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed: Vec<Arc<SeriesInfo>> = Vec::new();
        let mut look = |info: &mut Arc<SeriesInfo>| {
            let kind = catalog.kind(info);
            if kind != info.kind {
                set_kind(Arc::make_mut(info), kind);
                changed.push(Arc::clone(info));
            }
        };
        match only {
            Some(ids) => ids.iter().for_each(|id| {
                known.get_mut(id).map(&mut look);
            }),
            None => known.values_mut().for_each(look),
        }
        changed.sort_by_key(|info| info.id);
        changed
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
pub(crate) struct IdHasher(u64);

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
    fn new_series_are_named_once() {
        let registry = Registry::default();
        let new = registry.unknown(infos(0..3));
        assert_eq!((new.len(), registry.len()), (3, 0));
        registry.add(new.into_iter().map(Arc::new));
        let new = registry.unknown([infos(0..4), infos(3..4)].concat());
        assert_eq!(new.len(), 1);
        let added = Arc::new(new[0].clone());
        registry.add([Arc::clone(&added)]);
        assert_eq!(registry.len(), 4);
        assert_eq!(registry.get(added.id).as_ref(), Some(&added));
        let unknown = registry.unknown(infos(0..6));
        assert_eq!(unknown.len(), 2);
        assert!(registry.with_known(|known| known(added.id) && !known(unknown[0].id)));
    }
}
